//! The bytes to and from one endpoint: TCP, and TLS over it where the wire asks for it.
//!
//! Knows sockets and handshakes; must not know HTTP.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::announce::{self, Ends};
use crate::config::Timeouts;
use crate::proxy::upstream::{ConnectError, Target};
use crate::route::TlsSetup;

const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A connection to an endpoint.
pub enum Link {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Link {
    /// Connects, and shakes hands if the wire is TLS.
    ///
    /// # Errors
    /// [`ConnectError`]; no request has been sent then.
    pub async fn connect(target: Target<'_>, limits: &Timeouts) -> Result<Self, ConnectError> {
        let connecting = TcpStream::connect(target.endpoint.key.address);
        let mut stream = timeout(limits.connect, connecting).await.map_err(|_| ConnectError::Timeout)??;
        stream.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(limits.unacknowledged))?;
        if let Some(version) = target.wire.announce {
            // Without a client there is nobody to speak for, as in a check of ours.
            let unknown = || Ends { source: UNKNOWN, target: UNKNOWN };
            stream.write_all(&announce::write(version, &target.ends.unwrap_or_else(unknown))).await?;
        }
        match &target.wire.tls {
            None => Ok(Self::Plain(stream)),
            Some(tls) => {
                let handshake = secure(stream, tls, target.wire.is_h2());
                timeout(limits.connect, handshake).await.map_err(|_| ConnectError::Timeout)?
            }
        }
    }
}

impl Link {
    /// Whether the system has something of it that the runtime may not know of yet; of TLS only the runtime can say.
    pub fn has_news(&self) -> bool {
        let Self::Plain(stream) = self else { return false };
        let peeked = socket2::SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]);
        !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether nothing has come over it, not even its end: asks the system only if there is news.
    pub fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        Pin::new(self).poll_read(&mut Context::from_waker(Waker::noop()), &mut byte).is_pending()
    }
}

async fn secure(stream: TcpStream, tls: &TlsSetup, h2: bool) -> Result<Link, ConnectError> {
    let connector = TlsConnector::from(tls.config.clone());
    let stream = connector.connect(tls.name.clone(), stream).await.map_err(ConnectError::Tls)?;
    if h2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(ConnectError::NotHttp2);
    }
    Ok(Link::Tls(Box::new(stream)))
}

impl AsyncRead for Link {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
