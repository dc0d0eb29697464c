//! Calls to HTTPS servers that people have named in objects: admission webhooks and whatever else of upstream has a
//! `clientConfig`, with one JSON body out and one JSON answer back, and aggregated API servers.
//!
//! Connections are used again, answers are bounded, redirects are answers like any other failure. Knows nothing
//! of what is said.

mod connect;
mod line;
mod resolve;
mod unverified;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use member_cluster::AddressPolicy;
use serde_json::Value;

use crate::server::Server;
use connect::TlsCache;
pub(crate) use connect::{Identity, Outgoing};
pub(crate) use line::Line;
use line::Pool;
pub(crate) use resolve::slices;

/// Longest answer that is read; an object is at most half of it, and a patch may be as long.
const MAX_ANSWER_BYTES: usize = 6 * 1024 * 1024;
/// The port where none is named.
const HTTPS: u16 = 443;

/// Whom to call: a compiled `clientConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Destination {
    host: String,
    port: u16,
    path: String,
    /// Namespace and name of a Service, where that is what is called.
    service: Option<(String, String)>,
    trust: Trust,
    /// Whether the server is shown our own certificate.
    introduced: bool,
}

/// How a server proves that it is the one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Trust {
    /// PEM of the authorities that its certificate is verified with; the system's where it is empty.
    Authorities(Arc<[u8]>),
    /// It does not need to.
    Anybody,
}

/// Why there is no answer; worded as upstream's HTTP client does.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("Post \"{url}\": {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{0}")]
    Refused(String),
}

/// The connections of one server to all that it calls.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    tls: TlsCache,
    idle: Arc<Pool>,
    /// Where the endpoints of Services may be.
    policy: AddressPolicy,
}

impl Destination {
    /// Reads a `clientConfig` with `url` or `service`, and `caBundle`.
    pub(crate) fn read(config: &Value) -> Option<Self> {
        let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).unwrap_or("");
        let trust = Trust::from_base64(text("/caBundle"))?;
        let (namespace, name) = (text("/service/namespace"), text("/service/name"));
        if !name.is_empty() {
            let port = config.pointer("/service/port").and_then(Value::as_u64).map_or(Ok(HTTPS), u16::try_from).ok()?;
            let host = format!("{name}.{namespace}.svc");
            let service = Some((namespace.to_owned(), name.to_owned()));
            return Some(Self { host, port, path: rooted(text("/service/path")), service, trust, introduced: false });
        }
        let uri: Uri = text("/url").parse().ok()?;
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(HTTPS);
        Some(Self { host, port, path: rooted(uri.path()), service: None, trust, introduced: false })
    }

    /// The server behind a Service, which is to know that requests come from us.
    pub(crate) fn of_service((namespace, name): (&str, &str), port: u16, trust: Trust) -> Self {
        let host = format!("{name}.{namespace}.svc");
        let service = Some((namespace.to_owned(), name.to_owned()));
        Self { host, port, path: String::new(), service, trust, introduced: true }
    }

    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Trust {
    /// Reads a `caBundle`.
    pub(crate) fn from_base64(bundle: &str) -> Option<Self> {
        let pem = base64::engine::general_purpose::STANDARD.decode(bundle).ok()?;
        Some(Self::Authorities(pem.into()))
    }
}

fn rooted(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

impl Hooks {
    /// With what tells servers that a request comes from here.
    pub(crate) fn new(identity: Option<Identity>, policy: AddressPolicy) -> Self {
        Self { tls: TlsCache::new(identity), idle: Arc::default(), policy }
    }

    /// Posts `body` and reads the answer's JSON; gives up after `timeout`.
    ///
    /// # Errors
    /// [`CallError`] for everything but a 2xx answer that is JSON.
    ///
    /// # Cancel safety
    /// Dropping it leaves open whether the other side has acted.
    pub(crate) async fn post(
        &self,
        server: &Server,
        to: &Destination,
        body: &Value,
        timeout: Duration,
    ) -> Result<Value, CallError> {
        let url = format!("https://{}{}?timeout={}s", to.authority(), to.path, timeout.as_secs());
        let unreachable = |reason: String| CallError::Unreachable { url: url.clone(), reason };
        let body = Bytes::from(crate::json::to_vec(body));
        let exchange = async {
            let request = request(&url, body).map_err(unreachable)?;
            let response = self.exchange(server, to, request).await.map_err(unreachable)?;
            read(response, &url).await
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(outcome) => {
                let (value, line) = outcome?;
                self.keep(to, line);
                Ok(value)
            }
            Err(_) => Err(unreachable("context deadline exceeded".to_owned())),
        }
    }

    /// Sends over a kept connection, or over a new one where those are gone; what is sent is the path, not the URL.
    /// Whoever has read the whole answer gives the connection back with [`Hooks::keep`]; to drop it ends the answer.
    ///
    /// # Errors
    /// The reason, as a text for people.
    pub(crate) async fn exchange(
        &self,
        server: &Server,
        to: &Destination,
        mut request: Request<Outgoing>,
    ) -> Result<(Response<Incoming>, Line), String> {
        let host = HeaderValue::try_from(to.authority()).map_err(|error| error.to_string())?;
        request.headers_mut().insert(header::HOST, host);
        loop {
            let kept = self.idle.take(to);
            let fresh = kept.is_none();
            let mut line = match kept {
                Some(line) => line,
                None => self.tls.connect(server, to).await?,
            };
            if fresh && line.sender.ready().await.is_err() {
                return Err("EOF".to_owned());
            }
            match line.sender.try_send_request(request).await {
                Ok(response) => return Ok((response, line)),
                Err(mut error) => match error.take_message().filter(|_| !fresh) {
                    // Never sent over a kept connection: the other side had closed it.
                    Some(unsent) => request = unsent,
                    None => return Err(reason(error.error())),
                },
            }
        }
    }

    /// Takes a connection back whose answer is read.
    pub(crate) fn keep(&self, to: &Destination, line: Line) {
        self.idle.keep(to, line);
    }
}

fn request(url: &str, body: Bytes) -> Result<Request<Outgoing>, String> {
    let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    let target = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let request = Request::post(target)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, */*")
        .header(header::USER_AGENT, "kube-apiserver-admission");
    request.body(whole(body)).map_err(|error| error.to_string())
}

/// A body that is here already.
pub(crate) fn whole(body: Bytes) -> Outgoing {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

async fn read((response, line): (Response<Incoming>, Line), url: &str) -> Result<(Value, Line), CallError> {
    let (parts, body) = response.into_parts();
    let whole = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    let bytes = whole
        .map_err(|error| CallError::Unreachable {
            url: url.to_owned(),
            reason: format!("reading the answer: {error}"),
        })?
        .to_bytes();
    if !parts.status.is_success() {
        return Err(CallError::Refused(failure(parts.status, &bytes)));
    }
    let value = serde_json::from_slice(&bytes)
        .map_err(|error| CallError::Refused(format!("couldn't get version/kind; json parse error: {error}")))?;
    Ok((value, line))
}

/// What a status other than 2xx means, as upstream's REST client says it.
fn failure(status: StatusCode, body: &[u8]) -> String {
    const MAX_SHOWN_BYTES: usize = 2_048;
    if status.is_redirection() {
        return format!("the server answered with a redirect ({status}), which is not followed");
    }
    match status.as_u16() {
        401 => "the server has asked for the client to provide credentials".to_owned(),
        403 => "forbidden".to_owned(),
        404 => "the server could not find the requested resource".to_owned(),
        _ => {
            let shown = String::from_utf8_lossy(&body[..body.len().min(MAX_SHOWN_BYTES)]);
            let shown = if shown.trim().is_empty() { "unknown".into() } else { shown };
            format!("an error on the server ({:?}) has prevented the request from succeeding", shown.trim())
        }
    }
}

fn reason(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        "EOF".to_owned()
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{Destination, Trust, failure};
    use http::StatusCode;
    use serde_json::json;

    #[test]
    fn destinations_are_read() {
        let url = Destination::read(&json!({"url": "https://[::1]:8443/a/b"})).expect("a destination");
        assert_eq!((url.authority().as_str(), url.path.as_str()), ("[::1]:8443", "/a/b"));
        let service = json!({"service": {"namespace": "ns", "name": "hook", "path": "x"}, "caBundle": "YQ=="});
        let service = Destination::read(&service).expect("a destination");
        assert_eq!((service.authority().as_str(), service.path.as_str()), ("hook.ns.svc:443", "/x"));
        assert_eq!(service.trust, Trust::Authorities(b"a".as_slice().into()));
        for bad in [json!({}), json!({"url": "/x"}), json!({"url": "https://h", "caBundle": "%"})] {
            assert_eq!(Destination::read(&bad), None, "{bad}");
        }
    }

    #[test]
    fn redirects_are_failures() {
        assert!(failure(StatusCode::FOUND, b"").contains("not followed"));
        assert_eq!(
            failure(StatusCode::INTERNAL_SERVER_ERROR, b"oh\n"),
            "an error on the server (\"oh\") has prevented the request from succeeding"
        );
    }
}
