//! TLS handshakes that are odd, old, slow or cut to pieces.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::fixture::{Gate, PATIENCE, snapshot};
use crate::secure::connect;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// A client that trusts nobody.
fn config(alpn: &[&str]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn name() -> ServerName<'static> {
    ServerName::try_from("web.example").expect("a name")
}

/// A hello as a client of today sends it.
fn hello(alpn: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    ClientConnection::new(config(alpn), name()).expect("a connection").write_tls(&mut bytes).expect("written");
    bytes
}

/// The type of the record that answers, and its second byte: what an alert says.
async fn answer(gate: &Gate, bytes: &[u8]) -> (u8, u8) {
    let mut stream = TcpStream::connect(gate.https).await.expect("connect");
    stream.write_all(bytes).await.expect("written");
    let mut record = [0; 7];
    let read = stream.read_exact(&mut record);
    tokio::time::timeout(PATIENCE, read).await.expect("in time").expect("a record");
    (record[0], record[6])
}

/// Ingress: 51
#[tokio::test]
async fn the_protocol_is_agreed_on_or_the_handshake_fails() {
    let gate = Gate::to(&[]);
    for (offered, agreed) in [
        (&[][..], None),
        (&["http/1.1"], Some("http/1.1")),
        (&["h2"], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["spdy/3", "http/1.1"], Some("http/1.1")),
    ] {
        let (stream, _) = connect(&gate, "web.example", offered).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes), "{offered:?}");
    }
    let stream = TcpStream::connect(gate.https).await.expect("connect");
    let refused = TlsConnector::from(config(&["spdy/3"])).connect(name(), stream).await.expect_err("nothing in common");
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
}

/// Ingress: 51
#[tokio::test]
async fn versions_before_1_2_are_refused() {
    let gate = Gate::to(&[]);
    for version in [0u8, 1, 2] {
        // Random, no session, one cipher suite, no compression, no extensions.
        let body = [&[3, version][..], &[7; 32], &[0], &[0, 2, 0xc0, 0x13], &[1, 0]].concat();
        let length = u8::try_from(body.len()).expect("short");
        let record = [&[HANDSHAKE, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat();
        let (kind, said) = answer(&gate, &record).await;
        // handshake_failure or protocol_version
        assert!(kind == ALERT && [40, 70].contains(&said), "3.{version}: {kind} {said}");
    }
}

/// Ingress: 51
#[tokio::test]
async fn hellos_in_pieces_are_taken_and_slow_ones_are_not_waited_for() {
    let gate = Gate::start(&snapshot(&[]), |config| config.timeouts.handshake = Duration::from_millis(300));
    let hello = hello(&["h2"]);
    let mut stream = TcpStream::connect(gate.https).await.expect("connect");
    stream.set_nodelay(true).expect("a socket");
    for byte in &hello {
        stream.write_all(&[*byte]).await.expect("written");
        tokio::task::yield_now().await;
    }
    assert_eq!(stream.read_u8().await.expect("a record"), HANDSHAKE);
    for part in [&hello[..0], &hello[..50]] {
        let mut stream = TcpStream::connect(gate.https).await.expect("connect");
        stream.write_all(part).await.expect("written");
        let mut rest = Vec::new();
        let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("closed in time");
        assert!(end.is_err() || rest.is_empty(), "{rest:?}");
    }
}
