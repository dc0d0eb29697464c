//! Functions on strings.

use super::super::value::{EvalError, List, Value};
use super::{Row, lists, text, text_format, wrong};

pub(super) const TABLE: &[Row] = &[
    ("contains", contains),
    ("startsWith", starts_with),
    ("endsWith", ends_with),
    ("charAt", char_at),
    ("indexOf", index_of),
    ("lastIndexOf", last_index_of),
    ("lowerAscii", lower),
    ("upperAscii", upper),
    ("trim", trim),
    ("replace", replace),
    ("split", split),
    ("substring", substring),
    ("join", join),
    ("format", format),
    ("strings.quote", quote),
    ("jsonpatch.escapeKey", escape_key),
];

type Out<'a> = Result<Value<'a>, EvalError>;

fn out_of_range<'a>(index: i64) -> Out<'a> {
    Err(EvalError::new(format!("index out of range: {index}")))
}

fn contains<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(a), Value::String(b)] => Ok(Value::Bool(a.contains(&**b))),
        _ => wrong(),
    }
}

fn starts_with<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(a), Value::String(b)] => Ok(Value::Bool(a.starts_with(&**b))),
        _ => wrong(),
    }
}

fn ends_with<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(a), Value::String(b)] => Ok(Value::Bool(a.ends_with(&**b))),
        _ => wrong(),
    }
}

fn char_at<'a>(args: &[Value<'a>]) -> Out<'a> {
    let [Value::String(own), Value::Int(index)] = args else { return wrong() };
    let Ok(at) = usize::try_from(*index) else { return out_of_range(*index) };
    match own.chars().nth(at) {
        Some(c) => Ok(text(c)),
        None if at == own.chars().count() => Ok(text("")),
        None => out_of_range(*index),
    }
}

fn index_of<'a>(args: &[Value<'a>]) -> Out<'a> {
    let (own, wanted, offset) = match args {
        [Value::List(list), wanted] => return lists::index_of(list, wanted),
        [Value::String(own), Value::String(wanted)] => (own, wanted, 0),
        [Value::String(own), Value::String(wanted), Value::Int(offset)] => (own, wanted, *offset),
        _ => return wrong(),
    };
    let Ok(start) = usize::try_from(offset) else { return out_of_range(offset) };
    let length = own.chars().count();
    if wanted.is_empty() {
        return Ok(Value::Int(start.min(length) as i64));
    }
    let found = own.char_indices().nth(start).and_then(|(byte, _)| {
        let at = own[byte..].find(&**wanted)?;
        Some(own[..byte + at].chars().count() as i64)
    });
    Ok(Value::Int(found.unwrap_or(-1)))
}

fn last_index_of<'a>(args: &[Value<'a>]) -> Out<'a> {
    let (own, wanted, offset) = match args {
        [Value::List(list), wanted] => return lists::last_index_of(list, wanted),
        [Value::String(own), Value::String(wanted)] => (own, wanted, None),
        [Value::String(own), Value::String(wanted), Value::Int(offset)] => (own, wanted, Some(*offset)),
        _ => return wrong(),
    };
    let length = own.chars().count();
    let last = match offset {
        Some(offset) if offset < 0 => return out_of_range(offset),
        Some(offset) if wanted.is_empty() => return Ok(Value::Int(offset.min(length as i64))),
        Some(offset) if offset as usize >= length => return Ok(Value::Int(-1)),
        Some(offset) => offset as usize,
        None if wanted.is_empty() => return Ok(Value::Int(length as i64)),
        None => length,
    };
    // A match may start at `last` at the latest.
    let starts: Vec<usize> = own.char_indices().map(|(byte, _)| byte).take(last.saturating_add(1)).collect();
    let found = starts.iter().rposition(|byte| own[*byte..].starts_with(&**wanted));
    Ok(Value::Int(found.map_or(-1, |at| at as i64)))
}

fn lower<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(own)] => Ok(text(own.to_ascii_lowercase())),
        _ => wrong(),
    }
}

fn upper<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(own)] => Ok(text(own.to_ascii_uppercase())),
        _ => wrong(),
    }
}

fn trim<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(own)] => Ok(text(own.trim())),
        _ => wrong(),
    }
}

fn replace<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(own), Value::String(old), Value::String(new)] => Ok(text(own.replace(&**old, new))),
        [Value::String(own), Value::String(old), Value::String(new), Value::Int(times)] => {
            match usize::try_from(*times) {
                Ok(times) => Ok(text(own.replacen(&**old, new, times))),
                Err(_) => Ok(text(own.replace(&**old, new))),
            }
        }
        _ => wrong(),
    }
}

fn split<'a>(args: &[Value<'a>]) -> Out<'a> {
    let (own, separator, most) = match args {
        [Value::String(own), Value::String(separator)] => (own, separator, -1),
        [Value::String(own), Value::String(separator), Value::Int(most)] => (own, separator, *most),
        _ => return wrong(),
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    if most == 0 {
        return Ok(Value::list(Vec::new()));
    }
    if separator.is_empty() {
        let mut parts: Vec<Value<'_>> = Vec::new();
        for (byte, c) in own.char_indices() {
            if parts.len() + 1 == most {
                parts.push(text(&own[byte..]));
                break;
            }
            parts.push(text(c));
        }
        return Ok(Value::list(parts));
    }
    Ok(Value::list(own.splitn(most, &**separator).map(text).collect()))
}

fn substring<'a>(args: &[Value<'a>]) -> Out<'a> {
    let (own, start, end) = match args {
        [Value::String(own), Value::Int(start)] => (own, *start, None),
        [Value::String(own), Value::Int(start), Value::Int(end)] => (own, *start, Some(*end)),
        _ => return wrong(),
    };
    let length = own.chars().count() as i64;
    if let Some(end) = end.filter(|end| start > *end) {
        return Err(EvalError::new(format!("invalid substring range. start: {start}, end: {end}")));
    }
    let end = end.unwrap_or(length);
    if let Some(bad) = [start, end].into_iter().find(|index| *index < 0 || *index > length) {
        return out_of_range(bad);
    }
    Ok(text(own.chars().skip(start as usize).take((end - start) as usize).collect::<String>()))
}

fn join<'a>(args: &[Value<'a>]) -> Out<'a> {
    let (list, separator) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(separator)] => (list, &**separator),
        _ => return wrong(),
    };
    let mut out = String::new();
    for (at, item) in list.iter().enumerate() {
        if at > 0 {
            out.push_str(separator);
        }
        match item? {
            Value::String(part) => out.push_str(&part),
            other => return Err(EvalError::new(format!("join: invalid input: {}", other.runtime_type()))),
        }
    }
    Ok(text(out))
}

fn format<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(own), Value::List(list)] => text_format::format(own, &list_values(list)?).map(text),
        _ => wrong(),
    }
}

fn list_values<'a>(list: &List<'a>) -> Result<Vec<Value<'a>>, EvalError> {
    list.values()
}

fn quote<'a>(args: &[Value<'a>]) -> Out<'a> {
    let [Value::String(own)] = args else { return wrong() };
    let mut out = String::with_capacity(own.len() + 2);
    out.push('"');
    for c in own.chars() {
        match c {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(text(out))
}

fn escape_key<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(own)] => Ok(text(own.replace('~', "~0").replace('/', "~1"))),
        _ => wrong(),
    }
}
