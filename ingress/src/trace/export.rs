//! Takes finished spans to the collector, many at once (OTLP over HTTP, in JSON), on a thread of its own.
//!
//! A collector that is slow or away costs spans, which are counted, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{Span, otlp};

/// Requests whose spans are sent at once.
const BATCH: usize = 256;
/// How long spans gather.
const GATHER: Duration = Duration::from_secs(1);
/// For one delivery, the connection included.
const DELIVERY: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last spans.
const FAREWELL: Duration = Duration::from_secs(3);
/// Bytes of the collector's answer that are read.
const ANSWER: usize = 64 * 1024;

/// Where spans go: `http://HOST[:PORT][/PATH]`, to which `/v1/traces` is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    host: String,
    port: u16,
    path: String,
}

/// A text that names no collector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CollectorError {
    #[error("{0:?} is no URL such as http://collector:4318")]
    Malformed(String),
    #[error("{0:?} is not http://; a collector beside the ingress can go on over TLS")]
    Scheme(String),
}

impl std::str::FromStr for Collector {
    type Err = CollectorError;
    fn from_str(text: &str) -> Result<Self, CollectorError> {
        let malformed = || CollectorError::Malformed(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(malformed()) };
        if scheme != "http" {
            return Err(CollectorError::Scheme(text.to_owned()));
        }
        if uri.query().is_some() || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(malformed());
        }
        let path = format!("{}/v1/traces", uri.path().trim_end_matches('/'));
        Ok(Self { host: authority.host().to_owned(), port: authority.port_u16().unwrap_or(4318), path })
    }
}

/// The thread that delivers; dropped, it ends.
#[derive(Debug)]
pub struct Exporter {
    ends: CancellationToken,
    ended: Option<oneshot::Receiver<()>>,
}

impl Exporter {
    /// An exporter whose thread says `ended`, once it was told to by `ends`.
    pub(crate) const fn new(ends: CancellationToken, ended: oneshot::Receiver<()>) -> Self {
        Self { ends, ended: Some(ended) }
    }

    /// Waits for the last spans to be delivered, but not for a collector that does not take them.
    pub async fn end(mut self) {
        self.ends.cancel();
        let Some(ended) = self.ended.take() else { return };
        if timeout(FAREWELL, ended).await.is_err() {
            tracing::warn!("the last spans are lost, the collector does not take them");
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.ends.cancel();
    }
}

/// Delivers until `ends`, then what is there.
pub(crate) async fn run(
    collector: Collector,
    mut spans: mpsc::Receiver<Box<Span>>,
    lost: Arc<AtomicU64>,
    ends: CancellationToken,
) {
    let mut way = Way { collector, open: None, failing: false };
    loop {
        let mut batch = Vec::new();
        gather(&mut spans, &mut batch, &ends).await;
        let last = ends.is_cancelled() || spans.is_closed();
        while last && let Ok(span) = spans.try_recv() {
            batch.push(*span);
        }
        for some in batch.chunks(BATCH) {
            let taken = way.deliver(otlp::document(some).to_string().into()).await;
            if !taken {
                lost.fetch_add(some.len() as u64, Ordering::Relaxed);
            }
        }
        if last {
            return;
        }
    }
}

/// Waits for a span, and then for others until there are many or the first has waited long enough.
async fn gather(spans: &mut mpsc::Receiver<Box<Span>>, batch: &mut Vec<Span>, ends: &CancellationToken) {
    let Some(Some(first)) = ends.run_until_cancelled(spans.recv()).await else { return };
    batch.push(*first);
    let until = Instant::now() + GATHER;
    while batch.len() < BATCH {
        tokio::select! {
            more = spans.recv() => match more {
                Some(more) => batch.push(*more),
                None => return,
            },
            () = sleep_until(until) => return,
            () = ends.cancelled() => return,
        }
    }
}

/// The connection to the collector.
struct Way {
    collector: Collector,
    open: Option<SendRequest<Full<Bytes>>>,
    failing: bool,
}

impl Way {
    /// Whether the collector has taken it.
    async fn deliver(&mut self, body: Bytes) -> bool {
        let taken = match timeout(DELIVERY, self.post(body)).await {
            Ok(taken) => taken,
            Err(_) => Err("not in time".to_owned()),
        };
        match &taken {
            Ok(()) if self.failing => {
                self.failing = false;
                tracing::info!("the collector takes spans again");
            }
            Ok(()) => {}
            Err(error) => {
                self.open = None;
                if !self.failing {
                    self.failing = true;
                    let Collector { host, port, .. } = &self.collector;
                    tracing::warn!(error, %host, port, "the collector does not take spans");
                }
            }
        }
        taken.is_ok()
    }

    async fn post(&mut self, body: Bytes) -> Result<(), String> {
        let failed = |error: hyper::Error| error.to_string();
        // One that was closed meanwhile is no failure.
        let open = self.open.take().filter(|open| !open.is_closed());
        let mut open = match open {
            Some(open) => open,
            None => self.connect().await?,
        };
        open.ready().await.map_err(failed)?;
        let answer = open.send_request(self.request(body)).await.map_err(failed)?;
        let status = answer.status();
        Limited::new(answer.into_body(), ANSWER).collect().await.map_err(|error| error.to_string())?;
        if !status.is_success() {
            return Err(format!("it answers {status}"));
        }
        self.open = Some(open);
        Ok(())
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let Collector { host, port, .. } = &self.collector;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((bare, *port)).await.map_err(|error| error.to_string())?;
        let (open, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the collector ended");
            }
        });
        Ok(open)
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let Collector { host, port, path } = &self.collector;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = path.parse().expect("it was part of a URI");
        let headers = request.headers_mut();
        let named = HeaderValue::from_str(&format!("{host}:{port}")).expect("it was part of a URI");
        headers.insert(HOST, named);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static("fedgate"));
        request
    }
}

#[cfg(test)]
mod tests {
    use super::{Collector, CollectorError};

    #[test]
    fn collectors_are_plain_urls() {
        let read = |text: &str| text.parse::<Collector>().map(|it| (it.host, it.port, it.path));
        let wanted = |host: &str, port, path: &str| Ok((host.to_owned(), port, path.to_owned()));
        assert_eq!(read("http://c:9"), wanted("c", 9, "/v1/traces"));
        assert_eq!(read("http://10.0.0.1/otlp/"), wanted("10.0.0.1", 4318, "/otlp/v1/traces"));
        assert_eq!(read("http://[::1]:4318"), wanted("[::1]", 4318, "/v1/traces"));
        assert!(matches!(read("https://c"), Err(CollectorError::Scheme(_))));
        for bad in ["", "c:9", "/x", "http://", "http://u:p@c", "http://c?x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
