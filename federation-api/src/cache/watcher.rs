//! A cursor into a ring: what one watch holds, and all that it costs while nothing happens.

use std::sync::Arc;

use super::resource::{Expired, ResourceCache};
use super::ring::Event;
use super::wake::Scope;

/// Events handed out at once: bounds how long the ring is locked.
const BATCH_MAX: usize = 256;

/// Follows one resource from a revision on.
#[derive(Debug)]
pub struct Watcher {
    cache: Arc<ResourceCache>,
    scope: Scope,
    seq: u64,
    /// Everything up to this revision was handed out or does not concern the scope.
    seen: u64,
}

impl Watcher {
    pub(super) fn new(cache: Arc<ResourceCache>, scope: Scope, seq: u64, seen: u64) -> Self {
        Self { cache, scope, seq, seen }
    }

    /// The revision up to which this watcher has seen everything.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The next events within scope, without waiting; empty where there are none now.
    ///
    /// # Errors
    /// [`Expired`] where the watcher was so slow that events are gone.
    pub fn poll(&mut self) -> Result<Vec<Arc<Event>>, Expired> {
        loop {
            let now = self.cache.revision();
            let (batch, head) = self.copy()?;
            let Some(last) = batch.last() else {
                self.seq = head;
                self.seen = self.seen.max(now);
                return Ok(Vec::new());
            };
            self.seq += batch.len() as u64;
            let floor = self.seen;
            self.seen = self.seen.max(last.rev());
            let wanted: Vec<Arc<Event>> = batch
                .into_iter()
                .filter(|event| event.rev() > floor && self.scope.covers(event.object.key()))
                .collect();
            if !wanted.is_empty() {
                return Ok(wanted);
            }
        }
    }

    /// Waits until there is something, then as [`Watcher::poll`].
    ///
    /// # Errors
    /// As [`Watcher::poll`].
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, Expired> {
        let cache = Arc::clone(&self.cache);
        loop {
            let head = cache.ring().read().head();
            let bucket = cache.wake().bucket(&self.scope, head);
            let notified = bucket.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let events = self.poll()?;
            if !events.is_empty() {
                return Ok(events);
            }
            notified.await;
        }
    }

    /// A batch from the cursor on, and the ring's head.
    fn copy(&mut self) -> Result<(Vec<Arc<Event>>, u64), Expired> {
        let ring = self.cache.ring().read();
        let head = ring.head();
        if let Some(events) = ring.from(self.seq, BATCH_MAX) {
            return Ok((events, head));
        }
        if self.cache.wake().bucket(&self.scope, head).quiet_since(self.seq) {
            return Ok((Vec::new(), head));
        }
        Err(Expired { asked: self.seen, oldest: ring.floor() })
    }
}
