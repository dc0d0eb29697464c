//! The watch cache: what every read is served from, and what every watch follows.
//!
//! Per resource one immutable snapshot behind an `ArcSwap` and one ring of events; objects are bytes, not trees.
//! Stored resources are fed by one watch of the store, in commit order; a mirror feeds its rings itself
//! (see [`ResourceCache::put`]). Knows keys and JSON, no kinds, no users.

mod clock;
mod entry;
mod feed;
mod past;
mod resource;
mod ring;
mod tree;
mod wake;
mod watcher;

pub use clock::{Clock, Progress, REPLICA_BITS};
pub use entry::{Entry, EventKind};
pub use feed::{Cache, CacheError, REGISTRY};
pub use past::Past;
pub use resource::{Expired, ResourceCache, Snapshot};
pub use ring::{Event, RING_BYTES_MAX, RING_EVENTS_MAX, RING_EVENTS_MIN, RING_WINDOW};
pub use wake::Scope;
pub use watcher::Watcher;

pub(crate) use entry::splice_revision;
