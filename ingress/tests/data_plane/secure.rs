//! TLS: certificates by SNI, HTTP/2, a change of certificate under open connections.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ingress::build;
use ingress::snapshot::{IngressObject, Named, TlsSecret};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::fixture::{Answer, Gate, Upstream, options, snapshot};

/// Accepts every certificate and keeps the last one.
#[derive(Debug, Default)]
struct Seen(Mutex<Vec<u8>>);

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().expect("no panic") = end_entity.to_vec();
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
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

pub async fn connect(gate: &Gate, name: &str, alpn: &[&str]) -> (TlsStream<TcpStream>, Vec<u8>) {
    let seen = Arc::new(Seen::default());
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(gate.https).await.expect("connect");
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("a handshake");
    let certificate = seen.0.lock().expect("no panic").clone();
    (stream, certificate)
}

fn secret() -> (Arc<TlsSecret>, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["x".to_owned()]).expect("a certificate");
    let secret = TlsSecret {
        certificate: made.cert.pem().into_bytes(),
        private_key: made.signing_key.serialize_pem().into_bytes(),
    };
    (Arc::new(secret), made.cert.der().to_vec())
}

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
