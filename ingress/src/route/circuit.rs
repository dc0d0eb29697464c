//! The limit of a backend: requests in flight, and how many may wait for how long; more are turned away at once.
//!
//! Counts over all workers and outlives rebuilds; waiting itself is the proxy's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much a backend takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circuit {
    /// Requests in flight; over HTTP/1.1 also the connections in use.
    pub requests: usize,
    /// Requests that may wait for their turn.
    pub queue: usize,
    /// How long they may.
    pub patience: Duration,
}

/// The seats of one backend.
#[derive(Debug)]
pub struct Seats {
    circuit: Circuit,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A request's place; free again when dropped.
#[derive(Debug)]
pub struct Seat(#[expect(dead_code, reason = "held for its end")] OwnedSemaphorePermit);

/// A place in the queue; free again when dropped, also when the client goes away.
struct Turn<'s>(&'s AtomicUsize);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Seats {
    /// All seats free.
    #[must_use]
    pub fn new(circuit: Circuit) -> Self {
        let most = circuit.requests.min(Semaphore::MAX_PERMITS);
        Self { circuit, free: Arc::new(Semaphore::new(most)), waiting: AtomicUsize::new(0) }
    }

    /// The seats of `before` where the limit is the same, so that a rebuild forgets nobody.
    #[must_use]
    pub fn following(circuit: Circuit, before: Option<&Arc<Self>>) -> Arc<Self> {
        let same = before.filter(|before| before.circuit == circuit);
        same.map_or_else(|| Arc::new(Self::new(circuit)), Arc::clone)
    }

    /// A seat, after a wait where the queue has room; `None` is an overload.
    ///
    /// # Cancel safety
    /// Whoever stops waiting leaves the queue.
    pub async fn take(&self) -> Option<Seat> {
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return Some(Seat(permit));
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _turn = Turn(&self.waiting);
        if before >= self.circuit.queue {
            return None;
        }
        let seat = tokio::time::timeout(self.circuit.patience, self.free.clone().acquire_owned()).await;
        seat.ok()?.ok().map(Seat)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Circuit, Seats};

    /// Ingress: 68
    #[tokio::test]
    async fn more_than_seats_and_queue_are_turned_away_at_once_and_the_queue_has_its_time() {
        let circuit = Circuit { requests: 2, queue: 1, patience: Duration::from_millis(50) };
        let seats = Seats::following(circuit, None);
        let (one, two) = (seats.take().await.expect("free"), seats.take().await.expect("free"));
        let waiting = tokio::spawn({
            let seats = seats.clone();
            async move { seats.take().await.is_some() }
        });
        while seats.waiting.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(seats.take().await.is_none(), "the queue is full");
        drop(one);
        assert!(waiting.await.expect("no panic"), "whoever waited is next");
        let again = seats.take().await.expect("the seat of who waited is free");
        assert!(seats.take().await.is_none(), "nobody leaves in time");
        // A rebuild with the same limits keeps those who sit; another limit begins anew.
        assert!(Seats::following(circuit, Some(&seats)).take().await.is_none());
        let wider = Seats::following(Circuit { requests: 3, ..circuit }, Some(&seats));
        assert!(wider.take().await.is_some() && !Arc::ptr_eq(&wider, &seats));
        drop((two, again));
        assert!(seats.take().await.is_some());
    }
}
