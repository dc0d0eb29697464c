//! Forwarding, balancing, retries, tunnels, drain.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ingress::metrics::Count;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{Answer, Gate, PATIENCE, Upstream, ask, read_head, scripted, snapshot};

/// Ingress: 31, 40
#[tokio::test]
async fn a_request_reaches_the_endpoint_with_our_fields_and_its_own_bytes() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let answer = ask(
        gate.http,
        "POST /a%20b//c?x=%2F&y=1+2&? HTTP/1.1\r\nHost: Some.Host:7080\r\nX-Forwarded-For: 6.6.6.6\r\nContent-Length: 5\r\n\
         Connection: close\r\n\r\nhello",
    )
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("\r\nserver: fedgate") && answer.head.contains("\r\ndate: "), "{}", answer.head);
    let seen = answer.json();
    assert_eq!((seen["method"].as_str(), seen["length"].as_u64()), (Some("POST"), Some(5)));
    assert_eq!(seen["target"], "/a%20b//c?x=%2F&y=1+2&?");
    assert_eq!(seen["headers"]["host"], "Some.Host:7080");
    assert_eq!(seen["headers"]["x-forwarded-for"], "127.0.0.1");
    assert_eq!(seen["headers"]["x-forwarded-port"], gate.http.port().to_string());
    assert_eq!(seen["headers"]["x-request-id"].as_str().map(str::len), Some(32));
    assert!(seen["headers"].get("connection").is_none());
}

/// Ingress: 38, 43
#[tokio::test]
async fn statuses_say_what_is_missing() {
    let gate = Gate::to(&[]);
    for (host, path, wanted) in [
        ("only.example", "/elsewhere", 404),
        ("only.example", "/here", 503),
        ("empty.example", "/", 503),
        ("broken.example", "/", 503),
    ] {
        let answer = ask(gate.http, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(answer.status, wanted, "{host}{path}");
        assert!(answer.body.starts_with(&wanted.to_string()), "{answer:?}");
    }
}

#[tokio::test]
async fn clusters_answer_in_turn_over_one_connection() {
    let ups = [Upstream::start("a").await, Upstream::start("b").await, Upstream::start("c").await];
    let gate = Gate::to(&[ups[0].address, ups[1].address, ups[2].address]);
    let mut seen = BTreeMap::<String, u32>::new();
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    for _ in 0..30 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        stream.read_exact(&mut body).await.expect("a body");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        *seen.entry(body["name"].to_string()).or_default() += 1;
    }
    assert_eq!(seen.into_values().collect::<Vec<_>>(), [10, 10, 10]);
    for up in &ups {
        let connections = up.connections.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!(connections, 1, "connections are kept");
    }
    assert!(gate.running.metrics.get(Count::Reused) >= 27);
}

#[tokio::test]
async fn a_refusing_endpoint_is_left_out_without_a_failed_request() {
    let (good, bad) = (Upstream::start("good").await, Upstream::start("bad").await);
    let gate = Gate::to(&[bad.address, good.address]);
    for _ in 0..4 {
        assert_eq!(gate.get("/").await.status, 200);
    }
    let address = bad.fail().await;
    for number in 0..50 {
        let answer = gate.get("/").await;
        assert_eq!((answer.status, answer.name().as_str()), (200, "good"), "request {number}");
    }
    assert!(gate.running.metrics.get(Count::Ejection) >= 1);
    let retries = gate.running.metrics.get(Count::Retry);
    assert!(retries < 10, "an ejected endpoint is not tried for each request: {retries}");
    // It comes back by itself when its ejection is over.
    let back = Upstream::on("bad", address).await;
    let began = Instant::now();
    while back.seen() == 0 {
        assert_eq!(gate.get("/").await.status, 200);
        assert!(began.elapsed() < PATIENCE);
    }
}

#[tokio::test]
async fn posts_are_retried_on_connect_errors_only() {
    let good = Upstream::start("good").await;
    let closed = free_address().await;
    let gate = Gate::to(&[closed, good.address]);
    let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    for _ in 0..4 {
        let answer = ask(gate.http, post).await;
        assert_eq!((answer.status, answer.json()["length"].as_u64()), (200, Some(3)));
    }
    // An endpoint that takes the request and dies: it may have acted on it.
    let dying = scripted(|stream, _, _| async move { drop(stream) }).await;
    let gate = Gate::to(&[dying, good.address]);
    let before = good.seen();
    let statuses = [ask(gate.http, post).await.status, ask(gate.http, post).await.status];
    assert_eq!((statuses.iter().filter(|s| **s == 502).count(), good.seen() - before), (1, 1), "{statuses:?}");
    for _ in 0..4 {
        assert_eq!(gate.get("/").await.status, 200, "a GET goes elsewhere");
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_costs_nothing() {
    let address = scripted(|mut stream, _, _| async move {
        // Answers one request, then closes although it did not say so.
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("written");
    })
    .await;
    let gate = Gate::to(&[address]);
    for number in 0..30 {
        assert_eq!(gate.get("/").await.status, 200, "request {number}");
        let post =
            ask(gate.http, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx").await;
        assert_eq!(post.status, 200, "request {number}");
    }
}

#[tokio::test]
async fn the_only_endpoint_gets_a_second_chance_when_it_drops_an_idempotent_request() {
    let address = scripted(|mut stream, _, number| async move {
        if number > 0 {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("written");
        }
    })
    .await;
    assert_eq!(Gate::to(&[address]).get("/").await.status, 200);
}

#[tokio::test]
async fn errors_of_endpoints_have_the_statuses_of_nginx() {
    let closed = free_address().await;
    assert_eq!(Gate::to(&[closed]).get("/").await.status, 502);
    let nonsense = scripted(|mut stream, _, _| async move {
        stream.write_all(b"nonsense\r\n\r\n").await.expect("written");
    })
    .await;
    assert_eq!(Gate::to(&[nonsense]).get("/").await.status, 502);
    let unasked = scripted(|mut stream, _, _| async move {
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
            .await
            .expect("written");
    })
    .await;
    assert_eq!(Gate::to(&[unasked]).get("/").await.status, 502);
    let silent = scripted(|stream, _, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let gate = Gate::start(&snapshot(&[silent]), |config| config.timeouts.response = Duration::from_millis(100));
    assert_eq!(gate.get("/").await.status, 504);
    assert_eq!(gate.running.metrics.get(Count::ResponseTimeout), 1);
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_is_left_alone_for_a_while() {
    let silent = scripted(|stream, _, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let spoken = scripted(|mut stream, _, _| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("written");
    })
    .await;
    let short = Duration::from_millis(100);
    let gate = Gate::start(&snapshot(&[silent, spoken]), |config| config.timeouts.response = short);
    let mut refused = 0;
    for _ in 0..6 {
        refused += usize::from(gate.get("/").await.status != 200);
    }
    assert_eq!(refused, 1, "only who found it out has to wait");
    assert_eq!(gate.running.metrics.get(Count::Ejection), 1);
}

/// Ingress: 21, 57
#[tokio::test]
async fn answers_without_length_and_informational_ones_come_through() {
    let address = scripted(|mut stream, _, _| async move {
        let answer = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.0 200 OK\r\nX-A: b\r\n\r\nuntil the end";
        stream.write_all(answer.as_bytes()).await.expect("written");
    })
    .await;
    let gate = Gate::to(&[address]);
    let answer = gate.get("/").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("transfer-encoding: chunked") && answer.body.contains("until the end"), "{answer:?}");
    let old = ask(gate.http, "GET / HTTP/1.0\r\nHost: h\r\n\r\n").await;
    assert_eq!((old.status, old.body.as_str()), (200, "until the end"));
}

/// Ingress: 19
#[tokio::test]
async fn answers_that_have_no_body_keep_their_length_and_their_connection() {
    let address = scripted(|mut stream, mut head, _| async move {
        while !head.is_empty() {
            let answer = match head.split(' ').next() {
                Some("HEAD") => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                Some("PUT") => "HTTP/1.1 204 No Content\r\n\r\n",
                _ => "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n",
            };
            stream.write_all(answer.as_bytes()).await.expect("written");
            head = read_head(&mut stream).await;
        }
    })
    .await;
    let gate = Gate::to(&[address]);
    let requests: String = ["HEAD", "PUT", "GET", "HEAD", "GET"]
        .iter()
        .map(|method| format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"))
        .chain(["HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_owned()])
        .collect();
    let text = crate::fixture::exchange(gate.http, requests.as_bytes()).await.to_ascii_lowercase();
    let heads: Vec<&str> = text.split("\r\n\r\n").collect();
    let statuses: Vec<&str> = heads.iter().filter_map(|head| head.get(9..12)).collect();
    assert_eq!(statuses, ["200", "204", "304", "200", "304", "200"], "{text}");
    assert!(heads[0].contains("content-length: 5") && !heads[1].contains("content-length"), "{text}");
    assert_eq!(gate.running.metrics.get(Count::Reused), 5, "one connection served them all");
}

/// Ingress: 20, 21
#[tokio::test]
async fn a_broken_answer_is_not_passed_off_as_whole() {
    let address = scripted(|mut stream, _, _| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort").await.expect("written");
    })
    .await;
    let answer = Gate::to(&[address]).get("/").await;
    assert!(answer.body.len() < 100, "{answer:?}");
    assert!(answer.head.is_empty() || answer.head.contains("content-length: 100"), "{answer:?}");
    let chunked = scripted(|mut stream, _, _| async move {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n")
            .await
            .expect("written");
    })
    .await;
    let answer = Gate::to(&[chunked]).get("/").await;
    assert!(!answer.body.ends_with("0\r\n\r\n"), "{answer:?}");
}

#[tokio::test]
async fn big_bodies_stream_both_ways() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let size = 3_000_000;
    let mut request =
        format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n").into_bytes();
    request.resize(request.len() + size, b'x');
    let answer = Answer::parse(&crate::fixture::exchange(gate.http, &request).await);
    assert_eq!(answer.json()["length"].as_u64(), Some(size as u64));
    let source = scripted(move |mut stream, _, _| async move {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("written");
        stream.write_all(&vec![b'y'; size]).await.expect("written");
    })
    .await;
    assert_eq!(Gate::to(&[source]).get("/").await.body.len(), size);
}

#[tokio::test]
async fn an_answer_may_begin_before_the_upload_ends() {
    // Echoes each piece at once; the client sends the next piece only after it got the one before.
    let address = scripted(|mut stream, _, _| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").await.expect("written");
        let mut byte = [0; 1];
        for _ in 0..4 {
            stream.read_exact(&mut byte).await.expect("a piece");
            stream.write_all(&byte).await.expect("written");
        }
    })
    .await;
    let gate = Gate::to(&[address]);
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n").await.expect("written");
    let dialogue = async {
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));
        for byte in b"abcd" {
            stream.write_all(&[*byte]).await.expect("written");
            assert_eq!(stream.read_u8().await.expect("its echo"), *byte);
        }
    };
    tokio::time::timeout(PATIENCE, dialogue).await.expect("no deadlock");
}

#[tokio::test]
async fn expect_continue_is_answered_once_an_endpoint_is_there() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("written");
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 100 "));
    stream.write_all(b"ok").await.expect("written");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("an answer");
    assert_eq!(Answer::parse(&rest).json()["length"].as_u64(), Some(2));
    let none = Gate::to(&[]);
    let refused = ask(none.http, head).await;
    assert_eq!(refused.status, 503, "no 100 where nobody would read the body");
}

/// Ingress: 53, 54
#[tokio::test]
async fn a_websocket_is_a_tunnel_after_101_and_survives_a_route_change() {
    let address = scripted(|mut stream, head, _| async move {
        assert!(head.to_ascii_lowercase().contains("upgrade: websocket"), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nearly";
        stream.write_all(answer.as_bytes()).await.expect("written");
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.expect("echoed");
    })
    .await;
    let gate = Gate::to(&[address]);
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    let request = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\nhasty";
    stream.write_all(request.as_bytes()).await.expect("written");
    let head = read_head(&mut stream).await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("sec-websocket-accept: x"), "{head}");
    let mut early = [0; 10];
    stream.read_exact(&mut early).await.expect("what came with the 101, and what was said with the request");
    assert_eq!(&early, b"earlyhasty");
    gate.swap(&[]);
    let payload: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    let (mut reader, mut writer) = stream.split();
    let mut back = vec![0; payload.len()];
    let (sent, read) = tokio::join!(writer.write_all(&payload), reader.read_exact(&mut back));
    sent.expect("sent");
    read.expect("echoed");
    assert!(back == payload);
    writer.shutdown().await.expect("closed");
    assert_eq!(reader.read(&mut back).await.expect("an end"), 0);
}

/// Ingress: 53
#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_answer() {
    let up = Upstream::start("plain").await;
    let gate = Gate::to(&[up.address]);
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\
                   GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let text = crate::fixture::exchange(gate.http, request.as_bytes()).await;
    assert_eq!(text.matches("HTTP/1.1 200").count(), 2, "{text}");
    assert!(text.contains("\"target\":\"/next\""));
}

/// Ingress: 72
#[tokio::test]
async fn route_changes_under_load_lose_nothing() {
    let ups = [Upstream::start("a").await, Upstream::start("b").await];
    let (a, b) = (ups[0].address, ups[1].address);
    let gate = Gate::to(&[a, b]);
    let address = gate.http;
    let load = async {
        let clients = (0..8).map(|_| tokio::spawn(many(address, 60)));
        for each in clients.collect::<Vec<_>>() {
            assert_eq!(each.await.expect("no panic"), 60);
        }
    };
    let churn = async {
        loop {
            for set in [vec![a], vec![b], vec![a, b]] {
                gate.swap(&set);
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::select! {
        () = load => {}
        () = churn => {}
    }
}

/// Ingress: 76
#[tokio::test]
async fn a_drain_ends_what_began_and_takes_nothing_new() {
    let (begin, begun) = tokio::sync::oneshot::channel();
    let begin = std::sync::Mutex::new(Some(begin));
    let (finish, finished) = tokio::sync::watch::channel(false);
    let address = scripted(move |mut stream, _, _| {
        let begin = begin.lock().expect("no panic").take();
        let mut finished = finished.clone();
        async move {
            begin.expect("one request").send(()).expect("awaited");
            finished.wait_for(|done| *done).await.expect("finished");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("written");
        }
    })
    .await;
    let gate = Gate::to(&[address]);
    let at = gate.http;
    let mut idle = TcpStream::connect(at).await.expect("connect");
    let slow = tokio::spawn(async move { ask(at, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await });
    begun.await.expect("the request arrived");
    gate.shutdown.cancel();
    assert_eq!(idle.read(&mut [0; 8]).await.expect("closed"), 0);
    let mut refused = false;
    for _ in 0..200 {
        refused = TcpStream::connect(at).await.is_err();
        if refused {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(refused, "the listener is closed");
    finish.send(true).expect("awaited");
    let answer = slow.await.expect("no panic");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    assert!(answer.head.contains("connection: close"), "{answer:?}");
}

/// So many requests over one connection; how many were answered with 200.
async fn many(to: SocketAddr, count: usize) -> usize {
    let mut stream = TcpStream::connect(to).await.expect("connect");
    let mut good = 0;
    for _ in 0..count {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        good += usize::from(head.starts_with("http/1.1 200"));
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        stream.read_exact(&mut body).await.expect("a body");
    }
    good
}

/// An address that refuses connections.
async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound")
}
