//! Endpoints of one service port over all clusters: who is picked next, who is ejected and for how long.
//!
//! Pure but for its counters: time is passed in as milliseconds, nothing here opens a socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use federation_types::ClusterName;

/// First ejection after a connect error or an answer that did not come; doubles with each further one.
pub const EJECT_BASE_MS: u64 = 1_000;
/// Longest ejection: an endpoint that came back is found again within this time.
pub const EJECT_MAX_MS: u64 = 30_000;
/// Doublings of [`EJECT_BASE_MS`] that are counted at all.
const EJECT_STEPS: u32 = 6;

/// How one endpoint of several is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// In turn, over all clusters.
    #[default]
    RoundRobin,
    /// The less busy one of two drawn at random.
    LeastOfTwo,
}

/// What makes an endpoint the same one over rebuilds: a pod that inherits an address is another endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EndpointKey {
    pub cluster: ClusterName,
    pub address: SocketAddr,
    pub pod: Option<Arc<str>>,
}

/// One pod's port, shared by all routes that lead to it.
#[derive(Debug)]
pub struct Endpoint {
    /// Never used again for another endpoint while this process runs.
    pub id: u64,
    pub key: EndpointKey,
    pub zone: Option<Arc<str>>,
    health: Health,
}

#[derive(Debug, Default)]
struct Health {
    /// Milliseconds of the caller's clock.
    ejected_until: AtomicU64,
    failures: AtomicU32,
    in_flight: AtomicU32,
}

/// A service port and its endpoints.
#[derive(Debug)]
pub struct Backend {
    /// `namespace/service:port`, for logs.
    pub name: Arc<str>,
    /// Why there can be no endpoints at all, for the answer's log line.
    pub fault: Option<&'static str>,
    balance: Balance,
    endpoints: Vec<Arc<Endpoint>>,
    /// Ends of the preference tiers in `endpoints`.
    tiers: Vec<usize>,
    /// Survives rebuilds, so that "in turn" stays true while pods come and go.
    cursor: Arc<AtomicUsize>,
}

/// Counts a request against its endpoint until dropped.
#[derive(Debug)]
pub struct InFlight(Arc<Endpoint>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.health.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Endpoint {
    /// A healthy endpoint.
    #[must_use]
    pub fn new(id: u64, key: EndpointKey, zone: Option<Arc<str>>) -> Self {
        Self { id, key, zone, health: Health::default() }
    }

    /// Whether a failure keeps requests away at `now`.
    #[must_use]
    pub fn ejected(&self, now: u64) -> bool {
        self.health.ejected_until.load(Ordering::Relaxed) > now
    }

    /// Records an answer: the next ejection is a short one again.
    pub fn succeeded(&self) {
        if self.health.failures.load(Ordering::Relaxed) != 0 {
            self.health.failures.store(0, Ordering::Relaxed);
            self.health.ejected_until.store(0, Ordering::Relaxed);
        }
    }

    /// Counts one request in flight until the guard is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.health.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    fn busy(&self) -> u32 {
        self.health.in_flight.load(Ordering::Relaxed)
    }
}

impl Backend {
    /// A backend whose `tiers` are tried one after the other.
    #[must_use]
    pub fn new(name: Arc<str>, balance: Balance, tiers: Vec<Vec<Arc<Endpoint>>>) -> Self {
        let mut endpoints = Vec::with_capacity(tiers.iter().map(Vec::len).sum());
        let mut ends = Vec::with_capacity(tiers.len());
        for tier in tiers.into_iter().filter(|tier| !tier.is_empty()) {
            endpoints.extend(tier);
            ends.push(endpoints.len());
        }
        Self { name, fault: None, balance, endpoints, tiers: ends, cursor: Arc::default() }
    }

    /// A backend that can have no endpoints, and why.
    #[must_use]
    pub fn faulty(name: Arc<str>, fault: &'static str) -> Self {
        Self { fault: Some(fault), ..Self::new(name, Balance::default(), Vec::new()) }
    }

    /// Goes on with the turn of `before`.
    #[must_use]
    pub fn following(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before {
            self.cursor = before.cursor.clone();
        }
        self
    }

    /// All endpoints, best tier first.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Whether requests in flight must be counted.
    #[must_use]
    pub fn counts_in_flight(&self) -> bool {
        self.balance == Balance::LeastOfTwo
    }

    /// The next endpoint that is not among `tried`: ejected ones only when nothing else is left.
    #[must_use]
    pub fn pick(&self, now: u64, tried: &[u64]) -> Option<&Arc<Endpoint>> {
        let mut from = 0;
        for &end in &self.tiers {
            let tier = &self.endpoints[from..end];
            let turn = self.cursor.fetch_add(1, Ordering::Relaxed);
            let found = match self.balance {
                Balance::RoundRobin => in_turn(tier, turn, |e| !e.ejected(now) && !tried.contains(&e.id)),
                Balance::LeastOfTwo => least_of_two(tier, turn, |e| !e.ejected(now) && !tried.contains(&e.id)),
            };
            if found.is_some() {
                return found;
            }
            from = end;
        }
        let turn = self.cursor.load(Ordering::Relaxed);
        in_turn(&self.endpoints, turn, |e| !tried.contains(&e.id))
    }

    /// Keeps requests away from `endpoint` for a while, unless it is the last one; says whether it did.
    pub fn eject(&self, endpoint: &Endpoint, now: u64) -> bool {
        let others = self.endpoints.iter().any(|other| other.id != endpoint.id && !other.ejected(now));
        if !others {
            return false;
        }
        let failures = endpoint.health.failures.fetch_add(1, Ordering::Relaxed).min(EJECT_STEPS);
        let pause = (EJECT_BASE_MS << failures).min(EJECT_MAX_MS);
        endpoint.health.ejected_until.store(now + pause, Ordering::Relaxed);
        true
    }
}

fn in_turn(tier: &[Arc<Endpoint>], turn: usize, fits: impl Fn(&Endpoint) -> bool) -> Option<&Arc<Endpoint>> {
    let start = turn % tier.len().max(1);
    tier[start..].iter().chain(&tier[..start]).find(|endpoint| fits(endpoint))
}

fn least_of_two(tier: &[Arc<Endpoint>], turn: usize, fits: impl Fn(&Endpoint) -> bool) -> Option<&Arc<Endpoint>> {
    let draw = scramble(turn as u64);
    let one = in_turn(tier, (draw >> 32) as usize, &fits)?;
    let other = in_turn(tier, (draw & 0xffff_ffff) as usize, |e| e.id != one.id && fits(e));
    other.filter(|other| other.busy() < one.busy()).or(Some(one))
}

/// Spreads a counter over 64 bits (the finaliser of splitmix64): a draw that needs no random source.
fn scramble(turn: u64) -> u64 {
    let mut z = turn.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use federation_types::ClusterName;

    use super::{Backend, Balance, EJECT_BASE_MS, EJECT_MAX_MS, Endpoint, EndpointKey};

    fn endpoints(count: u64) -> Vec<Arc<Endpoint>> {
        let name = ClusterName::new("east").expect("a label");
        let key = |id| EndpointKey {
            cluster: name.clone(),
            address: ([10, 0, 0, u8::try_from(id).expect("few")], 80).into(),
            pod: None,
        };
        (1..=count).map(|id| Arc::new(Endpoint::new(id, key(id), None))).collect()
    }

    fn backend(balance: Balance, tiers: Vec<Vec<Arc<Endpoint>>>) -> Backend {
        Backend::new("n/s:80".into(), balance, tiers)
    }

    #[test]
    fn round_robin_takes_each_in_turn_and_survives_a_rebuild() {
        let all = endpoints(3);
        let first = backend(Balance::RoundRobin, vec![all.clone()]);
        let ids: Vec<u64> = (0..4).map(|_| first.pick(0, &[]).expect("some").id).collect();
        assert_eq!(ids, [1, 2, 3, 1]);
        let second = backend(Balance::RoundRobin, vec![all]).following(Some(&first));
        assert_eq!(second.pick(0, &[]).expect("some").id, 2);
    }

    #[test]
    fn an_ejected_endpoint_is_skipped_until_its_time_is_over_and_the_last_one_stays() {
        let all = endpoints(2);
        let pool = backend(Balance::RoundRobin, vec![all.clone()]);
        assert!(pool.eject(&all[0], 0));
        assert!((0..4).all(|_| pool.pick(1, &[]).expect("some").id == 2));
        assert!(!pool.eject(&all[1], 1), "the last healthy endpoint is never ejected");
        assert!(pool.pick(1, &[2]).expect("an ejected one is better than none").id == 1);
        assert!((0..4).any(|_| pool.pick(EJECT_BASE_MS, &[]).expect("some").id == 1));
        for _ in 0..40 {
            assert!(pool.eject(&all[0], 0));
        }
        assert!(all[0].ejected(EJECT_MAX_MS - 1) && !all[0].ejected(EJECT_MAX_MS));
        all[0].succeeded();
        assert!(!all[0].ejected(0));
        assert!(pool.pick(0, &[1, 2]).is_none());
    }

    #[test]
    fn a_later_tier_serves_only_when_the_first_is_out() {
        let mut near = endpoints(4);
        let far = near.split_off(2);
        let pool = backend(Balance::RoundRobin, vec![near.clone(), far]);
        assert!((0..8).all(|_| pool.pick(0, &[]).expect("some").id <= 2));
        near.iter().for_each(|e| assert!(pool.eject(e, 0)));
        assert!((0..8).all(|_| pool.pick(0, &[]).expect("some").id > 2));
    }

    #[test]
    fn least_of_two_prefers_the_idle_and_spreads() {
        let all = endpoints(4);
        let pool = backend(Balance::LeastOfTwo, vec![all.clone()]);
        let mut seen = BTreeMap::<u64, u32>::new();
        for _ in 0..4000 {
            *seen.entry(pool.pick(0, &[]).expect("some").id).or_default() += 1;
        }
        assert!(seen.values().all(|n| (800..1200).contains(n)), "{seen:?}");
        let busy: Vec<_> = (0..10).map(|_| all[0].enter()).collect();
        assert!((0..100).all(|_| pool.pick(0, &[]).expect("some").id != 1));
        drop(busy);
        assert_eq!(all[0].busy(), 0);
    }

    #[test]
    fn no_endpoints_pick_nothing() {
        assert!(backend(Balance::RoundRobin, Vec::new()).pick(0, &[]).is_none());
        assert!(backend(Balance::LeastOfTwo, vec![Vec::new()]).pick(0, &[]).is_none());
    }
}
