//! What becomes of an object whose owners are known.
//!
//! Pure: states in, steps out. Source: upstream's `attemptToDeleteItem` of `pkg/controller/garbagecollector`.

use federation_types::text::{list_at, str_at};
use serde_json::{Value, json};

use super::graph::Uid;

/// The finalizer of an owner that waits for its blocking dependents to be deleted.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an owner that waits for its dependents to be released.
pub(super) const ORPHAN: &str = "orphan";

/// An owner as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OwnerState {
    /// It is there, and holds its dependents.
    Solid,
    /// It is not there, or another object has its name.
    Absent,
    /// It is being deleted and wants its dependents deleted first.
    Foreground,
    /// Nobody can tell; the reason.
    Unseen(String),
}

/// What to do about an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// A merge patch.
    Patch(Value),
    /// With this propagation policy.
    Delete(&'static str),
    /// Nothing now, for this reason.
    Hold(String),
}

/// The state of an owner that was found.
pub(super) fn living(owner: &Value) -> OwnerState {
    if !owner["metadata"]["deletionTimestamp"].is_null() && has_finalizer(owner, FOREGROUND) {
        OwnerState::Foreground
    } else {
        OwnerState::Solid
    }
}

/// The steps for an object that is not being deleted.
///
/// `dependents`: `None` when it has none, else whether one of them is being deleted in the foreground, which hints at
/// a cycle.
pub(super) fn dependent(latest: &Value, owners: &[(Uid, OwnerState)], dependents: Option<bool>) -> Vec<Step> {
    if owners.is_empty() {
        return Vec::new();
    }
    let unseen = owners.iter().find_map(|(_, state)| match state {
        OwnerState::Unseen(why) => Some(why),
        OwnerState::Solid | OwnerState::Absent | OwnerState::Foreground => None,
    });
    if let Some(why) = unseen {
        return vec![Step::Hold(why.clone())];
    }
    let are = |wanted: &OwnerState| owners.iter().any(|(_, state)| state == wanted);
    if are(&OwnerState::Solid) {
        let gone: Vec<Uid> =
            owners.iter().filter(|(_, state)| *state != OwnerState::Solid).map(|(uid, _)| uid.clone()).collect();
        return if gone.is_empty() { Vec::new() } else { vec![Step::Patch(without_owners(latest, &gone))] };
    }
    match dependents {
        Some(any_foreground) if are(&OwnerState::Foreground) => {
            let mut steps = Vec::new();
            if any_foreground {
                steps.push(Step::Patch(without_blocking(latest)));
            }
            steps.push(Step::Delete("Foreground"));
            steps
        }
        _ if has_finalizer(latest, ORPHAN) => vec![Step::Delete("Orphan")],
        _ if has_finalizer(latest, FOREGROUND) => vec![Step::Delete("Foreground")],
        _ => vec![Step::Delete("Background")],
    }
}

/// The patch that takes references to these owners away; empty when there are none.
pub(super) fn without_owners(object: &Value, gone: &[Uid]) -> Value {
    let is_gone = |reference: &Value| gone.iter().any(|uid| **uid == *str_at(reference, &["uid"]));
    let all: Vec<&Value> = list_at(object, &["metadata", "ownerReferences"]).collect();
    let kept: Vec<&&Value> = all.iter().filter(|reference| !is_gone(reference)).collect();
    if kept.len() == all.len() {
        return json!({});
    }
    with_preconditions(object, "ownerReferences", json!(kept))
}

/// The patch that takes a finalizer away; empty when it is not there.
pub(super) fn without_finalizer(object: &Value, finalizer: &str) -> Value {
    if !has_finalizer(object, finalizer) {
        return json!({});
    }
    let kept: Vec<&Value> = list_at(object, &["metadata", "finalizers"]).filter(|own| **own != finalizer).collect();
    with_preconditions(object, "finalizers", json!(kept))
}

/// The patch after which no owner waits for this object.
fn without_blocking(object: &Value) -> Value {
    let references: Vec<Value> = list_at(object, &["metadata", "ownerReferences"])
        .map(|reference| {
            let mut reference = reference.clone();
            if reference["blockOwnerDeletion"] == Value::Bool(true) {
                reference["blockOwnerDeletion"] = json!(false);
            }
            reference
        })
        .collect();
    with_preconditions(object, "ownerReferences", json!(references))
}

/// A list is replaced as a whole, so the patch holds only for the object and the version that it was computed from.
fn with_preconditions(object: &Value, field: &str, value: Value) -> Value {
    let metadata = &object["metadata"];
    let mut patch = json!({"metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}});
    patch["metadata"][field] = value;
    patch
}

fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    list_at(object, &["metadata", "finalizers"]).any(|own| own == finalizer)
}

#[cfg(test)]
mod tests;
