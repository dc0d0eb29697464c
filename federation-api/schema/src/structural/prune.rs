//! Drops the fields that a schema does not name, and says which.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/pruning`.

use serde_json::Value;

use super::Schema;

/// Drops unknown fields of an object; `apiVersion`, `kind` and `metadata` at its root are left alone.
///
/// Returns the paths of what went, sorted, such as `spec.containers[0].image`.
pub fn prune_object(schema: &Schema, object: &mut Value) -> Vec<String> {
    prune(schema, object, true)
}

/// Drops unknown fields of a value; `is_root` spares `apiVersion`, `kind` and `metadata`.
pub fn prune(schema: &Schema, value: &mut Value, is_root: bool) -> Vec<String> {
    let mut pruner = Pruner { path: String::new(), found: Vec::new() };
    pruner.node(value, Some(Rule { schema, embedded: is_root || schema.embedded }));
    pruner.found.sort();
    pruner.found
}

/// A schema, and whether it is one of an object with metadata.
#[derive(Clone, Copy)]
struct Rule<'s> {
    schema: &'s Schema,
    embedded: bool,
}

struct Pruner {
    path: String,
    found: Vec<String>,
}

pub(crate) fn is_meta(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

impl<'s> Rule<'s> {
    fn of(schema: &'s Schema) -> Self {
        Rule { schema, embedded: schema.embedded }
    }
}

impl Pruner {
    /// No schema: everything goes.
    fn node(&mut self, value: &mut Value, rule: Option<Rule<'_>>) {
        if let Some(rule) = rule
            && rule.schema.preserves()
        {
            return self.preserved(value, rule);
        }
        match value {
            Value::Object(map) => map.retain(|key, value| self.field(key, value, rule)),
            Value::Array(items) => {
                let item = rule.and_then(|rule| rule.schema.item()).map(Rule::of);
                for (at, value) in items.iter_mut().enumerate() {
                    self.at_index(at, |this| this.node(value, item));
                }
            }
            _ => {}
        }
    }

    /// Whether the field stays.
    fn field(&mut self, key: &str, value: &mut Value, rule: Option<Rule<'_>>) -> bool {
        if rule.is_some_and(|rule| rule.embedded) && is_meta(key) {
            return true;
        }
        let schema = rule.map(|rule| rule.schema);
        if let Some(property) = schema.and_then(|schema| schema.properties.get(key)) {
            self.at_key(key, |this| this.node(value, Some(Rule::of(property))));
            return true;
        }
        if let Some(schema) = schema.filter(|schema| schema.additional.is_some()) {
            self.at_key(key, |this| this.node(value, schema.map_value().map(Rule::of)));
            return true;
        }
        if rule.is_none() || !is_meta(key) || !self.path.is_empty() {
            self.at_key(key, |this| this.found.push(this.path.clone()));
        }
        false
    }

    /// What is not named stays, but below what is named pruning goes on.
    fn preserved(&mut self, value: &mut Value, rule: Rule<'_>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map.iter_mut() {
                    if rule.embedded && is_meta(key) {
                        continue;
                    }
                    if let Some(property) = rule.schema.properties.get(key.as_str()) {
                        self.at_key(key, |this| this.node(value, Some(Rule::of(property))));
                    } else if rule.schema.additional.is_some() {
                        self.at_key(key, |this| this.node(value, rule.schema.map_value().map(Rule::of)));
                    }
                }
            }
            Value::Array(items) => {
                let Some(item) = rule.schema.item() else { return };
                for (at, value) in items.iter_mut().enumerate() {
                    self.at_index(at, |this| this.preserved(value, Rule::of(item)));
                }
            }
            _ => {}
        }
    }

    fn at_key(&mut self, key: &str, walk: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        walk(self);
        self.path.truncate(length);
    }

    fn at_index(&mut self, at: usize, walk: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(&format!("[{at}]"));
        walk(self);
        self.path.truncate(length);
    }
}
