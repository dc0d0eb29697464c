//! Functions on optional values; `or` and `orValue` are steps of their own, since they need not run both sides.

use super::super::value::{EvalError, Value};
use super::{Row, wrong};

pub(super) const TABLE: &[Row] = &[
    ("optional.of", of),
    ("optional.ofNonZeroValue", of_non_zero),
    ("optional.none", none),
    ("optional.unwrap", unwrap),
    ("unwrapOpt", unwrap),
    ("value", value),
    ("hasValue", has_value),
    ("first", first),
    ("last", last),
];

type Out<'a> = Result<Value<'a>, EvalError>;

fn of<'a>(args: &[Value<'a>]) -> Out<'a> {
    args.first().map(|value| Value::some(value.clone())).ok_or_else(EvalError::no_such_overload)
}

fn of_non_zero<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [value] if value.is_zero() => Ok(Value::Optional(None)),
        _ => of(args),
    }
}

fn none<'a>(_: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Optional(None))
}

fn unwrap<'a>(args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list)] = args else { return wrong() };
    let mut out = Vec::new();
    for item in list.iter() {
        match item? {
            Value::Optional(inner) => out.extend(inner.map(|inner| (*inner).clone())),
            other => return Err(EvalError::new(format!("value {} is not optional", other.runtime_type()))),
        }
    }
    Ok(Value::list(out))
}

fn value<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Optional(Some(inner))] => Ok((**inner).clone()),
        [Value::Optional(None)] => Err(EvalError::new("optional.none() dereference")),
        _ => wrong(),
    }
}

fn has_value<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Optional(inner)] => Ok(Value::Bool(inner.is_some())),
        _ => wrong(),
    }
}

fn end<'a>(args: &[Value<'a>], last: bool) -> Out<'a> {
    let [Value::List(list)] = args else { return wrong() };
    let at = if last { list.len().wrapping_sub(1) } else { 0 };
    Ok(match list.get(at).transpose()? {
        Some(value) => Value::some(value),
        None => Value::Optional(None),
    })
}

fn first<'a>(args: &[Value<'a>]) -> Out<'a> {
    end(args, false)
}

fn last<'a>(args: &[Value<'a>]) -> Out<'a> {
    end(args, true)
}
