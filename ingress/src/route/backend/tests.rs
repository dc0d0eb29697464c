//! Who is picked, how evenly, and who is kept out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use federation_types::ClusterName;

use super::{Backend, Wish};
use crate::route::balance::{Way, scramble};
use crate::route::endpoint::{Endpoint, EndpointKey, Standing};
use crate::route::upkeep::{EJECT_BASE_MS, EJECT_MAX_MS, Ejection, Upkeep};

fn endpoints_of(cluster: &str, ids: std::ops::Range<u64>) -> Vec<Arc<Endpoint>> {
    let name = ClusterName::new(cluster).expect("a label");
    let key = |id: u64| EndpointKey {
        cluster: name.clone(),
        address: ([10, 0, u8::try_from(id / 256).expect("few"), u8::try_from(id % 256).expect("a byte")], 80).into(),
        pod: None,
    };
    ids.map(|id| Arc::new(Endpoint::new(id, key(id), None))).collect()
}

fn endpoints(count: u64) -> Vec<Arc<Endpoint>> {
    endpoints_of("east", 1..count + 1)
}

fn backend(tiers: Vec<Vec<Arc<Endpoint>>>) -> Backend {
    Backend::new("n/s:80".into(), Upkeep::default(), tiers)
}

fn pick(backend: &Backend, way: Way, now: u64) -> u64 {
    backend.pick(&Wish::first(now, way)).expect("some").id
}

fn turn(backend: &Backend, now: u64) -> u64 {
    pick(backend, Way::Turn, now)
}

fn count(backend: &Backend, draws: u64, way: impl Fn(u64) -> Way, now: u64) -> BTreeMap<u64, u64> {
    let mut seen = BTreeMap::new();
    for draw in 0..draws {
        *seen.entry(pick(backend, way(draw), now)).or_default() += 1;
    }
    seen
}

/// All counts within `sigmas` of an even share.
fn assert_even(seen: &BTreeMap<u64, u64>, among: usize, sigmas: f64) {
    assert_eq!(seen.len(), among);
    #[allow(clippy::cast_precision_loss)]
    let (sum, share) = (seen.values().sum::<u64>() as f64, 1.0 / among as f64);
    let sigma = (sum * share * (1.0 - share)).sqrt();
    for (id, count) in seen {
        #[allow(clippy::cast_precision_loss)]
        let off = (*count as f64 - sum * share).abs();
        assert!(off <= sigmas * sigma, "{id}: {count} of {sum}");
    }
}

#[test]
fn round_robin_takes_each_in_turn_and_survives_a_rebuild() {
    let all = endpoints(3);
    let first = backend(vec![all.clone()]);
    let ids: Vec<u64> = (0..4).map(|_| turn(&first, 0)).collect();
    assert_eq!(ids, [1, 2, 3, 1]);
    let second = backend(vec![all]).following(Some(&first));
    assert_eq!(turn(&second, 0), 2);
}

/// Ingress: 67
#[test]
fn every_algorithm_is_even_over_1_3_and_1000_endpoints() {
    for size in [1, 3, 1000] {
        let pool = backend(vec![endpoints(size)]);
        let draws = size * 100;
        let among = usize::try_from(size).expect("small");
        let turns = count(&pool, draws, |_| Way::Turn, 0);
        assert!(turns.values().all(|n| *n == 100) && turns.len() == among);
        // With so many bins one may lie beyond three sigma by chance; none beyond five.
        let sigmas = if size > 100 { 5.0 } else { 3.0 };
        assert_even(&count(&pool, draws, |_| Way::Cheaper, 0), among, sigmas);
        // Each of these looks at all of them.
        assert_even(&count(&pool, draws.min(20_000), |draw| Way::Nearest(scramble(draw)), 0), among, sigmas);
    }
}

/// Ingress: 67
#[test]
fn the_turns_of_an_endpoint_that_is_out_go_to_all_others_alike() {
    let all = endpoints(4);
    let pool = backend(vec![all.clone()]);
    assert!(pool.eject(&all[1], 0));
    assert_even(&count(&pool, 30_000, |_| Way::Turn, 1), 3, 3.0);
}

/// Ingress: 67
#[test]
fn a_hash_moves_only_the_keys_of_those_that_come_or_go() {
    let ten = endpoints(10);
    let whole = backend(vec![ten.clone()]);
    let less = backend(vec![ten.iter().filter(|e| e.id != 4).cloned().collect()]);
    let mut moved = 0;
    for key in 0..10_000 {
        let way = Way::Nearest(scramble(key));
        let (before, after) = (pick(&whole, way, 0), pick(&less, way, 0));
        assert!(before == after || before == 4, "key {key} moved from {before} to {after}");
        moved += u64::from(before == 4);
    }
    assert!((900..1100).contains(&moved), "{moved}");
    // Who is out only lends its keys.
    assert!(whole.eject(&ten[3], 0));
    for key in 0..1000 {
        let way = Way::Nearest(scramble(key));
        assert_eq!(pick(&whole, way, 1), pick(&less, way, 1));
    }
}

#[test]
fn a_hash_is_the_same_in_every_process() {
    let key = EndpointKey {
        cluster: ClusterName::new("east").expect("a label"),
        address: "10.0.0.1:80".parse().expect("an address"),
        pod: Some("web-0".into()),
    };
    let endpoint = Endpoint::new(1, key.clone(), Some("a".into()));
    assert_eq!(endpoint.name, Endpoint::new(9, key.clone(), None).name);
    assert_ne!(endpoint.place, Endpoint::new(9, key.clone(), None).place);
    let elsewhere = EndpointKey { cluster: ClusterName::new("west").expect("a label"), ..key };
    assert_ne!(endpoint.name, Endpoint::new(1, elsewhere, None).name);
    assert_eq!(endpoint.name >> 96, 3_879_481_881, "a cookie of an older process still means the same pod");
}

/// Ingress: 66
#[test]
fn an_ejected_endpoint_is_skipped_then_tried_by_one_request_and_the_last_one_stays() {
    let all = endpoints(2);
    let pool = backend(vec![all.clone()]);
    assert!(pool.eject(&all[0], 0));
    assert!((0..4).all(|_| turn(&pool, 1) == 2));
    assert!(!pool.eject(&all[1], 1), "the last healthy endpoint is never ejected");
    let wish = Wish { tried: &all[1..], ..Wish::first(1, Way::Turn) };
    assert_eq!(pool.pick(&wish).expect("an ejected one is better than none").id, 1);
    let trials = (0..10).filter(|_| turn(&pool, EJECT_BASE_MS) == 1).count();
    assert_eq!(trials, 1, "one request finds out whether it is back");
    all[0].reached(EJECT_BASE_MS);
    assert_eq!((0..10).filter(|_| turn(&pool, EJECT_BASE_MS) == 1).count(), 5);
    // Of many requests that fail at once one counts; each trial that fails doubles the pause, up to a bound.
    let mut now = 10 * EJECT_BASE_MS;
    for wanted in [2, 4, 8, 16, 30, 30].map(|seconds| seconds * 1_000) {
        assert_eq!((0..40).filter(|_| pool.eject(&all[0], now)).count(), 1);
        assert!(all[0].ejected(now + wanted - 1) && !all[0].ejected(now + wanted), "{wanted}");
        now += wanted;
        assert!((0..10).any(|_| turn(&pool, now) == 1));
    }
    all[0].succeeded(now);
    assert!(!all[0].ejected(now));
    let later = now + EJECT_MAX_MS + 1;
    assert!(pool.eject(&all[0], later) && !all[0].ejected(later + EJECT_BASE_MS), "what was long ago is forgotten");
    all[0].succeeded(later);
    assert!(pool.pick(&Wish { tried: &all, ..Wish::first(0, Way::Turn) }).is_none());
}

/// Ingress: 66
#[test]
fn failures_in_a_row_eject_up_to_a_share_and_successes_forgive() {
    let all = endpoints(4);
    let pool = backend(vec![all.clone()]);
    let Ejection { broken, errors, .. } = Ejection::default();
    for round in 0..10 {
        for _ in 1..broken {
            assert!(!pool.broke(&all[0], round));
        }
        for _ in 1..errors {
            assert!(!pool.erred(&all[0], round));
        }
        all[0].succeeded(round);
    }
    for (number, wanted) in [(0, true), (1, true), (2, false), (3, false)] {
        let out = (0..errors).fold(false, |out, _| pool.erred(&all[number], 100) || out);
        assert_eq!(out, wanted, "half of four may be out for failing");
    }
    assert!(pool.eject(&all[2], 100), "who cannot be reached is out whatever the share");
    assert!(!pool.eject(&all[3], 100), "but never the last");
    assert!((0..20).all(|_| turn(&pool, 101) == 4));
}

/// Ingress: 66
#[test]
fn a_flapping_endpoint_of_four_gets_less_than_one_percent() {
    let all = endpoints(4);
    let pool = backend(vec![all.clone()]);
    // A minute at 1,000 requests a second; the first endpoint is up for 50 ms of each 200 ms.
    let (mut bad, mut failed) = (0u64, 0u64);
    for request in 0..60_000u64 {
        let now = request;
        if turn(&pool, now) != 1 {
            continue;
        }
        bad += 1;
        if now % 200 < 50 {
            all[0].reached(now);
            all[0].succeeded(now);
        } else {
            failed += 1;
            pool.eject(&all[0], now);
        }
    }
    assert!(bad < 600, "{bad} of 60000, {failed} failed");
}

/// Ingress: 66
#[test]
fn when_all_are_out_requests_go_on_and_prefer_who_was_reached() {
    let all = endpoints(3);
    let pool = Backend::new("n/s:80".into(), Upkeep::default(), vec![all.clone()]);
    all.iter().for_each(|e| e.checked(false, 1));
    pool.judge_checks(1);
    assert_even(&count(&pool, 3000, |_| Way::Turn, 2), 3, 3.0);
    assert!(pool.eject(&all[0], 1) || all[0].ejected(2));
    // One that passes again is less than half: the checks are still not believed.
    all[1].checked(true, 3);
    pool.judge_checks(3);
    assert_eq!(count(&pool, 300, |_| Way::Turn, 4).len(), 3);
    all[2].checked(true, 5);
    pool.judge_checks(5);
    assert_eq!(count(&pool, 300, |_| Way::Turn, 6).len(), 2, "most pass: the check is believed");
    assert!(all[0].ejected(u64::MAX >> 3), "a failed check has no end of its own");
    all[0].succeeded(7);
    assert!(all[0].ejected(8), "an answer does not overrule the check");
}

#[test]
fn a_later_tier_serves_only_when_the_first_is_out() {
    let mut near = endpoints(4);
    let far = near.split_off(2);
    let pool = backend(vec![near.clone(), far]);
    for way in [Way::Turn, Way::Cheaper, Way::Nearest(7)] {
        assert!((0..8).all(|_| pick(&pool, way, 0) <= 2));
    }
    near.iter().for_each(|e| assert!(pool.eject(e, 0)));
    for way in [Way::Turn, Way::Cheaper, Way::Nearest(7)] {
        assert!((0..8).all(|_| pick(&pool, way, 0) > 2));
    }
}

/// Ingress: 61
#[test]
fn a_retry_takes_another_endpoint_then_another_cluster() {
    let mut all = endpoints_of("east", 1..4);
    let pool = backend(vec![all.clone(), endpoints_of("west", 4..6)]);
    for way in [Way::Turn, Way::Cheaper, Way::Nearest(3)] {
        let first = pool.pick(&Wish::first(0, way)).expect("some").clone();
        let tried = [first];
        let second = pool.pick(&Wish { tried: &tried, ..Wish::first(0, way) }).expect("some").clone();
        assert!(second.id != tried[0].id && second.id < 4, "{second:?}");
        let far = pool.pick(&Wish { tried: &tried, elsewhere: true, ..Wish::first(0, way) }).expect("some");
        assert_eq!(far.key.cluster.as_str(), "west");
    }
    all.extend(endpoints_of("west", 4..6));
    let near = backend(vec![endpoints_of("east", 1..3)]);
    let wish = Wish { tried: &all[..1], elsewhere: true, ..Wish::first(0, Way::Turn) };
    assert_eq!(near.pick(&wish).expect("there is no other cluster").id, 2);
}

#[test]
fn the_cheaper_of_two_avoids_the_busy_and_the_slow() {
    let all = endpoints(4);
    let pool = backend(vec![all.clone()]);
    let busy: Vec<_> = (0..10).map(|_| all[0].enter()).collect();
    assert!((0..100).all(|_| pick(&pool, Way::Cheaper, 0) != 1));
    drop(busy);
    assert_eq!(all[0].busy(), 0);
    for endpoint in &all {
        endpoint.took(Duration::from_millis(if endpoint.id == 2 { 80 } else { 4 }), 10);
    }
    let slow = (0..1000).filter(|_| pick(&pool, Way::Cheaper, 10) == 2).count();
    assert!(slow < 100, "{slow}: only when drawn twice");
    all.iter().filter(|e| e.id != 2).for_each(|e| e.took(Duration::from_millis(4), 60_000));
    assert!((0..1000).any(|_| pick(&pool, Way::Cheaper, 60_000) == 2), "it is asked again after a while");
}

/// Ingress: 67
#[test]
fn a_new_endpoint_warms_up() {
    let old = endpoints(3);
    let upkeep = Upkeep { slow_start: 10_000, ..Upkeep::default() };
    let first = Backend::new("n/s:80".into(), upkeep.clone(), vec![old]);
    assert_even(&count(&first, 3000, |_| Way::Turn, 1), 3, 3.0);
    let grown = Backend::new("n/s:80".into(), upkeep, vec![endpoints_of("east", 1..5)]);
    for endpoint in grown.endpoints().iter().take(3) {
        endpoint.age(1);
    }
    let share = |now| count(&grown, 4000, |_| Way::Turn, now).get(&4).copied().unwrap_or(0);
    let shares = [share(20_000), share(25_000), share(30_001)];
    assert!((50..200).contains(&shares[0]), "{shares:?}");
    assert!((400..800).contains(&shares[1]), "{shares:?}");
    assert_eq!(shares[2], 1000, "{shares:?}");
}

#[test]
fn no_endpoints_pick_nothing() {
    for way in [Way::Turn, Way::Cheaper, Way::Nearest(1)] {
        assert!(backend(Vec::new()).pick(&Wish::first(0, way)).is_none());
        assert!(backend(vec![Vec::new()]).pick(&Wish::first(0, way)).is_none());
    }
    assert_eq!(endpoints(1)[0].standing(0), Standing::Good);
}

/// Ingress: 67
#[test]
fn clusters_get_their_shares_and_none_only_as_the_last_resort() {
    let (east, west, north) = (endpoints_of("east", 1..4), endpoints_of("west", 4..6), endpoints_of("north", 6..7));
    let all = [east.clone(), west.clone(), north.clone()].concat();
    let cluster = |id: u64| match id {
        1..4 => "east",
        4..6 => "west",
        _ => "north",
    };
    let count = |pool: &Backend, text: &str, way: fn(u64) -> Way| {
        let shares = text.parse().expect(text);
        let mut seen = BTreeMap::<&str, f64>::new();
        for draw in 0..10_000 {
            let wish = Wish { shares: Some(&shares), ..Wish::first(1, way(draw)) };
            *seen.entry(cluster(pool.pick(&wish).expect("some").id)).or_default() += 1.0;
        }
        seen
    };
    // Whatever is near: the shares decide.
    let pool = backend(vec![east.clone(), [west.clone(), north.clone()].concat()]);
    for (text, wanted) in [
        ("west=20%", [("west", 0.2), ("east", 0.8), ("north", 0.0)]),
        ("west=20%,east=0%", [("west", 0.2), ("east", 0.0), ("north", 0.8)]),
        ("north=100%", [("west", 0.0), ("east", 0.0), ("north", 1.0)]),
        ("east=0%,west=0%,north=0%,south=100%", [("west", 0.0), ("east", 1.0), ("north", 0.0)]),
        ("east=0%,north=50%,south=50%", [("west", 0.0), ("east", 0.0), ("north", 1.0)]),
    ] {
        for way in [|_| Way::Turn, |_| Way::Cheaper, |draw| Way::Nearest(scramble(draw))] {
            let seen = count(&pool, text, way);
            for (name, share) in wanted {
                let (seen, sigma) = (seen.get(name).copied().unwrap_or(0.0), f64::sqrt(1e4 * share * (1.0 - share)));
                assert!((seen - 1e4 * share).abs() <= 3.0 * sigma, "{text}: {name} {seen}");
            }
        }
    }
    // Whose cluster is out gets the others, those without a share last.
    let even = backend(vec![all.clone()]);
    assert!(west.iter().all(|e| even.eject(e, 0)));
    assert_eq!(count(&even, "west=100%,east=0%", |_| Way::Turn).len(), 2, "all have none: anybody may");
    assert_eq!(count(&even, "west=90%,east=0%", |_| Way::Turn).keys().collect::<Vec<_>>(), [&"north"]);
}

#[test]
fn a_subset_spreads_a_key_over_so_many_and_keeps_to_them() {
    let all = endpoints(10);
    let pool = backend(vec![all.clone()]);
    for size in [1, 3, 16, 200] {
        let seen = count(&pool, 9_000, |_| Way::Among(7, size), 0);
        let among = usize::from(size).min(10);
        assert_even(&seen, among, 3.0);
        assert!(seen.contains_key(&pick(&pool, Way::Nearest(7), 0)), "whoever a plain hash names is one of them");
    }
    let three = count(&pool, 300, |_| Way::Among(7, 3), 0);
    let gone = *three.keys().next().expect("one");
    let less = backend(vec![all.iter().filter(|e| e.id != gone).cloned().collect()]);
    let left = count(&less, 300, |_| Way::Among(7, 3), 0);
    assert_eq!(left.keys().filter(|id| three.contains_key(id)).count(), 2, "the others stay");
    let keys = count(&pool, 20_000, |draw| Way::Among(scramble(draw), 3), 0);
    assert_even(&keys, 10, 3.0);
    assert!(backend(Vec::new()).pick(&Wish::first(0, Way::Among(1, 3))).is_none());
}
