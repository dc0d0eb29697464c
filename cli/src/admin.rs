//! The administrator's listener: `/metrics`, `/livez`, `/readyz`, without identity, and `/explain`; all without effect.
//!
//! Plain HTTP for probes and scrapers; nothing can be changed here, and nothing secret is said but to those that show a
//! token over the loopback interface, as `kubectl port-forward` brings them.

pub mod explain;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use ingress::explain::Desk;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections at once.
const CONNECTIONS_MAX: usize = 64;
/// Longest wait for the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the listener asks for its answers.
pub trait Report: Send + Sync + 'static {
    /// All metrics in the text format.
    fn metrics(&self) -> String;
    /// Names of parts that are not ready; empty means ready.
    fn not_ready(&self) -> Vec<String>;
    /// Who explains what the ingress does with requests, where it runs here.
    fn desk(&self) -> Option<Arc<Desk>>;
}

/// Serves until `stop`.
///
/// # Errors
/// If the socket cannot be watched.
pub fn listen(
    socket: std::net::TcpListener,
    report: Arc<dyn Report>,
    stop: CancellationToken,
) -> std::io::Result<(SocketAddr, impl Future<Output = ()>)> {
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket)?;
    let bound = listener.local_addr()?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let run = async move {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (Ok((socket, from)), Ok(place)) = (accepted, places.clone().try_acquire_owned()) else { continue };
            let report = report.clone();
            tokio::spawn(async move {
                let respond = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let report = report.clone();
                    async move { Ok::<_, Infallible>(answer(&request, from.ip(), &*report).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT)
                    .serve_connection(TokioIo::new(socket), respond);
                if let Err(e) = connection.await {
                    tracing::debug!(error = %e, "an admin connection broke");
                }
                drop(place);
            });
        }
    };
    Ok((bound, run))
}

async fn answer<B: Sync>(request: &Request<B>, from: IpAddr, report: &dyn Report) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET".to_owned());
    }
    match request.uri().path() {
        "/livez" | "/healthz" => text(StatusCode::OK, "ok".to_owned()),
        "/readyz" => match report.not_ready() {
            missing if missing.is_empty() => text(StatusCode::OK, "ok".to_owned()),
            missing => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", "))),
        },
        "/metrics" => text(StatusCode::OK, report.metrics()),
        explain::PATH => explain::answer((request.uri(), request.headers()), from, report.desk()).await,
        _ => text(StatusCode::NOT_FOUND, "there are /metrics, /livez, /readyz and /explain\n".to_owned()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
