//! Following a resource: list, then watch, and anew after every failure, into a sink.
//!
//! Says what it saw in the order in which it happened; keeps nothing itself.

use std::time::Duration;

use federation_types::text;
use futures_util::StreamExt as _;
use rand::RngExt as _;
use serde_json::Value;

use crate::caller::{Caller, Collection};
use crate::error::ApiError;
use crate::watch::{WatchEvent, WatchOptions};

/// First wait after a failed list or watch; doubles up to [`BACKOFF_MAX`].
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest wait between attempts.
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A watch is renewed after this long, give or take a third.
pub const WATCH_LASTS: Duration = Duration::from_secs(1800);

/// Takes what [`follow`] sees; called from one task, must be quick.
pub trait Sink: Send + Sync {
    /// Everything there is at one revision: what is not among it is gone.
    fn replace(&self, objects: Vec<Value>);
    /// One object was added or changed.
    fn put(&self, object: Value);
    /// One object is gone; this was its last state.
    fn remove(&self, object: &Value);
    /// The watch stands, or was lost for this reason.
    fn live(&self, problem: Option<&ApiError>);
}

/// Lists and watches `of` into `sink`, forever.
///
/// # Cancel safety
/// Dropping it ends the watch; the sink keeps what it has.
pub async fn follow(from: &Caller, of: &Collection, sink: &impl Sink) {
    let mut revision: Option<String> = None;
    let mut wait = BACKOFF_MIN;
    loop {
        let outcome = match revision.take() {
            None => list(from, of, sink).await,
            Some(revision) => watch_once(from, of, revision, sink).await,
        };
        match outcome {
            Ok(next) => {
                wait = BACKOFF_MIN;
                revision = Some(next);
            }
            Err(Lost { error, resume }) => {
                let expired = error.is_expired();
                revision = resume.filter(|_| !expired);
                if expired {
                    continue;
                }
                tracing::debug!(resource = %of.gvr, error = %error, "list or watch failed");
                sink.live(Some(&error));
                let jitter = rand::rng().random_range(0.75..1.25);
                tokio::time::sleep(wait.mul_f64(jitter)).await;
                wait = (wait * 2).min(BACKOFF_MAX);
            }
        }
    }
}

struct Lost {
    error: ApiError,
    /// The revision from which the watch can go on.
    resume: Option<String>,
}

async fn list(from: &Caller, of: &Collection, sink: &impl Sink) -> Result<String, Lost> {
    let listed = from.list(of).await.map_err(|error| Lost { error, resume: None })?;
    sink.replace(listed.items);
    sink.live(None);
    Ok(listed.revision)
}

async fn watch_once(from: &Caller, of: &Collection, mut last: String, sink: &impl Sink) -> Result<String, Lost> {
    let spread = rand::rng().random_range(0.67..1.33);
    let options = WatchOptions { revision: last.clone(), timeout: WATCH_LASTS.mul_f64(spread) };
    let stream = match from.watch(of, &options).await {
        Ok(stream) => stream,
        Err(error) => return Err(Lost { error, resume: Some(last) }),
    };
    sink.live(None);
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        match event {
            Err(error) => return Err(Lost { error, resume: Some(last) }),
            Ok(WatchEvent::Bookmark(revision)) => last = revision,
            Ok(WatchEvent::Put(object)) => {
                revision_of(&object).clone_into(&mut last);
                sink.put(object);
            }
            Ok(WatchEvent::Deleted(object)) => {
                revision_of(&object).clone_into(&mut last);
                sink.remove(&object);
            }
        }
    }
    Ok(last)
}

fn revision_of(object: &Value) -> &str {
    text::str_at(object, &["metadata", "resourceVersion"])
}
