//! The life of a definition: names, discovery, objects, deletion.

use http::Method;
use serde_json::{Value, json};

use crate::crd::{DEFINITIONS, WIDGETS, condition, definition, open, widget, widgets};
use crate::hub::{Hub, names, rev};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

async fn discovered(hub: &Hub, group: &str) -> Option<Value> {
    let list = hub.send(Method::GET, "/apis", &[("accept", AGGREGATED)], "").await.expect(200);
    let groups = list["items"].as_array().expect("items").clone();
    groups.into_iter().find(|item| item["metadata"]["name"] == group)
}

/// Protocol: R2, D2, D3, T5
#[tokio::test]
async fn a_definition_is_served_as_soon_as_it_is_established() {
    let hub = Hub::start().await;
    assert_eq!(hub.get(WIDGETS).await.code, 404);
    let made = hub.post(DEFINITIONS, &widgets()).await.expect(201);
    assert_eq!(made["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(made["spec"]["names"]["singular"], "widget");
    assert_eq!(made["spec"]["names"]["listKind"], "WidgetList");
    assert_eq!(made["spec"]["conversion"], json!({"strategy": "None"}));
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let found = hub.until(&path, |found| condition(found, "Established") == "True").await;
    assert_eq!(condition(&found, "NamesAccepted"), "True");
    assert_eq!(found["status"]["acceptedNames"]["kind"], "Widget");
    assert_eq!(found["metadata"]["generation"], 1);

    assert_eq!(hub.get(WIDGETS).await.expect(200)["kind"], "WidgetList");
    let group = hub.get("/apis/example.com").await.expect(200);
    assert_eq!(group["preferredVersion"]["groupVersion"], "example.com/v1");
    let listed = hub.get("/apis/example.com/v1").await.expect(200);
    let of = |name: &str| listed["resources"].as_array().expect("list").iter().find(|r| r["name"] == name).cloned();
    assert_eq!(of("widgets").expect("widgets")["kind"], "Widget");
    assert_eq!(of("widgets/status").expect("status")["kind"], "Widget");
    assert_eq!(of("widgets/scale").expect("scale")["group"], "autoscaling");
    let item = discovered(&hub, "example.com").await.expect("the group");
    let resource = &item["versions"][0]["resources"][0];
    assert_eq!(resource["responseKind"], json!({"group": "example.com", "version": "v1", "kind": "Widget"}));
    assert_eq!(resource["subresources"][1]["responseKind"]["kind"], "Scale");
    let groups = hub.get("/apis").await.expect(200);
    let groups: Vec<&Value> = groups["groups"].as_array().expect("groups").iter().map(|g| &g["name"]).collect();
    assert!(groups.contains(&&json!("example.com")), "{groups:?}");
}

/// Protocol: D2, D4
#[tokio::test]
async fn a_version_that_comes_later_is_discovered_at_once() {
    let hub = Hub::start().await;
    let two = [json!({"name": "v1beta1"}), json!({"name": "v1"})];
    hub.define(&definition("foos", "Foo", &two)).await;
    let versions = |item: &Value| {
        let versions = item["versions"].as_array().expect("versions").iter();
        versions.map(|v| v["version"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(versions(&discovered(&hub, "example.com").await.expect("the group")), ["v1", "v1beta1"]);
    let etag = |reply: &crate::hub::Reply| reply.headers["etag"].clone();
    let before = etag(&hub.get("/apis").await);
    hub.define(&definition("bars", "Bar", &[json!({"name": "v2alpha1"})])).await;
    let item = discovered(&hub, "example.com").await.expect("the group");
    assert_eq!(versions(&item), ["v1", "v1beta1", "v2alpha1"]);
    assert_ne!(before, etag(&hub.get("/apis").await));
    let path = format!("{DEFINITIONS}/foos.example.com");
    let stop = json!([{"op": "replace", "path": "/spec/versions/1/served", "value": false}]);
    hub.patch(&path, "json-patch+json", &stop).await.expect(200);
    assert_eq!(versions(&discovered(&hub, "example.com").await.expect("the group")), ["v1beta1", "v2alpha1"]);
    assert_eq!(hub.get("/apis/example.com/v1/foos").await.code, 404);
    hub.get("/apis/example.com/v1beta1/foos").await.expect(200);
}

/// Protocol: R2
#[tokio::test]
async fn names_are_shared_by_nobody_and_freed() {
    let hub = Hub::start().await;
    hub.define(&definition("foos", "Foo", &[json!({"name": "v1"})])).await;
    hub.post(DEFINITIONS, &definition("bars", "Foo", &[json!({"name": "v1"})])).await.expect(201);
    let path = format!("{DEFINITIONS}/bars.example.com");
    let found = hub.until(&path, |found| condition(found, "NamesAccepted") == "False").await;
    let told: Vec<&Value> =
        found["status"]["conditions"].as_array().expect("list").iter().map(|c| &c["reason"]).collect();
    assert_eq!(told, [&json!("ListKindConflict"), &json!("NotAccepted")]);
    assert_eq!(hub.get("/apis/example.com/v1/bars").await.code, 404);
    hub.delete(&format!("{DEFINITIONS}/foos.example.com")).await.expect(200);
    hub.until(&path, |found| condition(found, "Established") == "True").await;
    hub.get("/apis/example.com/v1/bars").await.expect(200);
}

/// Protocol: R2
#[tokio::test]
async fn a_definition_takes_its_objects_along() {
    let hub = Hub::start().await;
    hub.define(&widgets()).await;
    hub.post(WIDGETS, &widget("one", json!({}))).await.expect(201);
    let mut held = widget("held", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    hub.post(WIDGETS, &held).await.expect(201);
    let list = hub.get(WIDGETS).await.expect(200);
    let mut watch = hub.watch(&format!("{WIDGETS}?watch=1&resourceVersion={}", rev(&list))).await;
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let deleted = hub.delete(&path).await.expect(200);
    assert_eq!(deleted["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    assert_eq!(condition(&deleted, "Terminating"), "True");
    let (reason, message) = hub.post(WIDGETS, &widget("late", json!({}))).await.refused(403);
    assert_eq!(reason, "Forbidden");
    assert!(message.ends_with("create not allowed while custom resource definition is terminating"), "{message}");
    let mut told = watch.told(2).await;
    told.sort();
    assert_eq!(told, ["DELETED one", "MODIFIED held"]);
    let item = discovered(&hub, "example.com").await.expect("the group");
    let verbs = item["versions"][0]["resources"][0]["verbs"].clone();
    assert_eq!(verbs, json!(["delete", "deletecollection", "get", "list", "watch"]));
    let free = json!({"metadata": {"finalizers": null}});
    hub.patch(&format!("{WIDGETS}/held"), "merge-patch+json", &free).await.expect(200);
    assert_eq!(watch.told(1).await, ["DELETED held"]);
    hub.until(&path, |found| found["code"] == 404).await;
    assert!(watch.next().await.is_none(), "the watch ends with the kind");
    assert_eq!(hub.get(WIDGETS).await.code, 404);
    assert!(discovered(&hub, "example.com").await.is_none());
    hub.define(&widgets()).await;
    assert!(names(&hub.get(WIDGETS).await.expect(200)).is_empty());
}

/// Protocol: R2
#[tokio::test]
async fn a_definition_that_serves_nothing_takes_its_objects_along_too() {
    let hub = Hub::start().await;
    hub.define(&widgets()).await;
    hub.post(WIDGETS, &widget("one", json!({}))).await.expect(201);
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let stop = json!([{"op": "replace", "path": "/spec/versions/0/served", "value": false}]);
    hub.patch(&path, "json-patch+json", &stop).await.expect(200);
    assert_eq!(hub.get(&format!("{WIDGETS}/one")).await.code, 404);
    hub.delete(&path).await.expect(200);
    hub.until(&path, |found| found["code"] == 404).await;
    hub.define(&widgets()).await;
    assert!(names(&hub.get(WIDGETS).await.expect(200)).is_empty());
}

/// Protocol: R2
#[tokio::test]
async fn a_status_of_a_definition_can_be_written() {
    let hub = Hub::start().await;
    let mut found = hub.define(&definition("foos", "Foo", &[json!({"name": "v1"})])).await;
    let path = format!("{DEFINITIONS}/foos.example.com");
    let own = json!({"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set"});
    found["status"]["conditions"].as_array_mut().expect("list").push(own);
    found["spec"]["names"]["categories"] = json!(["all"]);
    let updated = hub.put(&format!("{path}/status"), &found).await.expect(200);
    assert_eq!(condition(&updated, "StatusUpdate"), "True");
    assert_eq!(updated["spec"]["names"].get("categories"), None);
    let mut unpinned = updated.clone();
    unpinned["metadata"]["resourceVersion"] = Value::Null;
    let (_, message) = hub.put(&path, &unpinned).await.refused(422);
    assert!(
        message.contains("metadata.resourceVersion: Invalid value: 0: must be specified for an update"),
        "{message}"
    );
}

/// Protocol: R2, L10
#[tokio::test]
async fn deprecated_versions_warn() {
    let hub = Hub::start().await;
    let versions = [
        json!({"name": "v1", "deprecated": true}),
        json!({"name": "v2"}),
        json!({"name": "v1beta1", "deprecated": true, "deprecationWarning": "go away"}),
    ];
    hub.define(&definition("foos", "Foo", &versions)).await;
    let cases: [(&str, &[&str]); 3] = [
        ("v1", &["299 - \"example.com/v1 Foo is deprecated; use example.com/v2 Foo\""]),
        ("v2", &[]),
        ("v1beta1", &["299 - \"go away\""]),
    ];
    for (version, expected) in cases {
        let reply = hub.get(&format!("/apis/example.com/{version}/foos")).await;
        assert_eq!(reply.warnings(), expected, "{version}");
    }
}

/// Protocol: R2
#[tokio::test]
async fn a_restart_serves_what_was_defined() {
    let store = std::sync::Arc::new(
        federation_store::RedbStore::in_memory(federation_store::Options::default()).expect("a store"),
    );
    let first = federation_api::Api::builder().serve(store.clone()).await.expect("a server");
    let hub = Hub::with(first).await;
    hub.define(&definition("foos", "Foo", &[json!({"name": "v1", "schema": {"openAPIV3Schema": open()}})])).await;
    let path = "/apis/example.com/v1/namespaces/default/foos";
    let foo =
        json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "a"}, "spec": {"x": null, "y": 1}});
    hub.post(path, &foo).await.expect(201);
    drop(hub);
    let again = Hub::again(federation_api::Api::builder().serve(store).await.expect("a server"));
    let found = again.get(&format!("{path}/a")).await.expect(200);
    assert_eq!(found["spec"], json!({"x": null, "y": 1}));
}
