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
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM, Raw,
    SETTINGS, WINDOW_UPDATE, field, frame, request,
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
    let lies = ["ssl-client-verify", "ssl-client-cert", "ssl-client-subject-dn", "ssl-client-issuer-dn"];
    // Without a body a request takes the short way.
    let get = lies.iter().fold(Request::get("http://web.example/x"), |get, name| get.header(*name, "SUCCESS"));
    let answer = sender.send_request(get.body(Full::default()).expect("a request")).await.expect("an answer");
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    let seen: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert!(lies.iter().all(|name| seen["headers"].get(name).is_none()), "{seen}");
    let post = lies.iter().fold(Request::post("http://web.example/x"), |post, name| post.header(*name, "SUCCESS"));
    let post = post.body(Full::from("hello")).expect("a request");
    let answer = sender.send_request(post).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    let seen: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((seen["length"].as_u64(), seen["headers"]["host"].as_str()), (Some(5), Some("web.example")));
    assert_eq!(seen["headers"]["x-forwarded-proto"], "http");
    assert!(lies.iter().all(|name| seen["headers"].get(name).is_none()), "{seen}");

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

/// Ingress: 71
#[tokio::test]
async fn an_old_connection_takes_no_further_request() {
    let up = Upstream::start("one").await;
    let gate = Gate::start(&crate::fixture::snapshot(&[up.address]), |config| {
        config.timeouts.connection = Duration::from_millis(200);
    });
    let mut raw = Raw::connect(gate.http).await;
    assert!(raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &request("GET")).await);
    raw.until(HEADERS).await.expect("a young one does");
    let first = raw.until(GOAWAY).await.expect("a first GOAWAY");
    assert_eq!(first.payload[..8], [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let ping = raw.until(PING).await.expect("a round trip is measured");
    assert!(raw.send(HEADERS, END_STREAM | END_HEADERS, 3, &request("GET")).await);
    raw.until(HEADERS).await.expect("what was on its way is answered");
    assert!(raw.send(PING, ACK, 0, &ping.payload).await);
    assert_eq!(raw.until(GOAWAY).await.expect("a second GOAWAY").payload[..4], 3u32.to_be_bytes());
    assert!(raw.end(PATIENCE).await.is_some(), "then it closes");
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text).await.expect("the end comes by itself");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
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

/// An endpoint that switches to WebSocket as asked, then sends back what it gets; it refuses `/no`, and ignores `/deaf`.
/// What an endpoint answers that takes the WebSocket.
pub fn accepting(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap_or_default();
    let mut digest = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes());
    let accept = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest.finish());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: v2\r\n\r\n"
    )
}

pub async fn websocket_endpoint() -> std::net::SocketAddr {
    crate::fixture::scripted(|mut stream, head, _| async move {
        let sound = head.contains("upgrade: websocket") && head.contains("connection: upgrade");
        let answer = match head.split(' ').nth(1) {
            Some("/chat") if sound && head.starts_with("GET ") && head.contains("cookie: a=1; b=2") => accepting(&head),
            Some("/no") => "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_owned(),
            Some("/false") => {
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_owned()
            }
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await.expect("written");
        if answer.contains("v2") {
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await.expect("sent back");
            to.shutdown().await.expect("closed");
        }
    })
    .await
}

/// Ingress: 53, 55
#[tokio::test]
async fn websocket_over_http2_becomes_an_upgrade_and_a_tunnel() {
    let gate = Gate::to(&[websocket_endpoint().await]);
    let mut sender = h2c(&gate).await;
    // The server's settings have come with the first answer.
    let get = Request::get("http://web.example/deaf").body(Full::default()).expect("a request");
    assert_eq!(sender.send_request(get).await.expect("an answer").status(), 200);
    let open = |path: &str, protocol: &'static str| {
        let connect = Request::connect(format!("http://web.example{path}"))
            .extension(hyper::ext::Protocol::from_static(protocol))
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", "v1, v2")
            .header("cookie", "a=1")
            .header("cookie", "b=2");
        sender.clone().send_request(connect.body(Full::default()).expect("a request"))
    };
    for (path, protocol, wanted) in
        [("/no", "websocket", 403), ("/deaf", "websocket", 502), ("/false", "websocket", 502), ("/chat", "other", 501)]
    {
        assert_eq!(open(path, protocol).await.expect("an answer").status(), wanted, "{path} {protocol}");
    }
    let mut answer = open("/chat", "websocket").await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()["sec-websocket-protocol"] == "v2");
    for absent in ["sec-websocket-accept", "upgrade", "connection", "content-length"] {
        assert!(!answer.headers().contains_key(absent), "{absent}");
    }
    let mut tunnel = TokioIo::new(hyper::upgrade::on(&mut answer).await.expect("a tunnel"));
    for text in [&b"hello"[..], b"\x00\xff"] {
        tunnel.write_all(text).await.expect("written");
        tunnel.flush().await.expect("sent");
        let mut echo = vec![0; text.len()];
        tokio::io::AsyncReadExt::read_exact(&mut tunnel, &mut echo).await.expect("an echo");
        assert_eq!(echo, text);
    }
    let get = Request::get("http://web.example/deaf").body(Full::default()).expect("a request");
    assert_eq!(sender.send_request(get).await.expect("other streams go on").status(), 200);
    tunnel.shutdown().await.expect("closed");
    let mut rest = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut tunnel, &mut rest).await.expect("the end passes through");
    assert_eq!(gate.running.metrics.get(Count::Tunnel), 1);

    let gate = Gate::start(&crate::wires::speaking("h2c", &[websocket_endpoint().await]), |_| ());
    let mut sender = h2c(&gate).await;
    // Without a protocol it is a proxy that is asked for; its answer comes after the settings, too.
    let proxy = Request::connect("h:80").body(Full::default()).expect("a request");
    assert_eq!(sender.send_request(proxy).await.expect("an answer").status(), 405);
    let chat = Request::connect("http://h/chat").extension(hyper::ext::Protocol::from_static("websocket"));
    let chat = chat.body(Full::default()).expect("a request");
    assert_eq!(sender.send_request(chat).await.expect("an answer").status(), 501);
}

/// An endpoint that answers without end, and counts what it could write; notes when its connection closes.
async fn endless()
-> (std::net::SocketAddr, std::sync::Arc<std::sync::atomic::AtomicUsize>, tokio::sync::mpsc::Receiver<()>) {
    let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (sender, closed) = tokio::sync::mpsc::channel(1);
    let count = written.clone();
    let address = crate::fixture::scripted(move |mut stream, _, _| {
        let (count, sender) = (count.clone(), sender.clone());
        async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("written");
            while stream.write_all(&[b'x'; 8192]).await.is_ok() {
                count.fetch_add(8192, std::sync::atomic::Ordering::Relaxed);
            }
            sender.send(()).await.expect("noted");
        }
    })
    .await;
    (address, written, closed)
}

/// Ingress: 58, 70
#[tokio::test]
async fn a_client_that_keeps_its_window_shut_holds_neither_memory_nor_the_endpoint() {
    let (address, written, mut closed) = endless().await;
    let gate = Gate::start(&crate::fixture::snapshot(&[address]), |config| {
        config.timeouts.idle = Duration::from_millis(300);
    });
    for window in [0u32, 20_000] {
        let mut raw = Raw::connect(gate.http).await;
        assert!(raw.send(SETTINGS, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat()).await);
        assert!(raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &request("GET")).await);
        raw.until(HEADERS).await.expect("the head needs no window");
        let reset = raw.until(RST_STREAM).await.expect("the stream is given up");
        assert_eq!(reset.stream, 1);
        tokio::time::timeout(PATIENCE, closed.recv()).await.expect("so is the endpoint's answer").expect("closed");
        assert!(raw.send(PING, 0, 0, &[1; 8]).await);
        raw.until(PING).await.expect("the connection goes on");
    }
    // What the kernel's buffers take is not ours.
    let all = written.load(std::sync::atomic::Ordering::Relaxed);
    assert!(all < 32 * 1024 * 1024, "{all} bytes were taken from the endpoint");
}

/// Ingress: 58
#[tokio::test]
async fn a_slow_reader_slows_the_endpoint_down() {
    let (address, written, _closed) = endless().await;
    let gate = Gate::to(&[address]);
    let mut reader = TcpStream::connect(gate.http).await.expect("connect");
    reader.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("written");
    let mut before = 0;
    let settled = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = written.load(std::sync::atomic::Ordering::Relaxed);
            if now > 0 && now == before {
                return now;
            }
            before = now;
        }
    };
    let all = tokio::time::timeout(PATIENCE, settled).await.expect("it comes to a stop");
    assert!(all < 32 * 1024 * 1024, "{all} bytes were taken from the endpoint");
}

/// Ingress: 18
#[tokio::test]
async fn a_reset_stream_cancels_what_the_endpoint_does() {
    let (address, _, mut closed) = endless().await;
    let gate = Gate::to(&[address]);
    let mut raw = Raw::connect(gate.http).await;
    assert!(raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &request("GET")).await);
    raw.until(DATA).await.expect("the answer begins");
    assert!(raw.send(RST_STREAM, 0, 1, &8u32.to_be_bytes()).await);
    tokio::time::timeout(PATIENCE, closed.recv()).await.expect("the endpoint sees it").expect("closed");
}

/// Ingress: 14, 70
#[tokio::test]
async fn heads_are_bounded_in_bytes_and_in_fields() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let mut sender = h2c(&gate).await;
    for (count, size, wanted) in [(90, 10, 200), (150, 1, 431), (60, 2000, 431)] {
        let mut get = Request::get("http://h/");
        for number in 0..count {
            get = get.header(format!("x-{number}"), "y".repeat(size));
        }
        let answer = sender.send_request(get.body(Full::default()).expect("a request")).await.expect("an answer");
        assert_eq!(answer.status(), wanted, "{count} fields of {size} bytes");
    }
    // One field in the dynamic table, then a byte for each time that it is named: 16 kB become 64 MB.
    let bomb = [&[0x40][..], &[1, b'x', 0x7f, 0xa1, 0x1e], &[b'y'; 4000]].concat();
    let block = [request("GET"), bomb, vec![0xbe; 12_000]].concat();
    let mut raw = Raw::connect(gate.http).await;
    raw.until(SETTINGS).await.expect("settings");
    assert!(raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &block).await);
    let answer = raw.next_of(&[HEADERS, RST_STREAM, GOAWAY]).await;
    assert!(answer.is_none_or(|frame| frame.kind != HEADERS || frame.payload.len() < 400));
    assert_eq!(up.seen(), 1, "none of it reached the endpoint");
    still_serves(&gate).await;
}

/// Ingress: 70
#[tokio::test]
async fn chatter_is_answered_only_as_fast_as_it_is_read() {
    let up = Upstream::start("one").await;
    let gate = Gate::start(&crate::fixture::snapshot(&[up.address]), |config| {
        config.timeouts.idle = Duration::from_millis(300);
    });
    for (what, frames) in
        [("settings", frame(SETTINGS, 0, 0, &[]).repeat(1000)), ("ping", frame(PING, 0, 0, &[1; 8]).repeat(1000))]
    {
        flood_unread(&gate, what, &frames).await;
    }
    // Costs a client as much as us, and nothing is kept of it.
    let mut raw = Raw::connect(gate.http).await;
    let priority = frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 200]).repeat(1000);
    for _ in 0..50 {
        assert!(raw.write(&priority).await);
    }
    assert!(raw.send(PING, 0, 0, &[1; 8]).await);
    raw.until(PING).await.expect("still there");
    // Data that is none, on a stream that stays open.
    let opening = frame(HEADERS, END_HEADERS, 1, &request("POST"));
    flood(&gate, "empty data", &opening, |_| frame(DATA, 0, 1, &[]).repeat(1000), 1000).await;
    still_serves(&gate).await;
}

/// Writes without reading until the other side gives up.
async fn flood_unread(gate: &Gate, what: &str, frames: &[u8]) {
    let mut raw = Raw::connect(gate.http).await;
    let mut closed = false;
    for _ in 0..100_000 {
        if !raw.write(frames).await {
            closed = true;
            break;
        }
    }
    assert!(closed, "{what}: whatever is sent is taken");
}
