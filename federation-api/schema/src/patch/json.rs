//! JSON patch (RFC 6902 over RFC 6901 pointers) with the bounds and the leniencies of kube-apiserver.
//! All or nothing: the caller's object is consumed and either patched completely or dropped.
//!
//! Leniencies that clients rely on: `replace` of an absent member adds it, an absent member tests and copies as null, a
//! missing value is null, negative list indices count from the end.
//!
//! Source: `gopkg.in/evanphx/json-patch.v4`, `k8s.io/apiserver/pkg/endpoints/handlers`.

use serde_json::Value;

use super::{MAX_DEPTH, PatchError};
use crate::field::quote::json_type;

/// Operations in one patch.
pub const MAX_OPERATIONS: usize = 10_000;
/// Bytes that all `copy` operations of one patch may add.
pub const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

/// One operation as the request says it; what is missing shows when it is run.
struct Operation {
    op: String,
    path: Option<String>,
    from: Option<String>,
    value: Value,
}

/// Applies a decoded JSON patch.
///
/// # Errors
/// `Malformed` for a wrong shape, `TooLarge` beyond the bounds, `Unprocessable` where an operation does not apply.
pub fn apply(mut object: Value, patch: Value) -> Result<Value, PatchError> {
    let list = match patch {
        Value::Array(list) => list,
        Value::Null => Vec::new(),
        other => return Err(mismatch(&other, "value of type []handlers.jsonPatchOp")),
    };
    let operations: Vec<Operation> = list.into_iter().map(read).collect::<Result<_, _>>()?;
    if operations.len() > MAX_OPERATIONS {
        let count = operations.len();
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}"
        )));
    }
    let mut copied = 0;
    for operation in operations {
        run(&mut object, operation, &mut copied)?;
    }
    Ok(object)
}

/// Members of operations that nobody knows, as strict decoding names them.
pub fn unknown_members(patch: &Value) -> Vec<String> {
    let items = patch.as_array().into_iter().flatten().enumerate();
    let unknown = items.flat_map(|(i, item)| {
        let keys = item.as_object().into_iter().flatten().map(|(key, _)| key);
        let strange = keys.filter(|key| !matches!(key.as_str(), "op" | "path" | "from" | "value"));
        strange.map(move |key| format!("json patch unknown field \"[{i}].{key}\"")).collect::<Vec<_>>()
    });
    unknown.collect()
}

fn read(item: Value) -> Result<Operation, PatchError> {
    let mut map = match item {
        Value::Object(map) => map,
        Value::Null => serde_json::Map::new(),
        other => return Err(mismatch(&other, "value of type handlers.jsonPatchOp")),
    };
    let mut text = |name: &str| match map.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(mismatch(&other, &format!("struct field jsonPatchOp.{name} of type string"))),
    };
    let (op, path, from) = (text("op")?, text("path")?, text("from")?);
    let value = map.remove("value").unwrap_or(Value::Null);
    Ok(Operation { op: op.unwrap_or_else(|| "unknown".to_owned()), path, from, value })
}

fn mismatch(found: &Value, wanted: &str) -> PatchError {
    let found = json_type(found);
    PatchError::Malformed(format!("error decoding patch: json: cannot unmarshal {found} into Go {wanted}"))
}

/// The unescaped reference tokens of a pointer; what stands before the first slash does not count.
fn pointer(text: &str) -> Vec<String> {
    text.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

fn run(object: &mut Value, operation: Operation, copied: &mut usize) -> Result<(), PatchError> {
    let Operation { op, path, from, value } = operation;
    let known = ["add", "remove", "replace", "move", "test", "copy"];
    if !known.contains(&op.as_str()) {
        return Err(failed(format!("Unexpected kind: {op}")));
    }
    let source = match (op.as_str(), from) {
        ("move" | "copy", None) => return Err(failed(format!("{op} operation failed to decode from: missing value"))),
        (_, from) => from.unwrap_or_else(String::new),
    };
    let Some(path) = path else {
        return Err(failed(format!("{op} operation failed to decode path: missing value")));
    };
    let tokens = pointer(&path);
    match op.as_str() {
        "add" => add(object, &tokens, &path, value, "add"),
        "remove" => remove(object, &tokens, &path, "remove").map(drop),
        "replace" => replace(object, &tokens, &path, value),
        "test" => test(object, &tokens, &path, &value),
        "move" => {
            let moved = remove(object, &pointer(&source), &source, "move")?;
            add(object, &tokens, &path, moved, "move")
        }
        _ => {
            let copy = copied_value(object, &pointer(&source), &source)?;
            *copied += copy.to_string().len();
            if *copied > MAX_COPIED_BYTES {
                return Err(failed(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {MAX_COPIED_BYTES}"
                )));
            }
            add(object, &tokens, &path, copy, "copy")
        }
    }
}

/// What a copy copies: null where an object does not have the member.
fn copied_value(object: &mut Value, tokens: &[String], from: &str) -> Result<Value, PatchError> {
    let Some((last, parents)) = tokens.split_last() else { return Err(missing("copy", "from path", from)) };
    match parent(object, parents) {
        Some(Value::Object(map)) => Ok(map.get(last).cloned().unwrap_or(Value::Null)),
        Some(Value::Array(list)) => match index(last, list.len(), list.len()) {
            Some(at) => Ok(list[at].clone()),
            None => Err(failed(format!("error in copy for from: '{from}': invalid index referenced"))),
        },
        _ => Err(missing("copy", "from path", from)),
    }
}

fn add(object: &mut Value, tokens: &[String], path: &str, value: Value, op: &str) -> Result<(), PatchError> {
    check_depth(tokens, &value, path)?;
    let Some((last, parents)) = tokens.split_last() else { return Err(missing(op, "path", path)) };
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
    let Some((last, parents)) = tokens.split_last() else { return Err(missing(op, "path", path)) };
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
        if path.is_empty() && (value.is_object() || value.is_array()) {
            *object = value;
            return Ok(());
        }
        return Err(failed("replace operation value must be object or array".to_owned()));
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
        None if path.is_empty() => Some(&*object),
        None => return Err(missing("test", "path", path)),
        Some((last, parents)) => match parent(object, parents) {
            Some(Value::Object(map)) => Some(map.get(last).unwrap_or(&Value::Null)),
            Some(Value::Array(list)) => index(last, list.len(), list.len()).map(|at| &list[at]),
            _ => return Err(missing("test", "path", path)),
        },
    };
    match found {
        Some(found) if found == value => Ok(()),
        _ => Err(failed(format!("testing value {path} failed: test failed"))),
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

/// A list index below `end`; negative ones count from `end`.
fn index(token: &str, len: usize, end: usize) -> Option<usize> {
    let number: i64 = token.parse().ok()?;
    let at = match usize::try_from(number) {
        Ok(at) => at,
        Err(_) => end.checked_sub(usize::try_from(number.unsigned_abs()).ok()?)?,
    };
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

fn failed(text: String) -> PatchError {
    PatchError::Unprocessable(text)
}

#[cfg(test)]
mod tests;
