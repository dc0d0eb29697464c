//! Rendezvous hashing: each endpoint's name and the key make a score, the highest wins.
//!
//! No table to build or to keep, every replica agrees, and when an endpoint goes only its own keys move.

use std::sync::Arc;

use crate::route::balance::{Tier, place, scramble};
use crate::route::endpoint::Endpoint;

/// The endpoint of `tier` that `key` belongs to, among those that fit.
pub fn nearest(tier: Tier<'_>, key: u64, fits: impl Fn(&Endpoint) -> bool) -> Option<&Arc<Endpoint>> {
    let mut best: Option<(u64, &Arc<Endpoint>)> = None;
    for (name, endpoint) in tier.names.iter().zip(tier.endpoints) {
        let score = scramble(name ^ key);
        // A leader is rare, so that few are asked whether they fit.
        if best.is_none_or(|(leading, _)| score > leading) && fits(endpoint) {
            best = Some((score, endpoint));
        }
    }
    best.map(|(_, endpoint)| endpoint)
}

/// Endpoints that a key may be spread over.
pub const SUBSET_MAX: usize = 16;

/// One of the `size` endpoints of `tier` that `key` belongs to, in turn.
pub fn among(
    (key, size): (u64, u8),
    tier: Tier<'_>,
    turn: u64,
    fits: impl Fn(&Endpoint) -> bool,
) -> Option<&Arc<Endpoint>> {
    let size = usize::from(size).clamp(1, SUBSET_MAX);
    let mut best = [(0, 0); SUBSET_MAX];
    let mut found = 0;
    for (index, (name, endpoint)) in tier.names.iter().zip(tier.endpoints).enumerate() {
        let score = scramble(name ^ key);
        if (found == size && score <= best[size - 1].0) || !fits(endpoint) {
            continue;
        }
        // The last one leaves, the new one moves up to its place.
        found = (found + 1).min(size);
        let mut at = found - 1;
        while at > 0 && best[at - 1].0 < score {
            best[at] = best[at - 1];
            at -= 1;
        }
        best[at] = (score, index);
    }
    let chosen = best.get(place(scramble(turn), found))?.1;
    tier.endpoints.get(chosen).filter(|_| found > 0)
}

/// The half of an endpoint's name that scores are made of.
pub fn agree(name: u128) -> u64 {
    u64::try_from(name >> 64).expect("64 bits")
}
