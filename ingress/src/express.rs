//! The short way of the commonest requests: a head in, a head out, bodies through, each in one pass over its bytes.
//!
//! Takes what the general way (`proxy`) would pass on without a decision, and hands it the connection with the first
//! request that needs one, or that failed: nothing is answered here but what an endpoint said.

pub mod answer;
pub mod ask;
pub mod chunks;
mod exchange;
mod field;
mod flow;
mod relay;
pub mod streams;
mod traced;

use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use http::{HeaderValue, Method, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::access::{Asked, Line, cut};
use crate::alarm::Alarm;
use crate::peer::Peer;
use crate::proxy::Proxy;
use crate::proxy::forward::Prior;
use crate::stream::Downstream;
use crate::trace::Span;
use answer::{Reading, Setting, place};
use ask::Ask;
#[cfg(feature = "fuzzing")]
pub use flow::fields as trailers;
#[cfg(feature = "fuzzing")]
pub use relay::chunk;

use exchange::{Asker, Missed, Talk, Trial, piece_limit};

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
    caller: Caller,
    talk: Talk,
    /// To the client.
    told: Vec<u8>,
    /// What every request says of its client.
    forwarding: Vec<u8>,
    /// How long one piece of an answer's body may take.
    idle: Duration,
}

/// Who asks.
struct Caller {
    stream: Downstream,
    /// Sent, not served yet.
    inbox: BytesMut,
    /// Bytes of the inbox that are the request being answered.
    own: usize,
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

/// A request whose bytes are still in the inbox.
struct Asking {
    trial: Trial,
    /// Bytes of the request.
    length: usize,
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

/// The client while it waits for an answer, which is written into `told`.
struct Awaiting<'e> {
    caller: &'e mut Caller,
    told: &'e mut Vec<u8>,
    promise: Option<&'e HeaderValue>,
    proxy: &'e Proxy,
    head_only: bool,
    last: bool,
}

/// Serves a connection as long as its requests are plain; what is left of it is for the general way.
pub async fn serve(
    proxy: &Proxy,
    peer: &Peer,
    stream: Downstream,
    (drain, linger): (&CancellationToken, Duration),
) -> Option<(Downstream, Option<Prior>)> {
    if !is_open(proxy) {
        return Some((stream, None));
    }
    let began = Instant::now();
    let mut forwarding = Vec::new();
    ask::forwarding(peer, &mut forwarding);
    let mut express = Express {
        proxy,
        peer,
        caller: Caller { stream, inbox: BytesMut::new(), own: 0 },
        talk: Talk { out: Vec::new(), reply: BytesMut::new(), alarm: Alarm::new(began + proxy.timeouts.head) },
        told: Vec::new(),
        forwarding,
        idle: proxy.timeouts.idle,
    };
    let mut drained = pin!(async {
        drain.cancelled().await;
        // Until then it may ask once more, and hears with the answer that it shall go.
        tokio::time::sleep(linger).await;
    });
    loop {
        if express.caller.inbox.is_empty() {
            express.rest();
            // Who comes with a request as it gets old hears of it with the answer.
            let until = (Instant::now() + proxy.timeouts.head).min(peer.since + proxy.timeouts.connection + linger);
            express.talk.alarm.set(until);
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

/// Whether the settings leave anything to pass on as it is.
fn is_open(proxy: &Proxy) -> bool {
    proxy.heads.via.is_none() && !proxy.heads.forwarded
}

impl Caller {
    /// Whether it has closed. Who has sent the next request already is not looked at: it waits in its turn.
    fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        while self.inbox.len() <= self.own {
            match poll_into(&mut self.stream, &mut self.inbox, cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return true,
                Poll::Pending => return false,
            }
        }
        false
    }
}

impl Asker for Awaiting<'_> {
    fn read(&mut self, reply: &[u8]) -> Reading {
        let Self { head_only, promise, proxy, .. } = *self;
        let last = self.last || proxy.is_draining();
        let setting = Setting { head_only, last, rules: &proxy.heads, promise, date: relay::date };
        answer::read(reply, setting, self.told)
    }

    fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        self.caller.is_gone(cx)
    }
}

impl Express<'_> {
    /// Waits for bytes of a request; false if the connection ended instead, or shall.
    async fn request(&mut self, mut stopped: impl FnMut(&mut Context<'_>) -> bool) -> bool {
        poll_fn(|cx| {
            let read = poll_into(&mut self.caller.stream, &mut self.caller.inbox, cx);
            if read.is_pending() && (stopped(cx) || self.talk.alarm.is_due(cx)) {
                return Poll::Ready(false);
            }
            read.map(|read| matches!(read, Ok(1..)))
        })
        .await
    }

    /// Gives back what one large request or answer took: most connections are silent most of the time.
    fn rest(&mut self) {
        for buffer in [&mut self.caller.inbox, &mut self.talk.reply] {
            if buffer.capacity() > KEPT && buffer.is_empty() {
                *buffer = BytesMut::new();
            }
        }
        for buffer in [&mut self.talk.out, &mut self.told] {
            if buffer.capacity() > KEPT {
                *buffer = Vec::new();
            }
        }
    }

    /// Waits for the rest of a request of so many bytes; false if it takes its time.
    async fn is_whole(&mut self, length: usize) -> bool {
        self.talk.alarm.set(Instant::now() + BODY_WAIT);
        poll_fn(|cx| {
            while self.caller.inbox.len() < length {
                match poll_into(&mut self.caller.stream, &mut self.caller.inbox, cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Pending if !self.talk.alarm.is_due(cx) => return Poll::Pending,
                    _ => return Poll::Ready(false),
                }
            }
            Poll::Ready(true)
        })
        .await
    }

    /// The connection as the general way takes it over.
    fn left(self, prior: Option<Prior>) -> (Downstream, Option<Prior>) {
        let Caller { mut stream, inbox, .. } = self.caller;
        stream.rewind(inbox);
        (stream, prior)
    }

    async fn turn(&mut self) -> Turn {
        let mut out = std::mem::take(&mut self.talk.out);
        let asking = self.asking(&mut out);
        self.talk.out = out;
        let mut asking = match asking {
            Ok(asking) => asking,
            Err(turn) => return turn,
        };
        let span = asking.span.take();
        let trial = &asking.trial;
        self.caller.own = asking.length;
        self.told.clear();
        let mut awaiting = Awaiting {
            caller: &mut self.caller,
            told: &mut self.told,
            promise: self.peer.promise.as_ref(),
            proxy: self.proxy,
            head_only: trial.method == Method::HEAD,
            last: asking.last,
        };
        let (answer, mut link) = match self.talk.reach(self.proxy, trial, &mut awaiting).await {
            Ok(reached) => reached,
            Err(Missed::Gone) => {
                // It was not there for its answer, and that is what its line says.
                drop((self.line(&asking, span), trial.tally(self.proxy)));
                return Turn::End;
            }
            Err(Missed::Failed(fate)) => return Turn::General(Some(trial.prior(fate, span))),
        };
        let mut line = self.line(&asking, span);
        if let Some(line) = &mut line {
            line.status = answer.status;
        }
        trial.account((self.proxy, self.peer), answer.status, &mut line);
        let mut tally = trial.tally(self.proxy);
        tally.status = answer.status;
        self.proxy.shard.answered(answer.status, trial.began.elapsed());
        self.caller.inbox.advance(asking.length);
        self.caller.own = 0;
        let mut passed = 0;
        self.idle = piece_limit(self.proxy, &trial.route);
        let relayed = self.relay(&mut link, answer.body, &mut passed).await;
        if let Some(line) = &mut line {
            line.bytes = passed;
            line.broken = relayed.is_err();
        }
        drop((line, tally));
        let Ok(()) = relayed else { return Turn::End };
        if answer.goes_on && self.talk.reply.is_empty() {
            self.proxy.pool.keep_bare(trial.target(), link);
        }
        self.talk.reply.clear();
        if answer.last {
            if let Err(error) = self.caller.stream.shutdown().await {
                tracing::debug!(%error, "a client was gone before its connection was closed");
            }
            return Turn::End;
        }
        Turn::Served
    }

    /// Reads the request at the front of the inbox, finds its endpoint, and writes what the endpoint gets.
    fn asking(&self, out: &mut Vec<u8>) -> Result<Asking, Turn> {
        let (proxy, began) = (self.proxy, Instant::now());
        out.clear();
        let ask = ask::read(&self.caller.inbox, self.peer, (&proxy.heads, &proxy.limits), out);
        let Some(ask) = ask.filter(|ask| ask.body <= BODY_MAX) else { return Err(Turn::General(None)) };
        let length = ask.length + usize::try_from(ask.body).map_err(|_| Turn::General(None))?;
        let Some(body) = self.caller.inbox.get(ask.length..length) else { return Err(Turn::Short(length)) };
        let trial = Trial::of(proxy, self.peer, &ask, began).ok_or(Turn::General(None))?;
        let span = self.traced(&ask, (&trial.route.policy, &trial.endpoint), began, out).ok_or(Turn::General(None))?;
        out.extend_from_slice(&self.forwarding);
        let id = ask::finish(&ask, || proxy.ids.digits(), out);
        out.extend_from_slice(body);
        let last = ask.last || proxy.lets_go(self.peer, began);
        Ok(Asking { trial, length, last, said: self.said(&ask, id), span })
    }

    fn said(&self, ask: &Ask<'_>, id: Range<usize>) -> Said {
        let at = |part: &[u8]| place(part, &self.caller.inbox);
        let (path, host) = (at(ask.path().as_bytes()), at(ask.named));
        Said { path, host, agent: at(ask.agent), referer: at(ask.referer), id }
    }

    /// The access line of a request whose bytes are still in the inbox.
    fn line(&self, asking: &Asking, span: Option<Box<Span>>) -> Option<Line> {
        let (peer, Asking { trial, said, .. }) = (self.peer, asking);
        let journal = self.proxy.journal.as_ref()?;
        let logged = journal.samples() && trial.route.policy.logged;
        if !logged && span.is_none() {
            return None;
        }
        let Said { path, host, agent, referer, id } = said;
        let text = |part: &Range<usize>| cut(&self.caller.inbox[part.clone()]);
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
        line.routed(&trial.route.ingress, &trial.route.backend.name);
        line.tried(1, &trial.endpoint.key);
        line.identified(&self.talk.out[id.clone()]);
        Some(line)
    }
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
