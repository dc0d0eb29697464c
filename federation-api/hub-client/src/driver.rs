//! The one controller driver: a queue of keys, and a loop that reconciles each, never two runs a key at once.
//!
//! Knows neither kinds nor clients. Failed keys come back with backoff; everything comes back at a full resync.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::ApiError;

/// First wait before a failed key is tried again; doubles up to [`RETRY_MAX`].
pub const RETRY_MIN: Duration = Duration::from_millis(50);
/// Longest wait before a failed key is tried again.
pub const RETRY_MAX: Duration = Duration::from_secs(60);

/// Why a reconcile did not reach its goal, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Try again, with backoff.
    #[error("{0}")]
    Retry(String),
    /// Nothing is wrong; look again after this long (or at the next change).
    #[error("waiting {0:?}: {1}")]
    Wait(Duration, String),
    /// Trying again cannot help until something changes.
    #[error("{0}")]
    Reject(String),
}

impl From<ApiError> for ReconcileError {
    fn from(error: ApiError) -> Self {
        if error.is_transient() { Self::Retry(error.to_string()) } else { Self::Reject(error.to_string()) }
    }
}

/// Keys that want a reconcile; cheap to clone.
pub struct Queue<K> {
    shared: Arc<Shared<K>>,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

struct Shared<K> {
    /// Guards the books below; held for a few map operations only.
    state: Mutex<Books<K>>,
    wake: Notify,
}

struct Books<K> {
    ready: std::collections::VecDeque<K>,
    /// Keys in `ready`, so that a key stands there once.
    queued: std::collections::HashSet<K>,
    running: std::collections::HashSet<K>,
    /// Keys that were added while they ran.
    again: std::collections::HashSet<K>,
    later: BTreeSet<(Instant, u64, K)>,
    failures: HashMap<K, Failures>,
    sequence: u64,
}

/// How often a key failed in a row, and what was said of it last.
#[derive(Default)]
struct Failures {
    count: u32,
    said: String,
}

impl<K: Clone + Eq + Hash + Ord> Default for Queue<K> {
    fn default() -> Self {
        let books = Books {
            ready: std::collections::VecDeque::new(),
            queued: std::collections::HashSet::new(),
            running: std::collections::HashSet::new(),
            again: std::collections::HashSet::new(),
            later: BTreeSet::new(),
            failures: HashMap::new(),
            sequence: 0,
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(books), wake: Notify::new() }) }
    }
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants a reconcile of `key`; once more is enough, however often it is asked for.
    pub fn add(&self, key: K) {
        self.shared.state.lock().add(key);
        self.shared.wake.notify_one();
    }

    /// Wants a reconcile of `key` after `wait`, or earlier if it is added.
    pub fn add_after(&self, key: K, wait: Duration) {
        let mut books = self.shared.state.lock();
        books.sequence += 1;
        let entry = (Instant::now() + wait, books.sequence, key);
        books.later.insert(entry);
        drop(books);
        self.shared.wake.notify_one();
    }

    /// Keys that wait or run.
    #[must_use]
    pub fn len(&self) -> usize {
        let books = self.shared.state.lock();
        books.ready.len() + books.running.len() + books.again.len()
    }

    /// Whether nothing waits or runs (keys that come later do not count).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn take(&self) -> (Option<K>, Option<Instant>) {
        let mut books = self.shared.state.lock();
        let now = Instant::now();
        while let Some(first) = books.later.first().filter(|(at, ..)| *at <= now).cloned() {
            books.later.remove(&first);
            books.add(first.2);
        }
        let next = books.later.first().map(|(at, ..)| *at);
        let key = books.ready.pop_front();
        if let Some(key) = &key {
            books.queued.remove(key);
            books.running.insert(key.clone());
        }
        (key, next)
    }

    fn done(&self, key: &K) {
        let mut books = self.shared.state.lock();
        books.ended(key);
        books.failures.remove(key);
    }

    /// How long to wait before the next try, and whether the error is another than the last time.
    fn failed(&self, key: &K, error: &str) -> (Duration, bool) {
        let mut books = self.shared.state.lock();
        books.ended(key);
        let failures = books.failures.entry(key.clone()).or_default();
        failures.count = failures.count.saturating_add(1);
        let new = failures.said != error;
        if new {
            error.clone_into(&mut failures.said);
        }
        (RETRY_MIN.saturating_mul(1 << (failures.count - 1).min(16)).min(RETRY_MAX), new)
    }
}

impl<K: Clone + Eq + Hash> Books<K> {
    fn ended(&mut self, key: &K) {
        self.running.remove(key);
        if self.again.remove(key) {
            self.add(key.clone());
        }
    }

    fn add(&mut self, key: K) {
        if self.running.contains(&key) {
            self.again.insert(key);
        } else if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }
}

/// Reconciles keys until `stop`, at most `width` at once; runs in flight are finished.
///
/// `name` stands in log lines.
///
/// # Cancel safety
/// Dropping it drops the runs in flight; their keys are not put back.
pub async fn drive<K, F, R>(name: &'static str, queue: Queue<K>, width: usize, reconcile: F, stop: CancellationToken)
where
    K: Clone + Eq + Hash + Ord + fmt::Debug,
    F: Fn(K) -> R,
    R: Future<Output = Result<(), ReconcileError>>,
{
    let mut runs = FuturesUnordered::new();
    loop {
        let mut next = None;
        while runs.len() < width && !stop.is_cancelled() {
            let (key, later) = queue.take();
            next = later;
            let Some(key) = key else { break };
            let run = reconcile(key.clone());
            runs.push(async move { (key, run.await) });
        }
        if stop.is_cancelled() && runs.is_empty() {
            return;
        }
        let timer = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some((key, outcome)) = runs.next(), if !runs.is_empty() => settle(name, &queue, key, outcome),
            () = queue.shared.wake.notified() => {}
            () = timer => {}
            () = stop.cancelled(), if !stop.is_cancelled() => {}
        }
    }
}

fn settle<K: Clone + Eq + Hash + Ord + fmt::Debug>(
    name: &'static str,
    queue: &Queue<K>,
    key: K,
    outcome: Result<(), ReconcileError>,
) {
    match outcome {
        Ok(()) => queue.done(&key),
        Err(ReconcileError::Wait(wait, why)) => {
            tracing::debug!(controller = name, key = ?key, reason = %why, "waiting");
            queue.done(&key);
            queue.add_after(key, wait);
        }
        Err(ReconcileError::Reject(why)) => {
            tracing::warn!(controller = name, key = ?key, error = %why, "cannot be reconciled as it stands");
            queue.done(&key);
        }
        Err(ReconcileError::Retry(why)) => {
            let (wait, new) = queue.failed(&key, &why);
            // What is said already is not said at each try.
            if new {
                tracing::info!(controller = name, key = ?key, error = %why, "will try again");
            } else {
                tracing::debug!(controller = name, key = ?key, error = %why, "will try again");
            }
            queue.add_after(key, wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio_util::sync::CancellationToken;

    use super::{Queue, RETRY_MAX, RETRY_MIN, ReconcileError, drive};

    #[test]
    fn an_error_is_new_once_and_waits_grow_to_a_limit() {
        let queue = Queue::new();
        let mut waits = Vec::new();
        for (error, new) in [("a", true), ("a", false), ("b", true), ("b", false), ("a", true)] {
            let (wait, told) = queue.failed(&"key", error);
            assert_eq!(told, new, "{error}");
            waits.push(wait.as_millis());
        }
        assert_eq!(waits, [50, 100, 200, 400, 800]);
        for _ in 0..100 {
            assert!(queue.failed(&"key", "a").0 <= RETRY_MAX);
        }
        assert_eq!(queue.failed(&"key", "a"), (RETRY_MAX, false));
        assert_eq!(queue.failed(&"other", "a"), (RETRY_MIN, true));
        queue.done(&"key");
        assert_eq!(queue.failed(&"key", "a"), (RETRY_MIN, true), "a key that came to rest begins anew");
    }

    #[tokio::test]
    async fn one_run_a_key_at_once_and_none_is_lost() {
        let queue = Queue::new();
        let (inside, most, runs) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let stop = CancellationToken::new();
        for _ in 0..10 {
            queue.add("a");
        }
        let reconcile = |_key: &'static str| {
            let (inside, most, runs) = (inside.clone(), most.clone(), runs.clone());
            let (queue, stop) = (queue.clone(), stop.clone());
            async move {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                if runs.fetch_add(1, Ordering::SeqCst) < 3 {
                    queue.add("a");
                } else {
                    stop.cancel();
                }
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            }
        };
        drive("test", queue.clone(), 4, reconcile, stop.clone()).await;
        assert_eq!(most.load(Ordering::SeqCst), 1);
        assert_eq!(runs.load(Ordering::SeqCst), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_come_back_with_backoff() {
        let queue = Queue::new();
        let stop = CancellationToken::new();
        let runs = Arc::new(AtomicUsize::new(0));
        queue.add(1);
        let reconcile = |_key: i32| {
            let (runs, stop) = (runs.clone(), stop.clone());
            async move {
                if runs.fetch_add(1, Ordering::SeqCst) == 2 {
                    stop.cancel();
                    return Ok(());
                }
                Err(ReconcileError::Retry("not yet".to_owned()))
            }
        };
        drive("test", queue.clone(), 1, reconcile, stop.clone()).await;
        assert_eq!(runs.load(Ordering::SeqCst), 3);
    }
}
