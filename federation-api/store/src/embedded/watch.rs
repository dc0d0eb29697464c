//! Watches: a cursor each, that reads the ring while it keeps up and the log when it does not.
//! There is no queue to overflow; a watcher that is never polled costs what its struct weighs.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, Weak};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use tokio::sync::watch;

use super::database::Shared;
use super::read;
use crate::contract::{Rev, StoreError, WatchBatch, WatchError, WatchStream};

/// Log read at once for a watcher that is behind, in bytes; it holds no more than this and a revision.
const CHUNK_BYTES: usize = 512 * 1024;
/// Revisions taken from the ring at once, so that the ring's lock is held shortly.
const CHUNK_REVISIONS: usize = 128;

pub(super) fn stream(shared: &Arc<Shared>, prefix: Bytes, from: Rev) -> WatchStream {
    let cursor = Cursor {
        committed: shared.committed.subscribe(),
        shared: Arc::downgrade(shared),
        prefix,
        at: from,
        told: from,
        checked: false,
        ready: VecDeque::new(),
        ended: false,
    };
    stream::unfold(cursor, |mut cursor| async move {
        let next = cursor.next().await?;
        cursor.ended = next.is_err();
        Some((next, cursor))
    })
    .boxed()
}

struct Cursor {
    /// Weak, so that a forgotten watch does not keep the file open.
    shared: Weak<Shared>,
    committed: watch::Receiver<Rev>,
    prefix: Bytes,
    /// Everything up to here is in `ready` or told.
    at: Rev,
    told: Rev,
    /// Whether the start has been looked up.
    checked: bool,
    ready: VecDeque<WatchBatch>,
    ended: bool,
}

impl Cursor {
    async fn next(&mut self) -> Option<Result<WatchBatch, WatchError>> {
        if self.ended {
            return None;
        }
        loop {
            if let Some(batch) = self.ready.pop_front() {
                self.told = batch.rev;
                return Some(Ok(batch));
            }
            if let Err(error) = self.fill().await {
                return Some(Err(error));
            }
            if !self.ready.is_empty() || *self.committed.borrow_and_update() > self.at {
                continue;
            }
            if self.told < self.at {
                self.told = self.at;
                return Some(Ok(WatchBatch { rev: self.at, events: Vec::new() }));
            }
            if self.committed.changed().await.is_err() {
                return Some(Err(WatchError::Store(StoreError::Closed)));
            }
        }
    }

    /// Reads on from the ring or the log, if there is anything to read.
    async fn fill(&mut self) -> Result<(), WatchError> {
        let shared = self.shared.upgrade().ok_or(WatchError::Store(StoreError::Closed))?;
        shared.ready().map_err(WatchError::Store)?;
        if !self.checked {
            let from = self.at;
            shared.read(move |tables| read::known(tables, from)).await.map_err(watch_error)?;
            self.checked = true;
        }
        if *self.committed.borrow() <= self.at {
            return Ok(());
        }
        let near = shared.ring.lock().unwrap_or_else(PoisonError::into_inner).after(self.at, CHUNK_REVISIONS);
        match near {
            Some(batches) => {
                for batch in batches {
                    self.at = batch.rev;
                    self.ready.extend(matching(&batch, &self.prefix));
                }
            }
            None => {
                let (prefix, from) = (self.prefix.clone(), self.at);
                let (batches, seen) = shared
                    .read(move |tables| read::log(tables, &prefix, from, CHUNK_BYTES))
                    .await
                    .map_err(watch_error)?;
                self.at = seen;
                self.ready.extend(batches);
            }
        }
        Ok(())
    }
}

fn matching(batch: &WatchBatch, prefix: &[u8]) -> Option<WatchBatch> {
    let events: Vec<_> = batch.events.iter().filter(|event| event.key().starts_with(prefix)).cloned().collect();
    (!events.is_empty()).then_some(WatchBatch { rev: batch.rev, events })
}

fn watch_error(error: StoreError) -> WatchError {
    match error {
        StoreError::Compacted { oldest } => WatchError::Compacted { oldest },
        other => WatchError::Store(other),
    }
}
