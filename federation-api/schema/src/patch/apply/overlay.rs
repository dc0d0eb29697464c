//! A configuration laid over an object without ownership: what mutating policies write.
//!
//! Source: `k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch/smd.go`.

use serde_json::Value;

use super::{check, merge};
use crate::managed::Typing;
use crate::managed::typing::Relation;

/// The object with the configuration merged in.
///
/// # Errors
/// Fields that the type does not have, and parts that would be replaced as a whole.
pub fn overlay(typing: Typing<'_>, live: &Value, config: &Value) -> Result<Value, String> {
    check::check(config, typing)
        .map_err(|errors| format!("failed to convert patch object to typed object: {}", errors.join("\n")))?;
    let mut atomics = Vec::new();
    if let Value::Object(map) = config {
        for (name, value) in map {
            let field = if name == "metadata" { typing.metadata() } else { typing.field(name) };
            find_atomics(field, value, &format!(".{name}"), &mut atomics);
        }
    }
    if !atomics.is_empty() {
        let all = atomics.join(", ");
        return Err(format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {all}"));
    }
    merge::merge_objects(live, config, typing).map_err(|error| format!("failed to merge patch: {error}"))
}

fn find_atomics(typing: Typing<'_>, value: &Value, path: &str, found: &mut Vec<String>) {
    match (typing.relation(value), value) {
        (Relation::AtomicList, Value::Array(_)) | (Relation::AtomicMap, Value::Object(_)) => {
            found.push(path.to_owned());
        }
        _ => {}
    }
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                find_atomics(typing.field(name), value, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                find_atomics(typing.item(), item, &format!("{path}[{i}]"), found);
            }
        }
        _ => {}
    }
}
