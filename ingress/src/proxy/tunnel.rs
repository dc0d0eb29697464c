//! An upgraded connection (WebSocket), or TLS that passes through: bytes both ways until a side ends or both fall silent.
//!
//! After an upgrade it begins only with the endpoint's 101. Where both ends are plain sockets their bytes leave the runtime for
//! [`carrier`]; all others are copied by their task.

pub mod carrier;
pub mod pair;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use mio::net::TcpStream;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::alarm::Alarm;
use crate::proxy::guard::Guarded;
use crate::proxy::tunnel::carrier::{Carrier, Farewell};
use crate::proxy::tunnel::pair::{Limits, Pair};
use crate::proxy::upstream::{Lease, Link};
use crate::stream::{Downstream, Plain, Socket};

/// Bytes that are on their way in each direction at most.
const BUFFER: usize = 16 * 1024;

/// Where a worker's tunnels run.
pub struct Tunnels {
    idle: Duration,
    /// Started by the first tunnel that it can carry.
    carrier: Mutex<Option<Carrier>>,
}

impl Tunnels {
    /// None of them outlives `idle` without a byte in either direction.
    #[must_use]
    pub const fn new(idle: Duration) -> Self {
        Self { idle, carrier: Mutex::new(None) }
    }

    /// Waits until both sides have switched, then copies.
    pub async fn after_upgrade(&self, lease: Lease, downstream: OnUpgrade) {
        let (upstream, downstream) = tokio::join!(lease.switched(), downstream);
        let ((upstream, answered), downstream) = match (upstream, downstream) {
            (Some(upstream), Ok(downstream)) => (upstream, downstream),
            (None, _) => return tracing::debug!("the endpoint did not finish its upgrade"),
            (_, Err(error)) => return tracing::debug!(%error, "the client did not finish its upgrade"),
        };
        // A whole connection comes back as what it was; a stream of HTTP/2 does not.
        let whole = match downstream.downcast::<TokioIo<Guarded<Downstream>>>() {
            Ok(whole) => whole,
            Err(stream) => {
                let early = Early { up: Bytes::new(), down: answered };
                return relay(TokioIo::new(stream), upstream, early, self.idle).await;
            }
        };
        let early = Early { up: whole.read_buf, down: answered };
        let guarded = whole.io.into_inner();
        if guarded.has_refused() {
            return relay(guarded, upstream, early, self.idle).await;
        }
        let downstream = guarded.into_inner();
        let upstream = match upstream.into_plain() {
            Ok(upstream) => upstream,
            Err(upstream) => return relay(downstream, upstream, early, self.idle).await,
        };
        match downstream.into_plain() {
            Ok(plain) => self.of_plain(plain, upstream, early).await,
            Err(downstream) => relay(downstream, upstream, early, self.idle).await,
        }
    }

    /// Copies what a client that was only looked at says, and what it is told.
    pub async fn through(&self, socket: Socket, upstream: Link) {
        match upstream.into_plain() {
            Ok(upstream) => self.of_plain(socket.into_plain(), upstream, Early::default()).await,
            Err(upstream) => relay(socket, upstream, Early::default(), self.idle).await,
        }
    }

    async fn of_plain(&self, downstream: Plain, upstream: tokio::net::TcpStream, early: Early) {
        let Plain { stream: downstream, early: looked_at, stall } = downstream;
        let mut up = BytesMut::from(early.up);
        up.extend_from_slice(&looked_at);
        let end = async {
            let sockets = [TcpStream::from_std(downstream.into_std()?), TcpStream::from_std(upstream.into_std()?)];
            let limits = Limits { idle: self.idle, stall };
            let ended = self.carry(Pair::new(sockets, [up, early.down.into()], limits))?;
            ended.await.unwrap_or_else(|_| Err(io::Error::other("what carries tunnels ended")))
        };
        if let Err(error) = end.await as io::Result<()> {
            tracing::debug!(%error, "a tunnel broke, or was idle for too long");
        }
    }

    fn carry(&self, pair: Pair) -> io::Result<Farewell> {
        let mut carrier = self.carrier.lock();
        match &mut *carrier {
            Some(carrier) if !carrier.has_ended() => carrier.carry(pair),
            none => none.insert(Carrier::start()?).carry(pair),
        }
    }
}

/// Bytes that were read with the heads, and belong to the tunnel.
#[derive(Default)]
struct Early {
    up: Bytes,
    down: Bytes,
}

/// Copies both ways until a side ends; ends after `idle` without a byte in either direction.
async fn relay(
    mut downstream: impl AsyncRead + AsyncWrite + Unpin,
    mut upstream: impl AsyncRead + AsyncWrite + Unpin,
    early: Early,
    idle: Duration,
) {
    let (mut up, mut down) = (Way::after(early.up), Way::after(early.down));
    let mut silence = Silence::new(idle);
    let end = poll_fn(|cx| {
        let up_ended = up.poll(&mut downstream, &mut upstream, cx)?;
        let down_ended = down.poll(&mut upstream, &mut downstream, cx)?;
        if up_ended.is_ready() && down_ended.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if silence.is_over(up.moved + down.moved, cx) {
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    });
    if let Err(error) = end.await as io::Result<()> {
        tracing::debug!(%error, "a tunnel broke, or was idle for too long");
    }
}

/// How long nothing came from either side, looked at four times in the time that ends a tunnel: a piece costs no look at the clock.
struct Silence {
    quarter: Duration,
    alarm: Alarm,
    moved: u64,
    quarters: u8,
}

impl Silence {
    fn new(limit: Duration) -> Self {
        let quarter = limit / 4;
        Self { quarter, alarm: Alarm::new(Instant::now() + quarter), moved: 0, quarters: 0 }
    }

    /// Whether the limit has passed since the count of bytes last rose, or up to a quarter more.
    fn is_over(&mut self, moved: u64, cx: &mut Context<'_>) -> bool {
        while self.alarm.is_due(cx) {
            self.quarters = if moved == self.moved { self.quarters + 1 } else { 0 };
            if self.quarters == 4 {
                return true;
            }
            self.moved = moved;
            self.alarm.set(Instant::now() + self.quarter);
        }
        false
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
    /// `early` comes before all that is read.
    fn after(early: Bytes) -> Self {
        Self { unflushed: !early.is_empty(), rest: early.into(), ..Self::default() }
    }

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

#[cfg(test)]
mod tests;
