//! A body that somebody else gets, too: what passes is handed on as it passes, and who is slow loses the rest.
//!
//! Pieces are shared, not copied; whoever the body is really for never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::proxy::body::BodyError;

/// Bytes that may wait for the other reader.
const HELD_MAX: usize = 256 * 1024;

enum Piece {
    Data(Bytes),
    End,
}

/// The end that pieces pass by.
pub struct Tee {
    /// None once the other has lost.
    to: Option<UnboundedSender<Piece>>,
    held: Arc<AtomicUsize>,
}

/// The other reader's end.
pub struct Copied {
    from: UnboundedReceiver<Piece>,
    held: Arc<AtomicUsize>,
    ended: bool,
}

/// Both ends.
pub fn tee() -> (Tee, Copied) {
    let (to, from) = unbounded_channel();
    let held = Arc::new(AtomicUsize::new(0));
    (Tee { to: Some(to), held: Arc::clone(&held) }, Copied { from, held, ended: false })
}

impl Tee {
    /// A piece passes.
    pub fn pass(&mut self, frame: &Frame<Bytes>) {
        let (Some(to), Some(data)) = (&self.to, frame.data_ref()) else { return };
        let held = self.held.fetch_add(data.len(), Ordering::Relaxed) + data.len();
        if held > HELD_MAX || to.send(Piece::Data(data.clone())).is_err() {
            self.to = None;
        }
    }

    /// The body ends as it should; where this is not said, the copy breaks off.
    pub fn end(&mut self) {
        if let Some(to) = self.to.take()
            && to.send(Piece::End).is_err()
        {
            tracing::debug!("nobody reads the copy of a body any more");
        }
    }
}

impl Copied {
    /// The next piece.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.from.poll_recv(cx).map(|piece| match piece {
            Some(Piece::Data(data)) => {
                self.held.fetch_sub(data.len(), Ordering::Relaxed);
                Some(Ok(Frame::data(data)))
            }
            Some(Piece::End) => {
                self.ended = true;
                None
            }
            None => {
                self.ended = true;
                Some(Err(BodyError::Copy))
            }
        })
    }

    /// Whether everything was read.
    pub fn is_end_stream(&self) -> bool {
        self.ended
    }
}
