//! Handshakes with endpoints that show this or that certificate.

use std::net::SocketAddr;
use std::sync::Arc;

use federation_types::ClusterName;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::Link;
use crate::config::Timeouts;
use crate::proxy::upstream::{ConnectError, Target};
use crate::route::{Endpoint, EndpointKey, UpstreamProtocol, UpstreamTls, Verify, WireSpec, Wires};

struct Authority {
    pem: Vec<u8>,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("signed");
    Authority { pem: certificate.pem().into_bytes(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
}

impl Authority {
    fn issue(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![purpose];
        (params.signed_by(&key, &self.issuer).expect("signed"), key)
    }
}

/// An endpoint named `pod.example` that insists on a certificate of the same authority.
async fn endpoint(authority: &Authority, alpn: &[u8]) -> SocketAddr {
    let (certificate, key) = authority.issue("pod.example", ExtendedKeyUsagePurpose::ServerAuth);
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).expect("a root");
    let known = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().expect("roots");
    let mut config = ServerConfig::builder_with_provider(provider)
        // With TLS 1.3 a client learns too late that its certificate was refused.
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("a version")
        .with_client_cert_verifier(known)
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .expect("a certificate");
    config.alpn_protocols = vec![alpn.to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move { acceptor.accept(stream).await.map(|_| ()) });
        }
    });
    address
}

async fn connect(address: SocketAddr, spec: &WireSpec) -> Result<(), ConnectError> {
    let wire = Wires::following(None).wire(spec, None).expect("a sound spec");
    let key = EndpointKey { cluster: ClusterName::new("east").expect("a label"), address, pod: None };
    let endpoint = Endpoint::new(1, key, None);
    Link::connect(Target { endpoint: &endpoint, wire: &wire, ends: None }, &Timeouts::default()).await.map(|_| ())
}

/// Ingress: 52
#[tokio::test]
async fn an_endpoint_must_be_who_it_should_and_learns_who_we_are() {
    let (ours, other) = (authority(), authority());
    let address = endpoint(&ours, b"http/1.1").await;
    let (certificate, key) = ours.issue("gate.example", ExtendedKeyUsagePurpose::ClientAuth);
    let own = Some(Arc::new((certificate.pem().into_bytes(), key.serialize_pem().into_bytes())));
    let (stranger, stranger_key) = other.issue("gate.example", ExtendedKeyUsagePurpose::ClientAuth);
    let strange = Some(Arc::new((stranger.pem().into_bytes(), stranger_key.serialize_pem().into_bytes())));
    let trust = Verify::Authorities(ours.pem.clone().into());
    let any_name = Verify::AuthoritiesAnyName(ours.pem.clone().into());
    for (name, verify, own, wanted) in [
        ("pod.example", trust.clone(), own.clone(), true),
        ("other.example", trust.clone(), own.clone(), false),
        ("other.example", any_name, own.clone(), true),
        ("pod.example", Verify::Authorities(other.pem.clone().into()), own.clone(), false),
        ("pod.example", Verify::AuthoritiesAnyName(other.pem.clone().into()), own.clone(), false),
        ("other.example", Verify::Nothing, own, true),
        ("pod.example", trust.clone(), None, false),
        ("pod.example", trust, strange, false),
    ] {
        let tls = UpstreamTls { verify, own, ..UpstreamTls::unverified(name) };
        let spec = WireSpec { tls: Some(tls), ..WireSpec::default() };
        let result = connect(address, &spec).await;
        assert_eq!(result.is_ok(), wanted, "{spec:?}: {result:?}");
        assert!(wanted || matches!(result, Err(ConnectError::Tls(_))), "{result:?}");
    }
}

#[tokio::test]
async fn http2_over_tls_needs_the_endpoints_consent() {
    let ours = authority();
    let (certificate, key) = ours.issue("gate.example", ExtendedKeyUsagePurpose::ClientAuth);
    let own = Some(Arc::new((certificate.pem().into_bytes(), key.serialize_pem().into_bytes())));
    let tls = UpstreamTls { own, ..UpstreamTls::unverified("pod.example") };
    let spec = WireSpec { protocol: UpstreamProtocol::H2, tls: Some(tls), announce: None };
    assert!(connect(endpoint(&ours, b"h2").await, &spec).await.is_ok());
    let result = connect(endpoint(&ours, b"http/1.1").await, &spec).await;
    assert!(matches!(result, Err(ConnectError::NotHttp2 | ConnectError::Tls(_))), "{result:?}");
}
