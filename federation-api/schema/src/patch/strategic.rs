//! Strategic merge patch: a merge patch that knows which lists merge by which key, and its directives.
//! It reads patch strategies from the facts and knows no kind by name.
//!
//! Source: behaviour of `k8s.io/apimachinery/pkg/util/strategicpatch`, duplicates and ordering included.

mod list;
mod order;

use serde_json::{Map, Value};

use self::list::merge_list;
use super::PatchError;
use crate::facts::{Facts, Patch, Shape, TypeId};
use crate::field::quote::go_value;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList";

type Object = Map<String, Value>;

/// Applies a decoded strategic merge patch to an object of type `ty`.
///
/// # Errors
/// `Malformed` for bad directives, `Unprocessable` for lists of lists, `Schema` where patch and schema contradict.
pub fn apply(facts: &Facts, ty: TypeId, object: Value, patch: Value) -> Result<Value, PatchError> {
    let (Value::Object(object), Value::Object(patch)) = (object, patch) else {
        return Err(PatchError::Malformed("invalid JSON document".to_owned()));
    };
    merge_map(object, patch, Schema { facts, ty: Some(ty) }).map(Value::Object)
}

/// What is known about a value; nothing inside free-form JSON.
#[derive(Clone, Copy)]
struct Schema<'f> {
    facts: &'f Facts,
    ty: Option<TypeId>,
}

/// What is known about a field: how it is patched and what it holds.
struct FieldSchema<'f> {
    patch: Option<&'f Patch>,
    schema: Schema<'f>,
}

impl<'f> Schema<'f> {
    fn field(self, name: &str) -> FieldSchema<'f> {
        let nothing = FieldSchema { patch: None, schema: Schema { facts: self.facts, ty: None } };
        let Some(ty) = self.ty else { return nothing };
        match self.facts.shape(ty) {
            Shape::Struct(object) => object.field(name).map_or(nothing, |field| FieldSchema {
                patch: Some(&field.patch),
                schema: Schema { facts: self.facts, ty: Some(field.ty) },
            }),
            Shape::Map { value, .. } => {
                FieldSchema { patch: None, schema: Schema { facts: self.facts, ty: Some(*value) } }
            }
            _ => nothing,
        }
    }

    fn item(self) -> Schema<'f> {
        let item = self.ty.and_then(|ty| match self.facts.shape(ty) {
            Shape::List(list) => Some(list.item),
            _ => None,
        });
        Schema { facts: self.facts, ty: item }
    }

    fn name(self) -> &'f str {
        self.ty.map_or("", |ty| &self.facts.ty(ty).name)
    }
}

impl FieldSchema<'_> {
    fn replaces(&self) -> bool {
        self.patch.is_some_and(|patch| patch.replace)
    }

    fn merges(&self) -> bool {
        self.patch.is_some_and(|patch| patch.merge)
    }

    fn key(&self) -> &str {
        self.patch.map_or("", |patch| &patch.merge_key)
    }
}

fn merge_map(mut original: Object, mut patch: Object, schema: Schema<'_>) -> Result<Object, PatchError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Object::new()),
            _ => Err(unknown_directive(directive, &patch)),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    order::apply_orders(&mut original, &mut patch, schema)?;
    // Deletions from lists of scalars first, so that a patch may also add to the same list.
    let (deletions, rest): (Vec<_>, Vec<_>) =
        patch.into_iter().partition(|(key, _)| key.starts_with(DELETE_PRIMITIVES));
    for (key, value) in deletions {
        delete_primitives(&mut original, &key, value)?;
    }
    for (key, value) in rest {
        merge_field(&mut original, key, value, schema)?;
    }
    Ok(original)
}

fn merge_field(original: &mut Object, key: String, value: Value, schema: Schema<'_>) -> Result<(), PatchError> {
    if value.is_null() {
        original.remove(&key);
        return Ok(());
    }
    let merged = match (original.remove(&key), value) {
        (Some(Value::Object(old)), Value::Object(new)) => {
            let field = schema.field(&key);
            if field.replaces() {
                Some(Value::Object(new))
            } else {
                Some(Value::Object(merge_map(old, new, field.schema)?))
            }
        }
        (Some(Value::Array(old)), Value::Array(new)) => {
            let field = schema.field(&key);
            if field.merges() { Some(Value::Array(merge_list(old, new, &field)?)) } else { Some(Value::Array(new)) }
        }
        (_, mut new) => {
            discard_nulls(&mut new);
            remove_directives(new)
        }
    };
    if let Some(merged) = merged {
        original.insert(key, merged);
    }
    Ok(())
}

/// `$retainKeys`: what it does not name leaves the original; what the patch sets it must name.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let bad = || PatchError::Malformed("invalid patch format of retainKeys".to_owned());
    let Value::Array(keys) = keys else { return Err(bad()) };
    let named = |key: &str| keys.iter().any(|k| k.as_str() == Some(key));
    let exempt = |key: &str, value: &Value| {
        value.is_null() || key.starts_with(DELETE_PRIMITIVES) || key.starts_with(SET_ORDER) || named(key)
    };
    if !patch.iter().all(|(key, value)| exempt(key, value)) {
        return Err(bad());
    }
    original.retain(|key, _| named(key));
    Ok(())
}

fn delete_primitives(original: &mut Object, key: &str, value: Value) -> Result<(), PatchError> {
    let bad = || PatchError::Malformed("invalid patch format of primitive list".to_owned());
    let name = directive_field(key, DELETE_PRIMITIVES).ok_or_else(bad)?;
    match (original.get_mut(name), value) {
        (_, Value::Null) => {
            original.remove(name);
        }
        (Some(Value::Array(list)), Value::Array(gone)) => {
            if gone.iter().any(|v| v.is_array() || v.is_object()) {
                return Err(bad());
            }
            let gone: std::collections::HashSet<Value> = gone.into_iter().collect();
            list.retain(|item| !gone.contains(item));
        }
        // Nothing to delete from, or of another type: upstream lets it pass.
        (_, _) => {}
    }
    Ok(())
}

/// `field` of `$directive/field`.
fn directive_field<'k>(key: &'k str, prefix: &str) -> Option<&'k str> {
    key.strip_prefix(prefix)?.strip_prefix('/')
}

/// New values carry no deletions: nulls inside them mean nothing.
fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(discard_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// Drops every object that carries a `$patch` directive; `None` if it is the value itself.
fn remove_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => {
            let kept = map.into_iter().filter_map(|(key, value)| Some((key, remove_directives(value)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(list) => Some(Value::Array(list.into_iter().filter_map(remove_directives).collect())),
        other => Some(other),
    }
}

fn unknown_directive(directive: &Value, patch: &Object) -> PatchError {
    let shown = go_value(&Value::Object(patch.clone()));
    PatchError::Schema(format!("unknown patch type: {} in map: {shown}", go_value(directive)))
}

fn no_merge_key(item: &Object, key: &str) -> PatchError {
    let shown = go_value(&Value::Object(item.clone()));
    PatchError::Schema(format!("map: {shown} does not contain declared merge key: {key}"))
}

#[cfg(test)]
mod tests;
