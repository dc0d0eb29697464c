//! Merging one list of a strategic merge patch: by key or as a set of scalars, with the per-item directives.

use std::collections::HashMap;

use serde_json::Value;

use super::order::normalize;
use super::{DIRECTIVE, FieldSchema, Object, discard_nulls, merge_map, no_merge_key, unknown_directive};
use crate::field::quote::go_value;
use crate::patch::PatchError;

/// What the items of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemKind {
    Map,
    Scalar,
}

/// The type that all items of both lists share; `None` if there are no items.
///
/// # Errors
/// Lists of lists and mixed types.
pub(super) fn item_kind(lists: [&[Value]; 2]) -> Result<Option<ItemKind>, PatchError> {
    let mut found: Option<u8> = None;
    for item in lists.iter().flat_map(|list| list.iter()) {
        let ty = match item {
            Value::Array(_) => return Err(PatchError::Unprocessable("lists of lists are not supported".to_owned())),
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Number(number) if number.is_f64() => 2,
            Value::Number(_) => 3,
            Value::String(_) => 4,
            Value::Object(_) => 5,
        };
        if *found.get_or_insert(ty) != ty {
            let shown: Vec<String> = lists.iter().map(|list| go_value(&Value::Array(list.to_vec()))).collect();
            let text = format!("list element types are not identical: [{}]", shown.join(" "));
            return Err(PatchError::Schema(text));
        }
    }
    Ok(found.map(|ty| if ty == 5 { ItemKind::Map } else { ItemKind::Scalar }))
}

/// Merges `patch` into `original` and orders the result.
pub(super) fn merge_list(
    original: Vec<Value>,
    patch: Vec<Value>,
    field: &FieldSchema<'_>,
) -> Result<Vec<Value>, PatchError> {
    let Some(kind) = item_kind([&original, &patch])? else {
        return Ok(original);
    };
    let key = field.key();
    if kind == ItemKind::Scalar {
        let merged = union(&original, &patch);
        return normalize(merged, &patch, &original, "");
    }
    if key.is_empty() {
        let name = field.schema.item().name();
        return Err(PatchError::Schema(format!("cannot merge lists without merge key for {name}")));
    }
    let (original, patch) = apply_item_directives(original, patch, key)?;
    let before: Vec<Value> = original.iter().map(|item| key_only(item, key)).collect();
    let order: Vec<Value> = patch.iter().map(|item| key_only(item, key)).collect();
    let merged = merge_by_key(original, patch, field)?;
    normalize(merged, &order, &before, key)
}

/// Both lists' scalars, each once.
fn union(original: &[Value], patch: &[Value]) -> Vec<Value> {
    let mut seen = std::collections::HashSet::new();
    original.iter().chain(patch).filter(|item| seen.insert(*item)).cloned().collect()
}

/// `{key: value}`: all that ordering needs to know of an item.
fn key_only(item: &Value, key: &str) -> Value {
    let mut map = Object::new();
    if let Some(value) = item.get(key) {
        map.insert(key.to_owned(), value.clone());
    }
    Value::Object(map)
}

/// `$patch: delete` removes items, `$patch: replace` clears the list.
fn apply_item_directives(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut deleted = std::collections::HashSet::new();
    let mut replace = false;
    for item in patch {
        let Value::Object(map) = item else { continue };
        match map.get(DIRECTIVE) {
            None => plain.push(Value::Object(map)),
            Some(directive) => match directive.as_str() {
                Some("delete") => {
                    deleted.insert(map.get(key).ok_or_else(|| no_merge_key(&map, key))?.clone());
                }
                Some("replace") => replace = true,
                Some("merge") => {
                    return Err(PatchError::Schema("merging lists cannot yet be specified in the patch".to_owned()));
                }
                _ => return Err(unknown_directive(directive, &map)),
            },
        }
    }
    if replace {
        return Ok((plain, Vec::new()));
    }
    if !deleted.is_empty() {
        original.retain(|item| !item.get(key).is_some_and(|value| deleted.contains(value)));
    }
    Ok((original, plain))
}

/// Each item of the patch goes into the first item with its key, or to the end.
fn merge_by_key(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    field: &FieldSchema<'_>,
) -> Result<Vec<Value>, PatchError> {
    let key = field.key();
    let mut places: HashMap<Value, usize> = HashMap::with_capacity(original.len() + patch.len());
    for (i, item) in original.iter().enumerate() {
        if let Some(value) = item.get(key) {
            places.entry(value.clone()).or_insert(i);
        }
    }
    for item in patch {
        let Value::Object(new) = item else { continue };
        let value = new.get(key).ok_or_else(|| no_merge_key(&new, key))?.clone();
        match places.get(&value) {
            Some(&place) => {
                if let Value::Object(old) = std::mem::take(&mut original[place]) {
                    original[place] = Value::Object(merge_map(old, new, field.schema.item())?);
                }
            }
            None => {
                places.insert(value, original.len());
                let mut new = Value::Object(new);
                discard_nulls(&mut new);
                original.push(new);
            }
        }
    }
    Ok(original)
}
