//! How much one client may ask for: requests a second, a minute, and in flight; counted for all workers together.
//!
//! The generic cell rate algorithm: one instant a client, no queue and no timer. Time is passed in.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use parking_lot::Mutex;

use super::{Reply, Stop};
use crate::route::policy::{Rate, RateLimits};
use crate::snapshot::Named;

/// Parts with a lock each, so that workers seldom meet.
const SHARDS: usize = 64;
/// Clients that one part remembers: bounds the memory, 64 × 2,048 × about 80 bytes.
const CLIENTS: usize = 2_048;

/// Remembers clients.
pub struct Limiter {
    hasher: RandomState,
    shards: Box<[Mutex<HashMap<Key, Client>>]>,
}

/// A client of the routes of an Ingress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    ingress: u64,
    remote: IpAddr,
}

#[derive(Debug, Clone, Copy, Default)]
struct Client {
    /// When the client will have used up what it asked for, in microseconds; a second's and a minute's rate.
    second: u64,
    minute: u64,
    open: u32,
}

/// A request in flight, which is counted until this is dropped.
pub struct Open {
    limiter: Arc<Limiter>,
    key: Key,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { hasher: RandomState::new(), shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Limiter {
    /// Counts a request of `client` at `now`, in milliseconds.
    ///
    /// # Errors
    /// 429 with the time after which it may be sent again.
    pub fn admit(
        self: &Arc<Self>,
        (limits, ingress): (&RateLimits, &Named),
        remote: IpAddr,
        now: u64,
    ) -> Result<Option<Open>, Stop> {
        if limits.exempt.iter().any(|network| network.holds(remote)) {
            return Ok(None);
        }
        let key = Key { ingress: self.hasher.hash_one(ingress), remote: site(remote) };
        let now = now * 1_000;
        let mut shard = self.shard(&key).lock();
        make_room(&mut shard, &key, now);
        let state = shard.entry(key).or_default();
        if limits.open.is_some_and(|most| state.open >= most) {
            return Err(too_many(1_000_000));
        }
        let second = limits.second.map(|rate| next(state.second, rate, 1_000_000, now)).transpose();
        let minute = limits.minute.map(|rate| next(state.minute, rate, 60_000_000, now)).transpose();
        let (second, minute) = match (second, minute) {
            (Ok(second), Ok(minute)) => (second, minute),
            (Err(wait), Ok(_)) | (Ok(_), Err(wait)) => return Err(too_many(wait)),
            (Err(one), Err(other)) => return Err(too_many(one.max(other))),
        };
        state.second = second.unwrap_or(state.second);
        state.minute = minute.unwrap_or(state.minute);
        if limits.open.is_none() {
            return Ok(None);
        }
        state.open += 1;
        Ok(Some(Open { limiter: Arc::clone(self), key }))
    }

    /// A limiter that knows this client of an Ingress as this one does, and nobody else: what it counts changes nothing.
    #[must_use]
    pub fn as_seen_by(&self, ingress: &Named, remote: IpAddr, now: u64) -> Self {
        let copy = Self { hasher: self.hasher.clone(), ..Self::default() };
        let key = Key { ingress: self.hasher.hash_one(ingress), remote: site(remote) };
        let known = self.shard(&key).lock().get(&key).copied();
        if let Some(used) = known.filter(|used| used.open > 0 || used.second.max(used.minute) > now * 1_000) {
            copy.shard(&key).lock().insert(key, used);
        }
        copy
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, Client>> {
        let at = self.hasher.hash_one(key) % SHARDS as u64;
        &self.shards[usize::try_from(at).expect("below the number of shards")]
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(remote) = self.limiter.shard(&self.key).lock().get_mut(&self.key) {
            remote.open = remote.open.saturating_sub(1);
        }
    }
}

/// A client is an address, and of IPv6 the network that one site gets (RFC 6177): who has one has all of it.
fn site(remote: IpAddr) -> IpAddr {
    match remote {
        IpAddr::V4(_) => remote,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}

/// Until when the client is busy with this request too.
///
/// # Errors
/// The wait in microseconds.
fn next(busy: u64, rate: Rate, period: u64, now: u64) -> Result<u64, u64> {
    let step = (period / u64::from(rate.count)).max(1);
    let ahead = busy.saturating_sub(now);
    let tolerated = step * u64::from(rate.burst);
    if ahead > tolerated { Err(ahead - tolerated) } else { Ok(now.max(busy) + step) }
}

/// Forgets who is not busy; where all are, somebody: a flood of addresses must not grow without end.
fn make_room(shard: &mut HashMap<Key, Client>, key: &Key, now: u64) {
    if shard.len() < CLIENTS || shard.contains_key(key) {
        return;
    }
    shard.retain(|_, remote| remote.open > 0 || remote.second.max(remote.minute) > now);
    if shard.len() >= CLIENTS
        && let Some(one) = shard.iter().find(|(_, remote)| remote.open == 0).map(|(key, _)| *key)
    {
        shard.remove(&one);
    }
}

fn too_many(wait: u64) -> Stop {
    let seconds = wait.div_ceil(1_000_000).max(1);
    Stop::Reply(Reply::new(
        StatusCode::TOO_MANY_REQUESTS,
        "more requests than this client may send",
        [(RETRY_AFTER, HeaderValue::from(seconds))],
    ))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use super::{CLIENTS, Limiter, SHARDS};
    use crate::filter::Stop;
    use crate::route::policy::{Rate, RateLimits};
    use crate::snapshot::Named;

    fn limits(second: Option<Rate>, minute: Option<Rate>, open: Option<u32>) -> RateLimits {
        RateLimits { second, minute, open, exempt: Box::default() }
    }

    fn remote(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_rate_admits_its_burst_and_then_its_pace() {
        let limiter = Arc::new(Limiter::default());
        let (limits, ingress) = (limits(Some(Rate { count: 10, burst: 5 }), None, None), Named::new("n", "i"));
        let ask = |who: &str, now| limiter.admit((&limits, &ingress), remote(who), now).is_ok();
        let at_once = (0..20).filter(|_| ask("10.0.0.1", 1_000)).count();
        assert_eq!(at_once, 6, "one and a burst of five");
        assert!(ask("10.0.0.2", 1_000), "another client");
        assert!(!ask("10.0.0.1", 1_050) && ask("10.0.0.1", 1_100), "one each tenth of a second");
        let paced = (0..100).filter(|tick| ask("10.0.0.1", 2_000 + tick * 10)).count();
        assert!((10..=16).contains(&paced), "{paced} in a second");
        assert!(ask("2001:db8::1", 1_000) && (0..5).all(|_| ask("2001:db8::2", 1_000)));
        assert!(!ask("2001:db8::3", 1_000), "one site is one client");
    }

    #[test]
    fn the_stricter_rate_counts_and_says_when() {
        let limiter = Arc::new(Limiter::default());
        let rates = limits(Some(Rate { count: 100, burst: 100 }), Some(Rate { count: 1, burst: 1 }), None);
        let ingress = Named::new("n", "i");
        let ask = |now| limiter.admit((&rates, &ingress), remote("10.0.0.1"), now);
        assert!(ask(0).is_ok() && ask(0).is_ok());
        let Err(Stop::Reply(reply)) = ask(30_000) else { panic!("a third within the minute") };
        assert_eq!(reply.headers["retry-after"], "30");
        assert!(ask(60_000).is_ok());
    }

    #[test]
    fn requests_in_flight_are_counted_until_they_end() {
        let limiter = Arc::new(Limiter::default());
        let (limits, ingress) = (limits(None, None, Some(2)), Named::new("n", "i"));
        let ask = || limiter.admit((&limits, &ingress), remote("10.0.0.1"), 0);
        let (one, two) = (ask().ok().flatten(), ask().ok().flatten());
        assert!(one.is_some() && two.is_some() && ask().is_err());
        drop(one);
        assert!(ask().is_ok());
        drop(two);
    }

    #[test]
    fn a_flood_of_addresses_is_bounded() {
        let limiter = Arc::new(Limiter::default());
        let (limits, ingress) = (limits(Some(Rate { count: 1, burst: 1 }), None, None), Named::new("n", "i"));
        for number in 0..400_000u32 {
            let address = IpAddr::from(number.to_be_bytes());
            assert!(limiter.admit((&limits, &ingress), address, 5).is_ok());
        }
        assert!(limiter.remembered() <= SHARDS * CLIENTS);
    }
}
