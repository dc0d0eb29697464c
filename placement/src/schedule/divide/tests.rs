//! Tables for the division, and its properties over many small cases.

use super::{Division, Share, aggregate, divide};

const NO_MAX: u64 = 1 << 31;

fn share(name: &str, weight: u64) -> Share<'_> {
    Share { name, weight, min: 0, max: NO_MAX, previous: 0 }
}

fn parts(total: u64, weights: &[u64]) -> Vec<u64> {
    let names = ["a", "b", "c", "d", "e"];
    let shares: Vec<Share<'_>> = weights.iter().zip(names).map(|(w, n)| share(n, *w)).collect();
    let division = divide(total, &shares);
    assert_eq!(division.left, 0, "{total} over {weights:?}");
    division.replicas
}

#[test]
fn weights_decide_and_names_break_ties() {
    for (total, weights, want) in [
        (6, vec![1, 1, 1], vec![2, 2, 2]),
        (9, vec![1, 1, 1], vec![3, 3, 3]),
        (7, vec![1, 1, 1], vec![3, 2, 2]),
        (2, vec![1, 1, 1], vec![1, 1, 0]),
        (9, vec![2, 1], vec![6, 3]),
        (10, vec![3, 2, 1], vec![5, 3, 2]),
        (0, vec![1, 1], vec![0, 0]),
        (5, vec![0, 1], vec![0, 5]),
        (5, vec![u64::from(u32::MAX), 1], vec![5, 0]),
    ] {
        assert_eq!(parts(total, &weights), want, "{total} over {weights:?}");
    }
}

#[test]
fn huge_totals_and_weights_stay_exact_and_quick() {
    let top = i32::MAX as u64;
    let got = parts(top, &[1, 1, 1]);
    assert_eq!(got.iter().sum::<u64>(), top);
    assert!(got.iter().max().unwrap() - got.iter().min().unwrap() <= 1);
    let got = parts(top, &[u64::from(u32::MAX), 1, 7]);
    assert_eq!(got.iter().sum::<u64>(), top);
}

#[test]
fn minima_and_maxima_are_honoured() {
    let mut shares = vec![share("a", 1), share("b", 1), share("c", 1)];
    shares[0].min = 4;
    shares[1].max = 1;
    assert_eq!(divide(6, &shares), Division { replicas: vec![4, 1, 1], left: 0 });
    assert_eq!(divide(9, &shares), Division { replicas: vec![4, 1, 4], left: 0 });
    shares[0].max = 4;
    shares[2].max = 2;
    assert_eq!(divide(9, &shares), Division { replicas: vec![4, 1, 2], left: 2 });
    // Fewer than the minima: never more than asked for.
    assert_eq!(divide(3, &shares), Division { replicas: vec![3, 0, 0], left: 0 });
    shares[1].min = 1;
    assert_eq!(divide(2, &shares).replicas.iter().sum::<u64>(), 2);
}

#[test]
fn no_weight_at_all_leaves_everything() {
    let shares = [share("a", 0), share("b", 0)];
    assert_eq!(divide(3, &shares), Division { replicas: vec![0, 0], left: 3 });
    assert_eq!(divide(3, &[]), Division { replicas: vec![], left: 3 });
}

#[test]
fn who_holds_a_seat_keeps_it_in_a_tie() {
    let mut shares = vec![share("a", 1), share("b", 1), share("c", 1)];
    shares[2].previous = 1;
    assert_eq!(divide(1, &shares).replicas, vec![0, 0, 1]);
    shares[1].previous = 1;
    assert_eq!(divide(2, &shares).replicas, vec![0, 1, 1]);
}

#[test]
fn exact_monotonic_idempotent_over_many_cases() {
    let names = ["a", "b", "c", "d"];
    for weights in [[1, 1, 1, 1], [5, 1, 1, 1], [7, 3, 2, 1], [1, 0, 9, 4], [100, 99, 98, 1]] {
        for bound in [(0, NO_MAX), (1, 6), (2, 9)] {
            let mut previous = vec![0u64; 4];
            for total in 0..40u64 {
                let shares: Vec<Share<'_>> = (0..4)
                    .map(|i| Share {
                        name: names[i],
                        weight: weights[i],
                        min: bound.0,
                        max: bound.1,
                        previous: previous[i],
                    })
                    .collect();
                let got = divide(total, &shares);
                assert_eq!(got.replicas.iter().sum::<u64>() + got.left, total, "{weights:?} {bound:?} {total}");
                let lost: u64 = previous.iter().zip(&got.replicas).map(|(p, g)| p.saturating_sub(*g)).sum();
                assert_eq!(lost, 0, "one more replica moved another: {weights:?} {bound:?} {total}");
                let again: Vec<Share<'_>> =
                    shares.iter().zip(&got.replicas).map(|(s, g)| Share { previous: *g, ..s.clone() }).collect();
                assert_eq!(divide(total, &again), got, "{weights:?} {bound:?} {total}");
                previous = got.replicas;
            }
        }
    }
}

#[test]
fn aggregation_fills_one_after_another() {
    let mut shares = vec![share("a", 1), share("b", 1), share("c", 1)];
    for s in &mut shares {
        s.max = 4;
    }
    assert_eq!(aggregate(6, &shares), Division { replicas: vec![4, 2, 0], left: 0 });
    assert_eq!(aggregate(20, &shares), Division { replicas: vec![4, 4, 4], left: 8 });
}
