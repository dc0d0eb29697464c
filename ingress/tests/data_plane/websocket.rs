//! WebSocket conversations through the gateway, over HTTP/1.1 and HTTP/2: every byte as it was said, every end as it came.
//!
//! What is a mistake between client and endpoint is none of the gateway's business: it passes, too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::sync::mpsc;

use crate::fixture::{Gate, PATIENCE, read_head, snapshot};
use crate::h2::accepting;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
/// The last frame of a message.
const FIN: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

trait Ends: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Ends for T {}

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    Client,
    Endpoint,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Over {
    Http1,
    Http2,
}

/// Turns of a conversation, each in pieces of so many bytes.
struct Case {
    name: &'static str,
    turns: Vec<(By, Vec<u8>)>,
    piece: usize,
}

/// A frame (RFC 6455 §5.2); a client's are masked.
fn frame(by: By, head: u8, payload: &[u8]) -> Vec<u8> {
    let mask_bit = if by == By::Client { 0x80 } else { 0 };
    let mut frame = vec![head];
    match payload.len() {
        short @ 0..=125 => frame.push(mask_bit | short as u8),
        middle @ 126..=0xffff => {
            frame.push(mask_bit | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(mask_bit | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    if by == By::Client {
        frame.extend(MASK);
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
    } else {
        frame.extend(payload);
    }
    frame
}

/// The same frames from the client and back from the endpoint.
fn there_and_back(name: &'static str, frames: &[(u8, &[u8])], piece: usize) -> Case {
    let all = |by| frames.iter().flat_map(|(head, payload)| frame(by, *head, payload)).collect();
    let turns = [By::Client, By::Endpoint].map(|by| (by, all(by))).into();
    Case { name, turns, piece }
}

fn conversations() -> Vec<Case> {
    let long: Vec<u8> = (0..(5 << 20) + 3).map(|at: usize| (at * 7 % 251) as u8).collect();
    let (text, smile) = ("Hello-µ@ßöäüàá-UTF-8!!".as_bytes(), "😀".as_bytes());
    let sizes = [0, 1, 125, 126, 127, 128, 0xffff, 0x1_0000, 1 << 20, long.len()];
    let mut cases: Vec<Case> = sizes
        .iter()
        .flat_map(|size| {
            [("a text", TEXT), ("a binary message", BINARY)]
                .map(|(name, kind)| there_and_back(name, &[(FIN | kind, &long[..*size])], usize::MAX))
        })
        .collect();
    let small = &long[..3000];
    cases.extend([1, 2, 997].map(|piece| there_and_back("a message in pieces", &[(FIN | BINARY, small)], piece)));
    cases.push(there_and_back("a long message in pieces", &[(FIN | BINARY, &long[..1 << 20])], 4096));
    let fragments: Vec<(u8, &[u8])> = [(TEXT, &text[..3]), (CONTINUATION, &text[3..9]), (FIN, &text[9..])].into();
    cases.push(there_and_back("fragments", &fragments, usize::MAX));
    cases.push(there_and_back("fragments byte by byte", &fragments, 1));
    let pings = [(TEXT, &text[..3]), (FIN | PING, b"?"), (CONTINUATION, b""), (FIN | PONG, b"?"), (FIN, &text[3..])];
    cases.push(there_and_back("ping and pong between fragments", &pings, usize::MAX));
    cases.push(there_and_back("a ping of full length", &[(FIN | PING, &long[..125])], usize::MAX));
    cases.push(there_and_back("a pong that nobody asked for", &[(FIN | PONG, b"unasked")], usize::MAX));
    let many: Vec<(u8, &[u8])> = std::iter::repeat_n((FIN | PING, &b"many"[..]), 1000).collect();
    cases.push(there_and_back("a thousand pings", &many, usize::MAX));
    let split = [(TEXT, &smile[..1]), (CONTINUATION, &smile[1..3]), (FIN, &smile[3..])];
    cases.push(there_and_back("a character split over frames", &split, 1));
    for (name, head, payload) in [
        ("no UTF-8", FIN | TEXT, &b"\xce\xba\xed\xa0\x80edited"[..]),
        ("a reserved bit", FIN | 0x40 | TEXT, b"compressed, perhaps"),
        ("all reserved bits", FIN | 0x70 | BINARY, b""),
        ("an opcode that is reserved", FIN | 0x3, b"x"),
        ("a control opcode that is reserved", FIN | 0xb, b""),
        ("a fragment of a ping", PING, b"fragment"),
        ("a ping that is too long", FIN | PING, &long[..126]),
        ("a continuation of nothing", FIN | CONTINUATION, b"of nothing"),
    ] {
        cases.push(there_and_back(name, &[(head, payload)], usize::MAX));
    }
    cases.push(Case {
        name: "turns in no order",
        turns: [By::Endpoint, By::Endpoint, By::Client, By::Endpoint, By::Client, By::Client]
            .map(|by| (by, frame(by, FIN | TEXT, text)))
            .into(),
        piece: 5,
    });
    cases
}

/// An endpoint that switches and then hands its connection out.
struct Endpoint {
    address: SocketAddr,
    switched: Mutex<mpsc::UnboundedReceiver<TcpStream>>,
}

async fn endpoint() -> Arc<Endpoint> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (hand_out, switched) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = read_head(&mut stream).await;
            let switches = head.to_ascii_lowercase().contains("upgrade: websocket");
            let answer = match switches {
                true => accepting(&head),
                false => "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            };
            stream.write_all(answer.as_bytes()).await.expect("written");
            if switches && hand_out.send(stream).is_err() {
                return;
            }
        }
    });
    Arc::new(Endpoint { address, switched: Mutex::new(switched) })
}

/// Both ends of an open WebSocket.
async fn open(gate: &Gate, endpoint: &Endpoint, over: Over) -> (Box<dyn Ends>, TcpStream) {
    let browser: Box<dyn Ends> = match over {
        Over::Http1 => {
            let mut stream = TcpStream::connect(gate.http).await.expect("connect");
            let request = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
            stream.write_all(request.as_bytes()).await.expect("written");
            let head = read_head(&mut stream).await.to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 101") && head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
            Box::new(stream)
        }
        Over::Http2 => {
            let stream = TcpStream::connect(gate.http).await.expect("connect");
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
            tokio::spawn(connection);
            // The server's settings come with the first answer.
            let get = Request::get("http://h/").body(Full::<Bytes>::default()).expect("a request");
            assert_eq!(sender.send_request(get).await.expect("an answer").status(), 200);
            let connect = Request::connect("http://h/chat").extension(hyper::ext::Protocol::from_static("websocket"));
            let connect = connect.body(Full::default()).expect("a request");
            let mut answer = sender.send_request(connect).await.expect("an answer");
            assert_eq!(answer.status(), 200);
            Box::new(TokioIo::new(hyper::upgrade::on(&mut answer).await.expect("a tunnel")))
        }
    };
    let switched = endpoint.switched.lock().await.recv().await.expect("the endpoint switched, too");
    (browser, switched)
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

/// What is written on one end is what comes out of the other.
async fn passes(from: &mut dyn Ends, to: &mut dyn Ends, said: &[u8], piece: usize) -> bool {
    let mut heard = vec![0; said.len()];
    let write = async {
        for piece in said.chunks(piece.min(said.len()).max(1)) {
            from.write_all(piece).await?;
            from.flush().await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let (written, read) = tokio::join!(write, to.read_exact(&mut heard));
    written.is_ok() && read.is_ok() && heard == said
}

/// Ingress: 54, 55
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_said_passes_byte_for_byte() {
    let endpoint = endpoint().await;
    let gate = Gate::to(&[endpoint.address]);
    for over in [Over::Http1, Over::Http2] {
        let (mut browser, mut server) = open(&gate, &endpoint, over).await;
        for Case { name, turns, piece } in conversations() {
            for (by, said) in turns {
                let passed = match by {
                    By::Client => in_time(name, passes(&mut *browser, &mut server, &said, piece)).await,
                    By::Endpoint => in_time(name, passes(&mut server, &mut *browser, &said, piece)).await,
                };
                assert!(passed, "{over:?}: {name}: {} bytes by the {by:?}", said.len());
            }
        }
    }
}

/// Every code that may be sent, those that must not, and none.
fn closings() -> Vec<Vec<u8>> {
    let codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    let bad = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
    let with_reason = |code: &u16| [&code.to_be_bytes()[..], "Auf Wiedersehen, ä".as_bytes()].concat();
    let mut all: Vec<Vec<u8>> = codes.iter().chain(&bad).map(with_reason).collect();
    // Without a code, with half of one, without a reason, with the longest one, with one that is no text.
    let longest = [&1000_u16.to_be_bytes()[..], &[b'*'; 123]].concat();
    all.extend([vec![], vec![3], 1000_u16.to_be_bytes().to_vec(), longest, vec![3, 232, 0xce, 0xba, 0xed]]);
    all
}

/// Ingress: 54, 55
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_handshakes_pass_with_their_codes_whoever_begins() {
    let endpoint = endpoint().await;
    let gate = Gate::to(&[endpoint.address]);
    for over in [Over::Http1, Over::Http2] {
        for closing in closings() {
            for first in [By::Client, By::Endpoint] {
                let (mut browser, mut server) = open(&gate, &endpoint, over).await;
                let frames = [By::Client, By::Endpoint].map(|by| frame(by, FIN | CLOSE, &closing));
                let what = format!("{over:?}, {first:?} first: {closing:?}");
                let [asked, answered] = match first {
                    By::Client => [
                        in_time(&what, passes(&mut *browser, &mut server, &frames[0], usize::MAX)).await,
                        in_time(&what, passes(&mut server, &mut *browser, &frames[1], usize::MAX)).await,
                    ],
                    By::Endpoint => [
                        in_time(&what, passes(&mut server, &mut *browser, &frames[1], usize::MAX)).await,
                        in_time(&what, passes(&mut *browser, &mut server, &frames[0], usize::MAX)).await,
                    ],
                };
                assert!(asked && answered, "{what}");
                // The endpoint closes the connection first (RFC 6455 §7.1.1), and the client sees its end.
                server.shutdown().await.expect("closed");
                assert_eq!(in_time(&what, browser.read(&mut [0])).await.ok(), Some(0), "{what}: no clean end");
                browser.shutdown().await.expect("closed");
                assert_eq!(in_time(&what, server.read(&mut [0])).await.ok(), Some(0), "{what}: no clean end");
            }
        }
    }
}

/// Ingress: 54, 55
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_has_ended_still_hears_the_other() {
    let endpoint = endpoint().await;
    let gate = Gate::to(&[endpoint.address]);
    let said = frame(By::Endpoint, FIN | BINARY, &[7; 200_000]);
    for over in [Over::Http1, Over::Http2] {
        let (mut browser, mut server) = open(&gate, &endpoint, over).await;
        browser.shutdown().await.expect("half closed");
        assert_eq!(in_time("the client's end", server.read(&mut [0])).await.ok(), Some(0), "{over:?}");
        assert!(in_time("after it", passes(&mut server, &mut *browser, &said, 1000)).await, "{over:?}");
        let (mut browser, mut server) = open(&gate, &endpoint, over).await;
        server.shutdown().await.expect("half closed");
        assert_eq!(in_time("the endpoint's end", browser.read(&mut [0])).await.ok(), Some(0), "{over:?}");
        assert!(in_time("after it", passes(&mut *browser, &mut server, &said, 1000)).await, "{over:?}");
    }
}

/// Ingress: 54, 55
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_breaks_off_takes_the_other_along() {
    let endpoint = endpoint().await;
    let gate = Gate::start(&snapshot(&[endpoint.address]), |config| {
        config.timeouts.tunnel = Duration::from_secs(3600);
    });
    for over in [Over::Http1, Over::Http2] {
        let (mut browser, server) = open(&gate, &endpoint, over).await;
        server.set_zero_linger().expect("a socket");
        drop(server);
        let mut rest = Vec::new();
        let end = in_time("the endpoint's abort", browser.read_to_end(&mut rest)).await;
        assert!(end.is_err() || rest.is_empty(), "{over:?}");
        let (browser, mut server) = open(&gate, &endpoint, over).await;
        drop(browser);
        let end = in_time("the client's abort", server.read(&mut [0])).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{over:?}: {end:?}");
    }
    let mut browser = TcpStream::connect(gate.http).await.expect("connect");
    let request = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    browser.write_all(request.as_bytes()).await.expect("written");
    read_head(&mut browser).await;
    let mut server = endpoint.switched.lock().await.recv().await.expect("the endpoint switched");
    browser.set_zero_linger().expect("a socket");
    drop(browser);
    let end = in_time("the client's reset", server.read(&mut [0])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}
