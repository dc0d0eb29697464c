//! Power of two choices on requests in flight × peak EWMA: avoids the slow without a herd running to the quickest.

use std::sync::Arc;

use crate::route::balance::{in_turn, place, scramble};
use crate::route::endpoint::Endpoint;

/// The cheaper of two that are drawn from `tier`.
pub fn cheaper_of_two(
    tier: &[Arc<Endpoint>],
    turn: u64,
    now: u64,
    fits: impl Fn(&Endpoint) -> bool,
) -> Option<&Arc<Endpoint>> {
    let draw = |salt: u64| place(scramble(turn.wrapping_mul(2).wrapping_add(salt)), tier.len()) as u64;
    let one = in_turn(tier, draw(0), &fits)?;
    let other = in_turn(tier, draw(1), |e| e.id != one.id && fits(e));
    other.filter(|other| cheaper(other, one, now)).or(Some(one))
}

/// Whoever has not answered yet counts as quick as the other: it must be asked to be known.
fn cheaper(one: &Endpoint, other: &Endpoint, now: u64) -> bool {
    let (fast, slow) = (one.latency(now), other.latency(now));
    let known = fast.or(slow).unwrap_or(1.0);
    cost(one, fast.unwrap_or(known)) < cost(other, slow.unwrap_or(known))
}

fn cost(endpoint: &Endpoint, latency: f32) -> f32 {
    #[allow(clippy::cast_precision_loss)] // nobody has 16 million requests in flight
    let queue = endpoint.busy() as f32 + 1.0;
    latency * queue
}
