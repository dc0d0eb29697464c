//! The short way of HTTP/2: neither clients nor endpoints can tell it from the general way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ingress::metrics::Count;
use ingress::trace::TraceConfig;
use ingress::{AccessLog, LogTarget};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::fixture::{
    Gate, PATIENCE, Unfinished, Upstream, dictated, hears, read_head, scripted, snapshot, unfinished,
};

type Sender = SendRequest<Empty<Bytes>>;

async fn speak(gate: &Gate) -> Sender {
    let stream = TcpStream::connect(gate.http).await.expect("connect");
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
    tokio::spawn(connection);
    sender
}

fn get(method: &str, uri: &str, fields: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let request = Request::builder().method(method).uri(uri);
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Empty::new()).expect("a request")
}

/// The same request where `general` says that it is for the general way: trailers are, and change nothing else here.
fn both(method: &str, uri: &str, fields: &[(&str, &str)]) -> [Request<Empty<Bytes>>; 2] {
    [get(method, uri, fields), get(method, uri, &[fields, &[("te", "trailers")]].concat())]
}

/// What is seen of an answer: status, fields in any order, body, trailers; or that it broke off.
async fn seen(answer: Response<hyper::body::Incoming>) -> (u16, BTreeSet<String>, Result<String, ()>) {
    let fields = answer.headers().iter().filter(|(name, _)| *name != "date");
    let fields = fields.map(|(name, value)| format!("{name}: {value:?}")).collect();
    let status = answer.status().as_u16();
    let body = tokio::time::timeout(PATIENCE, answer.into_body().collect()).await.expect("in time");
    let body = body.map_err(|_| ()).map(|body| {
        let trailers = format!("{:?}", body.trailers());
        format!("{} {trailers}", String::from_utf8_lossy(&body.to_bytes()))
    });
    (status, fields, body)
}

/// Ingress: 26, 27, 31, 32, 33, 34, 40
#[tokio::test]
async fn an_endpoint_sees_the_same_on_both_ways() {
    let upstream = Upstream::start("a").await;
    let gate = Gate::to(&[upstream.address]);
    let mut sender = speak(&gate).await;
    for (method, target, fields) in [
        ("GET", "/", &[][..]),
        ("GET", "/a/b%20c?x=1&&y=%2F?z", &[("accept", "a"), ("accept", "b")]),
        ("GET", "//double", &[("user-agent", "curl/8 (x; y)"), ("referer", "http://x/?q")]),
        ("GET", "/;a=b,c!$&'()*+@:", &[("cookie", "a=b"), ("cookie", "c=\"d\""), ("authorization", "Basic eDp5")]),
        ("GET", "/", &[("cookie", "a=b"), ("accept", "x"), ("cookie", "c")]),
        (
            "GET",
            "/",
            &[
                ("x-forwarded-for", "1.2.3.4"),
                ("x-forwarded-host", "evil"),
                ("x-real-ip", "1.1.1.1"),
                ("forwarded", "for=x"),
            ],
        ),
        ("GET", "/", &[("proxy", "http://x"), ("x_real_ip", "1")]),
        ("GET", "/", &[("x-request-id", "mine-1")]),
        ("GET", "/", &[("range", "bytes=0-1"), ("if-none-match", "\"x\""), ("x-empty", ""), ("x-tab", "a\tb")]),
        ("DELETE", "/x", &[]),
        ("POST", "/x", &[]),
        ("PUT", "/x", &[("content-length", "0")]),
        ("GET", "/x", &[("content-length", "0")]),
        ("GET", "/x", &[("host", "any.example:80")]),
        ("OPTIONS", "/x", &[("max-forwards", "5")]),
    ] {
        let mut told = Vec::new();
        for request in both(method, &format!("http://any.example:80{target}"), fields) {
            let answer = sender.send_request(request).await.expect("an answer");
            let status = answer.status();
            let body = answer.into_body().collect().await.expect("a body").to_bytes();
            let mut seen: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            let headers = seen["headers"].as_object_mut().expect("fields");
            headers.retain(|name, _| !matches!(name.as_str(), "te" | "connection"));
            if headers["x-request-id"].as_str().is_some_and(|id| id.len() == 32) {
                headers["x-request-id"] = "made".into();
            }
            told.push((status, seen));
        }
        assert_eq!(told[0], told[1], "{method} {target} {fields:?}");
    }
}

/// Ingress: 19, 20, 21, 25, 26, 30
#[tokio::test]
async fn a_client_sees_the_same_on_both_ways() {
    for (method, answer) in [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServer: s\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX:\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 7\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\nX-Two: \r\n\r\n",
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: x\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\na",
        ),
        ("GET", "HTTP/1.1 200 OK\r\nConnection: content-length, authorization\r\nContent-Length: 1\r\n\r\na"),
        ("GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end"),
        ("GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nzipped"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok"),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nx\r\n"),
        ("GET", "nonsense"),
        ("GET", ""),
    ] {
        let address = scripted(move |mut stream, _, _| async move {
            stream.write_all(answer.as_bytes()).await.expect("written");
        })
        .await;
        let gate = Gate::to(&[address]);
        let mut sender = speak(&gate).await;
        let mut told = Vec::new();
        for request in both(method, "http://h/", &[]) {
            // What breaks off early may be reset before its head is on its way.
            told.push(match sender.send_request(request).await {
                Ok(answer) => seen(answer).await,
                Err(_) => (0, BTreeSet::new(), Err(())),
            });
        }
        let broken = told.iter().all(|(.., body)| body.is_err());
        assert!(broken || told[0] == told[1], "{method} {answer:?}: {told:#?}");
    }
}

/// Ingress: 15, 19, 59
#[tokio::test]
async fn streams_in_turn_share_one_connection_to_their_endpoint() {
    let connections = Arc::new(AtomicUsize::new(0));
    let opened = connections.clone();
    let address = scripted(move |mut stream, _, _| {
        opened.fetch_add(1, Ordering::SeqCst);
        async move {
            for number in 0.. {
                let body = "x".repeat(number * 700);
                let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
                let plain = format!("Content-Length: {}\r\n\r\n{body}", body.len());
                let rest = if number % 2 == 1 { chunked } else { plain };
                stream.write_all(format!("HTTP/1.1 200 OK\r\n{rest}").as_bytes()).await.expect("written");
                if read_head(&mut stream).await.is_empty() {
                    return;
                }
            }
        }
    })
    .await;
    let gate = Gate::start(&snapshot(&[address]), |config| config.workers = 1);
    let mut sender = speak(&gate).await;
    for number in 0..100 {
        let answer = sender.send_request(get("GET", "http://h/", &[])).await.expect("an answer");
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(body.len(), number * 700);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    assert_eq!(gate.running.metrics.get(Count::Reused), 99);
}

/// Ingress: 58
#[tokio::test]
async fn each_piece_is_passed_on_at_once() {
    let (address, pieces) = dictated().await;
    let gate = Gate::to(&[address]);
    let mut sender = speak(&gate).await;
    let mut answer = sender.send_request(get("GET", "http://h/", &[])).await.expect("an answer").into_body();
    for (piece, shown) in [("1\r\na\r\n", "a"), ("2\r\nb", "b"), ("c\r\n", "c")] {
        pieces.send(piece).expect("the endpoint listens");
        let frame = tokio::time::timeout(PATIENCE, answer.frame()).await.expect("at once").expect("a frame");
        assert_eq!(frame.expect("a piece").into_data().expect("bytes"), shown);
    }
    pieces.send("0\r\n\r\n").expect("the endpoint listens");
    let end = tokio::time::timeout(PATIENCE, answer.frame()).await.expect("at once");
    assert!(end.is_none_or(|frame| frame.is_ok_and(|frame| frame.into_data().is_ok_and(|data| data.is_empty()))));
}

/// Ingress: 18
#[tokio::test]
async fn a_stream_that_is_reset_takes_its_exchange_along() {
    let (address, mut said) = unfinished().await;
    let gate = Gate::to(&[address]);
    let mut sender = speak(&gate).await;
    for _ in 0..2 {
        let asked = tokio::spawn(sender.send_request(get("GET", "http://h/", &[])));
        assert_eq!(hears(&mut said).await, Unfinished::Asked);
        // Without its head yet, or with it: either way the stream ends here.
        asked.abort();
        drop(asked.await);
        assert_eq!(hears(&mut said).await, Unfinished::Left);
    }
}

/// Ingress: 77, 78
#[tokio::test]
async fn a_trace_in_odd_words_leaves_one_line_that_says_everything_once() {
    let upstream = Upstream::start("a").await;
    let path = std::env::temp_dir().join(format!("fedgate-odd-trace-{}.log", std::process::id()));
    let gate = Gate::start(&snapshot(&[upstream.address]), |config| {
        config.access_log = AccessLog { target: LogTarget::File(path.clone()), ..AccessLog::default() };
        // Nobody collects there.
        config.traces = Some(TraceConfig { collector: "http://127.0.0.1:9".parse().expect("a collector"), ratio: 1.0 });
    });
    let mut sender = speak(&gate).await;
    for fields in [&[][..], &[("traceparent", "garbage")]] {
        let answer = sender.send_request(get("GET", "http://h/odd", fields)).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.expect("a body");
    }
    let began = Instant::now();
    let text = loop {
        let text = std::fs::read_to_string(&path).expect("a log");
        if text.matches("/odd").count() == 2 && text.ends_with("}\n") {
            break text;
        }
        assert!(began.elapsed() < PATIENCE, "{text}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    for line in text.lines() {
        assert_eq!((line.matches("\"ingress\":").count(), line.matches("\"endpoint\":").count()), (1, 1), "{line}");
    }
    std::fs::remove_file(&path).expect("removed");
}

/// Ingress: 59, 60, 61
#[tokio::test]
async fn what_fails_is_tried_elsewhere_the_general_way() {
    let upstream = Upstream::start("a").await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let closing = scripted(move |stream, _, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { drop(stream) }
    })
    .await;
    let gate = Gate::start(&snapshot(&[closing, upstream.address]), |config| config.workers = 1);
    let mut sender = speak(&gate).await;
    for _ in 0..6 {
        let answer = sender.send_request(get("GET", "http://h/", &[])).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.expect("a body");
    }
    assert_eq!(upstream.seen(), 6);
    assert!(asked.load(Ordering::SeqCst) > 0, "the other one was asked, too");
}
