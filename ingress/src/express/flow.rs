//! An answer's body as a stream of pieces, over the bare connection that it comes from.
//!
//! Knows how HTTP/1.1 frames bodies; its client is whoever polls it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::body::{Body as Pieces, Frame, SizeHint};

use super::answer::{Answer, Body};
use super::chunks::{Chunks, Malformed};
use super::exchange::Trial;
use super::poll_into;
use crate::proxy::body::{BodyError, IdleTimer};
use crate::proxy::head::is_hop_by_hop;
use crate::proxy::upstream::{Link, Pool};

/// Fields that trailers have at most.
const TRAILERS: usize = 64;

/// The rest of an answer.
pub(super) struct Flow {
    left: Left,
    /// Came, and was not taken yet.
    reply: BytesMut,
    /// Absent once it is back in its pool, or of no use.
    link: Option<Link>,
    trial: Trial,
    pool: Arc<Pool>,
    goes_on: bool,
    idle: IdleTimer,
}

enum Left {
    Bytes(u64),
    Chunks(Chunks, Vec<u8>),
    /// Until the connection ends.
    Rest,
    Nothing,
}

impl Flow {
    /// The body whose first bytes are in `reply`; no piece may take longer than `limit`.
    pub fn new(
        (reply, answer): (BytesMut, &Answer),
        (link, trial): (Link, Trial),
        pool: Arc<Pool>,
        limit: Duration,
    ) -> Self {
        let left = match answer.body {
            Body::Length(length) => Left::Bytes(length),
            Body::Chunked => Left::Chunks(Chunks::new(), Vec::new()),
            Body::Close => Left::Rest,
        };
        Self { left, reply, link: Some(link), trial, pool, goes_on: answer.goes_on, idle: IdleTimer::new(limit) }
    }

    /// All of it, if it is here already; the connection is free then.
    pub fn whole(&mut self) -> Option<Bytes> {
        let Left::Bytes(length) = self.left else { return None };
        let length = usize::try_from(length).ok().filter(|length| *length <= self.reply.len())?;
        let bytes = self.reply.split_to(length).freeze();
        self.end();
        Some(bytes)
    }

    /// The connection may serve the next request.
    fn end(&mut self) {
        self.left = Left::Nothing;
        if let Some(link) = self.link.take()
            && self.goes_on
            && self.reply.is_empty()
        {
            self.pool.keep_bare(self.trial.target(), link);
        }
    }

    /// The next piece of what has come; `None` if there must be more.
    fn piece(&mut self) -> Result<Option<Frame<Bytes>>, Malformed> {
        let piece = match &mut self.left {
            Left::Nothing => return Ok(None),
            Left::Rest => self.reply.split().freeze(),
            Left::Bytes(left) => {
                let here = usize::try_from(*left).map_or(self.reply.len(), |left| left.min(self.reply.len()));
                *left -= here as u64;
                let piece = self.reply.split_to(here).freeze();
                if *left == 0 {
                    self.end();
                }
                piece
            }
            Left::Chunks(chunks, trailers) => {
                let mut payload = Vec::new();
                let read = chunks.read(&self.reply, &mut payload, |byte| trailers.push(byte))?;
                let (ended, trailers) = (*chunks == Chunks::End, std::mem::take(trailers));
                bytes::Buf::advance(&mut self.reply, read);
                match ended {
                    true if payload.is_empty() => {
                        self.end();
                        return Ok(fields(&trailers)?.map(Frame::trailers));
                    }
                    // The trailers' turn is the next one.
                    _ => self.left = Left::Chunks(*chunks, trailers),
                }
                payload.into()
            }
        };
        Ok((!piece.is_empty()).then(|| Frame::data(piece)))
    }

    fn broken(&mut self, error: io::Error) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        (self.left, self.link) = (Left::Nothing, None);
        Poll::Ready(Some(Err(BodyError::Link(error))))
    }
}

impl Pieces for Flow {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            match this.piece() {
                Ok(Some(frame)) => {
                    this.idle.moved();
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(None) => {}
                Err(Malformed) => return this.broken(io::ErrorKind::InvalidData.into()),
            }
            let Some(link) = &mut this.link else { return Poll::Ready(None) };
            match poll_into(link, &mut this.reply, cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) if matches!(this.left, Left::Rest) => {
                    this.goes_on = false;
                    this.end();
                }
                Poll::Ready(Ok(0)) => return this.broken(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(Err(error)) => return this.broken(error),
                Poll::Pending if this.idle.expired(cx) => return Poll::Ready(Some(Err(BodyError::Idle))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.left, Left::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Left::Bytes(left) => SizeHint::with_exact(left),
            Left::Nothing => SizeHint::with_exact(0),
            Left::Chunks(..) | Left::Rest => SizeHint::new(),
        }
    }
}

/// Trailers, without those that would speak of this connection or of how the body is framed.
///
/// # Errors
/// [`Malformed`]
pub fn fields(bytes: &[u8]) -> Result<Option<HeaderMap>, Malformed> {
    let mut slots = [httparse::EMPTY_HEADER; TRAILERS];
    let Ok(httparse::Status::Complete((_, parsed))) = httparse::parse_headers(bytes, &mut slots) else {
        return Err(Malformed);
    };
    let mut fields = HeaderMap::new();
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed)?;
        let framing = matches!(name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::HOST);
        if !framing && !is_hop_by_hop(name.as_str()) {
            fields.append(name, HeaderValue::from_bytes(field.value).map_err(|_| Malformed)?);
        }
    }
    Ok((!fields.is_empty()).then_some(fields))
}
