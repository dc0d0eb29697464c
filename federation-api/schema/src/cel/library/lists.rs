//! Functions on lists, and sets as lists.

use std::cmp::Ordering;

use super::super::value::{EvalError, List, Value};
use super::arithmetic::{has, sum as add};
use super::{Row, text, wrong};

pub(super) const TABLE: &[Row] = &[
    ("isSorted", is_sorted),
    ("sum", sum),
    ("max", max),
    ("min", min),
    ("includes", includes),
    ("slice", slice),
    ("flatten", flatten),
    ("sort", sort),
    ("@sortByAssociatedKeys", sort_by_keys),
    ("lists.range", range),
    ("reverse", reverse),
    ("distinct", distinct),
    ("sets.contains", set_contains),
    ("sets.equivalent", set_equivalent),
    ("sets.intersects", set_intersects),
];

type Out<'a> = Result<Value<'a>, EvalError>;

/// More elements `lists.range` does not make; upstream's number.
const MAX_RANGE: i64 = 1_000_000;

pub(super) fn index_of<'a>(list: &List<'a>, wanted: &Value<'a>) -> Out<'a> {
    for (at, item) in list.iter().enumerate() {
        if item?.equals(wanted) {
            return Ok(Value::Int(at as i64));
        }
    }
    Ok(Value::Int(-1))
}

pub(super) fn last_index_of<'a>(list: &List<'a>, wanted: &Value<'a>) -> Out<'a> {
    for at in (0..list.len()).rev() {
        if list.get(at).transpose()?.is_some_and(|item| item.equals(wanted)) {
            return Ok(Value::Int(at as i64));
        }
    }
    Ok(Value::Int(-1))
}

fn is_sorted<'a>(args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list)] = args else { return wrong() };
    let values = list.values()?;
    for pair in values.windows(2) {
        if pair[0].compare(&pair[1])? == Ordering::Greater {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list)] = args else { return wrong() };
    let mut total = match list.get(0).transpose()? {
        Some(first @ (Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Duration(_))) => first,
        Some(_) => return wrong(),
        None => return Ok(Value::Int(0)),
    };
    for item in list.iter().skip(1) {
        total = add(&total, &item?)?;
    }
    Ok(total)
}

fn extreme<'a>(args: &[Value<'a>], name: &str, wanted: Ordering) -> Out<'a> {
    let [Value::List(list)] = args else { return wrong() };
    let mut best: Option<Value<'a>> = None;
    for item in list.iter() {
        let item = item?;
        best = Some(match best {
            None => item,
            Some(best) => {
                if item.compare(&best)? == wanted {
                    item
                } else {
                    best
                }
            }
        });
    }
    best.ok_or_else(|| EvalError::new(format!("{name} called on empty list")))
}

fn max<'a>(args: &[Value<'a>]) -> Out<'a> {
    extreme(args, "max", Ordering::Greater)
}

fn min<'a>(args: &[Value<'a>]) -> Out<'a> {
    extreme(args, "min", Ordering::Less)
}

fn includes<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::List(list), wanted] => has(list, wanted).map(Value::Bool),
        [own, wanted] => Ok(Value::Bool(own.equals(wanted))),
        _ => wrong(),
    }
}

fn slice<'a>(args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list), Value::Int(start), Value::Int(end)] = args else { return wrong() };
    let (start, end, length) = (*start, *end, list.len() as i64);
    let refused = |why: &str| Err(EvalError::new(format!("cannot slice({start}, {end}), {why}")));
    if start < 0 || end < 0 {
        return refused("negative indexes not supported");
    }
    if start > end {
        return refused("start index must be less than or equal to end index");
    }
    if length < end {
        return refused(&format!("list is length {length}"));
    }
    let values = (start..end).filter_map(|at| list.get(at as usize)).collect::<Result<_, _>>()?;
    Ok(Value::list(values))
}

fn flatten<'a>(args: &[Value<'a>]) -> Out<'a> {
    let (list, depth) = match args {
        [Value::List(list)] => (list, 1),
        [Value::List(list), Value::Int(depth)] => (list, *depth),
        _ => return wrong(),
    };
    if depth < 0 {
        return Err(EvalError::new("level must be non-negative"));
    }
    let mut out = Vec::new();
    flatten_into(list, depth, &mut out)?;
    Ok(Value::list(out))
}

fn flatten_into<'a>(list: &List<'a>, depth: i64, out: &mut Vec<Value<'a>>) -> Result<(), EvalError> {
    for item in list.iter() {
        match item? {
            Value::List(inner) if depth > 0 => flatten_into(&inner, depth - 1, out)?,
            other => out.push(other),
        }
    }
    Ok(())
}

fn sort<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [list @ Value::List(_)] => sort_by_keys(&[list.clone(), list.clone()]),
        _ => wrong(),
    }
}

fn sort_by_keys<'a>(args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list), Value::List(keys)] = args else { return wrong() };
    if list.len() != keys.len() {
        return Err(EvalError::new(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} and {} \
             elements respectively",
            list.len(),
            keys.len()
        )));
    }
    let keys = keys.values()?;
    if let Some(first) = keys.first() {
        if keys.len() > 1 || !matches!(first, Value::Map(_) | Value::List(_)) {
            let ty = std::mem::discriminant(first);
            if keys.iter().any(|key| std::mem::discriminant(key) != ty) {
                return Err(EvalError::new("list elements must have the same type"));
            }
        }
        if first.compare(first).is_err() && !matches!(first, Value::Double(_)) {
            return Err(EvalError::new("list elements must be comparable"));
        }
    }
    let mut pairs: Vec<(Value<'a>, Value<'a>)> = keys.into_iter().zip(list.values()?).collect();
    pairs.sort_by(|(a, _), (b, _)| a.compare(b).unwrap_or(Ordering::Equal));
    Ok(Value::list(pairs.into_iter().map(|(_, value)| value).collect()))
}

fn range<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Int(n)] if *n < 0 => Err(EvalError::new(format!("lists.range: size must be non-negative, got {n}"))),
        [Value::Int(n)] if *n > MAX_RANGE => {
            Err(EvalError::new(format!("lists.range: size {n} exceeds maximum allowed ({MAX_RANGE})")))
        }
        [Value::Int(n)] => Ok(Value::list((0..*n).map(Value::Int).collect())),
        _ => wrong(),
    }
}

fn reverse<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::List(list)] => {
            let mut values = list.values()?;
            values.reverse();
            Ok(Value::list(values))
        }
        [Value::String(own)] => Ok(text(own.chars().rev().collect::<String>())),
        _ => wrong(),
    }
}

fn distinct<'a>(args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list)] = args else { return wrong() };
    let mut out: Vec<Value<'a>> = Vec::new();
    for item in list.iter() {
        let item = item?;
        if !out.iter().any(|have| have.equals(&item)) {
            out.push(item);
        }
    }
    Ok(Value::list(out))
}

fn contains_all(list: &List<'_>, wanted: &List<'_>) -> Result<bool, EvalError> {
    for item in wanted.iter() {
        if !has(list, &item?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn set_contains<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::List(a), Value::List(b)] => contains_all(a, b).map(Value::Bool),
        _ => wrong(),
    }
}

fn set_equivalent<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::List(a), Value::List(b)] => Ok(Value::Bool(contains_all(a, b)? && contains_all(b, a)?)),
        _ => wrong(),
    }
}

fn set_intersects<'a>(args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(a), Value::List(b)] = args else { return wrong() };
    for item in a.iter() {
        if has(b, &item?)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
