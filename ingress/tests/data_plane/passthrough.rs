//! TLS that is ended by endpoints, found by server name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ingress::snapshot::IngressObject;
use ingress::{Snapshot, build};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{Gate, PATIENCE, Upstream, exchange, options, snapshot};
use crate::secure::connect;

/// The hosts `pass.example` and `*.pass.example` pass through, `own.pass.example` is ended here.
fn passing(endpoints: &[SocketAddr]) -> Snapshot {
    let mut snapshot = snapshot(endpoints);
    let ingress = |name: &str, created: &str, passthrough: &str, hosts: &[&str]| {
        let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
        let rule = |host: &&str| json!({"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}});
        Arc::new(IngressObject::read(&json!({
            "metadata": {"namespace": "n", "name": name, "creationTimestamp": created, "annotations": {
                "nginx.ingress.kubernetes.io/ssl-passthrough": passthrough,
            }},
            "spec": {"ingressClassName": "fedgate", "rules": hosts.iter().map(rule).collect::<Vec<_>>()},
        })))
    };
    snapshot.ingresses.push(ingress("ends", "2", "false", &["own.pass.example", "taken.example"]));
    snapshot.ingresses.push(ingress("passes", "3", "true", &["pass.example", "*.pass.example", "taken.example"]));
    snapshot
}

/// An endpoint with TLS of its own, which says by which certificate and for which name.
async fn endpoint() -> (SocketAddr, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["x".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("a certificate");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let name = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
                stream.write_all(name.as_bytes()).await.expect("written");
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() && stream.write_all(&byte).await.is_ok() {}
            });
        }
    });
    (address, made.cert.der().to_vec())
}

#[tokio::test]
async fn the_server_name_decides_whose_handshake_it_is() {
    let (address, der) = endpoint().await;
    let gate = Gate::start(&passing(&[address]), |_| ());
    for name in ["pass.example", "PASS.example", "a.pass.example"] {
        let (mut stream, seen) = connect(&gate, name, &[]).await;
        assert_eq!(seen, der, "{name}");
        let mut told = vec![0; name.len()];
        stream.read_exact(&mut told).await.expect("the name");
        assert!(told.eq_ignore_ascii_case(name.as_bytes()));
        for byte in b"bytes both ways" {
            stream.write_all(&[*byte]).await.expect("written");
            assert_eq!(stream.read_u8().await.expect("an echo"), *byte);
        }
    }
    for name in ["own.pass.example", "taken.example", "a.b.pass.example", "other.example", "127.0.0.1"] {
        assert_ne!(connect(&gate, name, &[]).await.1, der, "{name} is ended here");
    }
    let table = gate.routes.load();
    let taken = |message: &str| message.contains("taken.example is served by an older Ingress");
    assert!(table.problems().iter().any(|problem| taken(&problem.message)), "{:?}", table.problems());
}

#[tokio::test]
async fn what_passes_through_is_not_served_over_another_connection() {
    let up = Upstream::start("one").await;
    let gate = Gate::start(&passing(&[up.address]), |_| ());
    for (name, host, wanted) in [
        ("other.example", "pass.example", "421"),
        ("own.pass.example", "a.pass.example", "421"),
        ("127.0.0.1", "pass.example", "421"),
        ("own.pass.example", "own.pass.example", "200"),
    ] {
        let (mut stream, _) = connect(&gate, name, &[]).await;
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        assert_eq!(text.get(9..12), Some(wanted), "{name} {host}: {text}");
    }
}

/// Ingress: 51
#[tokio::test]
async fn a_hello_may_come_in_pieces_but_not_for_ever() {
    let (address, _) = endpoint().await;
    let gate = Gate::start(&passing(&[address]), |config| config.timeouts.handshake = Duration::from_millis(300));
    let began = std::time::Instant::now();
    assert_eq!(exchange(gate.https, b"\x16\x03\x01\x02\x00\x01").await, "", "an unfinished hello, in time");
    assert!(began.elapsed() < PATIENCE);
    let endless = [&b"\x16\x03\x01\x00\x01\x01"[..]].concat().repeat(10_000);
    exchange(gate.https, &endless).await;
    // Cut by the network wherever it likes.
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("pass.example").expect("a name");
    let mut hello = Vec::new();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).expect("a connection");
    connection.write_tls(&mut hello).expect("written");
    let mut stream = TcpStream::connect(gate.https).await.expect("connect");
    stream.set_nodelay(true).expect("a socket");
    for byte in hello {
        stream.write_all(&[byte]).await.expect("written");
        tokio::task::yield_now().await;
    }
    assert_eq!(stream.read_u8().await.expect("the endpoint's hello"), 22);
}

#[tokio::test]
async fn another_endpoint_is_tried_and_none_closes() {
    let (address, der) = endpoint().await;
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let dead = free.local_addr().expect("bound");
    drop(free);
    let gate = Gate::start(&passing(&[dead, address]), |_| ());
    for _ in 0..3 {
        assert_eq!(connect(&gate, "pass.example", &[]).await.1, der);
    }
    let before = gate.routes.load_full();
    gate.routes.store(Arc::new(build(&passing(&[]), Some(&before), &options())));
    let hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00";
    assert_ne!(exchange(gate.https, hello).await, "", "an alert for what is no hello");
}
