//! One request's way: inspect → route → rewrite → pick an endpoint → exchange, again elsewhere if that is safe → answer.
//!
//! Reads the route table and nothing else of the control side; never waits on anything but the two peers.

pub mod body;
mod extauth;
pub mod forward;
mod grants;
pub mod guard;
pub mod head;
mod id;
mod mirror;
mod pages;
mod passthrough;
mod probe;
mod replay;
mod session;
mod slow;
mod tee;
mod tunnel;
pub mod upstream;
pub mod vigil;
mod websocket;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio_util::task::TaskTracker;

use crate::access::{Journal, Line};
use crate::config::{HeadRules, Limits, Timeouts};
use crate::filter::rate::{Limiter, Open};
use crate::filter::{self, Arrived, Stop};
use crate::metrics::book::Tally;
use crate::metrics::{Count, Shard};
use crate::peer::Peer;
use crate::refusal::Refusal;
use crate::route::balance::Asked;
use crate::route::policy::Policy;
use crate::route::{Host, InFlight, Route, RouteTable, Session};
use crate::stall::{self, Waits};
use crate::trace::Span;
use body::{AnswerBody, Progress, RequestBody, Watch};
use extauth::Grant;
use forward::{Answered, Prior, Trip};
use head::Inspected;

use id::RequestIds;
use tunnel::Tunnels;
use upstream::Pool;
use websocket::Opening;

const MISDIRECTED: Refusal =
    own(StatusCode::MISDIRECTED_REQUEST, "this connection was set up for a host with another certificate");
const NO_ROUTE: Refusal = own(StatusCode::NOT_FOUND, "no route for this host and path");
const TOO_LARGE: Refusal = Refusal { close: true, ..own(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large") };
/// Bytes of a request body that are kept until an HTTP/2 endpoint has taken the request.
const REPLAY: usize = 64 * 1024;

const TOO_MANY: Refusal = own(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "there are too many fields");
const NO_WEBSOCKET: Refusal =
    own(StatusCode::NOT_IMPLEMENTED, "the endpoint speaks HTTP/2, websocket is not served there");
const UPGRADE_UNASKED: Refusal = own(StatusCode::BAD_GATEWAY, "the endpoint upgraded unasked");

/// An answer of ours after which the connection may go on.
const fn own(status: StatusCode, reason: &'static str) -> Refusal {
    Refusal { status, reason, close: false }
}

/// What all connections of one worker share.
pub struct Proxy {
    pub table: Arc<ArcSwap<RouteTable>>,
    pub pool: Arc<Pool>,
    pub shard: Arc<Shard>,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub heads: HeadRules,
    /// Tunnels outlive the connection that they came from.
    pub tasks: TaskTracker,
    tunnels: Arc<Tunnels>,
    /// Where lines of the access log go.
    pub journal: Option<Arc<Journal>>,
    limiter: Arc<Limiter>,
    /// Answers tell clients to go elsewhere.
    draining: AtomicBool,
    /// What authentication services have said.
    grants: grants::Grants,
    pub ids: RequestIds,
}

/// What a worker's proxy is made of.
pub struct Shared {
    pub table: Arc<ArcSwap<RouteTable>>,
    pub shard: Arc<Shard>,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub heads: HeadRules,
    /// This worker's part of the access log.
    pub journal: Option<Arc<Journal>>,
    /// One for all workers: a client's requests come to any of them.
    pub limiter: Arc<Limiter>,
}

impl Proxy {
    /// The proxy of one worker.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self {
            table: shared.table,
            pool: Arc::new(Pool::new(
                shared.limits.idle_per_endpoint,
                shared.timeouts.keep_alive,
                shared.limits.head_bytes,
            )),
            shard: shared.shard,
            limits: shared.limits,
            tunnels: Arc::new(Tunnels::new(shared.timeouts.tunnel)),
            timeouts: shared.timeouts,
            heads: shared.heads,
            tasks: TaskTracker::new(),
            journal: shared.journal,
            limiter: shared.limiter,
            draining: AtomicBool::new(false),
            grants: grants::Grants::default(),
            ids: RequestIds::default(),
        }
    }

    /// Answers one request; whatever goes wrong becomes a status.
    ///
    /// # Errors
    /// Never.
    pub async fn handle(
        self: Arc<Self>,
        peer: Arc<Peer>,
        mut request: Request<Incoming>,
        mut prior: Option<Prior>,
    ) -> Result<Response<AnswerBody>, Infallible> {
        let began = Instant::now();
        let traced = prior.as_mut().and_then(|prior| prior.span.take());
        let line = self.begin(began, &peer, (&mut request, traced));
        Ok(self.proceed(&peer, (request, began, prior), line).await)
    }

    /// The access line of a request, if it gets one; its trace may have begun before.
    pub fn begin(
        &self,
        began: Instant,
        peer: &Peer,
        (request, traced): (&mut Request<Incoming>, Option<Box<Span>>),
    ) -> Option<Line> {
        self.journal.as_ref().and_then(|journal| match traced {
            Some(span) => Some(journal.resume(began, peer, (request, span))),
            None => journal.begin(began, peer, request),
        })
    }

    /// Answers a request that began with `line`.
    pub async fn proceed(
        &self,
        peer: &Peer,
        (request, began, prior): (Request<Incoming>, Instant, Option<Prior>),
        mut line: Option<Line>,
    ) -> Response<AnswerBody> {
        let version = request.version();
        let answer = self.answer(peer, (request, began, prior), &mut line).await;
        let response = answer.unwrap_or_else(|stop| {
            let mut response = self.stopped(stop, version, &mut line);
            peer.promise(response.headers_mut());
            response
        });
        let mut response = self.ended(response, began, line);
        if self.lets_go(peer, began) {
            leave(version, &mut response);
        }
        response
    }

    /// Whether the next answer to `peer` is its last: this process ends, or its connection is old.
    #[must_use]
    pub fn lets_go(&self, peer: &Peer, now: Instant) -> bool {
        self.is_draining() || now >= peer.since + self.timeouts.connection
    }

    /// Whether this process ends.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Counts an answer; its line ends with its body.
    pub fn ended(
        &self,
        mut response: Response<AnswerBody>,
        began: Instant,
        line: Option<Line>,
    ) -> Response<AnswerBody> {
        self.shard.answered(response.status(), began.elapsed());
        stall::note(Waits::Client);
        if let Some(mut line) = line {
            line.status = response.status();
            response.body_mut().log(line);
        }
        response
    }

    /// Answers tell clients from here on that their connection ends.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Lets go of connections and counts of what is gone.
    pub fn sweep(&self) {
        let table = self.table.load();
        self.pool.sweep(&table);
        self.shard.books.sweep(&table);
    }

    async fn answer(
        &self,
        peer: &Peer,
        (request, began, prior): (Request<Incoming>, Instant, Option<Prior>),
        line: &mut Option<Line>,
    ) -> Result<Response<AnswerBody>, Stop> {
        let Asking { mut parts, incoming, host, path, upgrade } = self.inspected(request)?;
        let (route, admitted, target) = {
            let table = self.table.load();
            if is_misdirected(&table, peer, host.as_str()) {
                self.shard.count(Count::Refused);
                return Err(MISDIRECTED.into());
            }
            let path = path.as_deref().unwrap_or_else(|| parts.uri.path());
            let found = table.locate(host.as_str(), path).ok_or(NO_ROUTE)?;
            let arrived = Arrived::new(&found, (&parts, host.as_str()), peer, &table);
            let admitted = filter::admit(&arrived, &self.limiter);
            let target = filter::rewritten(&found, path, parts.uri.query());
            let route = found.route.canaries.choose(&parts.headers).unwrap_or(found.route).clone();
            (route, admitted, target)
        };
        let mut tally = Tally::new(self.shard.clone(), route.number, began, &parts.method);
        let policy = &*route.policy;
        note_route(&route, line);
        let origin = policy.cors.as_ref().and_then(|_| parts.headers.get(header::ORIGIN).cloned());
        let version = parts.version;
        let kept = pages::keep(&route, &parts);
        extauth::strip(&route, &mut parts);
        let mut grant = Grant::default();
        let admitted = match admitted {
            Ok(admitted) if admitted.proves || admitted.shown.is_some() => {
                let proved = self.prove((&route, &admitted), (&mut parts, host.as_str()), peer, line).await;
                proved.map(|given| {
                    grant = given;
                    admitted
                })
            }
            admitted => admitted,
        };
        let passed = match admitted.and_then(|admitted| Ok((admitted.open, target?))) {
            Ok((open, target)) => {
                let fields = std::mem::take(&mut grant.fields);
                let passing = Passing { parts: &mut parts, incoming, host, peer, upgrade, open, target, fields, prior };
                self.pass(&route, passing, line).await
            }
            Err(stop) => Err(stop),
        };
        let passed = match (pages::error(&route, &passed), kept) {
            (Some(status), Some(kept)) => match self.page(&route, (status, kept), peer, line).await {
                // Who asks for a page and gets none hears of the error itself.
                Err(_) => passed,
                page => page,
            },
            _ => passed,
        };
        let mut response = passed.unwrap_or_else(|stop| self.stopped(stop, version, line));
        peer.promise(response.headers_mut());
        if policy.cors.is_some() || policy.answers.is_some() {
            filter::rewrite_answer(policy, origin.as_ref(), &mut response);
        }
        grant.hand_on(response.status(), response.headers_mut());
        tally.status = response.status();
        response.body_mut().tally(tally);
        Ok(response)
    }

    /// What a request asks for, if its head is sound.
    #[inline]
    fn inspected(&self, mut request: Request<Incoming>) -> Result<Asking, Stop> {
        let connect = *request.method() == Method::CONNECT;
        let upgrade =
            (connect || request.headers().contains_key(header::UPGRADE)).then(|| hyper::upgrade::on(&mut request));
        let (mut parts, incoming) = request.into_parts();
        let opening = if connect { Opening::of(&mut parts)? } else { None };
        let Inspected { host, path, upgrade: protocol } =
            head::inspect(&mut parts, &self.heads).inspect_err(|_| self.shard.count(Count::Refused))?;
        if opening.is_some() {
            parts.version = Version::HTTP_2;
        }
        // The parser of HTTP/1.1 has counted by itself.
        if parts.version == Version::HTTP_2 && parts.headers.len() > self.limits.head_fields {
            self.shard.count(Count::Refused);
            return Err(TOO_MANY.into());
        }
        let upgrade = upgrade.zip(protocol).map(|(downstream, protocol)| Upgrade { downstream, protocol, opening });
        Ok(Asking { parts, incoming, host, path, upgrade })
    }

    /// To an endpoint and back.
    async fn pass(
        &self,
        route: &Route,
        passing: Passing<'_>,
        line: &mut Option<Line>,
    ) -> Result<Response<AnswerBody>, Stop> {
        let Passing { parts, incoming, host, peer, upgrade, open, target, fields, prior } = passing;
        if let Some(reason) = route.backend.fault {
            return Err(own(StatusCode::SERVICE_UNAVAILABLE, reason).into());
        }
        let way = route.delivery.way(|| asked(parts, host.as_str(), peer));
        let wire = route.wiring.wire(&peer.scheme);
        // HTTP/2 has no upgrade; the endpoint may answer the plain request (RFC 9110 §7.8).
        let upgrade = match upgrade {
            Some(Upgrade { opening: Some(_), .. }) if wire.is_h2() => return Err(NO_WEBSOCKET.into()),
            Some(_) if wire.is_h2() => None,
            upgrade => upgrade,
        };
        let affinity = route.delivery.affinity.as_deref();
        let session = affinity.map_or_else(Session::default, |a| Session::of(a, &parts.headers, || self.ids.number()));
        let (mut body, watch) = self.request_body(parts, incoming, &route.policy)?;
        let mirrored = route.mirror.as_ref().map(|mirror| (mirror, parts.uri.clone()));
        let protocol = upgrade.as_ref().map(|upgrade| upgrade.protocol.clone());
        head::rewrite_request(parts, peer, &self.heads, protocol, || self.ids.next());
        if let Some(line) = line {
            line.identified(parts.headers.get(head::X_REQUEST_ID).map_or(b"", HeaderValue::as_bytes));
        }
        filter::rewrite_request(&route.policy, parts, target);
        for (name, _) in &fields {
            parts.headers.remove(name);
        }
        for (name, value) in fields {
            parts.headers.append(name, value);
        }
        if let Some((mirror, target)) = mirrored {
            self.mirror(mirror, (parts, &target), &mut body);
        }
        // An HTTP/2 endpoint that goes away says which requests it did not take, and gRPC has nothing but POST.
        let kept = if wire.is_h2() { REPLAY } else { 0 };
        let mut outgoing = Request::new(body.keeping(route.delivery.retries.replay.max(kept)));
        *outgoing.method_mut() = std::mem::take(&mut parts.method);
        *outgoing.uri_mut() = std::mem::take(&mut parts.uri);
        *outgoing.headers_mut() = std::mem::take(&mut parts.headers);
        let (way, ticket) = (session.way(way), session.ticket);
        let seat = self.seat(route, line).await?;
        let trip = Trip { route, wire, ends: peer.ends, way, ticket, watch: watch.as_ref() };
        let mut answered = self.forward(trip, prior, outgoing, line).await?;
        if let Some(seat) = seat {
            answered.in_flight = Some(InFlight::seated(answered.in_flight, seat));
        }
        if affinity.is_some() {
            let by = (&*answered.endpoint, answered.retried);
            session::hand_out((route, session), by, peer, answered.response.headers_mut());
        }
        Ok(self.respond(answered, Back { peer, policy: &route.policy, watch, upgrade, open })?)
    }

    /// What a request gets that goes no further.
    fn stopped(&self, stop: Stop, version: Version, line: &mut Option<Line>) -> Response<AnswerBody> {
        let (response, reason) = match stop {
            Stop::Refusal(refusal) => (reply(refusal, version, self.heads.server.as_ref()), refusal.reason),
            Stop::Reply(ours) => {
                let mut response = reply(own(ours.status, ours.reason), version, self.heads.server.as_ref());
                if ours.status == StatusCode::NO_CONTENT {
                    *response.body_mut() = AnswerBody::whole(Bytes::new());
                    response.headers_mut().remove(header::CONTENT_TYPE);
                }
                response.headers_mut().extend(ours.headers);
                (response, ours.reason)
            }
        };
        if let Some(line) = line.as_mut().filter(|line| line.reason.is_empty()) {
            line.reason = reason;
        }
        response
    }

    /// How many bytes a request's body may have.
    pub fn body_limit(&self, policy: &Policy) -> Option<u64> {
        policy.bodies.of(self.limits.body_bytes)
    }

    fn request_body(
        &self,
        parts: &Parts,
        incoming: Incoming,
        policy: &Policy,
    ) -> Result<(RequestBody, Option<Watch>), Refusal> {
        use hyper::body::Body;
        if incoming.is_end_stream() {
            return Ok((RequestBody::none(), None));
        }
        let limit = self.body_limit(policy);
        let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if let (Some(limit), Some(announced)) = (limit, announced)
            && announced > limit
        {
            self.shard.count(Count::Refused);
            return Err(TOO_LARGE);
        }
        let (body, watch) = RequestBody::streaming(incoming, limit, policy.waits.send.unwrap_or(self.timeouts.idle));
        Ok((body.paced(self.limits.body_rate), Some(watch)))
    }

    fn respond(&self, answered: Answered, back: Back<'_>) -> Result<Response<AnswerBody>, Refusal> {
        let Answered { mut response, mut lease, in_flight, .. } = answered;
        let Back { peer, policy, watch, upgrade, open } = back;
        let status = response.status();
        if let Some(opening) = upgrade.as_ref().and_then(|upgrade| upgrade.opening.as_ref()) {
            opening.check(status, response.headers_mut())?;
        }
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let Some(Upgrade { downstream, protocol, opening }) = upgrade else { return Err(UPGRADE_UNASKED) };
            if opening.is_some() {
                // One stream of the connection is a tunnel, the others go on.
                *response.status_mut() = StatusCode::OK;
                head::rewrite_response(response.headers_mut(), &self.heads, None);
            } else {
                let protocol = response.headers().get(header::UPGRADE).cloned().unwrap_or(protocol);
                head::rewrite_response(response.headers_mut(), &self.heads, Some(protocol));
                peer.switch();
            }
            self.shard.count(Count::Tunnel);
            let tunnels = self.tunnels.clone();
            self.tasks.spawn(async move {
                let _counted = (open, in_flight);
                tunnels.after_upgrade(lease, downstream).await;
            });
            return Ok(response.map(|_| AnswerBody::whole(Bytes::new())));
        }
        if watch.is_some_and(|watch| watch.progress() == Progress::Streaming) {
            lease.detach();
        }
        head::rewrite_response(response.headers_mut(), &self.heads, None);
        if status == StatusCode::NO_CONTENT {
            // It has no body to speak of (RFC 9110 §8.6).
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        *response.version_mut() = Version::HTTP_11;
        let idle = policy.waits.read.unwrap_or(self.timeouts.idle);
        let mut response = response.map(|incoming| AnswerBody::upstream(incoming, lease, idle, in_flight));
        if let Some(open) = open {
            response.body_mut().count(open);
        }
        if let Some(rate) = policy.rate {
            response.body_mut().slow(rate);
        }
        Ok(response)
    }
}

/// A request whose head is sound.
struct Asking {
    parts: Parts,
    incoming: Incoming,
    host: Host,
    /// The path that routes are found by, where it is not the one that is forwarded.
    path: Option<Box<str>>,
    upgrade: Option<Upgrade>,
}

/// A request to speak another protocol from here on.
struct Upgrade {
    downstream: OnUpgrade,
    protocol: HeaderValue,
    /// Over HTTP/2.
    opening: Option<Opening>,
}

/// Whether a connection was set up for somebody else than `host`.
pub fn is_misdirected(table: &RouteTable, peer: &Peer, host: &str) -> bool {
    let other = |name: &str| match (table.mutual(name), table.mutual(host)) {
        (Some(asked), Some(needed)) => !Arc::ptr_eq(asked, needed),
        (asked, needed) => asked.is_some() || needed.is_some(),
    };
    let asked_for =
        |name: &str| *name != *host && (table.certs().misdirected(name, host) || (table.is_mutual() && other(name)));
    // What passes through elsewhere must not be had here without the endpoint's own handshake.
    let passed = || peer.scheme == "https" && table.passthrough(host).is_some();
    peer.server_name.as_deref().is_some_and(asked_for) || (table.passes_through() && passed())
}

/// What a hash of the request may read.
pub fn asked<'r>(parts: &'r Parts, host: &'r str, peer: &Peer) -> Asked<'r> {
    let scheme = if peer.scheme == "https" { "https" } else { "http" };
    Asked { parts, host, remote: peer.address, scheme }
}

/// A request that is let in, on its way.
struct Passing<'r> {
    parts: &'r mut Parts,
    incoming: Incoming,
    host: Host,
    peer: &'r Peer,
    upgrade: Option<Upgrade>,
    open: Option<Open>,
    /// What the endpoint sees as target, where that is another one.
    target: Option<PathAndQuery>,
    /// What the endpoint is told by who let the request in.
    fields: Vec<(HeaderName, HeaderValue)>,
    prior: Option<Prior>,
}

/// Tells a client of HTTP/1 that its connection ends; HTTP/2 has frames for that, and a tunnel goes on.
fn leave(version: Version, response: &mut Response<AnswerBody>) {
    if version < Version::HTTP_2 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Says in the line where its request goes, unless that route leaves no lines, or no traces.
pub fn note_route(route: &Route, line: &mut Option<Line>) {
    match line.take() {
        Some(mut taken) if !(route.policy.logged && route.policy.traced) => {
            if !route.policy.traced {
                taken.untraced();
            }
            *line = if route.policy.logged { Some(taken) } else { taken.unlogged() };
        }
        taken => *line = taken,
    }
    if let Some(line) = line {
        line.routed(&route.ingress, &route.backend.name);
    }
}

/// What an answer meets on its way back.
struct Back<'r> {
    peer: &'r Peer,
    policy: &'r Policy,
    watch: Option<Watch>,
    upgrade: Option<Upgrade>,
    open: Option<Open>,
}

/// An answer of our own: the status, and why in one line of text.
fn reply(refusal: Refusal, version: Version, server: Option<&HeaderValue>) -> Response<AnswerBody> {
    let text = format!("{} {}\n", refusal.status.as_u16(), refusal.reason);
    let mut response = Response::new(AnswerBody::whole(Bytes::from(text)));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Some(server) = server {
        headers.insert(header::SERVER, server.clone());
    }
    if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
        // Whatever it is, it passes: pods become ready, queues empty.
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if refusal.close && version < Version::HTTP_2 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
