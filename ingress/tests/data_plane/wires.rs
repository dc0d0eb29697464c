//! HTTP/2, gRPC and TLS towards endpoints.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ingress::Snapshot;
use ingress::failure::Cause;
use ingress::snapshot::{IngressObject, Named, ServiceObject, TlsSecret, UserList};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{Gate, PATIENCE, ask, snapshot};
use crate::frames::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Raw};

/// An HTTP/2 endpoint that answers with what it got, then with trailers.
struct H2 {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl H2 {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service_fn(echo)));
            }
        });
        Self { address, connections }
    }
}

/// Where such an endpoint is.
pub async fn h2_machine() -> SocketAddr {
    H2::start().await.address
}

/// Answers the requests of one connection as such an endpoint.
pub async fn h2_answers(stream: TcpStream) {
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service_fn(echo)).await {
        println!("an HTTP/2 connection ended: {error}");
    }
}

/// Sends the body back piece by piece as it comes, then what the request's trailers were.
async fn echo(request: Request<Incoming>) -> Result<Response<Channel<Bytes>>, Infallible> {
    let (parts, mut incoming) = request.into_parts();
    let (mut sender, body) = Channel::new(4);
    let names: Vec<_> = parts.headers.keys().map(|name| name.to_string()).collect();
    tokio::spawn(async move {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("a value"));
        while let Some(Ok(frame)) = incoming.frame().await {
            match frame.into_data() {
                Ok(data) => sender.send_data(data).await.expect("sent"),
                Err(frame) => trailers.extend(frame.into_trailers().expect("trailers")),
            }
        }
        sender.send_trailers(trailers).await.expect("sent");
    });
    let response = Response::builder()
        .header("x-authority", parts.uri.authority().map_or("", |authority| authority.as_str()))
        .header("x-target", parts.uri.path_and_query().map_or("", |target| target.as_str()))
        .header("x-names", names.join(" "))
        .header("x-te", parts.headers.get("te").cloned().unwrap_or_else(|| "".parse().expect("a value")))
        .header("trailer", "grpc-status, x-sum");
    Ok(response.body(body).expect("an answer"))
}

/// The service `web` with that `appProtocol`.
pub fn speaking(app_protocol: &str, endpoints: &[SocketAddr]) -> Snapshot {
    let mut snapshot = snapshot(endpoints);
    let object = json!({
        "metadata": {"namespace": "n", "name": "web"},
        "spec": {"ports": [{"port": 80, "appProtocol": app_protocol}]},
    });
    let web = ServiceObject::read(&object);
    snapshot.services.insert(web.key.clone(), Arc::new(web));
    snapshot
}

/// The Ingress of all paths with that annotation `backend-protocol`.
fn annotated(protocol: &str, endpoints: &[SocketAddr]) -> Snapshot {
    let mut snapshot = snapshot(endpoints);
    let object = json!({
        "metadata": {"namespace": "n", "name": "i", "creationTimestamp": "1", "annotations": {
            "nginx.ingress.kubernetes.io/backend-protocol": protocol,
        }},
        "spec": {"ingressClassName": "fedgate", "rules": [{"http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}},
        ]}}]},
    });
    snapshot.ingresses = vec![Arc::new(IngressObject::read(&object))];
    snapshot
}

/// Ingress: 25, 28, 29
#[tokio::test]
async fn an_h2c_endpoint_gets_http2_over_one_connection_and_its_trailers_come_back() {
    let up = H2::start().await;
    let gate = Gate::start(&speaking("kubernetes.io/h2c", &[up.address]), |config| config.workers = 1);
    let request = "POST /a?b=c HTTP/1.1\r\nHost: web.example:7080\r\nTE: trailers\r\nConnection: te, x-hop, close\r\nX-Hop: 1\r\n\
                   Keep-Alive: 5\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n";
    let to = gate.http;
    let answer = ask(to, request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for wanted in ["x-authority: web.example:7080", "x-target: /a?b=c", "x-te: trailers", "transfer-encoding: chunked"]
    {
        assert!(answer.head.contains(wanted), "{wanted}: {}", answer.head);
    }
    let names = answer.head.lines().find_map(|line| line.strip_prefix("x-names: ")).expect("names");
    for absent in ["host", "connection", "keep-alive", "x-hop", "transfer-encoding", "upgrade"] {
        assert!(!names.split(' ').any(|name| name == absent), "{absent} in {names}");
    }
    assert_eq!(answer.body, "3\r\nabc\r\n0\r\ngrpc-status: 0\r\nx-sum: 7\r\n\r\n");

    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..50 {
        asked.spawn(async move { ask(to, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.status });
    }
    assert!(asked.join_all().await.iter().all(|status| *status == 200));
    assert_eq!(up.connections.load(Ordering::SeqCst), 1, "requests share it");
}

/// Ingress: 28, 29, 58
#[tokio::test]
async fn grpc_streams_both_ways_at_once_with_trailers_at_the_end() {
    let up = H2::start().await;
    let gate = Gate::start(&speaking("grpc", &[up.address]), |_| ());
    let stream = TcpStream::connect(gate.http).await.expect("connect");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
    tokio::spawn(connection);
    let (mut pieces, body) = Channel::<Bytes>::new(1);
    let call = Request::post("http://web.example/pkg.Service/Call")
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(body)
        .expect("a request");
    let answer = sender.send_request(call).await.expect("an answer while the request goes on");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-te"], "trailers");
    let mut answer = answer.into_body();
    for number in 0..100u8 {
        pieces.send_data(Bytes::from(vec![number])).await.expect("sent");
        let frame =
            tokio::time::timeout(PATIENCE, answer.frame()).await.expect("in time").expect("more").expect("sound");
        assert_eq!(frame.into_data().expect("data"), [number][..], "each byte passes at once");
    }
    let mut sum = HeaderMap::new();
    sum.insert("x-sum", "7".parse().expect("a value"));
    pieces.send_trailers(sum).await.expect("sent");
    drop(pieces);
    let rest = answer.collect().await.expect("an end");
    let trailers = rest.trailers().expect("trailers");
    assert!(trailers["grpc-status"] == "0" && trailers["x-sum"] == "7", "{trailers:?}");
}

/// Ingress: 59, 62
#[tokio::test]
async fn streams_that_an_endpoint_did_not_take_are_sent_again_whatever_the_method() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut raw = Raw::serve(stream).await;
                let mut refused = number > 0;
                while let Some(head) = raw.until(HEADERS).await {
                    sender.send(number).expect("recorded");
                    if std::mem::replace(&mut refused, true) {
                        // The static table's `:status: 200`.
                        raw.send(HEADERS, END_STREAM | END_HEADERS, head.stream, &[0x88]).await;
                    } else {
                        raw.send(RST_STREAM, 0, head.stream, &7u32.to_be_bytes()).await;
                        let again = raw.until(HEADERS).await.expect("sent again");
                        sender.send(number).expect("recorded");
                        raw.send(GOAWAY, 0, 0, &[0; 8]).await;
                        assert!(again.stream > head.stream);
                    }
                }
            });
        }
    });
    let gate = Gate::start(&speaking("kubernetes.io/h2c", &[address]), |config| config.workers = 1);
    let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let answer = ask(gate.http, post).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let failures = [Cause::RefusedStream, Cause::GoAway].map(|cause| gate.running.metrics.failures(cause));
    assert_eq!(failures, [1, 1], "each by its name");
    seen.close();
    let mut order = Vec::new();
    while let Some(number) = seen.recv().await {
        order.push(number);
    }
    assert_eq!(order, [0, 0, 1], "after GOAWAY there is another connection");
}

/// Ingress: 60, 62
#[tokio::test]
async fn a_call_that_an_endpoint_did_not_take_is_sent_again_with_its_body() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            tokio::spawn(async move {
                let mut raw = Raw::serve(stream).await;
                while let Some(head) = raw.until(HEADERS).await {
                    let mut body = Vec::new();
                    while !body.ends_with(b".") {
                        body.extend(raw.until(DATA).await.expect("the body").payload);
                    }
                    if number == 0 {
                        // The endpoint goes: what came after stream 0 was not looked at.
                        raw.send(GOAWAY, 0, 0, &[0; 8]).await;
                        return;
                    }
                    raw.send(HEADERS, END_HEADERS, head.stream, &[0x88]).await;
                    raw.send(DATA, END_STREAM, head.stream, &body).await;
                }
            });
        }
    });
    let gate = Gate::start(&speaking("grpc", &[address]), |config| config.workers = 1);
    let answer =
        ask(gate.http, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello.").await;
    assert!(answer.status == 200 && answer.body.contains("hello."), "{answer:?}");
    assert!(gate.running.metrics.get(ingress::metrics::Count::Retry) >= 1);
}

#[tokio::test]
async fn an_upgrade_is_no_matter_for_an_http2_endpoint() {
    let up = H2::start().await;
    let gate = Gate::start(&speaking("h2c", &[up.address]), |_| ());
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n";
    let answer = ask(gate.http, request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.head.contains("upgrade"), "{}", answer.head);
}

/// Ingress: 52
#[tokio::test]
async fn an_endpoint_behind_tls_is_spoken_to_in_tls() {
    let made = rcgen::generate_simple_self_signed(["x".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("a certificate");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let (_, tls) = stream.get_ref();
                let told = format!("{:?} {:?}", tls.server_name(), tls.alpn_protocol().map(String::from_utf8_lossy));
                let tell = service_fn(move |request: Request<Incoming>| {
                    let text = format!("{told} {:?}", request.version());
                    async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text)))) }
                });
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                builder.serve_connection(TokioIo::new(stream), tell).await.expect("served");
            });
        }
    });
    let http1 = r#"Some("web.n.svc") Some("http/1.1") HTTP/1.1"#;
    let http2 = r#"Some("web.n.svc") Some("h2") HTTP/2.0"#;
    for (snapshot, wanted) in [
        (speaking("https", &[address]), http1),
        (speaking("grpcs", &[address]), http2),
        (annotated("HTTPS", &[address]), http1),
        (annotated("GRPCS", &[address]), http2),
    ] {
        let gate = Gate::start(&snapshot, |_| ());
        for _ in 0..3 {
            let answer = gate.get("/").await;
            assert_eq!((answer.status, answer.body.as_str()), (200, wanted));
        }
    }
    for snapshot in [speaking("http", &[address]), annotated("GRPC", &[address]), annotated("AUTO_HTTP", &[address])] {
        let gate = Gate::start(&snapshot, |_| ());
        assert_eq!(gate.get("/").await.status, 502, "plain at a TLS endpoint");
    }
    let gate = Gate::start(&annotated("AUTO_HTTP", &[address]), |_| ());
    let (mut stream, _) = crate::secure::connect(&gate, "web.example", &[]).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.expect("written");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    assert!(text.ends_with(http1), "over TLS as the client came: {text}");
}

/// What a Secret for TLS towards endpoints holds, and the certificate of an endpoint that its authority issued.
struct Issued {
    authority: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Issued {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).expect("signed");
        Self { authority, issuer: rcgen::Issuer::new(params, key) }
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, rcgen::KeyPair) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
        (params.signed_by(&key, &self.issuer).expect("signed"), key)
    }

    /// An endpoint that says by which version and for which name it was asked, to clients of this authority alone.
    async fn endpoint(&self) -> SocketAddr {
        let (certificate, key) = self.issue("pod.example");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.der().clone()).expect("a root");
        let known = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(known.build().expect("roots"))
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .expect("a certificate");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let (_, tls) = stream.get_ref();
                    let told = format!("{:?} {:?}", tls.protocol_version().expect("agreed"), tls.server_name());
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{told}", told.len());
                    stream.write_all(answer.as_bytes()).await.expect("written");
                    let mut rest = Vec::new();
                    if stream.read_to_end(&mut rest).await.is_err() {
                        rest.clear();
                    }
                });
            }
        });
        address
    }
}

/// Ingress: 52
#[tokio::test]
async fn annotations_say_whom_to_believe_and_what_to_show_and_fail_closed() {
    let (ours, other) = (Issued::new(), Issued::new());
    let address = ours.endpoint().await;
    let secrets = |snapshot: &mut Snapshot, name: &str, own: &Issued, authority: &[u8]| {
        let (certificate, key) = own.issue("gate.example");
        let tls =
            TlsSecret { certificate: certificate.pem().into_bytes(), private_key: key.serialize_pem().into_bytes() };
        let key = Named::new("n", name);
        snapshot.secrets.insert(key.clone(), Arc::new(tls));
        snapshot.user_lists.insert(key, Arc::new(UserList([("ca.crt".to_owned(), authority.to_vec())].into())));
    };
    for (annotations, wanted, said) in [
        (json!({"secret": "up", "verify": "on", "name": "pod.example"}), 200, r#"TLSv1_3 Some("pod.example")"#),
        (json!({"secret": "n/up", "verify": "off"}), 200, r#"TLSv1_3 Some("web.n.svc")"#),
        (json!({"secret": "up", "server-name": "off"}), 200, "TLSv1_3 None"),
        (json!({"secret": "up", "protocols": "TLSv1.1 TLSv1.2"}), 200, r#"TLSv1_2 Some("web.n.svc")"#),
        (json!({"secret": "up", "verify": "on", "name": "other.example"}), 502, ""),
        (json!({"secret": "up", "verify": "on"}), 502, ""),
        (json!({"secret": "stranger", "verify": "on", "name": "pod.example"}), 502, ""),
        (json!({}), 502, ""),
        (json!({"secret": "absent"}), 503, "proxy-ssl-secret"),
        (json!({"secret": "empty", "verify": "on"}), 503, "ca.crt"),
        (json!({"verify": "on"}), 503, "proxy-ssl-verify"),
        (json!({"secret": "m/up"}), 503, "proxy-ssl-secret"),
        (json!({"name": "-"}), 503, "no name"),
    ] {
        let mut all = json!({"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"});
        for (name, value) in annotations.as_object().expect("an object") {
            all[format!("nginx.ingress.kubernetes.io/proxy-ssl-{name}")] = value.clone();
        }
        let mut snapshot = annotated("HTTPS", &[address]);
        let object = json!({
            "metadata": {"namespace": "n", "name": "i", "creationTimestamp": "1", "annotations": all},
            "spec": {"ingressClassName": "fedgate", "rules": [{"http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}},
            ]}}]},
        });
        snapshot.ingresses = vec![Arc::new(IngressObject::read(&object))];
        secrets(&mut snapshot, "up", &ours, ours.authority.pem().as_bytes());
        secrets(&mut snapshot, "stranger", &ours, other.authority.pem().as_bytes());
        secrets(&mut snapshot, "empty", &ours, b"");
        let gate = Gate::start(&snapshot, |_| ());
        let answer = gate.get("/").await;
        assert_eq!(answer.status, wanted, "{annotations}: {answer:?} {:?}", gate.routes.load().problems());
        match wanted {
            200 => assert_eq!(answer.body, said, "{annotations}"),
            503 => {
                let table = gate.routes.load();
                assert!(table.problems().iter().any(|p| p.message.contains(said)), "{:?}", table.problems());
            }
            _ => {}
        }
    }
}
