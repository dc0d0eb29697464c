//! The order of merged lists: `$setElementOrder` and the rule that patched items keep the patch's order and the server's
//! own items stay beside their old neighbours.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::list::{item_kind, merge_list};
use super::{DIRECTIVE, Object, SET_ORDER, Schema, directive_field, no_merge_key, remove_directives};
use crate::field::quote::go_value;
use crate::patch::PatchError;

/// Merges and orders every list that the patch gives an order for, and takes it out of the patch.
pub(super) fn apply_orders(original: &mut Object, patch: &mut Object, schema: Schema<'_>) -> Result<(), PatchError> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ORDER)).cloned().collect();
    for directive in directives {
        let name = directive_field(&directive, SET_ORDER).ok_or_else(bad_order)?;
        let Some(Value::Array(order)) = patch.remove(&directive) else {
            return Err(bad_order());
        };
        apply_order(original, patch, name, order, schema)?;
    }
    Ok(())
}

fn apply_order(
    original: &mut Object,
    patch: &mut Object,
    name: &str,
    order: Vec<Value>,
    schema: Schema<'_>,
) -> Result<(), PatchError> {
    let field = schema.field(name);
    let key = field.key();
    let old = take_list(original, name)?;
    let new = match patch.get(name) {
        // A null deletes the list; the order then says nothing.
        Some(Value::Null) => return Ok(()),
        _ => take_list(patch, name)?,
    };
    check_order(new.as_deref().unwrap_or(&[]), &order, key)?;
    let server_order = server_order(old.as_deref().unwrap_or(&[]), new.as_deref().unwrap_or(&[]), key);
    let merged = match (old, new) {
        (None, None) => return Ok(()),
        (Some(old), None) => old,
        (None, Some(new)) => match remove_directives(Value::Array(new)) {
            Some(Value::Array(new)) => new,
            _ => return Ok(()),
        },
        (Some(old), Some(new)) if field.merges() => merge_list(old, new, &field)?,
        (Some(_), Some(new)) => new,
    };
    item_kind([&server_order, &merged])?;
    original.insert(name.to_owned(), Value::Array(normalize(merged, &order, &server_order, key)?));
    Ok(())
}

/// The order that the server's list counts as: deleted items have left it and new ones have filled their places.
/// Upstream gets there by editing the list in place; clients see the result, so it is kept.
fn server_order(old: &[Value], new: &[Value], key: &str) -> Vec<Value> {
    let (directives, plain): (Vec<&Value>, Vec<&Value>) = new.iter().partition(|item| item.get(DIRECTIVE).is_some());
    if key.is_empty() || directives.is_empty() {
        return old.to_vec();
    }
    let is_deletion = |item: &&&Value| item.get(DIRECTIVE).and_then(Value::as_str) == Some("delete");
    let gone: HashSet<&Value> = directives.iter().filter(is_deletion).map(|item| identity(item, key)).collect();
    let mut order: Vec<&Value> = old.iter().filter(|item| !gone.contains(identity(item, key))).collect();
    let kept: HashSet<&Value> = order.iter().map(|item| identity(item, key)).collect();
    order.extend(plain.into_iter().filter(|item| !kept.contains(identity(item, key))));
    order.into_iter().take(old.len()).cloned().collect()
}

fn take_list(map: &mut Object, name: &str) -> Result<Option<Vec<Value>>, PatchError> {
    match map.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list)),
        Some(other) => {
            let text = format!("expected a list in field {name}, but received {}", go_value(&other));
            Err(PatchError::Schema(text))
        }
    }
}

/// The patch's own items must stand in the order in the same sequence.
fn check_order(patch: &[Value], order: &[Value], key: &str) -> Result<(), PatchError> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let identity = |item: &Value| -> Result<Value, PatchError> {
        if key.is_empty() {
            return Ok(item.clone());
        }
        let map = item.as_object().ok_or_else(bad_order)?;
        map.get(key).cloned().ok_or_else(|| no_merge_key(map, key))
    };
    let mut places = order.iter();
    for item in patch.iter().filter(|item| item.get(DIRECTIVE).is_none()) {
        let wanted = identity(item)?;
        loop {
            let Some(place) = places.next() else {
                let text = format!(
                    "The order in patch list:\n{}\n doesn't match {SET_ORDER} list:\n{}\n",
                    go_value(&Value::Array(patch.to_vec())),
                    go_value(&Value::Array(order.to_vec()))
                );
                return Err(PatchError::Schema(text));
            };
            if identity(place)? == wanted {
                break;
            }
        }
    }
    Ok(())
}

/// Items named by `order` in that order, the others in `server_order`, woven so that neighbours on the server stay so.
///
/// # Errors
/// An item without the merge key, unless `key` is empty (scalars).
pub(super) fn normalize(
    merged: Vec<Value>,
    order: &[Value],
    server_order: &[Value],
    key: &str,
) -> Result<Vec<Value>, PatchError> {
    for item in merged.iter().chain(order) {
        if let (false, Some(map)) = (key.is_empty(), item.as_object())
            && !map.contains_key(key)
        {
            return Err(no_merge_key(map, key));
        }
    }
    let wanted = ranks(order, key);
    let server = ranks(server_order, key);
    let in_order: HashSet<&Value> = wanted.keys().copied().collect();
    let (mut patched, mut own): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| in_order.contains(identity(item, key)));
    patched.sort_by_key(|item| wanted.get(identity(item, key)).copied());
    own.sort_by_key(|item| server.get(identity(item, key)).copied());
    Ok(weave(own, patched, &server, key))
}

fn weave(own: Vec<Value>, patched: Vec<Value>, server: &HashMap<&Value, usize>, key: &str) -> Vec<Value> {
    let mut out = Vec::with_capacity(own.len() + patched.len());
    let (mut own, mut patched) = (own.into_iter().peekable(), patched.into_iter().peekable());
    loop {
        let own_first = match (own.peek(), patched.peek()) {
            (None, None) => return out,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(left), Some(right)) => {
                let (left, right) = (server.get(identity(left, key)), server.get(identity(right, key)));
                left.zip(right).is_some_and(|(left, right)| left < right)
            }
        };
        out.extend(if own_first { own.next() } else { patched.next() });
    }
}

/// Where each item stands first.
fn ranks<'v>(list: &'v [Value], key: &str) -> HashMap<&'v Value, usize> {
    let mut ranks = HashMap::with_capacity(list.len());
    for (i, item) in list.iter().enumerate() {
        ranks.entry(identity(item, key)).or_insert(i);
    }
    ranks
}

fn identity<'v>(item: &'v Value, key: &str) -> &'v Value {
    if key.is_empty() { item } else { item.get(key).unwrap_or(&Value::Null) }
}

fn bad_order() -> PatchError {
    PatchError::Malformed("invalid patch format of setElementOrder list".to_owned())
}
