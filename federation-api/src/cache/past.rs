//! What the rings have forgotten and the store still knows: so that watches and lists go on after a restart.
//!
//! Read on demand and kept nowhere. Only for resources with the store's clock.

use std::sync::Arc;

use federation_store::{Event as StoreEvent, Page, StoreError, WatchError, WatchStream};
use futures_util::StreamExt;

use super::entry::{Entry, EventKind};
use super::feed::{REGISTRY, Shared, split_key};
use super::resource::{Expired, Snapshot};
use super::ring::Event;

/// Events from the store's log, in order, up to a revision.
pub struct Past {
    events: WatchStream,
    /// What was asked for, for messages.
    from: u64,
    until: u64,
    seen: u64,
}

impl Past {
    pub(super) fn new(shared: &Shared, storage: &str, from: u64, until: u64) -> Self {
        let events = shared.store.watch(prefix(storage).as_bytes(), from);
        Self { events, from, until, seen: from }
    }

    /// The next events; none when everything up to the end was told.
    ///
    /// # Errors
    /// [`Expired`] where the log does not reach back that far.
    pub async fn next(&mut self) -> Result<Option<Vec<Arc<Event>>>, Expired> {
        if self.seen >= self.until {
            return Ok(None);
        }
        match self.events.next().await {
            Some(Ok(batch)) => {
                self.seen = batch.rev;
                if batch.rev > self.until {
                    return Ok(None);
                }
                Ok(Some(batch.events.iter().filter_map(event).collect()))
            }
            Some(Err(WatchError::Compacted { oldest })) => Err(Expired { asked: self.from, oldest }),
            Some(Err(WatchError::Store(_))) | None => Err(Expired { asked: self.from, oldest: self.until }),
        }
    }
}

/// A resource at an old revision.
pub(super) async fn snapshot(shared: &Shared, storage: &str, rev: u64) -> Result<Snapshot, Expired> {
    let read = shared.store.snapshot(prefix(storage).as_bytes(), Some(rev), Page::default()).await;
    let read = read.map_err(|error| match error {
        StoreError::Compacted { oldest } => Expired { asked: rev, oldest },
        _ => Expired { asked: rev, oldest: rev + 1 },
    })?;
    let objects = read.kvs.iter().filter_map(|kv| split_key(&kv.key).map(|(_, key)| (key, &kv.val[..], kv.mod_rev)));
    Ok(Snapshot::past(rev, objects))
}

fn prefix(storage: &str) -> String {
    format!("{REGISTRY}{storage}/")
}

fn event(event: &StoreEvent) -> Option<Arc<Event>> {
    let (_, key) = split_key(event.key())?;
    let entry = |kind, val: &[u8], rev| Arc::new(Entry::new(kind, key, val, rev, rev));
    Some(Arc::new(match event {
        StoreEvent::Put { kv, prev: None } => {
            Event::new(EventKind::Added, entry(EventKind::Added, &kv.val, kv.mod_rev), None)
        }
        StoreEvent::Put { kv, prev: Some(prev) } => {
            let old = entry(EventKind::Modified, &prev.val, prev.mod_rev);
            Event::new(EventKind::Modified, entry(EventKind::Modified, &kv.val, kv.mod_rev), Some(old))
        }
        StoreEvent::Del { rev, prev, .. } => {
            let old = entry(EventKind::Modified, &prev.val, prev.mod_rev);
            Event::new(EventKind::Deleted, Arc::new(old.tombstone(*rev, *rev)), Some(old))
        }
    }))
}
