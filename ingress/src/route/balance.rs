//! How one endpoint of several is chosen: one algorithm a file, all pure, none locks or allocates.
//!
//! They see a tier of endpoints and a predicate; who fits is the backend's to say.

pub mod key;
mod nearest;
mod turn;
mod two;
mod weights;

use std::sync::Arc;

use crate::route::endpoint::Endpoint;
pub use key::{Asked, HashKey, KeyError};
pub use nearest::SUBSET_MAX;
pub(super) use nearest::{agree, among, nearest};
pub(super) use turn::in_turn;
pub(super) use two::cheaper_of_two;
pub use weights::weighted;

/// How a route chooses one endpoint of several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Balance {
    /// In turn, over all clusters.
    #[default]
    RoundRobin,
    /// Of two drawn at random the one with the lower product of requests in flight and time of answers (peak EWMA).
    LeastOfTwo,
    /// By what the request says: the same key goes to the same endpoint, and few keys move when endpoints come and go.
    Hash(Arc<HashKey>),
    /// The same with so many endpoints for each key.
    Subset(Arc<HashKey>, u8),
}

/// What [`Balance`] comes down to for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Turn,
    Cheaper,
    Nearest(u64),
    Among(u64, u8),
}

/// One tier, and the names that a consistent hash sorts by.
#[derive(Clone, Copy)]
pub(super) struct Tier<'b> {
    pub endpoints: &'b [Arc<Endpoint>],
    pub names: &'b [u64],
}

impl Way {
    /// One of `tier` that `fits`.
    pub(super) fn choose<'b>(
        self,
        tier: Tier<'b>,
        turn: u64,
        now: u64,
        fits: impl Fn(&Endpoint) -> bool,
    ) -> Option<&'b Arc<Endpoint>> {
        match self {
            Self::Turn => in_turn(tier.endpoints, turn, fits),
            Self::Cheaper => cheaper_of_two(tier.endpoints, turn, now, fits),
            Self::Nearest(key) => nearest(tier, key, fits),
            Self::Among(key, size) => among((key, size), tier, turn, fits),
        }
    }
}

/// Spreads a number over 64 bits (the finaliser of splitmix64): a draw that needs no random source.
pub(crate) const fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A place among `length`, from a draw, without the bias and the cost of a division.
pub(crate) fn place(draw: u64, length: usize) -> usize {
    let wide = u128::from(draw) * length as u128;
    usize::try_from(wide >> 64).expect("below the length")
}
