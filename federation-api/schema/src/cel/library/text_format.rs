//! `'%s has %d'.format([…])`.

use std::fmt::Write as _;

use super::super::value::{EvalError, Value};
use super::convert::to_text;

/// Decimals that are written if the format does not say.
const DEFAULT_PRECISION: usize = 6;
/// More decimals than any double has.
const MAX_PRECISION: usize = 1100;

fn failed(message: impl Into<String>) -> EvalError {
    EvalError::new(message)
}

/// A text with its clauses replaced by the arguments, in order.
pub(super) fn format(pattern: &str, args: &[Value<'_>]) -> Result<String, EvalError> {
    let mut out = String::with_capacity(pattern.len());
    let (mut rest, mut next) = (pattern, 0);
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('%') {
            out.push('%');
            rest = tail;
            continue;
        }
        let arg = args.get(next).ok_or_else(|| failed(format!("index {next} out of range")))?;
        if rest.is_empty() {
            return Err(failed("unexpected end of string"));
        }
        let (precision, tail) = precision(rest)?;
        let verb = tail
            .chars()
            .next()
            .ok_or_else(|| failed("could not parse formatting clause: could not find end of precision specifier"))?;
        rest = &tail[verb.len_utf8()..];
        let text = clause(verb, precision, arg);
        out.push_str(&text.map_err(|error| failed(format!("error during formatting: {error}")))?);
        next += 1;
    }
    out.push_str(rest);
    Ok(out)
}

fn precision(text: &str) -> Result<(usize, &str), EvalError> {
    let Some(tail) = text.strip_prefix('.') else { return Ok((DEFAULT_PRECISION, text)) };
    let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
    match tail[..digits].parse::<usize>() {
        Ok(precision) if precision <= MAX_PRECISION => Ok((precision, &tail[digits..])),
        Ok(precision) => Err(failed(format!(
            "could not parse formatting clause: error while parsing precision: precision {precision} exceeds maximum \
             allowed precision {MAX_PRECISION}"
        ))),
        Err(error) => Err(failed(format!(
            "could not parse formatting clause: error while parsing precision: error while converting precision to \
             integer: {error}"
        ))),
    }
}

fn clause(verb: char, precision: usize, arg: &Value<'_>) -> Result<String, EvalError> {
    let wrong = |wanted: &str, verb: &str| {
        let ty = arg.runtime_type();
        let what =
            if wanted.is_empty() { verb.to_owned() } else { format!("{verb} clause can only be used on {wanted}") };
        Err(failed(format!("{what}, was given {}", ty.name())))
    };
    match verb {
        's' => shown(arg),
        'd' => match arg {
            Value::Int(value) => Ok(value.to_string()),
            Value::Uint(value) => Ok(value.to_string()),
            _ => wrong("integers", "decimal"),
        },
        'f' => match double(arg) {
            Some(value) => Ok(special(value).map_or_else(|| grouped(&format!("{value:.precision$}")), str::to_owned)),
            None => wrong("doubles", "fixed-point"),
        },
        'e' => match double(arg) {
            Some(value) => Ok(special(value).map_or_else(|| scientific(value, precision), str::to_owned)),
            None => wrong("doubles", "scientific"),
        },
        'b' => match arg {
            Value::Int(value) if *value < 0 => Ok(format!("-{:b}", value.unsigned_abs())),
            Value::Int(value) => Ok(format!("{value:b}")),
            Value::Uint(value) => Ok(format!("{value:b}")),
            Value::Bool(value) => Ok(u8::from(*value).to_string()),
            _ => wrong("", "only integers and bools can be formatted as binary"),
        },
        'x' | 'X' => match hex(arg) {
            Some(text) if verb == 'X' => Ok(text.to_uppercase()),
            Some(text) => Ok(text),
            None => wrong("", "only integers, byte buffers, and strings can be formatted as hex"),
        },
        'o' => match arg {
            Value::Int(value) if *value < 0 => Ok(format!("-{:o}", value.unsigned_abs())),
            Value::Int(value) => Ok(format!("{value:o}")),
            Value::Uint(value) => Ok(format!("{value:o}")),
            _ => wrong("integers", "octal"),
        },
        other => Err(failed(format!("unrecognized formatting clause \"{other}\""))),
    }
}

fn double(arg: &Value<'_>) -> Option<f64> {
    match arg {
        Value::Double(value) => Some(*value),
        Value::String(text) => match &**text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn special(value: f64) -> Option<&'static str> {
    match value {
        value if value.is_nan() => Some("NaN"),
        value if value == f64::INFINITY => Some("∞"),
        value if value == f64::NEG_INFINITY => Some("-∞"),
        _ => None,
    }
}

/// Thousands are separated by commas, as in English.
fn grouped(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let mut out = String::from(sign);
    for (at, c) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(c);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// As English writes it: `1.05×10⁰³` with the exponent in superscript digits.
fn scientific(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').expect("the format has an exponent");
    let (sign, digits) = exponent.strip_prefix('-').map_or(("", exponent), |digits| ("⁻", digits));
    let raised: String = format!("{digits:0>2}")
        .chars()
        .map(|c| match c {
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            c => char::from_u32(0x2070 + c.to_digit(10).unwrap_or(0)).unwrap_or(c),
        })
        .collect();
    format!("{mantissa}×10{sign}{raised}")
}

fn hex(arg: &Value<'_>) -> Option<String> {
    let of_bytes = |bytes: &[u8]| {
        let mut out = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            write!(out, "{byte:02x}").expect("writing to a string does not fail");
        }
        out
    };
    match arg {
        Value::Int(value) if *value < 0 => Some(format!("-{:x}", value.unsigned_abs())),
        Value::Int(value) => Some(format!("{value:x}")),
        Value::Uint(value) => Some(format!("{value:x}")),
        Value::String(text) => Some(of_bytes(text.as_bytes())),
        Value::Bytes(bytes) => Some(of_bytes(bytes)),
        _ => None,
    }
}

fn shown(arg: &Value<'_>) -> Result<String, EvalError> {
    match arg {
        Value::Null => Ok("null".to_owned()),
        Value::List(list) => {
            let parts: Result<Vec<String>, EvalError> = list.iter().map(|item| inner(&item?)).collect();
            Ok(format!("[{}]", parts?.join(", ")))
        }
        Value::Map(map) => {
            let mut parts = Vec::new();
            for (key, value) in map.entries()? {
                parts.push((inner(&key.value())?, inner(&value)?));
            }
            parts.sort();
            let parts: Vec<String> = parts.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
            Ok(format!("{{{}}}", parts.join(", ")))
        }
        Value::Ip(_) | Value::Cidr(..) => Err(unformattable(arg)),
        other => to_text(other).map_err(|_| unformattable(other)),
    }
}

fn unformattable(arg: &Value<'_>) -> EvalError {
    failed(format!(
        "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and \
         timestamps, was given {}",
        arg.runtime_type().name()
    ))
}

/// A value inside of a list or map, as a literal.
fn inner(arg: &Value<'_>) -> Result<String, EvalError> {
    match arg {
        Value::String(text) => Ok(format!("{:?}", &**text)),
        Value::Bytes(_) => Ok(format!("b{:?}", to_text(arg)?)),
        Value::Timestamp(time) => Ok(format!("timestamp(\"{time}\")")),
        Value::Duration(_) => Ok(format!("duration(\"{}\")", to_text(arg)?)),
        Value::Double(value) if value.is_nan() => Ok("\"NaN\"".to_owned()),
        Value::Double(value) if value.is_infinite() => {
            Ok(if *value > 0.0 { "\"+Inf\"" } else { "\"-Inf\"" }.to_owned())
        }
        Value::Double(value) => Ok(format!("{value:.DEFAULT_PRECISION$}")),
        other => shown(other),
    }
}
