//! WATCH: what comes in which order, what a selector makes of it, how it begins and ends.

use serde_json::json;

use crate::hub::{CONFIG_MAPS, Hub, config_map, rev};

/// Protocol: W1, W2
#[tokio::test]
async fn a_watch_tells_what_happens_after_a_revision() {
    let hub = Hub::start().await;
    let made = hub.config_map("a").await;
    let mut watch = hub.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", rev(&made))).await;
    hub.config_map("b").await;
    hub.patch(&format!("{CONFIG_MAPS}/a"), "merge-patch+json", &json!({"data": {"key": "2"}})).await.expect(200);
    let gone = hub.delete(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    assert_eq!(gone["status"], "Success");
    assert_eq!(watch.told(2).await, ["ADDED b", "MODIFIED a"]);
    let deleted = watch.next().await.expect("an event");
    assert_eq!(deleted["type"], "DELETED");
    assert_eq!(deleted["object"]["data"]["key"], "2", "the last state");
    assert!(rev(&deleted["object"]) > rev(&made), "with the revision of the deletion");
    // Resumed from the middle, the rest comes again.
    let mut again = hub.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", rev(&made))).await;
    assert_eq!(again.told(3).await, ["ADDED b", "MODIFIED a", "DELETED a"]);
}

/// Protocol: W2
#[tokio::test]
async fn a_watch_without_a_revision_begins_with_the_state() {
    let hub = Hub::start().await;
    hub.config_map("a").await;
    for query in ["watch=1", "watch=true&resourceVersion=0"] {
        let mut watch = hub.watch(&format!("{CONFIG_MAPS}?{query}")).await;
        assert_eq!(watch.told(1).await, ["ADDED a"]);
    }
    let mut legacy = hub.watch("/api/v1/watch/namespaces/default/configmaps/a").await;
    assert_eq!(legacy.told(1).await, ["ADDED a"]);
    let mut item = hub.watch(&format!("{CONFIG_MAPS}/a?watch=1")).await;
    hub.config_map("b").await;
    hub.delete(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    assert_eq!(item.told(2).await, ["ADDED a", "DELETED a"]);
}

/// Protocol: W3
#[tokio::test]
async fn a_watch_list_marks_the_end_of_the_state() {
    let hub = Hub::start().await;
    hub.config_map("a").await;
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = hub.watch(&format!("{CONFIG_MAPS}?{query}")).await;
    assert_eq!(watch.told(1).await, ["ADDED a"]);
    let mark = watch.next().await.expect("a bookmark");
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(mark["object"]["kind"], "ConfigMap");
    assert_eq!(mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let made = hub.config_map("b").await;
    assert!(rev(&made) > rev(&mark["object"]));
    assert_eq!(watch.told(1).await, ["ADDED b"]);
    let refused = hub.get(&format!("{CONFIG_MAPS}?watch=1&sendInitialEvents=true")).await.refused(422);
    assert_eq!(refused.0, "Invalid");
}

/// Protocol: W7
#[tokio::test]
async fn entering_and_leaving_a_selection_are_events() {
    let hub = Hub::start().await;
    let made = hub.config_map("a").await;
    let query = format!("watch=1&labelSelector=on%3Dyes&resourceVersion={}", rev(&made));
    let mut watch = hub.watch(&format!("{CONFIG_MAPS}?{query}")).await;
    let path = format!("{CONFIG_MAPS}/a");
    for (labels, key) in [
        (json!({"on": "yes"}), "1"),
        (json!({"on": "yes"}), "2"),
        (json!({"on": "no"}), "3"),
        (json!({"on": "no"}), "4"),
    ] {
        let patch = json!({"metadata": {"labels": labels}, "data": {"key": key}});
        hub.patch(&path, "merge-patch+json", &patch).await.expect(200);
    }
    assert_eq!(watch.told(2).await, ["ADDED a", "MODIFIED a"]);
    let left = watch.next().await.expect("an event");
    assert_eq!((&left["type"], &left["object"]["data"]["key"]), (&json!("DELETED"), &json!("2")));
    hub.patch(&path, "merge-patch+json", &json!({"metadata": {"labels": {"on": "yes"}}})).await.expect(200);
    assert_eq!(watch.told(1).await, ["ADDED a"]);
}

/// Protocol: W4, E6
#[tokio::test]
async fn an_expired_revision_is_told_in_the_stream() {
    let hub = Hub::start().await;
    let mut watch = hub.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion=1")).await;
    let event = watch.next().await.expect("an event");
    assert_eq!(event["type"], "ERROR");
    assert_eq!((&event["object"]["code"], &event["object"]["reason"]), (&json!(410), &json!("Expired")));
    assert!(watch.next().await.is_none(), "the stream ends");
}

/// Protocol: W5, W6
#[tokio::test]
async fn a_watch_ends_at_its_deadline_after_a_bookmark() {
    let hub = Hub::start().await;
    let made = hub.config_map("a").await;
    let query = format!("watch=1&allowWatchBookmarks=true&timeoutSeconds=3&resourceVersion={}", rev(&made));
    let mut watch = hub.watch(&format!("{CONFIG_MAPS}?{query}")).await;
    let mark = watch.next().await.expect("a bookmark");
    assert_eq!(mark["type"], "BOOKMARK");
    assert!(rev(&mark["object"]) >= rev(&made));
    assert!(watch.next().await.is_none(), "no error at the end");
}

/// Protocol: W7
#[tokio::test]
async fn all_watchers_see_one_order() {
    let hub = Hub::start().await;
    let mut watches = Vec::new();
    for _ in 0..8 {
        watches.push(hub.watch("/api/v1/configmaps?watch=1").await);
    }
    let writes = (0..20).map(|at| {
        let hub = &hub;
        async move { hub.post(CONFIG_MAPS, &config_map(&format!("c{at}"))).await.expect(201) }
    });
    futures_util::future::join_all(writes).await;
    let mut orders = Vec::new();
    for watch in &mut watches {
        orders.push(watch.told(20).await);
    }
    assert!(orders.windows(2).all(|pair| pair[0] == pair[1]));
}

/// Protocol: F4
#[tokio::test]
async fn a_watch_ends_when_the_server_drains() {
    let hub = Hub::start().await;
    let mut watch = hub.watch(&format!("{CONFIG_MAPS}?watch=1")).await;
    hub.config_map("a").await;
    assert_eq!(watch.told(1).await, ["ADDED a"]);
    hub.api.begin_drain();
    assert_eq!(watch.next().await, None, "clients go on elsewhere, and the process can end");
}
