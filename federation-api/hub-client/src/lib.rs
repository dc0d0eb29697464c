//! Talking to a Kubernetes-compatible API as a plain client: the hub's own, or a member's.
//!
//! A [`Caller`] is a connection with an identity. A [`Reflection`] keeps a small projection of a resource current.
//! A [`Queue`] and [`drive`] run reconciles: level-triggered, no input but the key, never two runs a key.
//! [`lead`] runs work in one process of several.
//! In one process the connection wraps the API server's own service; split into several it goes over TLS.
//! This crate must not know what is behind the connection, nor any kind's fields.

pub mod caller;
pub mod driver;
pub mod error;
pub mod follow;
pub mod lease;
pub mod persist;
pub mod reflect;
pub mod watch;

pub use caller::{At, Caller, Collection, DeleteOptions, Listed, WriteOptions};
pub use driver::{Queue, ReconcileError, drive};
pub use error::ApiError;
pub use follow::{Sink, follow};
pub use lease::{Claim, lead};
pub use reflect::{Change, Reflection, Reflector};
pub use watch::{WatchEvent, WatchOptions};

/// The federation control plane's API as its components see it.
pub type Hub = Caller;
