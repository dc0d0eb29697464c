//! Reading what is there now.

use std::sync::Arc;

use bytes::Bytes;
use federation_store::{Op, Page, Store};

use crate::fixture::{del, everything, key, pairs, put, text, write};

type Shared = Arc<dyn Store>;

fn page(start_after: Option<&str>, limit: usize) -> Page {
    Page { start_after: start_after.map(key), limit: Some(limit) }
}

pub async fn get_of_an_absent_key_tells_the_revision(store: Shared) {
    let rev = write(&*store, vec![put("/a", "1")]).await;
    assert_eq!(store.get(b"/b").await.unwrap(), (None, rev));
    assert_eq!(store.get(b"").await.unwrap(), (None, rev));
}

pub async fn snapshot_is_ordered_and_below_the_prefix(store: Shared) {
    for name in ["/pods/b", "/pods/a/2", "/podsx", "/pods/a/10", "/pod", "/pods/", "/nodes/a"] {
        write(&*store, vec![put(name, "v")]).await;
    }
    let keys = |prefix: &'static str| {
        let store = Arc::clone(&store);
        async move { everything(&*store, prefix, None).await.kvs.iter().map(|kv| text(&kv.key)).collect::<Vec<_>>() }
    };
    assert_eq!(keys("/pods/").await, ["/pods/", "/pods/a/10", "/pods/a/2", "/pods/b"]);
    assert_eq!(keys("/pods/a/").await, ["/pods/a/10", "/pods/a/2"]);
    assert_eq!(keys("/pods/b").await, ["/pods/b"]);
    assert_eq!(keys("/zzz").await, [""; 0]);
    assert_eq!(keys("").await.len(), 7);
}

pub async fn snapshot_of_prefixes_with_the_highest_byte(store: Shared) {
    for name in [b"a\xfe".as_slice(), b"a\xff", b"a\xff\xff", b"a\xff\xffz", b"b"] {
        store.txn(Vec::new(), vec![Op::Put { key: Bytes::copy_from_slice(name), val: Bytes::new() }]).await.unwrap();
    }
    for (prefix, count) in [(b"a\xff".as_slice(), 3), (b"a\xff\xff", 2), (b"a", 4), (b"\xff", 0), (b"\xff\xff", 0)] {
        assert_eq!(store.snapshot(prefix, None, Page::default()).await.unwrap().kvs.len(), count, "{prefix:?}");
    }
}

pub async fn pages_continue_where_the_last_one_ended(store: Shared) {
    write(&*store, ["a", "b", "c"].map(|name| put(&format!("/p/{name}"), "v")).to_vec()).await;
    write(&*store, vec![put("/q", "v")]).await;
    let first = store.snapshot(b"/p/", None, page(None, 2)).await.unwrap();
    assert_eq!((pairs(&first), first.more), (vec!["/p/a=v".to_owned(), "/p/b=v".to_owned()], true));
    let second = store.snapshot(b"/p/", Some(first.rev), page(Some("/p/b"), 2)).await.unwrap();
    assert_eq!((pairs(&second), second.more, second.rev), (vec!["/p/c=v".to_owned()], false, first.rev));
    let exact = store.snapshot(b"/p/", None, page(None, 3)).await.unwrap();
    assert_eq!((exact.kvs.len(), exact.more), (3, false), "there is nothing after a page that is just full");
    let past_the_end = store.snapshot(b"/p/", None, page(Some("/p/zz"), 2)).await.unwrap();
    assert_eq!((past_the_end.kvs.len(), past_the_end.more), (0, false));
    let other_prefix = store.snapshot(b"/p/", None, page(Some("/zz"), 2)).await.unwrap();
    assert_eq!((other_prefix.kvs.len(), other_prefix.more), (0, false));
    let before_the_prefix = store.snapshot(b"/p/", None, page(Some("/a"), 2)).await.unwrap();
    assert_eq!(before_the_prefix.kvs.len(), 2);
    let nothing = store.snapshot(b"/p/", None, page(None, 0)).await.unwrap();
    assert_eq!((nothing.kvs.len(), nothing.more), (0, true));
}

pub async fn pages_of_any_size_add_up(store: Shared) {
    write(&*store, (0..23).map(|n| put(&format!("/p/{n:02}"), "v")).collect()).await;
    let all = everything(&*store, "/p/", None).await;
    for limit in [1, 2, 5, 22, 23, 24] {
        let (mut kvs, mut after) = (Vec::new(), None);
        loop {
            let part = store.snapshot(b"/p/", Some(all.rev), page(after.as_deref(), limit)).await.unwrap();
            assert!(part.kvs.len() <= limit);
            kvs.extend(part.kvs);
            if !part.more {
                break;
            }
            after = kvs.last().map(|kv| text(&kv.key));
        }
        assert_eq!(kvs, all.kvs, "limit {limit}");
    }
}

pub async fn a_page_may_start_after_a_key_that_is_gone(store: Shared) {
    write(&*store, vec![put("/p/a", "v"), put("/p/b", "v"), put("/p/c", "v")]).await;
    write(&*store, vec![del("/p/b")]).await;
    let rest = store.snapshot(b"/p/", None, page(Some("/p/b"), 9)).await.unwrap();
    assert_eq!(pairs(&rest), ["/p/c=v"]);
}

pub async fn snapshot_is_consistent_with_acknowledged_writes(store: Shared) {
    for n in 0..30 {
        let rev = write(&*store, vec![put("/a", &n.to_string()), put("/b", &n.to_string())]).await;
        let all = everything(&*store, "/", None).await;
        assert!(all.rev >= rev);
        assert_eq!(pairs(&all), [format!("/a={n}"), format!("/b={n}")]);
    }
}
