//! Requests that are large within what is allowed: answered in bounded time and memory, or refused by size.

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value, json};

use crate::hub::{CONFIG_MAPS, Hub, config_map};

const JSON_PATCH: &[(&str, &str)] = &[("content-type", "application/json-patch+json")];
const STRATEGIC: &[(&str, &str)] = &[("content-type", "application/strategic-merge-patch+json")];
const APPLY: &[(&str, &str)] = &[("content-type", "application/apply-patch+yaml")];

/// A ConfigMap of so many keys, each so long.
fn wide(name: &str, keys: usize, length: usize) -> Value {
    let key = |i: usize| (format!("k{i:0length$}"), json!(""));
    let data: Map<String, Value> = (0..keys).map(key).collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// Protocol: S11
#[tokio::test]
async fn what_is_too_large_with_its_owners_is_stored_without_them() {
    let hub = Hub::start().await;
    // As much again are the names of its fields: together more than fits.
    let large = wide("large", 6500, 240);
    let stored = hub.post(CONFIG_MAPS, &large).await.expect(201);
    assert!(stored["metadata"].get("managedFields").is_none(), "no owners");
    assert_eq!(stored["data"], large["data"]);
    let path = format!("{CONFIG_MAPS}/large");
    let kept = hub.get(&path).await.expect(200);
    assert!(kept["metadata"].get("managedFields").is_none());
    // An apply is about owners: it is refused.
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": {"a": "1"}});
    let body = Bytes::from(config.to_string());
    let reply = hub.send(Method::PATCH, &format!("{path}?fieldManager=m"), APPLY, body).await;
    assert_eq!(reply.refused(413).0, "RequestEntityTooLarge");
    // A patch that makes a small object large loses the owners, and nothing else.
    hub.post(CONFIG_MAPS, &config_map("small")).await.expect(201);
    let patch = Bytes::from(json!({"data": large["data"]}).to_string());
    let headers = [("content-type", "application/merge-patch+json")];
    let patched = hub.send(Method::PATCH, &format!("{CONFIG_MAPS}/small"), &headers, patch).await.expect(200);
    assert!(patched["metadata"].get("managedFields").is_none());
    assert_eq!(patched["data"].as_object().map(Map::len), Some(6501));
}

/// Protocol: P2
#[tokio::test]
async fn json_patches_are_bounded() {
    let hub = Hub::start().await;
    hub.config_map("a").await;
    let path = format!("{CONFIG_MAPS}/a");
    let send = |patch: Value| {
        let body = Bytes::from(patch.to_string());
        let (hub, path) = (&hub, &path);
        async move { hub.send(Method::PATCH, path, JSON_PATCH, body).await }
    };
    let test = json!({"op": "test", "path": "/metadata/name", "value": "a"});
    send(Value::Array(vec![test.clone(); 10_000])).await.expect(200);
    let (reason, message) = send(Value::Array(vec![test; 10_001])).await.refused(413);
    assert_eq!(reason, "RequestEntityTooLarge");
    assert!(message.contains("10000") || message.contains("10001"), "{message}");
    // Each copy puts all there is below itself once more.
    let double = |i: usize| json!({"op": "copy", "from": "/data", "path": format!("/data/c{i}")});
    let reply = send((0..500).map(double).collect()).await;
    assert!([413, 422].contains(&reply.code.as_u16()), "{}", reply.code);
    let deep = "/a".repeat(100_000);
    for operation in [
        json!([{"op": "test", "path": "/".repeat(100_000), "value": 1}]),
        json!([{"op": "test", "path": deep, "value": 1}]),
        json!([{"op": "add", "path": deep, "value": 1}]),
        json!([{"op": "move", "from": deep, "path": "/data/x"}]),
    ] {
        let reply = send(operation).await;
        assert_eq!(reply.code.as_u16(), 422);
    }
    let kept = hub.get(&path).await.expect(200);
    assert_eq!(kept["data"], config_map("a")["data"], "nothing changed");
}

/// Protocol: P4
#[tokio::test]
async fn strategic_merge_patches_of_many_items_are_bounded() {
    let hub = Hub::start().await;
    let services = "/api/v1/namespaces/default/services";
    let ports = |count: u32| -> Vec<Value> {
        (1..=count).rev().map(|port| json!({"name": format!("p{port}"), "port": port, "targetPort": port})).collect()
    };
    let body = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": ports(1)}});
    hub.post(services, &body).await.expect(201);
    let order: Vec<Value> = (1..=20_000).rev().map(|port| json!({"port": port})).collect();
    let patch = json!({"spec": {"$setElementOrder/ports": order, "ports": ports(20_000)}});
    let reply =
        hub.send(Method::PATCH, &format!("{services}/s?dryRun=All"), STRATEGIC, Bytes::from(patch.to_string())).await;
    let patched = reply.expect(200);
    assert_eq!(patched["spec"]["ports"].as_array().map(Vec::len), Some(20_000));
    assert_eq!(patched["spec"]["ports"][0]["port"], 20_000);
}

/// Protocol: S2
#[tokio::test]
async fn owners_of_a_hundred_thousand_fields_are_bounded() {
    let hub = Hub::start().await;
    let path = format!("{CONFIG_MAPS}/wide?fieldManager=m&force=true");
    let config = wide("wide", 100_000, 5);
    for _ in 0..2 {
        let body = Bytes::from(config.to_string());
        let reply = hub.send(Method::PATCH, &path, APPLY, body).await;
        assert!([200, 201, 413].contains(&reply.code.as_u16()), "{}", reply.code);
    }
    // Owners as a request may write them, of fields that are not there.
    let fields: Map<String, Value> = (0..100_000).map(|i| (format!("f:k{i}"), json!({}))).collect();
    let mut forged = config_map("forged");
    forged["metadata"]["managedFields"] = json!([{"manager": "m", "operation": "Update", "apiVersion": "v1",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:data": fields}}]);
    let reply = hub.post(CONFIG_MAPS, &forged).await;
    assert!([201, 413].contains(&reply.code.as_u16()), "{}", reply.code);
    let mut deep = json!({});
    for _ in 0..120 {
        deep = json!({"f:a": deep});
    }
    forged["metadata"]["managedFields"][0]["fieldsV1"] = deep;
    forged["metadata"]["name"] = json!("deep");
    let reply = hub.post(CONFIG_MAPS, &forged).await;
    assert!([201, 400].contains(&reply.code.as_u16()), "{}", reply.code);
}
