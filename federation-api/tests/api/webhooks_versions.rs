//! Admission webhooks and the versions of custom kinds: each sees the one that it has registered for.

use serde_json::{Value, json};

use crate::crd::definition;
use crate::crd_convert::{answer, converted_by, foo, foos};
use crate::hub::Hub;
use crate::webhooks::{Server, configure, patch, webhook};

const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/m";

/// A webhook that has registered for foos of v1.
fn of_v1(server: &Server, policy: &str) -> Value {
    webhook("foos", server.url("/"), |webhook| {
        webhook["rules"] = json!([{"operations": ["*"], "apiGroups": ["example.com"], "apiVersions": ["v1"],
            "resources": ["foos"]}]);
        webhook["matchPolicy"] = policy.into();
        webhook["matchConditions"] = json!([{"name": "v1", "expression":
            "request.requestKind.version == 'v2' && request.kind.version == 'v1' && (object == null ? oldObject : object).apiVersion == 'example.com/v1'"}]);
    })
}

/// Protocol: A2, R5
#[tokio::test]
async fn a_custom_object_is_shown_in_the_version_that_was_registered_for() {
    let server = Server::judging(|request| {
        let change = json!([{"op": "add", "path": "/seen", "value": request["object"]["apiVersion"]}]);
        if request["object"].is_null() { json!({}) } else { patch(&change) }
    })
    .await;
    let hub = Hub::start().await;
    // What only the request's version knows is shown, and stays.
    let version = |name: &str, fields: &[&str]| {
        let anything = json!({"x-kubernetes-preserve-unknown-fields": true});
        let fields: serde_json::Map<String, Value> =
            fields.iter().map(|field| ((*field).to_owned(), anything.clone())).collect();
        json!({"name": name, "schema": {"openAPIV3Schema": {"type": "object", "properties": fields}}})
    };
    hub.define(&definition("foos", "Foo", &[version("v2", &["x", "seen"]), version("v1", &["y"])])).await;
    configure(&hub, "Mutating", "m", vec![of_v1(&server, "Equivalent")]).await;
    let made = hub.post(&foos("v2"), &foo("v2", "a", json!({"x": 1}))).await.expect(201);
    assert_eq!((&made["apiVersion"], &made["seen"]), (&json!("example.com/v2"), &json!("example.com/v1")));
    assert_eq!(made["x"], 1);
    let patched = hub.patch(&format!("{}/a", foos("v2")), "merge-patch+json", &json!({"x": 2})).await.expect(200);
    assert_eq!((&patched["apiVersion"], &patched["x"]), (&json!("example.com/v2"), &json!(2)));
    hub.delete(&format!("{}/a", foos("v2"))).await.expect(200);
    let asked: Vec<Value> = server.asked().into_iter().map(|review| review["request"].clone()).collect();
    assert_eq!(asked.len(), 3);
    for request in &asked {
        assert_eq!(request["kind"], json!({"group": "example.com", "version": "v1", "kind": "Foo"}));
        assert_eq!(request["resource"], json!({"group": "example.com", "version": "v1", "resource": "foos"}));
        assert_eq!(request["requestKind"]["version"], "v2");
        assert_eq!(request["requestResource"]["version"], "v2");
    }
    assert_eq!(asked[1]["oldObject"]["apiVersion"], "example.com/v1");
    assert_eq!((&asked[2]["object"], &asked[2]["oldObject"]["x"]), (&Value::Null, &json!(2)));
    assert_eq!(asked[2]["oldObject"]["apiVersion"], "example.com/v1");
    // Who wants that version alone is not asked about others.
    hub.delete(MUTATING).await.expect(200);
    configure(&hub, "Mutating", "m", vec![of_v1(&server, "Exact")]).await;
    hub.post(&foos("v2"), &foo("v2", "b", json!({}))).await.expect(201);
    assert_eq!(server.asked().len(), 3);
}

/// Protocol: A2, R5
#[tokio::test]
async fn what_a_webhook_changes_is_converted_back() {
    let converter = Server::start(|review| answer(review, |_| {})).await;
    let judge = Server::judging(|request| match request["object"]["hostPort"].as_str() {
        Some(both) => patch(&json!([{"op": "replace", "path": "/hostPort", "value": format!("{both}80")}])),
        None => json!({"allowed": false}),
    })
    .await;
    let hub = Hub::start().await;
    hub.define(&converted_by(converter.url("/convert"))).await;
    configure(&hub, "Mutating", "m", vec![of_v1(&judge, "Equivalent")]).await;
    let made = hub.post(&foos("v2"), &foo("v2", "a", json!({"host": "h", "port": "4"}))).await.expect(201);
    assert_eq!(
        (&made["apiVersion"], &made["host"], &made["port"]),
        (&json!("example.com/v2"), &json!("h"), &json!("480"))
    );
    assert_eq!(hub.get(&format!("{}/a", foos("v1"))).await.expect(200)["hostPort"], "h:480");
    // What cannot be converted cannot be judged.
    let gone = Server::start(|_| (http::StatusCode::INTERNAL_SERVER_ERROR, json!({}))).await;
    let change = json!({"spec": {"conversion": converted_by(gone.url("/convert"))["spec"]["conversion"]}});
    let path = format!("{}/foos.example.com", crate::crd::DEFINITIONS);
    hub.patch(&path, "merge-patch+json", &change).await.expect(200);
    let (reason, message) = hub.post(&foos("v2"), &foo("v2", "b", json!({}))).await.refused(500);
    let want = "Internal error occurred: conversion webhook for example.com/v2, Kind=Foo failed: ";
    assert!(reason == "InternalError" && message.starts_with(want), "{message}");
}
