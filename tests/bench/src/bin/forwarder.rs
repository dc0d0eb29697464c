//! `forwarder LISTEN UPSTREAM`: the floor of every proxy. It copies bytes between a client's
//! connection and one of its own to the upstream, and looks at none of them.

use std::env;
use std::io::{Read, Result as IoResult, Write};
use std::net::SocketAddr;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use bench::epoll::{self, Connection};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

static UPSTREAM: OnceLock<SocketAddr> = OnceLock::new();

const BUFFER_BYTES: usize = 16 * 1024;

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let listen: SocketAddr = arguments.next().context("usage: forwarder LISTEN UPSTREAM")?.parse()?;
    let upstream: SocketAddr = arguments.next().context("usage: forwarder LISTEN UPSTREAM")?.parse()?;
    UPSTREAM.get_or_init(|| upstream);
    epoll::serve::<Pair>(listen)?;
    Ok(())
}

struct Pair {
    downstream: TcpStream,
    upstream: TcpStream,
    up: Pipe,
    down: Pipe,
}

struct Pipe {
    buffer: Box<[u8; BUFFER_BYTES]>,
    filled: usize,
    written: usize,
}

impl Connection for Pair {
    fn open(mut downstream: TcpStream, registry: &Registry, tokens: [Token; 2]) -> IoResult<Self> {
        let mut upstream = TcpStream::connect(*UPSTREAM.get().expect("set before the loops start"))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut downstream, tokens[0], interest)?;
        registry.register(&mut upstream, tokens[1], interest)?;
        Ok(Self { downstream, upstream, up: Pipe::new(), down: Pipe::new() })
    }

    fn ready(&mut self) -> IoResult<bool> {
        let up = self.up.pump(&mut self.downstream, &mut self.upstream)?;
        let down = self.down.pump(&mut self.upstream, &mut self.downstream)?;
        Ok(up && down)
    }
}

impl Pipe {
    fn new() -> Self {
        Self { buffer: Box::new([0; BUFFER_BYTES]), filled: 0, written: 0 }
    }

    /// Copies until one side would block; false at the end of the input.
    fn pump(&mut self, from: &mut TcpStream, to: &mut TcpStream) -> IoResult<bool> {
        loop {
            while self.written < self.filled {
                match to.write(&self.buffer[self.written..self.filled]) {
                    Ok(count) => self.written += count,
                    Err(error) if epoll::not_ready(&error) => return Ok(true),
                    Err(error) => return Err(error),
                }
            }
            match from.read(&mut self.buffer[..]) {
                Ok(0) => return Ok(false),
                Ok(count) => (self.filled, self.written) = (count, 0),
                Err(error) if epoll::not_ready(&error) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }
}
