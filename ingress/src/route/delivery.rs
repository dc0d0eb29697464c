//! How a route's requests find their endpoint: which algorithm, whose session, what is tried again.
//!
//! Plain values that annotations fill; the defaults cost a request nothing.

use crate::route::balance::{Asked, Balance, Way};

/// What a route says about picking endpoints, beyond the backend that it leads to.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    pub balance: Balance,
}

impl Delivery {
    /// The algorithm for one request; its head is only looked at where the route hashes it.
    #[must_use]
    pub fn way<'r>(&self, asked: impl FnOnce() -> Asked<'r>) -> Way {
        match &self.balance {
            Balance::RoundRobin => Way::Turn,
            Balance::LeastOfTwo => Way::Cheaper,
            Balance::Hash(key) => key.hash(asked()).map_or(Way::Turn, Way::Nearest),
        }
    }
}
