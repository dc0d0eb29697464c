//! HTTP/2 streams whose client takes nothing: its window is closed, so the connection's own writes never stand still.
//!
//! Whoever answers notes whom it waits for; the task of the stream ends where that is the client for too long.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::Sleep;

/// Whom an answer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// Which has a time limit of its own.
    Endpoint,
    Client,
}

thread_local! {
    /// Of the stream that is being polled on this thread.
    static WAITS: Cell<Waits> = const { Cell::new(Waits::Endpoint) };
}

/// Notes whom the answer that is being polled waits for from here on.
pub fn note(waits: Waits) {
    WAITS.set(waits);
}

/// Runs the streams of HTTP/2 connections, each for as long as its client takes something within `limit`.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    pub limit: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(watched(stream, self.limit));
    }
}

/// Ends with `stream`, or when its client has stood still; dropped, a stream is reset.
async fn watched(stream: impl Future<Output = ()>, limit: Duration) {
    let mut stream = pin!(stream);
    let mut waits = Waits::Endpoint;
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        WAITS.set(waits);
        let polled = stream.as_mut().poll(cx);
        waits = WAITS.get();
        if polled.is_ready() || waits == Waits::Endpoint {
            timer = None;
            return polled;
        }
        if let Some(armed) = &mut timer
            && armed.as_mut().poll(cx).is_ready()
        {
            tracing::debug!("a client does not read its stream");
            return Poll::Ready(());
        }
        // Woken by the stream, not by the timer: the client has taken something.
        let mut armed = Box::pin(tokio::time::sleep(limit));
        let polled = armed.as_mut().poll(cx);
        timer = Some(armed);
        polled
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::task::Poll;
    use std::time::{Duration, Instant};

    use super::{Waits, note, watched};

    #[tokio::test]
    async fn only_clients_that_stand_still_are_left() {
        let limit = Duration::from_millis(50);
        let began = Instant::now();
        watched(
            poll_fn(|_| {
                note(Waits::Client);
                Poll::Pending
            }),
            limit,
        )
        .await;
        assert!(began.elapsed() >= limit);
        let endless = watched(pending(), limit);
        assert!(tokio::time::timeout(limit * 4, endless).await.is_err(), "endpoints have limits of their own");
        let mut left = 8;
        let mut tick = tokio::time::interval(limit / 2);
        let slow = poll_fn(|cx| {
            note(Waits::Client);
            while tick.poll_tick(cx).is_ready() {
                left -= 1;
                if left == 0 {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        });
        watched(slow, limit).await;
        assert_eq!(left, 0, "a slow reader goes on");
    }
}
