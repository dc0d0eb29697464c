//! One worker: a thread with its own runtime, upstream pool and share of the connections.
//!
//! Serves connections until told to drain; knows neither the hub nor how routes are made.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use http::StatusCode;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::announce::{self, Ends};
use crate::config::Network;
use crate::express;
use crate::listen::Accepted;
use crate::metrics::Count;
use crate::peer::{HttpsPort, Peer, Presented};
use crate::proxy::Proxy;
use crate::proxy::guard::Guarded;
use crate::sniff::hello::{self, Hello};
use crate::sniff::{self, Spoken};
use crate::stall::Streams;
use crate::stream::{Downstream, Socket};
use crate::tls::Handshakes;

/// How often idle upstream connections are looked over.
const SWEEP: Duration = Duration::from_secs(1);
/// How long clients of HTTP/1 may go on at a drain: each next answer tells them to close, which nothing tells who is
/// silent; a request that is on its way to a closed connection is lost.
const LINGER: Duration = Duration::from_secs(3);
/// Streams that one HTTP/2 connection may have open at once.
const MAX_STREAMS: u32 = 128;
/// Bytes of one stream that wait for the client's window; 128 streams of it are what a client can make us hold.
const SEND_BUFFER: usize = 128 * 1024;
/// Streams a client may reset before their turn came (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;

/// The answer to TLS on a port for plain HTTP.
const TLS_REFUSED: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nServer: fedgate\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 41\r\nConnection: close\r\n\r\n400 TLS on a port that serves plain HTTP\n";

/// What a worker thread is started with.
pub struct Worker {
    pub proxy: Arc<Proxy>,
    pub tls: Option<Handshakes>,
    pub trusted: Arc<[Network]>,
    /// Where HTTPS is.
    pub https: HttpsPort,
    pub drain: CancellationToken,
}

impl Worker {
    /// Serves what the acceptor sends until `drain`, then lets requests in flight end.
    pub async fn run(self, mut accepted: mpsc::UnboundedReceiver<Accepted>) {
        let worker = Arc::new(self);
        let mut sweep = tokio::time::interval(SWEEP);
        let mut drained = pin!(worker.drain.cancelled());
        loop {
            tokio::select! {
                biased;
                () = &mut drained, if !worker.proxy.is_draining() => worker.proxy.drain(),
                connection = accepted.recv() => match connection {
                    Some(connection) => worker.take(connection),
                    None => break,
                },
                _ = sweep.tick() => worker.proxy.sweep(),
            }
        }
        worker.proxy.drain();
        let tasks = &worker.proxy.tasks;
        tasks.close();
        let limit = worker.proxy.timeouts.drain;
        if tokio::time::timeout(limit, tasks.wait()).await.is_err() {
            tracing::warn!(open = tasks.len(), "connections were still open at the end of the drain time");
        }
    }

    fn take(self: &Arc<Self>, accepted: Accepted) {
        let worker = self.clone();
        self.proxy.tasks.spawn(async move {
            let _open = worker.proxy.shard.opened();
            worker.serve(accepted).await;
        });
    }

    async fn serve(&self, accepted: Accepted) {
        let Accepted { stream, peer: address, listener, tls, announced, seat } = accepted;
        let mut socket = match TcpStream::from_std(stream).and_then(|s| s.set_nodelay(true).map(|()| s)) {
            Ok(stream) => Socket::new(stream),
            Err(error) => {
                tracing::debug!(%error, "a connection was gone before it was served");
                return;
            }
        };
        let mut ends = Ends { source: address, target: listener };
        if announced && self.trusted.iter().any(|network| network.holds(address.ip())) {
            match self.announced(&mut socket).await {
                Ok(told) => ends = told.unwrap_or(ends),
                Err(error) => {
                    self.proxy.shard.count(Count::Refused);
                    return tracing::warn!(peer = %address, %error, "a trusted peer did not say whose connection it is");
                }
            }
        }
        if ends.target.ip().is_unspecified() {
            ends.target = socket.local_addr().unwrap_or(ends.target);
        }
        let mut peer = Peer::new(ends.source.ip(), ends.target.port(), tls, &self.trusted);
        (peer.ends, peer.https) = (Some(ends), self.https);
        match &self.tls {
            Some(handshakes) if tls => self.secure(handshakes, socket, peer).await,
            _ => self.plain(socket, peer.into()).await,
        }
        drop(seat);
    }

    /// Reads the PROXY header of a trusted peer.
    async fn announced(&self, socket: &mut Socket) -> io::Result<Option<Ends>> {
        let header = tokio::time::timeout(self.proxy.timeouts.handshake, socket.look(announce::MOST, announce::read));
        let header = header.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let header = header.map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
        socket.skip(header.length);
        Ok(header.ends)
    }

    async fn secure(&self, handshakes: &Handshakes, socket: Socket, mut peer: Peer) {
        let Some(socket) = self.passed(socket, &peer).await else { return };
        let Some((stream, asked)) = self.handshake(handshakes, socket).await else { return };
        let session = stream.get_ref().1;
        let h2 = session.alpn_protocol() == Some(b"h2");
        peer.server_name = session.server_name().map(|name| name.to_ascii_lowercase().into());
        if asked {
            let chain = session.peer_certificates().unwrap_or_default();
            peer.presented = Some(Presented::new(asked, chain.iter().map(|one| one.clone().into_owned()).collect()));
        }
        if let (Some(promise), Some(name)) = (&self.proxy.heads.hsts, &peer.server_name) {
            let certified = self.proxy.table.load().certs().has(name.strip_suffix('.').unwrap_or(name));
            peer.promise = certified.then(|| promise.clone());
        }
        let peer = Arc::new(peer);
        let stream = Downstream::tls(stream, self.proxy.timeouts.idle);
        if h2 { self.http2(stream, peer).await } else { self.http1(stream, peer).await }
    }

    /// Hands connections for hosts whose TLS is not ended here to their endpoints; gives back the others.
    async fn passed(&self, mut socket: Socket, peer: &Peer) -> Option<Socket> {
        if !self.proxy.table.load().passes_through() {
            return Some(socket);
        }
        let hello = socket.look(hello::MOST, hello::hello);
        let name = match tokio::time::timeout(self.proxy.timeouts.handshake, hello).await {
            Ok(Ok(Hello::Named(name))) => name,
            Ok(Ok(Hello::Nameless | Hello::Strange)) => return Some(socket),
            Ok(Err(_)) | Err(_) => {
                self.proxy.shard.count(Count::TlsFailed);
                return None;
            }
        };
        let route = self.proxy.table.load().passthrough(&name).cloned();
        let Some(route) = route else { return Some(socket) };
        self.proxy.pass_through(&route, peer, socket).await;
        None
    }

    /// HTTP/1.1 or, if the client begins with its preface, HTTP/2 with prior knowledge (RFC 9113 §3.3).
    async fn plain(&self, mut socket: Socket, peer: Arc<Peer>) {
        let spoken = socket.look(sniff::PREFACE.len(), sniff::spoken);
        let spoken = tokio::select! {
            biased;
            spoken = tokio::time::timeout(self.proxy.timeouts.head, spoken) => spoken,
            () = self.lingered(self.linger()) => return,
        };
        let stall = self.proxy.timeouts.idle;
        match spoken {
            Ok(Ok(Spoken::Http1)) => self.http1(Downstream::plain(socket, stall), peer).await,
            Ok(Ok(Spoken::Http2)) => self.http2(Downstream::plain(socket, stall), peer).await,
            Ok(Ok(Spoken::Tls)) => self.refuse_tls(Downstream::plain(socket, stall)).await,
            Ok(Ok(Spoken::Unknown)) => {
                self.proxy.shard.count(Count::Refused);
                tracing::debug!("a client does not speak HTTP");
            }
            Ok(Err(error)) => tracing::debug!(%error, "a connection ended before its first request"),
            Err(_) => tracing::debug!("a connection sent no request in time"),
        }
    }

    /// The client took the port for the other one; what it sees of this answer depends on its TLS library.
    async fn refuse_tls(&self, mut stream: Downstream) {
        self.proxy.shard.count(Count::Refused);
        self.proxy.shard.answered(StatusCode::BAD_REQUEST, Duration::ZERO);
        let sent = async {
            stream.write_all(TLS_REFUSED).await?;
            stream.shutdown().await
        };
        if let Err(error) = sent.await {
            tracing::debug!(%error, "a TLS client on the plain port did not wait for its answer");
        }
    }

    /// Also says whether the client was asked for a certificate.
    async fn handshake(&self, handshakes: &Handshakes, stream: Socket) -> Option<(TlsStream<Socket>, bool)> {
        let limit = self.proxy.timeouts.handshake;
        let ended = if self.proxy.table.load().is_mutual() {
            tokio::time::timeout(limit, Box::pin(self.mutual(handshakes, stream))).await
        } else {
            let accepted = tokio::time::timeout(limit, handshakes.usual.accept(stream)).await;
            accepted.map(|accepted| accepted.map(|stream| (stream, false)))
        };
        let error = match ended {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "not finished in time".to_owned(),
        };
        self.proxy.shard.count(Count::TlsFailed);
        tracing::debug!(error, "a TLS handshake failed");
        None
    }

    /// A handshake by the rules of the host that the client names.
    async fn mutual(&self, handshakes: &Handshakes, stream: Socket) -> io::Result<(TlsStream<Socket>, bool)> {
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let name = start.client_hello().server_name().map(str::to_ascii_lowercase);
        let rules = self.proxy.table.load().mutual(name.as_deref().unwrap_or_default()).cloned();
        let Some(rules) = rules else {
            return Ok((start.into_stream(Arc::clone(handshakes.usual.config())).await?, false));
        };
        let config = handshakes.of(&rules).map_err(io::Error::other)?;
        Ok((start.into_stream(config).await?, rules.asks()))
    }

    async fn http1(&self, stream: Downstream, peer: Arc<Peer>) {
        let left = express::serve(&self.proxy, &peer, stream, (&self.drain, self.linger())).await;
        let Some((stream, prior)) = left else { return };
        let limits = &self.proxy.limits;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.proxy.timeouts.head)
            .max_header_size(limits.head_bytes)
            .max_buf_size(limits.head_bytes.max(8 * 1024));
        if limits.head_fields != 100 {
            // 100 is hyper's own limit, which needs no allocation.
            builder.max_headers(limits.head_fields);
        }
        let guarded = TokioIo::new(Guarded::new(stream, peer.clone()));
        let since = peer.since;
        let (proxy, prior) = (self.proxy.clone(), Mutex::new(prior));
        let answer = service_fn(move |request| proxy.clone().handle(peer.clone(), request, prior.lock().take()));
        let connection = builder.serve_connection(guarded, answer).with_upgrades();
        self.drive(connection, (since, self.linger()), |connection| connection.graceful_shutdown()).await;
    }

    async fn http2(&self, stream: Downstream, peer: Arc<Peer>) {
        let limits = &self.proxy.limits;
        let head_bytes = u32::try_from(limits.head_bytes).unwrap_or(u32::MAX);
        let mut builder = http2::Builder::new(Streams { limit: self.proxy.timeouts.idle });
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_header_list_size(head_bytes)
            .max_send_buf_size(SEND_BUFFER)
            .enable_connect_protocol()
            .keep_alive_interval(self.proxy.timeouts.head)
            .keep_alive_timeout(self.proxy.timeouts.handshake);
        let proxy = self.proxy.clone();
        let since = peer.since;
        // A stream is moved about until it runs: in a box that costs nothing.
        let answer = move |request| Box::pin(express::streams::handle(proxy.clone(), peer.clone(), request));
        let connection = builder.serve_connection(TokioIo::new(stream), service_fn(answer));
        self.drive(connection, (since, Duration::ZERO), |connection| connection.graceful_shutdown()).await;
    }

    fn linger(&self) -> Duration {
        LINGER.min(self.proxy.timeouts.drain / 2)
    }

    /// Waits for a drain, and then as long again as clients get to hear of it.
    async fn lingered(&self, linger: Duration) {
        self.drain.cancelled().await;
        if !linger.is_zero() {
            tokio::time::sleep(linger).await;
        }
    }

    /// Drives a connection to its end; `linger` after a drain began, or after it got old, it takes no further request.
    ///
    /// Answers of HTTP/1 say so until then; HTTP/2 has words of its own, and no need to linger.
    async fn drive<C>(&self, connection: C, (since, linger): (Instant, Duration), finish: impl Fn(Pin<&mut C>))
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let end = since + self.proxy.timeouts.connection + linger;
        let (drain, age) = (&self.drain, tokio::time::sleep_until(end.into()));
        let (mut connection, mut age) = (pin!(connection), pin!(age));
        let mut draining = Some(pin!(self.lingered(linger)));
        let (mut registered, mut old) = (false, false);
        let end = poll_fn(|cx: &mut Context<'_>| {
            // Both waits are polled once to leave the task's waker there, then only looked at: polling takes a lock.
            if (!registered || drain.is_cancelled())
                && let Some(wait) = &mut draining
                && wait.as_mut().poll(cx).is_ready()
            {
                draining = None;
                finish(connection.as_mut());
            }
            if !registered || (!old && age.is_elapsed()) {
                old = age.as_mut().poll(cx).is_ready();
                if old {
                    finish(connection.as_mut());
                }
            }
            registered = true;
            connection.as_mut().poll(cx)
        });
        if let Err(error) = end.await {
            tracing::debug!(%error, "a downstream connection ended early");
        }
    }
}
