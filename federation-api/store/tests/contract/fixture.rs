//! Stores to test, and words to write cases in.

use std::time::Duration;

use bytes::Bytes;
use federation_store::{
    Cond, Event, Kv, Op, Options, Page, RedbStore, Rev, Snapshot, Store, TxnError, WatchBatch, WatchError, WatchStream,
};
use futures_util::StreamExt;
use tempfile::TempDir;

/// Longer than any machine should need; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A small ring, so that watchers meet both the ring and the log.
pub fn options() -> Options {
    Options { ring_bytes: 16 * 1024, max_value_bytes: 64 * 1024, ..Options::default() }
}

pub fn in_memory() -> std::sync::Arc<dyn Store> {
    std::sync::Arc::new(RedbStore::in_memory(options()).unwrap())
}

pub fn in_a_file() -> (std::sync::Arc<dyn Store>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (std::sync::Arc::new(RedbStore::open(dir.path().join("db"), options()).unwrap()), dir)
}

pub fn key(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub fn put(name: &str, val: &str) -> Op {
    Op::Put { key: key(name), val: key(val) }
}

pub fn del(name: &str) -> Op {
    Op::Del { key: key(name) }
}

/// Writes without a condition.
pub async fn write(store: &dyn Store, ops: Vec<Op>) -> Rev {
    store.txn(Vec::new(), ops).await.unwrap()
}

/// Writes under one condition.
pub async fn write_if(store: &dyn Store, name: &str, cond: Cond, op: Op) -> Result<Rev, TxnError> {
    store.txn(vec![(key(name), cond)], vec![op]).await
}

pub async fn value(store: &dyn Store, name: &str) -> Option<String> {
    let (kv, _) = store.get(name.as_bytes()).await.unwrap();
    kv.map(|kv| text(&kv.val))
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// `key=value` of every key in the snapshot.
pub fn pairs(snapshot: &Snapshot) -> Vec<String> {
    snapshot.kvs.iter().map(pair).collect()
}

pub fn pair(kv: &Kv) -> String {
    format!("{}={}", text(&kv.key), text(&kv.val))
}

pub async fn everything(store: &dyn Store, prefix: &str, at: Option<Rev>) -> Snapshot {
    store.snapshot(prefix.as_bytes(), at, Page::default()).await.unwrap()
}

pub async fn next(watch: &mut WatchStream) -> Result<WatchBatch, WatchError> {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("the watch says something").expect("the watch goes on")
}

/// The next batch that has events.
pub async fn next_events(watch: &mut WatchStream) -> WatchBatch {
    loop {
        let batch = next(watch).await.unwrap();
        if !batch.events.is_empty() {
            return batch;
        }
    }
}

/// `+key=value` (created), `~key=value<old` (changed), `-key<old` (removed).
pub fn told(batch: &WatchBatch) -> Vec<String> {
    batch
        .events
        .iter()
        .map(|event| match event {
            Event::Put { kv, prev: None } => format!("+{}", pair(kv)),
            Event::Put { kv, prev: Some(prev) } => format!("~{}<{}", pair(kv), text(&prev.val)),
            Event::Del { key, prev, .. } => format!("-{}<{}", text(key), text(&prev.val)),
        })
        .collect()
}
