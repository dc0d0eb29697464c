//! `origin LISTEN BYTES`: answers every HTTP/1.1 request with that many bytes; below `/b` with 100 kB, and below `/w`
//! it becomes a WebSocket that echoes short messages. It looks for the ends of heads and at one byte of each;
//! requests with a body are not for it.

use std::env;
use std::io::{Read, Result as IoResult, Write};
use std::net::SocketAddr;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use bench::epoll::{self, Connection};
use bench::websocket;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

static ANSWERS: OnceLock<Answers> = OnceLock::new();

const BUFFER_BYTES: usize = 8 * 1024;
const BIG_BYTES: usize = 100_000;
const HEAD_END: [u8; 4] = *b"\r\n\r\n";
/// Where the first letter of the path stands in `GET /b`.
const LETTER_AT: usize = 5;

struct Answers {
    small: Vec<u8>,
    big: Vec<u8>,
}

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let listen: SocketAddr = arguments.next().context("usage: origin LISTEN BYTES")?.parse()?;
    let bytes: usize = arguments.next().context("usage: origin LISTEN BYTES")?.parse()?;
    ANSWERS.get_or_init(|| Answers { small: answer(bytes), big: answer(BIG_BYTES) });
    epoll::serve::<Exchange>(listen)?;
    Ok(())
}

fn answer(bytes: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {bytes}\r\n\r\n");
    head.into_bytes().into_iter().chain(std::iter::repeat_n(b'x', bytes)).collect()
}

struct Exchange {
    stream: TcpStream,
    /// How much of `HEAD_END` has just been seen.
    matched: usize,
    /// Bytes of the current head that have been seen.
    at: usize,
    letter: u8,
    /// What is still to be written, one after the other.
    owed: std::collections::VecDeque<&'static [u8]>,
    echo: Option<Echo>,
}

/// A connection that has become a WebSocket.
#[derive(Default)]
struct Echo {
    come: Vec<u8>,
    going: Vec<u8>,
}

impl Connection for Exchange {
    fn open(mut stream: TcpStream, registry: &Registry, tokens: [Token; 2]) -> IoResult<Self> {
        registry.register(&mut stream, tokens[0], Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, matched: 0, at: 0, letter: 0, owed: std::collections::VecDeque::new(), echo: None })
    }

    fn ready(&mut self) -> IoResult<bool> {
        let mut buffer = [0; BUFFER_BYTES];
        loop {
            if !self.write()? {
                return Ok(true);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(count) if !self.take(&buffer[..count]) => return Ok(false),
                Ok(_) => {}
                Err(error) if epoll::not_ready(&error) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Exchange {
    /// False for what no client of ours sends.
    fn take(&mut self, bytes: &[u8]) -> bool {
        if self.echo.is_none() {
            self.scan(bytes);
            return true;
        }
        self.echo.as_mut().is_none_or(|echo| {
            echo.come.extend_from_slice(bytes);
            websocket::echo(&mut echo.come, &mut echo.going)
        })
    }

    fn scan(&mut self, bytes: &[u8]) {
        let answers = ANSWERS.get().expect("set before the loops start");
        for &byte in bytes {
            if self.at == LETTER_AT {
                self.letter = byte;
            }
            self.at += 1;
            self.matched = match (byte == HEAD_END[self.matched], byte) {
                (true, _) => self.matched + 1,
                (false, b'\r') => 1,
                (false, _) => 0,
            };
            if self.matched == HEAD_END.len() {
                (self.matched, self.at) = (0, 0);
                match self.letter {
                    b'b' => self.owed.push_back(&answers.big),
                    b'w' => {
                        self.owed.push_back(websocket::SWITCHED);
                        self.echo = Some(Echo::default());
                    }
                    _ => self.owed.push_back(&answers.small),
                }
            }
        }
    }

    /// Whether everything was written.
    fn write(&mut self) -> IoResult<bool> {
        while let Some(rest) = self.owed.front_mut() {
            match self.stream.write(rest) {
                Ok(count) => *rest = &rest[count..],
                Err(error) if epoll::not_ready(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
            if rest.is_empty() {
                self.owed.pop_front();
            }
        }
        let Some(echo) = &mut self.echo else { return Ok(true) };
        while !echo.going.is_empty() {
            match self.stream.write(&echo.going) {
                Ok(count) => drop(echo.going.drain(..count)),
                Err(error) if epoll::not_ready(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
