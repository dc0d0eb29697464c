//! Lists: borrowed from JSON or made by an expression.

use std::sync::Arc;

use serde_json::Value as Json;

use super::super::declared::{Decl, DeclKind, ListEquality};
use super::{EvalError, Value};

/// A list.
#[derive(Debug, Clone)]
pub enum List<'a> {
    Json(&'a [Json], Option<&'a Decl>),
    Owned(Arc<Vec<Value<'a>>>),
}

impl<'a> List<'a> {
    pub fn len(&self) -> usize {
        match self {
            List::Json(items, _) => items.len(),
            List::Owned(items) => items.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at a place.
    ///
    /// # Errors
    /// As `Value::from_json`.
    pub fn get(&self, index: usize) -> Option<Result<Value<'a>, EvalError>> {
        match self {
            List::Json(items, decl) => {
                let element = decl.and_then(Decl::element);
                items.get(index).map(|item| Value::from_json(item, element))
            }
            List::Owned(items) => items.get(index).cloned().map(Ok),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, EvalError>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// All elements.
    ///
    /// # Errors
    /// As `get`.
    pub(crate) fn values(&self) -> Result<Vec<Value<'a>>, EvalError> {
        self.iter().collect()
    }

    pub(crate) fn equality(&self) -> &ListEquality {
        match self {
            List::Json(_, Some(Decl { kind: DeclKind::List { equality, .. }, .. })) => equality,
            _ => &ListEquality::Atomic,
        }
    }

    /// One list after the other; sets and maps keep one element of each identity.
    ///
    /// # Errors
    /// As `get`.
    pub(crate) fn concat(&self, other: &List<'a>) -> Result<Vec<Value<'a>>, EvalError> {
        let mut out = self.values()?;
        match self.equality() {
            ListEquality::Atomic => out.extend(other.values()?),
            ListEquality::Set => {
                for value in other.values()? {
                    if !out.iter().any(|have| have.equals(&value)) {
                        out.push(value);
                    }
                }
            }
            ListEquality::Map(keys) => {
                for value in other.values()? {
                    match out.iter_mut().find(|have| same_keys(have, &value, keys)) {
                        Some(have) => *have = value,
                        None => out.push(value),
                    }
                }
            }
        }
        Ok(out)
    }
}

/// Whether two elements have equal key fields.
pub(super) fn same_keys(a: &Value<'_>, b: &Value<'_>, keys: &[String]) -> bool {
    let key = |value: &Value<'_>, name: &str| match value {
        Value::Map(map) => map.get_str(name).and_then(Result::ok).map(Value::into_owned),
        _ => None,
    };
    keys.iter().all(|name| match (key(a, name), key(b, name)) {
        (Some(a), Some(b)) => a.equals(&b),
        (None, None) => true,
        _ => false,
    })
}
