//! One request and its whole answer, over plain TCP or TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bench::pinned;
use futures_util::FutureExt;
use rustls::client::Resumption;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

pub type Stream = Box<dyn Duplex>;

/// Longer heads are none of ours.
const HEAD_MAX: usize = 16 * 1024;

/// How connections are made.
pub struct Connector {
    address: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

pub struct Asked {
    pub host: String,
    pub number: u64,
    pub is_post: bool,
    pub echo: bool,
}

impl Connector {
    /// # Errors
    /// The host is no name of a server.
    pub fn new(address: SocketAddr, host: &str, tls: bool) -> Result<Self> {
        if !tls {
            return Ok(Self { address, tls: None });
        }
        let mut config = pinned::any()?;
        // A session that is resumed shows the certificate that it began with.
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(host.to_owned())?;
        Ok(Self { address, tls: Some((TlsConnector::from(Arc::new(config)), name)) })
    }

    /// A connection, and the certificate that was shown on it.
    pub async fn connect(&self) -> Result<(Stream, Option<Vec<u8>>)> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let Some((tls, name)) = &self.tls else { return Ok((Box::new(stream), None)) };
        let stream = tls.connect(name.clone(), stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|shown| shown.to_vec());
        Ok((Box::new(stream), shown))
    }
}

/// The connection, if the other side has neither closed it nor said something that nobody asked for.
pub fn alive(mut stream: Stream) -> Option<Stream> {
    let mut byte = [0];
    let said = stream.read(&mut byte).now_or_never();
    said.is_none().then_some(stream)
}

/// Whether the connection may be used again.
///
/// # Errors
/// The answer is no success, is not whole, or answers another question.
pub async fn exchange(stream: &mut Stream, asked: &Asked) -> Result<bool> {
    let path = format!("/paced/{}", asked.number);
    let (method, body) = if asked.is_post { ("POST", "once") } else { ("GET", "") };
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", asked.host);
    if asked.is_post {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.context("send")?;
    let mut come = Vec::with_capacity(1024);
    let end = loop {
        if let Some(at) = come.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        ensure!(come.len() < HEAD_MAX, "a head without an end");
        ensure!(stream.read_buf(&mut come).await.context("read the head")? > 0, "closed before the end of the head");
    };
    let head = String::from_utf8_lossy(&come[..end]).to_ascii_lowercase();
    let status = head.split_whitespace().nth(1).context("no status")?;
    ensure!(status == "200", "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).context("no length")?;
    let length: usize = length.trim().parse().context("the length")?;
    while come.len() < end + length {
        ensure!(stream.read_buf(&mut come).await.context("read the body")? > 0, "closed before the end of the body");
    }
    ensure!(come.len() == end + length, "more than the answer came");
    ensure!(length > 0, "an empty body");
    if asked.echo {
        let body = String::from_utf8_lossy(&come[end..]);
        ensure!(body.contains(&format!("\"{path}\"")), "the answer to another request: {body}");
    }
    Ok(!head.contains("connection: close"))
}
