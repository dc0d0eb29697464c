//! Maps and objects: borrowed from JSON or made by an expression.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

use super::super::declared::{Decl, DeclKind};
use super::super::escape::unescape;
use super::{EvalError, Text, Value};

/// A map.
#[derive(Debug, Clone)]
pub enum Map<'a> {
    Json(&'a serde_json::Map<String, Json>, Option<&'a Decl>),
    Owned(Arc<BTreeMap<Key<'a>, Value<'a>>>),
}

/// What a map is looked up by; whole numbers are equal whatever their type.
#[derive(Debug, Clone)]
pub enum Key<'a> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(Text<'a>),
}

impl<'a> Key<'a> {
    /// The value as a key; none for values that cannot be one.
    pub(crate) fn of(value: &Value<'a>) -> Option<Key<'a>> {
        match value {
            Value::Bool(value) => Some(Key::Bool(*value)),
            Value::Int(value) => Some(Key::Int(*value)),
            Value::Uint(value) => Some(Key::Uint(*value)),
            Value::String(text) => Some(Key::String(text.clone())),
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 9.2e18 => Some(Key::Int(*value as i64)),
            _ => None,
        }
    }

    pub(crate) fn value(&self) -> Value<'a> {
        match self {
            Key::Bool(value) => Value::Bool(*value),
            Key::Int(value) => Value::Int(*value),
            Key::Uint(value) => Value::Uint(*value),
            Key::String(text) => Value::String(text.clone()),
        }
    }

    fn rank(&self) -> (u8, i128, &str) {
        match self {
            Key::Bool(value) => (0, i128::from(*value), ""),
            Key::Int(value) => (1, i128::from(*value), ""),
            Key::Uint(value) => (1, i128::from(*value), ""),
            Key::String(text) => (2, 0, text),
        }
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Key<'_> {}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Bool(value) => value.fmt(f),
            Key::Int(value) => value.fmt(f),
            Key::Uint(value) => value.fmt(f),
            Key::String(text) => f.write_str(text),
        }
    }
}

impl<'a> Map<'a> {
    pub fn len(&self) -> usize {
        match self {
            Map::Json(map, _) => map.len(),
            Map::Owned(map) => map.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry under a key.
    ///
    /// # Errors
    /// As `Value::from_json`.
    pub fn get(&self, key: &Key<'_>) -> Option<Result<Value<'a>, EvalError>> {
        match (self, key) {
            (Map::Json(..), Key::String(name)) => self.get_str(name),
            (Map::Json(..), _) => None,
            // The map's keys live as long as it does, the wanted one only for this call.
            (Map::Owned(map), key) => {
                let map: &BTreeMap<Key<'_>, Value<'a>> = map;
                map.get(key as &Key<'_>).cloned().map(Ok)
            }
        }
    }

    /// The entry under a name; of objects the name is an identifier.
    ///
    /// # Errors
    /// As `Value::from_json`.
    pub fn get_str(&self, name: &str) -> Option<Result<Value<'a>, EvalError>> {
        match self {
            Map::Json(map, Some(decl)) if matches!(decl.kind, DeclKind::Object { .. }) => {
                if let Some(field) = decl.field(name) {
                    let json = map.get(&*field.json)?;
                    return Some(Value::from_json(json, Some(&field.decl)));
                }
                let json = unescape(name)?;
                map.get(&json).map(|value| Value::from_json(value, None))
            }
            Map::Json(map, decl) => {
                let child = decl.and_then(|decl| decl.child(name));
                map.get(name).map(|value| Value::from_json(value, child))
            }
            Map::Owned(map) => map.get(&Key::String(Text::Shared(name.into()))).cloned().map(Ok),
        }
    }

    /// All keys; of objects these are the names in JSON.
    pub fn keys(&self) -> Vec<Key<'a>> {
        match self {
            Map::Json(map, _) => map.keys().map(|key| Key::String(Text::Borrowed(key))).collect(),
            Map::Owned(map) => map.keys().cloned().collect(),
        }
    }

    /// All entries.
    ///
    /// # Errors
    /// As `Value::from_json`.
    pub fn entries(&self) -> Result<Vec<(Key<'a>, Value<'a>)>, EvalError> {
        match self {
            Map::Json(map, decl) => map
                .iter()
                .map(|(key, value)| {
                    let child = decl.and_then(|decl| decl.child(key));
                    Ok((Key::String(Text::Borrowed(key)), Value::from_json(value, child)?))
                })
                .collect(),
            Map::Owned(map) => Ok(map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()),
        }
    }
}
