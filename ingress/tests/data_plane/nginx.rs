//! The same requests to nginx and to the data plane, in front of the same endpoint: answers and what the endpoint saw.
//!
//! Each case is a configuration of nginx as ingress-nginx renders it, written by hand, beside the annotations that ask for
//! it. Without nginx on this machine nothing is compared, which the run says.

mod cases;
mod certificates;
mod several;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ingress::annotation::table::{self, Verdict};
use ingress::snapshot::{IngressObject, Named, UserList};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::fixture::{Gate, PATIENCE, backend, exchange, snapshot};
use cases::{CASES, Case, How};

/// What every location of ingress-nginx says.
const USUAL: &str = "
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header X-Request-ID $request_id;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-Port $server_port;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Proxy \"\";
    proxy_connect_timeout 5s; proxy_send_timeout 60s;
    proxy_buffering off; proxy_request_buffering on; proxy_http_version 1.1;
    proxy_next_upstream error timeout; proxy_next_upstream_tries 3;
";

/// What the endpoint got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// An endpoint that keeps what it sees and answers as the request's own fields tell it.
pub struct Recorder {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let all = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let all = Arc::clone(&all);
                let service = service_fn(move |request| answer(Arc::clone(&all), request));
                tokio::spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    http.serve_connection(TokioIo::new(stream), service).await.is_ok()
                });
            }
        });
        Self { address, seen }
    }

    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().expect("no panic"))
    }
}

async fn answer(
    all: Arc<Mutex<Vec<Seen>>>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(Response::new(Full::default())) };
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut headers = BTreeMap::new();
    for (name, value) in &parts.headers {
        headers
            .entry(name.to_string())
            .and_modify(|all: &mut String| *all += &format!("|{}", text(value)))
            .or_insert_with(|| text(value));
    }
    let asks = parts.uri.path() == "/check";
    let wish = |name: &str| parts.headers.get(name).map(text);
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    all.lock().expect("no panic").push(Seen { line: format!("{} {}", parts.method, parts.uri), headers, body });
    if wish("x-hang").is_some() && !asks {
        std::future::pending::<()>().await;
    }
    let status = wish(if asks { "x-check" } else { "x-answer" }).unwrap_or_else(|| "200".to_owned());
    let mut response = Response::builder().status(&*status);
    for (given, told) in [("x-location", "location"), ("x-cookie", "set-cookie"), ("x-refresh", "refresh")] {
        if let Some(value) = wish(given).filter(|_| !asks) {
            response = response.header(told, value);
        }
    }
    if asks {
        response = response.header("x-user", "alice").header("www-authenticate", "Own realm=x");
        if wish("x-bare").is_none() {
            response = response.header("set-cookie", "session=1");
        }
    }
    Ok(response.body(Full::from("from the endpoint")).expect("an answer"))
}

/// A running nginx, and where each case listens.
struct Nginx {
    _running: Child,
    _folder: tempfile::TempDir,
    ports: Vec<SocketAddr>,
}

/// The program, wherever Debian puts it.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into()]).map(|folder| folder.join("nginx")).find(|at| at.is_file())
}

fn free_ports(count: usize) -> Vec<SocketAddr> {
    let all: Vec<_> = (0..count).map(|_| StdListener::bind("127.0.0.1:0").expect("a free port")).collect();
    all.iter().map(|listener| listener.local_addr().expect("bound")).collect()
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("written");
}

impl Nginx {
    /// Runs `servers`, the insides of server blocks, each on a port of its own.
    async fn start(program: &Path, endpoint: SocketAddr, servers: &[String], files: &[(&str, &str)]) -> Self {
        let up = format!("upstream up {{ server {endpoint}; keepalive 8; }}");
        Self::with(program, &up, servers, files).await
    }

    /// The same with whatever stands beside the servers.
    async fn with(program: &Path, beside: &str, servers: &[String], files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ports = free_ports(servers.len());
        let mut http = String::new();
        for (number, (port, server)) in ports.iter().zip(servers).enumerate() {
            let listen = if server.contains("ssl_certificate") { "ssl" } else { "" };
            write!(
                http,
                "limit_req_zone $binary_remote_addr zone=rate{number}:1m rate=1r/s;\nserver {{ listen {port} {listen}; server_name a.example; {} }}\n",
                server.replace("RATE", &format!("rate{number}")).replace("USUAL", USUAL)
            )
            .expect("text");
        }
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String = kinds.iter().map(|kind| format!("{kind}_temp_path {kind};\n")).collect();
        let at = folder.path().display();
        let whole = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/log;
            events {{ worker_connections 512; }}
            http {{
                access_log off; server_tokens off; {temporary}
                client_header_buffer_size 1k; large_client_header_buffers 4 8k;
                map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
                {beside}
                {http}
            }}"
        );
        write(folder.path(), "nginx.conf", &whole);
        files.iter().for_each(|(name, text)| write(folder.path(), name, text));
        let mut command = Command::new(program);
        command.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf")).kill_on_drop(true);
        let mut running = command.spawn().expect("it starts");
        let began = Instant::now();
        for port in &ports {
            while TcpStream::connect(port).await.is_err() {
                let ended = running.try_wait().expect("a state");
                assert!(ended.is_none() && began.elapsed() < PATIENCE, "nginx did not listen: {ended:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Self { _running: running, _folder: folder, ports }
    }
}

/// What can be compared of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    status: u16,
    headers: Vec<(String, Vec<String>)>,
    body: Option<String>,
    seen: Vec<Seen>,
}

fn told(case: &Case, text: &str, seen: Vec<Seen>) -> Told {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    let of = |name: &str| {
        let fields = head.lines().filter_map(|line| line.split_once(':'));
        let ours = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        (name.to_owned(), ours.map(|(_, value)| value.trim().to_owned()).collect())
    };
    let from_endpoint = body.contains("from the endpoint").then(|| "from the endpoint".to_owned());
    let seen = seen.into_iter().map(|seen| {
        let headers = seen.headers.into_iter().filter(|(name, _)| case.seen.contains(&&**name)).collect();
        Seen { headers, ..seen }
    });
    Told { status, headers: case.told.iter().map(|name| of(name)).collect(), body: from_endpoint, seen: seen.collect() }
}

/// The Ingress of a case; what is asked of other Services leads to the endpoint, too.
fn gate(case: &Case, endpoint: SocketAddr) -> Gate {
    let mut all = snapshot(&[endpoint]);
    all.ingresses.clear();
    let annotations: Value = case
        .annotations
        .iter()
        .map(|(name, value)| (format!("nginx.ingress.kubernetes.io/{name}"), json!(value)))
        .collect();
    let path = |(path, kind): &(&str, &str)| json!({"path": path, "pathType": kind, "backend": backend("web")});
    let object = json!({
        "metadata": {"namespace": "n", "name": "i", "creationTimestamp": "1", "annotations": annotations},
        "spec": {"ingressClassName": "fedgate", "rules": [
            {"host": "a.example", "http": {"paths": case.paths.iter().map(path).collect::<Vec<_>>()}},
        ]},
    });
    all.ingresses.push(Arc::new(IngressObject::read(&object)));
    let users = [("auth".to_owned(), cases::USERS.as_bytes().to_vec())];
    all.user_lists.insert(Named::new("n", "users"), Arc::new(UserList(users.into())));
    Gate::start(&all, |_| ())
}

/// Asks one after another, so that what the endpoint saw is clear.
async fn both(case: &Case, at: [SocketAddr; 2], recorder: &Recorder, request: &str) -> [Told; 2] {
    let mut answers = Vec::new();
    for to in at {
        let text = exchange(to, request.replace("PORT", &to.port().to_string()).as_bytes()).await;
        let port = format!(":{}", to.port());
        let mut told = told(case, &text.replace(&port, ":PORT"), recorder.take());
        for seen in &mut told.seen {
            seen.headers.values_mut().for_each(|value| *value = value.replace(&to.port().to_string(), "PORT"));
        }
        answers.push(told);
    }
    answers.try_into().expect("two")
}

/// Ingress: 36, 39, 40, 41, 14, 31, 33, 34, 38
#[tokio::test]
async fn nginx_and_the_data_plane_do_the_same() {
    let Some(program) = program() else { return eprintln!("skipped: there is no nginx on this machine") };
    let recorder = Recorder::start().await;
    let servers: Vec<String> = CASES.iter().map(|case| case.nginx.to_owned()).collect();
    let nginx = Nginx::start(&program, recorder.address, &servers, &[("users", cases::USERS)]).await;
    let mut wrong = String::new();
    for (case, port) in CASES.iter().zip(&nginx.ports) {
        let gate = gate(case, recorder.address);
        for (request, how) in case.requests {
            let whole = cases::whole(request);
            let [theirs, ours] = both(case, [*port, gate.http], &recorder, &whole).await;
            let fine = match how {
                How::Same => theirs == ours,
                How::Differs(_, wanted) => theirs != ours && (theirs.status, ours.status) == *wanted,
            };
            if !fine {
                writeln!(wrong, "{}: {request:?} {how:?}\n  nginx {theirs:?}\n  ours  {ours:?}", case.name)
                    .expect("text");
            }
            if let How::Differs(annotation, _) = how
                && let Some(row) = table::row(annotation)
            {
                assert!(
                    matches!(row.verdict, Verdict::Differs(_)),
                    "{annotation} differs, and its verdict says nothing"
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
