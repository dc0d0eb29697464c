//! What the server itself has to say to a write, one plugin a file, in one order.
//!
//! Mutating plugins run before the record of managed fields, validation after it.

pub(crate) mod addresses;
pub(crate) mod author;
mod birth;
pub(crate) mod grants;
pub(crate) mod mirrored;
pub(crate) mod namespaces;
mod suffix;

use federation_schema::facts::Resource;
use serde_json::Value;

use crate::cache::Entry;
use crate::call::Call;
use crate::error::ApiError;
use crate::verb::write::Part;
use crate::{check, kind};

pub use addresses::ServiceRange;

/// What a write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
}

/// What a plugin may know of a write beside the request and the new object.
#[derive(Debug)]
pub(crate) struct Review<'a> {
    pub(crate) operation: Operation,
    pub(crate) part: Part,
    pub(crate) old: Option<&'a Value>,
}

/// Runs the plugins that may change the object or refuse it for what it is not itself.
///
/// # Errors
/// The first refusal.
pub(crate) async fn admit(call: &mut Call, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    refuse_unfinished(&call.kind, review)?;
    mirrored::admit(call, new, review)?;
    namespaces::admit(call, new, review)?;
    suffix::admit(call, new, review)?;
    birth::admit(call, new, review);
    author::admit(call, new, review);
    if review.part == Part::Main {
        check::default(call, new, review)?;
        addresses::admit(call, new, review)?;
    }
    Ok(())
}

/// What there is to tell about a write that happened.
pub(crate) fn written(call: &mut Call, new: &Value, review: &Review<'_>) {
    if review.part == Part::Main
        && let Some(warning) = call.server.placement.unplaced_warning(new)
    {
        call.warn(warning);
    }
}

/// Whether an object may be deleted at all.
///
/// # Errors
/// 403 for what has to stay.
pub(crate) fn may_delete(call: &Call, entry: &Entry) -> Result<(), ApiError> {
    namespaces::may_delete(call, entry)
}

/// Kinds that would be stored and then ignored are refused by name.
fn refuse_unfinished(of: &Resource, review: &Review<'_>) -> Result<(), ApiError> {
    match kind::refused(of) {
        Some(what) if review.operation == Operation::Create => Err(ApiError::NotSupported(format!(
            "{} cannot be created: this server does not support {what} yet",
            kind::qualified(of)
        ))),
        _ => Ok(()),
    }
}
