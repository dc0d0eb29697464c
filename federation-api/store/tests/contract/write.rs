//! Transactions: what they do, when they refuse, what they say then.

use std::sync::Arc;

use bytes::Bytes;
use federation_store::{Cond, MAX_KEY_BYTES, MAX_TXN_BYTES, MAX_TXN_OPS, Op, Store, StoreError, TxnError};

use crate::fixture::{del, everything, key, options, pairs, put, value, write, write_if};

type Shared = Arc<dyn Store>;

/// What a failed condition found.
fn found(result: Result<u64, TxnError>) -> Option<(String, u64)> {
    match result.unwrap_err() {
        TxnError::Failed { current, .. } => current.map(|kv| (crate::fixture::text(&kv.val), kv.mod_rev)),
        TxnError::Store(error) => panic!("{error}"),
    }
}

pub async fn create_is_there_and_has_its_revision(store: Shared) {
    let before = store.current().await.unwrap();
    let rev = write_if(&*store, "/a", Cond::Absent, put("/a", "1")).await.unwrap();
    assert!(rev > before);
    let (kv, at) = store.get(b"/a").await.unwrap();
    let kv = kv.unwrap();
    assert_eq!((kv.mod_rev, kv.create_rev, at, kv.val.as_ref()), (rev, rev, rev, b"1".as_slice()));
    assert_eq!(store.current().await.unwrap(), rev);
}

pub async fn create_of_an_existing_key_fails_and_says_what_is_there(store: Shared) {
    let rev = write(&*store, vec![put("/a", "1")]).await;
    assert_eq!(found(write_if(&*store, "/a", Cond::Absent, put("/a", "2")).await), Some(("1".to_owned(), rev)));
    assert_eq!(value(&*store, "/a").await.as_deref(), Some("1"));
    assert_eq!(store.current().await.unwrap(), rev, "a refusal is no revision");
}

pub async fn update_keeps_the_create_revision(store: Shared) {
    let created = write(&*store, vec![put("/a", "1")]).await;
    let updated = write_if(&*store, "/a", Cond::ModRev(created), put("/a", "2")).await.unwrap();
    let kv = store.get(b"/a").await.unwrap().0.unwrap();
    assert_eq!((kv.create_rev, kv.mod_rev), (created, updated));
    write(&*store, vec![del("/a")]).await;
    let again = write(&*store, vec![put("/a", "3")]).await;
    assert_eq!(store.get(b"/a").await.unwrap().0.unwrap().create_rev, again, "a new life has a new create revision");
}

pub async fn update_with_a_stale_revision_fails_and_says_what_is_there(store: Shared) {
    let old = write(&*store, vec![put("/a", "1")]).await;
    let new = write(&*store, vec![put("/a", "2")]).await;
    assert_eq!(found(write_if(&*store, "/a", Cond::ModRev(old), put("/a", "3")).await), Some(("2".to_owned(), new)));
    assert_eq!(value(&*store, "/a").await.as_deref(), Some("2"));
}

pub async fn update_of_an_absent_key_fails(store: Shared) {
    let now = store.current().await.unwrap();
    assert_eq!(found(write_if(&*store, "/a", Cond::ModRev(now), put("/a", "1")).await), None);
    assert_eq!(value(&*store, "/a").await, None);
}

pub async fn racing_updates_lose_nothing(store: Shared) {
    write(&*store, vec![put("/n", "0")]).await;
    let adders = (0..8).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut done = 0;
            while done < 10 {
                let kv = store.get(b"/n").await.unwrap().0.unwrap();
                let sum = crate::fixture::text(&kv.val).parse::<u32>().unwrap() + 1;
                match write_if(&*store, "/n", Cond::ModRev(kv.mod_rev), put("/n", &sum.to_string())).await {
                    Ok(_) => done += 1,
                    Err(TxnError::Failed { .. }) => tokio::task::yield_now().await,
                    Err(TxnError::Store(error)) => panic!("{error}"),
                }
            }
        })
    });
    for adder in adders.collect::<Vec<_>>() {
        adder.await.unwrap();
    }
    assert_eq!(value(&*store, "/n").await.as_deref(), Some("80"));
}

pub async fn racing_creates_have_one_winner(store: Shared) {
    let racers = (0..20).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            write_if(&*store, "/a", Cond::Absent, put("/a", &n.to_string())).await.map(|rev| (n, rev))
        })
    });
    let mut winners = Vec::new();
    for racer in racers.collect::<Vec<_>>() {
        winners.extend(racer.await.unwrap());
    }
    let [(winner, rev)] = winners[..] else { panic!("{} winners", winners.len()) };
    let kv = store.get(b"/a").await.unwrap().0.unwrap();
    assert_eq!((kv.val.as_ref(), kv.mod_rev), (winner.to_string().as_bytes(), rev));
}

pub async fn delete_unconditionally(store: Shared) {
    let created = write(&*store, vec![put("/a", "1")]).await;
    let deleted = write(&*store, vec![del("/a")]).await;
    assert!(deleted > created);
    assert_eq!(value(&*store, "/a").await, None);
}

pub async fn delete_with_a_stale_revision_fails_and_says_what_is_there(store: Shared) {
    let old = write(&*store, vec![put("/a", "1")]).await;
    let new = write(&*store, vec![put("/a", "2")]).await;
    assert_eq!(found(write_if(&*store, "/a", Cond::ModRev(old), del("/a")).await), Some(("2".to_owned(), new)));
    write_if(&*store, "/a", Cond::ModRev(new), del("/a")).await.unwrap();
    assert_eq!(found(write_if(&*store, "/a", Cond::ModRev(new), del("/a")).await), None, "already gone");
}

pub async fn delete_of_a_recreated_key_fails(store: Shared) {
    let first = write(&*store, vec![put("/a", "1")]).await;
    write(&*store, vec![del("/a")]).await;
    let second = write(&*store, vec![put("/a", "1")]).await;
    assert_eq!(found(write_if(&*store, "/a", Cond::ModRev(first), del("/a")).await), Some(("1".to_owned(), second)));
}

pub async fn delete_of_what_is_absent_changes_nothing(store: Shared) {
    let now = write(&*store, vec![put("/b", "1")]).await;
    assert_eq!(write(&*store, vec![del("/a"), del("/c")]).await, now);
    assert_eq!(store.current().await.unwrap(), now);
    let rev = write(&*store, vec![del("/a"), del("/b")]).await;
    assert!(rev > now, "one of the two was there");
}

pub async fn several_keys_are_one_revision_or_nothing(store: Shared) {
    write(&*store, vec![put("/c", "old")]).await;
    let rev = write(&*store, vec![put("/a", "1"), put("/b", "2"), del("/c")]).await;
    let all = everything(&*store, "/", None).await;
    assert_eq!(pairs(&all), ["/a=1", "/b=2"]);
    assert!(all.kvs.iter().all(|kv| kv.mod_rev == rev));
    let conds = vec![(key("/a"), Cond::ModRev(rev)), (key("/b"), Cond::Absent)];
    let refused = store.txn(conds, vec![put("/a", "3"), put("/d", "3")]).await.unwrap_err();
    assert!(matches!(refused, TxnError::Failed { key: at, .. } if at == "/b"));
    assert_eq!(everything(&*store, "/", None).await, all);
}

pub async fn conditions_on_other_keys_guard_a_change(store: Shared) {
    let namespace = write(&*store, vec![put("/ns", "active")]).await;
    write_if(&*store, "/ns", Cond::ModRev(namespace), put("/ns/x", "1")).await.unwrap();
    write(&*store, vec![put("/ns", "terminating")]).await;
    assert!(write_if(&*store, "/ns", Cond::ModRev(namespace), put("/ns/y", "1")).await.is_err());
    write_if(&*store, "/ns", Cond::Any, put("/ns/y", "1")).await.unwrap();
}

pub async fn a_transaction_without_operations_compares(store: Shared) {
    let rev = write(&*store, vec![put("/a", "1")]).await;
    assert_eq!(store.txn(vec![(key("/a"), Cond::ModRev(rev))], Vec::new()).await, Ok(rev));
    assert!(store.txn(vec![(key("/a"), Cond::Absent)], Vec::new()).await.is_err());
    assert_eq!(store.txn(Vec::new(), Vec::new()).await, Ok(rev));
}

pub async fn refuses_keys_that_are_empty_or_too_long(store: Shared) {
    for length in [0, MAX_KEY_BYTES + 1] {
        let name = "k".repeat(length);
        let refused = store.txn(Vec::new(), vec![put(&name, "v")]).await.unwrap_err();
        assert_eq!(refused, TxnError::Store(StoreError::KeyLength { length }));
        let refused = store.txn(vec![(key(&name), Cond::Any)], vec![put("/a", "v")]).await.unwrap_err();
        assert_eq!(refused, TxnError::Store(StoreError::KeyLength { length }));
    }
    write(&*store, vec![put(&"k".repeat(MAX_KEY_BYTES), "v")]).await;
    assert_eq!(value(&*store, &"k".repeat(MAX_KEY_BYTES)).await.as_deref(), Some("v"));
}

pub async fn refuses_values_that_are_too_long(store: Shared) {
    let limit = options().max_value_bytes;
    let refused = store.txn(Vec::new(), vec![put("/a", &"v".repeat(limit + 1))]).await.unwrap_err();
    assert_eq!(refused, TxnError::Store(StoreError::ValueTooLarge { length: limit + 1, limit }));
    write(&*store, vec![put("/a", &"v".repeat(limit))]).await;
    assert_eq!(value(&*store, "/a").await.unwrap().len(), limit);
}

pub async fn refuses_transactions_that_are_too_long(store: Shared) {
    let many: Vec<Op> = (0..=MAX_TXN_OPS).map(|n| put(&format!("/{n}"), "v")).collect();
    let refused = store.txn(Vec::new(), many[1..].to_vec()).await;
    assert!(refused.is_ok(), "{MAX_TXN_OPS} are allowed: {refused:?}");
    let refused = store.txn(Vec::new(), many).await.unwrap_err();
    assert!(matches!(refused, TxnError::Store(StoreError::TxnTooLarge { .. })), "{refused}");
    let limit = options().max_value_bytes;
    let val = Bytes::from(vec![0; limit]);
    let heavy = (0..=MAX_TXN_BYTES / limit).map(|n| Op::Put { key: key(&format!("/{n}")), val: val.clone() }).collect();
    let refused = store.txn(Vec::new(), heavy).await.unwrap_err();
    assert!(matches!(refused, TxnError::Store(StoreError::TxnTooLarge { .. })), "{refused}");
}

pub async fn refuses_a_key_twice(store: Shared) {
    let refused = store.txn(Vec::new(), vec![put("/a", "1"), put("/b", "1"), del("/a")]).await.unwrap_err();
    assert_eq!(refused, TxnError::Store(StoreError::DuplicateKey { key: "/a".to_owned() }));
    assert_eq!(value(&*store, "/b").await, None);
}

pub async fn keys_and_values_are_any_bytes(store: Shared) {
    let odd: [&'static [u8]; 4] = [b"\0", b"\xff\xff", b"a\0b", b"a\xc3"];
    for name in odd {
        store
            .txn(Vec::new(), vec![Op::Put { key: Bytes::from_static(name), val: Bytes::from_static(name) }])
            .await
            .unwrap();
    }
    for name in odd {
        assert_eq!(store.get(name).await.unwrap().0.unwrap().val, name);
    }
    store.txn(Vec::new(), vec![Op::Put { key: key("empty"), val: Bytes::new() }]).await.unwrap();
    assert_eq!(value(&*store, "empty").await.as_deref(), Some(""));
}
