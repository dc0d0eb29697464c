//! The recent events of one resource, in order; watchers hold cursors into it.
//!
//! A slow watcher costs nothing: it falls out of the ring and is told that its revision expired.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::entry::{Entry, EventKind, FRAME_END};

/// Events kept whatever their age; upstream's floor.
pub const RING_EVENTS_MIN: usize = 100;
/// Events kept at most; upstream's ceiling.
pub const RING_EVENTS_MAX: usize = 102_400;
/// Bytes of objects that only the ring may keep alive, a resource.
pub const RING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes that all rings of the process together may keep alive; a ring of less than [`RING_BYTES_MIN`] is left alone.
pub const ALL_RINGS_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Bytes that a ring may always keep.
pub const RING_BYTES_MIN: usize = 1024 * 1024;
/// Objects handed to one watcher at once, in bytes: what a slow client can make the server hold for it.
const BATCH_BYTES: usize = 1024 * 1024;
/// Bytes that all rings hold now.
static HELD: AtomicUsize = AtomicUsize::new(0);
/// Age up to which events stay if the other limits allow; upstream's window.
pub const RING_WINDOW: Duration = Duration::from_secs(75);

/// One change of one object.
#[derive(Debug)]
pub struct Event {
    pub kind: EventKind,
    /// The object after the change; of a deletion, its last state with the deletion's revision.
    pub object: Arc<Entry>,
    /// The object before the change.
    pub old: Option<Arc<Entry>>,
    at: Instant,
    /// The old content under the new revision: what a watcher sees whose selector it left. Encoded once.
    left: OnceLock<Bytes>,
}

/// Events with consecutive sequence numbers from `base` on.
#[derive(Debug)]
pub(super) struct Ring {
    events: VecDeque<Arc<Event>>,
    base: u64,
    /// Every event after this revision is in the ring.
    floor: u64,
    bytes: usize,
}

impl Event {
    pub(crate) fn new(kind: EventKind, object: Arc<Entry>, old: Option<Arc<Entry>>) -> Self {
        Self { kind, object, old, at: Instant::now(), left: OnceLock::new() }
    }

    /// The revision of the change.
    #[must_use]
    pub fn rev(&self) -> u64 {
        self.object.rev()
    }

    /// The DELETED frame for a watcher whose selector the object left: old content, new revision.
    #[must_use]
    pub fn left_frame(&self) -> Bytes {
        match (&self.old, self.kind) {
            (Some(old), EventKind::Added | EventKind::Modified) => {
                self.left.get_or_init(|| old.tombstone(self.rev(), self.object.stored()).frame()).clone()
            }
            _ => self.object.frame(),
        }
    }

    fn bytes(&self) -> usize {
        self.object.size() + std::mem::size_of::<Self>() + FRAME_END.len()
    }
}

impl Ring {
    pub(super) fn new(floor: u64) -> Self {
        Self { events: VecDeque::new(), base: 0, floor, bytes: 0 }
    }

    /// The sequence number that the next event gets.
    pub(super) fn head(&self) -> u64 {
        self.base + self.events.len() as u64
    }

    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn push(&mut self, event: Arc<Event>) {
        let now = event.at;
        self.bytes += event.bytes();
        HELD.fetch_add(event.bytes(), Relaxed);
        self.events.push_back(event);
        while self.exceeds(now) {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.bytes();
            HELD.fetch_sub(oldest.bytes(), Relaxed);
            self.floor = oldest.rev();
            self.base += 1;
        }
    }

    fn exceeds(&self, now: Instant) -> bool {
        let Some(oldest) = self.events.front() else { return false };
        let crowded = self.bytes > RING_BYTES_MIN && HELD.load(Relaxed) > ALL_RINGS_BYTES_MAX;
        let many = self.events.len() > RING_EVENTS_MAX || self.bytes > RING_BYTES_MAX || crowded;
        let old = self.events.len() > RING_EVENTS_MIN && now.duration_since(oldest.at) > RING_WINDOW;
        (many && self.events.len() > 1) || old
    }

    /// The sequence number of the first event after revision `rev`; `None` where it may be gone.
    pub(super) fn after(&self, rev: u64) -> Option<u64> {
        (rev >= self.floor).then(|| self.base + self.events.partition_point(|event| event.rev() <= rev) as u64)
    }

    /// Up to `limit` events from `seq` on, of about [`BATCH_BYTES`] at most; `None` where they are gone.
    pub(super) fn from(&self, seq: u64, limit: usize) -> Option<Vec<Arc<Event>>> {
        let start = usize::try_from(seq.checked_sub(self.base)?).ok()?;
        let mut left = BATCH_BYTES;
        let events = self.events.iter().skip(start).take(limit).take_while(|event| {
            let fits = left > 0;
            left = left.saturating_sub(event.object.size());
            fits
        });
        Some(events.cloned().collect())
    }

    /// Newest first.
    pub(super) fn backwards(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.events.iter().rev()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        HELD.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Event, EventKind, RING_EVENTS_MAX, RING_WINDOW, Ring};
    use std::sync::Arc;
    use std::time::Duration;

    fn event(rev: u64) -> Arc<Event> {
        let entry = Entry::new(EventKind::Added, "x", br#"{"metadata":{}}"#, rev, rev);
        Arc::new(Event::new(EventKind::Added, Arc::new(entry), None))
    }

    /// Protocol: W10
    #[test]
    fn a_burst_stays_whole_and_what_is_recent_stays_however_much_it_is() {
        let mut ring = Ring::new(0);
        let now = std::time::Instant::now();
        // Events of the last minute, at two hundred a second.
        for rev in 1..=12_000 {
            ring.push(event(rev));
        }
        assert_eq!(ring.after(0), Some(0), "nothing of the last 75 seconds is forgotten");
        // Later, when all that is old, the newest hundred stay.
        let mut late = Event::new(EventKind::Added, event(12_001).object.clone(), None);
        late.at = now + super::RING_WINDOW + std::time::Duration::from_secs(5);
        ring.push(Arc::new(late));
        assert_eq!((ring.floor(), ring.after(ring.floor()).is_some()), (12_001 - super::RING_EVENTS_MIN as u64, true));
        assert!(ring.after(ring.floor() - 1).is_none());
    }

    #[test]
    fn positions_follow_revisions() {
        let mut ring = Ring::new(10);
        for rev in [12, 15, 20] {
            ring.push(event(rev));
        }
        let cases = [(9, None), (10, Some(0)), (12, Some(1)), (14, Some(1)), (20, Some(3)), (99, Some(3))];
        for (rev, seq) in cases {
            assert_eq!(ring.after(rev), seq, "after {rev}");
        }
        let revs: Vec<u64> = ring.from(1, 10).expect("kept").iter().map(|e| e.rev()).collect();
        assert_eq!(revs, [15, 20]);
    }

    /// Protocol: W10
    #[test]
    fn the_ring_is_bounded() {
        assert!(RING_WINDOW >= Duration::from_secs(75), "upstream keeps as much");
        let mut ring = Ring::new(0);
        for rev in 1..=(RING_EVENTS_MAX as u64 + 5) {
            ring.push(event(rev));
        }
        assert_eq!(ring.after(4), None);
        assert_eq!(ring.after(5), Some(5));
        assert!(ring.from(4, 1).is_none());
    }
}
