//! Lists of type `set` and `map` hold no item twice.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/listtype`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::Schema;
use crate::field::{FieldError, FieldPath};

/// Every item that stands in its list for the second time.
pub fn validate(schema: &Schema, object: &Value, path: &FieldPath<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(schema, object, path, &mut errors);
    errors
}

fn walk(schema: &Schema, value: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    match value {
        Value::Array(items) => {
            match schema.list_type() {
                "set" => set(items, items, path, errors),
                "map" => keyed(schema, items, path, errors),
                _ => {}
            }
            let Some(item) = schema.item() else { return };
            for (at, value) in items.iter().enumerate() {
                walk(item, value, &path.index(at), errors);
            }
        }
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(schema) = schema.properties.get(name.as_str()) {
                    walk(schema, value, &path.child(name), errors);
                } else if let Some(schema) = schema.map_value() {
                    walk(schema, value, &path.key(name), errors);
                }
            }
        }
        _ => {}
    }
}

/// Complains about the first repetition of each of `keys`, showing what is in `shown` at its place.
fn set(keys: &[Value], shown: &[Value], path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(keys.len());
    for (at, key) in keys.iter().enumerate() {
        let times = seen.entry(key.to_string()).or_insert(0);
        *times += 1;
        if *times == 2 {
            errors.push(FieldError::duplicate(&path.index(at), shown[at].clone()));
        }
    }
}

fn keyed(schema: &Schema, items: &[Value], path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if let Some(at) = items.iter().position(|item| !item.is_object() && !item.is_null()) {
        let detail = "must be an object for an array of list-type map";
        errors.push(FieldError::invalid(&path.index(at), items[at].clone(), detail));
        return;
    }
    let keys = items.iter().map(|item| {
        let mut key = Map::new();
        for name in &schema.list_keys {
            if let Some(value) = item.get(&**name) {
                key.insert(name.to_string(), value.clone());
            }
        }
        Value::Object(key)
    });
    let keys: Vec<Value> = keys.collect();
    set(&keys, &keys, path, errors);
}
