//! Fair queues: each flow is dealt a few of many queues and waits in the shortest; queues are served by virtual time.
//!
//! Memory is bounded by the requests that wait. Source: k8s.io/apiserver `pkg/util/shufflesharding`, `fairqueuing/queueset`.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::level::Queuing;

/// Empty queues remembered at most: what they have had must not be forgotten at once.
const REMEMBERED: usize = 1024;

/// The queues of one level, made as they are needed.
#[derive(Debug)]
pub(super) struct Queues<T> {
    queues: HashMap<u32, Queue<T>>,
    /// Queues that are not empty, by the virtual time at which their first request would start.
    ready: BTreeSet<(u64, u32)>,
    /// The virtual time: seats handed out to a queue that always had somebody waiting.
    now: u64,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<(u32, T)>,
    /// When its next request starts, in virtual time.
    start: u64,
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        Self { queues: HashMap::new(), ready: BTreeSet::new(), now: 0 }
    }
}

impl<T> Queues<T> {
    /// Puts a request into the shortest queue of its flow's hand.
    ///
    /// # Errors
    /// The request, where there is no room.
    pub(super) fn push(&mut self, queuing: Queuing, flow: u64, seats: u32, turn: T) -> Result<(), T> {
        let length = |at: &u32| self.queues.get(at).map_or((0, 0), |queue| (queue.waiting.len(), queue.start));
        let hand = deal(flow, queuing.queues.max(1), queuing.hand_size);
        let at = hand.into_iter().min_by_key(length).expect("a hand has a card");
        let now = self.now;
        let queue = self.queues.entry(at).or_insert_with(|| Queue { waiting: VecDeque::new(), start: now });
        if queue.waiting.len() >= queuing.queue_length_limit as usize {
            return Err(turn);
        }
        if queue.waiting.is_empty() {
            queue.start = queue.start.max(now);
            self.ready.insert((queue.start, at));
        }
        queue.waiting.push_back((seats, turn));
        Ok(())
    }

    /// Seats that the next request wants.
    pub(super) fn next_seats(&self) -> Option<u32> {
        let (_, at) = self.ready.first()?;
        self.queues.get(at)?.waiting.front().map(|(seats, _)| *seats)
    }

    /// The next request.
    pub(super) fn pop(&mut self) -> Option<T> {
        let (start, at) = self.ready.pop_first()?;
        let queue = self.queues.get_mut(&at)?;
        let (seats, turn) = queue.waiting.pop_front()?;
        self.now = self.now.max(start);
        queue.start = start + u64::from(seats.max(1));
        if !queue.waiting.is_empty() {
            self.ready.insert((queue.start, at));
        } else if self.queues.len() > REMEMBERED {
            self.forget();
        }
        Some(turn)
    }

    /// Drops the requests that `keep` does not want.
    pub(super) fn sweep(&mut self, keep: impl Fn(&T) -> bool) {
        for (at, queue) in &mut self.queues {
            let before = queue.waiting.len();
            queue.waiting.retain(|(_, turn)| keep(turn));
            if before > 0 && queue.waiting.is_empty() {
                self.ready.remove(&(queue.start, *at));
            }
        }
        if self.queues.len() > REMEMBERED {
            self.forget();
        }
    }

    /// Forgets empty queues whose past makes no difference any more.
    fn forget(&mut self) {
        let now = self.now;
        self.queues.retain(|_, queue| !queue.waiting.is_empty() || queue.start > now);
    }
}

/// `hand` different cards out of `deck`, the same for the same flow.
fn deal(flow: u64, deck: u32, hand: u32) -> Vec<u32> {
    let hand = hand.clamp(1, deck).min(64);
    let mut entropy = flow;
    let mut cards: Vec<u32> = Vec::with_capacity(hand as usize);
    for drawn in 0..hand {
        let left = u64::from(deck - drawn);
        let mut card = u32::try_from(entropy % left).unwrap_or(0);
        entropy /= left;
        // The card'th of those that are not in the hand: step over the smaller ones.
        let mut taken = cards.clone();
        taken.sort_unstable();
        for other in taken {
            if other <= card {
                card += 1;
            }
        }
        cards.push(card);
    }
    cards
}

#[cfg(test)]
mod tests {
    use super::{Queues, deal};
    use crate::flow::level::Queuing;

    #[test]
    fn a_hand_has_different_cards_and_is_always_the_same() {
        for flow in [0, 1, 12_345_678_901_234_567, u64::MAX] {
            let hand = deal(flow, 64, 6);
            let mut sorted = hand.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!((sorted.len(), deal(flow, 64, 6)), (6, hand), "{flow}");
            assert!(sorted.iter().all(|card| *card < 64));
        }
        assert_eq!(deal(7, 1, 5), [0]);
    }

    /// Protocol: F2
    #[test]
    fn a_flood_and_a_trickle_take_turns() {
        let queuing = Queuing { queues: 64, hand_size: 1, queue_length_limit: 50 };
        let (flood, trickle) = (1, 2);
        let mut queues = Queues::default();
        for at in 0..60 {
            assert_eq!(queues.push(queuing, flood, 1, ("flood", at)).is_ok(), at < 50, "a queue is bounded");
        }
        queues.push(queuing, trickle, 1, ("trickle", 0)).expect("room");
        let first: Vec<&str> = (0..2).filter_map(|_| queues.pop()).map(|(name, _)| name).collect();
        assert!(first.contains(&"trickle"), "{first:?}");
        // Wide requests pay for their width.
        let mut queues = Queues::default();
        for at in 0..4 {
            queues.push(queuing, flood, 10, ("wide", at)).expect("room");
        }
        for at in 0..20 {
            queues.push(queuing, trickle, 1, ("narrow", at)).expect("room");
        }
        let served: Vec<&str> = (0..12).filter_map(|_| queues.pop()).map(|(name, _)| name).collect();
        assert_eq!(served.iter().filter(|name| **name == "wide").count(), 2, "{served:?}");
    }

    #[test]
    fn who_has_gone_is_swept() {
        let queuing = Queuing { queues: 8, hand_size: 2, queue_length_limit: 50 };
        let mut queues = Queues::default();
        for at in 0..10u32 {
            queues.push(queuing, u64::from(at), 1, at).expect("room");
        }
        queues.sweep(|at| *at == 3);
        assert_eq!((queues.next_seats(), queues.pop(), queues.pop()), (Some(1), Some(3), None));
    }
}
