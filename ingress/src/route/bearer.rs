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

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Believed {
    /// Whose it is, where it says so.
    pub subject: Option<Box<str>>,
    /// For endpoints.
    pub fields: Vec<(HeaderName, HeaderValue)>,
}

impl Bearer {
    /// What of the claims of a good token is told; a claim that is no text, number or truth is in no field.
    ///
    /// # Errors
    /// Why the token is not believed.
    pub fn judge(&self, token: &str, now: u64) -> Result<Believed, JwtError> {
        let claims = self.verifier.verify(token, now)?;
        let value = |claim: &str| match claims.get(claim)? {
            Value::String(text) => HeaderValue::from_str(text).ok(),
            Value::Number(number) => HeaderValue::from_str(&number.to_string()).ok(),
            Value::Bool(truth) => Some(HeaderValue::from_static(if *truth { "true" } else { "false" })),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        let fields = self.headers.iter().filter_map(|(name, claim)| Some((name.clone(), value(claim)?))).collect();
        let subject = claims.get("sub").and_then(Value::as_str).filter(|subject| !subject.is_empty());
        Ok(Believed { subject: subject.map(Into::into), fields })
    }
}
