//! Traces (W3C Trace Context): begun or continued, one span a request and one for each endpoint that was asked.
//!
//! Nobody waits for who collects them: finished spans go into a bounded queue, and are dropped where it is full.

pub mod context;
mod export;
mod otlp;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use http::{HeaderValue, Method, Request, StatusCode, Version};
use tokio::sync::mpsc;

use crate::peer::Peer;
use crate::route::EndpointKey;
use crate::snapshot::Named;
use context::{Context, Ids, TRACEPARENT, TRACESTATE};
pub(crate) use export::run;
pub use export::{Collector, CollectorError, Exporter};

/// Finished requests that wait for the collector; some megabytes at most.
const QUEUE: usize = 2048;
/// Bytes of what a client says that are kept of it.
const SAID: usize = 256;
/// Bytes of a method that are kept; none that is known is longer.
const METHOD: usize = 64;

/// Which requests are traced, and where their spans go.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceConfig {
    pub collector: Collector,
    /// Share of the requests without a trace of their own, from 0 to 1; others do as their callers.
    pub ratio: f64,
}

/// Where requests find out whether they are traced.
pub struct Traces {
    /// Of 2^56.
    share: u64,
    ids: Ids,
    queue: mpsc::Sender<Box<Span>>,
    lost: Arc<AtomicU64>,
}

/// One traced request.
pub struct Span {
    traces: Arc<Traces>,
    context: Context,
    id: u64,
    began: (SystemTime, Instant),
    ended: Option<Instant>,
    asked: Asked,
    route: Option<(String, String)>,
    attempts: Vec<Attempt>,
    status: StatusCode,
    reason: &'static str,
}

/// What a traced request says.
pub struct Asked {
    sender: IpAddr,
    https: bool,
    version: Version,
    method: Method,
    host: String,
    /// Without the query, which may hold secrets.
    path: String,
    agent: String,
}

/// One endpoint that was asked.
struct Attempt {
    id: u64,
    began: Instant,
    ended: Option<Instant>,
    endpoint: EndpointKey,
    number: usize,
    status: Option<StatusCode>,
    error: Option<&'static str>,
}

impl Traces {
    /// Traces that end up in the queue whose other end is given back.
    pub(crate) fn new(ratio: f64, lost: Arc<AtomicU64>) -> (Arc<Self>, mpsc::Receiver<Box<Span>>) {
        let (queue, spans) = mpsc::channel(QUEUE);
        let share = context::share(ratio);
        (Arc::new(Self { share, ids: Ids::default(), queue, lost }), spans)
    }

    /// The span of a request that is traced; one that is not, and has no trace, gets one that says so.
    pub fn begin<B>(self: &Arc<Self>, began: Instant, peer: &Peer, request: &mut Request<B>) -> Option<Box<Span>> {
        let headers = request.headers_mut();
        let told = Context::of(headers);
        let context = self.context(told);
        if told.is_none() {
            // Its state belongs to a trace that cannot be told.
            headers.remove(TRACESTATE);
        }
        if !context.sampled {
            if told.is_none() {
                headers.insert(TRACEPARENT, self.untraced(context));
            }
            return None;
        }
        Some(self.span(began, context, Asked::of(peer, request)))
    }

    /// The trace that a request belongs to, by what its caller says.
    pub fn context(&self, told: Option<Context>) -> Context {
        told.unwrap_or_else(|| {
            let trace = self.ids.trace();
            Context { trace, parent: None, sampled: context::is_within(trace, self.share) }
        })
    }

    /// What the endpoint of a request hears that begins a trace which nobody collects.
    pub fn untraced(&self, context: Context) -> HeaderValue {
        context::write(context.trace, self.ids.span(), false)
    }

    /// The span of a request that says this.
    pub fn span(self: &Arc<Self>, began: Instant, context: Context, asked: Asked) -> Box<Span> {
        Box::new(Span {
            traces: self.clone(),
            context,
            id: self.ids.span(),
            began: (SystemTime::now(), began),
            ended: None,
            asked,
            route: None,
            attempts: Vec::new(),
            status: StatusCode::OK,
            reason: "",
        })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(SAID)]).into_owned()
}

impl Asked {
    /// What a plain request of HTTP/1.1 says: its method, its host, its path and its agent.
    pub fn plain(peer: &Peer, method: &Method, [host, path, agent]: [&[u8]; 3]) -> Self {
        Self {
            sender: peer.address,
            https: peer.scheme == "https",
            version: Version::HTTP_11,
            method: method.clone(),
            host: text(host),
            path: text(path),
            agent: text(agent),
        }
    }

    fn of<B>(peer: &Peer, request: &Request<B>) -> Self {
        let headers = request.headers();
        let field = |name| headers.get(name).map_or_else(String::new, |value: &HeaderValue| text(value.as_bytes()));
        let host = match request.uri().host() {
            Some(host) => text(host.as_bytes()),
            None => field(http::header::HOST),
        };
        Self {
            sender: peer.client(headers),
            https: peer.scheme == "https",
            version: request.version(),
            method: method(request.method()),
            host,
            path: text(request.uri().path().as_bytes()),
            agent: field(http::header::USER_AGENT),
        }
    }
}

/// The method, cut: a client's own may be as long as a head, and many spans wait.
fn method(said: &Method) -> Method {
    let bytes = said.as_str().as_bytes();
    Method::from_bytes(&bytes[..bytes.len().min(METHOD)]).expect("the beginning of a token is one")
}

impl Span {
    /// The trace that it belongs to.
    pub fn trace(&self) -> u128 {
        self.context.trace
    }

    /// Which rule it met, and whose endpoints it goes to.
    pub fn routed(&mut self, ingress: &Named, backend: &str) {
        self.route = Some((ingress.to_string(), backend.to_owned()));
    }

    /// An endpoint is asked: what tells it by which span.
    pub fn asks(&mut self, number: usize, endpoint: &EndpointKey) -> HeaderValue {
        let id = self.traces.ids.span();
        self.attempts.push(Attempt {
            id,
            began: Instant::now(),
            ended: None,
            endpoint: endpoint.clone(),
            number,
            status: None,
            error: None,
        });
        context::write(self.context.trace, id, true)
    }

    /// The endpoint that is being asked has answered.
    pub fn heard(&mut self, status: StatusCode) {
        if let Some(attempt) = self.open() {
            (attempt.ended, attempt.status) = (Some(Instant::now()), Some(status));
        }
    }

    /// The endpoint that is being asked gives no answer.
    pub fn failed(&mut self, word: &'static str) {
        if let Some(attempt) = self.open() {
            (attempt.ended, attempt.error) = (Some(Instant::now()), Some(word));
        }
    }

    /// The answer has ended, or the client has gone.
    pub fn end(mut self: Box<Self>, status: StatusCode, reason: &'static str) {
        self.failed("client_gone");
        (self.ended, self.status, self.reason) = (Some(Instant::now()), status, reason);
        let traces = self.traces.clone();
        if traces.queue.try_send(self).is_err() {
            traces.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn open(&mut self) -> Option<&mut Attempt> {
        self.attempts.last_mut().filter(|attempt| attempt.ended.is_none())
    }
}

#[cfg(test)]
mod tests;
