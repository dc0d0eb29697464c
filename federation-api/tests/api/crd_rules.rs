//! `x-kubernetes-validations`: what rules say of objects that are created and changed.

use serde_json::{Value, json};

use crate::crd::{DEFINITIONS, definition};
use crate::hub::Hub;

const FOOS: &str = "/apis/example.com/v1/namespaces/default/foos";

fn foo(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": name}, "spec": spec})
}

/// Foos with a schema for their spec.
fn foos(spec: Value) -> Value {
    let schema = json!({"type": "object", "properties": {"spec": spec, "status": {
        "type": "object",
        "x-kubernetes-validations": [{"rule": "self.ready <= 3", "message": "too many are ready"}],
        "properties": {"ready": {"type": "integer"}},
    }}});
    definition(
        "foos",
        "Foo",
        &[json!({"name": "v1", "subresources": {"status": {}}, "schema": {"openAPIV3Schema": schema}})],
    )
}

fn sized() -> Value {
    json!({
        "type": "object",
        "x-kubernetes-validations": [
            {"rule": "self.min <= self.max", "message": "min must not be above max", "fieldPath": ".min"},
            {"rule": "self.min >= 0", "messageExpression": "'min is ' + (self.min < 0 ? 'negative' : 'fine')", "reason": "FieldValueForbidden"},
        ],
        "properties": {
            "min": {"type": "integer", "default": 0},
            "max": {"type": "integer", "default": 10},
            "name": {"type": "string", "x-kubernetes-validations": [
                {"rule": "self == oldSelf", "message": "name is immutable"}]},
            "size": {"type": "integer", "x-kubernetes-validations": [{"rule": "self % 2 == 0"}]},
        },
    })
}

/// Protocol: R4
#[tokio::test]
async fn rules_judge_what_is_created() {
    let hub = Hub::start().await;
    hub.define(&foos(sized())).await;
    let cases = [
        (json!({"min": 5, "max": 3}), "spec.min: Invalid value: min must not be above max"),
        (json!({"min": -1}), "spec: Forbidden: min is negative"),
        (json!({"size": 3}), "spec.size: Invalid value: 3: failed rule: self % 2 == 0"),
        (
            json!({"size": "x"}),
            "[spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\", \
             <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
             correct the existing errors to complete validation]",
        ),
    ];
    for (spec, why) in cases {
        let (reason, message) = hub.post(FOOS, &foo("a", spec)).await.refused(422);
        assert_eq!(message, format!("Foo.example.com \"a\" is invalid: {why}"));
        assert_eq!(reason, "Invalid");
    }
    let made = hub.post(FOOS, &foo("a", json!({"name": "x", "size": 2}))).await.expect(201);
    assert_eq!(made["spec"], json!({"name": "x", "size": 2, "min": 0, "max": 10}));
}

/// Protocol: R4
#[tokio::test]
async fn transition_rules_judge_changes() {
    let hub = Hub::start().await;
    hub.define(&foos(sized())).await;
    hub.post(FOOS, &foo("a", json!({}))).await.expect(201);
    let one = format!("{FOOS}/a");
    let merge = async |body: Value| hub.patch(&one, "merge-patch+json", &body).await;
    merge(json!({"spec": {"name": "x"}})).await.expect(200);
    let (_, message) = merge(json!({"spec": {"name": "y"}})).await.refused(422);
    assert_eq!(message, "Foo.example.com \"a\" is invalid: spec.name: Invalid value: \"y\": name is immutable");
    let (_, message) = merge(json!({"spec": {"max": -1}})).await.refused(422);
    assert_eq!(message, "Foo.example.com \"a\" is invalid: spec.min: Invalid value: min must not be above max");
    merge(json!({"spec": {"name": null}})).await.expect(200);
    merge(json!({"spec": {"name": "z"}})).await.expect(200);
    let status = format!("{one}/status");
    let (_, message) = hub.patch(&status, "merge-patch+json", &json!({"status": {"ready": 4}})).await.refused(422);
    assert_eq!(message, "Foo.example.com \"a\" is invalid: status: Invalid value: too many are ready");
    hub.patch(&status, "merge-patch+json", &json!({"status": {"ready": 3}})).await.expect(200);
}

/// Protocol: R4
#[tokio::test]
async fn what_was_wrong_before_a_rule_came_may_stay_as_it_is() {
    let hub = Hub::start().await;
    let plain = json!({"type": "object", "properties": {
        "size": {"type": "integer"}, "note": {"type": "string"},
        "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {
            "type": "object", "required": ["name"],
            "properties": {"name": {"type": "string"}, "size": {"type": "integer"}}}},
    }});
    hub.define(&foos(plain)).await;
    let old = json!({"size": 3, "parts": [{"name": "a", "size": 3}]});
    hub.post(FOOS, &foo("a", old)).await.expect(201);
    let even = json!([{"rule": "self % 2 == 0", "message": "must be even"}]);
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let rules = "x-kubernetes-validations";
    let add = json!([
        {"op": "add", "path": format!("{spec}/size/{rules}"), "value": even},
        {"op": "add", "path": format!("{spec}/parts/maxItems"), "value": 9},
        {"op": "add", "path": format!("{spec}/parts/items/properties/size/{rules}"), "value": even},
    ]);
    hub.patch(&format!("{DEFINITIONS}/foos.example.com"), "json-patch+json", &add).await.expect(200);
    let merge = async |spec: Value| hub.patch(&format!("{FOOS}/a"), "merge-patch+json", &json!({"spec": spec})).await;
    merge(json!({"note": "the size stays"})).await.expect(200);
    merge(json!({"parts": [{"name": "b", "size": 2}, {"name": "a", "size": 3}]})).await.expect(200);
    let (_, message) = merge(json!({"size": 5})).await.refused(422);
    assert_eq!(message, "Foo.example.com \"a\" is invalid: spec.size: Invalid value: 5: must be even");
    let (_, message) = merge(json!({"parts": [{"name": "c", "size": 3}]})).await.refused(422);
    assert_eq!(message, "Foo.example.com \"a\" is invalid: spec.parts[0].size: Invalid value: 3: must be even");
    hub.post(FOOS, &foo("b", json!({"size": 3}))).await.refused(422);
    merge(json!({"size": 4})).await.expect(200);
    merge(json!({"size": 3})).await.refused(422);
}
