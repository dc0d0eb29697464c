//! How long tunnels live: through changes and drains, not through silence.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::{Gate, PATIENCE, read_head, snapshot};
use crate::h2::websocket_endpoint;

pub trait Ends: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Ends for T {}

pub async fn over_http1(gate: &Gate) -> Box<dyn Ends> {
    let mut stream = TcpStream::connect(gate.http).await.expect("connect");
    let request = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Cookie: a=1; b=2\r\nSec-WebSocket-Key: k\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("written");
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 101"));
    Box::new(stream)
}

async fn over_http2(gate: &Gate) -> Box<dyn Ends> {
    let stream = TcpStream::connect(gate.http).await.expect("connect");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
    tokio::spawn(connection);
    let get = Request::get("http://h/deaf").body(Full::<Bytes>::default()).expect("a request");
    assert_eq!(sender.send_request(get).await.expect("an answer").status(), 200);
    let connect = Request::connect("http://h/chat")
        .extension(hyper::ext::Protocol::from_static("websocket"))
        .header("cookie", "a=1; b=2");
    let mut answer = sender.send_request(connect.body(Full::default()).expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    Box::new(TokioIo::new(hyper::upgrade::on(&mut answer).await.expect("a tunnel")))
}

pub async fn echoes(tunnel: &mut dyn Ends) -> bool {
    let mut back = [0; 4];
    let turn = async {
        tunnel.write_all(b"ping").await?;
        tunnel.flush().await?;
        tunnel.read_exact(&mut back).await
    };
    tokio::time::timeout(PATIENCE, turn).await.expect("in time").is_ok() && &back == b"ping"
}

pub async fn ended(tunnel: &mut dyn Ends) {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, tunnel.read_to_end(&mut rest)).await.expect("an end in time");
    assert!(end.is_err() || rest.is_empty());
}

/// Ingress: 54
#[tokio::test]
async fn a_tunnel_outlives_route_changes_and_a_drain_up_to_its_limit() {
    let address = websocket_endpoint().await;
    let gate = Gate::start(&snapshot(&[address]), |config| config.timeouts.drain = Duration::from_millis(500));
    let (mut one, mut two) = (over_http1(&gate).await, over_http2(&gate).await);
    gate.swap(&[]);
    assert!(echoes(&mut *one).await && echoes(&mut *two).await, "their endpoint is gone from the routes");
    gate.swap(&[address]);
    gate.shutdown.cancel();
    let closed = async { while TcpStream::connect(gate.http).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, closed).await.expect("the listener closes");
    assert!(echoes(&mut *one).await && echoes(&mut *two).await, "nobody new comes in, they go on");
    ended(&mut *one).await;
    ended(&mut *two).await;
}

/// Ingress: 54
#[tokio::test]
async fn a_silent_tunnel_is_closed_and_a_busy_one_is_not() {
    let gate = Gate::start(&snapshot(&[websocket_endpoint().await]), |config| {
        config.timeouts.tunnel = Duration::from_millis(400);
        // Theirs are other limits.
        config.timeouts.idle = Duration::from_millis(50);
        config.timeouts.response = Duration::from_millis(50);
    });
    let (mut one, mut two) = (over_http1(&gate).await, over_http2(&gate).await);
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..8 {
        beat.tick().await;
        assert!(echoes(&mut *one).await && echoes(&mut *two).await);
    }
    ended(&mut *one).await;
    ended(&mut *two).await;
}
