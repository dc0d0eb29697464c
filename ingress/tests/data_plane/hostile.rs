//! Requests that mean harm: smuggling, oversize, slowness, broken framing.

use std::time::{Duration, Instant};

use ingress::BodyRate;
use ingress::metrics::Count;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::{Gate, PATIENCE, Upstream, exchange, read_head, scripted, snapshot};

/// Ingress: 2, 3, 4, 8, 9, 12, 13
#[tokio::test]
async fn malformed_requests_are_refused_and_never_forwarded() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let post = "POST / HTTP/1.1\r\nHost: h\r\n";
    for request in [
        format!("{post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        format!("{post}Content-Length: +5\r\n\r\nhello"),
        format!("{post}Content-Length: -1\r\n\r\n"),
        format!("{post}Content-Length: 0x5\r\n\r\nhello"),
        format!("{post}Content-Length: 5_0\r\n\r\nhello"),
        format!("{post}Content-Length: \r\n\r\nhello"),
        format!("{post}Content-Length: 5, 6\r\n\r\nhello"),
        format!("{post}Content-Length: 99999999999999999999999\r\n\r\nhello"),
        format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        format!("{post} Folded: x\r\n\r\n"),
        format!("{post}X: a\r\n b\r\n\r\n"),
        format!("{post}X: a\0b\r\n\r\n"),
        format!("{post}X: a\rb\r\n\r\n"),
        format!("{post}: empty\r\n\r\n"),
        format!("{post}X: a\nY: b\r\n\r\n"),
        format!("{post}Content-Length: 5, 5\r\n\r\nhello"),
        format!("{post}Content-Length:  \r\n\r\nhello"),
        format!("{post}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}B@d: x\r\n\r\n"),
        "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        "GET / HTTP/1.1\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: a:0\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n".into(),
        "GET /../secret HTTP/1.1\r\nHost: h\r\n\r\n".into(),
        "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n".into(),
        "GET / HTTP/2.0\r\nHost: h\r\n\r\n".into(),
        "GET / HTTP/1.10\r\nHost: h\r\n\r\n".into(),
        "GET /\r\nHost: h\r\n\r\n".into(),
        "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n".into(),
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03".into(),
    ] {
        // The second request would be the smuggled one.
        let sent = format!("{request}GET /smuggled HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let text = exchange(gate.http, sent.as_bytes()).await;
        let status = text.get(9..12).unwrap_or("");
        assert!(text.is_empty() || ["400", "405", "501", "505"].contains(&status), "{request:?} got {text}");
    }
    assert_eq!(up.seen(), 0, "after a refusal nothing more is read");
}

/// Ingress: 1
#[tokio::test]
async fn length_and_chunking_together_cannot_desynchronise() {
    // Records every byte that the endpoint gets.
    let (sender, mut recorded) = tokio::sync::mpsc::unbounded_channel::<String>();
    let address = scripted(move |mut stream, head, _| {
        let sender = sender.clone();
        async move {
            let mut rest = vec![0; 4096];
            let length = stream.read(&mut rest).await.unwrap_or(0);
            sender.send(head + &String::from_utf8_lossy(&rest[..length])).expect("recorded");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("written");
        }
    })
    .await;
    let gate = Gate::to(&[address]);
    for fields in ["Content-Length: 4\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 4"]
    {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n1\r\nZ\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
        );
        let text = exchange(gate.http, request.as_bytes()).await;
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "the connection ends after it: {text}");
        if text.starts_with("HTTP/1.1 200") {
            let seen = recorded.recv().await.expect("a request").to_ascii_lowercase();
            assert!(!seen.contains("content-length") && seen.contains("transfer-encoding: chunked"), "{seen}");
            assert!(!seen.contains("smuggled"), "{seen}");
        }
    }
}

/// Ingress: 5, 6
#[tokio::test]
async fn broken_chunks_end_the_request_visibly() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    for body in [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "g\r\n",
        "-1\r\n",
        "5;a=\rb\r\nhello\r\n0\r\n\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let text = exchange(gate.http, request.as_bytes()).await;
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 400"), "{body:?} got {text}");
    }
    assert_eq!(up.seen(), 0, "no endpoint took a broken body for a whole one");
}

/// Ingress: 14
#[tokio::test]
async fn heads_that_are_too_big_are_refused() {
    let up = Upstream::start("one").await;
    let gate = Gate::start(&snapshot(&[up.address]), |config| config.limits.head_bytes = 16 * 1024);
    let many: String = (0..150).map(|n| format!("x-{n}: 1\r\n")).collect();
    for (request, wanted) in [
        (format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(20_000)), "431"),
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n"), "431"),
        (format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(20_000)), "4"),
        (format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", "a".repeat(300)), "400"),
    ] {
        let text = exchange(gate.http, request.as_bytes()).await;
        assert!(text.is_empty() || text.get(9..).is_some_and(|rest| rest.starts_with(wanted)), "{text}");
    }
    assert_eq!(up.seen(), 0);
    let endpoint = scripted(|mut stream, _, _| async move {
        let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(200_000));
        // The gate closes in the middle of it.
        drop(stream.write_all(head.as_bytes()).await);
    })
    .await;
    assert_eq!(Gate::to(&[endpoint]).get("/").await.status, 502);
}

/// Ingress: 14
#[tokio::test]
async fn bodies_over_the_limit_are_refused_also_in_chunks() {
    let up = Upstream::start("one").await;
    let gate = Gate::start(&snapshot(&[up.address]), |config| config.limits.body_bytes = Some(10));
    let close = "Host: h\r\nConnection: close\r\n";
    for (request, wanted) in [
        (format!("POST / HTTP/1.1\r\n{close}Content-Length: 10\r\n\r\n0123456789"), "200"),
        (format!("POST / HTTP/1.1\r\n{close}Content-Length: 11\r\n\r\n0123456789x"), "413"),
        (
            format!(
                "POST / HTTP/1.1\r\n{close}Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"
            ),
            "200",
        ),
        (
            format!(
                "POST / HTTP/1.1\r\n{close}Transfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n5\r\n56789\r\n0\r\n\r\n"
            ),
            "413",
        ),
    ] {
        let text = exchange(gate.http, request.as_bytes()).await;
        assert_eq!(text.get(9..12), Some(wanted), "{request:?} got {text}");
    }
    assert_eq!((up.seen(), gate.running.metrics.get(Count::Refused)), (2, 2));
}

/// Ingress: 17
#[tokio::test]
async fn slow_clients_are_let_go() {
    let up = Upstream::start("one").await;
    let gate = Gate::start(&snapshot(&[up.address]), |config| {
        config.timeouts.head = Duration::from_millis(150);
        config.timeouts.idle = Duration::from_millis(150);
        config.timeouts.handshake = Duration::from_millis(150);
    });
    let began = Instant::now();
    for (address, bytes) in [
        (gate.http, "GET / HTTP/1.1\r\nHost"),
        (gate.http, ""),
        (gate.http, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nonly this"),
        (gate.https, ""),
    ] {
        let text = exchange(address, bytes.as_bytes()).await;
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{bytes:?} got {text}");
    }
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(up.seen(), 0);
}

/// Ingress: 17
#[tokio::test]
async fn bodies_that_trickle_are_let_go() {
    let up = Upstream::start("one").await;
    let gate = Gate::start(&snapshot(&[up.address]), |config| {
        config.limits.body_rate = Some(BodyRate { bytes_per_second: 1000, after: Duration::from_millis(100) });
    });
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n").await.expect("written");
    let began = Instant::now();
    let (mut reader, mut writer) = stream.split();
    let trickle = async {
        // Moves all the time, so it is not idle.
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut answer = String::new();
    tokio::select! {
        () = trickle => {}
        read = reader.read_to_string(&mut answer) => drop(read),
    }
    assert!(began.elapsed() < PATIENCE && (answer.is_empty() || answer.starts_with("HTTP/1.1 408")), "{answer}");
    assert_eq!(up.seen(), 0);
}

/// Ingress: 17
#[tokio::test]
async fn one_address_holds_so_many_connections() {
    let up = Upstream::start("one").await;
    let gate = Gate::start(&snapshot(&[up.address]), |config| config.limits.connections_per_address = Some(2));
    let ask = async || {
        let mut stream = TcpStream::connect(gate.http).await.expect("connect");
        drop(stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await);
        let head = read_head(&mut stream).await;
        (stream, head)
    };
    let (first, second) = (ask().await, ask().await);
    assert!(first.1.starts_with("HTTP/1.1 200") && second.1.starts_with("HTTP/1.1 200"));
    assert_eq!(ask().await.1, "", "closed without an answer");
    drop(first);
    let again = async { while ask().await.1.is_empty() {} };
    tokio::time::timeout(PATIENCE, again).await.expect("its place came back");
}

/// Ingress: 18
#[tokio::test]
async fn a_client_that_leaves_takes_its_upstream_connection_along() {
    let (closed, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let address = scripted(move |mut stream, _, _| {
        let closed = closed.clone();
        async move {
            closed.send(true).expect("awaited");
            let end = stream.read(&mut [0; 16]).await;
            closed.send(end.unwrap_or(0) != 0).expect("awaited");
        }
    })
    .await;
    let gate = Gate::to(&[address]);
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
    assert_eq!(seen.recv().await, Some(true), "the request arrived");
    drop(stream);
    assert_eq!(tokio::time::timeout(PATIENCE, seen.recv()).await.expect("in time"), Some(false));
}

#[tokio::test]
async fn a_reader_that_stands_still_holds_no_memory_and_is_cut() {
    let size = 64 << 20;
    let (done, mut sent) = tokio::sync::mpsc::unbounded_channel();
    let address = scripted(move |mut stream, _, _| {
        let done = done.clone();
        async move {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("written");
            let piece = vec![0; 1 << 16];
            let mut written = 0;
            while written < size && stream.write_all(&piece).await.is_ok() {
                written += piece.len();
            }
            done.send(written).expect("awaited");
        }
    })
    .await;
    let gate = Gate::start(&snapshot(&[address]), |config| config.timeouts.idle = Duration::from_millis(300));
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));
    let written = tokio::time::timeout(PATIENCE, sent.recv()).await.expect("cut in time").expect("told");
    assert!(written < size / 2, "kernel buffers and ours took {written} bytes");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let up = Upstream::start("one").await;
    let gate = Gate::start(&snapshot(&[up.address]), |config| {
        config.workers = 1;
        config.limits.connections = 2;
    });
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(gate.http).await.expect("connect");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));
        held.push(stream);
    }
    assert_eq!(gate.running.metrics.open_connections(), 2);
    let address = gate.http;
    let third =
        tokio::spawn(async move { exchange(address, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await });
    tokio::task::yield_now().await;
    assert!(!third.is_finished());
    held.pop();
    assert!(third.await.expect("no panic").starts_with("HTTP/1.1 200"));
}
