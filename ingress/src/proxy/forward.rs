//! The retry loop: pick an endpoint, exchange, again elsewhere if that is safe.
//!
//! Knows requests and endpoints; must not know how routes are made or what becomes of the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::access::Line;
use crate::announce::Ends;
use crate::clock;
use crate::config::Timeouts;
use crate::failure::Cause;
use crate::metrics::Count;
use crate::proxy::body::{Progress, RequestBody, Watch};
use crate::proxy::upstream::{ConnectError, ExchangeError, Lease, Target};
use crate::proxy::vigil::{Vigil, Waiting};
use crate::proxy::{Proxy, TOO_LARGE, head, own};
use crate::refusal::Refusal;
use crate::route::{Backend, Endpoint, InFlight, Route, Seat, Ticket, Way, Wire, Wish};
use crate::trace::Span;
use crate::trace::context::TRACEPARENT;

const NO_ENDPOINT: Refusal = own(StatusCode::SERVICE_UNAVAILABLE, "no endpoint is ready");
const OVERLOAD: Refusal = own(StatusCode::SERVICE_UNAVAILABLE, "the service has all the requests that it takes");
const BODY_IDLE: Refusal = Refusal { close: true, ..own(StatusCode::REQUEST_TIMEOUT, "the body stood still") };
const UPSTREAM_LOST: Refusal = own(StatusCode::BAD_GATEWAY, "the endpoint closed or answered badly");
const UPSTREAM_SLOW: Refusal = own(StatusCode::GATEWAY_TIMEOUT, "the endpoint did not answer in time");
const UPSTREAM_GONE: Refusal = own(StatusCode::GATEWAY_TIMEOUT, "the endpoint's machine went silent");
const CONNECT_FAILED: Refusal = own(StatusCode::BAD_GATEWAY, "no endpoint accepts connections");
const CONNECT_SLOW: Refusal = own(StatusCode::GATEWAY_TIMEOUT, "no endpoint accepts connections in time");
const BODY_BROKEN: Refusal =
    Refusal { close: true, ..own(StatusCode::BAD_REQUEST, "the body is malformed or broke off") };

/// What a failure counts as among the times of answers: an endpoint that fails fast must not look quick.
const FAILURE_COST: Duration = Duration::from_secs(1);
/// Endpoints that may refuse one request at once without counting as tries: it costs next to nothing.
const REFUSALS_MAX: usize = 16;
/// Tries without a pause between them.
const AT_ONCE: usize = 2;
/// What several endpoints do at once is a rollout or a machine that dies: a moment later more is known of who is left.
const BREATH: Duration = Duration::from_millis(10);
/// Tells the endpoint how many have been asked before it; absent on the first try.
const ATTEMPT: HeaderName = HeaderName::from_static("x-fedgate-attempt");

/// What one request's search for an endpoint goes by.
#[derive(Clone, Copy)]
pub struct Trip<'r> {
    pub route: &'r Route,
    /// How endpoints are spoken to.
    pub wire: &'r Arc<Wire>,
    /// The client's connection, for endpoints that are told of it.
    pub ends: Option<Ends>,
    pub way: Way,
    pub ticket: Option<Ticket>,
    pub watch: Option<&'r Watch>,
}

/// An answer's head, and the connection that its body comes over.
pub(super) struct Answered {
    pub response: Response<Incoming>,
    pub lease: Lease,
    pub in_flight: Option<InFlight>,
    pub endpoint: Arc<Endpoint>,
    /// Another endpoint was asked before.
    pub retried: bool,
}

/// One endpoint gave no answer.
enum Failed {
    /// It saw nothing of the request, which is whole.
    Unsent(Box<Request<RequestBody>>, Cause),
    /// It may have acted on the request.
    Lost { cause: Cause, fresh: bool },
    /// The client's fault: no other endpoint will do better.
    Client(Refusal),
}

/// What became of a request before it came this way.
pub struct Prior {
    pub endpoint: Arc<Endpoint>,
    /// The clock's milliseconds when it was sent.
    pub began: u64,
    pub fate: Fate,
    /// It is traced.
    pub span: Option<Box<Span>>,
}

/// How an endpoint failed.
pub enum Fate {
    /// It saw nothing of the request.
    Unsent(Cause),
    /// It may have acted on the request; over a `fresh` connection, or by its own doing.
    Lost { cause: Cause, fresh: bool },
}

/// How far the search has come.
struct Search {
    tried: Vec<Arc<Endpoint>>,
    /// How often the request was handed to an endpoint, this time included.
    sent: usize,
    /// Tries that count.
    tries: usize,
    most: usize,
    began: u64,
    elsewhere: bool,
    fresh: bool,
    /// This one again, over a new connection.
    same: Option<Arc<Endpoint>>,
    /// Nobody else may be there: this one over a new connection is worth one try.
    last: Option<Arc<Endpoint>>,
    /// Until when another endpoint may get what this one has been sent, by the clock; 0 for never.
    moves_until: u64,
    verdict: Refusal,
}

impl Fate {
    /// The failure of this request.
    fn of(self, request: Request<RequestBody>) -> Failed {
        match self {
            Self::Unsent(cause) => Failed::Unsent(Box::new(request), cause),
            Self::Lost { cause, fresh } => Failed::Lost { cause, fresh },
        }
    }
}

impl Proxy {
    /// Finds an endpoint that answers; asks another one where that is safe.
    pub(super) async fn forward(
        &self,
        trip: Trip<'_>,
        prior: Option<Prior>,
        mut request: Request<RequestBody>,
        line: &mut Option<Line>,
    ) -> Result<Answered, Refusal> {
        let retries = &trip.route.delivery.retries;
        let repeats = retries.repeats(request.method());
        // HTTP/2 endpoints can say that they did nothing with a request.
        let copies = repeats || (trip.wire.is_h2() && retries.covers_unsent());
        let mut now = clock::now();
        let mut search = Search::new(retries.tries.unwrap_or(self.limits.attempts), now);
        if let Some(Prior { endpoint, began, fate, span: _ }) = prior {
            (search.sent, search.began) = (1, began);
            if let Some(line) = line {
                line.tried(1, &endpoint.key);
            }
            if trip.way == Way::Cheaper {
                endpoint.took(FAILURE_COST, now);
            }
            let spare = if copies { request.body().copy().map(|body| copy_of(&request, body)) } else { None };
            request = self.after(fate.of(request), &mut search, (trip, &endpoint, spare), line)?;
            now = clock::now();
        }
        loop {
            let Some(endpoint) = search.next(self, trip, now) else { return Err(search.verdict) };
            self.asks((search.sent, &endpoint), request.headers_mut(), line);
            let in_flight = (trip.way == Way::Cheaper).then(|| (endpoint.enter(), Instant::now()));
            let spare = if copies { request.body().copy().map(|body| copy_of(&request, body)) } else { None };
            let target = Target { endpoint: &endpoint, wire: trip.wire, ends: trip.ends };
            let moves = spare.is_some() && repeats && retries.covers(Cause::Vanished) && search.tries < search.most;
            search.moves_until = if moves { self.tries_until(trip.route, search.began) } else { 0 };
            let failed = match self.attempt(trip, target, request, &search).await {
                Ok((response, lease)) => {
                    let again = self.answered((trip, &endpoint), response.status(), now, line);
                    if let Some(spare) = spare.filter(|spare| {
                        again && repeats && spare.body().is_whole() && search.goes_on(self, trip, &endpoint)
                    }) {
                        (request, now) = (spare, clock::now());
                        search.tried.push(endpoint);
                        continue;
                    }
                    let in_flight = in_flight.map(|(in_flight, began)| {
                        endpoint.took(began.elapsed(), clock::now());
                        in_flight
                    });
                    let retried = search.sent > 1;
                    return Ok(Answered { response, lease, in_flight, endpoint, retried });
                }
                Err(Failed::Client(refusal)) => return Err(refusal),
                Err(failed) => failed,
            };
            if in_flight.is_some() {
                endpoint.took(FAILURE_COST, clock::now());
            }
            request = self.after(failed, &mut search, (trip, &endpoint, spare), line)?;
            now = search.breath().await;
        }
    }

    /// An endpoint, rather one that can be reached; others are looked after meanwhile.
    pub fn pick<'b>(&self, trip: Trip<'_>, backend: &'b Backend, wish: &Wish<'_>) -> Option<&'b Arc<Endpoint>> {
        let picked = backend.pick(wish);
        let Some(unsure) = picked.filter(|picked| picked.is_unreachable()) else { return picked };
        self.probe(trip, unsure);
        backend.pick(wish).filter(|other| !other.is_unreachable()).or(picked)
    }

    /// Notes who is asked, and tells it in the head what it may want to know of that.
    fn asks(&self, (sent, endpoint): (usize, &Endpoint), headers: &mut HeaderMap, line: &mut Option<Line>) {
        if let Some(line) = line {
            line.tried(sent, &endpoint.key);
            if let Some(parent) = line.asks(&endpoint.key) {
                headers.insert(TRACEPARENT, parent);
            }
        }
        if sent > 1 {
            self.shard.count(Count::Retry);
            headers.insert(ATTEMPT, HeaderValue::from(sent));
        }
    }

    /// A seat where the backend has only so many.
    pub(super) async fn seat(&self, route: &Route, line: &mut Option<Line>) -> Result<Option<Seat>, Refusal> {
        let Some(seats) = route.backend.seats() else { return Ok(None) };
        let seat = seats.take().await;
        if seat.is_none() {
            self.note(Cause::Overload, line);
        }
        seat.map(Some).ok_or(OVERLOAD)
    }

    /// What is sent next after a failure: the request itself, or its copy, or nothing more.
    fn after(
        &self,
        failed: Failed,
        search: &mut Search,
        (trip, endpoint, spare): (Trip<'_>, &Arc<Endpoint>, Option<Request<RequestBody>>),
        line: &mut Option<Line>,
    ) -> Result<Request<RequestBody>, Refusal> {
        let retries = &trip.route.delivery.retries;
        let (cause, fresh) = match &failed {
            Failed::Unsent(_, cause) => (*cause, true),
            Failed::Lost { cause, fresh } => (*cause, *fresh),
            Failed::Client(refusal) => return Err(*refusal),
        };
        self.note(cause, line);
        if fresh {
            self.blame(trip, endpoint, cause);
        }
        search.verdict = verdict(cause);
        // Where one does not answer at all its neighbours hardly will.
        search.elsewhere = !search.tried.is_empty() || matches!(cause, Cause::ConnectTimeout | Cause::Vanished);
        match failed {
            Failed::Unsent(whole, _) => {
                let free = cause == Cause::ConnectRefused && search.most > 1 && search.sent < REFUSALS_MAX;
                let more = retries.covers_unsent() && (free || search.counts(trip.route, self));
                search.tried.push(endpoint.clone());
                if more { Ok(*whole) } else { Err(search.verdict) }
            }
            _ => {
                let may = |spare: &Request<RequestBody>| {
                    let repeats = retries.covers(cause) && retries.repeats(spare.method());
                    (repeats || cause.was_not_taken()) && spare.body().is_whole()
                };
                let Some(spare) = spare.filter(may) else { return Err(search.verdict) };
                // A kept connection that was just being closed says nothing about its endpoint, nor about load.
                let stale = !fresh && !search.fresh;
                // Nor does one that nobody hears ask for more than it would have had.
                let free = stale || cause.was_not_taken() || cause == Cause::Vanished;
                // It happens once, as connections are new from there on: the tries are left for endpoints that fail.
                if !(free || self.affords(trip, line)) || !(stale || search.counts(trip.route, self)) {
                    return Err(search.verdict);
                }
                if stale {
                    search.same = Some(endpoint.clone());
                } else {
                    search.last = search.tried.is_empty().then(|| endpoint.clone());
                    search.tried.push(endpoint.clone());
                }
                search.fresh |= stale || !(cause.was_not_taken() || cause == Cause::Vanished);
                Ok(spare)
            }
        }
    }

    /// Records an answer; says whether the route wants it asked for again.
    pub fn answered(
        &self,
        (trip, endpoint): (Trip<'_>, &Endpoint),
        status: StatusCode,
        now: u64,
        line: &mut Option<Line>,
    ) -> bool {
        if let Some(line) = line {
            line.heard(status);
        }
        match Cause::of_status(status) {
            Some(cause) => {
                self.note(cause, line);
                if trip.route.backend.erred(endpoint, now) {
                    self.shard.count(Count::Ejection);
                }
            }
            None => endpoint.succeeded(now),
        }
        trip.route.delivery.retries.again_after(status)
    }

    fn note(&self, cause: Cause, line: &mut Option<Line>) {
        self.shard.failed(cause);
        if let Some(line) = line {
            line.failed(cause.word());
        }
    }

    fn affords(&self, trip: Trip<'_>, line: &mut Option<Line>) -> bool {
        let enough = trip.route.backend.affords_retry(clock::now());
        if !enough {
            self.note(Cause::Budget, line);
        }
        enough
    }

    /// Keeps an endpoint out for what it did.
    fn blame(&self, trip: Trip<'_>, endpoint: &Arc<Endpoint>, cause: Cause) {
        let (backend, now) = (&trip.route.backend, clock::now());
        let (count, out) = match cause {
            Cause::ConnectTimeout => (Count::ConnectTimeout, backend.eject(endpoint, now)),
            Cause::ConnectRefused | Cause::ConnectFailed | Cause::TlsFailed => {
                (Count::ConnectFailed, backend.eject(endpoint, now))
            }
            Cause::Vanished => {
                endpoint.is_unheard(now);
                // Is it this connection, or is nobody there?
                self.probe(trip, endpoint);
                self.pool.forget(endpoint);
                (Count::ResponseTimeout, backend.eject(endpoint, now))
            }
            // It takes connections and says nothing, as a process that hangs does.
            Cause::ResponseTimeout => (Count::ResponseTimeout, backend.silent(endpoint, now)),
            Cause::RefusedStream | Cause::GoAway => (Count::UpstreamClosed, false),
            _ => (Count::UpstreamClosed, backend.broke(endpoint, now)),
        };
        self.shard.count(count);
        if out {
            self.shard.count(Count::Ejection);
        }
        let (address, member) = (endpoint.key.address, &endpoint.key.cluster);
        tracing::debug!(backend = &*backend.name, %address, %member, cause = cause.word(), out, "an exchange failed");
    }

    /// One endpoint: kept connections first, unless `fresh`, then a new one.
    async fn attempt(
        &self,
        trip: Trip<'_>,
        target: Target<'_>,
        mut request: Request<RequestBody>,
        search: &Search,
    ) -> Result<(Response<Incoming>, Lease), Failed> {
        let Search { fresh, moves_until, .. } = *search;
        while !fresh && let Some(lease) = self.pool.take(target) {
            self.shard.count(Count::Reused);
            match self.exchange(trip, lease, request, (target.endpoint, moves_until)).await {
                Err(Failed::Unsent(whole, _)) => request = *whole,
                Err(Failed::Lost { cause, .. }) => {
                    // An answer that does not come is the endpoint's doing whatever the connection.
                    let fresh = matches!(cause, Cause::ResponseTimeout | Cause::Vanished | Cause::RefusedStream);
                    return Err(Failed::Lost { cause, fresh });
                }
                other => return other,
            }
        }
        let own = trip.route.policy.waits.connect.map(|connect| Timeouts { connect, ..self.timeouts.clone() });
        let timeouts = own.as_ref().unwrap_or(&self.timeouts);
        let lease = match self.pool.connect(target, timeouts).await {
            Ok(lease) => lease,
            Err(error) => {
                tracing::debug!(%error, address = %target.endpoint.key.address, "connect failed");
                return Err(Failed::Unsent(Box::new(request), connect_cause(&error)));
            }
        };
        target.endpoint.reached(clock::now());
        self.exchange(trip, lease, request, (target.endpoint, moves_until)).await
    }

    async fn exchange(
        &self,
        trip: Trip<'_>,
        mut lease: Lease,
        request: Request<RequestBody>,
        (endpoint, moves_until): (&Endpoint, u64),
    ) -> Result<(Response<Incoming>, Lease), Failed> {
        let (watch, limit) = (trip.watch, self.response_limit(trip.route));
        let waiting = Waiting { backend: &trip.route.backend, endpoint, ends: lease.ends(), moves_until };
        let mut vigil = Vigil::new((Instant::now(), clock::now()), limit);
        let result = {
            let mut exchange = std::pin::pin!(lease.exchange(request));
            loop {
                let answer = tokio::time::timeout_at(vigil.due().into(), exchange.as_mut()).await;
                if let Ok(answer) = answer {
                    break Ok(answer);
                }
                match self.look(&mut vigil, waiting) {
                    // An upload may take longer; its own idle time is watched where it is read.
                    Some(Cause::ResponseTimeout)
                        if watch.is_some_and(|watch| watch.progress() == Progress::Streaming) =>
                    {
                        vigil.extend(limit);
                    }
                    Some(cause) => break Err(cause),
                    None => {}
                }
            }
        };
        match result {
            // Its parser has a bound of its own, up to two of ours.
            Ok(Ok(response)) if head::answer_bytes(&response) > self.limits.head_bytes => {
                Err(Failed::Lost { cause: Cause::BadAnswer, fresh: true })
            }
            Ok(Ok(response)) => Ok((response, lease)),
            Ok(Err(ExchangeError::Unsent(whole))) => Err(Failed::Unsent(whole, Cause::Reset)),
            Ok(Err(ExchangeError::Refused(error))) => {
                tracing::debug!(%error, "an endpoint did not take a request");
                Err(Failed::Lost { cause: Cause::of_refusal(&error), fresh: true })
            }
            Ok(Err(ExchangeError::Lost(error))) => {
                tracing::debug!(%error, "an exchange failed");
                Err(self.lost(watch, &error))
            }
            Err(cause) => Err(Failed::Lost { cause, fresh: true }),
        }
    }

    /// Until when a request that `began` then is tried again, by the clock's milliseconds.
    pub fn tries_until(&self, route: &Route, began: u64) -> u64 {
        let within = route.delivery.retries.within.unwrap_or_else(|| self.response_limit(route));
        began.saturating_add(u64::try_from(within.as_millis()).unwrap_or(u64::MAX))
    }

    /// How long one answer's head may take.
    pub fn response_limit(&self, route: &Route) -> Duration {
        route.policy.waits.read.unwrap_or(self.timeouts.response)
    }

    /// Whose fault it was that an exchange broke.
    fn lost(&self, watch: Option<&Watch>, error: &hyper::Error) -> Failed {
        let refusal = match watch.map(Watch::progress) {
            Some(Progress::TooLarge) => TOO_LARGE,
            Some(Progress::Idle) => BODY_IDLE,
            Some(Progress::Broken) => BODY_BROKEN,
            _ => return Failed::Lost { cause: Cause::of_exchange(error), fresh: true },
        };
        self.shard.count(Count::Refused);
        Failed::Client(refusal)
    }
}

impl Search {
    const fn new(most: usize, began: u64) -> Self {
        Self {
            tried: Vec::new(),
            sent: 0,
            tries: 1,
            most,
            began,
            elsewhere: false,
            fresh: false,
            same: None,
            last: None,
            moves_until: 0,
            verdict: NO_ENDPOINT,
        }
    }

    /// A moment before the later tries; the time after it.
    async fn breath(&self) -> u64 {
        if self.tries > AT_ONCE {
            tokio::time::sleep(BREATH).await;
        }
        clock::now()
    }

    /// Who is asked next.
    fn next(&mut self, proxy: &Proxy, trip: Trip<'_>, now: u64) -> Option<Arc<Endpoint>> {
        self.sent += 1;
        if let Some(same) = self.same.take() {
            return Some(same);
        }
        let wish = Wish {
            now,
            way: trip.way,
            ticket: trip.ticket,
            shares: trip.route.delivery.shares.as_deref(),
            tried: &self.tried,
            elsewhere: self.elsewhere,
        };
        // Where tries fail, endpoints are coming and going: whoever is asked next is one of now, not of when the request came.
        let newest = (self.sent > 1).then(|| proxy.table.load());
        let same_service = newest.as_ref().and_then(|table| table.backend(&trip.route.backend.name));
        let backend = same_service.unwrap_or(&trip.route.backend);
        proxy.pick(trip, backend, &wish).cloned().or_else(|| self.last.take())
    }

    /// Whether there may be another try, which is counted then.
    fn counts(&mut self, route: &Route, proxy: &Proxy) -> bool {
        let more = self.tries < self.most && clock::now() < proxy.tries_until(route, self.began);
        self.tries += usize::from(more);
        more
    }

    /// Whether an answer that could be better is asked for elsewhere.
    fn goes_on(&mut self, proxy: &Proxy, trip: Trip<'_>, endpoint: &Endpoint) -> bool {
        let tried = |other: &Arc<Endpoint>| other.id == endpoint.id || self.tried.iter().any(|e| e.id == other.id);
        let others = trip.route.backend.endpoints().iter().any(|other| !tried(other));
        self.elsewhere = !self.tried.is_empty();
        others && self.counts(trip.route, proxy) && proxy.affords(trip, &mut None)
    }
}

pub fn connect_cause(error: &ConnectError) -> Cause {
    match error {
        ConnectError::Timeout => Cause::ConnectTimeout,
        ConnectError::Failed(error) => Cause::of_connect(error),
        ConnectError::Tls(_) | ConnectError::NotHttp2 => Cause::TlsFailed,
        ConnectError::Setup(_) => Cause::ConnectFailed,
    }
}

/// What the client is told when there is no other try.
const fn verdict(cause: Cause) -> Refusal {
    match cause {
        Cause::ConnectTimeout => CONNECT_SLOW,
        Cause::ConnectRefused | Cause::ConnectFailed | Cause::TlsFailed => CONNECT_FAILED,
        Cause::ResponseTimeout => UPSTREAM_SLOW,
        Cause::Vanished => UPSTREAM_GONE,
        _ => UPSTREAM_LOST,
    }
}

/// A request once more; values are shared, not copied.
fn copy_of(request: &Request<RequestBody>, body: RequestBody) -> Request<RequestBody> {
    let mut copy = Request::new(body);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
