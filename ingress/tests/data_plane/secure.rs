//! TLS: certificates by SNI, HTTP/2, a change of certificate under open connections.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ingress::snapshot::{IngressObject, Named, TlsSecret};
use ingress::{BuildOptions, Snapshot, build};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::fixture::{Answer, Gate, Upstream, options, snapshot};

/// Accepts every certificate that it has schemes for and keeps the last one.
#[derive(Debug)]
pub struct Seen {
    certificate: Mutex<Vec<u8>>,
    schemes: Vec<SignatureScheme>,
}

impl Seen {
    pub fn all() -> Self {
        Self { certificate: Mutex::default(), schemes: all_schemes() }
    }
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.certificate.lock().expect("no panic") = end_entity.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

pub async fn connect(gate: &Gate, name: &str, alpn: &[&str]) -> (TlsStream<TcpStream>, Vec<u8>) {
    let tcp = TcpStream::connect(gate.https).await.expect("connect");
    handshake(tcp, name, alpn, all_schemes()).await
}

/// Connects, sends `header`, and only then begins the handshake.
pub async fn connect_after(gate: &Gate, header: &[u8], name: &str) -> (TlsStream<TcpStream>, Vec<u8>) {
    let mut tcp = TcpStream::connect(gate.https).await.expect("connect");
    tcp.write_all(header).await.expect("written");
    handshake(tcp, name, &[], all_schemes()).await
}

fn all_schemes() -> Vec<SignatureScheme> {
    rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
}

async fn connect_with(
    gate: &Gate,
    name: &str,
    alpn: &[&str],
    schemes: Vec<SignatureScheme>,
) -> (TlsStream<TcpStream>, Vec<u8>) {
    let tcp = TcpStream::connect(gate.https).await.expect("connect");
    handshake(tcp, name, alpn, schemes).await
}

async fn handshake(
    tcp: TcpStream,
    name: &str,
    alpn: &[&str],
    schemes: Vec<SignatureScheme>,
) -> (TlsStream<TcpStream>, Vec<u8>) {
    let seen = Arc::new(Seen { certificate: Mutex::default(), schemes });
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("a handshake");
    let certificate = seen.certificate.lock().expect("no panic").clone();
    (stream, certificate)
}

pub fn secret() -> (Arc<TlsSecret>, Vec<u8>) {
    secret_of(&rcgen::PKCS_ECDSA_P256_SHA256)
}

fn secret_of(kind: &'static rcgen::SignatureAlgorithm) -> (Arc<TlsSecret>, Vec<u8>) {
    let key = rcgen::KeyPair::generate_for(kind).expect("a key");
    let made = rcgen::CertificateParams::new(["x".to_owned()]).expect("a name").self_signed(&key);
    let made = made.expect("a certificate");
    let secret = TlsSecret { certificate: made.pem().into_bytes(), private_key: key.serialize_pem().into_bytes() };
    (Arc::new(secret), made.der().to_vec())
}

/// Routes everything to `up`, with these blocks of `spec.tls` and Secrets.
pub fn secured(up: &Upstream, tls: &serde_json::Value, secrets: &[(&str, &Arc<TlsSecret>)]) -> Snapshot {
    let mut snapshot = snapshot(&[up.address]);
    let tls =
        json!({"metadata": {"namespace": "n", "name": "tls"}, "spec": {"ingressClassName": "fedgate", "tls": tls}});
    snapshot.ingresses.push(Arc::new(IngressObject::read(&tls)));
    let named = secrets.iter().map(|(name, secret)| (Named::new("n", name), Arc::clone(secret)));
    snapshot.secrets.extend(named);
    snapshot
}

/// Ingress: 47, 50, 31
#[tokio::test]
async fn certificates_follow_the_server_name_and_change_without_a_lost_connection() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let (first, first_der) = secret();
    let (second, second_der) = secret();
    let swap = |secret: Arc<TlsSecret>| {
        let mut snapshot = snapshot(&[up.address]);
        let tls = json!({
            "metadata": {"namespace": "n", "name": "tls"},
            "spec": {"ingressClassName": "fedgate", "tls": [{"hosts": ["web.example", "*.wild.example"], "secretName": "s"}]},
        });
        snapshot.ingresses.push(Arc::new(IngressObject::read(&tls)));
        snapshot.secrets.insert(Named::new("n", "s"), secret);
        let before = gate.routes.load_full();
        gate.routes.store(Arc::new(build(&snapshot, Some(&before), &options())));
    };
    swap(first);
    let (mut kept, der) = connect(&gate, "web.example", &["http/1.1"]).await;
    assert_eq!(der, first_der);
    assert_eq!(connect(&gate, "a.wild.example", &[]).await.1, first_der);
    let default = connect(&gate, "other.example", &[]).await.1;
    assert!(default != first_der && !default.is_empty());
    swap(second);
    assert_eq!(connect(&gate, "web.example", &[]).await.1, second_der);
    kept.write_all(b"GET / HTTP/1.1\r\nHost: web.example\r\nConnection: close\r\n\r\n").await.expect("written");
    let mut text = String::new();
    kept.read_to_string(&mut text).await.expect("an answer");
    let answer = Answer::parse(&text);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["headers"]["x-forwarded-proto"], "https");
}

/// Ingress: 24, 28
#[tokio::test]
async fn http2_requests_become_http1_requests_with_a_host() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let (stream, _) = connect(&gate, "web.example", &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
    tokio::spawn(connection);
    let requests = (0..20).map(|number| {
        let request = Request::get(format!("https://web.example/{number}?q"))
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("te", "trailers")
            .body(Empty::<Bytes>::new())
            .expect("a request");
        sender.send_request(request)
    });
    for (number, answer) in requests.collect::<Vec<_>>().into_iter().enumerate() {
        let answer = answer.await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        let seen: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(seen["target"], format!("/{number}?q"));
        assert_eq!(seen["headers"]["host"], "web.example");
        assert_eq!(seen["headers"]["cookie"], "a=1; b=2");
        assert_eq!(seen["headers"]["te"], "trailers");
    }
}

/// Ingress: 47, 50
#[tokio::test]
async fn a_client_gets_the_certificate_that_it_can_verify() {
    let up = Upstream::start("one").await;
    let (first, first_der) = secret();
    let (second, second_der) = secret_of(&rcgen::PKCS_ED25519);
    let tls = json!([{"hosts": ["web.example"], "secretName": "a"}, {"hosts": ["web.example"], "secretName": "b"}]);
    let gate = Gate::start(&secured(&up, &tls, &[("a", &first), ("b", &second)]), |_| ());
    assert!(gate.routes.load().problems().iter().all(|problem| !problem.message.contains("spec.tls")));
    for (schemes, wanted) in [
        (vec![SignatureScheme::ECDSA_NISTP256_SHA256], &first_der),
        (vec![SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256], &first_der),
    ] {
        assert_eq!(&connect_with(&gate, "web.example", &[], schemes).await.1, wanted);
    }
    // The first cannot be verified by this client.
    assert_eq!(connect_with(&gate, "web.example", &[], vec![SignatureScheme::ED25519]).await.1, second_der);
}

/// Ingress: 47
#[tokio::test]
async fn the_default_certificate_is_a_secret_if_one_is_configured() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let made = connect(&gate, "other.example", &[]).await.1;
    let (default, der) = secret();
    let mut snapshot = secured(&up, &json!([]), &[]);
    snapshot.secrets.insert(Named::new("m", "default"), default);
    let options = BuildOptions { default_certificate: Some(Named::new("m", "default")), ..options() };
    let swap = |snapshot: &Snapshot| {
        let before = gate.routes.load_full();
        gate.routes.store(Arc::new(build(snapshot, Some(&before), &options)));
    };
    swap(&snapshot);
    for name in ["other.example", "web.example", "127.0.0.1"] {
        assert_eq!(connect(&gate, name, &[]).await.1, der, "{name}");
    }
    assert!(made != der && gate.routes.load().default_certificate_fault().is_none());
    let bad = TlsSecret { certificate: b"x".to_vec(), private_key: Vec::new() };
    snapshot.secrets.insert(Named::new("m", "default"), Arc::new(bad));
    swap(&snapshot);
    assert_eq!(connect(&gate, "other.example", &[]).await.1, der, "the last good one stays");
    assert!(gate.routes.load().default_certificate_fault().is_some_and(|fault| fault.contains("m/default")));
}

/// Ingress: 48
#[tokio::test]
async fn a_request_for_a_host_with_another_certificate_is_misdirected() {
    let up = Upstream::start("one").await;
    let ((one, _), (two, _)) = (secret(), secret());
    let tls =
        json!([{"hosts": ["a.example", "c.example"], "secretName": "a"}, {"hosts": ["b.example"], "secretName": "b"}]);
    let gate = Gate::start(&secured(&up, &tls, &[("a", &one), ("b", &two)]), |_| ());
    // One connection: a 421 is about its request alone.
    let (mut stream, _) = connect(&gate, "a.example", &["http/1.1"]).await;
    for (host, wanted) in [
        ("a.example", "200"),
        ("b.example", "421"),
        ("c.example", "200"),
        ("A.EXAMPLE:443", "200"),
        ("plain.example", "200"),
    ] {
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.expect("written");
        let mut answer = vec![0; 8192];
        let length = stream.read(&mut answer).await.expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert_eq!(answer.get(9..12), Some(wanted), "{host}: {answer}");
    }
    let (stream, _) = connect(&gate, "a.example", &["h2"]).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
    tokio::spawn(connection);
    for (host, wanted) in [("a.example", 200), ("b.example", 421), ("c.example", 200)] {
        let request = Request::get(format!("https://{host}/")).body(Empty::<Bytes>::new()).expect("a request");
        assert_eq!(sender.send_request(request).await.expect("an answer").status(), wanted, "{host}");
    }
}

/// Ingress: 47
#[tokio::test]
async fn the_certificate_of_hosts_without_one_says_what_it_is() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let der = connect(&gate, "other.example", &[]).await.1;
    let shown = String::from_utf8_lossy(&der);
    assert!(shown.contains("fedgate Ingress Fake Certificate") && shown.contains("fedgate.invalid"), "{shown}");
    let missing = secured(&up, &json!([{"hosts": ["a.example"], "secretName": "none"}]), &[]);
    let gate = Gate::start(&missing, |_| ());
    let table = gate.routes.load();
    let told =
        table.problems().iter().any(|it| it.message.contains("no Secret n/none") && it.message.contains("default"));
    assert!(told, "{:?}", table.problems());
}
