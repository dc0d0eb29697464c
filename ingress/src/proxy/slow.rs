//! An answer that goes out no faster than its route says, in pieces small enough that it does so evenly.
//!
//! Source: nginx `ngx_http_write_filter` (`limit_rate`).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Frame;
use tokio::time::Sleep;

use crate::route::policy::AnswerRate;

/// Pieces of a second's bytes.
const PIECES: u64 = 8;
/// Bytes of the smallest piece.
const PIECE_MIN: u64 = 256;

/// How far one answer has come.
pub struct Slow {
    rate: AnswerRate,
    began: Instant,
    sent: u64,
    /// Come from the endpoint, but not to be sent yet.
    rest: Bytes,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Slow {
    /// Begins now.
    pub fn new(rate: AnswerRate) -> Self {
        Self { rate, began: Instant::now(), sent: 0, rest: Bytes::new(), sleep: None }
    }

    /// Bytes that wait for their time.
    pub fn waiting(&self) -> u64 {
        self.rest.len() as u64
    }

    /// Ready once more may be sent; with the next piece of what waits, if anything does.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if self.sleep.is_none()
            && let Some(early) = self.early()
        {
            self.sleep = Some(Box::pin(tokio::time::sleep(early)));
        }
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        let rest = std::mem::take(&mut self.rest);
        Poll::Ready((!rest.is_empty()).then(|| self.cut(rest)))
    }

    /// As much of a frame as may go now; trailers go when everything before them has.
    pub fn pass(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(data) => self.cut(data),
            Err(trailers) => trailers,
        }
    }

    fn cut(&mut self, mut data: Bytes) -> Frame<Bytes> {
        let free = self.rate.after.saturating_sub(self.sent);
        let piece = (self.rate.bytes_per_second / PIECES).max(PIECE_MIN).max(free);
        let piece = usize::try_from(piece).unwrap_or(usize::MAX).min(data.len());
        self.rest = data.split_off(piece);
        self.sent += data.len() as u64;
        Frame::data(data)
    }

    /// How much too early it would be to send more; a second's bytes may go at once.
    fn early(&self) -> Option<Duration> {
        let counted = self.sent.saturating_sub(self.rate.after);
        let due = Duration::from_secs_f64(counted as f64 / self.rate.bytes_per_second as f64);
        due.checked_sub(self.began.elapsed() + Duration::from_secs(1)).filter(|early| !early.is_zero())
    }
}
