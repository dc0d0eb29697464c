//! Round robin: the next in turn; whoever does not fit has its turns spread over all the others.

use std::sync::Arc;

use crate::route::balance::{place, scramble};
use crate::route::endpoint::Endpoint;

/// Draws before the search becomes a walk.
const DRAWS: u64 = 4;

/// The endpoint whose turn it is, or another that fits.
pub fn in_turn(tier: &[Arc<Endpoint>], turn: u64, fits: impl Fn(&Endpoint) -> bool) -> Option<&Arc<Endpoint>> {
    let length = tier.len() as u64;
    if length == 0 {
        return None;
    }
    let start = usize::try_from(turn % length).expect("below the length");
    let next = &tier[start];
    if fits(next) {
        return Some(next);
    }
    // The neighbour would inherit every turn of an endpoint that is out.
    for draw in 0..DRAWS {
        let drawn = &tier[place(scramble(turn.wrapping_mul(DRAWS).wrapping_add(draw)), tier.len())];
        if fits(drawn) {
            return Some(drawn);
        }
    }
    tier[start..].iter().chain(&tier[..start]).find(|endpoint| fits(endpoint))
}
