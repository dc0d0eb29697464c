//! One of several by weight.

use crate::route::balance::place;

/// The index that `draw`, a number out of all 64 bits, falls on; `None` when all weights are 0.
#[must_use]
pub fn weighted(weights: impl Iterator<Item = u32> + Clone, draw: u64) -> Option<usize> {
    let sum: u64 = weights.clone().map(u64::from).sum();
    let mut left = place(draw, usize::try_from(sum).unwrap_or(usize::MAX)) as u64;
    weights.enumerate().find_map(|(index, weight)| {
        let weight = u64::from(weight);
        if left < weight {
            return Some(index);
        }
        left -= weight;
        None
    })
}

#[cfg(test)]
mod tests {
    use super::weighted;
    use crate::route::balance::scramble;

    /// Ingress: 67
    #[test]
    fn shares_follow_weights_within_three_sigma_and_0_gets_nothing() {
        for weights in [&[1u32][..], &[0, 1], &[80, 20], &[5, 0, 95], &[1; 10], &[u32::MAX, u32::MAX]] {
            let draws = 100_000u32;
            let mut seen = vec![0u32; weights.len()];
            for draw in 0..draws {
                seen[weighted(weights.iter().copied(), scramble(u64::from(draw))).expect("some weight")] += 1;
            }
            let sum: f64 = weights.iter().copied().map(f64::from).sum();
            for (seen, weight) in seen.iter().zip(weights) {
                let share = f64::from(*weight) / sum;
                let wanted = f64::from(draws) * share;
                let sigma = (wanted * (1.0 - share)).sqrt();
                assert!((f64::from(*seen) - wanted).abs() <= 3.0 * sigma, "{weights:?}: {seen} of {wanted}");
            }
        }
        assert_eq!(weighted([0, 0].into_iter(), 7), None);
        assert_eq!(weighted(std::iter::empty(), 7), None);
    }
}
