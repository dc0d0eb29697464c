//! The short way of plain requests: nobody can tell it from the general way, and it takes nothing that it cannot finish.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ingress::build;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{
    Answer, Gate, PATIENCE, Unfinished, Upstream, ask, dictated, exchange, hears, options, read_head, scripted,
    snapshot, unfinished,
};
use crate::policies::with;

/// An option that names nothing sends a request the general way, and changes nothing else.
const GENERAL: &str = "close, x-nothing";
/// The same for a connection that stays.
const NOTHING: &str = "Connection: x-nothing";

/// What can be compared of an answer: its status and fields in any order, without those that differ each time; its body.
fn seen(answer: &Answer) -> (BTreeSet<String>, String) {
    let fields = answer.head.lines().filter(|line| !line.starts_with("date: ")).map(str::to_owned).collect();
    (fields, answer.body.clone())
}

/// What an endpoint got, as its own answer tells it.
fn told(answer: &Answer) -> (u16, serde_json::Value) {
    let mut told = answer.json();
    let id = told["headers"]["x-request-id"].as_str().expect("an id").to_owned();
    if id.len() == 32 {
        told["headers"]["x-request-id"] = "made".into();
    }
    (answer.status, told)
}

/// Ingress: 26, 31, 32, 33, 34, 40
#[tokio::test]
async fn an_endpoint_sees_the_same_on_both_ways() {
    let upstream = Upstream::start("a").await;
    let gate = Gate::to(&[upstream.address]);
    for (line, fields) in [
        ("GET / HTTP/1.1", ""),
        ("GET /a/b%20c?x=1&&y=%2F?z HTTP/1.1", "Accept: a\r\nAccept: b\r\n"),
        ("GET //double HTTP/1.1", "User-Agent: curl/8 (x; y)\r\nReferer: http://x/?q\r\n"),
        ("GET /;a=b,c!$&'()*+@: HTTP/1.1", "Cookie: a=b; c=\"d\"\r\nAuthorization: Basic eDp5\r\n"),
        (
            "GET / HTTP/1.1",
            "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: evil\r\nX-Real-IP: 1.1.1.1\r\nForwarded: for=x\r\n",
        ),
        (
            "GET / HTTP/1.1",
            "Proxy: http://x\r\nX_Real_IP: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nHTTP2-Settings: x\r\n",
        ),
        (
            "GET / HTTP/1.1",
            "SSL-Client-Verify: SUCCESS\r\nssl-client-cert: x\r\nssl-client-subject-dn: CN=a\r\nssl-client-issuer-dn: CN=b\r\n",
        ),
        ("GET / HTTP/1.1", "X-Request-ID: mine-1\r\n"),
        ("GET / HTTP/1.1", "Range: bytes=0-1\r\nIf-None-Match: \"x\"\r\nX-Empty:\r\nX-Tab: \ta\tb\t\r\n"),
        ("GET / HTTP/1.1", "Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Mode: navigate\r\nTrailer: x\r\n"),
    ] {
        let request =
            |connection: &str| format!("{line}\r\nHost: Any.Example:80\r\n{fields}Connection: {connection}\r\n\r\n");
        let (short, general) = (ask(gate.http, &request("close")).await, ask(gate.http, &request(GENERAL)).await);
        assert_eq!(told(&short), told(&general), "{line} {fields:?}");
        assert!(!short.body.contains("ssl-client-"), "only we say what certificate was shown: {}", short.body);
    }
}

/// Ingress: 19, 20, 21, 26, 30
#[tokio::test]
async fn a_client_sees_the_same_on_both_ways() {
    for (method, answer) in [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.1 200 Fine By Me\r\nContent-Length: 0\r\nServer: s\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 7\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        ("HEAD", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: x\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\na",
        ),
        ("GET", "HTTP/1.1 200 OK\r\nConnection: content-length, authorization\r\nContent-Length: 1\r\n\r\na"),
        ("GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end"),
        ("GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
        ("GET", "HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nzipped"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok"),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length:\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: -1\r\n\r\n"),
        ("GET", "nonsense"),
        ("GET", ""),
    ] {
        let address = scripted(move |mut stream, _, _| async move {
            stream.write_all(answer.as_bytes()).await.expect("written");
        })
        .await;
        let gate = Gate::to(&[address]);
        let request = |connection: &str| format!("{method} / HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\n\r\n");
        let (short, general) = (ask(gate.http, &request("close")).await, ask(gate.http, &request(GENERAL)).await);
        assert_eq!(seen(&short), seen(&general), "{method} {answer:?}");
    }
}

/// Ingress: 14
#[tokio::test]
async fn an_answers_head_has_the_same_bound_on_both_ways() {
    const MOST: usize = 64 * 1024;
    // So many bytes of head in so many fields, written in pieces of this size.
    for (length, fields, piece, status) in [
        (MOST, 1, MOST * 4, 200),
        (MOST, 50, 1000, 200),
        (MOST + 1, 1, MOST * 4, 502),
        (MOST + 1, 50, 1000, 502),
        (MOST + 4096, 10, MOST * 4, 502),
        (MOST * 2 - 1, 20, MOST * 4, 502),
        (MOST * 4, 1, MOST * 8, 502),
        (2000, 101, 2000, 502),
    ] {
        let mut head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n".to_owned();
        let around = "x-00: \r\n".len();
        let filled = length - head.len() - 2 - fields * around;
        for number in 0..fields {
            let bytes = filled / fields + if number == 0 { filled % fields } else { 0 };
            head += &format!("x-{:02}: {}\r\n", number % 100, "v".repeat(bytes));
        }
        head += "\r\n";
        assert_eq!(head.len(), length);
        let answer: Arc<str> = format!("{head}ok").into();
        let address = scripted(move |mut stream, _, _| {
            let answer = answer.clone();
            async move {
                for piece in answer.as_bytes().chunks(piece) {
                    // Who has read enough closes.
                    if stream.write_all(piece).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await;
        let gate = Gate::to(&[address]);
        for method in ["GET", "POST"] {
            let request = |connection: &str| {
                format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: {connection}\r\n\r\n")
            };
            let (short, general) = (ask(gate.http, &request("close")).await, ask(gate.http, &request(GENERAL)).await);
            assert_eq!((short.status, general.status), (status, status), "{method} {length} in {fields}");
            assert_eq!(seen(&short), seen(&general), "{method} {length} in {fields}");
        }
    }
}

/// An answer that breaks off never looks whole.
///
/// Ingress: 20, 21
#[tokio::test]
async fn what_breaks_off_is_seen_to_break_off() {
    for (answer, whole) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "short"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort", "5\r\nshort\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nx\r\n", ""),
    ] {
        let address = scripted(move |mut stream, _, _| async move {
            stream.write_all(answer.as_bytes()).await.expect("written");
        })
        .await;
        let gate = Gate::to(&[address]);
        let got = exchange(gate.http, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let body = got.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        assert!(body.is_empty() || body == whole, "{answer:?}: {got:?}");
        assert!(!got.ends_with("0\r\n\r\n"), "{answer:?}: {got:?}");
    }
}

/// A server that answers every request on every connection with `answer`, and counts connections.
async fn steady(answer: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (connections, counted, answer) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(answer));
    let opened = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            opened.fetch_add(1, Ordering::SeqCst);
            let (answer, counted) = (answer.clone(), counted.clone());
            tokio::spawn(async move {
                while !read_head(&mut stream).await.is_empty() {
                    let bytes = answer(counted.fetch_add(1, Ordering::SeqCst));
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, connections)
}

fn with_body(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Ingress: 15, 19, 59
#[tokio::test]
async fn requests_sent_ahead_are_answered_in_turn_over_one_connection() {
    let (address, connections) = steady(|number| with_body(&format!("<{number}>"))).await;
    let gate = Gate::to(&[address]);
    let mut requests = "GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(500);
    requests.push_str("HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let got = exchange(gate.http, requests.as_bytes()).await;
    let bodies: Vec<_> = (0..500).map(|number| format!("<{number}>")).collect();
    let found: Vec<_> = got.split("\r\n\r\n").skip(1).filter_map(|part| part.split("HTTP/1.1").next()).collect();
    let mut wanted: Vec<&str> = bodies.iter().map(String::as_str).collect();
    wanted.extend(["", "<501>"]);
    assert_eq!(found, wanted);
    assert_eq!(connections.load(Ordering::SeqCst), 2, "only the body after the answer to HEAD cost a connection");
}

/// Ingress: 15, 16
#[tokio::test]
async fn the_general_way_goes_on_where_the_short_one_ends() {
    let upstream = Upstream::start("a").await;
    let gate = Gate::to(&[upstream.address]);
    let mut requests = String::new();
    for (method, body) in [("GET", ""), ("POST", "hello"), ("GET", ""), ("PUT", "x"), ("HEAD", ""), ("GET", "")] {
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        requests.push_str(&format!("{method} /{method} HTTP/1.1\r\nHost: h\r\n{length}\r\n{body}"));
    }
    requests.push_str("GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let got = exchange(gate.http, requests.as_bytes()).await;
    let lengths: Vec<_> = got.match_indices("\"length\":").map(|(at, _)| &got[at + 9..at + 10]).collect();
    assert_eq!(lengths, ["0", "5", "0", "1", "0", "0"], "{got}");
    assert_eq!(upstream.seen(), 7);
    assert_eq!(got.matches("HTTP/1.1 200 OK").count(), 7);
}

/// Ingress: 2, 14, 16
#[tokio::test]
async fn small_bodies_come_along_in_whatever_pieces() {
    let upstream = Upstream::start("a").await;
    let gate = Gate::start(&snapshot(&[upstream.address]), |config| config.limits.body_bytes = Some(100_000));
    for (length, pause) in [(0, 0), (1, 0), (5_000, 0), (65_536, 0), (65_537, 0), (7, 10), (7, 300)] {
        let mut stream = TcpStream::connect(gate.http).await.expect("connect");
        for method in ["POST", "PUT", "GET", "DELETE"] {
            let head = format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("written");
            tokio::time::sleep(Duration::from_millis(pause)).await;
            stream.write_all(&vec![b'x'; length]).await.expect("written");
            let head = read_head(&mut stream).await;
            assert!(head.starts_with("HTTP/1.1 200"), "{method} {length}: {head}");
            let told = head.to_ascii_lowercase();
            let told = told.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).expect("a length");
            let mut body = vec![0; told.parse().expect("a number")];
            stream.read_exact(&mut body).await.expect("a body");
            let seen: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!((seen["method"].as_str(), seen["length"].as_u64()), (Some(method), Some(length as u64)));
        }
    }
    let large = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\n\r\n{}", "x".repeat(100_001));
    assert_eq!(ask(gate.http, &large).await.status, 413);
    let few = Gate::start(&snapshot(&[upstream.address]), |config| config.limits.body_bytes = Some(4));
    assert_eq!(ask(few.http, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello").await.status, 413);
}

/// Ingress: 60
#[tokio::test]
async fn what_an_endpoint_may_have_acted_on_is_not_sent_again() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let address = scripted(move |stream, _, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { drop(stream) }
    })
    .await;
    let gate = Gate::to(&[address]);
    let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    assert_eq!(ask(gate.http, post).await.status, 502);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

/// An endpoint that answers before it has read everything is heard, and not asked again over that connection.
///
/// Ingress: 16, 22
#[tokio::test]
async fn an_early_answer_to_a_body_is_passed_on() {
    let address = scripted(|mut stream, _, number| async move {
        let answer = format!("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 1\r\n\r\n{number}");
        stream.write_all(answer.as_bytes()).await.expect("written");
    })
    .await;
    let gate = Gate::to(&[address]);
    let post = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n{}", "x".repeat(60_000));
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    stream.write_all(post.as_bytes()).await.expect("written");
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 413") || head.starts_with("HTTP/1.1 502"), "{head}");
}

/// What comes in the very moment of the next request cannot be told from its answer; what has come before it can.
///
/// Ingress: 22
#[tokio::test]
async fn what_comes_late_after_an_answer_never_becomes_the_next_one() {
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let said = said.clone();
            tokio::spawn(async move {
                while !read_head(&mut stream).await.is_empty() {
                    stream.write_all(&with_body("ok")).await.expect("written");
                    tokio::time::sleep(Duration::from_millis(3)).await;
                    let late = stream.write_all(&with_body("evil")).await;
                    said.send(late.is_ok()).expect("the test listens");
                }
            });
        }
    });
    let gate = Gate::start(&snapshot(&[address]), |config| config.workers = 1);
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    for _ in 0..20 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
        let head = read_head(&mut stream).await;
        assert!(head.contains("content-length: 2"), "{head}");
        let mut body = [0; 2];
        stream.read_exact(&mut body).await.expect("a body");
        assert_eq!(&body, b"ok");
        tokio::time::timeout(PATIENCE, heard.recv()).await.expect("in time").expect("the endpoint is there");
    }
}

/// Ingress: 59
#[tokio::test]
async fn a_connection_that_gets_old_loses_no_request() {
    let (address, _) = steady(|_| with_body("ok")).await;
    let age = Duration::from_millis(300);
    let gate = Gate::start(&snapshot(&[address]), |config| config.timeouts.connection = age);
    // The short way, the general way, and first one, then the other: it is as old as it is.
    for (early, late) in [("a: b", "a: b"), (NOTHING, NOTHING), ("a: b", NOTHING)] {
        let began = Instant::now();
        let mut stream = TcpStream::connect(gate.http).await.expect("connect");
        let mut last = false;
        while !last {
            let field = if began.elapsed() < age / 2 { early } else { late };
            let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("written");
            let head = read_head(&mut stream).await;
            assert!(head.contains("200 OK"), "{head:?}");
            stream.read_exact(&mut [0; 2]).await.expect("a body");
            last = head.contains("connection: close");
            assert!(!last || began.elapsed() >= age, "{early} {late}: too early");
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
        assert_eq!(stream.read(&mut [0; 8]).await.expect("closed"), 0, "{early} {late}: it said so and does it");
        // Who says nothing more is let go a moment later.
        let mut silent = TcpStream::connect(gate.http).await.expect("connect");
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{late}\r\n\r\n");
        silent.write_all(request.as_bytes()).await.expect("written");
        assert!(read_head(&mut silent).await.contains("200 OK"));
        let end = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut Vec::new())).await;
        end.expect("in time").expect("closed");
    }
}

/// Ingress: 22
#[tokio::test]
async fn bytes_after_an_answer_never_become_the_next_one() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let (address, connections) = steady(move |number| [with_body(&number.to_string()), evil.into()].concat()).await;
    let gate = Gate::to(&[address]);
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    for number in 0..5 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
        let head = read_head(&mut stream).await;
        assert!(head.contains("content-length: 1"), "{head}");
        assert_eq!(stream.read_u8().await.expect("a body"), b'0' + number);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 5);
}

/// Ingress: 58
#[tokio::test]
async fn long_bodies_come_through_byte_for_byte() {
    let long: Arc<Vec<u8>> = Arc::new((0..3_000_000u32).map(|at| (at % 251) as u8).collect());
    for chunked in [false, true] {
        let body = long.clone();
        let (address, _) = steady(move |_| {
            let mut answer = Vec::new();
            if chunked {
                answer.extend_from_slice(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                for piece in body.chunks(70_001) {
                    answer.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
                    answer.extend_from_slice(piece);
                    answer.extend_from_slice(b"\r\n");
                }
                answer.extend_from_slice(b"0\r\nX-Trailer: 1\r\n\r\n");
            } else {
                answer
                    .extend_from_slice(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
                answer.extend_from_slice(&body);
            }
            answer
        })
        .await;
        let gate = Gate::to(&[address]);
        for _ in 0..2 {
            let mut stream = TcpStream::connect(gate.http).await.expect("connect");
            stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.expect("written");
            let mut got = Vec::new();
            tokio::time::timeout(PATIENCE, stream.read_to_end(&mut got)).await.expect("in time").expect("an end");
            let at = got.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
            let body = if chunked { unchunked(&got[at..]) } else { got[at..].to_vec() };
            assert!(body == **long, "chunked: {chunked}, {} bytes", body.len());
        }
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let line = bytes.iter().position(|byte| *byte == b'\r').expect("a size");
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).expect("text"), 16).expect("a size");
        bytes = &bytes[line + 2..];
        if size == 0 {
            assert_eq!(bytes, b"\r\n");
            return all;
        }
        all.extend_from_slice(&bytes[..size]);
        bytes = &bytes[size + 2..];
    }
}

/// Ingress: 58
#[tokio::test]
async fn each_piece_is_passed_on_at_once() {
    let (address, pieces) = dictated().await;
    let gate = Gate::to(&[address]);
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
    assert!(read_head(&mut stream).await.contains("chunked"));
    for (piece, shown) in
        [("1\r\na\r\n", "1\r\na\r\n"), ("2\r\nb", "1\r\nb\r\n"), ("c\r\n", "1\r\nc\r\n"), ("0\r\n\r\n", "0\r\n\r\n")]
    {
        pieces.send(piece).expect("the endpoint listens");
        let mut got = vec![0; shown.len()];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut got)).await.expect("at once").expect("a piece");
        assert_eq!(got, shown.as_bytes());
    }
}

/// Ingress: 18
#[tokio::test]
async fn a_client_that_goes_away_takes_its_exchange_along() {
    let (address, mut said) = unfinished().await;
    let gate = Gate::to(&[address]);
    for _ in 0..2 {
        let mut stream = TcpStream::connect(gate.http).await.expect("connect");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
        assert_eq!(hears(&mut said).await, Unfinished::Asked);
        drop(stream);
        assert_eq!(hears(&mut said).await, Unfinished::Left);
    }
}

/// Ingress: 18, 76
#[tokio::test]
async fn a_client_that_waits_for_no_answer_is_counted_as_nginx_counts_it() {
    let address = scripted(|mut stream, _, _| async move {
        // Until the other side ends.
        let ended = stream.read(&mut [0; 1]).await;
        assert!(matches!(ended, Ok(0) | Err(_)));
    })
    .await;
    for connection in ["keep-alive", GENERAL] {
        let gate = Gate::to(&[address]);
        let mut stream = TcpStream::connect(gate.http).await.expect("connect");
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("written");
        let asked = tokio::time::timeout(Duration::from_millis(30), stream.read_u8()).await;
        assert!(asked.is_err(), "nobody answers");
        drop(stream);
        let began = Instant::now();
        loop {
            let mut text = String::new();
            gate.running.metrics.render_routes(&gate.routes.load(), &mut text);
            let counted: Vec<_> =
                text.lines().filter(|line| line.starts_with("nginx_ingress_controller_requests{")).collect();
            if let [line] = counted[..] {
                assert!(line.contains("status=\"499\"") && line.ends_with(" 1"), "{connection}: {line}");
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{connection}: {text}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Ingress: 17
#[tokio::test]
async fn who_sends_nothing_or_takes_nothing_is_let_go() {
    let (address, _) = steady(|_| with_body(&"x".repeat(8_000_000))).await;
    let short = Duration::from_secs(1);
    let gate = Gate::start(&snapshot(&[address]), |config| {
        (config.timeouts.head, config.timeouts.idle) = (short, short);
    });
    let mut idle = TcpStream::connect(gate.http).await.expect("connect");
    idle.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
    let head = read_head(&mut idle).await;
    assert!(head.contains("200 OK"), "{head}");
    let mut stuck = TcpStream::connect(gate.http).await.expect("connect");
    stuck.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
    let mut body = vec![0; 8_000_000];
    idle.read_exact(&mut body).await.expect("the whole body");
    let ended = tokio::time::timeout(PATIENCE, idle.read(&mut [0; 1])).await.expect("let go");
    assert!(matches!(ended, Ok(0) | Err(_)), "after an answer nothing more was asked for");
    // Who has not read until now gets what was on its way, and not the rest.
    tokio::time::sleep(3 * short).await;
    let mut got = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stuck.read_to_end(&mut got)).await.expect("an end");
    assert!(read.is_err() || got.len() < 8_000_000, "{} bytes", got.len());
}

/// Ingress: 59, 61
#[tokio::test]
async fn a_kept_connection_that_died_costs_no_request() {
    let (address, connections) = steady(|_| with_body("ok")).await;
    let gate = Gate::start(&snapshot(&[address]), |config| config.workers = 1);
    let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    stream.write_all(request).await.expect("written");
    assert!(read_head(&mut stream).await.contains("200 OK"));
    stream.read_exact(&mut [0; 2]).await.expect("a body");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    // An endpoint that closes as soon as it is asked again.
    let closing = scripted(|mut stream, _, number| async move {
        stream.write_all(&with_body("ok")).await.expect("written");
        if number > 0 {
            return;
        }
        // The second request is read and not answered.
        read_head(&mut stream).await;
    })
    .await;
    gate.swap(&[closing]);
    for _ in 0..3 {
        stream.write_all(request).await.expect("written");
        let head = read_head(&mut stream).await;
        assert!(head.contains("200 OK"), "{head}");
        stream.read_exact(&mut [0; 2]).await.expect("a body");
    }
}

/// What is decided when routes are built: who asks for nothing takes the short way, by each scheme for itself.
///
/// Ingress: 79
#[test]
fn a_route_knows_from_its_beginning_which_way_its_requests_take() {
    let address = "127.0.0.1:1".parse().expect("an address");
    let ways = |annotations: &[(&str, &str)]| {
        let table = build(&with(snapshot(&[address]), annotations), None, &options());
        let route = table.find("a.example", "/").expect("a route").clone();
        ["http", "https"].map(|scheme| route.short_way(&scheme.parse().expect("a value")).is_some())
    };
    assert_eq!(ways(&[]), [true, true]);
    for plain in [("proxy-body-size", "4"), ("ssl-redirect", "false"), ("enable-access-log", "false")] {
        assert_eq!(ways(&[plain]), [true, true], "{plain:?}");
    }
    for other in [
        ("backend-protocol", "GRPC"),
        ("rewrite-target", "/x"),
        ("limit-rps", "5"),
        ("enable-cors", "true"),
        ("whitelist-source-range", "10.0.0.0/8"),
        ("affinity", "cookie"),
        ("auth-url", "http://auth.n.svc/"),
        ("upstream-hash-by", "$request_uri"),
        ("proxy-next-upstream", "http_502"),
    ] {
        assert_eq!(ways(&[other]), [false, false], "{other:?}");
    }
}
