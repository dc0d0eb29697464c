//! An upgraded connection (WebSocket), or TLS that passes through: bytes both ways until a side ends or both fall silent.
//!
//! After an upgrade it begins only with the endpoint's 101.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::clock;
use crate::proxy::upstream::Lease;

/// Bytes that are on their way in each direction.
const BUFFER: usize = 16 * 1024;

/// Waits until both sides have switched, then copies; ends after `idle` without a byte in either direction.
pub async fn run(lease: Lease, downstream: OnUpgrade, idle: Duration) {
    let (upstream, downstream) = tokio::join!(lease.switched(), downstream);
    let ((upstream, early), mut downstream) = match (upstream, downstream) {
        (Some(upstream), Ok(downstream)) => (upstream, TokioIo::new(downstream)),
        (None, _) => return tracing::debug!("the endpoint did not finish its upgrade"),
        (_, Err(error)) => return tracing::debug!(%error, "the client did not finish its upgrade"),
    };
    if let Err(error) = downstream.write_all(&early).await {
        return tracing::debug!(%error, "a tunnel broke at its beginning");
    }
    relay(downstream, upstream, idle).await;
}

/// Copies both ways until a side ends; ends after `idle` without a byte in either direction.
pub async fn relay(
    downstream: impl AsyncRead + AsyncWrite + Unpin,
    upstream: impl AsyncRead + AsyncWrite + Unpin,
    idle: Duration,
) {
    let (from_upstream, to_upstream) = tokio::io::split(upstream);
    let (from_downstream, to_downstream) = tokio::io::split(downstream);
    let moved = AtomicU64::new(clock::now());
    let both = async {
        let (up, down) =
            tokio::join!(copy(from_downstream, to_upstream, &moved), copy(from_upstream, to_downstream, &moved));
        up.and(down)
    };
    tokio::select! {
        end = both => {
            if let Err(error) = end {
                tracing::debug!(%error, "a tunnel broke");
            }
        }
        () = silence(&moved, idle) => tracing::debug!("a tunnel was idle for too long"),
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: &AtomicU64,
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        to.flush().await?;
        moved.store(clock::now(), Ordering::Relaxed);
    }
}

async fn silence(moved: &AtomicU64, limit: Duration) {
    let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    loop {
        let silent = clock::now().saturating_sub(moved.load(Ordering::Relaxed));
        if silent >= limit {
            return;
        }
        tokio::time::sleep(Duration::from_millis(limit - silent)).await;
    }
}
