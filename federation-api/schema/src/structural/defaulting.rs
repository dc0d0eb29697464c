//! Fills in a schema's defaults, and drops nulls that a schema does not allow.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/defaulting`.

use serde_json::Value;

use super::{Additional, Schema};

/// Sets what is absent, or null without being nullable, to its default.
pub fn default(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, property) in &schema.properties {
                let Some(default) = property.default.as_deref() else { continue };
                match map.get_mut(&**name) {
                    Some(Value::Null) if !property.nullable => {
                        map.insert(name.to_string(), default.clone());
                    }
                    Some(_) => {}
                    None => {
                        map.insert(name.to_string(), default.clone());
                    }
                }
            }
            for (key, value) in map.iter_mut() {
                if let Some(property) = schema.properties.get(key.as_str()) {
                    self::default(property, value);
                } else if let Some(Additional::Schema(schema)) = schema.additional.as_deref() {
                    entry(schema, value);
                }
            }
        }
        Value::Array(items) => {
            let Some(item) = schema.item() else { return };
            items.iter_mut().for_each(|value| entry(item, value));
        }
        _ => {}
    }
}

fn entry(schema: &Schema, value: &mut Value) {
    if value.is_null() && !schema.nullable {
        *value = schema.default.as_deref().cloned().unwrap_or(Value::Null);
    }
    default(schema, value);
}

/// Drops null fields that are neither nullable nor have a default; those that have one are set by [`default`].
pub fn drop_nulls(schema: Option<&Schema>, value: &mut Value) {
    match value {
        Value::Object(map) => map.retain(|key, value| {
            let field = schema.and_then(|schema| schema.field(key));
            if value.is_null() && field.is_some_and(|field| !field.nullable && field.default.is_none()) {
                return false;
            }
            drop_nulls(field, value);
            true
        }),
        Value::Array(items) => {
            let item = schema.and_then(Schema::item);
            items.iter_mut().for_each(|value| drop_nulls(item, value));
        }
        _ => {}
    }
}
