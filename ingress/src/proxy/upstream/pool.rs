//! Upstream connections of one worker that wait for their next request, and leases on those in use.
//!
//! Keyed by endpoint and wire: what differs in address, pod, TLS or protocol never shares a connection.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use parking_lot::Mutex;

use crate::announce::Ends;
use crate::clock;
use crate::config::Timeouts;
use crate::proxy::body::RequestBody;
use crate::proxy::upstream::link::Link;
use crate::proxy::upstream::shared::{Shared, Stream};
use crate::proxy::upstream::{ConnectError, Driver, ExchangeError, Target, Upstream};
use crate::route::{Endpoint, RouteTable};
use crate::turn;

/// How long an HTTP/2 connection without streams is kept: servers that close one say so beforehand.
const SHARED_KEEP_ALIVE: u64 = 60_000;

/// Endpoint and wire.
type Key = (u64, u32);
/// Held while a shared connection is being made, so that a burst of requests makes one.
type Gate = tokio::sync::Mutex<()>;

/// Idle and shared connections by endpoint and wire.
///
/// Only this worker's tasks take the locks, so they are never contended, and never held across a wait.
pub struct Pool {
    idle: Mutex<HashMap<Key, Vec<Idle>>>,
    shared: Mutex<HashMap<Key, Vec<Arc<Shared>>>>,
    gates: Mutex<HashMap<Key, Weak<Gate>>>,
    per_endpoint: usize,
    keep_alive: u64,
    head_bytes: usize,
}

struct Idle {
    kept: Kept,
    since: u64,
    /// The worker's turn at that time.
    turn: u64,
}

/// A connection in use, and the pool that it goes back to.
pub struct Lease {
    held: Held,
    pool: Arc<Pool>,
    /// Absent where the connection serves one client only.
    key: Option<Key>,
}

/// A connection between two requests: as it is, or with the state of who used it last.
enum Kept {
    Bare(Link),
    Spoken(Upstream),
}

enum Held {
    /// Nothing was said over it by this lease.
    Bare(Option<Link>),
    Own(Upstream),
    Stream(Stream),
    Settled,
}

impl Target<'_> {
    const fn key(&self) -> Key {
        (self.endpoint.id, self.wire.id)
    }
}

impl Pool {
    /// A pool that keeps `per_endpoint` connections for `keep_alive`, over which heads have up to `head_bytes`.
    #[must_use]
    pub fn new(per_endpoint: usize, keep_alive: Duration, head_bytes: usize) -> Self {
        let keep_alive = u64::try_from(keep_alive.as_millis()).unwrap_or(u64::MAX);
        let (idle, shared, gates) = Default::default();
        Self { idle, shared, gates, per_endpoint, keep_alive, head_bytes }
    }

    /// The connection that was used last, if one is still young enough; of shared ones, the first with room.
    pub fn take(self: &Arc<Self>, target: Target<'_>) -> Option<Lease> {
        let key = target.key();
        if target.wire.is_h2() {
            let mut shared = self.shared.lock();
            let kept = shared.get_mut(&key)?;
            kept.retain(|connection| !connection.is_closed());
            let stream = kept.iter().find_map(Shared::enter)?;
            return Some(Lease { held: Held::Stream(stream), pool: self.clone(), key: Some(key) });
        }
        let held = match self.pop(key)? {
            Kept::Bare(mut link) => {
                if !link.is_quiet() {
                    return self.take(target);
                }
                Held::Bare(Some(link))
            }
            Kept::Spoken(upstream) => Held::Own(upstream),
        };
        Some(Lease { held, pool: self.clone(), key: Some(key) })
    }

    /// The same for who speaks over the bare connection.
    pub fn take_bare(&self, target: Target<'_>) -> Option<Link> {
        loop {
            let link = match self.pop(target.key())? {
                Kept::Bare(link) => Some(link),
                Kept::Spoken(upstream) => upstream.into_link(),
            };
            if let Some(mut link) = link
                && link.is_quiet()
            {
                return Some(link);
            }
        }
    }

    fn pop(&self, key: Key) -> Option<Kept> {
        let (now, turn) = (clock::now(), turn::current());
        loop {
            let mut idle = self.idle.lock();
            let kept = idle.get_mut(&key)?;
            // Rather one that the runtime has looked at since.
            let at = kept.iter().rposition(|idle| idle.turn != turn).or(kept.len().checked_sub(1))?;
            let found = kept.remove(at);
            if now.saturating_sub(found.since) >= self.keep_alive {
                // Those before it are older still.
                kept.drain(..at);
                continue;
            }
            drop(idle);
            let sound = if found.turn == turn { found.kept.without_news() } else { Some(found.kept) };
            if sound.is_some() {
                return sound;
            }
        }
    }

    /// Keeps a connection over which an answer came through whole.
    pub fn keep_bare(&self, target: Target<'_>, link: Link) {
        self.keep(target.key(), Kept::Bare(link));
    }

    /// Makes a new connection, or waits for one that others are just making.
    ///
    /// # Errors
    /// [`ConnectError`]; nothing has been sent then.
    pub async fn connect(self: &Arc<Self>, target: Target<'_>, limits: &Timeouts) -> Result<Lease, ConnectError> {
        let key = Some(target.key()).filter(|_| target.wire.announce.is_none());
        let pool = self.clone();
        if !target.wire.is_h2() {
            let upstream = Upstream::start(Link::connect(target, limits).await?, self.head_bytes).await?;
            return Ok(Lease { held: Held::Own(upstream), pool, key });
        }
        let gate = key.map(|key| self.gate(key));
        let turn = match &gate {
            Some(gate) => {
                let turn = tokio::time::timeout(limits.connect, gate.lock()).await;
                Some(turn.map_err(|_| ConnectError::Timeout)?)
            }
            None => None,
        };
        if let Some(lease) = key.and_then(|_| self.take(target)) {
            return Ok(lease);
        }
        let shared = Shared::start(Link::connect(target, limits).await?, target, self.head_bytes).await?;
        let stream = shared.claim();
        if let Some(key) = key {
            self.shared.lock().entry(key).or_default().push(shared);
        }
        drop(turn);
        Ok(Lease { held: Held::Stream(stream), pool, key })
    }

    fn gate(&self, key: Key) -> Arc<Gate> {
        let mut gates = self.gates.lock();
        let gate = gates.entry(key).or_default();
        gate.upgrade().unwrap_or_else(|| {
            let fresh = Arc::default();
            *gate = Arc::downgrade(&fresh);
            fresh
        })
    }

    /// Closes what is too old, was closed by the other side, or leads to an endpoint that is gone.
    pub fn sweep(&self, table: &RouteTable) {
        let now = clock::now();
        self.idle.lock().retain(|(endpoint, _), kept| {
            let live = table.is_live(*endpoint);
            kept.retain_mut(|idle| live && now.saturating_sub(idle.since) < self.keep_alive && idle.kept.is_reusable());
            !kept.is_empty()
        });
        self.shared.lock().retain(|(endpoint, _), kept| {
            let live = table.is_live(*endpoint);
            // Streams in flight hold on to their connection; it takes no more of them.
            kept.retain(|shared| {
                let old = shared.idle_since().is_some_and(|since| now.saturating_sub(since) >= SHARED_KEEP_ALIVE);
                live && !old && !shared.is_closed()
            });
            !kept.is_empty()
        });
        self.gates.lock().retain(|_, gate| gate.strong_count() > 0);
    }

    /// Drops all connections to an endpoint that is not there any more; streams in flight go on for themselves.
    pub fn forget(&self, endpoint: &Endpoint) {
        self.idle.lock().retain(|(id, _), _| *id != endpoint.id);
        self.shared.lock().retain(|(id, _), _| *id != endpoint.id);
    }

    fn keep(&self, key: Key, connection: Kept) {
        let mut idle = self.idle.lock();
        let kept = idle.entry(key).or_default();
        if kept.len() < self.per_endpoint {
            kept.push(Idle { kept: connection, since: clock::now(), turn: turn::current() });
        }
    }
}

impl Kept {
    /// The connection, unless something came over it after its answer: that would become the next one.
    fn without_news(self) -> Option<Self> {
        let link = match self {
            Self::Bare(link) => link,
            Self::Spoken(upstream) => upstream.into_link()?,
        };
        (!link.has_news()).then_some(Self::Bare(link))
    }

    fn is_reusable(&mut self) -> bool {
        match self {
            Self::Bare(link) => link.is_quiet(),
            Self::Spoken(upstream) => upstream.is_reusable(),
        }
    }
}

impl Lease {
    /// Sends `request` and waits for the head of the answer.
    ///
    /// # Errors
    /// [`ExchangeError`] says whether the request may be sent again.
    ///
    /// # Cancel safety
    /// Dropping the future ends the exchange when the lease is dropped, too.
    pub async fn exchange(&mut self, request: Request<RequestBody>) -> Result<Response<Incoming>, ExchangeError> {
        if let Held::Bare(link) = &mut self.held
            && let Some(link) = link.take()
        {
            match Upstream::start(link, self.pool.head_bytes).await {
                Ok(upstream) => self.held = Held::Own(upstream),
                Err(_) => return Err(ExchangeError::Unsent(Box::new(request))),
            }
        }
        match &mut self.held {
            Held::Own(upstream) => upstream.exchange(request).await,
            Held::Stream(stream) => stream.exchange(request).await,
            Held::Bare(_) | Held::Settled => Err(ExchangeError::Unsent(Box::new(request))),
        }
    }

    /// Both ends of its connection, ours first.
    #[must_use]
    pub fn ends(&self) -> Option<Ends> {
        match &self.held {
            Held::Bare(link) => link.as_ref().map(Link::ends),
            Held::Own(upstream) => Some(upstream.ends),
            Held::Stream(stream) => Some(stream.ends()),
            Held::Settled => None,
        }
    }

    fn own(&mut self) -> Option<&mut Upstream> {
        match &mut self.held {
            Held::Own(upstream) if upstream.driver.is_user() => Some(upstream),
            _ => None,
        }
    }

    /// Whether the connection is polled by whoever polls the answer's body.
    #[must_use]
    pub const fn drives(&self) -> bool {
        matches!(&self.held, Held::Own(upstream) if upstream.driver.is_user())
    }

    /// Lets the connection read and write; says whether it goes on.
    pub fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(upstream) = self.own() else { return false };
        upstream.driver.poll(cx);
        if !upstream.driver.is_user() {
            // Dropped, it ends the body that it was reading.
            upstream.driver = Driver::Gone;
        }
        upstream.driver.is_user()
    }

    /// Hands the connection to a task of its own: a request body that is still on its way must not wait for the
    /// client to read the answer.
    pub fn detach(&mut self) {
        let Some(upstream) = self.own() else { return };
        if let Driver::User(connection) = std::mem::replace(&mut upstream.driver, Driver::Gone) {
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "upstream connection ended");
                }
            });
        }
    }

    /// Drives the connection until it has switched protocols; then its bytes, and what was read beyond the answer.
    pub async fn switched(self) -> Option<(Link, Bytes)> {
        let Held::Own(mut upstream) = self.held else { return None };
        poll_fn(|cx| {
            upstream.driver.poll(cx);
            if upstream.driver.is_user() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        let Driver::Ended(connection) = upstream.driver else { return None };
        let parts = connection.into_parts();
        let link = parts.io.into_inner();
        link.is_left_alone();
        Some((link, parts.read_buf))
    }

    /// The answer has come through whole: keeps the connection if it can serve another request.
    pub fn settle(&mut self) {
        if let Held::Own(mut upstream) = std::mem::replace(&mut self.held, Held::Settled)
            && let Some(key) = self.key
            && upstream.is_reusable()
        {
            self.pool.keep(key, Kept::Spoken(upstream));
        }
    }
}
