//! Levels under load, without a server.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::level::{Level, Limits, Pool, Queuing, Refused};

/// No test waits longer.
const PATIENCE: Duration = Duration::from_secs(10);

fn level(nominal: u32, lendable: u32, queuing: Option<Queuing>, pool: &Arc<Pool>) -> Arc<Level> {
    let limits = Limits { nominal, min: nominal - lendable, max: 600, queuing };
    Arc::new(Level::new("l".to_owned(), HeaderValue::from_static(""), Some(limits), (None, pool)))
}

/// Protocol: F2
#[tokio::test]
async fn a_level_has_its_seats_and_borrows_what_others_lend() {
    let pool = Arc::new(Pool::default());
    pool.set_lendable(5);
    let (small, large) = (level(2, 0, None, &pool), level(10, 5, None, &pool));
    let mut own: Vec<_> = (0..2).map(|_| small.try_take(1).expect("its own")).collect();
    let borrowed: Vec<_> = (0..5).map(|_| small.try_take(1).expect("lent")).collect();
    assert!(small.try_take(1).is_none(), "more is not lent");
    let kept: Vec<_> = (0..10).map(|_| large.try_take(1).expect("a level always gets its own")).collect();
    assert!(large.try_take(1).is_none());
    assert_eq!(small.wait(1, 1, Duration::ZERO).await.err(), Some(Refused::ConcurrencyLimit));
    drop((borrowed, kept));
    own.clear();
    assert_eq!((small.load(), large.load()), ((0, 0), (0, 0)));
    assert!(large.try_take(15).is_some(), "and everything came back");
}

/// Protocol: F2
#[tokio::test]
async fn who_waits_is_served_in_turn_or_told_why_not() {
    let pool = Arc::new(Pool::default());
    let queuing = Queuing { queues: 1, hand_size: 1, queue_length_limit: 2 };
    let level = level(1, 0, Some(queuing), &pool);
    let running = level.try_take(1).expect("free");
    let waiting = |patience| {
        let level = Arc::clone(&level);
        tokio::spawn(async move { level.wait(7, 1, patience).await })
    };
    let (first, second) = (waiting(PATIENCE), waiting(PATIENCE));
    while level.load().1 < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(level.wait(7, 1, PATIENCE).await.err(), Some(Refused::QueueFull));
    assert!(level.try_take(1).is_none(), "nobody overtakes");
    drop(running);
    let running = first.await.expect("no panic").expect("its turn");
    assert_eq!(level.wait(7, 1, Duration::from_millis(20)).await.err(), Some(Refused::TimeOut));
    // Who goes away while he waits leaves no trace.
    second.abort();
    assert!(second.await.is_err_and(|error| error.is_cancelled()));
    for _ in 0..2 {
        let waits = waiting(PATIENCE);
        while level.load().1 < 1 {
            tokio::task::yield_now().await;
        }
        waits.abort();
        assert!(waits.await.is_err());
    }
    let third = waiting(PATIENCE);
    drop(running);
    drop(third.await.expect("no panic").expect("those who have gone take no room"));
    assert_eq!(level.load(), (0, 0));
    assert!(level.try_take(1).is_some(), "nothing is lost with those who gave up");
}
