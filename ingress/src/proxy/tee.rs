//! A body that somebody else gets, too: what passes is handed on as it passes, and who is slow loses the rest.
//!
//! Large pieces are shared, not copied; whoever the body is really for never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::proxy::body::BodyError;

/// Bytes that may wait for the other reader, with what holds them.
const HELD_MAX: usize = 256 * 1024;
/// Smaller pieces are copied: a shared one keeps all of the buffer that it came in.
const SHARED_MIN: usize = 4 * 1024;
/// What a piece takes beside its bytes.
const PIECE_COST: usize = size_of::<Piece>() + 32;

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
        let cost = data.len() + PIECE_COST;
        let held = self.held.fetch_add(cost, Ordering::Relaxed) + cost;
        let own = || if data.len() < SHARED_MIN { Bytes::copy_from_slice(data) } else { data.clone() };
        if held > HELD_MAX || to.send(Piece::Data(own())).is_err() {
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
                self.held.fetch_sub(data.len() + PIECE_COST, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;
    use hyper::body::Frame;

    use super::{Copied, HELD_MAX, PIECE_COST, SHARED_MIN, tee};

    /// How many pieces come, and whether the body ends as it should.
    fn read(copied: &mut Copied) -> (usize, bool) {
        let (mut pieces, mut cx) = (0, Context::from_waker(Waker::noop()));
        loop {
            match copied.poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(_))) => pieces += 1,
                Poll::Ready(end) => return (pieces, end.is_none()),
                Poll::Pending => panic!("nobody sends any more"),
            }
        }
    }

    #[test]
    fn what_waits_is_bounded_however_small_its_pieces() {
        for size in [0, 1, SHARED_MIN, 64 * 1024] {
            let (mut tee, mut copied) = tee();
            let piece = Frame::data(Bytes::from(vec![0; size]));
            for _ in 0..HELD_MAX {
                tee.pass(&piece);
            }
            tee.end();
            assert_eq!(read(&mut copied), (HELD_MAX / (size + PIECE_COST), false), "{size}");
        }
    }

    #[test]
    fn a_reader_who_keeps_up_gets_everything() {
        let (mut tee, mut copied) = tee();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..HELD_MAX {
            tee.pass(&Frame::data(Bytes::from_static(b"x")));
            assert!(matches!(copied.poll_frame(&mut cx), Poll::Ready(Some(Ok(_)))));
        }
        tee.end();
        assert_eq!((read(&mut copied), copied.held.load(Ordering::Relaxed)), ((0, true), 0));
    }

    #[test]
    fn small_pieces_keep_no_buffer_alive() {
        for (size, shared) in [(1, false), (SHARED_MIN - 1, false), (SHARED_MIN, true)] {
            let (mut tee, _copied) = tee();
            let buffer = Bytes::from(vec![0; 64 * 1024]);
            tee.pass(&Frame::data(buffer.slice(..size)));
            assert_eq!(buffer.is_unique(), !shared, "{size}");
        }
    }
}
