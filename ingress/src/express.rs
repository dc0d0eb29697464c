//! The short way of the commonest requests: a head in, a head out, bodies through, each in one pass over its bytes.
//!
//! Takes what the general way (`proxy`) would pass on without a decision, and hands it the connection with the first
//! request that needs one, or that failed: nothing is answered here but what an endpoint said.

mod answer;
mod ask;
mod chunks;
mod field;
mod relay;
mod traced;

use std::future::poll_fn;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use http::{HeaderValue, Method, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::access::{Asked, Line, cut};
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
use crate::stream::Downstream;
use crate::trace::Span;
use answer::{Answer, Reading, Setting};
use ask::Ask;

/// Bytes that are asked for at once.
const READ: usize = 4 * 1024;
/// Bytes of memory that a silent connection keeps of each kind.
const KEPT: usize = 8 * 1024;
/// Bodies of requests up to this many bytes take the short way, whole.
const BODY_MAX: u64 = 64 * 1024;
/// How long the rest of such a body may take.
const BODY_WAIT: Duration = Duration::from_millis(100);

/// One client's connection on the short way.
struct Express<'w> {
    proxy: &'w Proxy,
    peer: &'w Peer,
    stream: Downstream,
    /// From the client, not served yet.
    inbox: BytesMut,
    /// From the endpoint, not passed on yet.
    reply: BytesMut,
    /// To the endpoint.
    out: Vec<u8>,
    /// To the client.
    told: Vec<u8>,
    /// What every request says of its client.
    forwarding: Vec<u8>,
    alarm: Alarm,
    drain: &'w CancellationToken,
    /// Bytes of the inbox that are the request being answered.
    own: usize,
    /// How long one piece of an answer's body may take.
    idle: Duration,
    /// From when on it takes no further request.
    old: Instant,
}

/// How one turn of a connection ended.
enum Turn {
    Served,
    /// There must be so many bytes first.
    Short(usize),
    /// The connection has ended, or shall.
    End,
    /// The rest is for the general way, beginning with this request.
    General(Option<Prior>),
}

/// A request on its way to an endpoint; its bytes are still in the inbox.
struct Trial {
    route: Arc<Route>,
    wire: Arc<Wire>,
    endpoint: Arc<Endpoint>,
    in_flight: Option<InFlight>,
    began: Instant,
    /// The clock's milliseconds at that time.
    now: u64,
    way: Way,
    /// Bytes of the request.
    length: usize,
    /// It is more than a head.
    bodied: bool,
    method: Method,
    last: bool,
    said: Said,
    /// It is traced.
    span: Option<Box<Span>>,
}

/// What of a request is written down, as places in the inbox; the id is in what the endpoint gets.
struct Said {
    path: Range<usize>,
    host: Range<usize>,
    agent: Range<usize>,
    referer: Range<usize>,
    id: Range<usize>,
}

/// Why there is no answer.
enum Fault {
    /// The client went away.
    Client,
    /// The endpoint took nothing of the request.
    Unsent(Cause),
    Endpoint(Cause),
}

/// Serves a connection as long as its requests are plain; what is left of it is for the general way.
pub async fn serve(
    proxy: &Proxy,
    peer: &Peer,
    stream: Downstream,
    (drain, linger): (&CancellationToken, Duration),
) -> Option<(Downstream, Option<Prior>)> {
    let rules = &proxy.heads;
    if rules.via.is_some() || rules.forwarded {
        return Some((stream, None));
    }
    let began = Instant::now();
    let mut express = Express {
        proxy,
        peer,
        stream,
        inbox: BytesMut::new(),
        reply: BytesMut::new(),
        out: Vec::new(),
        told: Vec::new(),
        forwarding: ask::forwarding(peer),
        alarm: Alarm::new(began + proxy.timeouts.head),
        drain,
        own: 0,
        idle: proxy.timeouts.idle,
        old: began + proxy.timeouts.connection,
    };
    let mut drained = pin!(async {
        drain.cancelled().await;
        // Until then it may ask once more, and hears with the answer that it shall go.
        tokio::time::sleep(linger).await;
    });
    loop {
        if express.inbox.is_empty() {
            express.rest();
            // Who comes with a request as it gets old hears of it with the answer.
            let until = (Instant::now() + proxy.timeouts.head).min(express.old + linger);
            express.alarm.set(until);
            let stopped = |cx: &mut Context<'_>| drained.as_mut().poll(cx).is_ready();
            if !express.request(stopped).await {
                return None;
            }
        }
        match express.turn().await {
            Turn::Served => {}
            Turn::Short(length) if express.is_whole(length).await => {}
            Turn::Short(_) => return Some(express.left(None)),
            Turn::End => return None,
            Turn::General(prior) => return Some(express.left(prior)),
        }
    }
}

impl Express<'_> {
    /// Waits for bytes of a request; false if the connection ended instead, or shall.
    async fn request(&mut self, mut stopped: impl FnMut(&mut Context<'_>) -> bool) -> bool {
        poll_fn(|cx| {
            let read = poll_into(&mut self.stream, &mut self.inbox, cx);
            if read.is_pending() && (stopped(cx) || self.alarm.is_due(cx)) {
                return Poll::Ready(false);
            }
            read.map(|read| matches!(read, Ok(1..)))
        })
        .await
    }

    /// Gives back what one large request or answer took: most connections are silent most of the time.
    fn rest(&mut self) {
        for buffer in [&mut self.inbox, &mut self.reply] {
            if buffer.capacity() > KEPT && buffer.is_empty() {
                *buffer = BytesMut::new();
            }
        }
        for buffer in [&mut self.out, &mut self.told] {
            if buffer.capacity() > KEPT {
                *buffer = Vec::new();
            }
        }
    }

    /// Waits for the rest of a request of so many bytes; false if it takes its time.
    async fn is_whole(&mut self, length: usize) -> bool {
        self.alarm.set(Instant::now() + BODY_WAIT);
        poll_fn(|cx| {
            while self.inbox.len() < length {
                match poll_into(&mut self.stream, &mut self.inbox, cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Pending if !self.alarm.is_due(cx) => return Poll::Pending,
                    _ => return Poll::Ready(false),
                }
            }
            Poll::Ready(true)
        })
        .await
    }

    /// The connection as the general way takes it over.
    fn left(self, prior: Option<Prior>) -> (Downstream, Option<Prior>) {
        let Self { mut stream, inbox, .. } = self;
        stream.rewind(inbox);
        (stream, prior)
    }

    async fn turn(&mut self) -> Turn {
        let mut out = std::mem::take(&mut self.out);
        let trial = self.trial(&mut out);
        self.out = out;
        let mut trial = match trial {
            Ok(trial) => trial,
            Err(turn) => return turn,
        };
        self.own = trial.length;
        let mut span = trial.span.take();
        let target = Target { endpoint: &trial.endpoint, wire: &trial.wire, ends: None };
        let prior = |fate, span| Turn::General(Some(trial.prior(fate, span)));
        let (answer, mut link) = loop {
            let (mut link, fresh) = match self.proxy.pool.take_bare(target) {
                Some(link) => {
                    self.proxy.shard.count(Count::Reused);
                    (link, false)
                }
                None => match Link::connect(target, &self.proxy.timeouts).await {
                    Ok(link) => {
                        trial.endpoint.reached(clock::now());
                        (link, true)
                    }
                    Err(error) => return prior(Fate::Unsent(connect_cause(&error)), span),
                },
            };
            match self.answer(&mut link, &trial).await {
                Ok(answer) => break (answer, link),
                Err(Fault::Client) => {
                    // It was not there for its answer, and that is what its line says.
                    drop(self.line(&trial, span.take()));
                    return Turn::End;
                }
                // Nobody has seen anything of the request: the next one will do.
                Err(Fault::Unsent(_)) if !fresh => {}
                Err(Fault::Unsent(cause)) => return prior(Fate::Unsent(cause), span),
                Err(Fault::Endpoint(cause)) => {
                    // What happens to a kept connection says nothing about its endpoint, unless it stays silent.
                    return prior(
                        Fate::Lost { cause, fresh: fresh || matches!(cause, Cause::ResponseTimeout | Cause::Vanished) },
                        span,
                    );
                }
            }
        };
        let (mut line, tally) = self.account(&trial, &answer, span);
        self.inbox.advance(trial.length);
        self.own = 0;
        self.reply.advance(answer.length);
        let mut passed = 0;
        self.idle = trial.route.policy.waits.read.unwrap_or(self.proxy.timeouts.idle);
        let relayed = self.relay(&mut link, answer.body, &mut passed).await;
        if let Some(line) = &mut line {
            line.bytes = passed;
            line.broken = relayed.is_err();
        }
        drop((line, tally));
        let Ok(()) = relayed else { return Turn::End };
        if answer.goes_on && self.reply.is_empty() {
            self.proxy.pool.keep_bare(target, link);
        }
        self.reply.clear();
        if answer.last {
            if let Err(error) = self.stream.shutdown().await {
                tracing::debug!(%error, "a client was gone before its connection was closed");
            }
            return Turn::End;
        }
        Turn::Served
    }

    /// Reads the request at the front of the inbox, finds its endpoint, and writes what the endpoint gets.
    fn trial(&self, out: &mut Vec<u8>) -> Result<Trial, Turn> {
        let (proxy, began) = (self.proxy, Instant::now());
        out.clear();
        let ask = ask::read(&self.inbox, self.peer, (&proxy.heads, &proxy.limits), out);
        let Some(ask) = ask.filter(|ask| ask.body <= BODY_MAX) else { return Err(Turn::General(None)) };
        let length = ask.length + usize::try_from(ask.body).map_err(|_| Turn::General(None))?;
        let Some(body) = self.inbox.get(ask.length..length) else { return Err(Turn::Short(length)) };
        let trial = self.routed(&ask, began, out).ok_or(Turn::General(None))?;
        out.extend_from_slice(body);
        Ok(Trial { length, ..trial })
    }

    fn routed(&self, ask: &Ask<'_>, began: Instant, out: &mut Vec<u8>) -> Option<Trial> {
        let (proxy, peer) = (self.proxy, self.peer);
        let path = normal_path(ask.path()).ok()?;
        let table = proxy.table.load();
        if is_misdirected(&table, peer, ask.host.as_str()) {
            return None;
        }
        let found = table.locate(ask.host.as_str(), path.as_deref().unwrap_or(ask.path()))?;
        let Found { route, mutual: None, pattern: _ } = found else { return None };
        if !route.is_plain(&peer.scheme) || filter::sends_to_https(&route.policy, &table, (peer, ask.host.as_str())) {
            return None;
        }
        if proxy.body_limit(&route.policy).is_some_and(|limit| ask.body > limit) {
            return None;
        }
        let (now, way) = (clock::now(), route.delivery.plain_way()?);
        let wish = Wish { shares: route.delivery.shares.as_deref(), ..Wish::first(now, way) };
        let wire = route.wiring.wire(&peer.scheme);
        let trip = Trip { route, wire, ends: None, way, ticket: None, watch: None };
        let endpoint = proxy.pick(trip, &trip.route.backend, &wish).filter(|endpoint| !endpoint.is_unreachable())?;
        let span = self.traced(ask, (&route.policy, endpoint), began, out)?;
        let id = ask::finish(ask, &self.forwarding, || proxy.ids.digits(), out);
        let at = |part: &[u8]| {
            let start = part.as_ptr().addr().wrapping_sub(self.inbox.as_ptr().addr());
            if part.is_empty() { 0..0 } else { start..start + part.len() }
        };
        let (path, host) = (at(ask.path().as_bytes()), at(ask.named));
        let said = Said { path, host, agent: at(ask.agent), referer: at(ask.referer), id };
        Some(Trial {
            in_flight: (way == Way::Cheaper).then(|| endpoint.enter()),
            wire: wire.clone(),
            route: route.clone(),
            endpoint: endpoint.clone(),
            began,
            now,
            way,
            length: ask.length,
            bodied: ask.body > 0,
            method: ask.method.clone(),
            last: ask.last || began >= self.old,
            said,
            span,
        })
    }

    /// Sends the request and waits for the head of the answer; what the client gets of it is in `told` then.
    async fn answer(&mut self, link: &mut Link, trial: &Trial) -> Result<Answer, Fault> {
        let setting = Setting {
            head_only: trial.method == Method::HEAD,
            last: trial.last,
            rules: &self.proxy.heads,
            promise: self.peer.promise.as_ref(),
            date: relay::date,
        };
        self.told.clear();
        self.reply.clear();
        let mut vigil = Vigil::new((trial.began, trial.now), self.proxy.response_limit(&trial.route));
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
                        let last = trial.last || self.drain.is_cancelled();
                        if let Some(answer) = self.read_answer(Setting { last, ..setting })? {
                            // Who answers before it has heard everything may take the rest for another request.
                            let goes_on = answer.goes_on && sent == self.out.len();
                            return Poll::Ready(Ok(Answer { goes_on, ..answer }));
                        }
                    }
                    Poll::Ready(Err(error)) => return failed(Cause::of_io(&error)),
                    Poll::Pending => break,
                }
            }
            if self.is_client_gone(cx) {
                return Poll::Ready(Err(Fault::Client));
            }
            while self.alarm.is_due(cx) {
                if let Some(cause) = self.proxy.look(&mut vigil, trial.waiting(link)) {
                    return failed(cause);
                }
                self.alarm.set(vigil.due());
            }
            Poll::Pending
        })
        .await
    }

    fn read_answer(&mut self, setting: Setting<'_>) -> Result<Option<Answer>, Fault> {
        loop {
            match answer::read(&self.reply, setting, &mut self.told) {
                Reading::More if self.reply.len() < self.proxy.limits.head_bytes => return Ok(None),
                // Nobody asked for it, and clients of today drop it.
                Reading::Interim(length) => self.reply.advance(length),
                Reading::Head(answer) => return Ok(Some(answer)),
                Reading::More | Reading::Strange => return Err(Fault::Endpoint(Cause::BadAnswer)),
            }
        }
    }

    /// Whether the client has closed. Who has sent the next request already is not looked at: it waits in its turn.
    fn is_client_gone(&mut self, cx: &mut Context<'_>) -> bool {
        while self.inbox.len() <= self.own {
            match poll_into(&mut self.stream, &mut self.inbox, cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return true,
                Poll::Pending => return false,
            }
        }
        false
    }

    /// The access line of a request whose bytes are still in the inbox.
    fn line(&self, trial: &Trial, span: Option<Box<Span>>) -> Option<Line> {
        let (peer, route) = (self.peer, &trial.route);
        let journal = self.proxy.journal.as_ref()?;
        let logged = journal.samples() && route.policy.logged;
        if !logged && span.is_none() {
            return None;
        }
        let Said { path, host, agent, referer, id } = &trial.said;
        let text = |part: &Range<usize>| cut(&self.inbox[part.clone()]);
        let asked = Asked {
            address: peer.address,
            address_text: Some(peer.address_value.as_bytes()),
            scheme: peer.scheme.as_bytes(),
            version: Version::HTTP_11,
            method: trial.method.as_str().as_bytes(),
            host: text(host),
            path: text(path),
            agent: text(agent),
            referer: text(referer),
        };
        let mut line = journal.line(trial.began, &asked);
        line.carries(logged, span);
        line.routed(&route.ingress, &route.backend.name);
        line.tried(1, &trial.endpoint.key);
        line.identified(&self.out[id.clone()]);
        Some(line)
    }

    /// Counts an answer whose head is here.
    fn account(&self, trial: &Trial, answer: &Answer, span: Option<Box<Span>>) -> (Option<Line>, Tally) {
        let (proxy, route) = (self.proxy, &trial.route);
        let mut line = self.line(trial, span);
        if let Some(line) = &mut line {
            line.status = answer.status;
        }
        let way = trial.way;
        let trip = Trip { route, wire: &trial.wire, ends: self.peer.ends, way, ticket: None, watch: None };
        proxy.answered((trip, &trial.endpoint), answer.status, trial.now, &mut line);
        let took = trial.began.elapsed();
        if trial.in_flight.is_some() {
            trial.endpoint.took(took, clock::now());
        }
        proxy.shard.answered(answer.status, took);
        let mut tally = Tally::new(proxy.shard.clone(), route.number, trial.began, &trial.method);
        tally.status = answer.status;
        (line, tally)
    }
}

impl Trial {
    /// What became of it, for the general way.
    fn prior(&self, fate: Fate, span: Option<Box<Span>>) -> Prior {
        Prior { endpoint: self.endpoint.clone(), began: self.now, fate, span }
    }

    /// What its wait goes by.
    fn waiting(&self, link: &Link) -> Waiting<'_> {
        let retries = &self.route.delivery.retries;
        let moves = !self.bodied && retries.repeats(&self.method) && retries.covers(Cause::Vanished);
        Waiting { backend: &self.route.backend, endpoint: &self.endpoint, ends: Some(link.ends()), moves }
    }
}

impl Route {
    /// Whether requests of `scheme` are passed on as they are, whoever sends them.
    fn is_plain(&self, scheme: &HeaderValue) -> bool {
        let Self { backend, delivery, wiring, policy, canaries, extauth, pages, mirror, ingress: _, number: _ } = self;
        let free = backend.fault.is_none() && backend.seats().is_none();
        let silent = canaries.is_empty() && extauth.is_none() && pages.is_none() && mirror.is_none();
        free && silent && wiring.wire(scheme).is_bare() && delivery.plain_way().is_some() && policy.is_plain()
    }
}

const fn failed(cause: Cause) -> Poll<Result<Answer, Fault>> {
    Poll::Ready(Err(Fault::Endpoint(cause)))
}

/// Reads what is there, up to [`READ`] bytes and what fits besides.
fn poll_into(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<std::io::Result<usize>> {
    to.reserve(READ);
    pin!(from.read_buf(to)).poll(cx)
}
