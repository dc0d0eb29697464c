//! One tunnel between two plain sockets: what came in at one goes out at the other, and what cannot yet is kept.
//!
//! Knows sockets that do not block, and times that others read; must not know who waits for it.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use mio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

#[cfg(not(target_vendor = "apple"))]
const QUIETLY: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const QUIETLY: SendFlags = SendFlags::empty();

/// Pieces that one direction may take before others have their turn.
const AT_ONCE: usize = 16;

/// Two sockets, the client's first, and what is on its way between them.
pub struct Pair {
    pub sockets: [TcpStream; 2],
    /// What the socket of the same number sends to the other one.
    pub ways: [Way; 2],
    pub limits: Limits,
    quiet_since: Option<Instant>,
    stuck_since: Option<Instant>,
}

/// How long a tunnel may stand still.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Without a byte in either direction.
    pub idle: Duration,
    /// While the client takes nothing of what waits for it; `None` is as long as it likes.
    pub stall: Option<Duration>,
}

/// One direction. While nothing waits to be written it holds no memory.
pub struct Way {
    rest: BytesMut,
    /// The sender's socket may have more.
    readable: bool,
    /// The sender's side is shut, so that a short read is not all.
    shut: bool,
    /// All of it was read.
    ended: bool,
    /// The receiver knows it.
    closed: bool,
    /// Bytes came, or went, since somebody looked.
    read: bool,
    written: bool,
}

/// What a direction has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A socket is not ready.
    Waits,
    /// There may be more, but others are to have their turn.
    Goes,
    /// Everything has come through.
    Done,
}

impl Pair {
    /// A tunnel of which nothing was read but `early`, by the numbers of the senders.
    #[must_use]
    pub fn new(sockets: [TcpStream; 2], early: [BytesMut; 2], limits: Limits) -> Self {
        Self { sockets, ways: early.map(Way::after), limits, quiet_since: None, stuck_since: None }
    }

    /// Copies what socket `from` sends.
    ///
    /// # Errors
    /// Either socket broke: the tunnel is over.
    pub fn carry(&mut self, from: usize, scratch: &mut [u8]) -> io::Result<Turn> {
        self.ways[from].carry(&self.sockets[from], &self.sockets[1 - from], scratch)
    }

    /// Whether both directions have come to their end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ways.iter().all(|way| way.closed)
    }

    /// Takes note of what moved since the last look; whether it stood still for too long.
    pub fn is_overdue(&mut self, now: Instant) -> bool {
        let [up, down] = &mut self.ways;
        let moved = std::mem::take(&mut up.read) | std::mem::take(&mut down.read);
        let stuck = !down.rest.is_empty() && !std::mem::take(&mut down.written);
        let silent = held_for(&mut self.quiet_since, !moved, now);
        let stalled = held_for(&mut self.stuck_since, stuck, now);
        silent.is_some_and(|it| it >= self.limits.idle)
            || stalled.zip(self.limits.stall).is_some_and(|(it, limit)| it >= limit)
    }
}

/// How long something holds by now, if it holds; `since` remembers.
fn held_for(since: &mut Option<Instant>, holds: bool, now: Instant) -> Option<Duration> {
    *since = holds.then(|| since.unwrap_or(now));
    since.map(|since| now.saturating_duration_since(since))
}

impl Way {
    /// `early` comes before all that is read.
    fn after(early: BytesMut) -> Self {
        Self { rest: early, readable: true, shut: false, ended: false, closed: false, read: false, written: false }
    }

    /// The sender's socket has something, or `shut`, its end.
    pub fn may_be_read(&mut self, shut: bool) {
        self.readable = true;
        self.shut |= shut;
    }

    /// Whether there is something to do once the receiver takes bytes again.
    #[must_use]
    pub fn waits_for_receiver(&self) -> bool {
        !self.rest.is_empty()
    }

    fn carry(&mut self, from: &TcpStream, to: &TcpStream, scratch: &mut [u8]) -> io::Result<Turn> {
        for _ in 0..AT_ONCE {
            if self.closed {
                return Ok(Turn::Done);
            }
            if !self.rest.is_empty() {
                match send(to, &self.rest)? {
                    0 => return Ok(Turn::Waits),
                    sent => self.rest.advance(sent),
                }
                self.written = true;
                if self.rest.is_empty() {
                    self.rest = BytesMut::new();
                }
            } else if self.ended {
                to.shutdown(Shutdown::Write)?;
                self.closed = true;
            } else if self.readable {
                self.piece(from, to, scratch)?;
            } else {
                return Ok(Turn::Waits);
            }
        }
        Ok(Turn::Goes)
    }

    fn piece(&mut self, from: &TcpStream, to: &TcpStream, scratch: &mut [u8]) -> io::Result<()> {
        let Some(length) = receive(from, scratch)? else {
            self.readable = false;
            return Ok(());
        };
        if length == 0 {
            self.ended = true;
            return Ok(());
        }
        // Less than was asked for is all there is, and the system tells of more; but it has told of the end already.
        self.readable = length == scratch.len() || self.shut;
        self.read = true;
        let sent = send(to, &scratch[..length])?;
        if sent < length {
            self.rest = BytesMut::from(&scratch[sent..length]);
        }
        Ok(())
    }
}

/// Bytes that were read, none at the end; `None` while there are none.
fn receive(from: &TcpStream, into: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match rustix::net::recv(from, &mut *into, RecvFlags::empty()) {
            Ok((read, _)) => return Ok(Some(read)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Bytes that were taken; none while the receiver takes none. `bytes` are some.
fn send(to: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::net::send(to, bytes, QUIETLY) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(sent) => return Ok(sent),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(0),
            Err(error) => return Err(error.into()),
        }
    }
}
