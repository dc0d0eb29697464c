//! A data plane on loopback, upstream servers that tell what they saw, and raw clients.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use federation_types::endpoint::group;
use federation_types::label;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ingress::snapshot::{IngressClass, IngressObject, Named, ServiceObject};
use ingress::{BuildOptions, IngressConfig, Listen, RouteTable, Running, Snapshot, build, start};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A data plane that runs until dropped.
pub struct Gate {
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub routes: Arc<ArcSwap<RouteTable>>,
    pub shutdown: CancellationToken,
    pub running: Running,
}

/// An upstream server that answers with its name and what it got.
pub struct Upstream {
    pub address: SocketAddr,
    pub requests: Arc<AtomicUsize>,
    pub connections: Arc<AtomicUsize>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Upstream {
    pub async fn start(name: &str) -> Self {
        Self::on(name, "127.0.0.1:0".parse().expect("an address")).await
    }

    pub async fn on(name: &str, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (requests, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, name.into(), requests.clone(), connections.clone(), stop.clone()));
        Self { address, requests, connections, stop, task }
    }

    /// Closes the listener and every connection.
    pub async fn fail(self) -> SocketAddr {
        self.stop.cancel();
        self.task.await.expect("no panic");
        self.address
    }

    pub fn seen(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn serve(
    listener: TcpListener,
    name: Arc<str>,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    stop: CancellationToken,
) {
    let mut open = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted.expect("accept"),
        };
        connections.fetch_add(1, Ordering::SeqCst);
        let (name, requests) = (name.clone(), requests.clone());
        let service = service_fn(move |request| echo(name.clone(), requests.clone(), request));
        open.spawn(async move {
            let ended =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            ended.is_ok()
        });
    }
    open.shutdown().await;
}

async fn echo(
    name: Arc<str>,
    requests: Arc<AtomicUsize>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(Response::builder().status(400).body(Full::default()).expect("an answer")),
    };
    requests.fetch_add(1, Ordering::SeqCst);
    let headers: serde_json::Map<String, Value> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), json!(String::from_utf8_lossy(value.as_bytes()))))
        .collect();
    let seen = json!({
        "name": &*name, "method": parts.method.as_str(), "target": parts.uri.to_string(),
        "headers": headers, "length": body.len(),
    });
    Ok(Response::new(Full::from(seen.to_string())))
}

/// Routes every host and path to the service `web` with these endpoints, one cluster each.
pub fn snapshot(endpoints: &[SocketAddr]) -> Snapshot {
    let ingress = json!({
        "metadata": {"namespace": "n", "name": "i", "creationTimestamp": "1"},
        "spec": {"ingressClassName": "fedgate", "rules": [
            {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend("web")}]}},
            {"host": "only.example", "http": {"paths": [{"path": "/here", "pathType": "Exact", "backend": backend("web")}]}},
            {"host": "empty.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend("empty")}]}},
            {"host": "broken.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend("absent")}]}},
        ]},
    });
    let service = |name: &str| {
        let object = json!({"metadata": {"namespace": "n", "name": name}, "spec": {"ports": [{"port": 80}]}});
        (Named::new("n", name), Arc::new(ServiceObject::read(&object)))
    };
    let slice = |(number, address): (usize, &SocketAddr)| {
        let cluster = format!("c{number}");
        json!({
            "metadata": {"namespace": "n", "name": format!("web-1.{cluster}"), "labels": {
                "kubernetes.io/service-name": "web", label::CLUSTER: cluster, label::HUB: "uid",
            }},
            "addressType": "IPv4",
            "ports": [{"port": address.port()}],
            "endpoints": [{"addresses": [address.ip().to_string()]}],
        })
    };
    let slices: Vec<Value> = endpoints.iter().enumerate().map(slice).collect();
    Snapshot {
        ingresses: vec![Arc::new(IngressObject::read(&ingress))],
        classes: vec![IngressClass {
            uid: String::new(),
            name: "fedgate".into(),
            controller: label::INGRESS_CONTROLLER.into(),
            default: false,
            parameters: None,
        }],
        services: [service("web"), service("empty")].into(),
        clusters: group(&slices),
        ..Snapshot::default()
    }
}

pub fn backend(name: &str) -> Value {
    json!({"service": {"name": name, "port": {"number": 80}}})
}

pub fn options() -> BuildOptions {
    BuildOptions { allow_loopback: true, ..BuildOptions::default() }
}

impl Gate {
    pub fn start(snapshot: &Snapshot, tweak: impl FnOnce(&mut IngressConfig)) -> Self {
        let routes = Arc::new(ArcSwap::from_pointee(build(snapshot, None, &options())));
        let any = || vec![Listen::Address("127.0.0.1:0".parse().expect("an address"))];
        let mut config = IngressConfig { http: any(), https: any(), workers: 2, ..IngressConfig::default() };
        config.timeouts.drain = Duration::from_secs(2);
        tweak(&mut config);
        let shutdown = CancellationToken::new();
        let running = start(config, routes.clone(), shutdown.clone()).expect("started");
        Self { http: running.http[0], https: running.https[0], routes, shutdown, running }
    }

    pub fn to(endpoints: &[SocketAddr]) -> Self {
        Self::start(&snapshot(endpoints), |_| ())
    }

    /// Replaces the routes, as the watch does.
    pub fn swap(&self, endpoints: &[SocketAddr]) {
        let before = self.routes.load_full();
        self.routes.store(Arc::new(build(&snapshot(endpoints), Some(&before), &options())));
    }

    pub async fn get(&self, path: &str) -> Answer {
        ask(self.http, &format!("GET {path} HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n")).await
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A parsed answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn name(&self) -> String {
        self.json()["name"].as_str().expect("a name").to_owned()
    }
}

/// Sends bytes and reads until the other side closes.
pub async fn exchange(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.expect("connect");
    // The peer may refuse and close before everything is written.
    let written = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end in time");
    if answer.is_empty() {
        assert!(read.is_err() || written.is_err() || read.is_ok());
    }
    String::from_utf8_lossy(&answer).into_owned()
}

pub async fn ask(to: SocketAddr, request: &str) -> Answer {
    Answer::parse(&exchange(to, request.as_bytes()).await)
}

/// An upstream that does `script` with each connection after it has read one head.
pub async fn scripted<F>(script: impl Fn(TcpStream, String, usize) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let head = read_head(&mut stream).await;
            tokio::spawn(script(stream, head, number));
        }
    });
    address
}

/// An endpoint whose answer, after its head, comes in the chunks that it is told to write.
pub async fn dictated() -> (SocketAddr, UnboundedSender<&'static str>) {
    let (pieces, wanted) = unbounded_channel::<&'static str>();
    let wanted = Arc::new(tokio::sync::Mutex::new(wanted));
    let address = scripted(move |mut stream, _, _| {
        let wanted = wanted.clone();
        async move {
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head).await.expect("written");
            while let Some(piece) = wanted.lock().await.recv().await {
                stream.write_all(piece.as_bytes()).await.expect("written");
            }
        }
    })
    .await;
    (address, pieces)
}

/// What becomes of a connection to an endpoint that never finishes an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfinished {
    Asked,
    Left,
}

/// An endpoint that never finishes an answer, and begins one only after the first time.
pub async fn unfinished() -> (SocketAddr, UnboundedReceiver<Unfinished>) {
    let (say, said) = unbounded_channel();
    let address = scripted(move |mut stream, _, number| {
        let say = say.clone();
        async move {
            say.send(Unfinished::Asked).expect("the test waits");
            if number > 0 {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await.expect("written");
            }
            let end = stream.read(&mut [0; 1]).await;
            assert!(matches!(end, Ok(0) | Err(_)), "nothing more is sent");
            say.send(Unfinished::Left).expect("the test waits");
        }
    })
    .await;
    (address, said)
}

/// The next word of an endpoint.
pub async fn hears(said: &mut UnboundedReceiver<Unfinished>) -> Unfinished {
    tokio::time::timeout(PATIENCE, said.recv()).await.expect("in time").expect("the endpoint is there")
}

/// Reads up to the end of a head.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}
