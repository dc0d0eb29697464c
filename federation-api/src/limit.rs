//! Bounds on what one server does at once and on what one request may bring.
//!
//! Every bound is here, so that memory under hostile load can be reckoned from one page.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
/// Requests that read, at once; upstream's default.
pub const MAX_READING: usize = 400;
/// Requests that write, at once; upstream's default.
pub const MAX_WRITING: usize = 200;
/// Watches at once: each costs a cursor and a connection's buffers.
pub const MAX_WATCHING: usize = 50_000;

/// Who may go on now. Requests above a bound are answered 429 at once instead of queueing.
#[derive(Debug)]
pub(crate) struct InFlight {
    reading: Arc<Semaphore>,
    writing: Arc<Semaphore>,
    watching: Arc<Semaphore>,
}

/// What kind of load a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    Read,
    Write,
    Watch,
}

impl Default for InFlight {
    fn default() -> Self {
        let of = |permits| Arc::new(Semaphore::new(permits));
        Self { reading: of(MAX_READING), writing: of(MAX_WRITING), watching: of(MAX_WATCHING) }
    }
}

impl InFlight {
    /// A place for one request, given back when it is dropped.
    ///
    /// # Errors
    /// 429 where there is none.
    pub(crate) fn admit(&self, load: Load) -> Result<OwnedSemaphorePermit, ApiError> {
        let of = match load {
            Load::Read => &self.reading,
            Load::Write => &self.writing,
            Load::Watch => &self.watching,
        };
        Arc::clone(of).try_acquire_owned().map_err(|_| ApiError::TooManyRequests {
            message: "Too many requests, please try again later.".to_owned(),
            retry_after_s: 1,
        })
    }

    /// (reading, writing, watching) now.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (
            MAX_READING - self.reading.available_permits(),
            MAX_WRITING - self.writing.available_permits(),
            MAX_WATCHING - self.watching.available_permits(),
        )
    }
}

/// Reads a whole body, within bounds of size and time.
///
/// # Errors
/// 413 for too much, 400 for a connection that breaks or stalls.
pub(crate) async fn read_body(body: RequestBody) -> Result<Bytes, ApiError> {
    let mut body = body.into_inner();
    if body.size_hint().lower() > DISCARD_BYTES as u64 {
        return Err(ApiError::TooLarge(MAX_BODY_BYTES));
    }
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
            if length > MAX_BODY_BYTES {
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
        Err(_) => {
            Err(ApiError::BadRequest(format!("the body did not arrive within {} seconds", BODY_TIMEOUT.as_secs())))
        }
    }
}
