//! The newest revisions in memory, for watchers that keep up. Bounded by bytes; the log has the rest.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::contract::{Rev, WatchBatch};

/// What a revision costs beside its bytes, so that many tiny ones are bounded too.
const OVERHEAD_BYTES: usize = 256;

pub(super) struct Ring {
    /// Everything after this revision is here.
    floor: Rev,
    batches: VecDeque<Arc<WatchBatch>>,
    bytes: usize,
    max_bytes: usize,
}

impl Ring {
    pub(super) fn new(floor: Rev, max_bytes: usize) -> Self {
        Self { floor, batches: VecDeque::new(), bytes: 0, max_bytes }
    }

    /// Forgets everything: the next revision to come is after `floor`.
    pub(super) fn reset(&mut self, floor: Rev) {
        *self = Self::new(floor, self.max_bytes);
    }

    pub(super) fn push(&mut self, batch: WatchBatch) {
        self.bytes += cost(&batch);
        self.batches.push_back(Arc::new(batch));
        while self.bytes > self.max_bytes {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.bytes -= cost(&oldest);
            self.floor = oldest.rev;
        }
    }

    /// Up to `most` revisions after `from`, or none if the ring does not reach back that far.
    pub(super) fn after(&self, from: Rev, most: usize) -> Option<Vec<Arc<WatchBatch>>> {
        if from < self.floor {
            return None;
        }
        let start = self.batches.partition_point(|batch| batch.rev <= from);
        Some(self.batches.iter().skip(start).take(most).cloned().collect())
    }
}

fn cost(batch: &WatchBatch) -> usize {
    OVERHEAD_BYTES + batch.events.iter().map(|event| OVERHEAD_BYTES + event.bytes()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::{OVERHEAD_BYTES, Ring};
    use crate::contract::WatchBatch;

    #[test]
    fn keeps_the_newest_and_says_what_it_lost() {
        let mut ring = Ring::new(10, 3 * OVERHEAD_BYTES);
        for rev in 11..=15 {
            ring.push(WatchBatch { rev, events: Vec::new() });
        }
        assert!(ring.after(11, 9).is_none(), "12 is gone");
        let revs: Vec<_> = ring.after(12, 9).expect("reaches back to 12").iter().map(|batch| batch.rev).collect();
        assert_eq!(revs, [13, 14, 15]);
        assert_eq!(ring.after(13, 1).expect("in reach").len(), 1);
        assert!(ring.after(15, 9).expect("in reach").is_empty());
        ring.reset(20);
        assert!(ring.after(15, 9).is_none());
        assert!(ring.after(20, 9).expect("in reach").is_empty());
    }
}
