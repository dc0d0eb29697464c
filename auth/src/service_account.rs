//! Service account tokens: signed here, verified here, and worth nothing once their account or object is gone.
//!
//! Whether those still exist is asked of [`ServiceAccountLookup`]; this side holds keys and knows the claims.

mod claims;
pub(crate) mod jws;
mod key;
mod verify;

pub use claims::{BoundKind, BoundObject, TokenReference};
pub use key::{ServiceAccountKey, VerifyingKey};
pub use verify::{Lookup, ServiceAccountLookup, ServiceAccountTokens, VerifiedToken};

use crate::credential::Secret;
use crate::x509::X509Error;
use jiff::Timestamp;
use std::time::Duration;

/// The shortest lifetime that a token can be asked for.
pub const MIN_LIFETIME: Duration = Duration::from_secs(600);
/// The lifetime of a token when the request names none.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);
/// The longest lifetime that a token can be asked for.
pub const MAX_LIFETIME: Duration = Duration::from_secs(1 << 32);

/// What a token is to say.
#[derive(Clone, Debug)]
pub struct TokenSpec {
    pub reference: TokenReference,
    /// Never empty: a token for nobody is for everybody.
    pub audiences: Vec<String>,
    pub lifetime: Duration,
}

/// A new token.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    pub token: Secret,
    pub expires: Timestamp,
}

/// Why a token cannot be issued, or a key not be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("an issuer is not empty")]
    NoIssuer,
    #[error("a token needs at least one audience")]
    NoAudience,
    #[error("the lifetime of a token is between 10 minutes and 2^32 seconds")]
    Lifetime,
    #[error("the key is no ECDSA P-256 key")]
    Key,
    #[error("the signature cannot be made: the random source of the system fails")]
    Sign,
    #[error("key file")]
    File(#[from] X509Error),
}

#[cfg(test)]
mod tests;
