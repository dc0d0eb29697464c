//! One watch request as a stream of events: frames split at newlines, errors in the stream as errors.
//!
//! No reconnects here; the reflection decides what an end means.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use futures_util::Stream;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::caller::{Caller, Collection, with_query};
use crate::error::{ApiError, chain};

/// Longest frame: an object of 3 MiB with its envelope and escapes.
pub const FRAME_MAX: usize = 16 << 20;
/// A watch that says nothing (not even a bookmark) for this long is taken for dead: bookmarks come every minute.
pub const SILENCE: Duration = Duration::from_secs(150);

/// Where a watch starts and how long it lasts.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// Events after this revision.
    pub revision: String,
    /// The server ends the watch after this long.
    pub timeout: Duration,
}

/// What a watch says.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    /// Added or modified.
    Put(Value),
    Deleted(Value),
    /// Nothing of interest happened up to this revision.
    Bookmark(String),
}

impl Caller {
    /// Opens a watch; the stream ends where the server ends it.
    ///
    /// # Errors
    /// If the watch cannot be opened; later errors are items, after which the stream ends.
    ///
    /// # Cancel safety
    /// Dropping the stream closes the watch.
    pub async fn watch(
        &self,
        of: &Collection,
        from: &WatchOptions,
    ) -> Result<impl Stream<Item = Result<WatchEvent, ApiError>> + Send + use<>, ApiError> {
        let mut query = of.query();
        query.push(("watch", "true".to_owned()));
        query.push(("allowWatchBookmarks", "true".to_owned()));
        query.push(("resourceVersion", from.revision.clone()));
        query.push(("timeoutSeconds", from.timeout.as_secs().to_string()));
        let path = with_query(&of.gvr.path(of.namespace.as_deref()), &query);
        let request = self.request(Method::GET, &path, None)?;
        let open = async {
            let answer = self.send(request).await?;
            if answer.status().is_success() {
                return Ok(answer.into_body());
            }
            let code = answer.status().as_u16();
            let bytes = answer.into_body().collect().await.map_err(|e| ApiError::Transport(chain(&e)))?.to_bytes();
            let status = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            Err(ApiError::from_status(code, &status, &String::from_utf8_lossy(&bytes)))
        };
        let body = tokio::time::timeout(crate::caller::REQUEST_TIMEOUT, open)
            .await
            .map_err(|_| ApiError::Transport("no answer to a watch".to_owned()))??;
        Ok(futures_util::stream::unfold(Some(Frames { body, buffer: BytesMut::new(), seen: 0 }), |frames| async {
            let mut frames = frames?;
            match frames.next().await {
                None => None,
                Some(Ok(event)) => Some((Ok(event), Some(frames))),
                Some(Err(e)) => Some((Err(e), None)),
            }
        }))
    }
}

struct Frames {
    body: kube::client::Body,
    buffer: BytesMut,
    /// Bytes of the buffer known to hold no newline.
    seen: usize,
}

impl Frames {
    async fn next(&mut self) -> Option<Result<WatchEvent, ApiError>> {
        loop {
            if let Some(at) = self.buffer[self.seen..].iter().position(|b| *b == b'\n') {
                let line = self.buffer.split_to(self.seen + at);
                self.buffer.advance(1);
                self.seen = 0;
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Some(event(&line));
            }
            self.seen = self.buffer.len();
            if self.seen > FRAME_MAX {
                return Some(Err(ApiError::Protocol(format!("a watch frame is larger than {FRAME_MAX} bytes"))));
            }
            match tokio::time::timeout(SILENCE, self.body.frame()).await {
                Err(_) => return Some(Err(ApiError::Transport("the watch fell silent".to_owned()))),
                Ok(None) if self.buffer.is_empty() => return None,
                Ok(None) => return Some(Err(ApiError::Transport("the watch ended within a frame".to_owned()))),
                Ok(Some(Err(e))) => return Some(Err(ApiError::Transport(chain(&e)))),
                Ok(Some(Ok(frame))) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.buffer.extend_from_slice(bytes);
                    }
                }
            }
        }
    }
}

fn event(line: &[u8]) -> Result<WatchEvent, ApiError> {
    let mut frame: Value = serde_json::from_slice(line).map_err(|e| ApiError::Protocol(e.to_string()))?;
    let object = frame.get_mut("object").map(Value::take).unwrap_or(Value::Null);
    match frame.get("type").and_then(Value::as_str) {
        Some("ADDED" | "MODIFIED") => Ok(WatchEvent::Put(object)),
        Some("DELETED") => Ok(WatchEvent::Deleted(object)),
        Some("BOOKMARK") => {
            let revision = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            Ok(WatchEvent::Bookmark(revision.to_owned()))
        }
        Some("ERROR") => Err(ApiError::from_status(500, &object, "error in the watch")),
        other => Err(ApiError::Protocol(format!("unknown watch event {other:?}"))),
    }
}
