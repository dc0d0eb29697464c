//! The only JSON surgery in the house: JSON patch, merge patch, strategic merge patch and server-side apply.
//! All of it is pure: values in, values out; who may do it and what becomes of it is the caller's business.

pub mod apply;
pub mod json;
pub mod merge;
pub mod strategic;

/// Why a patch was not applied; the variant says which status the server answers with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// 400: the patch itself is not well formed.
    #[error("{0}")]
    Malformed(String),
    /// 413: the patch is too big.
    #[error("{0}")]
    TooLarge(String),
    /// 422: well formed, but it does not apply to this object.
    #[error("{0}")]
    Unprocessable(String),
    /// 500 upstream: a strategic merge patch that contradicts the object's schema.
    #[error("{0}")]
    Schema(String),
}

/// Nesting that a patched object may reach; the same bound that decoding keeps.
pub const MAX_DEPTH: usize = 128;
