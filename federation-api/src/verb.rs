//! The verbs, one a file, and the pipeline that all writes share.

pub(crate) mod apply;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod eviction;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod patch;
pub(crate) mod pod_parts;
pub(crate) mod review;
pub(crate) mod subresource;
pub(crate) mod token;
pub(crate) mod update;
pub(crate) mod watch;
pub(crate) mod write;
