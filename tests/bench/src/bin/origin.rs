//! `origin LISTEN BYTES`: answers every HTTP/1.1 request with the same body of that many bytes.
//! It counts the ends of request heads and parses nothing; requests with a body are not for it.

use std::env;
use std::io::{Read, Result as IoResult, Write};
use std::net::SocketAddr;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use bench::epoll::{self, Connection};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

static ANSWER: OnceLock<Vec<u8>> = OnceLock::new();

const BUFFER_BYTES: usize = 8 * 1024;
const HEAD_END: [u8; 4] = *b"\r\n\r\n";

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let listen: SocketAddr = arguments.next().context("usage: origin LISTEN BYTES")?.parse()?;
    let bytes: usize = arguments.next().context("usage: origin LISTEN BYTES")?.parse()?;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {bytes}\r\n\r\n");
    ANSWER.get_or_init(|| head.into_bytes().into_iter().chain(std::iter::repeat_n(b'x', bytes)).collect());
    epoll::serve::<Exchange>(listen)?;
    Ok(())
}

struct Exchange {
    stream: TcpStream,
    /// How much of `HEAD_END` has just been seen.
    matched: usize,
    /// Answers that are still to be written, the current one included.
    owed: usize,
    /// Bytes of the current answer that are written.
    written: usize,
}

impl Connection for Exchange {
    fn open(mut stream: TcpStream, registry: &Registry, tokens: [Token; 2]) -> IoResult<Self> {
        registry.register(&mut stream, tokens[0], Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, matched: 0, owed: 0, written: 0 })
    }

    fn ready(&mut self) -> IoResult<bool> {
        let mut buffer = [0; BUFFER_BYTES];
        loop {
            self.answer()?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => self.scan(&buffer[..count]),
                Err(error) if epoll::not_ready(&error) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Exchange {
    fn scan(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.matched = match (byte == HEAD_END[self.matched], byte) {
                (true, _) => self.matched + 1,
                (false, b'\r') => 1,
                (false, _) => 0,
            };
            if self.matched == HEAD_END.len() {
                (self.matched, self.owed) = (0, self.owed + 1);
            }
        }
    }

    fn answer(&mut self) -> IoResult<()> {
        let answer = ANSWER.get().expect("set before the loops start");
        while self.owed > 0 {
            match self.stream.write(&answer[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if epoll::not_ready(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
            if self.written == answer.len() {
                (self.written, self.owed) = (0, self.owed - 1);
            }
        }
        Ok(())
    }
}
