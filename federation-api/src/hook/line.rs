//! Connections to other servers, and those of them that are free.
//!
//! Who drops a connection ends it, with whatever still goes over it. One that is free again is kept for a few seconds:
//! what it was resolved from may change. Knows nothing of what is said.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::Destination;
use super::connect::Sender;

/// Free connections that are kept to one server.
const MAX_IDLE: usize = 8;
/// Servers to which free connections are kept.
const MAX_SERVERS: usize = 256;
/// How old a connection may be that is used again.
const MAX_AGE: Duration = Duration::from_secs(10);
/// How long a request may still be on its way out when its answer is read; upstream's transport waits as long.
const WRITE_WAIT: Duration = Duration::from_millis(50);

/// One connection.
#[derive(Debug)]
pub(crate) struct Line {
    pub(super) sender: Sender,
    made: Instant,
    /// Moves the bytes; ends with the line.
    _moves: AbortOnDropHandle<()>,
}

/// The free connections.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Guards them; held to take or to put one.
    idle: Mutex<HashMap<Destination, Vec<Line>>>,
}

impl Line {
    pub(super) fn new(sender: Sender, moves: AbortOnDropHandle<()>) -> Self {
        Self { sender, made: Instant::now(), _moves: moves }
    }

    fn is_free(&self) -> bool {
        self.sender.is_ready() && self.made.elapsed() < MAX_AGE
    }
}

impl Pool {
    /// A free connection to that server.
    pub(super) fn take(&self, to: &Destination) -> Option<Line> {
        let mut idle = self.idle.lock();
        let kept = idle.get_mut(to)?;
        let found = std::iter::from_fn(|| kept.pop()).find(Line::is_free);
        if kept.is_empty() {
            idle.remove(to);
        }
        found
    }

    /// Keeps a connection whose answer is read, once its request is sent too: an answer may come before that, and a
    /// request that never ends must not stand in the way of another.
    pub(super) fn keep(self: &Arc<Self>, to: &Destination, mut line: Line) {
        if line.sender.is_closed() || line.made.elapsed() >= MAX_AGE {
            return;
        }
        if line.sender.is_ready() {
            return self.put(to, line);
        }
        let (pool, to) = (Arc::clone(self), to.clone());
        tokio::spawn(async move {
            if let Ok(Ok(())) = tokio::time::timeout(WRITE_WAIT, line.sender.ready()).await {
                pool.put(&to, line);
            }
        });
    }

    fn put(&self, to: &Destination, line: Line) {
        let mut idle = self.idle.lock();
        if idle.len() >= MAX_SERVERS && !idle.contains_key(to) {
            idle.clear();
        }
        let kept = idle.entry(to.clone()).or_default();
        kept.retain(Line::is_free);
        if kept.len() < MAX_IDLE {
            kept.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use serde_json::json;
    use tokio::io::DuplexStream;
    use tokio_util::task::AbortOnDropHandle;

    use super::{Line, MAX_AGE, Pool};
    use crate::hook::Destination;

    /// A connection that is free, and its other end.
    async fn line() -> (Line, DuplexStream) {
        let (near, far) = tokio::io::duplex(1024);
        let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.expect("a connection");
        let moves = tokio::spawn(async move { drop(connection.await) });
        sender.ready().await.expect("it is free");
        (Line::new(sender, AbortOnDropHandle::new(moves)), far)
    }

    /// Protocol: G1
    #[tokio::test(start_paused = true)]
    async fn connections_are_used_again_for_some_seconds() {
        let pool = Arc::new(Pool::default());
        let to = Destination::read(&json!({"url": "https://a.example/"})).expect("a destination");
        let (first, _far) = line().await;
        pool.keep(&to, first);
        let first = pool.take(&to).expect("it is young");
        assert!(pool.take(&to).is_none(), "nobody else has it");
        pool.keep(&to, first);
        tokio::time::advance(MAX_AGE).await;
        assert!(pool.take(&to).is_none(), "what it was resolved from may have changed");
        let (closed, far) = line().await;
        drop(far);
        while !closed.sender.is_closed() {
            tokio::task::yield_now().await;
        }
        pool.keep(&to, closed);
        assert!(pool.take(&to).is_none());
    }
}
