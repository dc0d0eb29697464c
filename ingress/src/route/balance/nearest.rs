//! Rendezvous hashing: each endpoint's name and the key make a score, the highest wins.
//!
//! No table to build or to keep, every replica agrees, and when an endpoint goes only its own keys move.

use std::sync::Arc;

use crate::route::balance::{Tier, scramble};
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

/// The half of an endpoint's name that scores are made of.
pub fn agree(name: u128) -> u64 {
    u64::try_from(name >> 64).expect("64 bits")
}
