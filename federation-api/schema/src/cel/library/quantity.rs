//! Functions on quantities, and those whose names quantities share with versions and the authorizer.

use std::cmp::Ordering;

use super::super::value::{EvalError, Value};
use super::{Row, wrong};
use crate::quantity::{Quantity, QuantityFormat};

pub(super) const TABLE: &[Row] = &[
    ("quantity", parse),
    ("isQuantity", is),
    ("sign", sign),
    ("isGreaterThan", is_greater),
    ("isLessThan", is_less),
    ("compareTo", compare),
    ("asApproximateFloat", as_float),
    ("asInteger", as_integer),
    ("isInteger", is_integer),
    ("add", add),
    ("sub", sub),
    ("path", ask),
    ("group", ask_group),
    ("serviceAccount", ask_account),
    ("resource", ask_resource),
    ("subresource", ask_subresource),
    ("namespace", ask_namespace),
    ("name", ask_name),
    ("fieldSelector", ask_field_selector),
    ("labelSelector", ask_label_selector),
    ("check", ask_check),
    ("allowed", ask_allowed),
    ("reason", ask_reason),
    ("errored", ask_errored),
    ("error", ask_error),
];

type Out<'a> = Result<Value<'a>, EvalError>;

const NANOS: i128 = 1_000_000_000;

fn parse<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(text)] => {
            Quantity::parse(text).map(Value::Quantity).map_err(|error| EvalError::new(error.to_string()))
        }
        _ => wrong(),
    }
}

fn is<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(Quantity::parse(text).is_ok())),
        _ => wrong(),
    }
}

fn sign<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Quantity(own)] => Ok(Value::Int(own.nanos().signum() as i64)),
        _ => wrong(),
    }
}

fn order(args: &[Value<'_>]) -> Result<Ordering, EvalError> {
    match args {
        [Value::Quantity(a), Value::Quantity(b)] => Ok(a.cmp(b)),
        [Value::Semver(a), Value::Semver(b)] => Ok(a.cmp_precedence(b)),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn is_greater<'a>(args: &[Value<'a>]) -> Out<'a> {
    order(args).map(|ordering| Value::Bool(ordering.is_gt()))
}

fn is_less<'a>(args: &[Value<'a>]) -> Out<'a> {
    order(args).map(|ordering| Value::Bool(ordering.is_lt()))
}

fn compare<'a>(args: &[Value<'a>]) -> Out<'a> {
    order(args).map(|ordering| Value::Int(ordering as i64))
}

fn as_float<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Quantity(own)] => {
            let (whole, rest) = (own.nanos() / NANOS, own.nanos() % NANOS);
            Ok(Value::Double(whole as f64 + rest as f64 / NANOS as f64))
        }
        _ => wrong(),
    }
}

fn integer(own: &Quantity) -> Option<i64> {
    (own.nanos() % NANOS == 0).then(|| i64::try_from(own.nanos() / NANOS).ok())?
}

fn as_integer<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Quantity(own)] => {
            integer(own).map(Value::Int).ok_or_else(|| EvalError::new("cannot convert value to integer"))
        }
        _ => wrong(),
    }
}

fn is_integer<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Quantity(own)] => Ok(Value::Bool(integer(own).is_some())),
        _ => wrong(),
    }
}

/// The second argument as a quantity.
fn other(args: &[Value<'_>]) -> Option<(Quantity, Quantity)> {
    match args {
        [Value::Quantity(a), Value::Quantity(b)] => Some((*a, *b)),
        [Value::Quantity(a), Value::Int(b)] => Some((*a, Quantity::from_units(*b, QuantityFormat::DecimalExponent))),
        _ => None,
    }
}

fn out_of_range() -> EvalError {
    EvalError::new("quantity is out of range")
}

fn add<'a>(args: &[Value<'a>]) -> Out<'a> {
    let Some((a, b)) = other(args) else { return wrong() };
    a.checked_add(b).map(Value::Quantity).ok_or_else(out_of_range)
}

fn sub<'a>(args: &[Value<'a>]) -> Out<'a> {
    let Some((a, b)) = other(args) else { return wrong() };
    a.checked_sub(b).map(Value::Quantity).ok_or_else(out_of_range)
}

fn asked<'a>(name: &str, args: &[Value<'a>]) -> Out<'a> {
    match args.split_first() {
        Some((Value::Authorizer(authorizer), rest)) => authorizer.call(name, rest),
        _ => wrong(),
    }
}

macro_rules! questions {
    ($($function:ident $name:literal),* $(,)?) => {
        $(fn $function<'a>(args: &[Value<'a>]) -> Out<'a> {
            asked($name, args)
        })*
    };
}

questions! {
    ask "path",
    ask_group "group",
    ask_account "serviceAccount",
    ask_resource "resource",
    ask_subresource "subresource",
    ask_namespace "namespace",
    ask_name "name",
    ask_field_selector "fieldSelector",
    ask_label_selector "labelSelector",
    ask_check "check",
    ask_allowed "allowed",
    ask_reason "reason",
    ask_errored "errored",
    ask_error "error",
}
