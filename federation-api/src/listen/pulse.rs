//! Whether a connection still moves: requests that run, answers that are read. Who takes and does not read keeps what
//! the answer is made of; who is silent keeps a descriptor.
//!
//! Pure but for its lock: time is passed in.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;

use crate::body::{Body, BrokenOff, PIECE_BYTES};

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Pulse {
    /// Guards the counts; held for one step of one request.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests that are not answered to the end yet, watches included.
    open: usize,
    /// When the last request ended, or the connection began.
    since: Instant,
    next: u64,
    /// Answers that have an end, by number: when their client last took a piece.
    sending: BTreeMap<u64, Instant>,
}

/// How long a connection may stay as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) idle: Duration,
    pub(super) stalled: Duration,
}

/// What is to be done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing before that instant.
    Until(Instant),
    /// No request for too long.
    Idle,
    /// An answer is asked for and not read.
    Stalled,
}

/// One request of a connection.
pub(super) struct Turn {
    pulse: Arc<Pulse>,
}

/// An answer on its way, which the connection knows of.
pub(super) struct Told {
    body: Body,
    /// What is left of the last piece.
    rest: Bytes,
    /// Its number, where it has an end.
    sending: Option<u64>,
    turn: Turn,
    /// Lives until the answer is told.
    _held: Option<Arc<dyn Send + Sync>>,
}

impl Pulse {
    pub(super) fn new(now: Instant) -> Self {
        Self { state: Mutex::new(State { open: 0, since: now, next: 0, sending: BTreeMap::new() }) }
    }

    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>) -> Turn {
        self.state.lock().open += 1;
        Turn { pulse: Arc::clone(self) }
    }

    pub(super) fn judge(&self, now: Instant, patience: Patience) -> Verdict {
        let state = self.state.lock();
        if let Some(oldest) = state.sending.values().min() {
            let end = *oldest + patience.stalled;
            return if now >= end { Verdict::Stalled } else { Verdict::Until(end) };
        }
        if state.open > 0 {
            return Verdict::Until(now + patience.stalled);
        }
        let end = state.since + patience.idle;
        if now >= end { Verdict::Idle } else { Verdict::Until(end) }
    }

    /// Since when nobody has asked for anything; none where a request runs.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        (state.open == 0).then_some(state.since)
    }
}

impl Turn {
    /// The answer; `held` is kept until it is told, and says that it has an end.
    pub(super) fn answer(self, body: Body, held: Option<Arc<dyn Send + Sync>>) -> Told {
        let sending = held.is_some().then(|| {
            let mut state = self.pulse.state.lock();
            state.next += 1;
            let number = state.next;
            state.sending.insert(number, Instant::now());
            number
        });
        Told { body, rest: Bytes::new(), sending, turn: self, _held: held }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.pulse.state.lock();
        state.open -= 1;
        state.since = Instant::now();
    }
}

impl Told {
    fn moved(&self) {
        if let Some(number) = self.sending
            && let Some(last) = self.turn.pulse.state.lock().sending.get_mut(&number)
        {
            *last = Instant::now();
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(number) = self.sending {
            self.turn.pulse.state.lock().sending.remove(&number);
        }
    }
}

impl HttpBody for Told {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if self.rest.is_empty() {
            let frame = match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Ok(frame)) => frame,
                Some(Err(broken)) => return Poll::Ready(Some(Err(broken))),
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        self.moved();
        let piece = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use http_body_util::BodyExt;

    use super::{Patience, Pulse, Verdict};
    use crate::body::{Body, PIECE_BYTES};

    const PATIENCE: Patience = Patience { idle: Duration::from_secs(90), stalled: Duration::from_secs(60) };

    #[tokio::test]
    async fn who_is_silent_and_who_does_not_read() {
        let begin = Instant::now();
        let later = |seconds| Instant::now() + Duration::from_secs(seconds);
        let pulse = Arc::new(Pulse::new(begin));
        assert_eq!(pulse.judge(begin, PATIENCE), Verdict::Until(begin + PATIENCE.idle));
        assert_eq!(pulse.judge(later(91), PATIENCE), Verdict::Idle);
        let turn = pulse.begin();
        assert!(matches!(pulse.judge(later(1_000), PATIENCE), Verdict::Until(_)), "a request runs");
        assert_eq!(pulse.idle_since(), None);
        let long = vec![b'x'; 3 * PIECE_BYTES + 1];
        let mut answer = turn.answer(Body::full(long.clone()), Some(Arc::new(())));
        assert_eq!(pulse.judge(later(61), PATIENCE), Verdict::Stalled);
        let mut told = Vec::new();
        while let Some(frame) = answer.frame().await {
            let data = frame.expect("infallible").into_data().expect("data");
            assert!(data.len() <= PIECE_BYTES);
            told.extend_from_slice(&data);
        }
        assert_eq!(told, long);
        drop(answer);
        assert!(matches!(pulse.judge(later(61), PATIENCE), Verdict::Until(_)));
        assert_eq!(pulse.judge(later(91), PATIENCE), Verdict::Idle);
        // A watch may be silent for as long as it likes.
        let watch = pulse.begin().answer(Body::stream(futures_util::stream::pending()), None);
        assert!(matches!(pulse.judge(later(1_000), PATIENCE), Verdict::Until(_)));
        drop(watch);
        assert!(pulse.idle_since().is_some());
    }
}
