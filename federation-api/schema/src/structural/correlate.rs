//! Which old value a new one is compared with, so that what was wrong before and did not change is tolerated.
//!
//! Source: `k8s.io/apiserver/pkg/cel/common` (`CorrelatedObject`, `MapList`).

use std::collections::HashMap;

use serde_json::Value;

use super::Schema;
use crate::field::quote::go_json;

/// A new value beside the old one that stands for the same thing, and the schema that tells what is the same.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    pub schema: &'a Schema,
    pub new: &'a Value,
    pub old: &'a Value,
}

/// The old items of a list, found by the keys of the new ones.
#[derive(Debug, Default)]
pub(super) struct OldItems<'a> {
    /// None where items cannot be told apart.
    by_key: Option<HashMap<String, &'a Value>>,
}

impl<'a> Pair<'a> {
    /// The field on both sides; none where either lacks it, or no schema knows it.
    pub fn field(self, name: &str) -> Option<Pair<'a>> {
        let (Value::Object(new), Value::Object(old)) = (self.new, self.old) else { return None };
        Some(Pair { new: new.get(name)?, old: old.get(name)?, schema: self.schema.field(name)? })
    }

    pub(super) fn old_items(self) -> OldItems<'a> {
        OldItems::new(self.schema, self.old)
    }

    /// An item of the new list beside the old item with the same keys.
    pub(super) fn item(self, items: &OldItems<'a>, new: &'a Value) -> Option<Pair<'a>> {
        let old = items.find(self.schema, new)?;
        Some(Pair { new, old, schema: self.schema.item()? })
    }

    /// Whether nothing changed; keyed lists may change their order.
    pub fn is_same(self) -> bool {
        match (self.new, self.old) {
            (Value::Array(new), Value::Array(old)) => {
                if new.len() != old.len() {
                    return false;
                }
                let items = self.old_items();
                if items.by_key.is_none() {
                    return new == old;
                }
                new.iter().all(|new| self.item(&items, new).is_some_and(Pair::is_same))
            }
            (Value::Object(new), Value::Object(old)) => {
                new.len() == old.len() && new.keys().all(|name| self.field(name).is_some_and(Pair::is_same))
            }
            (new, old) => new == old,
        }
    }
}

impl<'a> OldItems<'a> {
    pub(super) fn new(schema: &Schema, old: &'a Value) -> Self {
        let Value::Array(old) = old else { return Self::default() };
        if &*schema.ty != "array" || schema.list_type() != "map" || schema.list_keys.is_empty() || old.is_empty() {
            return Self::default();
        }
        let mut by_key = HashMap::with_capacity(old.len());
        for item in old {
            if let Some(key) = composite_key(schema, item) {
                by_key.entry(key).or_insert(item);
            }
        }
        Self { by_key: Some(by_key) }
    }

    pub(super) fn find(&self, schema: &Schema, new: &Value) -> Option<&'a Value> {
        self.by_key.as_ref()?.get(&composite_key(schema, new)?).copied()
    }
}

/// The keys of an item of a keyed list; none where one is absent or no scalar.
pub(super) fn composite_key(schema: &Schema, item: &Value) -> Option<String> {
    let map = item.as_object()?;
    let mut composite = String::new();
    for key in &schema.list_keys {
        let value = map.get(&**key)?;
        if !matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_)) {
            return None;
        }
        composite.push('\0');
        composite.push_str(&go_json(value));
    }
    Some(composite)
}
