//! The cache of one resource: its newest snapshot, its ring, and whom to wake.
//!
//! Takes objects from any source. The store's feed and a mirror call the same [`ResourceCache::put`].

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use super::clock::Clock;
use super::entry::{Entry, EventKind};
use super::ring::{Event, Ring};
use super::tree::{Range, Tree};
use super::wake::{Scope, Wake};
use super::watcher::Watcher;

/// A revision that is older than what is kept, or another replica's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Expired {
    pub asked: u64,
    pub oldest: u64,
}

/// All objects of a resource at one revision; cloning is cheap.
#[derive(Debug, Clone)]
pub struct Snapshot {
    rev: u64,
    objects: Tree,
}

/// One resource: a handle for reads and watches, and for whoever feeds it.
#[derive(Debug)]
pub struct ResourceCache {
    clock: Clock,
    snapshot: ArcSwap<Snapshot>,
    /// Guards the order of events; held for a push or a copy of a few pointers, never across an await.
    ring: RwLock<Ring>,
    /// Serialises writers: a snapshot is derived from the one before.
    writing: Mutex<()>,
    wake: Wake,
    history: Marks,
}

/// Revisions of the last two compactions; like etcd's, what is older than the last but one is gone.
#[derive(Debug, Default)]
struct Marks {
    compacted: AtomicU64,
    next: AtomicU64,
}

impl Snapshot {
    fn empty(rev: u64) -> Self {
        Self { rev, objects: Tree::default() }
    }

    /// Objects as they were at `rev`: (key, JSON, stored revision).
    pub(super) fn past<'a>(rev: u64, objects: impl Iterator<Item = (&'a str, &'a [u8], u64)>) -> Self {
        let mut snapshot = Self::empty(rev);
        for (key, raw, stored) in objects {
            let entry = Entry::new(EventKind::Added, key, raw, stored, stored);
            snapshot.objects.insert(Arc::new(entry));
        }
        snapshot
    }

    /// The revision of its newest change.
    #[must_use]
    pub fn rev(&self) -> u64 {
        self.rev
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.size()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.size() == 0
    }

    /// The object of that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.objects.get(key)
    }

    /// The objects within `scope` whose key is not before `start`, in key order.
    pub fn range(&self, scope: &Scope, start: &str) -> Range<'_> {
        let (low, high) = match scope {
            Scope::All => (String::new(), Bound::Unbounded),
            // '0' is the byte after '/'.
            Scope::Namespace(namespace) => (format!("{namespace}/"), Bound::Excluded(format!("{namespace}0"))),
            Scope::Key(key) => (key.clone(), Bound::Included(key.clone())),
        };
        self.objects.range(low.as_str().max(start), high)
    }
}

impl ResourceCache {
    /// An empty resource whose history begins now.
    #[must_use]
    pub fn new(clock: Clock) -> Arc<Self> {
        let origin = clock.origin();
        Arc::new(Self {
            clock,
            snapshot: ArcSwap::from_pointee(Snapshot::empty(origin)),
            ring: RwLock::new(Ring::new(origin)),
            writing: Mutex::new(()),
            wake: Wake::default(),
            history: Marks::default(),
        })
    }

    /// The newest state.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The newest state with the revision that it is true for: that of its newest change, or later
    /// where the clock has gone on without a change here.
    #[must_use]
    pub fn latest(&self) -> (Arc<Snapshot>, u64) {
        let now = self.clock.now(0);
        let snapshot = self.snapshot();
        let rev = snapshot.rev.max(now);
        (snapshot, rev)
    }

    /// The newest revision.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.clock.now(self.snapshot.load().rev)
    }

    /// The revision of the newest change, as cheap as it can be had.
    #[must_use]
    pub fn changed(&self) -> u64 {
        self.snapshot.load().rev
    }

    /// The object of that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.snapshot.load().get(key).cloned()
    }

    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The state at revision `rev`, told by undoing later events.
    ///
    /// # Errors
    /// [`Expired`] where the ring does not reach back that far.
    pub fn at(&self, rev: u64) -> Result<Snapshot, Expired> {
        let (mut snapshot, events) = {
            let ring = self.ring.read();
            let oldest = ring.floor();
            if rev < oldest || !self.clock.knows(rev) {
                return Err(Expired { asked: rev, oldest });
            }
            // Under the lock the snapshot is at most as new as the ring; events are pushed first.
            let snapshot = (*self.snapshot()).clone();
            let newer: Vec<Arc<Event>> = ring
                .backwards()
                .take_while(|event| event.rev() > rev)
                .filter(|event| event.rev() <= snapshot.rev)
                .cloned()
                .collect();
            (snapshot, newer)
        };
        for event in events {
            match &event.old {
                Some(old) => snapshot.objects.insert(Arc::clone(old)),
                None => snapshot.objects.remove(event.object.key()),
            }
        }
        snapshot.rev = snapshot.rev.min(rev);
        Ok(snapshot)
    }

    /// Lists at a revision before this one are refused; 0 where there was no compaction yet.
    #[must_use]
    pub fn compacted(&self) -> u64 {
        self.history.compacted.load(Relaxed)
    }

    /// Forgets for lists what was older than the revision of the call before.
    pub fn compact(&self) {
        let now = self.revision();
        self.history.compacted.store(self.history.next.swap(now, Relaxed), Relaxed);
    }

    /// The revision after which every event is in the ring.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.ring.read().floor()
    }

    /// Creates or replaces an object; `raw` is its JSON without a resourceVersion.
    ///
    /// `stored` is the store's revision where the object is stored, else 0. Returns the revision that
    /// clients see. Callers of one resource may race; each call is one event.
    pub fn put(&self, key: &str, raw: &[u8], stored: u64) -> u64 {
        let _order = self.writing.lock();
        let before = self.snapshot();
        let old = before.get(key).cloned();
        let kind = if old.is_some() { EventKind::Modified } else { EventKind::Added };
        let rev = self.clock.tick(before.rev, stored);
        let entry = Arc::new(Entry::new(kind, key, raw, rev, stored));
        let mut objects = before.objects.clone();
        objects.insert(Arc::clone(&entry));
        self.publish(Event::new(kind, entry, old), Snapshot { rev, objects });
        rev
    }

    /// Removes an object; does nothing where it is absent. Returns the revision of the deletion.
    pub fn remove(&self, key: &str, stored: u64) -> Option<u64> {
        let _order = self.writing.lock();
        let before = self.snapshot();
        let old = before.get(key).cloned()?;
        let rev = self.clock.tick(before.rev, stored);
        let gone = Arc::new(old.tombstone(rev, stored));
        let mut objects = before.objects.clone();
        objects.remove(key);
        self.publish(Event::new(EventKind::Deleted, gone, Some(old)), Snapshot { rev, objects });
        Some(rev)
    }

    /// Loads objects without events, before anyone watches: (key, JSON, stored revision).
    pub fn load<'a>(&self, objects: impl IntoIterator<Item = (&'a str, &'a [u8], u64)>) {
        let _order = self.writing.lock();
        let mut snapshot = (*self.snapshot()).clone();
        for (key, raw, stored) in objects {
            let rev = match &self.clock {
                Clock::Store(_) => stored,
                Clock::Own { .. } => self.clock.tick(snapshot.rev, stored),
            };
            let entry = Entry::new(EventKind::Added, key, raw, rev, stored);
            snapshot.objects.insert(Arc::new(entry));
            snapshot.rev = snapshot.rev.max(rev);
        }
        *self.ring.write() = Ring::new(self.clock.now(snapshot.rev));
        self.snapshot.store(Arc::new(snapshot));
    }

    /// The revision that clients see of what the store wrote to `key` at `stored`; `None` where it is
    /// no longer remembered. The feed must have applied that revision.
    #[must_use]
    pub fn served(&self, key: &str, stored: u64) -> Option<u64> {
        if matches!(self.clock, Clock::Store(_)) {
            return Some(stored);
        }
        if let Some(entry) = self.get(key).filter(|entry| entry.stored() == stored) {
            return Some(entry.rev());
        }
        let ring = self.ring.read();
        ring.backwards()
            .find(|event| event.object.stored() == stored && event.object.key() == key)
            .map(|event| event.rev())
    }

    /// A watcher that sees every event within `scope` after revision `rev`.
    ///
    /// # Errors
    /// [`Expired`] where such events may be gone, or `rev` is of another replica.
    pub fn watch(self: &Arc<Self>, scope: Scope, rev: u64) -> Result<Watcher, Expired> {
        let ring = self.ring.read();
        let expired = Expired { asked: rev, oldest: ring.floor() };
        if !self.clock.knows(rev) {
            return Err(expired);
        }
        let seq = ring.after(rev).ok_or(expired)?;
        drop(ring);
        Ok(Watcher::new(Arc::clone(self), scope, seq, rev))
    }

    pub(super) fn ring(&self) -> &RwLock<Ring> {
        &self.ring
    }

    pub(super) fn wake(&self) -> &Wake {
        &self.wake
    }

    fn publish(&self, event: Event, after: Snapshot) {
        let event = Arc::new(event);
        let seq = {
            let mut ring = self.ring.write();
            let seq = ring.head();
            ring.push(Arc::clone(&event));
            seq
        };
        self.snapshot.store(Arc::new(after));
        self.wake.ring(event.object.key(), seq);
    }
}

#[cfg(test)]
mod tests;
