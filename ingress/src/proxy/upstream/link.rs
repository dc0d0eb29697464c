//! The bytes to and from one endpoint: TCP, and TLS over it where the wire asks for it.
//!
//! Knows sockets and handshakes; must not know HTTP.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::announce::{self, Ends};
use crate::config::Timeouts;
use crate::proxy::upstream::{ConnectError, Target, hearing};
use crate::route::TlsSetup;

const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A connection to an endpoint.
pub struct Link {
    stream: Stream,
    ends: Ends,
    unacknowledged: Duration,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Link {
    /// Connects, and shakes hands if the wire is TLS.
    ///
    /// # Errors
    /// [`ConnectError`]; no request has been sent then.
    pub async fn connect(target: Target<'_>, limits: &Timeouts) -> Result<Self, ConnectError> {
        let address = target.endpoint.key.address;
        let connecting = TcpStream::connect(address);
        let mut stream = timeout(limits.connect, connecting).await.map_err(|_| ConnectError::Timeout)??;
        stream.set_nodelay(true)?;
        let ends = Ends { source: stream.local_addr()?, target: address };
        // The system takes a window that stays closed for silence: where we can tell them apart, we do that ourselves.
        let told = hearing::is_told(ends);
        limit_silence(&stream, if told { limits.idle.max(limits.unacknowledged) } else { limits.unacknowledged })?;
        if let Some(version) = target.wire.announce {
            // Without a client there is nobody to speak for, as in a check of ours.
            let unknown = || Ends { source: UNKNOWN, target: UNKNOWN };
            stream.write_all(&announce::write(version, &target.ends.unwrap_or_else(unknown))).await?;
        }
        let stream = match &target.wire.tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let handshake = secure(stream, tls, target.wire.is_h2());
                timeout(limits.connect, handshake).await.map_err(|_| ConnectError::Timeout)??
            }
        };
        Ok(Self { stream, ends, unacknowledged: limits.unacknowledged })
    }

    /// Both ends, ours first.
    #[must_use]
    pub const fn ends(&self) -> Ends {
        self.ends
    }

    /// Nobody looks after it from here on, as in a tunnel: the system shall end it where nothing is acknowledged.
    pub fn is_left_alone(&self) {
        let stream = match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        if let Err(error) = limit_silence(stream, self.unacknowledged) {
            tracing::debug!(%error, "a tunnel's silence has no limit");
        }
    }

    /// The socket alone.
    ///
    /// # Errors
    /// The link as it was, where it is TLS.
    pub fn into_plain(self) -> Result<TcpStream, Self> {
        match self.stream {
            Stream::Plain(stream) => Ok(stream),
            Stream::Tls(_) => Err(self),
        }
    }

    /// Whether the system has something of it that the runtime may not know of yet; of TLS only the runtime can say.
    pub fn has_news(&self) -> bool {
        let Stream::Plain(stream) = &self.stream else { return false };
        let peeked = socket2::SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]);
        !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether nothing has come over it, not even its end: asks the system only if there is news.
    pub fn is_quiet(&mut self) -> bool {
        let look = poll_fn(|cx| {
            let mut byte = [0];
            let mut byte = ReadBuf::new(&mut byte);
            Pin::new(&mut *self).poll_read(cx, &mut byte)
        });
        // A task that has used up its turn would see quiet everywhere.
        let mut look = pin!(unconstrained(look));
        look.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }
}

/// The system ends a connection that acknowledges nothing for so long, or whose window is closed for so long.
fn limit_silence(stream: &TcpStream, limit: Duration) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(limit))?;
    #[cfg(not(target_os = "linux"))]
    let (_, _) = (stream, limit);
    Ok(())
}

async fn secure(stream: TcpStream, tls: &TlsSetup, h2: bool) -> Result<Stream, ConnectError> {
    let connector = TlsConnector::from(tls.config.clone());
    let stream = connector.connect(tls.name.clone(), stream).await.map_err(ConnectError::Tls)?;
    if h2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(ConnectError::NotHttp2);
    }
    Ok(Stream::Tls(Box::new(stream)))
}

impl AsyncRead for Link {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
