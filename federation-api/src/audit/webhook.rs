//! Records for a webhook: batches of an EventList, sent one after the other, tried again a few times.
//!
//! Source: k8s.io/apiserver `plugin/pkg/audit/{webhook,buffered}`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::Request;
use tokio::sync::mpsc;

use super::Waiting;

/// Records of one batch.
const MAX_BATCH: usize = 400;
/// How long a batch is gathered.
const MAX_GATHERING: Duration = Duration::from_secs(1);
/// Bytes of one batch.
const MAX_BATCH_BYTES: usize = 10 * 1024 * 1024;
/// How often a batch is sent before it is given up.
const ATTEMPTS: u32 = 5;
/// Pause before the second attempt; it doubles.
const BACKOFF: Duration = Duration::from_millis(500);
/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends until nobody can record any more.
pub(super) async fn run(
    receiver: kube::Client,
    path: String,
    mut queue: mpsc::Receiver<Waiting>,
    failed: Arc<AtomicU64>,
) {
    while let Some(first) = queue.recv().await {
        let batch = gather(first, &mut queue).await;
        let body = body(&batch);
        let mut pause = BACKOFF;
        for attempt in 1..=ATTEMPTS {
            match tokio::time::timeout(TIMEOUT, send(&receiver, &path, &body)).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => tracing::warn!(%error, attempt, "audit records could not be sent"),
                Err(_) => tracing::warn!(attempt, "the audit webhook did not answer in time"),
            }
            if attempt == ATTEMPTS {
                failed.fetch_add(batch.len() as u64, Relaxed);
                break;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
}

async fn gather(first: Waiting, queue: &mut mpsc::Receiver<Waiting>) -> Vec<Waiting> {
    let mut bytes = first.line.len();
    let mut batch = vec![first];
    let until = tokio::time::Instant::now() + MAX_GATHERING;
    while batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
        match tokio::time::timeout_at(until, queue.recv()).await {
            Ok(Some(next)) => {
                bytes += next.line.len();
                batch.push(next);
            }
            Ok(None) | Err(_) => break,
        }
    }
    batch
}

fn body(batch: &[Waiting]) -> Vec<u8> {
    let mut body = br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#.to_vec();
    for (at, waiting) in batch.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(waiting.line.trim_ascii_end());
    }
    body.extend_from_slice(b"]}");
    body
}

async fn send(receiver: &kube::Client, path: &str, body: &[u8]) -> Result<(), String> {
    let request = Request::post(path).header(http::header::CONTENT_TYPE, "application/json");
    let request = request.body(kube::client::Body::from(body.to_vec())).map_err(|error| error.to_string())?;
    let response = receiver.send(request).await.map_err(|error| error.to_string())?;
    let code = response.status();
    if code.is_success() { Ok(()) } else { Err(format!("the webhook answered {code}")) }
}
