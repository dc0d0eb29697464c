//! Routes that want a token: whose, and what endpoints are told of it.
//!
//! Pure: the time is passed in.

use auth::jwt::{JwtError, Verifier};
use http::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::snapshot::Named;

/// What a token has to say, and what of it endpoints hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// Where the keys come from.
    pub secret: Named,
    pub verifier: Verifier,
    /// Fields and the claims that are in them; clients cannot set them.
    pub headers: Vec<(HeaderName, String)>,
}

impl Bearer {
    /// The fields for endpoints, out of the claims of a good token; a claim that is no text, number or truth is told of in none.
    ///
    /// # Errors
    /// Why the token is not believed.
    pub fn judge(&self, token: &str, now: u64) -> Result<Vec<(HeaderName, HeaderValue)>, JwtError> {
        let claims = self.verifier.verify(token, now)?;
        let value = |claim: &str| match claims.get(claim)? {
            Value::String(text) => HeaderValue::from_str(text).ok(),
            Value::Number(number) => HeaderValue::from_str(&number.to_string()).ok(),
            Value::Bool(truth) => Some(HeaderValue::from_static(if *truth { "true" } else { "false" })),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        Ok(self.headers.iter().filter_map(|(name, claim)| Some((name.clone(), value(claim)?))).collect())
    }
}
