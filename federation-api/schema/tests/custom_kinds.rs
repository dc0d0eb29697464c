//! Custom kinds end to end: what a schema makes of objects, in upstream's words.

#[path = "support/custom_kind.rs"]
mod custom_kind;

use federation_schema::structural::Custom;
use federation_schema::structural::meta::Malformed;
use serde_json::{Value, json};

use self::custom_kind::custom_kind;

fn custom(spec: Value) -> Custom {
    custom_kind("example.com", "Widget", &spec)
}

fn object(spec: Value) -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "a", "namespace": "default"}, "spec": spec,
    })
}

/// Protocol: R3, E2
#[test]
fn unknown_fields_are_dropped_and_named() {
    let kind = custom(json!({"type": "object", "properties": {
        "size": {"type": "integer", "default": 3},
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}}},
        "embedded": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}},
    }}));
    let mut value = object(json!({
        "color": "red", "list": [{"a": "x", "b": 1}], "free": {"x": {"y": 1}, "known": {"a": "", "z": 2}}, "size": null,
        "embedded": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "foo": 1}, "status": {}},
    }));
    value["metadata"]["bogus"] = json!(true);
    let mut unknown = kind.coerce(&mut value, Malformed::Refuse).expect("well typed");
    unknown.sort();
    assert_eq!(
        unknown,
        [
            "metadata.bogus",
            "spec.color",
            "spec.embedded.metadata.foo",
            "spec.embedded.status",
            "spec.free.known.z",
            "spec.list[0].b",
        ]
    );
    kind.default(&mut value);
    let expected = object(json!({
        "list": [{"a": "x"}], "free": {"x": {"y": 1}, "known": {"a": ""}}, "size": 3,
        "embedded": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}},
    }));
    assert_eq!(value, expected);
}

/// Protocol: R3
#[test]
fn values_are_judged_in_upstreams_words() {
    let field = |schema: Value| custom(json!({"type": "object", "properties": {"x": schema}}));
    let table = [
        (
            json!({"type": "string"}),
            json!(1),
            r#"spec.x: Invalid value: "integer": spec.x in body must be of type string: "integer""#,
        ),
        (
            json!({"type": "integer"}),
            json!("a"),
            r#"spec.x: Invalid value: "string": spec.x in body must be of type integer: "string""#,
        ),
        (
            json!({"type": "integer", "maximum": 10}),
            json!(11),
            "spec.x: Invalid value: 11: spec.x in body should be less than or equal to 10",
        ),
        (
            json!({"type": "number", "minimum": 1.5, "exclusiveMinimum": true}),
            json!(1.5),
            "spec.x: Invalid value: 1.5: spec.x in body should be greater than 1.5",
        ),
        (
            json!({"type": "integer", "multipleOf": 3}),
            json!(4),
            "spec.x: Invalid value: 4: spec.x in body should be a multiple of 3",
        ),
        (json!({"type": "string", "maxLength": 2}), json!("äöü"), "spec.x: Too long: may not be more than 2 bytes"),
        (
            json!({"type": "string", "minLength": 2}),
            json!("a"),
            r#"spec.x: Invalid value: "a": spec.x in body should be at least 2 chars long"#,
        ),
        (
            json!({"type": "string", "pattern": "^a+$"}),
            json!("b"),
            r#"spec.x: Invalid value: "b": spec.x in body should match '^a+$'"#,
        ),
        (
            json!({"type": "string", "enum": ["a", "b"]}),
            json!("c"),
            r#"spec.x: Unsupported value: "c": supported values: "a", "b""#,
        ),
        (
            json!({"type": "string", "format": "ipv4"}),
            json!("1.2.3"),
            r#"spec.x: Invalid value: "1.2.3": spec.x in body must be of type ipv4: "1.2.3""#,
        ),
        (
            json!({"type": "array", "items": {"type": "integer"}, "maxItems": 1}),
            json!([1, 2]),
            "spec.x: Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}),
            json!({}),
            "spec.x.a: Required value",
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(1.5),
            r#"spec.x: Invalid value: "number": spec.x in body must be of type integer,string: "number""#,
        ),
        (
            json!({"type": "string"}),
            json!(null),
            r#"spec.x: Invalid value: "null": spec.x in body must be of type string: "null""#,
        ),
        (
            json!({"type": "string", "not": {"enum": ["a"]}}),
            json!("a"),
            r#"<nil>: Invalid value: "": "spec.x" must not validate the schema (not)"#,
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
            json!(["a", "a"]),
            r#"spec.x[1]: Duplicate value: "a""#,
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "properties": {"k": {"type": "string"}}}}),
            json!([{"k": "a"}, {"k": "a"}]),
            r#"spec.x[1]: Duplicate value: {"k":"a"}"#,
        ),
    ];
    for (schema, value, expected) in table {
        let errors = field(schema.clone()).validate(&object(json!({"x": value})), None);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts, [expected], "{schema}");
        let fine = field(schema).validate(&object(json!({})), None);
        assert!(fine.is_empty(), "{fine:?}");
    }
}

/// Protocol: R3
#[test]
fn what_did_not_change_is_tolerated() {
    let kind = custom(json!({"type": "object", "properties": {
        "name": {"type": "string", "maxLength": 3},
        "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "n": {"type": "integer", "maximum": 5}}}},
        "plain": {"type": "array", "items": {"type": "integer", "maximum": 5}},
    }}));
    let old = object(json!({"name": "too long", "items": [{"k": "a", "n": 9}, {"k": "b", "n": 1}], "plain": [9]}));
    let new = object(json!({"name": "too long", "items": [{"k": "c", "n": 2}, {"k": "a", "n": 9}], "plain": [9]}));
    assert_eq!(kind.validate(&new, Some(&old)), []);
    let worse = object(json!({"name": "too longer", "items": [{"k": "b", "n": 9}], "plain": [9, 1]}));
    let errors: Vec<String> = kind.validate(&worse, Some(&old)).iter().map(|error| error.path.clone()).collect();
    assert_eq!(errors, ["spec.items[0].n", "spec.name", "spec.plain[0]"]);
}

/// Protocol: S6
#[test]
fn a_definition_is_a_layer_of_facts() {
    let kind = custom(json!({"type": "object", "properties": {
        "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port"],
            "items": {"type": "object", "properties": {"port": {"type": "integer"}}}},
    }}));
    let facts = kind.facts().expect("a new kind");
    let resource = facts.by_kind("example.com", "v1", "Widget").expect("served");
    assert_eq!(&*facts.ty(resource.ty).name, "com.example.v1.Widget");
    assert!(facts.field(resource.ty, "metadata").is_some());
    assert!(facts.by_kind("apps", "v1", "Deployment").is_some());
}
