//! Objects of custom kinds through every verb.

use http::Method;
use serde_json::{Value, json};

use crate::crd::{DEFINITIONS, WIDGETS, definition, widget, widgets};
use crate::hub::{Hub, names, rev};

/// Protocol: R3, R4, L10, C1, C6
#[tokio::test]
async fn objects_are_pruned_defaulted_and_validated() {
    let hub = Hub::start().await;
    hub.define(&widgets()).await;
    let reply = hub.post(WIDGETS, &widget("one", json!({"replicas": 1, "foo": {"bar": 1}}))).await;
    assert_eq!(reply.warnings(), ["299 - \"unknown field \\\"spec.foo\\\"\""]);
    let made = reply.expect(201);
    assert_eq!(made["spec"], json!({"color": "blue", "replicas": 1}));
    assert_eq!(made["metadata"]["generation"], 1);
    let strict = format!("{WIDGETS}?fieldValidation=Strict");
    let (_, message) = hub.post(&strict, &widget("two", json!({"foo": 1}))).await.refused(400);
    assert_eq!(message, "strict decoding error: unknown field \"spec.foo\"");
    let mut meta = widget("two", json!({}));
    meta["metadata"]["unknownMeta"] = json!("x");
    let (_, message) = hub.post(&strict, &meta).await.refused(400);
    assert_eq!(message, "strict decoding error: unknown field \"metadata.unknownMeta\"");
    let twice = br#"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"two"},"spec":{"color":"red","color":"blue"}}"#;
    let json_type = [("content-type", "application/json")];
    let (_, message) = hub.send(Method::POST, &strict, &json_type, twice.to_vec()).await.refused(400);
    assert_eq!(message, "strict decoding error: duplicate field \"spec.color\"");
    let (_, message) = hub.post(WIDGETS, &widget("two", json!({"color": "pink"}))).await.refused(422);
    let expected = "Widget.example.com \"two\" is invalid: spec.color: Unsupported value: \"pink\": supported values: \"red\", \"green\", \"blue\"";
    assert_eq!(message, expected);
    let list = hub.get(WIDGETS).await.expect(200);
    assert_eq!((&list["kind"], &list["items"][0]["kind"]), (&json!("WidgetList"), &json!("Widget")));
    assert_eq!(list["items"][0]["apiVersion"], "example.com/v1");
}

/// Protocol: N2, N3, P1
#[tokio::test]
async fn only_open_formats_are_taken() {
    let hub = Hub::start().await;
    hub.define(&widgets()).await;
    hub.post(WIDGETS, &widget("one", json!({}))).await.expect(201);
    let protobuf = [("content-type", "application/vnd.kubernetes.protobuf")];
    hub.send(Method::POST, WIDGETS, &protobuf, &b"k8s\0"[..]).await.refused(415);
    let one = format!("{WIDGETS}/one");
    let (reason, message) = hub.patch(&one, "strategic-merge-patch+json", &json!({"spec": {}})).await.refused(415);
    assert_eq!(reason, "UnsupportedMediaType");
    assert!(
        message.contains("application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml")
    );
    let yaml = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: two}\nspec: {color: red}\n";
    let made = hub.send(Method::POST, WIDGETS, &[("content-type", "application/yaml")], yaml).await.expect(201);
    assert_eq!(made["spec"]["color"], "red");
}

/// Protocol: C4, C6, C7
#[tokio::test]
async fn updates_need_a_revision_and_count_generations() {
    let hub = Hub::start().await;
    hub.define(&widgets()).await;
    let made = hub.post(WIDGETS, &widget("one", json!({}))).await.expect(201);
    let one = format!("{WIDGETS}/one");
    let (_, message) = hub.put(&one, &widget("one", json!({}))).await.refused(422);
    assert!(
        message.ends_with("metadata.resourceVersion: Invalid value: 0: must be specified for an update"),
        "{message}"
    );
    let mut labelled = made.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    let labelled = hub.put(&one, &labelled).await.expect(200);
    assert_eq!(labelled["metadata"]["generation"], 1);
    let patched =
        hub.patch(&one, "merge-patch+json", &json!({"spec": {"color": "red"}, "status": {"phase": "x"}})).await;
    let patched = patched.expect(200);
    assert_eq!((&patched["metadata"]["generation"], patched.get("status")), (&json!(2), None));
    let same = hub.patch(&one, "merge-patch+json", &json!({"spec": {"color": "red"}})).await.expect(200);
    assert_eq!(rev(&same), rev(&patched));
    let (_, message) = hub.patch(&one, "merge-patch+json", &json!({"spec": {"replicas": -1}})).await.refused(422);
    assert!(message.contains("spec.replicas"), "{message}");
    let unset = hub.patch(&one, "json-patch+json", &json!([{"op": "remove", "path": "/spec/color"}])).await.expect(200);
    assert_eq!(unset["spec"]["color"], "blue", "the default comes back");
}

/// Protocol: SR1, C8
#[tokio::test]
async fn status_and_scale_have_their_own_endpoints() {
    let hub = Hub::start().await;
    hub.define(&widgets()).await;
    hub.post(WIDGETS, &widget("one", json!({}))).await.expect(201);
    let one = format!("{WIDGETS}/one");
    let body = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"color": "red"},
        "status": {"replicas": 2, "selector": "a=b", "other": 1}});
    let patched = hub.patch(&format!("{one}/status"), "merge-patch+json", &body).await.expect(200);
    assert_eq!(patched["status"], json!({"replicas": 2, "selector": "a=b"}));
    assert_eq!((patched["metadata"].get("labels"), &patched["spec"]["color"]), (None, &json!("blue")));
    assert_eq!(patched["metadata"]["generation"], 1);
    let scale = format!("{one}/scale");
    let (_, message) = hub.get(&scale).await.refused(500);
    assert!(message.contains("the spec replicas field \".spec.replicas\" does not exist"), "{message}");
    let scaled = hub.patch(&scale, "merge-patch+json", &json!({"spec": {"replicas": 7}})).await.expect(200);
    assert_eq!(scaled["kind"], "Scale");
    assert_eq!(
        (&scaled["spec"]["replicas"], &scaled["status"]),
        (&json!(7), &json!({"replicas": 2, "selector": "a=b"}))
    );
    let mut put = hub.get(&scale).await.expect(200);
    put["spec"]["replicas"] = json!(3);
    hub.put(&scale, &put).await.expect(200);
    let found = hub.get(&one).await.expect(200);
    assert_eq!((&found["spec"]["replicas"], &found["metadata"]["generation"]), (&json!(3), &json!(3)));
    let (_, message) = hub
        .put(
            &scale,
            &json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {"name": "one", "namespace": "default", "resourceVersion": found["metadata"]["resourceVersion"]},
        "spec": {"replicas": -1}}),
        )
        .await
        .refused(422);
    assert!(message.contains("spec.replicas"), "{message}");
}

/// Protocol: L7
#[tokio::test]
async fn selectable_fields_select() {
    let hub = Hub::start().await;
    hub.define(&widgets()).await;
    for (name, color) in [("a", "red"), ("b", "blue"), ("c", "red")] {
        hub.post(WIDGETS, &widget(name, json!({"color": color}))).await.expect(201);
    }
    let list = hub.get(&format!("{WIDGETS}?fieldSelector=spec.color=red")).await.expect(200);
    assert_eq!(names(&list), ["a", "c"]);
    let list = hub.get(&format!("{WIDGETS}?fieldSelector=spec.color!=red,metadata.name!=x&limit=1")).await.expect(200);
    assert_eq!(names(&list), ["b"]);
    let (_, message) = hub.get(&format!("{WIDGETS}?fieldSelector=spec.replicas=1")).await.refused(400);
    assert_eq!(message, "field label not supported: spec.replicas");
    let list = hub.get(WIDGETS).await.expect(200);
    let path = format!("{WIDGETS}?watch=1&fieldSelector=spec.color=red&resourceVersion={}", rev(&list));
    let mut watch = hub.watch(&path).await;
    hub.patch(&format!("{WIDGETS}/a"), "merge-patch+json", &json!({"spec": {"color": "green"}})).await.expect(200);
    hub.patch(&format!("{WIDGETS}/b"), "merge-patch+json", &json!({"spec": {"color": "red"}})).await.expect(200);
    assert_eq!(watch.told(2).await, ["DELETED a", "ADDED b"]);
}

/// Protocol: S1, S6
#[tokio::test]
async fn apply_merges_by_the_schema() {
    let hub = Hub::start().await;
    hub.define(&widgets()).await;
    let apply = async |manager: &str, spec: Value| {
        let body = widget("one", spec);
        hub.patch(&format!("{WIDGETS}/one?fieldManager={manager}"), "apply-patch+yaml", &body).await
    };
    let made = apply("a", json!({"parts": [{"name": "x", "size": 1}]})).await.expect(201);
    assert_eq!(made["spec"]["color"], "blue");
    let both = apply("b", json!({"parts": [{"name": "y", "size": 2}]})).await.expect(200);
    assert_eq!(both["spec"]["parts"], json!([{"name": "x", "size": 1}, {"name": "y", "size": 2}]));
    let (_, message) = apply("b", json!({"parts": [{"name": "x", "size": 9}]})).await.refused(409);
    assert!(message.contains("conflict with \"a\": .spec.parts[name=\"x\"].size"), "{message}");
    let less = apply("b", json!({})).await.expect(200);
    assert_eq!(less["spec"]["parts"], json!([{"name": "x", "size": 1}]));
}

/// Protocol: R4
#[tokio::test]
async fn what_was_stored_before_gets_the_defaults_of_now() {
    let hub = Hub::start().await;
    let schema = |color: Value| {
        json!({"name": "v1", "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
            "type": "object", "properties": {"size": {"type": "integer"}, "color": color}}}}}})
    };
    hub.define(&definition("foos", "Foo", &[schema(json!({"type": "string"}))])).await;
    let path = "/apis/example.com/v1/namespaces/default/foos";
    let foo = json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "a"}, "spec": {"size": 1}});
    let made = hub.post(path, &foo).await.expect(201);
    let mut watch = hub.watch(&format!("{path}?watch=1&resourceVersion={}", rev(&made))).await;
    let to = json!([{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/color/default", "value": "red"}]);
    hub.patch(&format!("{DEFINITIONS}/foos.example.com"), "json-patch+json", &to).await.expect(200);
    let found = hub.get(&format!("{path}/a")).await.expect(200);
    assert_eq!(found["spec"], json!({"size": 1, "color": "red"}));
    assert_eq!(rev(&found), rev(&made));
    assert_eq!(hub.get(path).await.expect(200)["items"][0]["spec"]["color"], "red");
    assert!(watch.next().await.is_none(), "a watch of the old schema ends");
    let mut watch = hub.watch(&format!("{path}?watch=1")).await;
    assert_eq!(watch.next().await.expect("an event")["object"]["spec"]["color"], "red");
    // A write that changes nothing else stores the default.
    let stored = hub.put(&format!("{path}/a"), &found).await.expect(200);
    assert!(rev(&stored) > rev(&made));
    assert_eq!(rev(&hub.put(&format!("{path}/a"), &stored).await.expect(200)), rev(&stored));
}

/// Protocol: R3
#[tokio::test]
async fn every_version_shows_every_object() {
    let hub = Hub::start().await;
    let of = |name: &str, field: &str| {
        json!({"name": name, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "both": {"type": "string"}, (field): {"type": "string", "default": "set"}}}}})
    };
    hub.define(&definition("foos", "Foo", &[of("v1", "one"), of("v2", "two")])).await;
    let path = |version: &str| format!("/apis/example.com/{version}/namespaces/default/foos");
    let foo = |version: &str, name: &str| json!({"apiVersion": format!("example.com/{version}"), "kind": "Foo", "metadata": {"name": name}, "both": "b"});
    hub.post(&path("v1"), &foo("v1", "a")).await.expect(201);
    let made = hub.post(&path("v2"), &foo("v2", "b")).await.expect(201);
    assert_eq!(made["apiVersion"], "example.com/v2");
    let (_, message) = hub.post(&path("v2"), &foo("v1", "c")).await.refused(400);
    let expected =
        "the API version in the data (example.com/v1) does not match the expected API version (example.com/v2)";
    assert_eq!(message, expected);
    for version in ["v1", "v2"] {
        let list = hub.get(&path(version)).await.expect(200);
        let shown: Vec<&Value> =
            list["items"].as_array().expect("items").iter().map(|item| &item["apiVersion"]).collect();
        assert_eq!(shown, [&json!(format!("example.com/{version}")); 2]);
        assert_eq!(list["apiVersion"], json!(format!("example.com/{version}")));
    }
    let one = hub.get(&format!("{}/a", path("v2"))).await.expect(200);
    assert_eq!((one.get("one"), &one["both"]), (None, &json!("b")));
    assert_eq!(hub.get(&format!("{}/b", path("v1"))).await.expect(200)["one"], "set");
    // The storage version moves on: both are remembered, and a watch sees what is stored in either.
    let definition = format!("{DEFINITIONS}/foos.example.com");
    let turn = json!([
        {"op": "replace", "path": "/spec/versions/0/storage", "value": false},
        {"op": "replace", "path": "/spec/versions/1/storage", "value": true},
    ]);
    let turned = hub.patch(&definition, "json-patch+json", &turn).await.expect(200);
    assert_eq!(turned["status"]["storedVersions"], json!(["v1", "v2"]));
    let mut watch = hub.watch(&format!("{}?watch=1", path("v2"))).await;
    assert_eq!(watch.told(2).await, ["ADDED a", "ADDED b"]);
    hub.patch(&format!("{}/a", path("v1")), "merge-patch+json", &json!({"both": "c"})).await.expect(200);
    let event = watch.next().await.expect("an event");
    assert_eq!((&event["object"]["apiVersion"], &event["object"]["both"]), (&json!("example.com/v2"), &json!("c")));
    hub.delete(&format!("{}/b", path("v2"))).await.expect(200);
    let event = watch.next().await.expect("an event");
    assert_eq!((&event["type"], &event["object"]["apiVersion"]), (&json!("DELETED"), &json!("example.com/v2")));
}
