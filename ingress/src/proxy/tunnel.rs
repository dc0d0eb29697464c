//! An upgraded connection (WebSocket), or TLS that passes through: bytes both ways until a side ends or both fall silent.
//!
//! After an upgrade it begins only with the endpoint's 101.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::alarm::Alarm;
use crate::proxy::upstream::Lease;

/// Bytes that are on their way in each direction at most.
const BUFFER: usize = 16 * 1024;

/// Waits until both sides have switched, then copies; ends after `idle` without a byte in either direction.
pub async fn run(lease: Lease, downstream: OnUpgrade, idle: Duration) {
    let (upstream, downstream) = tokio::join!(lease.switched(), downstream);
    let ((upstream, early), mut downstream) = match (upstream, downstream) {
        (Some(upstream), Ok(downstream)) => (upstream, TokioIo::new(downstream)),
        (None, _) => return tracing::debug!("the endpoint did not finish its upgrade"),
        (_, Err(error)) => return tracing::debug!(%error, "the client did not finish its upgrade"),
    };
    if let Err(error) = downstream.write_all(&early).await {
        return tracing::debug!(%error, "a tunnel broke at its beginning");
    }
    relay(downstream, upstream, idle).await;
}

/// Copies both ways until a side ends; ends after `idle` without a byte in either direction.
pub async fn relay(
    mut downstream: impl AsyncRead + AsyncWrite + Unpin,
    mut upstream: impl AsyncRead + AsyncWrite + Unpin,
    idle: Duration,
) {
    let (mut up, mut down) = (Way::default(), Way::default());
    let mut alarm = Alarm::new(Instant::now() + idle);
    let end = poll_fn(|cx| {
        let before = up.moved + down.moved;
        let up_ended = up.poll(&mut downstream, &mut upstream, cx)?;
        let down_ended = down.poll(&mut upstream, &mut downstream, cx)?;
        if up_ended.is_ready() && down_ended.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if up.moved + down.moved != before {
            alarm.set(Instant::now() + idle);
        }
        if alarm.is_due(cx) { Poll::Ready(Err(ErrorKind::TimedOut.into())) } else { Poll::Pending }
    });
    if let Err(error) = end.await as io::Result<()> {
        tracing::debug!(%error, "a tunnel broke, or was idle for too long");
    }
}

/// One direction of a tunnel. While nothing waits to be written it holds no memory.
#[derive(Default)]
struct Way {
    rest: BytesMut,
    unflushed: bool,
    /// The sender is done.
    ended: bool,
    /// The receiver knows it.
    closed: bool,
    moved: u64,
}

thread_local! {
    /// What all tunnels of a worker read into: who cannot write on at once keeps a copy.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into());
}

impl Way {
    /// Copies what is there; ready when all of it has come through.
    fn poll(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.closed {
            if !self.rest.is_empty() {
                match ready!(Pin::new(&mut *to).poll_write(cx, &self.rest))? {
                    0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                    written => self.rest.advance(written),
                }
            } else if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.closed = true;
            } else {
                let read = SCRATCH.with_borrow_mut(|scratch| self.read(from, to, scratch, cx))?;
                if read.is_pending() {
                    if self.unflushed && self.rest.is_empty() {
                        ready!(Pin::new(&mut *to).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn read(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        scratch: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut piece = ReadBuf::new(scratch);
        ready!(Pin::new(from).poll_read(cx, &mut piece))?;
        let piece = piece.filled();
        if piece.is_empty() {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        self.moved += piece.len() as u64;
        self.unflushed = true;
        let written = match Pin::new(to).poll_write(cx, piece)? {
            Poll::Ready(written) => written,
            Poll::Pending => 0,
        };
        if written < piece.len() {
            self.rest = BytesMut::from(&piece[written..]);
        }
        Poll::Ready(Ok(()))
    }
}
