//! Snapshots, history and watchers of one resource.

use std::sync::Arc;

use super::{Clock, ResourceCache, Scope};
use crate::cache::clock::Progress;

fn raw(name: &str) -> Vec<u8> {
    format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}}}}"#).into_bytes()
}

fn stored(rev: u64) -> (Arc<ResourceCache>, Arc<Progress>) {
    let progress = Progress::new(rev);
    (ResourceCache::new(Clock::Store(Arc::clone(&progress))), progress)
}

fn keys(cache: &ResourceCache, rev: u64) -> Vec<String> {
    let snapshot = cache.at(rev).expect("kept");
    snapshot.range(&Scope::All, "").map(|e| format!("{}@{}", e.key(), e.rev())).collect()
}

#[test]
fn history_is_told_by_undoing() {
    let (cache, _) = stored(10);
    cache.put("a/x", &raw("x"), 11);
    cache.put("a/y", &raw("y"), 12);
    cache.put("a/x", &raw("x"), 13);
    cache.remove("a/y", 15);
    assert_eq!(keys(&cache, 10), Vec::<String>::new());
    assert_eq!(keys(&cache, 11), ["a/x@11"]);
    assert_eq!(keys(&cache, 12), ["a/x@11", "a/y@12"]);
    assert_eq!(keys(&cache, 14), ["a/x@13", "a/y@12"]);
    assert_eq!(keys(&cache, 15), ["a/x@13"]);
    assert!(cache.at(9).is_err());
}

#[test]
fn ranges_are_namespaces_in_key_order() {
    let (cache, _) = stored(1);
    for (rev, key) in (2..).zip(["b/x", "a/x", "a-b/x", "a/y", "a0/x"]) {
        cache.put(key, &raw("x"), rev);
    }
    let snapshot = cache.snapshot();
    let range = |scope: Scope, start: &str| -> Vec<String> {
        snapshot.range(&scope, start).map(|e| e.key().to_owned()).collect()
    };
    assert_eq!(range(Scope::All, ""), ["a-b/x", "a/x", "a/y", "a0/x", "b/x"]);
    assert_eq!(range(Scope::Namespace("a".into()), ""), ["a/x", "a/y"]);
    assert_eq!(range(Scope::Namespace("a".into()), "a/x\0"), ["a/y"]);
    assert_eq!(range(Scope::Namespace("a".into()), "b"), Vec::<String>::new());
    assert_eq!(range(Scope::Key("b/x".into()), ""), ["b/x"]);
}

#[tokio::test]
async fn watchers_see_their_scope_in_order() {
    let (cache, progress) = stored(10);
    cache.put("a/x", &raw("x"), 11);
    let mut all = cache.watch(Scope::All, 10).expect("kept");
    let mut one = cache.watch(Scope::Key("b/y".into()), 10).expect("kept");
    cache.put("b/y", &raw("y"), 12);
    cache.remove("a/x", 13);
    progress.advance(20);
    let revs: Vec<u64> = all.next().await.expect("kept").iter().map(|e| e.rev()).collect();
    assert_eq!(revs, [11, 12, 13]);
    let revs: Vec<u64> = one.next().await.expect("kept").iter().map(|e| e.rev()).collect();
    assert_eq!(revs, [12]);
    assert!(one.poll().expect("kept").is_empty());
    assert_eq!(one.seen(), 20);
}

#[tokio::test]
async fn an_idle_watcher_survives_a_wrapped_ring() {
    let (cache, _) = stored(0);
    let mut idle = cache.watch(Scope::Key("quiet/x".into()), 0).expect("kept");
    let mut slow = cache.watch(Scope::All, 0).expect("kept");
    assert!(idle.poll().expect("kept").is_empty());
    // The bucket exists from now on.
    cache.wake().bucket(&Scope::Key("quiet/x".into()), 0);
    for rev in 1..=(crate::cache::RING_EVENTS_MAX as u64 + 500) {
        cache.put("busy/x", &raw("x"), rev);
    }
    assert!(slow.poll().is_err());
    cache.put("quiet/x", &raw("x"), 900_000);
    // Either it still finds its event, or the bucket is shared with the busy key.
    if let Ok(events) = idle.poll() {
        assert!(events.iter().all(|e| e.object.key() == "quiet/x"));
    }
}

#[test]
fn an_own_clock_names_its_replica() {
    let cache = ResourceCache::new(Clock::Own { start_us: 1_000_003, replica: 5 });
    let first = cache.put("n/x", &raw("x"), 0);
    let second = cache.put("n/y", &raw("y"), 77);
    assert!(second > first);
    assert_eq!((first & 7, second & 7), (5, 5));
    assert_eq!(cache.served("n/y", 77), Some(second));
    assert!(cache.watch(Scope::All, first).is_ok());
    assert!(cache.watch(Scope::All, first + 1).is_err());
}
