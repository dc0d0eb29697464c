//! One connection's TLS stream, which sends once a turn: what HTTP writes and flushes frame by frame leaves together.
//!
//! Knows no HTTP: [`Turns`] drives whatever speaks over the line.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// From so many bytes on what waits is sent before more is taken: bounds the memory of a connection, and as much as one
/// system call moves well.
const GATHERED_BYTES: usize = 64 * 1024;

/// The stream as HTTP sees it.
pub(super) struct Line(Arc<Mutex<Wire>>);

/// The lock guards the stream for one step of its connection's task; nobody waits for it, unless that task has handed
/// the line on to the other end of a tunnel.
struct Wire {
    stream: TlsStream<TcpStream>,
    /// Plaintext bytes that were taken since everything was sent.
    waiting: usize,
    /// Whether somebody sends at the end of the turn.
    gathers: bool,
}

/// A future that speaks over a line: when it has had its turn, what it wrote is sent.
pub(super) struct Turns<F: Future> {
    speaker: Pin<Box<F>>,
    line: Line,
    /// What the future came to, while its last words are still on their way.
    done: Option<F::Output>,
}

impl Line {
    pub(super) fn new(mut stream: TlsStream<TcpStream>) -> Self {
        // What waits is bounded here: by whole frames, not in the middle of one.
        stream.get_mut().1.set_buffer_limit(None);
        Self(Arc::new(Mutex::new(Wire { stream, waiting: 0, gathers: false })))
    }

    /// Lets `speak` talk over the line, a turn a poll.
    pub(super) fn turns<F: Future>(self, speak: impl FnOnce(Self) -> F) -> Turns<F> {
        self.0.lock().gathers = true;
        let line = Self(Arc::clone(&self.0));
        Turns { speaker: Box::pin(speak(self)), line, done: None }
    }
}

impl Wire {
    /// Sends what waits.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.waiting = 0;
        Poll::Ready(Ok(()))
    }

    /// Encrypts, and leaves the sending to the end of the turn.
    fn gather(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.waiting >= GATHERED_BYTES {
            ready!(self.send(cx))?;
        }
        let taken = io::Write::write_vectored(&mut self.stream.get_mut().1.writer(), bufs)?;
        self.waiting += taken;
        Poll::Ready(Ok(taken))
    }
}

impl<F: Future> Turns<F> {
    /// The future itself, to be told something between its turns.
    pub(super) fn speaker(&mut self) -> Pin<&mut F> {
        self.speaker.as_mut()
    }
}

impl<F: Future> Future for Turns<F>
where
    F::Output: Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let turns = &mut *self;
        if turns.done.is_none()
            && let Poll::Ready(done) = turns.speaker.as_mut().poll(cx)
        {
            turns.done = Some(done);
            // Who has the line from here on has no turns.
            turns.line.0.lock().gathers = false;
        }
        // A line that is broken says so to whoever reads or writes next.
        let sent = turns.line.0.lock().send(cx);
        match turns.done.take() {
            Some(done) if sent.is_ready() => Poll::Ready(done),
            waits => {
                turns.done = waits;
                Poll::Pending
            }
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut wire = self.0.lock();
        if wire.gathers { wire.gather(cx, bufs) } else { Pin::new(&mut wire.stream).poll_write_vectored(cx, bufs) }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.lock();
        if wire.gathers { Poll::Ready(Ok(())) } else { wire.send(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().stream).poll_shutdown(cx)
    }
}
