//! One plain request at its endpoint: which one, over which connection, and what it says first.
//!
//! The same for all clients; must not know how they speak, nor what becomes of the answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use http::{Method, StatusCode};
use tokio::io::AsyncWrite;

use super::answer::{Answer, Reading};
use super::ask::Ask;
use super::poll_into;
use crate::access::Line;
use crate::alarm::Alarm;
use crate::clock;
use crate::failure::Cause;
use crate::filter;
use crate::metrics::Count;
use crate::metrics::book::Tally;
use crate::peer::Peer;
use crate::proxy::forward::{Fate, Prior, Trip, connect_cause};
use crate::proxy::upstream::{Link, Target};
use crate::proxy::vigil::{Vigil, Waiting};
use crate::proxy::{Proxy, is_misdirected};
use crate::route::{Endpoint, Found, InFlight, Route, Way, Wire, Wish, normal_path};
use crate::trace::Span;

/// A request on its way to an endpoint.
pub(super) struct Trial {
    pub route: Arc<Route>,
    pub wire: Arc<Wire>,
    pub endpoint: Arc<Endpoint>,
    in_flight: Option<InFlight>,
    pub began: Instant,
    /// The clock's milliseconds at that time.
    pub now: u64,
    way: Way,
    pub method: Method,
    /// It is more than a head.
    bodied: bool,
}

/// What goes to an endpoint, and what comes from it.
pub(super) struct Talk {
    pub out: Vec<u8>,
    /// Not passed on yet.
    pub reply: BytesMut,
    pub alarm: Alarm,
}

/// Who waits for an answer.
pub(super) trait Asker {
    /// Reads the answer's head off the front of what came.
    fn read(&mut self, reply: &[u8]) -> Reading;
    /// Whether nobody waits any more.
    fn is_gone(&mut self, cx: &mut Context<'_>) -> bool;
}

/// Why there is no answer.
pub(super) enum Missed {
    /// Nobody waits for it.
    Gone,
    Failed(Fate),
}

enum Fault {
    /// The client went away.
    Client,
    /// The endpoint took nothing of the request.
    Unsent(Cause),
    Endpoint(Cause),
}

impl Trial {
    /// Finds the endpoint of a request, if there is nothing to decide about it.
    pub fn of(proxy: &Proxy, peer: &Peer, ask: &Ask<'_>, began: Instant) -> Option<Self> {
        let path = normal_path(ask.path()).ok()?;
        let table = proxy.table.load();
        if is_misdirected(&table, peer, ask.host.as_str()) {
            return None;
        }
        let found = table.locate(ask.host.as_str(), path.as_deref().unwrap_or(ask.path()))?;
        let Found { route, mutual: None, pattern: _ } = found else { return None };
        let way = route.short_way(&peer.scheme)?;
        if filter::sends_to_https(&route.policy, &table, (peer, ask.host.as_str())) {
            return None;
        }
        if proxy.body_limit(&route.policy).is_some_and(|limit| ask.body > limit) {
            return None;
        }
        let now = clock::now();
        let wish = Wish { shares: route.delivery.shares.as_deref(), ..Wish::first(now, way) };
        let wire = route.wiring.wire(&peer.scheme);
        let trip = Trip { route, wire, ends: None, way, ticket: None, watch: None };
        let endpoint = proxy.pick(trip, &trip.route.backend, &wish).filter(|endpoint| !endpoint.is_unreachable())?;
        Some(Self {
            in_flight: (way == Way::Cheaper).then(|| endpoint.enter()),
            wire: wire.clone(),
            route: route.clone(),
            endpoint: endpoint.clone(),
            began,
            now,
            way,
            method: ask.method.clone(),
            bodied: ask.body > 0,
        })
    }

    pub fn target(&self) -> Target<'_> {
        Target { endpoint: &self.endpoint, wire: &self.wire, ends: None }
    }

    /// What its wait goes by.
    fn waiting(&self, proxy: &Proxy, link: &Link) -> Waiting<'_> {
        let retries = &self.route.delivery.retries;
        let another = retries.tries.unwrap_or(proxy.limits.attempts) > 1;
        let moves = another && !self.bodied && retries.repeats(&self.method) && retries.covers(Cause::Vanished);
        let moves_until = if moves { proxy.tries_until(&self.route, self.now) } else { 0 };
        Waiting { backend: &self.route.backend, endpoint: &self.endpoint, ends: Some(link.ends()), moves_until }
    }

    /// What the general way has to know of it.
    pub fn prior(&self, fate: Fate, span: Option<Box<Span>>) -> Prior {
        Prior { endpoint: self.endpoint.clone(), began: self.now, fate, span }
    }

    /// Counts the request at its end.
    pub fn tally(&self, proxy: &Proxy) -> Tally {
        Tally::new(proxy.shard.clone(), self.route.number, self.began, &self.method)
    }

    /// Counts an answer whose head is here.
    pub fn account(&self, (proxy, peer): (&Proxy, &Peer), status: StatusCode, line: &mut Option<Line>) {
        let Self { route, wire, way, .. } = self;
        let trip = Trip { route, wire, ends: peer.ends, way: *way, ticket: None, watch: None };
        proxy.answered((trip, &self.endpoint), status, self.now, line);
        if self.in_flight.is_some() {
            self.endpoint.took(self.began.elapsed(), clock::now());
        }
    }
}

impl Talk {
    /// Sends the request to its endpoint, over a kept connection or a new one, and waits for the head of the answer.
    pub async fn reach(
        &mut self,
        proxy: &Proxy,
        trial: &Trial,
        asker: &mut impl Asker,
    ) -> Result<(Answer, Link), Missed> {
        loop {
            let (mut link, fresh) = match proxy.pool.take_bare(trial.target()) {
                Some(link) => {
                    proxy.shard.count(Count::Reused);
                    (link, false)
                }
                None => match Link::connect(trial.target(), &proxy.timeouts).await {
                    Ok(link) => {
                        trial.endpoint.reached(clock::now());
                        (link, true)
                    }
                    Err(error) => return Err(Missed::Failed(Fate::Unsent(connect_cause(&error)))),
                },
            };
            self.reply.clear();
            match self.answer((proxy, trial), &mut link, asker).await {
                Ok(answer) => {
                    self.reply.advance(answer.length);
                    return Ok((answer, link));
                }
                Err(Fault::Client) => return Err(Missed::Gone),
                // Nobody has seen anything of the request: the next one will do.
                Err(Fault::Unsent(_)) if !fresh => {}
                Err(Fault::Unsent(cause)) => return Err(Missed::Failed(Fate::Unsent(cause))),
                Err(Fault::Endpoint(cause)) => {
                    // What happens to a kept connection says nothing about its endpoint, unless it stays silent.
                    let fresh = fresh || matches!(cause, Cause::ResponseTimeout | Cause::Vanished);
                    return Err(Missed::Failed(Fate::Lost { cause, fresh }));
                }
            }
        }
    }

    async fn answer(
        &mut self,
        (proxy, trial): (&Proxy, &Trial),
        link: &mut Link,
        asker: &mut impl Asker,
    ) -> Result<Answer, Fault> {
        let mut vigil = Vigil::new((trial.began, trial.now), proxy.response_limit(&trial.route));
        self.alarm.set(vigil.due());
        let mut sent = 0;
        poll_fn(|cx| {
            while sent < self.out.len() {
                match Pin::new(&mut *link).poll_write(cx, &self.out[sent..]) {
                    Poll::Ready(Ok(written @ 1..)) => sent += written,
                    Poll::Ready(_) if sent == 0 => return Poll::Ready(Err(Fault::Unsent(Cause::Reset))),
                    // It takes no more, but may have said why.
                    Poll::Ready(_) | Poll::Pending => break,
                }
            }
            loop {
                match poll_into(link, &mut self.reply, cx) {
                    Poll::Ready(Ok(0)) => return failed(Cause::Closed),
                    Poll::Ready(Ok(_)) => {
                        if let Some(answer) = self.head(proxy.limits.head_bytes, asker)? {
                            // Who answers before it has heard everything may take the rest for another request.
                            let goes_on = answer.goes_on && sent == self.out.len();
                            return Poll::Ready(Ok(Answer { goes_on, ..answer }));
                        }
                    }
                    Poll::Ready(Err(error)) => return failed(Cause::of_io(&error)),
                    Poll::Pending => break,
                }
            }
            if asker.is_gone(cx) {
                return Poll::Ready(Err(Fault::Client));
            }
            while self.alarm.is_due(cx) {
                if let Some(cause) = proxy.look(&mut vigil, trial.waiting(proxy, link)) {
                    return failed(cause);
                }
                self.alarm.set(vigil.due());
            }
            Poll::Pending
        })
        .await
    }

    fn head(&mut self, most: usize, asker: &mut impl Asker) -> Result<Option<Answer>, Fault> {
        loop {
            match asker.read(&self.reply) {
                Reading::More if self.reply.len() < most => return Ok(None),
                // Nobody asked for it, and clients of today drop it.
                Reading::Interim(length) => self.reply.advance(length),
                Reading::Head(answer) if answer.length <= most => return Ok(Some(answer)),
                Reading::Head(_) | Reading::More | Reading::Strange => return Err(Fault::Endpoint(Cause::BadAnswer)),
            }
        }
    }
}

/// How long the endpoint of a route may take for one piece of its answer.
pub(super) fn piece_limit(proxy: &Proxy, route: &Route) -> Duration {
    route.policy.waits.read.unwrap_or(proxy.timeouts.idle)
}

const fn failed(cause: Cause) -> Poll<Result<Answer, Fault>> {
    Poll::Ready(Err(Fault::Endpoint(cause)))
}
