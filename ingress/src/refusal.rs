//! The answer to a request that goes no further.
//!
//! A value; who makes it says why, who sends it knows how.

use http::StatusCode;

/// A request that no endpoint may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub reason: &'static str,
    /// What follows on this connection is not to be believed.
    pub close: bool,
}
