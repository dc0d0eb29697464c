//! One pod's port: its lasting identity, whether it may get requests just now, how busy and how quick it is.
//!
//! Shared by all workers and by all routes that lead there; all of it atomics, time is passed in as milliseconds.

mod latency;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use federation_types::ClusterName;
use ring::digest::{SHA256, digest};

use crate::route::circuit::Seat;
use latency::Latency;

/// How long others wait while one request finds out whether an endpoint is back: longer than a connect may take.
const TRIAL_MS: u64 = 2_000;

/// How long it counts that a connection was found without anybody at its other end.
const UNHEARD_MS: u64 = 10_000;

/// Least time between two probes of an endpoint.
const PROBE_MS: u64 = 500;

/// What makes an endpoint the same one over rebuilds: a pod that inherits an address is another endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EndpointKey {
    pub cluster: ClusterName,
    pub address: SocketAddr,
    pub pod: Option<Arc<str>>,
}

impl EndpointKey {
    /// 128 bits that every replica of the gateway computes alike, and that tell nobody the pod's address.
    fn name(&self) -> u128 {
        let mut text = self.cluster.as_str().to_owned();
        text.push('\0');
        match &self.pod {
            Some(pod) => text.push_str(pod),
            None => text.push_str(&self.address.to_string()),
        }
        let hash = digest(&SHA256, text.as_bytes());
        let half: [u8; 16] = hash.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes");
        u128::from_be_bytes(half)
    }

    /// Names cluster and zone, as [`EndpointKey::name`] names the pod.
    fn place(&self, zone: Option<&str>) -> u32 {
        let text = format!("{}\0{}", self.cluster, zone.unwrap_or(""));
        let hash = digest(&SHA256, text.as_bytes());
        u32::from_be_bytes(hash.as_ref()[..4].try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// One pod's port, shared by all routes that lead to it.
#[derive(Debug)]
pub struct Endpoint {
    /// Never used again for another endpoint while this process runs.
    pub id: u64,
    pub key: EndpointKey,
    pub zone: Option<Arc<str>>,
    /// The same in every process: what a cookie names, and what a consistent hash sorts by.
    pub name: u128,
    /// Cluster and zone, the same in every process.
    pub place: u32,
    health: Health,
    latency: Latency,
}

/// What keeps requests away from an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It could not be reached: asking it is in vain.
    Unreachable,
    /// It answers badly or not at all: better than nothing.
    Failing,
    /// The active check says no; stays until the check says yes.
    Unwell,
}

/// Whether an endpoint may be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Good,
    /// Its time is over: one request may find out.
    Due,
    Out(Mark),
}

#[derive(Debug, Default)]
struct Health {
    /// 0, or when the mark ends in milliseconds × 4 + the mark: one load says that all is well.
    mark: AtomicU64,
    /// Failures in a row that we made up an answer for.
    broken: AtomicU32,
    /// Answers 5xx of the endpoint itself in a row.
    errors: AtomicU32,
    /// Ejections that followed closely on each other.
    ejections: AtomicU32,
    /// End of the last ejection.
    ended: AtomicU64,
    /// When it was last found out whether it is back.
    probed: AtomicU64,
    /// When a connection to it was last found without anybody at its other end; 0 is never.
    unheard: AtomicU64,
    /// When nobody answered a new connection either; 0 where that is over.
    vanished: AtomicU64,
    /// When it was first seen here or came back; 0 is never.
    since: AtomicU64,
    in_flight: AtomicU32,
}

/// Counts a request against its endpoint and its backend until dropped.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Option<Arc<Endpoint>>,
    _seat: Option<Seat>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.health.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl InFlight {
    /// The same, on this seat.
    #[must_use]
    pub fn seated(mut counted: Option<Self>, seat: Seat) -> Self {
        let endpoint = counted.as_mut().and_then(|counted| counted.endpoint.take());
        Self { endpoint, _seat: Some(seat) }
    }
}

impl Mark {
    const fn bits(self) -> u64 {
        match self {
            Self::Unreachable => 1,
            Self::Failing => 2,
            Self::Unwell => 3,
        }
    }

    const fn of(bits: u64) -> Self {
        match bits & 3 {
            2 => Self::Failing,
            3 => Self::Unwell,
            _ => Self::Unreachable,
        }
    }
}

impl Endpoint {
    /// A healthy endpoint.
    #[must_use]
    pub fn new(id: u64, key: EndpointKey, zone: Option<Arc<str>>) -> Self {
        let (name, place) = (key.name(), key.place(zone.as_deref()));
        Self { id, key, zone, name, place, health: Health::default(), latency: Latency::default() }
    }

    /// Whether it may be picked at `now`.
    #[must_use]
    pub fn standing(&self, now: u64) -> Standing {
        match self.health.mark.load(Ordering::Relaxed) {
            0 => Standing::Good,
            mark if mark >> 2 > now => Standing::Out(Mark::of(mark)),
            _ => Standing::Due,
        }
    }

    /// Whether a failure keeps requests away at `now`.
    #[must_use]
    pub fn ejected(&self, now: u64) -> bool {
        matches!(self.standing(now), Standing::Out(_))
    }

    /// Whether it could not be reached when that was last known.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        let mark = self.health.mark.load(Ordering::Relaxed);
        mark != 0 && Mark::of(mark) == Mark::Unreachable
    }

    /// Whether the caller shall find out if it is back: one in a while does.
    #[must_use]
    pub fn begin_probe(&self, now: u64) -> bool {
        let last = self.health.probed.load(Ordering::Relaxed);
        (last == 0 || now.saturating_sub(last) >= PROBE_MS)
            && self.health.probed.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Takes the one trial that is due; everybody else finds the endpoint out until it is over.
    pub(super) fn claim(&self, now: u64) -> bool {
        let mark = self.health.mark.load(Ordering::Relaxed);
        if mark == 0 {
            return true;
        }
        let next = ((now + TRIAL_MS) << 2) | (mark & 3);
        mark >> 2 <= now && self.health.mark.compare_exchange(mark, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Begins an ejection unless one is under way: how many there were in close succession, this one included.
    ///
    /// They are forgotten when the endpoint stayed in for as long as `memory`.
    pub(super) fn begin_ejection(&self, now: u64, memory: u64) -> Option<u32> {
        let ended = self.health.ended.load(Ordering::Relaxed);
        let quiet = now.checked_sub(ended)?;
        // Of many requests that fail at once one speaks for all.
        self.health.ended.compare_exchange(ended, now + 1, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        if quiet > memory {
            self.health.ejections.store(1, Ordering::Relaxed);
            return Some(1);
        }
        Some(self.health.ejections.fetch_add(1, Ordering::Relaxed).saturating_add(1))
    }

    /// Keeps requests away until `until`; the longer of two marks stays.
    pub(super) fn mark(&self, mark: Mark, until: u64) {
        self.health.mark.fetch_max((until.min(u64::MAX >> 2) << 2) | mark.bits(), Ordering::Relaxed);
        self.health.ended.store(until, Ordering::Relaxed);
    }

    /// Records that over one of its connections nothing is acknowledged any more.
    pub fn is_unheard(&self, now: u64) {
        self.health.unheard.store(now, Ordering::Relaxed);
    }

    /// Records that a new connection was not answered: with what was found before, nobody is there.
    pub fn is_unanswered(&self, now: u64) {
        let unheard = self.health.unheard.load(Ordering::Relaxed);
        if unheard != 0 && now.saturating_sub(unheard) < UNHEARD_MS {
            self.health.vanished.store(now, Ordering::Relaxed);
        }
    }

    /// Whether it went away with what it was sent at `since`.
    #[must_use]
    pub fn has_vanished(&self, since: u64) -> bool {
        self.health.vanished.load(Ordering::Relaxed) >= since
    }

    /// Records a connection that was made: it can be reached.
    pub fn reached(&self, now: u64) {
        if self.health.vanished.load(Ordering::Relaxed) != 0 {
            self.health.vanished.store(0, Ordering::Relaxed);
        }
        let mark = self.health.mark.load(Ordering::Relaxed);
        if mark != 0 && Mark::of(mark) == Mark::Unreachable {
            self.clear(mark, now);
        }
    }

    /// Records an answer that is no server error: the endpoint is well, unless its check says otherwise.
    pub fn succeeded(&self, now: u64) {
        let health = &self.health;
        if health.broken.load(Ordering::Relaxed) != 0 {
            health.broken.store(0, Ordering::Relaxed);
        }
        if health.errors.load(Ordering::Relaxed) != 0 {
            health.errors.store(0, Ordering::Relaxed);
        }
        let mark = health.mark.load(Ordering::Relaxed);
        if mark != 0 && Mark::of(mark) != Mark::Unwell {
            self.clear(mark, now);
        }
    }

    /// What the active check found.
    pub fn checked(&self, well: bool, now: u64) {
        let mark = self.health.mark.load(Ordering::Relaxed);
        match (well, mark != 0 && Mark::of(mark) == Mark::Unwell) {
            (true, true) => self.clear(mark, now),
            (false, false) => self.health.mark.store(u64::MAX, Ordering::Relaxed),
            _ => {}
        }
    }

    fn clear(&self, mark: u64, now: u64) {
        if self.health.mark.compare_exchange(mark, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.health.since.store(now.max(1), Ordering::Relaxed);
            self.health.ended.store(now, Ordering::Relaxed);
        }
    }

    /// Counts one more failure in a row that we answered for.
    pub(super) fn broke(&self) -> u32 {
        self.health.broken.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Counts one more 5xx of its own in a row.
    pub(super) fn erred(&self) -> u32 {
        self.health.errors.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Milliseconds since it was first seen or came back.
    pub(super) fn age(&self, now: u64) -> u64 {
        let since = self.health.since.load(Ordering::Relaxed);
        if since == 0 {
            self.health.since.store(now.max(1), Ordering::Relaxed);
            return 0;
        }
        now.saturating_sub(since)
    }

    /// Counts one request in flight until the guard is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.health.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { endpoint: Some(self.clone()), _seat: None }
    }

    /// Requests in flight, of those who count them.
    #[must_use]
    pub fn busy(&self) -> u32 {
        self.health.in_flight.load(Ordering::Relaxed)
    }

    /// Takes the time of one answer, or of one failure, into account.
    pub fn took(&self, time: Duration, now: u64) {
        self.latency.observe(time, now);
    }

    /// What its answers take in microseconds, `None` before the first.
    #[must_use]
    pub fn latency(&self, now: u64) -> Option<f32> {
        self.latency.at(now)
    }
}
