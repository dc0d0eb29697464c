//! From one type to another, and how much there is of something.

use super::super::value::{EvalError, Timestamp, Value, duration_text, parse_duration, parse_timestamp};
use super::{Row, text, wrong};

pub(super) const TABLE: &[Row] = &[
    ("bool", bool),
    ("bytes", bytes),
    ("double", double),
    ("duration", duration),
    ("dyn", dynamic),
    ("int", int),
    ("string", string),
    ("timestamp", timestamp),
    ("type", type_of),
    ("uint", uint),
    ("size", size),
];

type Out<'a> = Result<Value<'a>, EvalError>;

/// 2^63.
const TWO_63: f64 = 9_223_372_036_854_775_808.0;

fn failed<'a>(from: &str, to: &str) -> Out<'a> {
    Err(EvalError::new(format!("type conversion error from '{from}' to '{to}'")))
}

fn bool<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Bool(value)] => Ok(Value::Bool(*value)),
        [Value::String(value)] => match &**value {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => failed("string", "bool"),
        },
        _ => wrong(),
    }
}

fn bytes<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Bytes(value)] => Ok(Value::Bytes(value.clone())),
        [Value::String(value)] => Ok(Value::Bytes(value.as_bytes().into())),
        _ => wrong(),
    }
}

fn double<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Double(value)] => Ok(Value::Double(*value)),
        [Value::Int(value)] => Ok(Value::Double(*value as f64)),
        [Value::Uint(value)] => Ok(Value::Double(*value as f64)),
        [Value::String(value)] => match value.trim_start_matches(['+', '-']).parse::<f64>() {
            Ok(parsed) if parsed.is_finite() || !value.contains(|c: char| c.is_ascii_digit()) => {
                let negative = value.starts_with('-');
                Ok(Value::Double(if negative { -parsed } else { parsed }))
            }
            _ => failed("string", "double"),
        },
        _ => wrong(),
    }
}

fn duration<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Duration(value)] => Ok(Value::Duration(*value)),
        [Value::String(value)] => match parse_duration(value) {
            Some(nanos) => Ok(Value::Duration(nanos)),
            None => failed("string", "google.protobuf.Duration"),
        },
        _ => wrong(),
    }
}

fn dynamic<'a>(args: &[Value<'a>]) -> Out<'a> {
    args.first().cloned().ok_or_else(EvalError::no_such_overload)
}

/// Whole numbers are written as Go reads them: digits with at most a sign.
fn digits(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn int<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Int(value)] => Ok(Value::Int(*value)),
        [Value::Uint(value)] => i64::try_from(*value).map(Value::Int).map_err(|_| EvalError::new("integer overflow")),
        [Value::Double(value)] if value.is_finite() && *value > -TWO_63 && *value < TWO_63 => {
            Ok(Value::Int(*value as i64))
        }
        [Value::Double(_)] => Err(EvalError::new("integer overflow")),
        [Value::Duration(value)] => Ok(Value::Int(*value)),
        [Value::Timestamp(value)] => Ok(Value::Int(value.seconds)),
        [Value::String(value)] => match value.parse() {
            Ok(parsed) if digits(value) => Ok(Value::Int(parsed)),
            _ => failed("string", "int"),
        },
        _ => wrong(),
    }
}

fn uint<'a>(args: &[Value<'a>]) -> Out<'a> {
    let overflow = || EvalError::new("unsigned integer overflow");
    match args {
        [Value::Uint(value)] => Ok(Value::Uint(*value)),
        [Value::Int(value)] => u64::try_from(*value).map(Value::Uint).map_err(|_| overflow()),
        [Value::Double(value)] if *value >= 0.0 && *value < TWO_63 * 2.0 => Ok(Value::Uint(*value as u64)),
        [Value::Double(_)] => Err(overflow()),
        [Value::String(value)] => match value.parse() {
            Ok(parsed) if digits(value) && !value.starts_with('+') => Ok(Value::Uint(parsed)),
            _ => failed("string", "uint"),
        },
        _ => wrong(),
    }
}

/// The text of a value, as `string()` and `%s` have it.
pub(super) fn to_text(value: &Value<'_>) -> Result<String, EvalError> {
    Ok(match value {
        Value::String(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Bytes(value) => match std::str::from_utf8(value) {
            Ok(value) => value.to_owned(),
            Err(_) => return Err(EvalError::new("invalid UTF-8 in bytes, cannot convert to string")),
        },
        Value::Double(value) => shortest(*value),
        Value::Duration(value) => duration_text(*value),
        Value::Int(value) => value.to_string(),
        Value::Timestamp(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Type(value) => value.name().to_owned(),
        Value::Ip(value) => value.to_string(),
        Value::Cidr(ip, bits) => format!("{ip}/{bits}"),
        _ => return Err(EvalError::no_such_overload()),
    })
}

/// A double as Go's `%g` writes it: the fewest digits that read back, exponents below -4 and from 6 on.
fn shortest(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("exponents are numbers");
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

fn string<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(value)] => Ok(Value::String(value.clone())),
        [value] => to_text(value).map(text),
        _ => wrong(),
    }
}

fn timestamp<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Timestamp(value)] => Ok(Value::Timestamp(*value)),
        [Value::Int(value)] => match Timestamp::new(*value, 0) {
            Some(time) => Ok(Value::Timestamp(time)),
            None => Err(EvalError::new("timestamp overflow")),
        },
        [Value::String(value)] => match parse_timestamp(value) {
            Some(time) => Ok(Value::Timestamp(time)),
            None => failed("string", "google.protobuf.Timestamp"),
        },
        _ => wrong(),
    }
}

fn type_of<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [value] => Ok(Value::Type(value.runtime_type())),
        _ => wrong(),
    }
}

fn size<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [value @ (Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))] => {
            Ok(Value::Int(value.size().unwrap_or(0) as i64))
        }
        _ => wrong(),
    }
}
