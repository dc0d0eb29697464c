//! Watches: everything once, in order, from anywhere that is remembered.

use std::collections::BTreeMap;
use std::sync::Arc;

use federation_store::{Event, Store, StoreError, WatchError};
use futures_util::{FutureExt, StreamExt};

use crate::fixture::{PATIENCE, del, everything, key, next, next_events, put, text, told, write};

type Shared = Arc<dyn Store>;

pub async fn from_zero_everything_is_told(store: Shared) {
    write(&*store, vec![put("/a", "1")]).await;
    write(&*store, vec![put("/a", "2")]).await;
    let mut watch = store.watch(b"/", 0);
    assert_eq!(told(&next(&mut watch).await.unwrap()), ["+/a=1"]);
    assert_eq!(told(&next(&mut watch).await.unwrap()), ["~/a=2<1"]);
    write(&*store, vec![del("/a")]).await;
    assert_eq!(told(&next(&mut watch).await.unwrap()), ["-/a<2"]);
}

pub async fn from_the_past_what_came_later_is_told(store: Shared) {
    let mut revs = Vec::new();
    for n in 0..10 {
        revs.push(write(&*store, vec![put("/a", &n.to_string())]).await);
    }
    let mut watch = store.watch(b"/", revs[3]);
    for (n, rev) in revs.iter().enumerate().skip(4) {
        let batch = next(&mut watch).await.unwrap();
        assert_eq!((batch.rev, told(&batch)), (*rev, vec![format!("~/a={n}<{}", n - 1)]));
    }
}

pub async fn from_now_only_news_are_told(store: Shared) {
    write(&*store, vec![put("/a", "1")]).await;
    let mut watch = store.watch(b"/", store.current().await.unwrap());
    let rev = write(&*store, vec![put("/b", "1")]).await;
    let batch = next(&mut watch).await.unwrap();
    assert_eq!((batch.rev, told(&batch)), (rev, vec!["+/b=1".to_owned()]));
    assert!(watch.next().now_or_never().is_none(), "nothing more has happened");
}

pub async fn events_carry_what_was_there_before(store: Shared) {
    let start = store.current().await.unwrap();
    let created = write(&*store, vec![put("/a", "1")]).await;
    let updated = write(&*store, vec![put("/a", "2")]).await;
    let mut watch = store.watch(b"/", start);
    let Event::Put { kv, prev: None } = &next(&mut watch).await.unwrap().events[0] else { panic!("created") };
    assert_eq!((kv.mod_rev, kv.create_rev), (created, created));
    let Event::Put { kv, prev: Some(prev) } = &next(&mut watch).await.unwrap().events[0] else { panic!("updated") };
    assert_eq!((kv.mod_rev, kv.create_rev, prev.mod_rev, prev.create_rev), (updated, created, created, created));
}

pub async fn a_delete_event_has_the_revision_of_the_delete(store: Shared) {
    let created = write(&*store, vec![put("/a", "1")]).await;
    let deleted = write(&*store, vec![del("/a")]).await;
    let batch = next(&mut store.watch(b"/", created)).await.unwrap();
    let Event::Del { rev, prev, .. } = &batch.events[0] else { panic!("deleted") };
    assert_eq!((batch.rev, *rev, prev.mod_rev, text(&prev.val)), (deleted, deleted, created, "1".to_owned()));
}

pub async fn only_the_prefix_is_told(store: Shared) {
    let start = store.current().await.unwrap();
    let mut live = store.watch(b"/pods/", start);
    write(&*store, vec![put("/nodes/a", "1"), put("/pods/a", "1"), put("/pod", "1")]).await;
    write(&*store, vec![put("/podsx", "1")]).await;
    write(&*store, vec![put("/pods/b", "1")]).await;
    let mut late = store.watch(b"/pods/", start);
    for watch in [&mut live, &mut late] {
        assert_eq!(told(&next_events(watch).await), ["+/pods/a=1"]);
        assert_eq!(told(&next_events(watch).await), ["+/pods/b=1"]);
    }
}

pub async fn a_transaction_is_told_as_one(store: Shared) {
    write(&*store, vec![put("/c", "1")]).await;
    let start = store.current().await.unwrap();
    let mut live = store.watch(b"/", start);
    let rev = write(&*store, vec![put("/b", "1"), del("/absent"), del("/c"), put("/a", "1")]).await;
    for watch in [&mut live, &mut store.watch(b"/", start)] {
        let batch = next(watch).await.unwrap();
        assert_eq!(
            (batch.rev, told(&batch)),
            (rev, vec!["+/b=1".into(), "-/c<1".into(), "+/a=1".into()]),
            "in its order"
        );
    }
}

pub async fn what_does_not_match_is_told_as_progress(store: Shared) {
    let start = store.current().await.unwrap();
    let mut watch = store.watch(b"/quiet/", start);
    let mut last = 0;
    for n in 0..5 {
        last = write(&*store, vec![put("/busy", &n.to_string())]).await;
    }
    let mut seen = start;
    while seen < last {
        let batch = next(&mut watch).await.unwrap();
        assert!(batch.events.is_empty() && batch.rev > seen);
        seen = batch.rev;
    }
    assert!(watch.next().now_or_never().is_none(), "progress is told once");
    let rev = write(&*store, vec![put("/quiet/a", "1")]).await;
    assert_eq!(next(&mut watch).await.unwrap().rev, rev);
}

pub async fn from_the_future_is_refused(store: Shared) {
    let current = store.current().await.unwrap();
    let refused = next(&mut store.watch(b"/", current + 1)).await.unwrap_err();
    assert_eq!(refused, WatchError::Store(StoreError::Future { asked: current + 1, current }));
}

pub async fn a_watcher_that_was_away_reads_on_without_a_gap(store: Shared) {
    let start = store.current().await.unwrap();
    let mut watch = store.watch(b"/", start);
    let big = "x".repeat(3000);
    let mut revs = Vec::new();
    // Far more than the ring holds, so that the watcher must go to the log and come back.
    for round in 0..3 {
        for n in 0..40 {
            revs.push(write(&*store, vec![put(&format!("/{round}/{n}"), &big)]).await);
        }
        for rev in revs.drain(..) {
            assert_eq!(next(&mut watch).await.unwrap().rev, rev);
        }
    }
}

pub async fn writers_and_watchers_race_without_gap_or_duplicate(store: Shared) {
    const WRITERS: usize = 4;
    const WRITES: usize = 60;
    let start = store.current().await.unwrap();
    let watchers = (0..4).map(|late| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for _ in 0..late * 20 {
                tokio::task::yield_now().await;
            }
            let (mut watch, mut state, mut seen, mut count) = (store.watch(b"/", start), BTreeMap::new(), start, 0);
            while count < WRITERS * WRITES {
                let batch = next(&mut watch).await.unwrap();
                assert!(batch.rev > seen, "revisions rise");
                seen = batch.rev;
                count += usize::from(!batch.events.is_empty());
                for event in batch.events {
                    let Event::Put { kv, prev } = event else { panic!("nothing is deleted") };
                    assert_eq!(state.insert(kv.key.clone(), kv.clone()), prev, "no gap between two events of a key");
                }
            }
            state
        })
    });
    let watchers: Vec<_> = watchers.collect();
    let writers = (0..WRITERS).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..WRITES {
                let val = format!("{writer}.{n}.{}", "x".repeat(200));
                write(&*store, vec![put(&format!("/{}", n % 7), &val)]).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let end: BTreeMap<_, _> =
        everything(&*store, "/", None).await.kvs.into_iter().map(|kv| (kv.key.clone(), kv)).collect();
    for watcher in watchers {
        assert_eq!(tokio::time::timeout(PATIENCE, watcher).await.unwrap().unwrap(), end);
    }
}

pub async fn a_dropped_watch_bothers_nobody(store: Shared) {
    let mut watch = store.watch(b"/", store.current().await.unwrap());
    assert!(watch.next().now_or_never().is_none());
    drop(watch);
    write(&*store, vec![put("/a", "1")]).await;
    assert!(store.get(&key("/a")).await.unwrap().0.is_some());
}

pub async fn a_watch_that_nobody_polls_bothers_nobody(store: Shared) {
    let mut idle = store.watch(b"/", store.current().await.unwrap());
    let first = write(&*store, vec![put("/a", "0")]).await;
    for n in 1..200 {
        write(&*store, vec![put("/a", &format!("{n}{}", "x".repeat(500)))]).await;
    }
    assert_eq!(next(&mut idle).await.unwrap().rev, first, "it has lost nothing");
}

pub async fn closing_ends_watches(store: Shared) {
    let mut watch = store.watch(b"/", store.current().await.unwrap());
    assert!(watch.next().now_or_never().is_none());
    drop(store);
    assert_eq!(next(&mut watch).await, Err(WatchError::Store(StoreError::Closed)));
    assert!(watch.next().await.is_none());
}
