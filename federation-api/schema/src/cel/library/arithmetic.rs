//! Operators on numbers, texts, times and lists, and comparisons.

use std::cmp::Ordering;

use super::super::value::{EvalError, List, Value};
use super::{Row, text, wrong};

pub(super) const TABLE: &[Row] = &[
    ("_+_", add),
    ("_-_", subtract),
    ("_*_", multiply),
    ("_/_", divide),
    ("_%_", modulo),
    ("-_", negate),
    ("!_", not),
    ("_==_", equal),
    ("_!=_", not_equal),
    ("_<_", less),
    ("_<=_", less_equal),
    ("_>_", greater),
    ("_>=_", greater_equal),
    ("@in", contains),
];

type Out<'a> = Result<Value<'a>, EvalError>;

fn int_overflow() -> EvalError {
    EvalError::new("integer overflow")
}

fn uint_overflow() -> EvalError {
    EvalError::new("unsigned integer overflow")
}

fn duration_overflow() -> EvalError {
    EvalError::new("duration overflow")
}

fn timestamp_overflow() -> EvalError {
    EvalError::new("timestamp overflow")
}

/// The sum of two values of the same kind.
pub(super) fn sum<'a>(a: &Value<'a>, b: &Value<'a>) -> Out<'a> {
    Ok(match (a, b) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(*b).ok_or_else(int_overflow)?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_add(*b).ok_or_else(uint_overflow)?),
        (Value::Double(a), Value::Double(b)) => Value::Double(a + b),
        (Value::String(a), Value::String(b)) => text(format!("{}{}", &**a, &**b)),
        (Value::Bytes(a), Value::Bytes(b)) => Value::Bytes([&**a, &**b].concat().into()),
        (Value::Duration(a), Value::Duration(b)) => Value::Duration(a.checked_add(*b).ok_or_else(duration_overflow)?),
        (Value::Timestamp(time), Value::Duration(span)) | (Value::Duration(span), Value::Timestamp(time)) => {
            Value::Timestamp(time.plus(*span).ok_or_else(timestamp_overflow)?)
        }
        (Value::List(a), Value::List(b)) => Value::list(a.concat(b)?),
        _ => return wrong(),
    })
}

fn add<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [a, b] => sum(a, b),
        _ => wrong(),
    }
}

fn subtract<'a>(args: &[Value<'a>]) -> Out<'a> {
    Ok(match args {
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_sub(*b).ok_or_else(int_overflow)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_sub(*b).ok_or_else(uint_overflow)?),
        [Value::Double(a), Value::Double(b)] => Value::Double(a - b),
        [Value::Duration(a), Value::Duration(b)] => Value::Duration(a.checked_sub(*b).ok_or_else(duration_overflow)?),
        [Value::Timestamp(time), Value::Duration(span)] => {
            let span = span.checked_neg().ok_or_else(timestamp_overflow)?;
            Value::Timestamp(time.plus(span).ok_or_else(timestamp_overflow)?)
        }
        [Value::Timestamp(a), Value::Timestamp(b)] => Value::Duration(a.since(*b).ok_or_else(duration_overflow)?),
        _ => return wrong(),
    })
}

fn multiply<'a>(args: &[Value<'a>]) -> Out<'a> {
    Ok(match args {
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_mul(*b).ok_or_else(int_overflow)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_mul(*b).ok_or_else(uint_overflow)?),
        [Value::Double(a), Value::Double(b)] => Value::Double(a * b),
        _ => return wrong(),
    })
}

fn divide<'a>(args: &[Value<'a>]) -> Out<'a> {
    Ok(match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
            return Err(EvalError::new("division by zero"));
        }
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_div(*b).ok_or_else(int_overflow)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a / b),
        [Value::Double(a), Value::Double(b)] => Value::Double(a / b),
        _ => return wrong(),
    })
}

fn modulo<'a>(args: &[Value<'a>]) -> Out<'a> {
    Ok(match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
            return Err(EvalError::new("modulus by zero"));
        }
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_rem(*b).ok_or_else(int_overflow)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a % b),
        _ => return wrong(),
    })
}

fn negate<'a>(args: &[Value<'a>]) -> Out<'a> {
    Ok(match args {
        [Value::Int(a)] => Value::Int(a.checked_neg().ok_or_else(int_overflow)?),
        [Value::Double(a)] => Value::Double(-a),
        [Value::Duration(a)] => Value::Duration(a.checked_neg().ok_or_else(duration_overflow)?),
        _ => return wrong(),
    })
}

fn not<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Bool(a)] => Ok(Value::Bool(!a)),
        _ => wrong(),
    }
}

fn equal<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [a, b] => Ok(Value::Bool(a.equals(b))),
        _ => wrong(),
    }
}

fn not_equal<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [a, b] => Ok(Value::Bool(!a.equals(b))),
        _ => wrong(),
    }
}

fn ordered<'a>(args: &[Value<'a>], holds: fn(Ordering) -> bool) -> Out<'a> {
    match args {
        [a, b] => a.compare(b).map(|ordering| Value::Bool(holds(ordering))),
        _ => wrong(),
    }
}

fn less<'a>(args: &[Value<'a>]) -> Out<'a> {
    ordered(args, Ordering::is_lt)
}

fn less_equal<'a>(args: &[Value<'a>]) -> Out<'a> {
    ordered(args, Ordering::is_le)
}

fn greater<'a>(args: &[Value<'a>]) -> Out<'a> {
    ordered(args, Ordering::is_gt)
}

fn greater_equal<'a>(args: &[Value<'a>]) -> Out<'a> {
    ordered(args, Ordering::is_ge)
}

/// Whether a list has an element.
pub(super) fn has(list: &List<'_>, wanted: &Value<'_>) -> Result<bool, EvalError> {
    for item in list.iter() {
        if item?.equals(wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn contains<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [wanted, Value::List(list)] => has(list, wanted).map(Value::Bool),
        [wanted, Value::Map(map)] => {
            let key = super::super::value::Key::of(wanted);
            Ok(Value::Bool(key.is_some_and(|key| map.get(&key).is_some())))
        }
        _ => wrong(),
    }
}
