//! The PROXY protocol over real sockets, from proxies before us and to endpoints behind us.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ingress::snapshot::ServiceObject;
use ingress::{IngressConfig, Listen, Snapshot};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::fixture::{Answer, Gate, PATIENCE, Upstream, exchange, snapshot};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
/// From 9.9.9.9:1 to 8.8.8.8:443, with an extension.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11\x09\x09\x09\x09\x08\x08\x08\x08\0\x01\x01\xbb\x01\0\x02h2";

fn announced(config: &mut IngressConfig) {
    let any = || vec![Listen::Announced(Box::new(Listen::Address("127.0.0.1:0".parse().expect("an address"))))];
    (config.http, config.https) = (any(), any());
    config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a range")];
    config.timeouts.handshake = Duration::from_millis(200);
}

async fn after(gate: &Gate, header: &[u8]) -> Answer {
    Answer::parse(&exchange(gate.http, &[header, GET.as_bytes()].concat()).await)
}

/// Ingress: 35
#[tokio::test]
async fn a_trusted_proxy_says_whose_connection_it_is() {
    let up = Upstream::start("one").await;
    let gate = Gate::start(&snapshot(&[up.address]), announced);
    for (header, address, port) in [
        (&b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 443\r\n"[..], "1.2.3.4", "443"),
        (b"PROXY TCP6 2001:db8::1 ::1 1000 80\r\n", "2001:db8::1", "80"),
        (V2, "9.9.9.9", "443"),
    ] {
        let answer = after(&gate, header).await;
        assert_eq!(answer.status, 200, "{header:?}");
        let seen = answer.json();
        assert_eq!(seen["headers"]["x-forwarded-for"], address);
        assert_eq!(seen["headers"]["x-real-ip"], address);
        assert_eq!(seen["headers"]["x-forwarded-port"], port);
    }
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let answer = after(&gate, header).await;
        assert_eq!(answer.json()["headers"]["x-forwarded-for"], "127.0.0.1", "it speaks for itself");
    }
    let seen = up.seen();
    for header in [
        &b""[..],
        b"PROXY TCP4 nonsense\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
    ] {
        assert_eq!(exchange(gate.http, &[header, GET.as_bytes()].concat()).await, "", "{header:?} closes");
    }
    assert_eq!(exchange(gate.http, b"PROXY TCP4 1.2.3.4").await, "", "an unfinished one, in time");
    assert_eq!(up.seen(), seen);
}

/// Ingress: 35
#[tokio::test]
async fn what_an_untrusted_peer_says_is_no_header() {
    let up = Upstream::start("one").await;
    let gate = Gate::start(&snapshot(&[up.address]), |config| {
        announced(config);
        config.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a range")];
    });
    assert_eq!(after(&gate, b"").await.json()["headers"]["x-forwarded-for"], "127.0.0.1");
    let answer = after(&gate, b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 443\r\n").await;
    assert!(answer.status == 400 || answer.head.is_empty(), "{answer:?}");
    assert_eq!(up.seen(), 1);
    let gate = Gate::start(&snapshot(&[up.address]), |config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a range")];
    });
    let answer = after(&gate, b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 443\r\n").await;
    assert!(answer.status == 400 || answer.head.is_empty(), "a listener without the option: {answer:?}");
    assert_eq!(up.seen(), 1);
}

#[tokio::test]
async fn the_header_comes_before_the_handshake() {
    let up = Upstream::start("one").await;
    let gate = Gate::start(&snapshot(&[up.address]), announced);
    let (mut stream, _) = crate::secure::connect_after(&gate, V2, "web.example").await;
    stream.write_all(GET.as_bytes()).await.expect("written");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    assert_eq!(Answer::parse(&text).json()["headers"]["x-forwarded-for"], "9.9.9.9");
}

fn told(version: &str, endpoint: SocketAddr) -> Snapshot {
    let mut snapshot = snapshot(&[endpoint]);
    let web = ServiceObject::read(&json!({
        "metadata": {"namespace": "n", "name": "web", "annotations": {"fedgate.dev/proxy-protocol": version}},
        "spec": {"ports": [{"port": 80}]},
    }));
    snapshot.services.insert(web.key.clone(), Arc::new(web));
    snapshot
}

#[tokio::test]
async fn an_endpoint_is_told_whose_connection_it_is_and_connections_are_not_shared() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") || head.len() < 60 {
                head.push(stream.read_u8().await.expect("more"));
            }
            sender.send(head).expect("recorded");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("written");
        }
    });
    for version in ["v1", "v2"] {
        let gate = Gate::start(&told(version, address), announced);
        for _ in 0..2 {
            let said = "PROXY TCP4 1.2.3.4 5.6.7.8 1000 443\r\n";
            assert_eq!(after(&gate, said.as_bytes()).await.status, 200);
            let head = tokio::time::timeout(PATIENCE, seen.recv()).await.expect("in time").expect("a head");
            let wanted = match version {
                "v1" => said.as_bytes(),
                _ => b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x03\xe8\x01\xbb",
            };
            assert!(head.starts_with(&[wanted, b"GET / "].concat()), "{}", String::from_utf8_lossy(&head));
        }
    }
    let gate = Gate::start(&told("v3", address), |_| ());
    let table = gate.routes.load();
    let told = |message: &str| message.contains("\"v3\", neither v1 nor v2");
    assert!(table.problems().iter().any(|problem| told(&problem.message)), "{:?}", table.problems());
}
