//! The contract of `Store`, written once against `dyn Store`; every implementation runs every case.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use federation_store::{Cond, Op, Options, Page, RedbStore, Store};
use futures_util::StreamExt;

fn put(key: &str, val: &str) -> Op {
    Op::Put { key: Bytes::copy_from_slice(key.as_bytes()), val: Bytes::copy_from_slice(val.as_bytes()) }
}

async fn basics(store: Arc<dyn Store>) {
    let rev = store.txn(vec![(Bytes::from_static(b"/a"), Cond::Absent)], vec![put("/a", "1")]).await.unwrap();
    assert_eq!(store.current().await.unwrap(), rev);
    let (kv, at) = store.get(b"/a").await.unwrap();
    assert_eq!((kv.unwrap().val.as_ref(), at), (b"1".as_slice(), rev));
    assert!(store.txn(vec![(Bytes::from_static(b"/a"), Cond::Absent)], vec![put("/a", "2")]).await.is_err());
    let page = store.snapshot(b"/", None, Page::default()).await.unwrap();
    assert_eq!((page.kvs.len(), page.rev, page.more), (1, rev, false));
    let mut watch = store.watch(b"/", rev);
    let next = store.txn(vec![(Bytes::from_static(b"/a"), Cond::ModRev(rev))], vec![put("/a", "2")]).await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().rev, next);
}

#[tokio::test]
async fn in_memory() {
    basics(Arc::new(RedbStore::in_memory(Options::default()).unwrap())).await;
}

#[tokio::test]
async fn in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    basics(Arc::new(RedbStore::open(dir.path().join("db"), Options::default()).unwrap())).await;
}
