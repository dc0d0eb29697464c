//! An HTTP/2 client that writes the frames it is told to, sound or not.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::PATIENCE;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame as it came in.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub struct Raw(pub TcpStream);

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A field without indexing, neither part compressed.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for part in [name, value] {
        // One byte tells lengths below 127.
        bytes.push(u8::try_from(part.len()).ok().filter(|n| *n < 127).expect("a short field"));
        bytes.extend(part.as_bytes());
    }
    bytes
}

/// The fields of `GET /` or `POST /` at host `h`.
pub fn request(method: &str) -> Vec<u8> {
    let fields = [(":method", method), (":scheme", "http"), (":path", "/"), (":authority", "h")];
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

impl Raw {
    /// Connects and says hello with default settings.
    pub async fn connect(to: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(to).await.expect("connect");
        stream.set_nodelay(true).expect("a socket");
        stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.expect("written");
        Self(stream)
    }

    /// The server's side of a connection: reads the preface and says hello.
    pub async fn serve(mut stream: TcpStream) -> Self {
        let mut preface = vec![0; PREFACE.len()];
        stream.read_exact(&mut preface).await.expect("a preface");
        assert_eq!(preface, PREFACE);
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.expect("written");
        Self(stream)
    }

    /// Writes a frame; `false` if the other side has closed.
    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.write(&frame(kind, flags, stream, payload)).await
    }

    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        match tokio::time::timeout(PATIENCE, self.0.write_all(bytes)).await {
            Ok(written) => written.is_ok(),
            // Nobody reads any more: as good as closed.
            Err(_) => false,
        }
    }

    /// The next frame, or `None` at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            Some(Frame { kind: head[3], flags: head[4], stream, payload })
        };
        tokio::time::timeout(PATIENCE, read).await.expect("a frame in time")
    }

    /// The next frame of one of those kinds.
    pub async fn next_of(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let next = self.next().await?;
            if kinds.contains(&next.kind) {
                return Some(next);
            }
        }
    }

    /// The next frame of that kind.
    pub async fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let next = self.next().await?;
            if next.kind == kind && (kind != SETTINGS || next.flags & ACK == 0) {
                return Some(next);
            }
        }
    }

    /// Reads to the end of the connection; says how many frames came and whether one was a GOAWAY.
    pub async fn end(mut self, patience: Duration) -> Option<(usize, bool)> {
        let all = async {
            let (mut count, mut goaway) = (0, false);
            while let Some(frame) = self.next().await {
                count += 1;
                goaway |= frame.kind == GOAWAY;
            }
            (count, goaway)
        };
        tokio::time::timeout(patience, all).await.ok()
    }
}
