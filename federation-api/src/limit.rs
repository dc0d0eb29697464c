//! Bounds on what one server does at once and on what one request may bring.
//!
//! Every bound is here, so that memory under hostile load can be reckoned from one page.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::body::RequestBody;
use crate::error::ApiError;

/// Largest request body, in bytes; upstream's limit.
pub const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;
/// Bytes of a body that are read, kept or not: who has not sent everything over HTTP/1.1 does not read why it is refused.
pub const DISCARD_BYTES: usize = 16 * 1024 * 1024;
/// Time a request may take that is no watch; upstream's limit.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Time within which a body has to arrive.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Watches at once: each costs a cursor and a connection's buffers.
pub const MAX_WATCHING: usize = 50_000;
/// Watches of one user at once, so that one alone does not take them all.
pub const MAX_WATCHING_ONE: usize = 15_000;
/// Requests whose identity is being found out, at once: a webhook or an issuer may be slow.
pub const MAX_AUTHENTICATING: usize = 512;
/// How long a request waits for that.
pub const AUTHENTICATION_WAIT: Duration = Duration::from_secs(10);

/// Who watches, and who is being authenticated: what flow control does not see, since it sits behind the one and lets
/// go of the other when its state is told.
#[derive(Debug)]
pub(crate) struct InFlight {
    watching: Arc<Semaphore>,
    /// Guards the counts; held for one addition.
    watchers: Arc<Mutex<HashMap<String, usize>>>,
    authenticating: Semaphore,
}

/// What kind of load a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    Read,
    Write,
    Watch,
    /// A stream through to a member: neither short nor a watch.
    Tunnel,
}

/// The place of one watch, given back when it is dropped.
pub(crate) struct Place {
    _any: OwnedSemaphorePermit,
    watchers: Arc<Mutex<HashMap<String, usize>>>,
    user: String,
}

impl Default for InFlight {
    fn default() -> Self {
        Self {
            watching: Arc::new(Semaphore::new(MAX_WATCHING)),
            watchers: Arc::default(),
            authenticating: Semaphore::new(MAX_AUTHENTICATING),
        }
    }
}

impl InFlight {
    /// A place for one more watch of this user.
    ///
    /// # Errors
    /// 429 where he, or everybody together, has too many.
    pub(crate) fn watch(&self, user: &str) -> Result<Place, ApiError> {
        let any = Arc::clone(&self.watching).try_acquire_owned().map_err(|_| too_many())?;
        let mut watchers = self.watchers.lock();
        let own = watchers.entry(user.to_owned()).or_default();
        if *own >= MAX_WATCHING_ONE {
            return Err(too_many());
        }
        *own += 1;
        drop(watchers);
        Ok(Place { _any: any, watchers: Arc::clone(&self.watchers), user: user.to_owned() })
    }

    /// A turn to be authenticated.
    ///
    /// # Errors
    /// 429 where that takes too long: others' tokens are being verified.
    pub(crate) async fn authenticate(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        if let Ok(turn) = self.authenticating.try_acquire() {
            return Ok(turn);
        }
        match tokio::time::timeout(AUTHENTICATION_WAIT, self.authenticating.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(too_many()),
        }
    }

    /// Watches now.
    pub(crate) fn watches(&self) -> usize {
        MAX_WATCHING - self.watching.available_permits()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut watchers = self.watchers.lock();
        if let Some(own) = watchers.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                watchers.remove(&self.user);
            }
        }
    }
}

fn too_many() -> ApiError {
    ApiError::TooManyRequests { message: "Too many requests, please try again later.".to_owned(), retry_after_s: 1 }
}

/// Reads a whole body, within bounds of size and time.
///
/// # Errors
/// 413 for too much, 400 for a connection that breaks, 504 for one that stalls.
pub(crate) async fn read_body(body: RequestBody) -> Result<Bytes, ApiError> {
    let mut body = body.into_inner();
    if body.size_hint().lower() > DISCARD_BYTES as u64 {
        return Err(ApiError::TooLarge(MAX_BODY_BYTES));
    }
    // Who tells a length too great has every byte passed over.
    let keeps = body.size_hint().lower() <= MAX_BODY_BYTES as u64;
    let reading = async {
        let mut first: Option<Bytes> = None;
        let mut rest: Option<BytesMut> = None;
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| ApiError::BadRequest(format!("the body broke off: {error}")))?;
            let Ok(chunk) = frame.into_data() else { continue };
            length += chunk.len();
            if length > DISCARD_BYTES {
                return Err(ApiError::TooLarge(MAX_BODY_BYTES));
            }
            if length > MAX_BODY_BYTES || !keeps {
                (first, rest) = (None, None);
                continue;
            }
            match (&mut first, &mut rest) {
                (None, _) => first = Some(chunk),
                (Some(_), Some(rest)) => rest.extend_from_slice(&chunk),
                (Some(start), None) => {
                    let mut all = BytesMut::with_capacity(start.len() + chunk.len());
                    all.extend_from_slice(start);
                    all.extend_from_slice(&chunk);
                    rest = Some(all);
                }
            }
        }
        if length > MAX_BODY_BYTES {
            return Err(ApiError::TooLarge(MAX_BODY_BYTES));
        }
        Ok(rest.map(BytesMut::freeze).or(first).unwrap_or_default())
    };
    match tokio::time::timeout(BODY_TIMEOUT, reading).await {
        Ok(read) => read,
        Err(_) => Err(ApiError::Timeout("request did not complete within the allotted timeout".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt, StreamBody};

    use super::{InFlight, MAX_BODY_BYTES, MAX_WATCHING_ONE, read_body};
    use crate::body::erase;

    /// Protocol: F1
    #[tokio::test(start_paused = true)]
    async fn bodies_arrive_in_time_and_in_size() {
        let frame = |bytes: usize| Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from(vec![b' '; bytes])));
        let stalls =
            futures_util::StreamExt::chain(futures_util::stream::iter([frame(1)]), futures_util::stream::pending());
        let stalled = read_body(erase(StreamBody::new(stalls).boxed())).await.expect_err("it never ends");
        assert_eq!(stalled.status().code, 504);
        let pieces = |all: Vec<usize>| StreamBody::new(futures_util::stream::iter(all.into_iter().map(frame)));
        let whole = read_body(erase(pieces(vec![MAX_BODY_BYTES - 1, 1]))).await.expect("it fits");
        assert_eq!(whole.len(), MAX_BODY_BYTES);
        let over = read_body(erase(pieces(vec![MAX_BODY_BYTES, 1]))).await.expect_err("one byte too many");
        assert_eq!(over.status().code, 413);
    }

    /// Protocol: F1
    #[test]
    fn one_user_does_not_take_all_watches() {
        let in_flight = InFlight::default();
        let held: Vec<_> = (0..MAX_WATCHING_ONE).map(|_| in_flight.watch("greedy").expect("a place")).collect();
        assert_eq!(in_flight.watch("greedy").err().map(|error| error.status().code), Some(429));
        assert!(in_flight.watch("modest").is_ok());
        assert_eq!(in_flight.watches(), MAX_WATCHING_ONE);
        drop(held);
        assert!(in_flight.watch("greedy").is_ok() && in_flight.watchers.lock().is_empty());
    }
}
