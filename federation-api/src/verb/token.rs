//! TokenRequest: a token for a service account, bound to what the request names.

use crate::answer::Answer;
use crate::call::Call;
use crate::error::ApiError;

/// Answers a POST to serviceaccounts/NAME/token.
///
/// # Errors
/// 404 for an unknown account, 405 where this server issues no tokens.
pub(crate) async fn create(call: &mut Call) -> Result<Answer, ApiError> {
    let key = call.key();
    call.cache.get(&key).ok_or_else(|| ApiError::NotFound(call.subject()))?;
    Err(ApiError::NotSupported("this server issues no service account tokens".to_owned()))
}
