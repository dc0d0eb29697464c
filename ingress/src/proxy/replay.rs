//! A request body that can be sent again: what was read so far is kept, up to a bound, and the rest still comes.
//!
//! Only for routes that ask for it; everybody else's bodies are never held.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;

use crate::proxy::body::{BodyError, Streaming};

/// One reader of a body that may have several, one after the other.
pub struct Replay {
    kept: Arc<Mutex<Kept>>,
    /// Pieces that this reader has had.
    at: usize,
    size: SizeHint,
}

/// What the readers share; guarded for the moment of one poll.
struct Kept {
    source: Streaming,
    pieces: Vec<Piece>,
    bytes: usize,
    most: usize,
    /// More came than may be kept: what is gone cannot be sent again.
    over: bool,
}

#[derive(Clone)]
enum Piece {
    Body(Bytes),
    Trailers(HeaderMap),
}

impl Replay {
    /// Keeps at most `most` bytes of `source`.
    pub fn new(source: Streaming, most: usize) -> Self {
        let size = source.size_hint();
        let over = size.lower() > most as u64;
        let kept = Kept { source, pieces: Vec::new(), bytes: 0, most, over };
        Self { kept: Arc::new(Mutex::new(kept)), at: 0, size }
    }

    /// Another reader, from the beginning.
    pub fn again(&self) -> Self {
        Self { kept: self.kept.clone(), at: 0, size: self.size }
    }

    /// Whether the beginning is still there.
    pub fn is_whole(&self) -> bool {
        !self.kept.lock().over
    }

    /// What was kept, then what still comes.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut kept = self.kept.lock();
        if let Some(piece) = kept.pieces.get(self.at).cloned() {
            self.at += 1;
            return Poll::Ready(Some(Ok(piece.into())));
        }
        let frame = std::task::ready!(kept.source.poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            self.at += 1;
            kept.keep(frame);
        }
        Poll::Ready(frame)
    }

    /// Whether this reader has had everything.
    pub fn is_end_stream(&self) -> bool {
        let kept = self.kept.lock();
        self.at >= kept.pieces.len() && kept.source.is_end_stream()
    }

    /// The size of the whole; asked before the first piece only.
    pub fn size_hint(&self) -> SizeHint {
        self.size
    }
}

impl Kept {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.over {
            return;
        }
        let trailers = || frame.trailers_ref().cloned().map(Piece::Trailers);
        let Some(piece) = frame.data_ref().cloned().map(Piece::Body).or_else(trailers) else { return };
        // What holds a piece counts, too: many tiny ones must not cost more than few large ones.
        self.bytes += frame.data_ref().map_or(0, Bytes::len) + size_of::<Piece>();
        if self.bytes > self.most {
            self.over = true;
            self.pieces = Vec::new();
        } else {
            self.pieces.push(piece);
        }
    }
}

impl From<Piece> for Frame<Bytes> {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Body(bytes) => Self::data(bytes),
            Piece::Trailers(trailers) => Self::trailers(trailers),
        }
    }
}
