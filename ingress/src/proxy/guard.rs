//! A second, stricter reading of HTTP/1 request framing, before the parser's own: what the two could read differently is refused.
//!
//! Sees raw bytes, which the parser does not show: bare LF, `#` in the target, length and chunking together. Knows neither
//! fields' meaning nor routes. Source: RFC 9112 §2.2, §3, §6, §7.1.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use memchr::{memchr, memchr2};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::peer::Peer;

/// Bytes of a line that are kept when it comes in pieces: more than the fields that frame a body may have.
const KEPT: usize = 64;
/// More digits than any length has that a disk could hold.
const LENGTH_DIGITS: usize = 18;
/// The same in hexadecimal.
const CHUNK_DIGITS: u8 = 15;
/// No parser takes it where the guard puts it.
const POISON: u8 = 0;

/// A downstream connection whose requests are read by the guard first.
pub struct Guarded<S> {
    inner: S,
    peer: Arc<Peer>,
    guard: Guard,
}

/// Where in a request the next byte stands.
#[derive(Debug, Default)]
pub struct Guard {
    state: State,
    line: Line,
    framing: Framing,
}

/// What a request has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Before a request line, where empty lines are passed over.
    #[default]
    Start,
    Fields,
    Body(u64),
    ChunkSize {
        size: u64,
        digits: u8,
    },
    ChunkExtension(u64),
    ChunkSizeLf(u64),
    ChunkBytes(u64),
    ChunkCr,
    ChunkLf,
    Trailers,
    /// Something was refused: nothing after it is read.
    Refused,
}

/// A line that has begun in an earlier piece.
#[derive(Debug)]
struct Line {
    kept: [u8; KEPT],
    length: usize,
    last: u8,
    fragment: bool,
}

/// What the fields so far say about the body.
#[derive(Debug, Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self { kept: [0; KEPT], length: 0, last: 0, fragment: false }
    }
}

impl Line {
    /// Takes a further piece of the line.
    fn push(&mut self, piece: &[u8]) {
        let Some(last) = piece.last() else { return };
        let at = self.length.min(KEPT);
        let fits = piece.len().min(KEPT - at);
        self.kept[at..at + fits].copy_from_slice(&piece[..fits]);
        self.length += piece.len();
        self.last = *last;
        self.fragment = self.fragment || memchr(b'#', piece).is_some();
    }
}

impl Guard {
    /// Reads on; gives how many of `bytes` the parser may see, the last of them made unreadable if it is less than all.
    pub fn check(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            match self.step(&bytes[at..]) {
                Some(taken) => at += taken,
                None => {
                    self.state = State::Refused;
                    return self.refuse(bytes, at);
                }
            }
        }
        at
    }

    /// What it has come to.
    #[cfg(feature = "fuzzing")]
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The length of the body after a head of which nothing could be read differently; `None` for other heads and for chunks.
    #[must_use]
    pub fn length(bytes: &[u8]) -> Option<u64> {
        let (mut guard, mut at) = (Self::default(), 0);
        while at < bytes.len() {
            match guard.step(&bytes[at..]) {
                Some(taken) => at += taken,
                None => return None,
            }
        }
        match guard.state {
            State::Start => Some(0),
            State::Body(length) => Some(length),
            _ => None,
        }
    }

    /// Poisons the byte at which reading stopped: of a line its end, else the very byte.
    fn refuse(&mut self, bytes: &mut [u8], at: usize) -> usize {
        let end = memchr(b'\n', &bytes[at..]).map_or(at, |lf| at + lf);
        bytes[at..=end].fill(POISON);
        end + 1
    }

    /// Bytes that are in order, at least one; `None` where they are not.
    fn step(&mut self, bytes: &[u8]) -> Option<usize> {
        match self.state {
            State::Start | State::Fields | State::Trailers => self.line(bytes),
            State::Body(left) => {
                let (taken, left) = skip(bytes, left);
                self.state = if left == 0 { State::Start } else { State::Body(left) };
                Some(taken)
            }
            State::ChunkBytes(left) => {
                let (taken, left) = skip(bytes, left);
                self.state = if left == 0 { State::ChunkCr } else { State::ChunkBytes(left) };
                Some(taken)
            }
            State::ChunkExtension(size) => {
                let Some(end) = memchr2(b'\r', b'\n', bytes) else { return Some(bytes.len()) };
                self.state = State::ChunkSizeLf(size);
                (bytes[end] == b'\r').then_some(end + 1)
            }
            _ => self.chunk_byte(bytes[0]).map(|next| {
                self.state = next;
                1
            }),
        }
    }

    fn chunk_byte(&self, byte: u8) -> Option<State> {
        match (self.state, byte) {
            (State::ChunkSize { digits: 1.., size }, b'\r') => Some(State::ChunkSizeLf(size)),
            (State::ChunkSize { digits: 1.., size }, b';') => Some(State::ChunkExtension(size)),
            (State::ChunkSize { digits: 0..CHUNK_DIGITS, size }, digit) if digit.is_ascii_hexdigit() => {
                let value = char::from(digit).to_digit(16).expect("it is a hexadecimal digit");
                let State::ChunkSize { digits, .. } = self.state else { return None };
                Some(State::ChunkSize { size: size * 16 + u64::from(value), digits: digits + 1 })
            }
            (State::ChunkSizeLf(0), b'\n') => Some(State::Trailers),
            (State::ChunkSizeLf(size), b'\n') => Some(State::ChunkBytes(size)),
            (State::ChunkCr, b'\r') => Some(State::ChunkLf),
            (State::ChunkLf, b'\n') => Some(State::ChunkSize { size: 0, digits: 0 }),
            _ => None,
        }
    }

    fn line(&mut self, bytes: &[u8]) -> Option<usize> {
        let Some(lf) = memchr(b'\n', bytes) else {
            self.line.push(bytes);
            return Some(bytes.len());
        };
        let piece = &bytes[..lf];
        if self.line.length == 0 {
            let (text, cr) = piece.split_last().map(|(last, text)| (text, *last))?;
            let fragment = self.state == State::Start && memchr(b'#', text).is_some();
            self.ended(text, cr, fragment)?;
        } else {
            self.line.push(piece);
            let line = std::mem::take(&mut self.line);
            let text = line.kept.get(..line.length - 1).unwrap_or(&line.kept);
            self.ended(text, line.last, line.fragment && self.state == State::Start)?;
        }
        Some(lf + 1)
    }

    /// A line without its end; of a long one at least [`KEPT`] bytes.
    fn ended(&mut self, text: &[u8], cr: u8, fragment: bool) -> Option<()> {
        if cr != b'\r' || fragment {
            return None;
        }
        self.state = match (self.state, text) {
            (State::Start, []) => State::Start,
            (State::Start, _) => {
                self.framing = Framing::default();
                State::Fields
            }
            (State::Trailers, []) => State::Start,
            (State::Trailers, _) => State::Trailers,
            (_, []) => match &self.framing {
                Framing { chunked: true, .. } => State::ChunkSize { size: 0, digits: 0 },
                Framing { length: Some(1..), .. } => State::Body(self.framing.length?),
                _ => State::Start,
            },
            (_, [b'c' | b'C' | b't' | b'T', ..]) => {
                self.framing.read(text)?;
                State::Fields
            }
            (_, _) => State::Fields,
        };
        Some(())
    }
}

impl Framing {
    /// Each of the two fields at most once, and never both (RFC 9112 §6.1, §6.3).
    fn read(&mut self, field: &[u8]) -> Option<()> {
        let fits = field.len() < KEPT;
        if let Some(value) = value(field, b"content-length:") {
            let unframed = fits && self.length.is_none() && !self.chunked;
            let digits = (1..=LENGTH_DIGITS).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
            let length = || value.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            self.length = (unframed && digits).then(length);
            self.length?;
        } else if let Some(value) = value(field, b"transfer-encoding:") {
            let unframed = fits && self.length.is_none() && !self.chunked;
            self.chunked = unframed && value.eq_ignore_ascii_case(b"chunked");
            self.chunked.then_some(())?;
        }
        Some(())
    }
}

/// The value of a field if it has this name, without the blanks around it.
fn value<'f>(field: &'f [u8], name: &[u8]) -> Option<&'f [u8]> {
    let (start, value) = field.split_at_checked(name.len())?;
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let from = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let to = value.iter().rposition(|byte| !blank(byte)).map_or(from, |last| last + 1);
    start.eq_ignore_ascii_case(name).then(|| &value[from..to])
}

/// How many bytes of a body of `left` are here, and how many are not.
fn skip(bytes: &[u8], left: u64) -> (usize, u64) {
    let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    (taken, left - taken as u64)
}

impl<S> Guarded<S> {
    /// Guards `inner` until its peer has switched to another protocol.
    #[must_use]
    pub fn new(inner: S, peer: Arc<Peer>) -> Self {
        Self { inner, peer, guard: Guard::default() }
    }

    /// Whether it refused something, and so reads nothing more.
    pub fn has_refused(&self) -> bool {
        self.guard.state == State::Refused
    }

    /// What was guarded, for a protocol that is not HTTP.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        if this.has_refused() {
            // As if the client had sent nothing more.
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        if !this.peer.has_switched() {
            let readable = this.guard.check(&mut buf.filled_mut()[before..]);
            buf.set_filled(before + readable);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
