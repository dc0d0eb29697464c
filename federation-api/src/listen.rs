//! Sockets: TLS, HTTP/1.1 and HTTP/2 on one port, bounded in every direction, drained on the way out.
//!
//! Builds requests from bytes alone: no extension of an in-process caller can come in here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth::x509::ClientCertificate;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::service::Api;

/// Connections at once.
pub const MAX_CONNECTIONS: usize = 20_000;
/// TLS handshakes at once: each costs a signature.
pub const MAX_HANDSHAKES: usize = 128;
/// Time for a TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the head of an HTTP/1.1 request.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Streams a HTTP/2 connection: informers of one client hold a watch a resource.
pub const MAX_STREAMS: u32 = 1_000;
/// Largest head of a request, in bytes.
pub const MAX_HEAD_BYTES: u32 = 256 * 1024;
/// An idle HTTP/2 connection is asked for a sign of life so often.
pub const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Time that open requests get when the server stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed accept (out of descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    let acceptor = TlsAcceptor::from(tls);
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
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
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&connections).try_acquire_owned() else {
            tracing::warn!(%address, "too many connections, this one is closed");
            continue;
        };
        let connection = Connection {
            api: api.clone(),
            acceptor: acceptor.clone(),
            handshakes: Arc::clone(&handshakes),
            watcher: graceful.watcher(),
            address,
        };
        tokio::spawn(async move {
            connection.serve(stream).await;
            drop(place);
        });
    }
    drop(listener);
    api.begin_drain();
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::info!("some connections were still busy at the end of the drain");
    }
}

struct Connection {
    api: Api,
    acceptor: TlsAcceptor,
    handshakes: Arc<Semaphore>,
    watcher: hyper_util::server::graceful::Watcher,
    address: SocketAddr,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the connection is gone");
            return;
        }
        let Ok(turn) = self.handshakes.acquire().await else { return };
        let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream)).await;
        drop(turn);
        let stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, address = %self.address, "TLS handshake failed");
                return;
            }
            Err(_) => return,
        };
        let chain = stream
            .get_ref()
            .1
            .peer_certificates()
            .map(|chain| chain.iter().map(|certificate| certificate.clone().into_owned()).collect::<Vec<_>>());
        let peer = chain.and_then(ClientCertificate::new).map(|own| PeerCertificate(Arc::new(own)));
        let service = Introduced { api: self.api, peer, address: PeerAddress(self.address) };
        let builder = builder();
        let serving = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service))
            .into_owned();
        if let Err(error) = self.watcher.watch(serving).await {
            tracing::debug!(%error, address = %self.address, "a connection broke");
        }
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
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
}

impl tower::Service<http::Request<hyper::body::Incoming>> for Introduced {
    type Response = http::Response<crate::body::Body>;
    type Error = std::convert::Infallible;
    type Future = <Api as tower::Service<http::Request<hyper::body::Incoming>>>::Future;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), std::convert::Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<hyper::body::Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.address);
        if let Some(peer) = &self.peer {
            request.extensions_mut().insert(peer.clone());
        }
        self.api.call(request)
    }
}
