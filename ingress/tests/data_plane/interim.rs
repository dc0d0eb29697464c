//! Interim answers, bodies that are asked for, bodies that come drop by drop.

use ingress::metrics::Count;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{Gate, PATIENCE, Upstream, ask, read_head, scripted, snapshot};
use crate::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Raw, SETTINGS, field, request};
use crate::wires::speaking;

const EXPECT: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

/// Ingress: 56
#[tokio::test]
async fn a_body_is_asked_for_once_an_endpoint_waits_for_it() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    for _ in 0..2 {
        stream.write_all(EXPECT.as_bytes()).await.expect("written");
        assert_eq!(read_head(&mut stream).await, "HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"hello").await.expect("written");
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        stream.read_exact(&mut body).await.expect("a body");
        let seen: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(seen["length"], 5);
        assert!(seen["headers"].get("expect").is_none(), "it is a matter of one hop");
    }
}

/// Ingress: 16, 56
#[tokio::test]
async fn what_is_refused_never_asks_for_the_body_and_closes() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let dead = free.local_addr().expect("bound");
    drop(free);
    let gate = Gate::start(&snapshot(&[dead]), |config| config.limits.body_bytes = Some(100));
    let large = EXPECT.replace("Length: 5", "Length: 101");
    let unknown = EXPECT.replace("100-continue", "a-miracle");
    let nowhere = EXPECT.replace("Host: h", "Host: only.example");
    for (request, wanted) in [(EXPECT, 502), (&large, 413), (&unknown, 417), (&nowhere, 404)] {
        // The smuggled request would be answered if the connection went on.
        let text = crate::fixture::exchange(gate.http, request.as_bytes()).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {wanted}")), "{text}");
        assert_eq!(text.matches("HTTP/1.1").count(), 1, "{text}");
    }
}

/// Ingress: 57
#[tokio::test]
async fn interim_answers_of_an_endpoint_are_never_the_final_one() {
    let address = scripted(|mut stream, head, _| async move {
        let interim = match head.split(' ').nth(1) {
            Some("/hints") => {
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n"
            }
            Some("/continue") => "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
            Some("/switch") => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            _ => "",
        };
        let answer = format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        stream.write_all(answer.as_bytes()).await.expect("written");
    })
    .await;
    let gate = Gate::to(&[address]);
    for (path, wanted) in [("/hints", 200), ("/continue", 200), ("/", 200), ("/switch", 502)] {
        let answer = gate.get(path).await;
        assert_eq!(answer.status, wanted, "{path}: {answer:?}");
        assert!(!answer.head.contains("link") && (wanted != 200 || answer.body == "ok"), "{answer:?}");
    }
    assert_eq!(gate.running.metrics.get(Count::Tunnel), 0);
}

/// Ingress: 57
#[tokio::test]
async fn interim_answers_over_http2_are_passed_over_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut raw = Raw::serve(stream).await;
            while let Some(head) = raw.until(HEADERS).await {
                let hints = [field(":status", "103"), field("link", "</a>")].concat();
                raw.send(HEADERS, END_HEADERS, head.stream, &hints).await;
                raw.send(HEADERS, END_HEADERS, head.stream, &hints).await;
                raw.send(HEADERS, END_HEADERS, head.stream, &field(":status", "200")).await;
                raw.send(DATA, END_STREAM, head.stream, b"ok").await;
            }
        }
    });
    let gate = Gate::start(&speaking("h2c", &[address]), |_| ());
    let answer = ask(gate.http, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains("ok") && !answer.head.contains("link"), "{answer:?}");
}

/// Ingress: 58
#[tokio::test]
async fn every_piece_of_an_answer_passes_at_once() {
    // The endpoint sends a piece only after the client has got the one before.
    let (go, gone) = tokio::sync::mpsc::channel::<()>(1);
    let gone = std::sync::Arc::new(tokio::sync::Mutex::new(gone));
    let address = scripted(move |mut stream, _, _| {
        let gone = gone.clone();
        async move {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await.expect("written");
            for _ in 0..20 {
                stream.write_all(b"1\r\nx\r\n").await.expect("written");
                gone.lock().await.recv().await.expect("go on");
            }
            stream.write_all(b"0\r\n\r\n").await.expect("written");
        }
    })
    .await;
    let gate = Gate::to(&[address]);
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));
    for _ in 0..20 {
        let mut piece = [0; 6];
        let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut piece)).await.expect("it is held back");
        assert_eq!((read.expect("a piece"), &piece), (6, b"1\r\nx\r\n"));
        go.send(()).await.expect("told");
    }
    let mut raw = Raw::connect(gate.http).await;
    raw.until(SETTINGS).await.expect("settings");
    assert!(raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &request("GET")).await);
    for _ in 0..20 {
        assert_eq!(raw.until(DATA).await.expect("it is held back").payload, b"x");
        go.send(()).await.expect("told");
    }
}
