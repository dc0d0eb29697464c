//! The connection between a hub and a member: in the process, and cut, held or watched at will.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use federation_api::InProcess;
use federation_api::body::BoxError;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hub_client::Caller;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;
use tower::Service as _;

type Answered = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// One line, with its faults.
pub struct Line {
    up: watch::Sender<bool>,
    /// Lists of slices wait while this holds.
    slices_held: watch::Sender<bool>,
    /// Lines that a followed log still has to tell.
    log: watch::Sender<usize>,
    expired: AtomicBool,
    asked: Mutex<Vec<Asked>>,
}

/// A request that came over the line.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub acting_as: String,
    /// All headers, for what must not be among them.
    pub headers: String,
}

impl Line {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            up: watch::Sender::new(true),
            slices_held: watch::Sender::new(false),
            log: watch::Sender::new(1),
            expired: AtomicBool::new(false),
            asked: Mutex::default(),
        })
    }

    pub fn cut(&self) {
        self.up.send_replace(false);
    }

    pub fn mend(&self) {
        self.up.send_replace(true);
    }

    pub fn hold_slices(&self, holds: bool) {
        self.slices_held.send_replace(holds);
    }

    /// From now on a followed log has this many lines.
    pub fn log_lines(&self, lines: usize) {
        self.log.send_replace(lines);
    }

    /// The next watch is answered as too old.
    pub fn expire(&self) {
        self.expired.store(true, Ordering::SeqCst);
    }

    /// What was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }

    /// A connection over this line to an API server, with an identity there.
    pub fn connect(self: &Arc<Self>, member: InProcess) -> Caller {
        let line = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (line, member) = (Arc::clone(&line), member.clone());
            async move { line.answer(member, request).await }
        });
        Caller::new(kube::Client::new(service, "default"))
    }

    async fn answer(
        self: Arc<Self>,
        mut member: InProcess,
        request: Request<kube::client::Body>,
    ) -> Result<Answered, BoxError> {
        let query = request.uri().query().unwrap_or("").to_owned();
        let path = request.uri().path().to_owned();
        self.note(&request);
        if !*self.up.borrow() {
            return Err("connection refused".into());
        }
        let watches = query.contains("watch=true");
        if watches && self.expired.swap(false, Ordering::SeqCst) {
            return Ok(gone());
        }
        if path.ends_with("/endpointslices") && !watches {
            let mut held = self.slices_held.subscribe();
            held.wait_for(|held| !held).await?;
        }
        if path.ends_with("/log") && !path.contains("/pods/none/") {
            return Ok(self.log(query.contains("follow=true")));
        }
        if path.ends_with("/exec") {
            return echo(request).await;
        }
        let response = member.call(request).await?;
        let mut up = self.up.subscribe();
        let cut = async move { up.wait_for(|up| !up).await.map(|_| ()) };
        Ok(response.map(|body| {
            let frames = body.into_data_stream().map(|chunk| Ok(Frame::data(chunk?)));
            UnsyncBoxBody::new(StreamBody::new(frames.take_until(Box::pin(cut))))
        }))
    }

    fn log(self: Arc<Self>, follows: bool) -> Answered {
        let log = self.log.subscribe();
        let lines = stream::unfold((log, 0), move |(mut log, told)| async move {
            if !follows && told == *log.borrow() {
                return None;
            }
            log.wait_for(|lines| *lines > told).await.ok()?;
            Some((Ok(Frame::data(Bytes::from(format!("line {told}\n")))), (log, told + 1)))
        });
        Response::new(UnsyncBoxBody::new(StreamBody::new(lines)))
    }

    fn note(&self, request: &Request<kube::client::Body>) {
        let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        self.asked.lock().push(Asked {
            method: request.method().to_string(),
            path: request.uri().to_string(),
            acting_as: header("impersonate-user"),
            headers: format!("{:?}", request.headers()),
        });
    }
}

/// A connection to a server that takes every upgrade and says back what it hears.
async fn echo(request: Request<kube::client::Body>) -> Result<Answered, BoxError> {
    let (near, far) = tokio::io::duplex(4096);
    let serve = service_fn(async |mut request: Request<Incoming>| {
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        for name in ["connection", "upgrade", "sec-websocket-protocol"] {
            if let Some(value) = request.headers().get(name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let (mut from, mut to) = tokio::io::split(TokioIo::new(upgraded.await.expect("an upgrade")));
            tokio::io::copy(&mut from, &mut to).await.expect("an echo");
            to.shutdown().await.expect("an end");
        });
        Ok::<_, BoxError>(response)
    });
    let server = hyper::server::conn::http1::Builder::new();
    tokio::spawn(server.serve_connection(TokioIo::new(far), serve).with_upgrades());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
    tokio::spawn(connection.with_upgrades());
    let response = sender.send_request(request).await?;
    Ok(response.map(|body| UnsyncBoxBody::new(body.map_err(Into::into))))
}

fn gone() -> Answered {
    let status =
        r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"message":"old"}"#;
    let body = Full::new(Bytes::from(status)).map_err(|never| match never {});
    let mut response = Response::new(UnsyncBoxBody::new(body));
    *response.status_mut() = StatusCode::GONE;
    response
}
