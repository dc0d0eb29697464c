//! `apiVersion`, `kind` and `metadata` of objects and of objects within objects.
//!
//! Coercing reads metadata as its Go type would: unknown fields go, wrong types are refused or, in stored objects, dropped.
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/objectmeta`.

use serde_json::{Map, Value};

use super::Schema;
use crate::decode::{self, Finding};
use crate::facts;
use crate::field::quote::go_type;
use crate::field::{FieldError, FieldPath, format};
use crate::validate;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Whether wrong types are dropped, as in what is stored, or refused, as in what a request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    Drop,
    Refuse,
}

/// Reads metadata as its Go type does: the canonical value and the paths of unknown fields.
///
/// # Errors
/// In the words of Go's decoder, where a field has the wrong type and that is not to be dropped.
pub fn read(metadata: Value, malformed: Malformed) -> Result<(Value, Vec<String>), String> {
    let metadata = if metadata.is_null() { Value::Object(Map::new()) } else { metadata };
    match conform(metadata.clone()) {
        Ok(read) => Ok(read),
        Err(error) if malformed == Malformed::Refuse => Err(error),
        Err(_) => {
            let Value::Object(fields) = metadata else {
                return Err(format!("invalid metadata: expected object, got {}", go_type(&metadata)));
            };
            let (mut kept, mut unknown) = (Map::new(), Vec::new());
            for (name, value) in fields {
                let single = Value::Object(Map::from_iter([(name, value)]));
                if let Ok((Value::Object(read), paths)) = conform(single) {
                    kept.extend(read);
                    unknown.extend(paths);
                }
            }
            Ok((Value::Object(kept), unknown))
        }
    }
}

fn conform(metadata: Value) -> Result<(Value, Vec<String>), String> {
    let facts = facts::kubernetes();
    let ty = facts.type_named(OBJECT_META).expect("the built-in table has ObjectMeta");
    let (mut value, findings) = decode::conform(facts, ty, metadata).map_err(|broken| broken.to_string())?;
    decode::drop_noise(facts, ty, &mut value);
    if let Value::Object(map) = &mut value {
        map.retain(|_, value| !is_empty(value));
    }
    let unknown = findings.into_iter().filter_map(|finding| match finding {
        Finding::Unknown(path) => Some(path),
        Finding::Duplicate(_) | Finding::Twice(_) => None,
    });
    Ok((value, unknown.collect()))
}

/// What Go's encoder leaves out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Number(_) | Value::Bool(_) => false,
    }
}

/// Makes the metadata of embedded objects what its type says, below and (if `is_root`) at `value`.
///
/// # Errors
/// The first field of a wrong type, unless those are dropped.
pub fn coerce(
    schema: &Schema,
    value: &mut Value,
    path: &FieldPath<'_>,
    is_root: bool,
    malformed: Malformed,
) -> Result<Vec<String>, FieldError> {
    let mut coercer = Coercer { malformed, unknown: Vec::new() };
    coercer.node(schema, value, path, is_root || schema.embedded)?;
    coercer.unknown.sort();
    Ok(coercer.unknown)
}

struct Coercer {
    malformed: Malformed,
    unknown: Vec<String>,
}

impl Coercer {
    fn node(
        &mut self,
        schema: &Schema,
        value: &mut Value,
        path: &FieldPath<'_>,
        embedded: bool,
    ) -> Result<(), FieldError> {
        match value {
            Value::Object(map) => {
                if embedded {
                    self.type_meta(map, path)?;
                    self.metadata(map, path)?;
                }
                for (name, value) in map.iter_mut() {
                    if let Some(property) = schema.properties.get(name.as_str()) {
                        self.node(property, value, &path.child(name), property.embedded)?;
                    } else if let Some(schema) = schema.map_value() {
                        self.node(schema, value, &path.key(name), schema.embedded)?;
                    }
                }
            }
            Value::Array(items) => {
                let Some(item) = schema.item() else { return Ok(()) };
                for (at, value) in items.iter_mut().enumerate() {
                    self.node(item, value, &path.index(at), item.embedded)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn type_meta(&self, map: &mut Map<String, Value>, path: &FieldPath<'_>) -> Result<(), FieldError> {
        for name in ["apiVersion", "kind"] {
            match map.get(name) {
                None | Some(Value::String(_)) => {}
                Some(_) if self.malformed == Malformed::Drop => {
                    map.remove(name);
                }
                Some(other) => return Err(FieldError::invalid(&path.child(name), other.clone(), "must be a string")),
            }
        }
        Ok(())
    }

    fn metadata(&mut self, map: &mut Map<String, Value>, path: &FieldPath<'_>) -> Result<(), FieldError> {
        let Some(metadata) = map.get_mut("metadata") else { return Ok(()) };
        let path = path.child("metadata");
        match read(metadata.clone(), self.malformed) {
            Ok((read, unknown)) => {
                *metadata = read;
                self.unknown.extend(unknown.iter().map(|name| format!("{path}.{name}")));
                Ok(())
            }
            Err(_) if self.malformed == Malformed::Drop => Ok(()),
            Err(error) => Err(FieldError::invalid(&path, metadata.clone(), error)),
        }
    }
}

/// Every complaint about embedded objects, below and (if `is_root`) at `value`.
pub fn validate(schema: &Schema, value: &Value, path: &FieldPath<'_>, is_root: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check(schema, value, path, is_root || schema.embedded, &mut errors);
    errors
}

fn check(schema: &Schema, value: &Value, path: &FieldPath<'_>, embedded: bool, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(map) => {
            if embedded {
                check_embedded(map, path, errors);
            }
            for (name, value) in map {
                if let Some(property) = schema.properties.get(name.as_str()) {
                    check(property, value, &path.child(name), property.embedded, errors);
                } else if let Some(schema) = schema.map_value() {
                    check(schema, value, &path.key(name), schema.embedded, errors);
                }
            }
        }
        Value::Array(items) => {
            let Some(item) = schema.item() else { return };
            for (at, value) in items.iter().enumerate() {
                check(item, value, &path.index(at), item.embedded, errors);
            }
        }
        _ => {}
    }
}

fn check_embedded(map: &Map<String, Value>, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        let path = path.child(name);
        let complaint = match map.get(name) {
            None => {
                errors.push(FieldError::required(&path, ""));
                continue;
            }
            Some(Value::String(text)) if text.is_empty() => Some("must not be empty".to_owned()),
            Some(Value::String(version)) if name == "apiVersion" => {
                (version.matches('/').count() > 1).then(|| format!("unexpected GroupVersion string: {version}"))
            }
            Some(Value::String(kind)) => {
                let complaints = format::dns_1035_label(&kind.to_lowercase());
                let text = format!("may have mixed case, but should otherwise match: {}", complaints.join(","));
                (!complaints.is_empty()).then_some(text)
            }
            Some(_) => Some("must be a string".to_owned()),
        };
        if let Some(complaint) = complaint {
            errors.push(FieldError::invalid(&path, map[name].clone(), complaint));
        }
    }
    let Some(metadata) = map.get("metadata") else { return };
    let path = path.child("metadata");
    match read(metadata.clone(), Malformed::Refuse) {
        Ok((metadata, _)) => errors.extend(validate::embedded_metadata(&metadata, &path)),
        Err(error) => errors.push(FieldError::invalid(&path, metadata.clone(), error)),
    }
}
