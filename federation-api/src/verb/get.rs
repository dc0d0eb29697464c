//! GET of one object: a look into the newest snapshot.

use std::sync::Arc;

use crate::answer::Answer;
use crate::cache::Entry;
use crate::call::Call;
use crate::custom::seen;
use crate::error::ApiError;
use crate::request::options;
use crate::verb::list;

/// Answers a GET.
///
/// # Errors
/// 404; 400 and 504 for a resourceVersion that is no number or in the future.
pub(crate) async fn get(call: &Call) -> Result<Answer, ApiError> {
    Ok(Answer::ok(entry(call).await?.json()))
}

/// The object that the path names.
///
/// # Errors
/// As [`get`].
pub(crate) async fn entry(call: &Call) -> Result<Arc<Entry>, ApiError> {
    let sent = call.query.get("resourceVersion").unwrap_or("");
    match (sent, options::revision(sent)?) {
        ("", _) => list::fresh(call).await?,
        (_, Some(rev)) => list::reached(call, rev).await?,
        _ => {}
    }
    let entry = call.cache.get(&call.key()).ok_or_else(|| ApiError::NotFound(call.subject()))?;
    seen::entry(&call.server, &call.kind, entry).await
}
