//! Endpoints of one service port over all clusters: who is picked next, who is kept out and for how long.
//!
//! Pure but for its counters: time is passed in as milliseconds, nothing here opens a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::route::affinity::Ticket;
use crate::route::balance::{Tier, Way, agree, nearest, scramble};
use crate::route::budget::Budget;
use crate::route::circuit::Seats;
use crate::route::endpoint::{Endpoint, Mark, Standing};
use crate::route::shares::Shares;
use crate::route::upkeep::Upkeep;

/// Picks that may lose a trial to another worker before the choice widens.
const CLAIMS: u64 = 3;

/// A service port and its endpoints.
#[derive(Debug)]
pub struct Backend {
    /// `namespace/service:port`, for logs.
    pub name: Arc<str>,
    /// Why there can be no endpoints at all, for the answer's log line.
    pub fault: Option<&'static str>,
    pub upkeep: Upkeep,
    endpoints: Vec<Arc<Endpoint>>,
    /// Halves of the endpoints' names side by side, for scores.
    names: Vec<u64>,
    /// Ends of the preference tiers in `endpoints`.
    tiers: Vec<usize>,
    life: Arc<Life>,
    seats: Option<Arc<Seats>>,
}

/// What survives rebuilds while pods come and go.
#[derive(Debug, Default)]
struct Life {
    /// Requests so far: keeps "in turn" true, and the budget in proportion.
    turn: Turn,
    /// So few pass their checks that their verdict cannot be right.
    panic: AtomicBool,
    budget: Budget,
    /// Copies of requests that are under way to it.
    copies: AtomicUsize,
}

/// Alone on its line of memory: every pick of every worker writes it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Turn(AtomicU64);

/// What a pick goes by.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'r> {
    pub now: u64,
    pub way: Way,
    /// Where the client's session is.
    pub ticket: Option<Ticket>,
    /// What clusters get of the route's requests.
    pub shares: Option<&'r Shares>,
    /// Those that have had this request.
    pub tried: &'r [Arc<Endpoint>],
    /// Another cluster than those tried, if one is there.
    pub elsewhere: bool,
}

impl<'r> Wish<'r> {
    /// The first pick of a request.
    #[must_use]
    pub const fn first(now: u64, way: Way) -> Self {
        Self { now, way, ticket: None, shares: None, tried: &[], elsewhere: false }
    }

    fn tried(&self, endpoint: &Endpoint) -> bool {
        self.tried.iter().any(|tried| tried.id == endpoint.id)
    }

    fn stays(&self, endpoint: &Endpoint) -> bool {
        self.tried.iter().any(|tried| tried.key.cluster == endpoint.key.cluster)
    }
}

impl Backend {
    /// A backend whose `tiers` are tried one after the other.
    #[must_use]
    pub fn new(name: Arc<str>, upkeep: Upkeep, tiers: Vec<Vec<Arc<Endpoint>>>) -> Self {
        let mut endpoints = Vec::with_capacity(tiers.iter().map(Vec::len).sum());
        let mut ends = Vec::with_capacity(tiers.len());
        for tier in tiers.into_iter().filter(|tier| !tier.is_empty()) {
            endpoints.extend(tier);
            ends.push(endpoints.len());
        }
        let names = endpoints.iter().map(|endpoint| agree(endpoint.name)).collect();
        let seats = upkeep.circuit.map(|circuit| Arc::new(Seats::new(circuit)));
        Self { name, fault: None, upkeep, endpoints, names, tiers: ends, life: Arc::default(), seats }
    }

    /// A backend that can have no endpoints, and why.
    #[must_use]
    pub fn faulty(name: Arc<str>, fault: &'static str) -> Self {
        Self { fault: Some(fault), ..Self::new(name, Upkeep::default(), Vec::new()) }
    }

    /// Goes on with the turn of `before`.
    #[must_use]
    pub fn following(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before {
            self.life = before.life.clone();
            self.seats = self.upkeep.circuit.map(|circuit| Seats::following(circuit, before.seats.as_ref()));
        }
        self
    }

    /// Where requests in flight are limited.
    #[must_use]
    pub fn seats(&self) -> Option<&Seats> {
        self.seats.as_deref()
    }

    /// All endpoints, best tier first.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// The next endpoint that is not among those tried: those that are kept out only when nothing else is left.
    #[must_use]
    pub fn pick(&self, wish: &Wish<'_>) -> Option<&Arc<Endpoint>> {
        // A retry takes nobody's turn: whoever failed would come first again and again.
        let turn = match wish.tried {
            [] => self.life.turn.0.fetch_add(1, Ordering::Relaxed),
            _ => self.life.turn.0.load(Ordering::Relaxed),
        };
        if let Some(ticket) = wish.ticket
            && let Some(found) = self.session(wish, ticket)
            && (found.standing(wish.now) != Standing::Due || found.claim(wish.now))
        {
            return Some(found);
        }
        if let Some(shares) = wish.shares
            && wish.tried.is_empty()
            && let Some(found) = self.shared(wish, turn, shares)
        {
            return Some(found);
        }
        if wish.elsewhere
            && let Some(found) = self.good(wish, turn, |endpoint| !wish.stays(endpoint))
        {
            return Some(found);
        }
        // All are out: one that failed may answer, one that was never reached hardly will.
        self.good(wish, turn, |_| true)
            .or_else(|| {
                self.over_tiers(wish, turn, |e| !matches!(e.standing(wish.now), Standing::Out(Mark::Unreachable)))
            })
            .or_else(|| self.over_tiers(wish, turn, |_| true))
    }

    /// Whom such a request would go to if it came now: nobody's turn is taken, and no trial.
    #[must_use]
    pub fn foresee(&self, wish: &Wish<'_>) -> Option<&Arc<Endpoint>> {
        let turn = self.life.turn.0.load(Ordering::Relaxed);
        let part = wish.shares.map(|shares| shares.part(draw(wish, turn)));
        let admits = |e: &Endpoint| self.admits(e, wish.now);
        let session = wish.ticket.and_then(|ticket| self.session(wish, ticket));
        session
            .or_else(|| part.and_then(|part| self.over_tiers(wish, turn, |e| admits(e) && part.holds(e))))
            .or_else(|| self.over_tiers(wish, turn, admits))
            .or_else(|| self.over_tiers(wish, turn, |_| true))
    }

    /// One of the cluster whose share this request falls into; one without a share only if nobody else is there.
    fn shared(&self, wish: &Wish<'_>, turn: u64, shares: &Shares) -> Option<&Arc<Endpoint>> {
        let part = shares.part(draw(wish, turn));
        self.good(wish, turn, |e| part.holds(e)).or_else(|| self.good(wish, turn, |e| shares.admits(e)))
    }

    /// The endpoint that a session belongs to, if it can be asked.
    fn session(&self, wish: &Wish<'_>, ticket: Ticket) -> Option<&Arc<Endpoint>> {
        let can = |e: &Endpoint| !wish.tried(e) && self.admits(e, wish.now);
        match ticket {
            Ticket::Endpoint(name) => self.named(name).filter(|e| can(e)),
            Ticket::Near { key, place } => {
                let all = Tier { endpoints: &self.endpoints, names: &self.names };
                nearest(all, key, |e| e.place == place && can(e))
            }
        }
    }

    fn named(&self, name: u128) -> Option<&Arc<Endpoint>> {
        let half = agree(name);
        let at = self.names.iter().zip(&self.endpoints).find(|(n, e)| **n == half && e.name == name);
        at.map(|(_, endpoint)| endpoint)
    }

    /// Whether what a session's ticket names is still there, well or not.
    #[must_use]
    pub fn holds(&self, ticket: Ticket) -> bool {
        match ticket {
            Ticket::Endpoint(name) => self.named(name).is_some(),
            Ticket::Near { place, .. } => self.endpoints.iter().any(|e| e.place == place),
        }
    }

    /// Whether somebody else can be asked.
    #[must_use]
    pub fn has_another(&self, endpoint: &Endpoint, now: u64) -> bool {
        self.endpoints.iter().any(|other| other.id != endpoint.id && !other.ejected(now))
    }

    /// Takes one retry of a request that was sent off the service's budget.
    #[must_use]
    pub fn affords_retry(&self, now: u64) -> bool {
        self.life.budget.spend(self.life.turn.0.load(Ordering::Relaxed), now)
    }

    /// Whether another copy may be under way to it besides fewer than `most`; then [`Self::copied`] follows.
    #[must_use]
    pub fn takes_copy(&self, most: usize) -> bool {
        let one_more = |under_way| (under_way < most).then_some(under_way + 1);
        self.life.copies.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// A copy has come to its end.
    pub fn copied(&self) {
        self.life.copies.fetch_sub(1, Ordering::Relaxed);
    }

    fn good(&self, wish: &Wish<'_>, turn: u64, and: impl Fn(&Endpoint) -> bool) -> Option<&Arc<Endpoint>> {
        let warming = self.upkeep.slow_start != 0;
        for claim in 0..CLAIMS {
            let turn = turn.wrapping_add(claim);
            let warm = |e: &Endpoint| !warming || self.upkeep.warm(e, wish.now, turn);
            let found = self.over_tiers(wish, turn, |e| self.admits(e, wish.now) && and(e) && warm(e));
            let found = match found {
                None if warming => self.over_tiers(wish, turn, |e| self.admits(e, wish.now) && and(e))?,
                found => found?,
            };
            if found.standing(wish.now) != Standing::Due || found.claim(wish.now) {
                return Some(found);
            }
        }
        None
    }

    fn over_tiers(&self, wish: &Wish<'_>, turn: u64, fits: impl Fn(&Endpoint) -> bool) -> Option<&Arc<Endpoint>> {
        let mut from = 0;
        for &end in &self.tiers {
            let tier = Tier { endpoints: &self.endpoints[from..end], names: &self.names[from..end] };
            let found = wish.way.choose(tier, turn, wish.now, |e| !wish.tried(e) && fits(e));
            if found.is_some() {
                return found;
            }
            from = end;
        }
        None
    }

    fn admits(&self, endpoint: &Endpoint, now: u64) -> bool {
        match endpoint.standing(now) {
            Standing::Good | Standing::Due => true,
            Standing::Out(Mark::Unreachable) => false,
            Standing::Out(_) => self.life.panic.load(Ordering::Relaxed),
        }
    }

    /// Keeps requests away from an endpoint that could not be reached, unless it is the last one; says whether it did.
    pub fn eject(&self, endpoint: &Endpoint, now: u64) -> bool {
        self.eject_as(Mark::Unreachable, endpoint, now)
    }

    /// Records a failure of `endpoint` that we had to answer for; says whether it is kept out now.
    pub fn broke(&self, endpoint: &Endpoint, now: u64) -> bool {
        let limit = self.upkeep.ejection.broken;
        endpoint.broke() >= limit && limit != 0 && self.eject_as(Mark::Failing, endpoint, now)
    }

    /// Records that `endpoint` took a request and said nothing, as a pod behind a broken network does.
    pub fn silent(&self, endpoint: &Endpoint, now: u64) -> bool {
        endpoint.broke();
        self.eject_as(Mark::Failing, endpoint, now)
    }

    /// Records an answer 5xx of its own; says whether it is kept out now.
    pub fn erred(&self, endpoint: &Endpoint, now: u64) -> bool {
        let limit = self.upkeep.ejection.errors;
        endpoint.erred() >= limit && limit != 0 && self.eject_as(Mark::Failing, endpoint, now)
    }

    fn eject_as(&self, mark: Mark, endpoint: &Endpoint, now: u64) -> bool {
        let ejection = &self.upkeep.ejection;
        let out = self.endpoints.iter().filter(|other| other.id != endpoint.id && other.ejected(now)).count();
        let share = (out + 1) * 100 > self.endpoints.len() * usize::from(ejection.percent);
        // At least one may go however few there are, but never the last one.
        if out + 1 >= self.endpoints.len() || (mark == Mark::Failing && share && out > 0) {
            return false;
        }
        let Some(count) = endpoint.begin_ejection(now, ejection.longest) else { return false };
        endpoint.mark(mark, now + ejection.pause(count));
        true
    }

    /// Decides after a round of checks whether so many failed that the checks are not to be believed.
    pub fn judge_checks(&self, now: u64) {
        let unwell = |e: &&Arc<Endpoint>| e.standing(now) == Standing::Out(Mark::Unwell);
        let unwell = self.endpoints.iter().filter(unwell).count();
        let well = self.endpoints.len() - unwell;
        let panic = unwell > 0 && well * 100 < self.endpoints.len() * usize::from(self.upkeep.ejection.panic);
        if self.life.panic.swap(panic, Ordering::Relaxed) != panic {
            tracing::warn!(backend = &*self.name, well, unwell, panic, "checks fail for most endpoints, or no longer");
        }
    }
}

/// What a request's share is drawn by.
const fn draw(wish: &Wish<'_>, turn: u64) -> u64 {
    match wish.way {
        // The same key shall find the same cluster.
        Way::Nearest(key) | Way::Among(key, _) => scramble(!key),
        _ => scramble(!turn),
    }
}

#[cfg(test)]
mod tests;
