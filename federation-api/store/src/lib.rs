//! Ordered keys to bytes, with revisions, conditional transactions and watches.
//!
//! The store is the only state that survives a crash. It knows keys, bytes and revisions; it must
//! not know Kubernetes: no objects, no namespaces, no encodings. Everything above it is derived.
//!
//! What every implementation promises, and what `tests/contract.rs` checks:
//! - one transaction is one revision; revisions only rise and are never used twice, also after a
//!   crash, also after the file was restored from a backup;
//! - a transaction is acknowledged only when it is durable, and seen by readers and watchers only then;
//! - a watch from revision R yields everything after R, in order, once, or says that history before
//!   some later revision is gone;
//! - a slow watcher costs a cursor, not a queue.
#![forbid(unsafe_code)]

mod contract;
mod embedded;

pub use contract::{
    Cond, Event, Kv, MAX_KEY_BYTES, MAX_TXN_BYTES, MAX_TXN_OPS, Op, Page, Rev, Snapshot, Store, StoreError, TxnError,
    WatchBatch, WatchError, WatchStream,
};
pub use embedded::{Clock, Durability, History, Options, RedbStore, Verified};
