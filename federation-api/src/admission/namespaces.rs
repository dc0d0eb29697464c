//! The life of namespaces, and what may live in them when.
//!
//! Emptying a namespace is a controller's work; this guards the doors.
//! Source: k8s.io/apiserver `pkg/admission/plugin/namespace/lifecycle`, upstream's namespace strategy.

use serde_json::{Value, json};

use super::{Operation, Review};
use crate::cache::Entry;
use crate::call::Call;
use crate::error::{ApiError, Subject};
use crate::kind;
use crate::object;
use crate::verb::write::Part;

/// Namespaces that cannot be deleted.
pub(crate) const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];
/// The finalizer in `spec.finalizers` that the namespace controller removes.
const FINALIZER: &str = "kubernetes";
/// The label that every namespace has.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Guards creation by the namespace's life; fills in what a namespace is born with.
///
/// # Errors
/// 404 where the namespace is missing, 403 where it is going away.
pub(crate) fn admit(call: &Call, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    if kind::is_namespace(&call.kind) {
        shape(new, review);
        return Ok(());
    }
    if !call.kind.namespaced || review.operation != Operation::Create {
        return Ok(());
    }
    let wanted = call.namespace();
    let namespaces = call.server.cache.resource("core/namespaces");
    let Some(entry) = namespaces.get(wanted) else {
        return Err(ApiError::NotFound(Subject::new("", "namespaces", wanted)));
    };
    if entry.field(&["metadata", "deletionTimestamp"]).is_some() {
        let subject = kind::subject(&call.kind, object::name(new));
        return Err(ApiError::NamespaceTerminating(subject, wanted.to_owned()));
    }
    Ok(())
}

/// Names a namespace in its own label, as decoding one does.
pub(crate) fn default_label(call: &Call, new: &mut Value) {
    if kind::is_namespace(&call.kind) && !object::name(new).is_empty() {
        let name = object::name(new).to_owned();
        object::set_label(new, NAME_LABEL, Some(&name));
    }
}

/// Refuses to delete what everything stands on.
///
/// # Errors
/// 403.
pub(crate) fn may_delete(call: &Call, entry: &Entry) -> Result<(), ApiError> {
    if kind::is_namespace(&call.kind) && IMMORTAL.contains(&entry.name()) {
        let subject = kind::subject(&call.kind, entry.name());
        return Err(ApiError::Forbidden(subject, "this namespace may not be deleted".to_owned()));
    }
    Ok(())
}

/// Whether nothing in the namespace is waited for any more.
pub(crate) fn is_finalized(namespace: &Value) -> bool {
    namespace.pointer("/spec/finalizers").and_then(Value::as_array).is_none_or(Vec::is_empty)
}

/// The phase of a namespace whose deletion has begun.
pub(crate) fn set_terminating(namespace: &mut Value) {
    set_phase(namespace, "Terminating");
}

fn shape(new: &mut Value, review: &Review<'_>) {
    let name = object::name(new).to_owned();
    object::set_label(new, NAME_LABEL, Some(&name));
    match (review.operation, review.old) {
        (Operation::Delete | Operation::Connect, _) => {}
        (Operation::Create, _) | (_, None) => {
            set_finalizers(new, &json!([FINALIZER]));
            if let Some(map) = new.as_object_mut() {
                map.insert("status".to_owned(), json!({"phase": "Active"}));
            }
        }
        (Operation::Update, Some(old)) if review.part != Part::Finalize => {
            let kept = old.pointer("/spec/finalizers").cloned().unwrap_or(json!([]));
            set_finalizers(new, &kept);
        }
        (Operation::Update, Some(old)) => {
            // Only the finalizers, and only fewer, whatever else was sent.
            let wanted = new.pointer("/spec/finalizers").cloned().unwrap_or(json!([]));
            let metadata = old.get("metadata").cloned();
            let own = new.get("metadata").cloned();
            *new = old.clone();
            if let (Some(map), Some(metadata)) = (new.as_object_mut(), metadata.or(own)) {
                map.insert("metadata".to_owned(), metadata);
            }
            set_finalizers(new, &wanted);
        }
    }
}

fn set_finalizers(namespace: &mut Value, finalizers: &Value) {
    let Some(map) = namespace.as_object_mut() else { return };
    let spec = map.entry("spec").or_insert_with(|| json!({}));
    if !spec.is_object() {
        *spec = json!({});
    }
    let Some(spec) = spec.as_object_mut() else { return };
    if finalizers.as_array().is_none_or(Vec::is_empty) {
        spec.remove("finalizers");
    } else {
        spec.insert("finalizers".to_owned(), finalizers.clone());
    }
}

fn set_phase(namespace: &mut Value, phase: &str) {
    let Some(map) = namespace.as_object_mut() else { return };
    let status = map.entry("status").or_insert_with(|| json!({}));
    if let Some(status) = status.as_object_mut() {
        status.insert("phase".to_owned(), phase.into());
    }
}
