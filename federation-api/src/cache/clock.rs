//! Which revision a resource's reads carry: the store's, or that of a ring with a clock of its own.

use std::sync::Arc;

use tokio::sync::watch;

/// Low bits of an own clock's revisions that name the replica.
pub const REPLICA_BITS: u32 = 3;
const REPLICA_MASK: u64 = (1 << REPLICA_BITS) - 1;

/// Where a resource's revisions come from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The store's transactions.
    Store(Arc<Progress>),
    /// One tick an event, from microseconds since 1970 on; the low bits name the replica, so that a
    /// revision of another replica is told apart and answered as expired.
    Own { start_us: u64, replica: u8 },
}

/// How far the store's events have been applied to the whole cache.
#[derive(Debug)]
pub struct Progress {
    applied: watch::Sender<u64>,
}

impl Clock {
    /// Whether a revision that a client brings can be one of this clock.
    #[must_use]
    pub fn knows(&self, rev: u64) -> bool {
        match self {
            Self::Store(_) => true,
            Self::Own { replica, .. } => rev & REPLICA_MASK == u64::from(*replica) & REPLICA_MASK,
        }
    }

    /// The revision before any event.
    pub(super) fn origin(&self) -> u64 {
        match self {
            Self::Store(progress) => progress.applied(),
            Self::Own { start_us, replica } => (start_us & !REPLICA_MASK) | (u64::from(*replica) & REPLICA_MASK),
        }
    }

    /// The revision of the next event, which the store made at `stored`.
    pub(super) fn tick(&self, last: u64, stored: u64) -> u64 {
        match self {
            Self::Store(_) => stored,
            Self::Own { .. } => last + (REPLICA_MASK + 1),
        }
    }

    /// The newest revision, where `seen` is that of the newest event.
    pub(super) fn now(&self, seen: u64) -> u64 {
        match self {
            Self::Store(progress) => progress.applied().max(seen),
            Self::Own { .. } => seen,
        }
    }
}

impl Progress {
    /// Starts at `rev`.
    #[must_use]
    pub fn new(rev: u64) -> Arc<Self> {
        Arc::new(Self { applied: watch::Sender::new(rev) })
    }

    /// Everything up to this revision is in the cache.
    #[must_use]
    pub fn applied(&self) -> u64 {
        *self.applied.borrow()
    }

    /// Tells that everything up to `rev` is in the cache.
    pub fn advance(&self, rev: u64) {
        self.applied.send_if_modified(|applied| {
            let rises = *applied < rev;
            *applied = rev.max(*applied);
            rises
        });
    }

    /// Waits until everything up to `rev` is in the cache.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn reached(&self, rev: u64) {
        if self.applied() >= rev {
            return;
        }
        let mut seen = self.applied.subscribe();
        seen.wait_for(|applied| *applied >= rev).await.expect("the sender is in self, which is borrowed here");
    }
}
