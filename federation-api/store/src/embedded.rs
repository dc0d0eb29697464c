//! The embedded store: one redb file, one writer, one fsync a batch of transactions.
//!
//! `cur` holds the newest value of every key, `log` what each revision did (new and previous value,
//! so that a watch can resume and a snapshot of the recent past can be told), `meta` the counters.
//! All three change in one redb transaction, so that they cannot disagree after a crash.

mod backend;
mod commit;
mod database;
mod layout;
mod options;
mod read;
mod ring;
#[cfg(test)]
mod tests;
mod verify;
mod watch;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch as notify;

use crate::contract::{Cond, Kv, Op, Page, Rev, Snapshot, Store, StoreError, TxnError, WatchStream, validate};
use commit::{Committer, Txn};
use database::{Database, Shared};
use writer::Writer;

pub use options::{Clock, Durability, History, Options};
pub use verify::Verified;

/// A `Store` in one file (or in memory, for tests), for one process.
pub struct RedbStore {
    shared: Arc<Shared>,
    writer: Writer,
    max_value: usize,
}

impl RedbStore {
    /// Opens or creates the file; its lock keeps every other process out.
    ///
    /// # Errors
    /// `Locked` when another process (or another open in this one) has it, `Format` when it was
    /// written by another generation of the store, `Open` for everything else.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, StoreError> {
        let database = Database::file(path.as_ref(), options.cache_bytes)?;
        Self::start(database, options)
    }

    /// A store without a file: nothing survives it, nothing waits for a disk, no thread is started.
    ///
    /// # Errors
    /// `Open` if memory cannot be had.
    pub fn in_memory(options: Options) -> Result<Self, StoreError> {
        let database = Database::memory(options.cache_bytes)?;
        Self::start(database, options)
    }

    fn start(database: Database, options: Options) -> Result<Self, StoreError> {
        let in_memory = database.in_memory();
        let max_value = options.max_value_bytes;
        let (committer, shared) = Committer::open(database, options)?;
        let writer = if in_memory { Writer::inline(committer) } else { Writer::thread(committer)? };
        Ok(Self { shared, writer, max_value })
    }

    /// Waits for queued transactions, makes everything durable and releases the file.
    /// Later calls are answered with `Closed`; watches end with it.
    pub fn close(&self) {
        self.writer.close();
        self.shared.close();
    }

    /// Reads everything and compares: the newest values, the log, the counters.
    ///
    /// # Errors
    /// `Broken` names the first disagreement.
    pub async fn verify(&self) -> Result<Verified, StoreError> {
        self.shared.read(verify::verify).await
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Store for RedbStore {
    async fn get(&self, key: &[u8]) -> Result<(Option<Kv>, Rev), StoreError> {
        let key = Bytes::copy_from_slice(key);
        self.shared.read(move |tables| read::get(tables, &key)).await
    }

    async fn snapshot(&self, prefix: &[u8], at: Option<Rev>, page: Page) -> Result<Snapshot, StoreError> {
        let prefix = Bytes::copy_from_slice(prefix);
        self.shared.read(move |tables| read::snapshot(tables, &prefix, at, &page)).await
    }

    async fn txn(&self, conds: Vec<(Bytes, Cond)>, ops: Vec<Op>) -> Result<Rev, TxnError> {
        let bytes = validate(&conds, &ops, self.max_value)?;
        self.writer.txn(Txn { conds, ops, bytes }).await
    }

    fn watch(&self, prefix: &[u8], from: Rev) -> WatchStream {
        watch::stream(&self.shared, Bytes::copy_from_slice(prefix), from)
    }

    async fn current(&self) -> Result<Rev, StoreError> {
        self.shared.ready()?;
        Ok(*notify::Sender::borrow(&self.shared.committed))
    }

    async fn oldest(&self) -> Result<Rev, StoreError> {
        self.shared.read(|tables| Ok(tables.state.compacted)).await
    }

    async fn compact(&self, to: Rev) -> Result<(), StoreError> {
        self.writer.compact(to).await
    }
}
