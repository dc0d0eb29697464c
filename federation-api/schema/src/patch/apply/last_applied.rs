//! The bridge from kubectl's client-side apply: its annotation says which fields were its own.
//!
//! Source: `k8s.io/apimachinery/pkg/util/managedfields`, last-applied manager and updater.

use std::collections::HashSet;

use serde_json::Value;

use super::Conflict;
use crate::managed::Typing;
use crate::managed::walk::{compare, field_set};

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The conflicts but for those over fields that still are as kubectl last applied them.
pub(super) fn without_own(
    typing: Typing<'_>,
    live: &Value,
    conflicts: Vec<Conflict>,
    api_version: &str,
) -> Vec<Conflict> {
    let Some(own) = unchanged_since(typing, live, api_version) else { return conflicts };
    conflicts.into_iter().filter(|conflict| !own.contains(&conflict.path)).collect()
}

fn unchanged_since(typing: Typing<'_>, live: &Value, api_version: &str) -> Option<HashSet<String>> {
    let text = annotation(live)?;
    let last: Value = serde_json::from_str(text).ok()?;
    if last.get("apiVersion").and_then(Value::as_str) != Some(api_version) {
        return None;
    }
    let diff = compare(&last, live, typing).ok()?;
    let set = field_set(&last, typing).ok()?;
    let left = set.difference(&diff.modified.below).difference(&diff.added.below).difference(&diff.removed.below);
    Some(left.paths().into_iter().collect())
}

/// Keeps the annotation of an object that has one in step with what is applied.
pub(super) fn refresh(object: &mut Value, config: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut applied = config.clone();
    if let Some(Value::Object(annotations)) = applied.pointer_mut("/metadata/annotations") {
        annotations.remove(ANNOTATION);
    }
    if let Some(text) = object.pointer_mut("/metadata/annotations").and_then(|all| all.get_mut(ANNOTATION)) {
        *text = Value::String(format!("{applied}\n"));
    }
}

fn annotation(object: &Value) -> Option<&str> {
    let text = object.pointer("/metadata/annotations")?.get(ANNOTATION)?.as_str()?;
    (!text.is_empty()).then_some(text)
}
