//! Server-side apply: the merge and its ownership are the schema's, the life of the object is the pipeline's.

use crate::answer::Answer;
use crate::call::Call;
use crate::error::{ApiError, Cause};
use crate::request::options::WriteOptions;
use crate::verb::write::Part;

/// Answers a PATCH of type apply.
///
/// # Errors
/// 422 without a field manager, 409 for conflicts, and what every write may be refused for.
pub(crate) async fn apply(call: &mut Call, _part: Part, options: &WriteOptions) -> Result<Answer, ApiError> {
    if options.field_manager.is_empty() {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        return Err(ApiError::invalid_options("PatchOptions", vec![cause]));
    }
    Err(ApiError::NotSupported("server-side apply is not supported yet".to_owned()))
}
