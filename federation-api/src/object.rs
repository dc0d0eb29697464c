//! Reading and writing the metadata of an object that is a JSON tree.
//!
//! Knows `metav1.ObjectMeta` and nothing of any kind.

use serde_json::{Map, Value};

/// The text at `metadata.<field>`; empty where it is absent.
#[must_use]
pub fn meta_text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get("metadata").and_then(|meta| meta.get(field)).and_then(Value::as_str).unwrap_or("")
}

/// `metadata.name`.
#[must_use]
pub fn name(object: &Value) -> &str {
    meta_text(object, "name")
}

/// `metadata.namespace`.
#[must_use]
pub fn namespace(object: &Value) -> &str {
    meta_text(object, "namespace")
}

/// `metadata.uid`.
#[must_use]
pub fn uid(object: &Value) -> &str {
    meta_text(object, "uid")
}

/// `metadata.generation`; 0 where it is absent.
#[must_use]
pub fn generation(object: &Value) -> i64 {
    object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0)
}

/// Whether `metadata.deletionTimestamp` is set.
#[must_use]
pub fn is_deleting(object: &Value) -> bool {
    !meta_text(object, "deletionTimestamp").is_empty()
}

/// `metadata.finalizers`.
#[must_use]
pub fn finalizers(object: &Value) -> Vec<String> {
    let list = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|f| f.as_str().map(str::to_owned)).collect()
}

/// The metadata, made where it is absent.
///
/// # Panics
/// Where the object or its metadata is no JSON object: decoding has refused that.
pub fn meta_mut(object: &mut Value) -> &mut Map<String, Value> {
    let map = object.as_object_mut().expect("decoded objects are JSON objects");
    let meta = map.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if meta.is_null() {
        *meta = Value::Object(Map::new());
    }
    meta.as_object_mut().expect("decoded metadata is a JSON object")
}

/// Sets a field of the metadata, or removes it where `value` is empty.
pub fn set_meta(object: &mut Value, field: &str, value: impl Into<Value>) {
    let value = value.into();
    let empty = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    let meta = meta_mut(object);
    if empty {
        meta.remove(field);
    } else {
        meta.insert(field.to_owned(), value);
    }
}

/// Copies a field of the metadata from another object, its absence included.
pub fn copy_meta(to: &mut Value, from: &Value, field: &str) {
    let value = from.get("metadata").and_then(|meta| meta.get(field)).cloned();
    set_meta(to, field, value.unwrap_or(Value::Null));
}

/// An annotation's text.
#[must_use]
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(key)?.as_str()
}

/// Sets an annotation, or removes it.
pub fn set_annotation(object: &mut Value, key: &str, value: Option<&str>) {
    set_entry(object, "annotations", key, value);
}

/// Sets a label, or removes it.
pub fn set_label(object: &mut Value, key: &str, value: Option<&str>) {
    set_entry(object, "labels", key, value);
}

fn set_entry(object: &mut Value, map: &str, key: &str, value: Option<&str>) {
    let meta = meta_mut(object);
    match value {
        Some(value) => {
            let entries = meta.entry(map).or_insert_with(|| Value::Object(Map::new()));
            if !entries.is_object() {
                *entries = Value::Object(Map::new());
            }
            if let Some(entries) = entries.as_object_mut() {
                entries.insert(key.to_owned(), Value::from(value));
            }
        }
        None => {
            let emptied = meta.get_mut(map).and_then(Value::as_object_mut).is_some_and(|entries| {
                entries.remove(key);
                entries.is_empty()
            });
            if emptied {
                meta.remove(map);
            }
        }
    }
}

/// Whether the objects differ in anything but their type, metadata and status.
#[must_use]
pub fn spec_differs(a: &Value, b: &Value) -> bool {
    differs(a, b, &["apiVersion", "kind", "metadata", "status"])
}

/// Whether the objects differ in a top-level field that is not among `ignored`.
#[must_use]
pub fn differs(a: &Value, b: &Value, ignored: &[&str]) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a != b };
    let counts = |key: &&String| !ignored.contains(&key.as_str());
    a.keys().filter(counts).any(|key| a.get(key) != b.get(key))
        || b.keys().filter(counts).any(|key| !a.contains_key(key))
}
