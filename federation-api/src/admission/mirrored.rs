//! Guards what tells stored objects from mirrored ones: two labels that the mirror alone sets, and names that end in
//! `.CLUSTER`.
//!
//! Controllers leave alone what carries the cluster's label: whoever could set it could hide an object from them.

use federation_types::label::{CLUSTER, MARKER};
use serde_json::Value;

use super::{Operation, Review};
use crate::call::Call;
use crate::error::{ApiError, Cause};
use crate::kind;
use crate::mirror::owner;
use crate::object;
use crate::verb::write::Part;

/// Where an object may carry labels, its own and those of the objects that controllers make of it.
const LABELS: &[(&str, &str)] = &[
    ("/metadata/labels", "metadata.labels"),
    ("/spec/template/metadata/labels", "spec.template.metadata.labels"),
    ("/spec/jobTemplate/metadata/labels", "spec.jobTemplate.metadata.labels"),
    ("/spec/jobTemplate/spec/template/metadata/labels", "spec.jobTemplate.spec.template.metadata.labels"),
];

/// Refuses the mirror's labels, and a new name that a member's object has or may get.
///
/// # Errors
/// 422 naming the field; 405 where the name is that of a member's object.
pub(crate) fn admit(call: &Call, new: &Value, review: &Review<'_>) -> Result<(), ApiError> {
    check_labels(call, new, review)?;
    if review.operation == Operation::Create && review.part == Part::Main {
        owner::check_new(call, object::name(new))?;
    }
    Ok(())
}

fn check_labels(call: &Call, new: &Value, review: &Review<'_>) -> Result<(), ApiError> {
    let label = |object: &Value, at: &str, key: &str| object.pointer(at).and_then(|labels| labels.get(key)).cloned();
    let mut causes = Vec::new();
    for (pointer, field) in LABELS {
        for key in [CLUSTER, MARKER] {
            let sent = label(new, pointer, key);
            // What was stored before may stay until somebody takes it away.
            if sent.is_some() && sent != review.old.and_then(|old| label(old, pointer, key)) {
                let detail = "is set by the server alone, on objects of member clusters";
                causes.push(Cause::forbidden(&format!("{field}[{key}]"), detail));
            }
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::Invalid(kind::kind_subject(&call.kind, object::name(new)), causes))
}
