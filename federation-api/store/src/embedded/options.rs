//! What can be chosen about the embedded store, each with a default and its reason.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970, asked once an open (the first revision) and once a batch (the log's age).
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// A clock that calls `now`, for tests.
    pub fn from_fn(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(super) fn micros(&self) -> u64 {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::from_fn(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
        })
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// When a transaction counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On disk (fsync) before it is acknowledged.
    Immediate,
    /// Acknowledged from memory; on disk after `flush_every` and on close. A crash loses the time
    /// between: for simulated members, whose state is made up anyway.
    Relaxed { flush_every: Duration },
}

/// How much of the past is kept. Whatever is exceeded first removes the oldest revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    pub max_entries: u64,
    pub max_bytes: u64,
    pub max_age: Duration,
}

impl Default for History {
    /// Ten minutes: a restart or a paused client resumes; the bounds keep the file small under load.
    fn default() -> Self {
        Self { max_entries: 200_000, max_bytes: 64 * 1024 * 1024, max_age: Duration::from_secs(600) }
    }
}

/// Options of the embedded store.
#[derive(Debug, Clone)]
pub struct Options {
    pub durability: Durability,
    pub history: History,
    /// Largest value accepted, in bytes. Default 3 MiB, the largest request body of an API server.
    pub max_value_bytes: usize,
    /// Page cache, in bytes. Default 8 MiB: everything hot is cached above the store already.
    pub cache_bytes: usize,
    /// Recent events kept in memory for watchers that keep up, in bytes. Slower ones read the log.
    pub ring_bytes: usize,
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Immediate,
            history: History::default(),
            max_value_bytes: 3 * 1024 * 1024,
            cache_bytes: 8 * 1024 * 1024,
            ring_bytes: 4 * 1024 * 1024,
            clock: Clock::default(),
        }
    }
}
