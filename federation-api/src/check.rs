//! Defaults and validation of an object: the generic rules of metadata here, those of kinds in the schema.
//!
//! Source: k8s.io/apimachinery `pkg/api/validation/objectmeta.go`.

use serde_json::Value;

use crate::admission::{Operation, Review};
use crate::call::Call;
use crate::error::{ApiError, Cause};
use crate::{name, object};

/// All annotations of an object together, in bytes.
const MAX_ANNOTATIONS_BYTES: usize = 256 * 1024;

/// Sets the few defaults that clients cannot do without.
///
/// # Errors
/// 400 where the object has another shape than its kind.
pub(crate) fn default(_call: &Call, _new: &mut Value) -> Result<(), ApiError> {
    Ok(())
}

/// Everything that is wrong with an object.
pub(crate) fn complaints(call: &Call, new: &Value, review: &Review<'_>) -> Vec<Cause> {
    let mut causes = Vec::new();
    check_name(call, new, review, &mut causes);
    check_annotations(new, &mut causes);
    check_owners(new, &mut causes);
    if let Some(old) = review.old {
        check_finalizers(old, new, &mut causes);
    }
    causes
}

fn check_name(call: &Call, new: &Value, review: &Review<'_>, causes: &mut Vec<Cause>) {
    let own = object::name(new);
    if review.operation == Operation::Create
        && let Some(complaint) = name::complaint(call.kind, own)
    {
        causes.push(Cause::invalid("metadata.name", own, &complaint));
    }
    if let Some(old) = review.old
        && object::name(old) != own
    {
        causes.push(Cause::invalid("metadata.name", own, "field is immutable"));
    }
}

fn check_annotations(new: &Value, causes: &mut Vec<Cause>) {
    let annotations = new.pointer("/metadata/annotations").and_then(Value::as_object);
    let size: usize =
        annotations.into_iter().flatten().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if size > MAX_ANNOTATIONS_BYTES {
        causes.push(Cause::field(
            "FieldValueTooLong",
            "metadata.annotations",
            format!("Too long: may not be more than {MAX_ANNOTATIONS_BYTES} bytes"),
        ));
    }
}

fn check_owners(new: &Value, causes: &mut Vec<Cause>) {
    let owners = new.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let mut controllers = 0;
    for (at, owner) in owners.into_iter().flatten().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner.get(field).and_then(Value::as_str).unwrap_or("").is_empty() {
                let path = format!("metadata.ownerReferences[{at}].{field}");
                causes.push(Cause::invalid(&path, "", "must not be empty"));
            }
        }
        controllers += usize::from(owner.get("controller").and_then(Value::as_bool) == Some(true));
    }
    if controllers > 1 {
        causes.push(Cause::invalid(
            "metadata.ownerReferences",
            "",
            "Only one reference can have Controller set to true.",
        ));
    }
}

/// An object that is being deleted takes no new finalizers.
fn check_finalizers(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    if !object::is_deleting(old) {
        return;
    }
    let before = object::finalizers(old);
    let added: Vec<String> = object::finalizers(new).into_iter().filter(|f| !before.contains(f)).collect();
    if !added.is_empty() {
        causes.push(Cause::forbidden(
            "metadata.finalizers",
            &format!("no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"),
        ));
    }
}
