//! Defaults and validation of an object: the rules are the schema's, this is where the pipeline meets them.

use federation_schema::field::FieldError;
use federation_schema::{crd, defaults, validate};
use serde_json::Value;

use crate::admission::Review;
use crate::call::Call;
use crate::custom;
use crate::error::{ApiError, Cause};
use crate::kind;
use crate::object;
use crate::verb::write::Part;

/// Refuses what only a member can fill in, where this is a hub; then sets the few defaults that clients cannot do without.
///
/// # Errors
/// 422 naming the field.
pub(crate) fn default(call: &Call, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    if call.server.is_hub {
        refuse(call, new, validate::refuse_member_fields(&call.stored, new, review.old))?;
    }
    defaults::set_defaults(new);
    Ok(())
}

/// Judges the finished object.
///
/// # Errors
/// 422 with every complaint.
pub(crate) fn validate(call: &Call, new: &Value, review: &Review<'_>) -> Result<(), ApiError> {
    if let Some(custom) = call.kind.custom() {
        let shape = &custom.version().shape;
        let errors = match (review.part, review.old) {
            (Part::Status, Some(old)) => shape.validate_status(new, old),
            (_, old) => shape.validate(new, old),
        };
        return refuse(call, new, errors);
    }
    let mut errors = validate::validate(call.stored.facts(), &call.stored, new, review.old);
    let is_pod = call.stored.group.is_empty() && call.stored.plural == "pods";
    if let (true, Some(old), "", []) = (is_pod, review.old, &*call.info.subresource, &*errors) {
        errors.extend(validate::refuse_resized(new, old));
    }
    if custom::is_definition(&call.kind) {
        errors.extend(match review.part {
            Part::Status => crd::validate_status(new),
            _ => crd::validate(new, review.old),
        });
    }
    refuse(call, new, errors)
}

fn refuse(call: &Call, new: &Value, errors: Vec<FieldError>) -> Result<(), ApiError> {
    if errors.is_empty() {
        return Ok(());
    }
    let cause = |error: FieldError| Cause::field(error.reason(), &error.path, error.body());
    let causes = errors.into_iter().map(cause).collect();
    Err(ApiError::Invalid(kind::kind_subject(&call.kind, object::name(new)), causes))
}
