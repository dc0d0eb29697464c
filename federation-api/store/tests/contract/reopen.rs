//! The embedded store across restarts: what survives, what goes on, who is kept out.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use federation_store::{Clock, Durability, History, Options, Page, RedbStore, Store, StoreError, TxnError, WatchError};

use crate::fixture::{del, everything, next, options, pairs, put, told, value, write};

fn at(micros: u64) -> Options {
    Options { clock: Clock::from_fn(move || micros), ..options() }
}

fn open(path: &Path, options: Options) -> RedbStore {
    RedbStore::open(path, options).unwrap()
}

#[tokio::test]
async fn revisions_go_on_from_the_clock_or_from_the_last_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = open(&path, at(5_000_000));
    let first = write(&store, vec![put("/a", "1")]).await;
    assert_eq!(first, 5_000_000);
    drop(store);
    let store = open(&path, at(9_000_000));
    assert_eq!(store.current().await.unwrap(), 8_999_999);
    let second = write(&store, vec![put("/a", "2")]).await;
    assert_eq!(second, 9_000_000);
    drop(store);
    // The clock has gone back; revisions do not, not even those that nobody wrote with.
    let mut last = second;
    for _ in 0..3 {
        let store = open(&path, at(1_000));
        let seen = store.current().await.unwrap();
        assert!(seen > last);
        last = seen;
    }
}

#[tokio::test]
async fn everything_survives_and_watches_resume() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = open(&path, options());
    let first = write(&store, vec![put("/a", "1"), put("/b", "1")]).await;
    let second = write(&store, vec![del("/a"), put("/b", "2")]).await;
    let before = everything(&store, "/", None).await;
    drop(store);
    let store = open(&path, options());
    let after = everything(&store, "/", None).await;
    assert_eq!(after.kvs, before.kvs);
    assert!(after.rev > before.rev);
    let mut watch = store.watch(b"/", first);
    let batch = next(&mut watch).await.unwrap();
    assert_eq!((batch.rev, told(&batch)), (second, vec!["-/a<1".to_owned(), "~/b=2<1".to_owned()]));
    let progress = next(&mut watch).await.unwrap();
    assert_eq!((progress.rev, progress.events.len()), (after.rev, 0));
    let third = write(&store, vec![put("/a", "3")]).await;
    assert_eq!(next(&mut watch).await.unwrap().rev, third);
    assert_eq!(pairs(&everything(&store, "/", Some(first)).await), ["/a=1", "/b=1"]);
    store.verify().await.unwrap();
}

#[tokio::test]
async fn a_restored_backup_does_not_resume_what_it_never_saw() {
    let dir = tempfile::tempdir().unwrap();
    let (path, backup) = (dir.path().join("db"), dir.path().join("backup"));
    let store = open(&path, at(1_000_000));
    let kept = write(&store, vec![put("/a", "1")]).await;
    drop(store);
    std::fs::copy(&path, &backup).unwrap();
    let store = open(&path, at(2_000_000));
    let lost = write(&store, vec![put("/a", "2")]).await;
    drop(store);
    std::fs::copy(&backup, &path).unwrap();
    let store = open(&path, at(3_000_000));
    assert_eq!(value(&store, "/a").await.as_deref(), Some("1"));
    assert!(store.current().await.unwrap() > lost);
    let refused = next(&mut store.watch(b"/", lost)).await.unwrap_err();
    assert!(matches!(refused, WatchError::Compacted { .. }), "who saw the lost revision must read anew: {refused}");
    assert_eq!(next(&mut store.watch(b"/", kept)).await.unwrap().events.len(), 0, "who did not is told of progress");
}

#[tokio::test]
async fn a_second_open_is_refused_until_the_first_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = open(&path, options());
    let watch = store.watch(b"/", 0);
    let refused = RedbStore::open(&path, options()).err().unwrap();
    assert_eq!(refused, StoreError::Locked { path: path.display().to_string() });
    assert!(refused.to_string().contains("in use by another process"));
    store.close();
    assert_eq!(store.current().await, Err(StoreError::Closed));
    assert_eq!(store.get(b"/a").await, Err(StoreError::Closed));
    assert_eq!(store.txn(Vec::new(), vec![put("/a", "1")]).await, Err(TxnError::Store(StoreError::Closed)));
    assert_eq!(store.compact(0).await, Err(StoreError::Closed));
    open(&path, options());
    drop(watch);
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    std::fs::write(&path, "apiVersion: v1\nkind: ConfigMap\n".repeat(400)).unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = RedbStore::open(&path, options()).err().unwrap();
    assert!(matches!(refused, StoreError::Open { .. }), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let refused = RedbStore::open(dir.path().join("no/such/dir/db"), options()).err().unwrap();
    assert!(matches!(refused, StoreError::Open { .. }), "{refused}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    drop(open(&path, options()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn relaxed_durability_is_on_disk_after_a_close() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let relaxed =
        || Options { durability: Durability::Relaxed { flush_every: Duration::from_millis(20) }, ..options() };
    let store = open(&path, relaxed());
    for n in 0..200 {
        write(&store, vec![put(&format!("/{n:03}"), &n.to_string())]).await;
    }
    drop(store);
    let store = open(&path, relaxed());
    assert_eq!(everything(&store, "/", None).await.kvs.len(), 200);
    store.verify().await.unwrap();
}

#[tokio::test]
async fn history_is_bounded_by_age_and_by_bytes() {
    let now = Arc::new(AtomicU64::new(1_000_000_000));
    let clock = {
        let now = Arc::clone(&now);
        Clock::from_fn(move || now.load(Ordering::Relaxed))
    };
    let history = History { max_age: Duration::from_secs(60), max_bytes: 40_000, max_entries: 1_000_000 };
    let store = RedbStore::in_memory(Options { clock, history, ..options() }).unwrap();
    let old = write(&store, vec![put("/old", "1")]).await;
    now.fetch_add(59_000_000, Ordering::Relaxed);
    write(&store, vec![put("/b", "1")]).await;
    assert!(store.snapshot(b"/", Some(old), Page::default()).await.is_ok(), "a minute is kept");
    now.fetch_add(2_000_000, Ordering::Relaxed);
    let young = write(&store, vec![put("/b", "2")]).await;
    assert!(store.snapshot(b"/", Some(old - 1), Page::default()).await.is_err(), "older is not");
    for _ in 0..20 {
        write(&store, vec![put("/big", &"x".repeat(10_000))]).await;
    }
    assert!(store.snapshot(b"/", Some(young), Page::default()).await.is_err(), "nor more bytes than allowed");
    let seen = store.verify().await.unwrap();
    assert!(seen.log_entries <= 3, "{seen:?}");
    assert_eq!(value(&store, "/old").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&dir.path().join("db"), options()));
    let writers = (0..64).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut revs = Vec::new();
            for n in 0..20 {
                revs.push(write(&*store, vec![put(&format!("/{writer}/{n}"), "v")]).await);
            }
            revs
        })
    });
    let mut revs = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        let own = writer.await.unwrap();
        assert!(own.is_sorted());
        revs.extend(own);
    }
    revs.sort_unstable();
    revs.dedup();
    assert_eq!(revs.len(), 64 * 20, "every transaction has a revision of its own");
    assert_eq!(store.verify().await.unwrap().keys, 64 * 20);
}
