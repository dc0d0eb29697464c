//! Request smuggling: families of malformed framing, generated; the endpoint must never see a second request.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::fixture::{Gate, PATIENCE};

/// Requests that are tried at once.
const WIDTH: usize = 32;
/// Where a smuggled request would go.
const PREY: &str = "/smuggled";

/// An endpoint that keeps every byte it gets and reads framing as laxly as the worst of servers: it answers each head.
struct Recorder {
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(record(stream, kept.clone()));
            }
        });
        Self { address, seen }
    }

    fn bytes(&self) -> Vec<Vec<u8>> {
        self.seen.lock().expect("no panic").clone()
    }
}

async fn record(mut stream: TcpStream, kept: Arc<Mutex<Vec<Vec<u8>>>>) {
    let number = {
        let mut kept = kept.lock().expect("no panic");
        kept.push(Vec::new());
        kept.len() - 1
    };
    let mut buffer = [0; 4096];
    let mut answered = false;
    loop {
        let length = match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        let whole = {
            let mut kept = kept.lock().expect("no panic");
            kept[number].extend_from_slice(&buffer[..length]);
            ends(&kept[number])
        };
        if whole && !answered {
            answered = true;
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Whether what the gate sent is one whole request, by the gate's own framing.
fn ends(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    if head.contains("\r\ntransfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length = head.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.lines().next());
    body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

/// What hides a transfer coding from one reader and not from another.
fn codings() -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let names = [
        "Transfer-Encoding",
        "transfer-encoding",
        "TRANSFER-ENCODING",
        "Transfer_Encoding",
        "Transfer Encoding",
        "Transfer\\Encoding",
        "TrAnSfEr-EnCoDiNg",
        "Transfer-Encodin",
        "XTransfer-Encoding",
    ];
    let values = [
        "chunked",
        "Chunked",
        "CHUNKED",
        "chunked, identity",
        "identity, chunked",
        "identity",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "xchunked",
        "chunkedx",
        "chun ked",
        "\"chunked\"",
        "'chunked'",
        "chunked;q=1",
        "gzip, chunked",
        "chunked\t",
        "\tchunked",
        "cow",
        "cow, chunked",
        "",
    ];
    for name in names {
        found.extend(values.iter().map(|value| format!("{name}: {value}\r\n")));
    }
    for byte in (0u8..=0x20).chain([0x7f, 0x85, 0xa0, 0xff]) {
        let odd = char::from(byte);
        found.push(format!("Transfer-Encoding:{odd}chunked\r\n"));
        found.push(format!("Transfer-Encoding{odd}: chunked\r\n"));
        found.push(format!("{odd}Transfer-Encoding: chunked\r\n"));
        found.push(format!("Transfer-Encoding: {odd}chunked\r\n"));
        found.push(format!("Transfer-Encoding: chunked{odd}\r\n"));
        found.push(format!("Transfer-Encoding: chun{odd}ked\r\n"));
        found.push(format!("X: y{odd}Transfer-Encoding: chunked\r\n"));
    }
    for fold in ["\r\n ", "\r\n\t", "\n ", "\n", "\r", "\r\n\r\n", "\r \n"] {
        found.push(format!("Transfer-Encoding:{fold}chunked\r\n"));
        found.push(format!("Transfer-Encoding: chunked{fold}\r\n"));
        found.push(format!("X: y{fold}Transfer-Encoding: chunked\r\n"));
        found.push(format!("Transfer-Encoding{fold}: chunked\r\n"));
    }
    for twice in ["identity", "chunked", "cow", ""] {
        found.push(format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: {twice}\r\n"));
        found.push(format!("Transfer-Encoding: {twice}\r\nTransfer-Encoding: chunked\r\n"));
    }
    found
}

/// Lengths that two readers could take for different numbers.
fn lengths(length: usize) -> Vec<String> {
    let mut found = Vec::new();
    for value in [
        format!("{length}"),
        format!("+{length}"),
        format!("-{length}"),
        format!("0{length}"),
        format!("0x{length:x}"),
        format!("{length}_0"),
        format!("{length},{length}"),
        format!("{length}, 0"),
        format!("0, {length}"),
        format!("{length} 0"),
        format!("{length};"),
        format!("{length}.0"),
        format!("{length}e0"),
        format!("\"{length}\""),
        format!("{length}\0"),
        format!("\x0b{length}"),
        format!("{length}\x0c"),
        format!(" {length}"),
        String::new(),
        format!("{}", u64::MAX),
        format!("18446744073709551616{length}"),
    ] {
        found.push(format!("Content-Length: {value}\r\n"));
        found.push(format!("Content-Length: 0\r\nContent-Length: {value}\r\n"));
        found.push(format!("Content-Length: {value}\r\nContent-Length: 0\r\n"));
        found.push(format!("Content_Length: {value}\r\n"));
        found.push(format!("Content-Length : {value}\r\n"));
        found.push(format!("Content-Length: {value}\nX: y\r\n"));
    }
    found
}

/// Chunks that end elsewhere for a careless reader.
fn chunks(prey: &str) -> Vec<String> {
    let mut found = Vec::new();
    for size in [
        "0x1",
        "+1",
        "-1",
        " 1",
        "1 ",
        "1\t",
        "\t1",
        "1_",
        "_1",
        "01",
        "1;",
        "1;a",
        "1;a=b",
        "1 ;a",
        "1;\"\r\n\"",
        "1;a\n",
        "1;a\r",
        "1\n",
        "1\r",
        "1\r\r",
        "\r\n1",
        "1,",
        "g",
        "",
        "10000000000000001",
        "ffffffffffffffff",
        "1\0",
        "1\x0b",
        "\u{ff11}",
    ] {
        for end in ["\r\n", "\n", "\r", "\r\r\n", ""] {
            found.push(format!("{size}{end}Z\r\n0\r\n\r\n{prey}"));
        }
        found.push(format!("1\r\nZ\r\n0{size}\r\n\r\n{prey}"));
    }
    for end in [
        "0\r\n\n",
        "0\n\n",
        "0\r\n\r",
        "0\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: y\n\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\n:\r\n\r\n",
    ] {
        found.push(format!("1\r\nZ\r\n{end}{prey}"));
    }
    found.push(format!("1;{}\r\nZ\r\n0\r\n\r\n{prey}", "x".repeat(1 << 20)));
    found.push(format!("1\r\nZZ\r\n0\r\n\r\n{prey}"));
    found.push(format!("2\r\nZ\r\n0\r\n\r\n{prey}"));
    found
}

/// Every request of the families, each with a second one hidden in it.
fn requests() -> Vec<String> {
    let prey = format!("GET {PREY} HTTP/1.1\r\nHost: h\r\nX: ");
    let mut found = Vec::new();
    for method in ["POST", "GET"] {
        for coding in codings() {
            // CL.TE, and the other way round: what follows the last chunk is inside the length, or outside.
            let (body, short) = (format!("0\r\n\r\n{prey}"), 4);
            let long = body.len();
            for length in [long, short] {
                let head = format!("{method} / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n");
                found.push(format!("{head}Content-Length: {length}\r\n{coding}\r\n{body}"));
                found.push(format!("{head}{coding}Content-Length: {length}\r\n\r\n{body}"));
            }
            found
                .push(format!("{method} / HTTP/1.1\r\nHost: h\r\n{coding}\r\n{:x}\r\n{prey}\r\n0\r\n\r\n", prey.len()));
            found.push(format!(
                "{method} / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n{coding}\r\n0\r\n\r\n{prey}"
            ));
        }
        for length in lengths(prey.len()) {
            found.push(format!("{method} / HTTP/1.1\r\nHost: h\r\n{length}\r\n{prey}"));
        }
        for chunk in chunks(&prey) {
            found.push(format!("{method} / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"));
        }
    }
    for line in [
        "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\r",
        "GET /#frag HTTP/1.1\r\n",
        "GET  / HTTP/1.1\r\n",
        "GET /\tHTTP/1.1\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET / HTTP/1.10\r\n",
        "GET / HTTP/2.0\r\n",
        "GET / http/1.1\r\n",
        "GET /\r\n",
        "GET\r\n",
        " GET / HTTP/1.1\r\n",
        "GET /a\0b HTTP/1.1\r\n",
        "G\0T / HTTP/1.1\r\n",
        "GET h:80 HTTP/1.1\r\n",
        "GET * HTTP/1.1\r\n",
    ] {
        found.push(format!("{line}Host: h\r\nContent-Length: {}\r\n\r\n{prey}", prey.len()));
    }
    found
}

/// Sends one payload and reads to the end, by force where the gate keeps the connection open.
async fn send(to: std::net::SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).await.expect("connect");
    // The gate may refuse before it has read everything.
    drop(stream.write_all(payload).await);
    drop(stream.shutdown().await);
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let shown = String::from_utf8_lossy(&payload[..payload.len().min(300)]);
    drop(read.unwrap_or_else(|_| panic!("the gate ends the connection after {shown:?}, not only {answer:?}")));
    answer
}

/// Ingress: 1, 2, 3, 4, 5, 6, 7, 8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_payload_of_the_known_families_becomes_a_second_request() {
    let endpoint = Recorder::start().await;
    let gate = Gate::to(&[endpoint.address]);
    let payloads = requests();
    assert!(payloads.len() > 1000, "{} payloads", payloads.len());
    let (mut running, mut answers) = (JoinSet::new(), Vec::new());
    for (number, payload) in payloads.iter().enumerate() {
        // Latin-1, so that high bytes are single ones.
        let bytes: Vec<u8> = payload.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
        let to = gate.http;
        running.spawn(async move { (number, send(to, &bytes).await) });
        if running.len() >= WIDTH {
            answers.push(running.join_next().await.expect("some").expect("no panic"));
        }
    }
    answers.extend(running.join_all().await);
    let mut served = 0;
    for (number, answer) in answers {
        let text = String::from_utf8_lossy(&answer);
        let heads: Vec<&str> = text.split("HTTP/1.1 ").skip(1).map(|head| &head[..3]).collect();
        // What is well-formed may be answered, the remainder then waits for more that does not come.
        let fine = matches!(heads[..], [] | ["200"] | ["200", "400"] | ["400" | "405" | "414" | "431" | "505"]);
        served += usize::from(heads.first() == Some(&"200"));
        assert!(fine, "{:?} got {heads:?}", payloads[number].chars().take(200).collect::<String>());
    }
    assert!(served > 100, "the harmless ones are served: {served}");
    for seen in endpoint.bytes() {
        let text = String::from_utf8_lossy(&seen);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        assert!(!head.contains(PREY), "{text}");
        // In a body the bytes are what they are, as long as the framing before them says so.
        if body.contains(PREY) {
            assert!(ends(&seen) || head.contains("transfer-encoding"), "{text}");
            let lower = head.to_ascii_lowercase();
            assert_eq!(
                lower.matches("\r\ncontent-length:").count() + lower.matches("\r\ntransfer-encoding:").count(),
                1,
                "{text}"
            );
            if let Some(length) = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()) {
                assert_eq!(length.parse::<usize>().ok(), Some(body.len()), "{text}");
            }
        }
        assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{head:?}");
    }
}
