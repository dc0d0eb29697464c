//! An answer's body on its way to the client, as it comes.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Instant;

use bytes::Buf;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use tokio::io::AsyncWriteExt;

use super::answer::Body;
use super::chunks::Chunks;
use super::{Express, poll_into};
use crate::proxy::upstream::Link;

/// Bytes that a long body comes in.
const PIECE: usize = 64 * 1024;

/// The body did not come through whole: the connections are of no further use.
pub(super) struct Broken;

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Express<'_> {
    /// Sends what is in `told`, then the body that begins in `reply`; adds its bytes to `passed`.
    pub(super) async fn relay(&mut self, link: &mut Link, body: Body, passed: &mut u64) -> Result<(), Broken> {
        match body {
            Body::Length(length) => self.relay_length(link, length, passed).await,
            Body::Chunked => self.relay_chunks(link, passed).await,
            Body::Close => self.relay_rest(link, passed).await,
        }
    }

    async fn relay_length(&mut self, link: &mut Link, mut left: u64, passed: &mut u64) -> Result<(), Broken> {
        let here = up_to(left, self.talk.reply.len());
        self.told.extend_from_slice(&self.talk.reply[..here]);
        self.talk.reply.advance(here);
        self.tell().await?;
        left -= here as u64;
        *passed += here as u64;
        while left > 0 {
            self.talk.reply.reserve(up_to(left, PIECE));
            if !self.more(link).await? {
                return Err(Broken);
            }
            let here = up_to(left, self.talk.reply.len());
            self.caller.stream.write_all(&self.talk.reply[..here]).await?;
            self.caller.stream.flush().await?;
            self.talk.reply.advance(here);
            left -= here as u64;
            *passed += here as u64;
        }
        Ok(())
    }

    async fn relay_chunks(&mut self, link: &mut Link, passed: &mut u64) -> Result<(), Broken> {
        let (mut chunks, mut payload) = (Chunks::new(), Vec::new());
        loop {
            payload.clear();
            let read = chunks.read(&self.talk.reply, &mut payload, |_| {}).map_err(|_| Broken)?;
            self.talk.reply.advance(read);
            chunk(&payload, &mut self.told);
            *passed += payload.len() as u64;
            let ended = chunks == Chunks::End;
            if ended {
                self.told.extend_from_slice(b"0\r\n\r\n");
            }
            self.tell().await?;
            if ended {
                return Ok(());
            }
            if !self.more(link).await? {
                return Err(Broken);
            }
        }
    }

    async fn relay_rest(&mut self, link: &mut Link, passed: &mut u64) -> Result<(), Broken> {
        loop {
            chunk(&self.talk.reply, &mut self.told);
            *passed += self.talk.reply.len() as u64;
            self.talk.reply.clear();
            self.tell().await?;
            if !self.more(link).await? {
                self.told.extend_from_slice(b"0\r\n\r\n");
                return Ok(self.tell().await?);
            }
        }
    }

    async fn tell(&mut self) -> io::Result<()> {
        if !self.told.is_empty() {
            self.caller.stream.write_all(&self.told).await?;
            self.caller.stream.flush().await?;
            self.told.clear();
        }
        Ok(())
    }

    /// Reads on; false at the end of the connection.
    async fn more(&mut self, link: &mut Link) -> Result<bool, Broken> {
        self.talk.alarm.set(Instant::now() + self.idle);
        poll_fn(|cx| {
            let read = poll_into(link, &mut self.talk.reply, cx);
            if let Poll::Ready(read) = read {
                return Poll::Ready(read.map(|read| read > 0).map_err(Broken::from));
            }
            if self.caller.is_gone(cx) || self.talk.alarm.is_due(cx) {
                return Poll::Ready(Err(Broken));
            }
            Poll::Pending
        })
        .await
    }
}

fn up_to(left: u64, most: usize) -> usize {
    usize::try_from(left).map_or(most, |left| left.min(most))
}

/// `bytes` as one chunk; none is none, since an empty one would be the last.
pub fn chunk(bytes: &[u8], to: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let size = bytes.len();
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4);
    to.extend((0..digits).rev().map(|digit| DIGITS[(size >> (4 * digit)) & 0xf]));
    to.extend_from_slice(b"\r\n");
    to.extend_from_slice(bytes);
    to.extend_from_slice(b"\r\n");
}

/// Now, as `Date` has it (RFC 9110 §5.6.7).
pub(super) fn date(to: &mut Vec<u8>) {
    thread_local! {
        static LAST: Cell<(i64, [u8; 29])> = const { Cell::new((i64::MIN, [0; 29])) };
    }
    let now = Timestamp::now();
    let (mut second, mut text) = LAST.get();
    if second != now.as_second() {
        let printed = DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok();
        let Some(fresh) = printed.and_then(|printed| printed.as_bytes().try_into().ok()) else { return };
        (second, text) = (now.as_second(), fresh);
        LAST.set((second, text));
    }
    to.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use super::{chunk, date};

    #[test]
    fn sizes_are_hexadecimal_and_dates_have_29_characters() {
        for (length, wanted) in [(1, "1\r\n"), (15, "F\r\n"), (16, "10\r\n"), (4096, "1000\r\n"), (65_535, "FFFF\r\n")]
        {
            let mut out = Vec::new();
            chunk(&vec![b'x'; length], &mut out);
            assert!(out.starts_with(wanted.as_bytes()) && out.ends_with(b"x\r\n"), "{length}");
            assert_eq!(out.len(), wanted.len() + length + 2);
        }
        let mut out = Vec::new();
        chunk(b"", &mut out);
        date(&mut out);
        date(&mut out);
        assert_eq!(out.len(), 58);
        assert!(out.ends_with(b" GMT") && out[..29] == out[29..], "{out:?}");
    }
}
