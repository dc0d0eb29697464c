//! Names that end in `.MEMBER` are those of mirrored objects; a template must not take one.

use federation_types::ClusterName;
use serde_json::Value;

use super::{Operation, Review};
use crate::call::Call;
use crate::error::{ApiError, Cause};
use crate::kind;
use crate::object;

/// Refuses to create a template that would look like a member's object.
///
/// # Errors
/// 422 on metadata.name.
pub(crate) fn admit(call: &Call, new: &Value, review: &Review<'_>) -> Result<(), ApiError> {
    if !call.server.is_hub || review.operation != Operation::Create || !call.server.placement.is_template(new) {
        return Ok(());
    }
    let name = object::name(new);
    let Some((_, member)) = ClusterName::split_suffix(name) else { return Ok(()) };
    if call.server.cache.resource("fedgate.dev/clusters").get(member.as_str()).is_none() {
        return Ok(());
    }
    let detail = format!("names that end in .{member} are those of objects seen in member cluster {member}");
    Err(ApiError::invalid(kind::kind_subject(&call.kind, name), Cause::invalid("metadata.name", name, &detail)))
}
