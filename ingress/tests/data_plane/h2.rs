//! HTTP/2 towards clients: prior knowledge, drain, floods.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ingress::metrics::Count;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::fixture::{Answer, Gate, PATIENCE, Upstream, exchange};
use crate::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, Raw, SETTINGS,
    WINDOW_UPDATE, field, frame, request,
};

async fn h2c(gate: &Gate) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(gate.http).await.expect("connect");
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
    tokio::spawn(connection);
    sender
}

async fn still_serves(gate: &Gate) {
    assert_eq!(gate.get("/").await.status, 200, "others are unaffected");
}

/// Ingress: 51
#[tokio::test]
async fn the_plain_port_serves_both_protocols_and_tells_tls_clients_that_it_is_the_wrong_one() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let mut sender = h2c(&gate).await;
    let post = Request::post("http://web.example/x").body(Full::from("hello")).expect("a request");
    let answer = sender.send_request(post).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    let seen: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((seen["length"].as_u64(), seen["headers"]["host"].as_str()), (Some(5), Some("web.example")));
    assert_eq!(seen["headers"]["x-forwarded-proto"], "http");

    let hello = [&[22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &[7; 193]].concat();
    let answer = Answer::parse(&exchange(gate.http, &hello).await);
    assert_eq!((answer.status, answer.body.as_str()), (400, "400 TLS on a port that serves plain HTTP\n"));
    assert_eq!(gate.running.metrics.get(Count::Refused), 1);
}

#[tokio::test]
async fn first_bytes_may_come_one_by_one() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    for text in ["POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "P", "PRI * HTTP"] {
        let mut stream = TcpStream::connect(gate.http).await.expect("connect");
        stream.set_nodelay(true).expect("a socket");
        for byte in text.bytes() {
            stream.write_all(&[byte]).await.expect("written");
            tokio::task::yield_now().await;
        }
        if text.len() < 20 {
            stream.shutdown().await.expect("half closed");
        }
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.expect("an end");
        assert_eq!(answer.starts_with("HTTP/1.1 200"), text.len() > 20, "{text:?}: {answer}");
    }
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    stream.set_nodelay(true).expect("a socket");
    for byte in [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat() {
        stream.write_all(&[byte]).await.expect("written");
        tokio::task::yield_now().await;
    }
    let mut raw = Raw(stream);
    assert!(raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &request("GET")).await);
    assert_eq!(raw.until(HEADERS).await.expect("an answer").stream, 1);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_let_go() {
    let gate = Gate::start(&crate::fixture::snapshot(&[]), |config| {
        config.timeouts.head = Duration::from_millis(100);
    });
    assert_eq!(exchange(gate.http, b"PRI").await, "");
    let gate = Gate::to(&[]);
    let mut silent = TcpStream::connect(gate.http).await.expect("connect");
    while gate.running.metrics.open_connections() == 0 {
        tokio::task::yield_now().await;
    }
    gate.shutdown.cancel();
    let read = tokio::io::AsyncReadExt::read_u8(&mut silent);
    assert!(tokio::time::timeout(PATIENCE, read).await.expect("an end in time").is_err(), "drain waits for nobody");
}

/// Ingress: 71
#[tokio::test]
async fn drain_says_goaway_twice_and_finishes_open_streams() {
    let (release, held) = tokio::sync::oneshot::channel::<()>();
    let held = std::sync::Mutex::new(Some(held));
    let address = crate::fixture::scripted(move |mut stream, _, _| {
        let held = held.lock().expect("no panic").take();
        async move {
            if let Some(held) = held {
                held.await.expect("released");
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("written");
        }
    })
    .await;
    let gate = Gate::to(&[address]);
    let mut raw = Raw::connect(gate.http).await;
    raw.until(SETTINGS).await.expect("settings");
    assert!(raw.send(SETTINGS, ACK, 0, &[]).await);
    assert!(raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &request("GET")).await);
    assert!(raw.send(PING, 0, 0, &[1; 8]).await);
    raw.until(PING).await.expect("the request has been taken");
    gate.shutdown.cancel();
    let first = raw.until(GOAWAY).await.expect("a first GOAWAY");
    assert_eq!(first.payload[..4], 0x7fff_ffffu32.to_be_bytes(), "it takes nothing back that is on its way");
    let ping = raw.until(PING).await.expect("a round trip is measured");
    assert!(raw.send(PING, ACK, 0, &ping.payload).await);
    let second = raw.until(GOAWAY).await.expect("a second GOAWAY");
    assert_eq!(second.payload[..4], 1u32.to_be_bytes());
    release.send(()).expect("still waiting");
    assert_eq!(raw.until(DATA).await.expect("the answer").payload, b"ok");
    assert!(raw.end(PATIENCE).await.is_some(), "then it closes");
}

/// Sends `frames` until the connection is closed; panics if it never is.
async fn flood(gate: &Gate, what: &str, opening: &[u8], mut round: impl FnMut(u32) -> Vec<u8>, rounds: u32) {
    let mut raw = Raw::connect(gate.http).await;
    raw.until(SETTINGS).await.expect("settings");
    assert!(raw.send(SETTINGS, ACK, 0, &[]).await && raw.write(opening).await);
    for number in 0..rounds {
        if !raw.write(&round(number)).await {
            return;
        }
    }
    let end = tokio::time::timeout(PATIENCE, raw.end(PATIENCE)).await.ok().flatten();
    assert!(end.is_some(), "{what}: the connection is still open");
}

/// Ingress: 70
#[tokio::test]
async fn floods_that_cost_us_more_than_the_client_end_their_connection() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let get = request("GET");
    let rapid = |n: u32| {
        let stream = 2 * n + 1;
        [frame(HEADERS, END_STREAM | END_HEADERS, stream, &get), frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())]
            .concat()
    };
    flood(&gate, "rapid reset", &[], rapid, 20_000).await;
    // The server is made to reset: a window update of zero is an error of the stream.
    let made = |n: u32| {
        let stream = 2 * n + 1;
        [frame(HEADERS, END_HEADERS, stream, &request("POST")), frame(WINDOW_UPDATE, 0, stream, &0u32.to_be_bytes())]
            .concat()
    };
    flood(&gate, "made you reset", &[], made, 20_000).await;
    let open = frame(HEADERS, END_STREAM, 1, &get);
    let more: Vec<u8> = (0..100).flat_map(|_| field("x", &"y".repeat(100))).collect();
    flood(&gate, "continuation", &open, |_| frame(CONTINUATION, 0, 1, &more), 20_000).await;
    flood(&gate, "empty continuation", &open, |_| frame(CONTINUATION, 0, 1, &[]).repeat(100), 20_000).await;
    still_serves(&gate).await;
}
