//! Divides a number of replicas over clusters: exact, deterministic, and monotonic.
//!
//! The method is largest remainder in Webster's form: seat after seat goes to the highest `weight / (2·seats + 1)`.
//! Plain largest remainder may take a replica away from one cluster when the total grows by one (the Alabama paradox);
//! this form gives the same answer wherever the remainders decide alone, and one more replica never moves another.
//! Knows numbers and names only: no clusters, no capacity, no policy.

use std::cmp::Ordering;

/// One cluster's part in a division.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share<'a> {
    pub name: &'a str,
    /// 0 takes part only as far as `min` asks.
    pub weight: u64,
    pub min: u64,
    pub max: u64,
    /// Replicas that it has now: decides ties, so that nothing moves without need.
    pub previous: u64,
}

/// Replicas for each share, in the order given, and how many found no place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Division {
    pub replicas: Vec<u64>,
    pub left: u64,
}

/// Divides `total` over `shares`: minima first, then by weight up to each maximum; ties go to who holds more, then by name.
#[must_use]
pub fn divide(total: u64, shares: &[Share<'_>]) -> Division {
    let floor: u64 = shares.iter().map(|s| s.min.min(s.max)).sum();
    if total < floor {
        return minima(total, shares);
    }
    let mut replicas = start(total, shares);
    let mut sum: u64 = replicas.iter().sum();
    while sum < total {
        let Some(next) = best(shares, &replicas) else { break };
        replicas[next] += 1;
        sum += 1;
    }
    while sum > total {
        let Some(last) = worst(shares, &replicas) else { break };
        replicas[last] -= 1;
        sum -= 1;
    }
    Division { replicas, left: total.saturating_sub(sum) }
}

/// Fills maxima in the order given: the fewest shares that hold `total`.
#[must_use]
pub fn aggregate(total: u64, shares: &[Share<'_>]) -> Division {
    let mut left = total;
    let replicas = shares
        .iter()
        .map(|share| {
            let part = left.min(share.max);
            left -= part;
            part
        })
        .collect();
    Division { replicas, left }
}

/// Not even the minima fit: they are served in turn, by weight.
fn minima(total: u64, shares: &[Share<'_>]) -> Division {
    let capped: Vec<Share<'_>> =
        shares.iter().map(|s| Share { max: s.min.min(s.max), min: 0, weight: s.weight.max(1), ..s.clone() }).collect();
    divide(total, &capped)
}

/// An allocation that one common divisor explains, so that the exact seats are a few steps away.
fn start(total: u64, shares: &[Share<'_>]) -> Vec<u64> {
    let at = |divisor: f64| -> Vec<u64> { shares.iter().map(|s| rounded(s, divisor)).collect() };
    let (mut low, mut high) =
        (f64::MIN_POSITIVE, 4.0 * shares.iter().map(|s| s.weight).max().unwrap_or(1) as f64 + 4.0);
    for _ in 0..128 {
        // Geometric steps while far, arithmetic once near: the divisor may be tiny (2^31 replicas, weight 1).
        let middle = if high / low > 4.0 { (low * high).sqrt() } else { low.midpoint(high) };
        if at(middle).iter().sum::<u64>() >= total { low = middle } else { high = middle }
    }
    at(high)
}

fn rounded(share: &Share<'_>, divisor: f64) -> u64 {
    let quotient = (share.weight as f64 / divisor).round();
    // Casting saturates, and `max` is far below 2^53.
    (quotient as u64).max(share.min).min(share.max)
}

fn best(shares: &[Share<'_>], replicas: &[u64]) -> Option<usize> {
    (0..shares.len())
        .filter(|&i| replicas[i] < shares[i].max && shares[i].weight > 0)
        .max_by(|&a, &b| claim(&shares[a], replicas[a], &shares[b], replicas[b]))
}

fn worst(shares: &[Share<'_>], replicas: &[u64]) -> Option<usize> {
    (0..shares.len())
        .filter(|&i| replicas[i] > shares[i].min.min(shares[i].max))
        .min_by(|&a, &b| claim(&shares[a], replicas[a] - 1, &shares[b], replicas[b] - 1))
}

/// Who has the better claim to one more seat, given the seats that each has.
fn claim(a: &Share<'_>, seats_a: u64, b: &Share<'_>, seats_b: u64) -> Ordering {
    let left = u128::from(a.weight) * (2 * u128::from(seats_b) + 1);
    let right = u128::from(b.weight) * (2 * u128::from(seats_a) + 1);
    let holds = |share: &Share<'_>, seats: u64| share.previous > seats;
    left.cmp(&right).then_with(|| holds(a, seats_a).cmp(&holds(b, seats_b))).then_with(|| b.name.cmp(a.name))
}

#[cfg(test)]
mod tests;
