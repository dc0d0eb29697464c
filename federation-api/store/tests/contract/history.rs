//! The past: what is remembered, and how it is said that something is not.

use std::sync::Arc;

use federation_store::{History, Options, Page, RedbStore, Store, StoreError, WatchError};

use crate::fixture::{del, everything, key, next, options, pairs, put, write};

type Shared = Arc<dyn Store>;

pub async fn snapshot_of_the_past_undoes_what_came_later(store: Shared) {
    let empty = store.current().await.unwrap();
    let mut revs = vec![(empty, Vec::<&str>::new())];
    let steps: [(Vec<_>, Vec<&str>); 6] = [
        (vec![put("/a", "1")], vec!["/a=1"]),
        (vec![put("/b", "1"), put("/z", "1")], vec!["/a=1", "/b=1", "/z=1"]),
        (vec![put("/a", "2"), del("/z")], vec!["/a=2", "/b=1"]),
        (vec![del("/b"), put("/c", "1")], vec!["/a=2", "/c=1"]),
        (vec![put("/b", "2"), put("/z", "2")], vec!["/a=2", "/b=2", "/c=1", "/z=2"]),
        (vec![del("/a"), del("/b"), del("/c")], vec!["/z=2"]),
    ];
    for (ops, expected) in steps {
        revs.push((write(&*store, ops).await, expected));
    }
    for (rev, expected) in revs {
        let all = everything(&*store, "/", Some(rev)).await;
        assert_eq!((pairs(&all), all.rev), (expected.iter().map(|&pair| pair.to_owned()).collect(), rev));
        assert!(all.kvs.iter().all(|kv| kv.mod_rev <= rev && kv.create_rev <= kv.mod_rev));
        let only_b = everything(&*store, "/b", Some(rev)).await;
        assert_eq!(
            pairs(&only_b),
            expected.iter().filter(|pair| pair.starts_with("/b")).map(|&p| p.to_owned()).collect::<Vec<_>>()
        );
    }
}

pub async fn pages_at_one_revision_ignore_later_writes(store: Shared) {
    write(&*store, (0..10).map(|n| put(&format!("/p/{n}"), "old")).collect()).await;
    let all = everything(&*store, "/p/", None).await;
    let (mut kvs, mut after) = (Vec::new(), None);
    for n in 0.. {
        let page = Page { start_after: after.clone(), limit: Some(3) };
        let part = store.snapshot(b"/p/", Some(all.rev), page).await.unwrap();
        kvs.extend(part.kvs);
        if !part.more {
            break;
        }
        after = kvs.last().map(|kv| kv.key.clone());
        write(
            &*store,
            vec![put(&format!("/p/{n}x"), "new"), put(&format!("/p/{}", 9 - n), "new"), del(&format!("/p/{}", 6 + n))],
        )
        .await;
    }
    assert_eq!(kvs, all.kvs);
}

pub async fn snapshot_of_the_future_is_refused(store: Shared) {
    let current = write(&*store, vec![put("/a", "1")]).await;
    let refused = store.snapshot(b"/", Some(current + 1), Page::default()).await.unwrap_err();
    assert_eq!(refused, StoreError::Future { asked: current + 1, current });
}

pub async fn compacted_revisions_are_refused_and_say_what_is_left(store: Shared) {
    let first = write(&*store, vec![put("/a", "1")]).await;
    let second = write(&*store, vec![put("/a", "2")]).await;
    let third = write(&*store, vec![put("/a", "3")]).await;
    assert!(store.oldest().await.unwrap() <= first);
    store.compact(second).await.unwrap();
    assert_eq!(store.oldest().await.unwrap(), second);
    let refused = store.snapshot(b"/", Some(first), Page::default()).await.unwrap_err();
    assert_eq!(refused, StoreError::Compacted { oldest: second });
    assert_eq!(pairs(&everything(&*store, "/", Some(second)).await), ["/a=2"]);
    assert_eq!(pairs(&everything(&*store, "/", Some(third)).await), ["/a=3"]);
    store.compact(first).await.unwrap();
    assert_eq!(store.oldest().await.unwrap(), second, "compaction never goes back");
}

pub async fn compaction_keeps_the_newest_values(store: Shared) {
    write(&*store, vec![put("/a", "1"), put("/b", "1")]).await;
    let now = write(&*store, vec![del("/b")]).await;
    store.compact(now).await.unwrap();
    assert_eq!(pairs(&everything(&*store, "/", None).await), ["/a=1"]);
    let mut watch = store.watch(b"/", now);
    let later = write(&*store, vec![put("/a", "2")]).await;
    assert_eq!(next(&mut watch).await.unwrap().rev, later);
    assert_eq!(pairs(&everything(&*store, "/", Some(now)).await), ["/a=1"]);
}

pub async fn compaction_of_the_future_is_refused(store: Shared) {
    let current = store.current().await.unwrap();
    assert_eq!(store.compact(current + 5).await, Err(StoreError::Future { asked: current + 5, current }));
    store.compact(current).await.unwrap();
}

pub async fn a_watch_of_compacted_revisions_is_refused(store: Shared) {
    let first = write(&*store, vec![put("/a", "1")]).await;
    let second = write(&*store, vec![put("/a", "2")]).await;
    store.compact(second).await.unwrap();
    for from in [0, first] {
        let mut watch = store.watch(b"/", from);
        assert_eq!(next(&mut watch).await, Err(WatchError::Compacted { oldest: second }));
        assert!(futures_util::StreamExt::next(&mut watch).await.is_none(), "an error is the end");
    }
}

pub async fn revisions_that_never_were_are_refused(store: Shared) {
    // A number between two known revisions can only come from another life of a restored file.
    let current = write(&*store, vec![put("/a", "1")]).await;
    let refused = store.snapshot(b"/", Some(12345), Page::default()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Compacted { oldest } if oldest > 12345 && oldest <= current));
    let refused = next(&mut store.watch(b"/", 12345)).await.unwrap_err();
    assert!(matches!(refused, WatchError::Compacted { .. }));
}

pub async fn history_is_bounded_by_count(_: Shared) {
    let history = History { max_entries: 20, ..History::default() };
    let store = RedbStore::in_memory(Options { history, ..options() }).unwrap();
    let first = write(&store, vec![put("/a", "0")]).await;
    for n in 0..100 {
        write(&store, vec![put("/a", &n.to_string()), put("/b", &n.to_string())]).await;
    }
    let seen = store.verify().await.unwrap();
    assert!((18..=20).contains(&seen.log_entries), "{seen:?}");
    assert!(store.oldest().await.unwrap() > first);
    assert_eq!(
        store.snapshot(b"/", Some(first), Page::default()).await,
        Err(StoreError::Compacted { oldest: seen.compacted })
    );
    let past = store.snapshot(b"/", Some(seen.compacted), Page::default()).await.unwrap();
    assert_eq!(pairs(&past), ["/a=89", "/b=89"]);
    assert_eq!(store.get(&key("/b")).await.unwrap().0.unwrap().val, "99");
}
