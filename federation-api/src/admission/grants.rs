//! Nobody may grant what he does not hold: asked before a Role or Binding is written.

use auth::GrantingWrite;
use serde_json::Value;

use super::Review;
use crate::call::Call;
use crate::error::{ApiError, Status};
use crate::kind;
use crate::object;
use crate::verb::write::Part;

/// Refuses a Role or Binding that would hand out more than its writer holds.
///
/// # Errors
/// 403, in upstream's words.
pub(crate) async fn check(call: &Call, new: &Value, review: &Review<'_>) -> Result<(), ApiError> {
    if call.kind.group != "rbac.authorization.k8s.io" || review.part != Part::Main {
        return Ok(());
    }
    let write = GrantingWrite { user: &call.user, new, old: review.old };
    call.server.access.check_grant(&write).await.map_err(|escalation| {
        let mut status = Status::failure(403, "Forbidden", escalation.message);
        status.details =
            ApiError::Forbidden(kind::subject(&call.kind, object::name(new)), String::new()).status().details;
        ApiError::Foreign(Box::new(status))
    })
}
