//! Bodies on their way through: request bodies with their limit and idle time, answers that drive their own upstream connection.
//!
//! Nothing is buffered here; backpressure is hyper's on both sides.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use crate::access::Line;
use crate::config::BodyRate;
use crate::filter::rate::Open;
use crate::metrics::book::Tally;
use crate::proxy::replay::Replay;
use crate::proxy::slow::Slow;
use crate::proxy::tee::{Copied, Tee, tee};
use crate::proxy::upstream::Lease;
use crate::route::InFlight;
use crate::route::policy::AnswerRate;
use crate::stall::{self, Waits};

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than this ingress admits")]
    TooLarge,
    #[error("the body stood still for too long")]
    Idle,
    #[error("the client went away")]
    Downstream(#[source] hyper::Error),
    #[error("what it is a copy of broke off, or was faster")]
    Copy,
    #[error("the endpoint's answer broke off")]
    Upstream(#[source] hyper::Error),
    #[error("the endpoint's answer broke off")]
    Link(#[source] std::io::Error),
}

/// How far a request body has come; shared with who forwards it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Progress {
    Streaming = 0,
    Done = 1,
    TooLarge = 2,
    Idle = 3,
    Broken = 4,
}

/// The reading end of a body's [`Progress`].
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<AtomicU8>);

impl Watch {
    /// How far the body has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match self.0.load(Ordering::Relaxed) {
            0 => Progress::Streaming,
            1 => Progress::Done,
            2 => Progress::TooLarge,
            3 => Progress::Idle,
            _ => Progress::Broken,
        }
    }

    fn set(&self, progress: Progress) {
        self.0.store(progress as u8, Ordering::Relaxed);
    }
}

/// A request body as the endpoint gets it.
pub struct RequestBody(Content);

enum Content {
    None,
    Once(Streaming),
    Kept(Replay),
    Copied(Copied),
}

/// What a client sends, as it comes.
pub struct Streaming {
    incoming: Incoming,
    watch: Watch,
    left: Option<u64>,
    idle: IdleTimer,
    pace: Option<Pace>,
    /// Somebody else gets it, too.
    tee: Option<Tee>,
}

/// How fast a body has come so far.
struct Pace {
    least: BodyRate,
    began: Instant,
    bytes: u64,
}

impl Pace {
    /// Whether it is too slow with these `bytes` more.
    fn lags(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        let took = self.began.elapsed();
        took >= self.least.after && self.bytes < self.least.bytes_per_second.saturating_mul(took.as_secs().max(1))
    }
}

/// Armed only while a body waits: small bodies never touch the timer.
pub struct IdleTimer {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl IdleTimer {
    /// For pieces that take `limit` at most.
    pub const fn new(limit: Duration) -> Self {
        Self { limit, sleep: None }
    }

    /// A piece has come.
    pub fn moved(&mut self) {
        self.sleep = None;
    }

    /// Whether the next one takes too long; if not, the task is woken then.
    pub fn expired(&mut self, cx: &mut Context<'_>) -> bool {
        let limit = self.limit;
        self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit))).as_mut().poll(cx).is_ready()
    }
}

impl RequestBody {
    /// No body.
    #[must_use]
    pub const fn none() -> Self {
        Self(Content::None)
    }

    /// Streams `incoming`, at most `limit` bytes, at most `idle` between two pieces.
    #[must_use]
    pub fn streaming(incoming: Incoming, limit: Option<u64>, idle: Duration) -> (Self, Watch) {
        let watch = Watch::default();
        let idle = IdleTimer::new(idle);
        let body = Streaming { incoming, watch: watch.clone(), left: limit, idle, pace: None, tee: None };
        (Self(Content::Once(body)), watch)
    }

    /// The same, which must come as fast as this.
    #[must_use]
    pub fn paced(mut self, least: Option<BodyRate>) -> Self {
        if let (Content::Once(streaming), Some(least)) = (&mut self.0, least) {
            streaming.pace = Some(Pace { least, began: Instant::now(), bytes: 0 });
        }
        self
    }

    /// The same, with up to `most` bytes kept so that it can be sent again.
    #[must_use]
    pub fn keeping(self, most: usize) -> Self {
        match self.0 {
            Content::Once(streaming) if most > 0 => Self(Content::Kept(Replay::new(streaming, most))),
            content => Self(content),
        }
    }

    /// A copy that is read while this one is, as far as it can follow.
    #[must_use]
    pub fn tee(&mut self) -> Self {
        let Content::Once(streaming) = &mut self.0 else { return Self::none() };
        let (tee, copied) = tee();
        streaming.tee = Some(tee);
        Self(Content::Copied(copied))
    }

    /// The body once more, if it can be sent twice.
    #[must_use]
    pub fn copy(&self) -> Option<Self> {
        match &self.0 {
            Content::None => Some(Self::none()),
            Content::Once(_) | Content::Copied(_) => None,
            Content::Kept(replay) => Some(Self(Content::Kept(replay.again()))),
        }
    }

    /// Whether nothing of it is gone.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        match &self.0 {
            Content::Kept(replay) => replay.is_whole(),
            _ => true,
        }
    }
}

impl Streaming {
    fn done(&mut self) {
        self.watch.set(Progress::Done);
        if let Some(mut tee) = self.tee.take() {
            tee.end();
        }
    }

    fn fail(&mut self, progress: Progress, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.watch.set(progress);
        self.tee = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl Streaming {
    /// The next piece, within the limits of size and time.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Pending if self.idle.expired(cx) => self.fail(Progress::Idle, BodyError::Idle),
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.done();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => self.fail(Progress::Broken, BodyError::Downstream(error)),
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.moved();
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.left.map(|left| left.checked_sub(length)) {
                    Some(None) => return self.fail(Progress::TooLarge, BodyError::TooLarge),
                    Some(rest) => self.left = rest,
                    None => {}
                }
                if let Some(tee) = &mut self.tee {
                    tee.pass(&frame);
                }
                if self.incoming.is_end_stream() {
                    self.done();
                } else if self.pace.as_mut().is_some_and(|pace| pace.lags(length)) {
                    return self.fail(Progress::Idle, BodyError::Idle);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    /// Whether everything has come.
    #[must_use]
    pub fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    /// What the client announced, less what has come.
    #[must_use]
    pub fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Content::None => Poll::Ready(None),
            Content::Once(streaming) => streaming.poll_frame(cx),
            Content::Kept(replay) => replay.poll_frame(cx),
            Content::Copied(copied) => copied.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::None => true,
            Content::Once(streaming) => streaming.is_end_stream(),
            Content::Kept(replay) => replay.is_end_stream(),
            Content::Copied(copied) => copied.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::None => SizeHint::with_exact(0),
            Content::Once(streaming) => streaming.size_hint(),
            Content::Kept(replay) => replay.size_hint(),
            Content::Copied(_) => SizeHint::new(),
        }
    }
}

/// An answer's body: ours, or an endpoint's.
pub struct AnswerBody {
    source: Source,
    /// Written when the body is dropped: at its end, or when a side goes away.
    line: Option<Line>,
    /// Counts until the end, too.
    open: Option<Open>,
    tally: Option<Tally>,
    slow: Option<Box<Slow>>,
}

enum Source {
    Whole(Bytes),
    Upstream(Box<Flow>),
    Flowing(Flowing),
    Ended,
}

/// A body that brings its own connection.
pub type Flowing = Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>;

struct Flow {
    incoming: Incoming,
    lease: Option<Lease>,
    idle: IdleTimer,
    _in_flight: Option<InFlight>,
}

impl AnswerBody {
    /// A body of our own.
    #[must_use]
    pub const fn whole(bytes: Bytes) -> Self {
        Self { source: Source::Whole(bytes), line: None, open: None, tally: None, slow: None }
    }

    /// An endpoint's body; `lease` goes back to the pool when it has come through whole.
    #[must_use]
    pub fn upstream(incoming: Incoming, mut lease: Lease, idle: Duration, in_flight: Option<InFlight>) -> Self {
        if incoming.is_end_stream() {
            lease.settle();
            return Self { source: Source::Ended, line: None, open: None, tally: None, slow: None };
        }
        let flow = Flow { incoming, lease: Some(lease), idle: IdleTimer::new(idle), _in_flight: in_flight };
        Self { source: Source::Upstream(Box::new(flow)), line: None, open: None, tally: None, slow: None }
    }

    /// A body that comes as it likes.
    #[must_use]
    pub fn flowing(body: Flowing) -> Self {
        Self { source: Source::Flowing(body), line: None, open: None, tally: None, slow: None }
    }

    /// Counts the request of its client until this body ends.
    pub fn count(&mut self, open: Open) {
        self.open = Some(open);
    }

    /// Lets it go out no faster than this.
    pub fn slow(&mut self, rate: AnswerRate) {
        self.slow = Some(Box::new(Slow::new(rate)));
    }

    /// Counts the answer for its route when this body ends.
    pub fn tally(&mut self, tally: Tally) {
        self.tally = Some(tally);
    }

    /// Writes `line` when this body ends.
    pub fn log(&mut self, line: Line) {
        self.line = Some(line);
    }
}

impl Flow {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // The connection is polled in this very task, so its progress needs no wake of its own.
        let mut nowhere = Context::from_waker(Waker::noop());
        let mut frame = match &self.lease {
            Some(lease) if lease.drives() => Pin::new(&mut self.incoming).poll_frame(&mut nowhere),
            _ => Pin::new(&mut self.incoming).poll_frame(cx),
        };
        if frame.is_pending()
            && let Some(lease) = &mut self.lease
            && lease.drives()
        {
            let goes_on = lease.drive(cx);
            frame = Pin::new(&mut self.incoming).poll_frame(if goes_on { &mut nowhere } else { &mut *cx });
        }
        match frame {
            Poll::Pending if self.idle.expired(cx) => Poll::Ready(Some(Err(BodyError::Idle))),
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Err(error))) => {
                self.lease = None;
                Poll::Ready(Some(Err(BodyError::Upstream(error))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.moved();
                if self.incoming.is_end_stream() {
                    self.settle();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.settle();
                Poll::Ready(None)
            }
        }
    }

    fn settle(&mut self) {
        if let Some(mut lease) = self.lease.take() {
            lease.settle();
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let waiting = match &mut self.slow {
            Some(slow) => match slow.poll(cx) {
                Poll::Ready(waiting) => waiting,
                Poll::Pending => {
                    stall::note(Waits::Endpoint);
                    return Poll::Pending;
                }
            },
            None => None,
        };
        let this = &mut *self;
        let frame = match &mut this.source {
            _ if waiting.is_some() => waiting.map(Ok),
            Source::Upstream(flow) => match flow.poll(cx) {
                Poll::Ready(frame) => match &mut this.slow {
                    Some(slow) => frame.map(|frame| frame.map(|frame| slow.pass(frame))),
                    None => frame,
                },
                Poll::Pending => {
                    stall::note(Waits::Endpoint);
                    return Poll::Pending;
                }
            },
            Source::Flowing(body) => match body.as_mut().poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    stall::note(Waits::Endpoint);
                    return Poll::Pending;
                }
            },
            Source::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.source = Source::Ended;
                (!bytes.is_empty()).then(|| Ok(Frame::data(bytes)))
            }
            Source::Ended => None,
        };
        stall::note(Waits::Client);
        if let Some(line) = &mut self.line {
            match &frame {
                Some(Ok(frame)) => line.bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
                Some(Err(_)) => line.broken = true,
                None => {}
            }
        }
        if !matches!(frame, Some(Ok(_))) {
            self.source = Source::Ended;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        if self.slow.as_ref().is_some_and(|slow| slow.waiting() > 0) {
            return false;
        }
        match &self.source {
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Upstream(flow) => flow.incoming.is_end_stream(),
            Source::Flowing(body) => body.is_end_stream(),
            Source::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Upstream(flow) => match (flow.incoming.size_hint().exact(), &self.slow) {
                (Some(left), Some(slow)) => SizeHint::with_exact(left + slow.waiting()),
                _ => flow.incoming.size_hint(),
            },
            Source::Flowing(body) => body.size_hint(),
            Source::Ended => SizeHint::with_exact(0),
        }
    }
}
