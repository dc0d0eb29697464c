//! One priority level: its seats, whom it lends to, and who waits.
//!
//! A seat that is free is taken without a lock. Below its nominal limit a level always gets its seats; above it, only
//! seats that others lend and do not use. Knows no objects.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::queues::Queues;

/// Part of a level's seats that one request may take, in percent; upstream's.
const WIDEST_PERCENT: u32 = 15;

/// A PriorityLevelConfiguration in force.
pub(crate) struct Level {
    pub(super) name: Box<str>,
    pub(super) uid: HeaderValue,
    /// None for the exempt level.
    pub(super) limits: Option<Limits>,
    state: Arc<State>,
    pool: Arc<Pool>,
}

/// Seats of a limited level.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) nominal: u32,
    /// What is left when everything lendable is lent.
    pub(super) min: u32,
    pub(super) max: u32,
    /// None rejects at once.
    pub(super) queuing: Option<Queuing>,
}

/// `limitResponse.queuing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Queuing {
    pub(super) queues: u32,
    pub(super) hand_size: u32,
    pub(super) queue_length_limit: u32,
}

/// What goes on from plan to plan.
#[derive(Default)]
struct State {
    executing: AtomicU32,
    waiting: AtomicU32,
    /// The limits' `min`, for tickets of an older plan too.
    min: AtomicU32,
    /// Guards the queues; held for one addition or one dispatch.
    queues: Mutex<Queues<oneshot::Sender<Ticket>>>,
}

/// Seats that levels lend each other.
#[derive(Debug, Default)]
pub(super) struct Pool {
    lendable: AtomicI64,
    /// Lendable seats in use, by whoever.
    claimed: AtomicI64,
}

/// Seats of a level in use; given back when dropped.
pub(crate) struct Ticket {
    level: Arc<Level>,
    seats: u32,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    QueueFull,
    TimeOut,
    /// The level does not queue.
    ConcurrencyLimit,
}

/// Takes a waiting request out of the count, however the wait ends.
struct Waiting<'a>(&'a State);

impl Default for Queuing {
    fn default() -> Self {
        Self { queues: 64, hand_size: 8, queue_length_limit: 50 }
    }
}

impl Pool {
    /// Takes what these levels lend and use for the truth.
    pub(super) fn settle<'a>(&self, levels: impl Iterator<Item = &'a Level>) {
        let (mut lendable, mut claimed) = (0, 0);
        for level in levels {
            let Some(limits) = &level.limits else { continue };
            lendable += i64::from(limits.nominal - limits.min);
            claimed += i64::from(level.state.executing.load(SeqCst).saturating_sub(limits.min));
        }
        self.lendable.store(lendable, SeqCst);
        self.claimed.store(claimed, SeqCst);
    }

    /// As if levels lent so many seats.
    #[cfg(test)]
    pub(super) fn set_lendable(&self, seats: i64) {
        self.lendable.store(seats, SeqCst);
    }
}

impl Level {
    /// The level; where it is there already (`before`), with the requests that it runs and keeps waiting.
    pub(super) fn new(
        name: String,
        uid: HeaderValue,
        limits: Option<Limits>,
        (before, pool): (Option<&Self>, &Arc<Pool>),
    ) -> Self {
        let state = before.map(|level| Arc::clone(&level.state)).unwrap_or_default();
        state.min.store(limits.as_ref().map_or(u32::MAX, |limits| limits.min), SeqCst);
        Self { name: name.into(), uid, limits, state, pool: Arc::clone(pool) }
    }

    pub(super) fn pool(&self) -> Arc<Pool> {
        Arc::clone(&self.pool)
    }

    /// (seats in use, requests that wait).
    pub(super) fn load(&self) -> (u32, u32) {
        (self.state.executing.load(SeqCst), self.state.waiting.load(SeqCst))
    }

    /// Seats that one request may take.
    pub(super) fn widest(&self) -> u32 {
        self.limits.as_ref().map_or(1, |limits| (limits.nominal * WIDEST_PERCENT).div_ceil(100).max(1))
    }

    /// Seats at once, where nobody waits before.
    pub(super) fn try_take(self: &Arc<Self>, seats: u32) -> Option<Ticket> {
        if self.limits.is_some() && self.state.waiting.load(SeqCst) > 0 {
            return None;
        }
        self.take(seats)
    }

    /// Seats, whatever the limits say.
    pub(super) fn take_anyway(self: &Arc<Self>, seats: u32) -> Ticket {
        let before = self.state.executing.fetch_add(seats, SeqCst);
        self.claim(before, before + seats);
        Ticket { level: Arc::clone(self), seats }
    }

    /// Waits in one of the flow's queues.
    ///
    /// # Errors
    /// Where the queue is full, the level does not queue, or `patience` ends.
    pub(super) async fn wait(self: &Arc<Self>, flow: u64, seats: u32, patience: Duration) -> Result<Ticket, Refused> {
        let queuing = self.limits.as_ref().and_then(|limits| limits.queuing).ok_or(Refused::ConcurrencyLimit)?;
        let (turn, mut come) = oneshot::channel();
        let waiting = {
            let mut queues = self.state.queues.lock();
            if let Err(turn) = queues.push(queuing, flow, seats, turn) {
                // Those who have gone away take no room.
                queues.sweep(|turn| !turn.is_closed());
                queues.push(queuing, flow, seats, turn).map_err(|_| Refused::QueueFull)?;
            }
            self.state.waiting.fetch_add(1, SeqCst);
            Waiting(&self.state)
        };
        // A seat may have become free before this request was in the queue.
        self.dispatch();
        let outcome = match tokio::time::timeout(patience, &mut come).await {
            Ok(Ok(ticket)) => Ok(ticket),
            // The sender lives in the queue until it sends.
            Ok(Err(_)) => Err(Refused::TimeOut),
            Err(_) => match come.try_recv() {
                Ok(ticket) => Ok(ticket),
                Err(_) => Err(Refused::TimeOut),
            },
        };
        drop(come);
        drop(waiting);
        if outcome.is_err() {
            self.state.queues.lock().sweep(|turn| !turn.is_closed());
        }
        outcome
    }

    /// Gives free seats to those who wait, in their fair order.
    fn dispatch(self: &Arc<Self>) {
        if self.state.waiting.load(SeqCst) == 0 {
            return;
        }
        let mut refused: Vec<Ticket> = Vec::new();
        let mut queues = self.state.queues.lock();
        while let Some(seats) = queues.next_seats() {
            let Some(ticket) = self.take(seats) else { break };
            let Some(turn) = queues.pop() else { break };
            // Who has gone away gives it back; after the lock, since that dispatches again.
            if let Err(ticket) = turn.send(ticket) {
                refused.push(ticket);
            }
        }
        drop(queues);
    }

    fn take(self: &Arc<Self>, seats: u32) -> Option<Ticket> {
        let mut now = self.state.executing.load(SeqCst);
        loop {
            let then = now.checked_add(seats)?;
            if !self.fits(now, then) {
                return None;
            }
            match self.state.executing.compare_exchange_weak(now, then, SeqCst, SeqCst) {
                Ok(_) => {
                    self.claim(now, then);
                    return Some(Ticket { level: Arc::clone(self), seats });
                }
                Err(other) => now = other,
            }
        }
    }

    fn fits(&self, now: u32, then: u32) -> bool {
        let Some(limits) = &self.limits else { return true };
        // A request wider than the level runs alone.
        if then <= limits.nominal || (now == 0 && limits.max > 0) {
            return true;
        }
        let more = i64::from(then) - i64::from(now.max(limits.min));
        then <= limits.max && self.pool.claimed.load(SeqCst) + more <= self.pool.lendable.load(SeqCst)
    }

    /// Keeps account of lendable seats in use.
    fn claim(&self, before: u32, after: u32) {
        let min = self.state.min.load(SeqCst);
        let over = |seats: u32| i64::from(seats.saturating_sub(min));
        let more = over(after) - over(before);
        if more != 0 {
            self.pool.claimed.fetch_add(more, SeqCst);
        }
    }
}

impl Ticket {
    pub(super) fn seats(&self) -> u32 {
        self.seats
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let before = self.level.state.executing.fetch_sub(self.seats, SeqCst);
        self.level.claim(before, before - self.seats);
        self.level.dispatch();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}
