//! JSON patch (RFC 6902 over RFC 6901 pointers) with the bounds and the leniencies of kube-apiserver.
//! All or nothing: the caller's object is consumed and either patched completely or dropped.
//!
//! Leniencies that clients rely on: `replace` of an absent member adds it, `test` of an absent member equals null,
//! negative list indices count from the end.

use serde::Deserialize;
use serde_json::Value;

use super::{MAX_DEPTH, PatchError};

/// Operations in one patch.
pub const MAX_OPERATIONS: usize = 10_000;
/// Bytes that all `copy` operations of one patch may add.
pub const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation {
    op: Kind,
    path: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Add,
    Remove,
    Replace,
    Move,
    Copy,
    Test,
}

/// Tells `"value": null` from no value at all.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Applies a decoded JSON patch.
///
/// # Errors
/// `Malformed` for a wrong shape, `TooLarge` beyond the bounds, `Unprocessable` where an operation does not apply.
pub fn apply(mut object: Value, patch: Value) -> Result<Value, PatchError> {
    let Value::Array(list) = patch else {
        return Err(malformed("error decoding patch: a JSON patch is an array of operations"));
    };
    if list.len() > MAX_OPERATIONS {
        let count = list.len();
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}"
        )));
    }
    let mut operations = Vec::with_capacity(list.len());
    for (i, item) in list.into_iter().enumerate() {
        let operation: Operation = serde_json::from_value(item)
            .map_err(|e| malformed(&format!("error decoding patch: operation {i}: {e}")))?;
        check(&operation).map_err(|e| malformed(&format!("error decoding patch: operation {i}: {e}")))?;
        operations.push(operation);
    }
    let mut copied = 0;
    for operation in operations {
        run(&mut object, operation, &mut copied)?;
    }
    Ok(object)
}

fn check(operation: &Operation) -> Result<(), String> {
    pointer(&operation.path)?;
    match operation.op {
        Kind::Add | Kind::Replace | Kind::Test if operation.value.is_none() => Err("missing value".to_owned()),
        Kind::Move | Kind::Copy => match &operation.from {
            None => Err("missing from".to_owned()),
            Some(from) => pointer(from).map(|_| ()),
        },
        _ => Ok(()),
    }
}

/// The unescaped reference tokens of a pointer.
fn pointer(text: &str) -> Result<Vec<String>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let rest = text.strip_prefix('/').ok_or_else(|| format!("path {text:?} does not start with \"/\""))?;
    rest.split('/').map(|token| unescape(token).ok_or_else(|| format!("path {text:?} has a bad escape"))).collect()
}

fn unescape(token: &str) -> Option<String> {
    let mut out = String::with_capacity(token.len());
    let mut chars = token.chars();
    while let Some(c) = chars.next() {
        match c {
            '~' => out.push(match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            }),
            c => out.push(c),
        }
    }
    Some(out)
}

fn run(object: &mut Value, operation: Operation, copied: &mut usize) -> Result<(), PatchError> {
    let Operation { op, path, from, value } = operation;
    let tokens = pointer(&path).map_err(|e| malformed(&e))?;
    let value = value.unwrap_or(Value::Null);
    match op {
        Kind::Add => add(object, &tokens, &path, value, "add"),
        Kind::Remove => remove(object, &tokens, &path, "remove").map(drop),
        Kind::Replace => replace(object, &tokens, &path, value),
        Kind::Test => test(object, &tokens, &path, &value),
        Kind::Move => {
            let from = from.unwrap_or_else(String::new);
            let source = pointer(&from).map_err(|e| malformed(&e))?;
            if tokens.len() > source.len() && tokens.starts_with(&source) {
                return Err(failed(format!("move operation does not apply: {path:?} is inside {from:?}")));
            }
            let moved = remove(object, &source, &from, "move")?;
            add(object, &tokens, &path, moved, "move")
        }
        Kind::Copy => {
            let from = from.unwrap_or_else(String::new);
            let source = pointer(&from).map_err(|e| malformed(&e))?;
            let copy = source.iter().try_fold(&*object, |at, token| get(at, token));
            let Some(copy) = copy else {
                return Err(missing("copy", "from path", &from));
            };
            *copied += copy.to_string().len();
            if *copied > MAX_COPIED_BYTES {
                return Err(failed(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {MAX_COPIED_BYTES}"
                )));
            }
            let copy = copy.clone();
            add(object, &tokens, &path, copy, "copy")
        }
    }
}

fn add(object: &mut Value, tokens: &[String], path: &str, value: Value, op: &str) -> Result<(), PatchError> {
    check_depth(tokens, &value, path)?;
    let Some((last, parents)) = tokens.split_last() else {
        return set_root(object, value, op);
    };
    match parent(object, parents) {
        Some(Value::Object(map)) => {
            map.insert(last.clone(), value);
            Ok(())
        }
        Some(Value::Array(list)) if last == "-" => {
            list.push(value);
            Ok(())
        }
        Some(Value::Array(list)) => {
            let at = index(last, list.len(), list.len() + 1).ok_or_else(|| {
                failed(format!("error in {op} for path: '{path}': Unable to access invalid index: {last}"))
            })?;
            list.insert(at, value);
            Ok(())
        }
        _ => Err(missing(op, "path", path)),
    }
}

fn remove(object: &mut Value, tokens: &[String], path: &str, op: &str) -> Result<Value, PatchError> {
    let Some((last, parents)) = tokens.split_last() else {
        return Err(failed(format!("{op} operation does not apply: the whole object cannot be removed")));
    };
    match parent(object, parents) {
        Some(Value::Object(map)) => map.remove(last).ok_or_else(|| {
            failed(format!("error in {op} for path: '{path}': Unable to remove nonexistent key: {last}: missing value"))
        }),
        Some(Value::Array(list)) => {
            let at = index(last, list.len(), list.len()).ok_or_else(|| {
                failed(format!("error in {op} for path: '{path}': Unable to access invalid index: {last}"))
            })?;
            Ok(list.remove(at))
        }
        _ => Err(missing(op, "path", path)),
    }
}

fn replace(object: &mut Value, tokens: &[String], path: &str, value: Value) -> Result<(), PatchError> {
    check_depth(tokens, &value, path)?;
    let Some((last, parents)) = tokens.split_last() else {
        return set_root(object, value, "replace");
    };
    match parent(object, parents) {
        Some(Value::Object(map)) => {
            map.insert(last.clone(), value);
            Ok(())
        }
        Some(Value::Array(list)) => match index(last, list.len(), list.len()) {
            Some(at) => {
                list[at] = value;
                Ok(())
            }
            None => Err(failed(format!("replace operation does not apply: doc is missing key: {path}: missing value"))),
        },
        _ => Err(missing("replace", "path", path)),
    }
}

fn test(object: &mut Value, tokens: &[String], path: &str, value: &Value) -> Result<(), PatchError> {
    let found = match tokens.split_last() {
        None => Some(&*object),
        Some((last, parents)) => match parent(object, parents) {
            Some(Value::Object(map)) => Some(map.get(last).unwrap_or(&Value::Null)),
            Some(Value::Array(list)) => index(last, list.len(), list.len()).map(|at| &list[at]),
            _ => return Err(missing("test", "path", path)),
        },
    };
    match found {
        Some(found) if equal(found, value) => Ok(()),
        _ => Err(failed(format!("testing value {path} failed: test failed"))),
    }
}

fn set_root(object: &mut Value, value: Value, op: &str) -> Result<(), PatchError> {
    if !value.is_object() {
        return Err(failed(format!("{op} operation value must be object")));
    }
    *object = value;
    Ok(())
}

/// Numbers are equal by value, so `1` equals `1.0`; everything else as JSON says.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64() && (x.is_f64() || y.is_f64()),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| equal(v, w)))
        }
        _ => a == b,
    }
}

fn parent<'v>(object: &'v mut Value, tokens: &[String]) -> Option<&'v mut Value> {
    tokens.iter().try_fold(object, |at, token| match at {
        Value::Object(map) => map.get_mut(token),
        Value::Array(list) => {
            let place = index(token, list.len(), list.len())?;
            list.get_mut(place)
        }
        _ => None,
    })
}

fn get<'v>(at: &'v Value, token: &str) -> Option<&'v Value> {
    match at {
        Value::Object(map) => map.get(token),
        Value::Array(list) => list.get(index(token, list.len(), list.len())?),
        _ => None,
    }
}

/// A list index below `end`; negative ones count from `end`. Leading zeros are no index.
fn index(token: &str, len: usize, end: usize) -> Option<usize> {
    let digits = token.strip_prefix('-').unwrap_or(token);
    if digits.is_empty() || digits.len() > 1 && digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: usize = digits.parse().ok()?;
    let at = if token.starts_with('-') { end.checked_sub(number)? } else { number };
    (at < end && at <= len).then_some(at)
}

fn check_depth(tokens: &[String], value: &Value, path: &str) -> Result<(), PatchError> {
    if fits(value, MAX_DEPTH.saturating_sub(tokens.len())) {
        return Ok(());
    }
    Err(failed(format!("the value for path {path:?} nests deeper than {MAX_DEPTH} levels")))
}

fn fits(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(list) => levels > 0 && list.iter().all(|v| fits(v, levels - 1)),
        Value::Object(map) => levels > 0 && map.values().all(|v| fits(v, levels - 1)),
        _ => true,
    }
}

fn missing(op: &str, what: &str, path: &str) -> PatchError {
    failed(format!("{op} operation does not apply: doc is missing {what}: {path:?}: missing value"))
}

fn malformed(text: &str) -> PatchError {
    PatchError::Malformed(text.to_owned())
}

fn failed(text: String) -> PatchError {
    PatchError::Unprocessable(text)
}

#[cfg(test)]
mod tests;
