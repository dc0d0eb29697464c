//! PATCH in its formats.

use http::Method;
use serde_json::{Value, json};

use crate::hub::{CONFIG_MAPS, Hub, rev};

/// Protocol: P1
#[tokio::test]
async fn every_format_patches() {
    let hub = Hub::start().await;
    hub.config_map("a").await;
    let path = format!("{CONFIG_MAPS}/a");
    let cases: [(&str, Value, Value); 3] = [
        ("json-patch+json", json!([{"op": "add", "path": "/data/j", "value": "1"}]), json!({"key": "value", "j": "1"})),
        ("merge-patch+json", json!({"data": {"j": null, "m": "2"}}), json!({"key": "value", "m": "2"})),
        ("strategic-merge-patch+json", json!({"data": {"m": null, "s": "3"}}), json!({"key": "value", "s": "3"})),
    ];
    for (kind, patch, data) in cases {
        assert_eq!(hub.patch(&path, kind, &patch).await.expect(200)["data"], data, "{kind}");
    }
}

/// Protocol: P2
#[tokio::test]
async fn bad_patches_are_refused() {
    let hub = Hub::start().await;
    let made = hub.config_map("a").await;
    let path = format!("{CONFIG_MAPS}/a");
    let cases = [
        ("json-patch+json", json!({"op": "add"}), 400),
        ("json-patch+json", json!([{"op": "test", "path": "/data/key", "value": "other"}]), 422),
        ("json-patch+json", json!([{"op": "remove", "path": "/data/none"}]), 422),
        ("merge-patch+json", json!([1]), 400),
        ("merge-patch+json", json!({"metadata": {"name": "b"}}), 400),
        ("merge-patch+json", json!({"kind": "Secret"}), 422),
        ("merge-patch+json", json!({"metadata": {"resourceVersion": "1"}}), 409),
        ("merge-patch+json", json!({"metadata": {"uid": "other"}}), 422),
        ("x-unknown+json", json!({}), 415),
    ];
    for (kind, patch, code) in cases {
        hub.patch(&path, kind, &patch).await.refused(code);
    }
    let broken = hub.send(Method::PATCH, &path, &[("content-type", "application/merge-patch+json")], "{").await;
    assert_eq!(broken.refused(400).0, "BadRequest");
    let missing = hub.patch(&format!("{CONFIG_MAPS}/none"), "merge-patch+json", &json!({})).await.refused(404);
    assert_eq!(missing.1, "configmaps \"none\" not found");
    assert_eq!(hub.get(&path).await.expect(200), made, "nothing changed");
}

/// Protocol: P3
#[tokio::test]
async fn a_patch_may_name_the_revision_it_is_for() {
    let hub = Hub::start().await;
    let made = hub.config_map("a").await;
    let path = format!("{CONFIG_MAPS}/a");
    let patch = |rev: u64| json!({"metadata": {"resourceVersion": rev.to_string()}, "data": {"key": rev.to_string()}});
    let done = hub.patch(&path, "merge-patch+json", &patch(rev(&made))).await.expect(200);
    assert!(rev(&done) > rev(&made));
    hub.patch(&path, "merge-patch+json", &patch(rev(&made))).await.refused(409);
}

/// Protocol: P3
#[tokio::test]
async fn racing_patches_all_arrive() {
    let hub = Hub::start().await;
    hub.config_map("a").await;
    let path = format!("{CONFIG_MAPS}/a");
    let patches = (0..4).map(|at| {
        let (hub, path) = (&hub, &path);
        async move { hub.patch(path, "merge-patch+json", &json!({"data": {format!("k{at}"): "x"}})).await.expect(200) }
    });
    futures_util::future::join_all(patches).await;
    let data = hub.get(&path).await.expect(200)["data"].clone();
    assert_eq!(data.as_object().map(serde_json::Map::len), Some(5));
}
