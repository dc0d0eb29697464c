//! The retry loop: pick an endpoint, exchange, again elsewhere if that is safe.
//!
//! Knows requests and endpoints; must not know how routes are made or what becomes of the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::access::Line;
use crate::clock;
use crate::metrics::Count;
use crate::proxy::body::{Progress, RequestBody, Watch};
use crate::proxy::head::Refusal;
use crate::proxy::upstream::{ConnectError, ExchangeError, Lease, Target};
use crate::proxy::{Proxy, TOO_LARGE, own};
use crate::route::{Backend, Endpoint, InFlight, Way, Wire, Wish};

const NO_ENDPOINT: Refusal = own(StatusCode::SERVICE_UNAVAILABLE, "no endpoint is ready");
const BODY_IDLE: Refusal = Refusal { close: true, ..own(StatusCode::REQUEST_TIMEOUT, "the body stood still") };
const UPSTREAM_LOST: Refusal = own(StatusCode::BAD_GATEWAY, "the endpoint closed or answered badly");
const UPSTREAM_SLOW: Refusal = own(StatusCode::GATEWAY_TIMEOUT, "the endpoint did not answer in time");
const CONNECT_FAILED: Refusal = own(StatusCode::BAD_GATEWAY, "no endpoint accepts connections");
const CONNECT_SLOW: Refusal = own(StatusCode::GATEWAY_TIMEOUT, "no endpoint accepts connections in time");
const BODY_BROKEN: Refusal =
    Refusal { close: true, ..own(StatusCode::BAD_REQUEST, "the body is malformed or broke off") };

/// What a failure counts as among the times of answers: an endpoint that fails fast must not look quick.
const FAILURE_COST: Duration = Duration::from_secs(1);

/// What one request's search for an endpoint goes by.
#[derive(Clone, Copy)]
pub(super) struct Trip<'r> {
    pub backend: &'r Backend,
    pub way: Way,
    /// How endpoints are spoken to.
    pub wire: &'r Wire,
    pub watch: Option<&'r Watch>,
}

/// An answer's head, and the connection that its body comes over.
pub(super) struct Answered {
    pub response: Response<Incoming>,
    pub lease: Lease,
    pub in_flight: Option<InFlight>,
}

enum Attempt {
    /// The endpoint saw nothing of the request.
    Unsent(Box<Request<RequestBody>>, ConnectError),
    /// It may have; `again` where another endpoint may be asked if the request can be repeated.
    Failed { refusal: Refusal, again: bool },
    /// It says that it did nothing with it: any method may be repeated.
    Refused,
}

enum Exchanged {
    Unsent(Box<Request<RequestBody>>),
    Failed { refusal: Refusal, again: bool },
    Refused,
}

impl Proxy {
    /// Finds an endpoint that answers; asks another one where that is safe.
    pub(super) async fn forward(
        &self,
        trip: Trip<'_>,
        mut request: Request<RequestBody>,
        line: &mut Option<Box<Line>>,
    ) -> Result<Answered, Refusal> {
        let Trip { backend, way, wire, watch } = trip;
        let idempotent = idempotent(request.method());
        let repeatable = request.body().is_none() && (idempotent || wire.is_h2());
        let mut tried = Vec::<Arc<Endpoint>>::new();
        let mut verdict = NO_ENDPOINT;
        let mut last: Option<Arc<Endpoint>> = None;
        let mut fresh = false;
        for attempt in 0..self.limits.attempts.max(1) {
            let wish = Wish { now: clock::now(), way, tried: &tried, elsewhere: attempt > 1 };
            let Some(endpoint) = backend.pick(&wish).cloned().or_else(|| last.take()) else { break };
            if attempt > 0 {
                self.shard.count(Count::Retry);
            }
            if let Some(line) = line {
                line.attempts = attempt + 1;
                line.endpoint = Some(endpoint.key.address);
            }
            let in_flight = (way == Way::Cheaper).then(|| (endpoint.enter(), Instant::now()));
            let spare = repeatable.then(|| copy_of_head(&request));
            match self.attempt(Target { endpoint: &endpoint, wire }, request, watch, fresh).await {
                Ok((response, lease)) => {
                    endpoint.succeeded(wish.now);
                    let in_flight = in_flight.map(|(in_flight, began)| {
                        endpoint.took(began.elapsed(), clock::now());
                        in_flight
                    });
                    return Ok(Answered { response, lease, in_flight });
                }
                Err(Attempt::Unsent(whole, error)) => {
                    verdict = self.connect_failed(backend, &endpoint, &error);
                    request = *whole;
                }
                Err(Attempt::Failed { refusal, again }) => {
                    if in_flight.is_some() {
                        endpoint.took(FAILURE_COST, clock::now());
                    }
                    if refusal.status == StatusCode::GATEWAY_TIMEOUT && backend.silent(&endpoint, clock::now()) {
                        self.shard.count(Count::Ejection);
                    }
                    let Some(copy) = spare.filter(|_| again && idempotent) else { return Err(refusal) };
                    verdict = refusal;
                    request = copy;
                    fresh = true;
                    // Nobody else may be there: the same endpoint over a new connection is worth one try.
                    last = (attempt == 0).then(|| endpoint.clone());
                }
                Err(Attempt::Refused) => {
                    let Some(copy) = spare else { return Err(UPSTREAM_LOST) };
                    verdict = UPSTREAM_LOST;
                    request = copy;
                    last = (attempt == 0).then(|| endpoint.clone());
                }
            }
            tried.push(endpoint);
        }
        Err(verdict)
    }

    /// One endpoint: kept connections first, unless `fresh`, then a new one.
    async fn attempt(
        &self,
        target: Target<'_>,
        mut request: Request<RequestBody>,
        watch: Option<&Watch>,
        fresh: bool,
    ) -> Result<(Response<Incoming>, Lease), Attempt> {
        while !fresh && let Some(lease) = self.pool.take(target) {
            self.shard.count(Count::Reused);
            match self.exchange(lease, request, watch).await {
                Err(Exchanged::Unsent(whole)) => request = *whole,
                Err(Exchanged::Failed { refusal, again }) => return Err(Attempt::Failed { refusal, again }),
                Err(Exchanged::Refused) => return Err(Attempt::Refused),
                Ok(answered) => return Ok(answered),
            }
        }
        let lease = match self.pool.connect(target, &self.timeouts, self.limits.head_bytes).await {
            Ok(lease) => {
                target.endpoint.reached(clock::now());
                lease
            }
            Err(error) => return Err(Attempt::Unsent(Box::new(request), error)),
        };
        match self.exchange(lease, request, watch).await {
            Ok(answered) => Ok(answered),
            Err(Exchanged::Unsent(whole)) => {
                let error = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                Err(Attempt::Unsent(whole, ConnectError::Failed(error)))
            }
            Err(Exchanged::Failed { refusal, again }) => Err(Attempt::Failed { refusal, again }),
            Err(Exchanged::Refused) => Err(Attempt::Refused),
        }
    }

    async fn exchange(
        &self,
        mut lease: Lease,
        request: Request<RequestBody>,
        watch: Option<&Watch>,
    ) -> Result<(Response<Incoming>, Lease), Exchanged> {
        let result = {
            let mut exchange = std::pin::pin!(lease.exchange(request));
            loop {
                let answer = tokio::time::timeout(self.timeouts.response, exchange.as_mut()).await;
                // An upload may take longer; its own idle time is watched where it is read.
                let uploading = watch.is_some_and(|watch| watch.progress() == Progress::Streaming);
                if answer.is_ok() || !uploading {
                    break answer;
                }
            }
        };
        match result {
            Ok(Ok(response)) => Ok((response, lease)),
            Ok(Err(ExchangeError::Unsent(whole))) => Err(Exchanged::Unsent(whole)),
            Ok(Err(ExchangeError::Refused(error))) => {
                tracing::debug!(%error, "an endpoint did not take a request");
                self.shard.count(Count::UpstreamClosed);
                Err(Exchanged::Refused)
            }
            Ok(Err(ExchangeError::Lost(error))) => {
                tracing::debug!(%error, "an exchange failed");
                Err(self.lost(watch, &error))
            }
            Err(_) => {
                self.shard.count(Count::ResponseTimeout);
                Err(Exchanged::Failed { refusal: UPSTREAM_SLOW, again: false })
            }
        }
    }

    /// Whose fault it was that an exchange broke.
    fn lost(&self, watch: Option<&Watch>, error: &hyper::Error) -> Exchanged {
        let refusal = match watch.map(Watch::progress) {
            Some(Progress::TooLarge) => TOO_LARGE,
            Some(Progress::Idle) => BODY_IDLE,
            Some(Progress::Broken) => BODY_BROKEN,
            _ => {
                self.shard.count(Count::UpstreamClosed);
                return Exchanged::Failed { refusal: UPSTREAM_LOST, again: !error.is_parse() };
            }
        };
        self.shard.count(Count::Refused);
        Exchanged::Failed { refusal, again: false }
    }

    fn eject(&self, backend: &Backend, endpoint: &Endpoint) {
        if backend.eject(endpoint, clock::now()) {
            self.shard.count(Count::Ejection);
        }
    }

    fn connect_failed(&self, backend: &Backend, endpoint: &Endpoint, error: &ConnectError) -> Refusal {
        self.eject(backend, endpoint);
        let address = endpoint.key.address;
        tracing::debug!(backend = &*backend.name, %address, member = %endpoint.key.cluster, %error, "connect failed");
        if let ConnectError::Timeout = error {
            self.shard.count(Count::ConnectTimeout);
            return CONNECT_SLOW;
        }
        self.shard.count(Count::ConnectFailed);
        CONNECT_FAILED
    }
}

/// Methods that may be sent twice (RFC 9110 §9.2.2).
fn idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

/// A request without a body once more; values are shared, not copied.
fn copy_of_head(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::none());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
