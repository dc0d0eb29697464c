//! A downstream connection's bytes, plain or TLS: looked at before they are served, with a limit on writes that do not move.
//!
//! Knows no HTTP.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

/// Bytes that are asked for at once while a connection is looked at: most requests' heads come whole.
const LOOK: usize = 2048;

/// An accepted socket whose first bytes can be looked at before somebody reads them.
pub struct Socket {
    stream: TcpStream,
    /// Read from the socket, but not yet by whoever serves the connection.
    early: BytesMut,
}

/// A socket that nobody needs to look into any longer.
pub struct Plain {
    pub stream: TcpStream,
    /// Read from it, and not yet by anybody.
    pub early: BytesMut,
    /// How long it may take nothing.
    pub stall: Option<Duration>,
}

/// A client's connection.
pub struct Downstream {
    inner: Inner,
    /// Read before, and to be read again.
    early: BytesMut,
    stall: Stall,
}

enum Inner {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

trait Writer: AsyncWrite + Unpin {}
impl<T: AsyncWrite + Unpin> Writer for T {}

/// Armed only while a write waits, so a client that reads costs nothing.
struct Stall {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    /// A socket of which nothing was read yet.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, early: BytesMut::new() }
    }

    /// Reads until `decide` knows; the bytes stay there to be read again.
    ///
    /// # Errors
    /// What the socket says; that it ended; that `most` bytes were not enough.
    pub async fn look<T>(&mut self, most: usize, decide: impl Fn(&[u8]) -> Option<T>) -> io::Result<T> {
        loop {
            if let Some(found) = decide(&self.early) {
                return Ok(found);
            }
            if self.early.len() >= most {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "too many bytes before anything was clear"));
            }
            self.early.reserve(LOOK);
            if self.stream.read_buf(&mut self.early).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Drops what was looked at and understood.
    pub fn skip(&mut self, length: usize) {
        self.early.advance(length);
    }

    /// The socket, and what was looked at.
    #[must_use]
    pub fn into_plain(self) -> Plain {
        Plain { stream: self.stream, early: self.early, stall: None }
    }

    /// The address that the client connected to.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }
}

fn read_early(early: &mut BytesMut, buf: &mut ReadBuf<'_>) {
    let length = early.len().min(buf.remaining());
    buf.put_slice(&early[..length]);
    early.advance(length);
    if early.is_empty() {
        *early = BytesMut::new();
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            read_early(&mut self.early, buf);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Downstream {
    /// A connection whose writes may stand still for `limit`.
    #[must_use]
    pub fn plain(stream: Socket, limit: Duration) -> Self {
        Self { inner: Inner::Plain(stream), early: BytesMut::new(), stall: Stall { limit, sleep: None } }
    }

    /// The same over TLS.
    #[must_use]
    pub fn tls(stream: TlsStream<Socket>, limit: Duration) -> Self {
        Self { inner: Inner::Tls(Box::new(stream)), early: BytesMut::new(), stall: Stall { limit, sleep: None } }
    }

    /// `bytes` are read again before all others.
    pub fn rewind(&mut self, bytes: BytesMut) {
        self.early = bytes;
    }

    /// The socket alone, with what is to be read before it.
    ///
    /// # Errors
    /// The connection as it was, where it is TLS.
    pub fn into_plain(mut self) -> Result<Plain, Box<Self>> {
        match self.inner {
            Inner::Tls(_) => Err(Box::new(self)),
            Inner::Plain(socket) => {
                let Plain { stream, early, .. } = socket.into_plain();
                self.early.extend_from_slice(&early);
                Ok(Plain { stream, early: self.early, stall: Some(self.stall.limit) })
            }
        }
    }

    fn inner(&mut self) -> Pin<&mut (dyn Writer + 'static)> {
        match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream),
            Inner::Tls(stream) => Pin::new(&mut **stream),
        }
    }
}

impl Stall {
    fn watch<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.sleep = None;
            return progress;
        }
        let limit = self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl AsyncRead for Downstream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            read_early(&mut self.early, buf);
            return Poll::Ready(Ok(()));
        }
        match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Inner::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Downstream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let progress = self.inner().poll_write(cx, buf);
        self.stall.watch(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = self.inner().poll_write_vectored(cx, bufs);
        self.stall.watch(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Plain(stream) => stream.is_write_vectored(),
            Inner::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = self.inner().poll_flush(cx);
        self.stall.watch(cx, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = self.inner().poll_shutdown(cx);
        self.stall.watch(cx, progress)
    }
}
