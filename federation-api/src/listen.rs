//! Sockets: TLS, HTTP/1.1 and HTTP/2 on one port, bounded in every direction, drained on the way out.
//!
//! Builds requests from bytes alone: no extension of an in-process caller can come in here.

mod crowd;
mod line;
mod pulse;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth::x509::ClientCertificate;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::crowd::{Crowd, Place};
use self::line::Line;
use self::pulse::{Patience, Pulse, Told, Verdict};
use crate::service::{Api, Held};

/// Connections at once. A silent one gives way to a new one.
pub const MAX_CONNECTIONS: usize = 20_000;
/// Time for a TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the head of an HTTP/1.1 request.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection without a request is closed after this; upstream's bound.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Who reads nothing of an answer for this long is cut off; upstream's time for a whole request.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Streams a HTTP/2 connection: informers of one client hold a watch a resource.
pub const MAX_STREAMS: u32 = 1_000;
/// Largest head of a request, in bytes.
pub const MAX_HEAD_BYTES: u32 = 256 * 1024;
/// An idle HTTP/2 connection is asked for a sign of life so often.
pub const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Time that open requests get when the server stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a connection gets to say goodbye.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a failed accept (out of descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What clients may do to a listener; [`Limits::default`] but in tests.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    pub handshake: Duration,
    /// For the head of an HTTP/1.1 request.
    pub header: Duration,
    /// Without a request.
    pub idle: Duration,
    /// Without reading of an answer.
    pub stalled: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: MAX_CONNECTIONS,
            handshake: HANDSHAKE_TIMEOUT,
            header: HEADER_TIMEOUT,
            idle: IDLE_TIMEOUT,
            stalled: STALL_TIMEOUT,
        }
    }
}

/// What the peer presented in the handshake, as a request extension; not judged yet.
#[derive(Clone)]
pub struct PeerCertificate(pub Arc<ClientCertificate>);

/// The address of the peer, as a request extension.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddress(pub SocketAddr);

/// Serves the API on a listener until `stop` resolves, then drains.
///
/// # Cancel safety
/// Dropping the future closes the listener; connections that are open end by themselves.
pub async fn listen(api: Api, listener: TcpListener, tls: Arc<ServerConfig>, stop: impl Future<Output = ()>) {
    listen_within(api, listener, (tls, Limits::default()), stop).await;
}

/// As [`listen()`], with other limits.
///
/// # Cancel safety
/// As [`listen()`].
pub async fn listen_within(
    api: Api,
    listener: TcpListener,
    (tls, limits): (Arc<ServerConfig>, Limits),
    stop: impl Future<Output = ()>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let crowd = Crowd::new(limits.connections);
    let (drain, connections) = (CancellationToken::new(), TaskTracker::new());
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                crowd.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = crowd.enter() else {
            tracing::warn!(%address, "too many connections, this one is closed");
            continue;
        };
        let (api, acceptor, drain) = (api.clone(), acceptor.clone(), drain.clone());
        let connection = Connection { api, acceptor, limits, place, drain, address };
        connections.spawn(connection.serve(stream));
    }
    drop(listener);
    api.begin_drain();
    drain.cancel();
    connections.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
        tracing::info!("some connections were still busy at the end of the drain");
    }
}

struct Connection {
    api: Api,
    acceptor: TlsAcceptor,
    limits: Limits,
    place: Place,
    /// Cancelled when the listener stops.
    drain: CancellationToken,
    address: SocketAddr,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let shaken = tokio::select! {
            () = self.place.leave.cancelled() => return,
            () = self.drain.cancelled() => return,
            shaken = self.shake(stream) => shaken,
        };
        if let Some(stream) = shaken {
            self.talk(stream).await;
        }
    }

    /// Handshakes are not counted: one that hangs costs its buffers, and would keep others waiting.
    async fn shake(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the connection is gone");
            return None;
        }
        match tokio::time::timeout(self.limits.handshake, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, address = %self.address, "TLS handshake failed");
                None
            }
            Err(_) => None,
        }
    }

    /// Requests and answers, until either side has had enough.
    async fn talk(self, stream: TlsStream<TcpStream>) {
        let Self { api, limits, place, drain, address, .. } = self;
        let chain = stream
            .get_ref()
            .1
            .peer_certificates()
            .map(|chain| chain.iter().map(|certificate| certificate.clone().into_owned()).collect::<Vec<_>>());
        let peer = chain.and_then(ClientCertificate::new).map(|own| PeerCertificate(Arc::new(own)));
        let pulse = Arc::clone(&place.pulse);
        let service = Introduced { api, peer, address: PeerAddress(address), pulse: Arc::clone(&pulse) };
        let builder = builder(limits.header);
        let mut serving = Line::new(stream).turns(|line| {
            builder.serve_connection_with_upgrades(TokioIo::new(line), TowerToHyperService::new(service)).into_owned()
        });
        let patience = Patience { idle: limits.idle, stalled: limits.stalled };
        // What begins meanwhile is looked at in time.
        let step = limits.idle.min(limits.stalled);
        // When a connection that was asked to leave is cut off.
        let mut end: Option<Instant> = None;
        loop {
            let next = match (end, pulse.judge(Instant::now(), patience)) {
                (_, Verdict::Stalled) => return tracing::debug!(%address, "an answer is not read"),
                (Some(end), _) if Instant::now() >= end => return,
                (None, Verdict::Idle) => {
                    serving.speaker().graceful_shutdown();
                    *end.insert(Instant::now() + LEAVE_TIMEOUT)
                }
                (Some(end), Verdict::Until(next)) => next.min(end),
                (Some(end), Verdict::Idle) => end,
                (None, Verdict::Until(next)) => next,
            };
            tokio::select! {
                served = &mut serving => {
                    if let Err(error) = served {
                        tracing::debug!(%error, %address, "a connection broke");
                    }
                    return;
                }
                () = drain.cancelled(), if end.is_none() => {
                    serving.speaker().graceful_shutdown();
                    end = Some(Instant::now() + DRAIN_TIMEOUT);
                }
                () = place.leave.cancelled() => return,
                () = tokio::time::sleep_until(next.min(Instant::now() + step).into()) => {}
            }
        }
    }
}

fn builder(header: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header)
        .max_buf_size(MAX_HEAD_BYTES as usize)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES)
        .keep_alive_interval(KEEP_ALIVE);
    builder
}

/// The API for one connection: every request says who the peer of the connection is.
#[derive(Clone)]
struct Introduced {
    api: Api,
    peer: Option<PeerCertificate>,
    address: PeerAddress,
    pulse: Arc<Pulse>,
}

impl tower::Service<http::Request<hyper::body::Incoming>> for Introduced {
    type Response = http::Response<Told>;
    type Error = std::convert::Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), std::convert::Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<hyper::body::Incoming>) -> Self::Future {
        let turn = self.pulse.begin();
        request.extensions_mut().insert(self.address);
        if let Some(peer) = &self.peer {
            request.extensions_mut().insert(peer.clone());
        }
        let answer = self.api.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            let held = response.extensions_mut().remove::<Held>().map(|held| held.0);
            Ok(response.map(|body| turn.answer(body, held)))
        })
    }
}
