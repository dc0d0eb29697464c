//! How a route's requests find their endpoint: which algorithm, whose session, what is tried again.
//!
//! Plain values that annotations fill; the defaults cost a request nothing.

use std::sync::Arc;

use http::HeaderMap;

use crate::route::affinity::{Affinity, Ticket};
use crate::route::balance::{Asked, Balance, Way};
use crate::route::retries::Retries;
use crate::route::shares::Shares;

/// What a route says about picking endpoints, beyond the backend that it leads to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delivery {
    pub balance: Balance,
    pub affinity: Option<Arc<Affinity>>,
    pub retries: Retries,
    pub shares: Option<Arc<Shares>>,
}

/// Where one request's session is, or begins.
#[derive(Debug, Clone, Copy, Default)]
pub struct Session {
    pub ticket: Option<Ticket>,
    /// Of a session that begins.
    pub key: Option<u64>,
}

impl Delivery {
    /// The algorithm for one request; its head is only looked at where the route hashes it.
    #[must_use]
    pub fn way<'r>(&self, asked: impl FnOnce() -> Asked<'r>) -> Way {
        match &self.balance {
            Balance::RoundRobin => Way::Turn,
            Balance::LeastOfTwo => Way::Cheaper,
            Balance::Hash(key) => key.hash(asked()).map_or(Way::Turn, Way::Nearest),
            Balance::Subset(key, size) => key.hash(asked()).map_or(Way::Turn, |key| Way::Among(key, *size)),
        }
    }
}

impl Delivery {
    /// The algorithm where it needs nothing of the request, and nothing of the answer.
    #[must_use]
    pub fn plain_way(&self) -> Option<Way> {
        let Self { balance, affinity, retries, shares: _ } = self;
        let way = match balance {
            Balance::RoundRobin => Way::Turn,
            Balance::LeastOfTwo => Way::Cheaper,
            Balance::Hash(_) | Balance::Subset(..) => return None,
        };
        (affinity.is_none() && retries.takes_all()).then_some(way)
    }
}

impl Session {
    /// Reads the session off a request's cookies, or begins one with `number`, which no other session has.
    #[must_use]
    pub fn of(affinity: &Affinity, headers: &HeaderMap, number: impl FnOnce() -> u64) -> Self {
        let ticket = affinity.read(headers);
        let key = if ticket.is_none() { affinity.fresh_key(number()) } else { None };
        Self { ticket, key }
    }

    /// The algorithm where the session does not say whom to ask.
    #[must_use]
    pub const fn way(self, otherwise: Way) -> Way {
        match (self.ticket, self.key) {
            (Some(Ticket::Near { key, .. }), _) | (_, Some(key)) => Way::Nearest(key),
            _ => otherwise,
        }
    }
}
