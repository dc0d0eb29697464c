//! DELETE: at once, pending, of collections, of namespaces.

use http::Method;
use serde_json::{Value, json};

use crate::hub::{CONFIG_MAPS, Hub, Reply, names, rev};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

async fn delete_with(hub: &Hub, path: &str, options: Value) -> Reply {
    hub.send(Method::DELETE, path, JSON, options.to_string()).await
}

/// Protocol: DEL1
#[tokio::test]
async fn an_object_goes_at_once() {
    let hub = Hub::start().await;
    let made = hub.config_map("a").await;
    let status = hub.delete(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    assert_eq!(status["status"], "Success");
    assert_eq!(status["details"], json!({"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}));
    assert_eq!(hub.get(&format!("{CONFIG_MAPS}/a")).await.refused(404).0, "NotFound");
    assert_eq!(hub.delete(&format!("{CONFIG_MAPS}/a")).await.refused(404).1, "configmaps \"a\" not found");
}

/// Protocol: DEL3
#[tokio::test]
async fn finalizers_hold_an_object() {
    let hub = Hub::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    hub.config_map("a").await;
    hub.patch(&path, "merge-patch+json", &json!({"metadata": {"finalizers": ["x.dev/hold"]}})).await.expect(200);
    let pending = hub.delete(&path).await.expect(200);
    assert_eq!(pending["kind"], "ConfigMap");
    assert!(pending["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(pending["metadata"]["deletionGracePeriodSeconds"], 0);
    let again = hub.delete(&path).await.expect(200);
    assert_eq!(rev(&again), rev(&pending), "a second delete changes nothing");
    let more = json!({"metadata": {"finalizers": ["x.dev/hold", "x.dev/more"]}});
    let (_, message) = hub.patch(&path, "merge-patch+json", &more).await.refused(422);
    assert!(message.contains("no new finalizers can be added if the object is being deleted"), "{message}");
    let last = hub.patch(&path, "merge-patch+json", &json!({"metadata": {"finalizers": null}})).await.expect(200);
    assert_eq!(last["metadata"]["name"], "a");
    hub.get(&path).await.refused(404);
}

/// Protocol: DEL4
#[tokio::test]
async fn a_policy_becomes_a_finalizer() {
    let hub = Hub::start().await;
    for (policy, finalizers) in [("Foreground", json!(["foregroundDeletion"])), ("Orphan", json!(["orphan"]))] {
        let name = policy.to_lowercase();
        hub.config_map(&name).await;
        let object =
            delete_with(&hub, &format!("{CONFIG_MAPS}/{name}"), json!({"propagationPolicy": policy})).await.expect(200);
        assert_eq!(object["metadata"]["finalizers"], finalizers);
    }
    hub.config_map("background").await;
    let status = delete_with(
        &hub,
        &format!("{CONFIG_MAPS}/background"),
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}),
    )
    .await;
    assert_eq!(status.expect(200)["status"], "Success");
    hub.config_map("bad").await;
    delete_with(&hub, &format!("{CONFIG_MAPS}/bad"), json!({"propagationPolicy": "Sideways"})).await.refused(422);
    delete_with(&hub, &format!("{CONFIG_MAPS}/bad"), json!({"propagationPolicy": "Orphan", "orphanDependents": true}))
        .await
        .refused(422);
}

/// Protocol: DEL2
#[tokio::test]
async fn preconditions_are_kept() {
    let hub = Hub::start().await;
    let made = hub.config_map("a").await;
    let path = format!("{CONFIG_MAPS}/a");
    for wrong in [json!({"uid": "other"}), json!({"resourceVersion": "1"})] {
        assert_eq!(delete_with(&hub, &path, json!({"preconditions": wrong})).await.refused(409).0, "Conflict");
    }
    let right = json!({"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]});
    delete_with(&hub, &path, json!({"preconditions": right})).await.expect(200);
}

/// Protocol: DEL5
#[tokio::test]
async fn a_collection_goes_by_selector() {
    let hub = Hub::start().await;
    for name in ["a", "b", "c"] {
        hub.config_map(name).await;
    }
    let gone = hub.delete(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name!%3Db")).await.expect(200);
    assert_eq!((&gone["kind"], names(&gone)), (&json!("ConfigMapList"), vec!["a".to_owned(), "c".to_owned()]));
    assert_eq!(names(&hub.get(CONFIG_MAPS).await.expect(200)), ["b"]);
}

/// Protocol: NS1
#[tokio::test]
async fn a_namespace_ends_in_two_steps() {
    let hub = Hub::start().await;
    hub.namespace("shop").await;
    let path = "/api/v1/namespaces/shop";
    let born = hub.get(path).await.expect(200);
    assert_eq!(born["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(born["status"]["phase"], "Active");
    assert_eq!(born["metadata"]["labels"]["kubernetes.io/metadata.name"], "shop");
    let ending = hub.delete(path).await.expect(200);
    assert_eq!(ending["status"]["phase"], "Terminating");
    let status = hub.post("/api/v1/namespaces/shop/configmaps", &crate::hub::config_map("x")).await.expect(403);
    assert_eq!(status["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let mut finalized = ending.clone();
    finalized["spec"]["finalizers"] = json!([]);
    hub.put(&format!("{path}/finalize"), &finalized).await.expect(200);
    hub.get(path).await.refused(404);
    assert_eq!(hub.delete("/api/v1/namespaces/default").await.refused(403).0, "Forbidden");
}
