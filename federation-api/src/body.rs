//! The one body type of answers, and how request bodies come in, whoever the caller is.
//!
//! Knows no Kubernetes: bytes only. A stream of ours that cannot go on just ends; only what another server has broken off
//! is broken off on the way out too.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// An answer goes out in pieces of at most so many bytes: what a client does not read is held piece by piece. With the
/// head of its HTTP/2 frame, a piece fills one TLS record.
pub(crate) const PIECE_BYTES: usize = 16 * 1024 - 9;

/// Any error a request body may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Another server has not told its answer to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer was broken off")]
pub struct BrokenOff;

/// The body of a request, erased: sockets and in-process callers bring different types.
///
/// The lock guards nothing: it is never contended, it only makes the request shareable between threads.
pub struct RequestBody(parking_lot::Mutex<Erased>);

type Erased = Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>;

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, BrokenOff>> + Send>>;

type Pieces = Box<dyn Iterator<Item = Bytes> + Send>;

/// The body of an answer: nothing, one buffer, buffers that are made as they are asked for, or a stream of buffers.
#[derive(Default)]
pub struct Body(Inner);

#[derive(Default)]
enum Inner {
    #[default]
    Empty,
    Full(Bytes),
    Chunks {
        /// Bytes that are still to come.
        left: u64,
        pieces: Pieces,
    },
    Stream(Chunks),
}

impl Body {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self(Inner::Empty)
    }

    /// One buffer; its length is known to the transport.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::empty() } else { Self(Inner::Full(bytes)) }
    }

    /// Buffers of `length` bytes in all, made as they are asked for.
    pub fn chunks(length: u64, pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Self {
        Self(Inner::Chunks { left: length, pieces: Box::new(pieces) })
    }

    /// The one buffer that this body is; none where it is made as it goes out.
    #[must_use]
    pub fn as_full(&self) -> Option<&Bytes> {
        match &self.0 {
            Inner::Full(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Its length in bytes; none for streams, which have no end that is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            Inner::Empty => Some(0),
            Inner::Full(bytes) => Some(bytes.len() as u64),
            Inner::Chunks { left, .. } => Some(*left),
            Inner::Stream(_) => None,
        }
    }

    /// Its buffers, where it has an end that is known; the body itself for streams.
    ///
    /// # Errors
    /// The stream.
    pub fn into_pieces(self) -> Result<Box<dyn Iterator<Item = Bytes> + Send>, Self> {
        match self.0 {
            Inner::Empty => Ok(Box::new(std::iter::empty())),
            Inner::Full(bytes) => Ok(Box::new(std::iter::once(bytes))),
            Inner::Chunks { pieces, .. } => Ok(pieces),
            Inner::Stream(chunks) => Err(Self(Inner::Stream(chunks))),
        }
    }

    /// Whether the body is told bit by bit.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self.0, Inner::Stream(_))
    }

    /// The same body, with something that lives as long as a stream does.
    #[must_use]
    pub fn holding(self, held: impl Send + 'static) -> Self {
        match self.0 {
            Inner::Stream(chunks) => {
                let held = parking_lot::Mutex::new(held);
                Self::fallible(futures_util::StreamExt::inspect(chunks, move |_| {
                    let _alive = &held;
                }))
            }
            other => Self(other),
        }
    }

    /// Buffers as they come; each is flushed on its own.
    pub fn stream(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self::fallible(futures_util::StreamExt::map(chunks, Ok))
    }

    /// As [`Body::stream`]; an error ends it, and the receiver notices.
    pub fn fallible(chunks: impl Stream<Item = Result<Bytes, BrokenOff>> + Send + 'static) -> Self {
        Self(Inner::Stream(Box::pin(chunks)))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Inner::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Inner::Chunks { left, pieces } => match pieces.next() {
                Some(bytes) => {
                    *left = left.saturating_sub(bytes.len() as u64);
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
                None => {
                    self.0 = Inner::Empty;
                    Poll::Ready(None)
                }
            },
            Inner::Stream(chunks) => chunks.as_mut().poll_next(cx).map(|next| next.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Inner::Empty | Inner::Chunks { left: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Chunks { left, .. } => SizeHint::with_exact(*left),
            Inner::Stream(_) => SizeHint::default(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Inner::Empty => f.write_str("Body(empty)"),
            Inner::Full(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Inner::Chunks { left, .. } => write!(f, "Body({left} bytes in chunks)"),
            Inner::Stream(_) => f.write_str("Body(stream)"),
        }
    }
}

/// Erases a request's body type.
pub fn erase<B>(body: B) -> RequestBody
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    RequestBody(parking_lot::Mutex::new(Box::pin(http_body_util::BodyExt::map_err(body, Into::into))))
}

impl RequestBody {
    /// The body itself, for reading.
    #[must_use]
    pub fn into_inner(self) -> Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>> {
        self.0.into_inner()
    }
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RequestBody")
    }
}
