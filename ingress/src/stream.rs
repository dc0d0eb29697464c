//! A downstream connection's bytes, plain or TLS, with a limit on writes that do not move.
//!
//! Knows no HTTP.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

/// A client's connection.
pub struct Downstream {
    inner: Inner,
    stall: Stall,
}

enum Inner {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

trait Writer: AsyncWrite + Unpin {}
impl<T: AsyncWrite + Unpin> Writer for T {}

/// Armed only while a write waits, so a client that reads costs nothing.
struct Stall {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Downstream {
    /// A connection whose writes may stand still for `limit`.
    #[must_use]
    pub fn plain(stream: TcpStream, limit: Duration) -> Self {
        Self { inner: Inner::Plain(stream), stall: Stall { limit, sleep: None } }
    }

    /// The same over TLS.
    #[must_use]
    pub fn tls(stream: TlsStream<TcpStream>, limit: Duration) -> Self {
        Self { inner: Inner::Tls(Box::new(stream)), stall: Stall { limit, sleep: None } }
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
