//! Copies of requests for another service: sent beside the request itself, answered to nobody.
//!
//! A copy is worth one try and a bounded time; where too many are under way there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{Request, Response, Uri};
use hyper::body::Incoming;

use super::body::{AnswerBody, RequestBody};
use super::upstream::{ExchangeError, Lease, Pool, Target};
use super::{Proxy, extauth};
use crate::clock;
use crate::config::Timeouts;
use crate::metrics::Count;
use crate::route::{Mirror, Way, Wish};

/// Copies under way at once, in this process: each holds a bounded piece of a body.
const COPIES_MAX: usize = 256;
/// Of them to one service: so many that are slow leave room for others.
const COPIES_OF_ONE: usize = 32;
static COPIES: AtomicUsize = AtomicUsize::new(0);

/// One copy under way, until it is dropped.
struct Copy(Arc<Mirror>);

impl Copy {
    fn begin(mirror: &Arc<Mirror>) -> Option<Self> {
        if !mirror.route.backend.takes_copy(COPIES_OF_ONE) {
            return None;
        }
        let before = COPIES.fetch_add(1, Ordering::Relaxed);
        let copy = Self(mirror.clone());
        (before < COPIES_MAX).then_some(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        COPIES.fetch_sub(1, Ordering::Relaxed);
        self.0.route.backend.copied();
    }
}

impl Proxy {
    /// Sends a copy of a request, as its endpoint is to see it, for what the client asked for.
    pub(super) fn mirror(&self, mirror: &Arc<Mirror>, (parts, target): (&Parts, &Uri), body: &mut RequestBody) {
        if parts.headers.contains_key(UPGRADE) {
            return;
        }
        let Some(copy) = Copy::begin(mirror) else { return self.shard.count(Count::CopyDropped) };
        let asked = target.path_and_query().map_or("/", |target| target.as_str());
        let follows = if mirror.follows { asked } else { "" };
        let Ok(uri) = format!("{}{follows}", mirror.prefix).parse::<Uri>() else { return };
        self.shard.count(Count::Copy);
        let mut request = Request::new(if mirror.body { body.tee() } else { RequestBody::none() });
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = parts.headers.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, mirror.host.clone());
        headers.remove(EXPECT);
        if !mirror.body {
            headers.remove(CONTENT_LENGTH);
            headers.remove(TRANSFER_ENCODING);
        }
        let (pool, timeouts) = (Arc::clone(&self.pool), self.timeouts.clone());
        // Not one of the tasks that a drain waits for: what is under way ends with the worker.
        tokio::spawn(async move {
            let mirror = &copy.0;
            let sent = send(mirror, &pool, request, &timeouts);
            if tokio::time::timeout(timeouts.response, sent).await.is_err() {
                tracing::debug!(backend = &*mirror.route.backend.name, "a copy was not answered in time");
            }
        });
    }
}

async fn send(mirror: &Mirror, pool: &Arc<Pool>, mut request: Request<RequestBody>, limits: &Timeouts) {
    let backend = &mirror.route.backend;
    let Some(endpoint) = backend.pick(&Wish::first(clock::now(), Way::Turn)) else {
        return tracing::debug!(backend = &*backend.name, "there is no endpoint for a copy");
    };
    let wire = mirror.route.wiring.wire(&mirror.scheme);
    let target = Target { endpoint, wire, ends: None };
    while let Some(mut lease) = pool.take(target) {
        match lease.exchange(request).await {
            Ok(response) => return discard(response, lease, limits).await,
            Err(ExchangeError::Unsent(whole)) => request = *whole,
            Err(_) => return,
        }
    }
    match pool.connect(target, limits).await {
        Ok(mut lease) => {
            if let Ok(response) = lease.exchange(request).await {
                discard(response, lease, limits).await;
            }
        }
        Err(error) => tracing::debug!(%error, backend = &*backend.name, "a copy reached nobody"),
    }
}

async fn discard(response: Response<Incoming>, lease: Lease, timeouts: &Timeouts) {
    extauth::drain(AnswerBody::upstream(response.into_body(), lease, timeouts.idle, None)).await;
}
