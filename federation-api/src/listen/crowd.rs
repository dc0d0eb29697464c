//! All connections of a listener: where there is no place for one more, the one that has been silent longest gives way.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::pulse::Pulse;

/// The connections, at most so many.
pub(super) struct Crowd {
    most: usize,
    next: AtomicU64,
    /// Guards who is there; held to come, to go and to look for the most silent.
    members: Mutex<HashMap<u64, Member>>,
}

struct Member {
    pulse: Arc<Pulse>,
    leave: CancellationToken,
}

/// A connection's place; given back when it is dropped.
pub(super) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    pub(super) pulse: Arc<Pulse>,
    /// Cancelled where the place is needed for another.
    pub(super) leave: CancellationToken,
}

impl Crowd {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, next: AtomicU64::new(0), members: Mutex::default() })
    }

    /// A place for a new connection; none where all are busy.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let full = self.members.lock().len() >= self.most;
        if full && !self.make_room() {
            return None;
        }
        let number = self.next.fetch_add(1, Relaxed);
        let (pulse, leave) = (Arc::new(Pulse::new(Instant::now())), CancellationToken::new());
        let member = Member { pulse: Arc::clone(&pulse), leave: leave.clone() };
        self.members.lock().insert(number, member);
        Some(Place { crowd: Arc::clone(self), number, pulse, leave })
    }

    /// Sends the connection away that has been silent longest. Whether there was one.
    pub(super) fn make_room(&self) -> bool {
        let mut members = self.members.lock();
        let silent = members.iter().filter_map(|(number, member)| Some((member.pulse.idle_since()?, *number)));
        let Some((_, number)) = silent.min() else { return false };
        let member = members.remove(&number).expect("it was just found");
        member.leave.cancel();
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.members.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::Crowd;

    #[test]
    fn the_most_silent_gives_way() {
        let crowd = Crowd::new(2);
        let busy = crowd.enter().expect("a place");
        let turn = busy.pulse.begin();
        let silent = crowd.enter().expect("a place");
        let third = crowd.enter().expect("the silent one's place");
        assert!(silent.leave.is_cancelled() && !busy.leave.is_cancelled());
        drop(silent);
        let other = third.pulse.begin();
        assert!(crowd.enter().is_none(), "all are busy");
        drop((turn, busy));
        assert!(crowd.enter().is_some());
        drop(other);
    }
}
