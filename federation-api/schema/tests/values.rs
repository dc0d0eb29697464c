//! Values of custom kinds against what kube-apiserver 1.37.2 answered: every keyword and every format.

use std::collections::BTreeSet;

use federation_schema::facts::{Resource, Text, TypeId};
use federation_schema::structural::Custom;
use federation_schema::structural::meta::Malformed;
use serde_json::{Value, json};

fn kind(properties: Value) -> Custom {
    let text = |text: &'static str| Text::Borrowed(text);
    let resource = Resource {
        group: text("v.example.com"),
        version: text("v1"),
        kind: text("Value"),
        list_kind: text("ValueList"),
        plural: text("values"),
        singular: text("value"),
        short_names: Box::default(),
        categories: Box::default(),
        namespaced: true,
        verbs: Box::default(),
        subresources: Box::default(),
        storage_hash: text(""),
        ty: TypeId::JSON,
    };
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}});
    Custom::of_version(resource, &json!({"schema": {"openAPIV3Schema": schema}})).expect("a schema")
}

/// Protocol: R3
#[test]
fn answers_are_upstreams() {
    let cases = include_str!("fixtures/values.json");
    let cases: Vec<Value> = serde_json::from_str(cases).expect("fixtures are JSON");
    let (mut wrong, mut count) = (Vec::new(), 0);
    for case in &cases {
        let field = case["field"].as_str().expect("a field");
        let kind = kind(json!({field: case["schema"]}));
        for answer in case["answers"].as_array().expect("answers") {
            count += 1;
            let mut object = json!({
                "apiVersion": "v.example.com/v1", "kind": "Value", "metadata": {"name": "a", "namespace": "default"},
                "spec": {field: answer["value"]},
            });
            let coerced = kind.coerce(&mut object, Malformed::Refuse);
            kind.default(&mut object);
            let complaint = |text: String| format!("{} {}: {text}", case["schema"], answer["value"]);
            if let Err(error) = coerced {
                if answer["message"] != json!(error) {
                    wrong.push(complaint(format!("{error} instead of {answer}")));
                }
                continue;
            }
            let found: BTreeSet<String> = kind.validate(&object, None).iter().map(ToString::to_string).collect();
            Custom::settle(&mut object);
            let expected = answer["causes"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let expected: BTreeSet<String> = expected.map(str::to_owned).collect();
            if found != expected {
                wrong.push(complaint(format!("\n  found    {found:?}\n  expected {expected:?}")));
            } else if answer["code"] == 201 && object["spec"] != answer["stored"] {
                wrong.push(complaint(format!("stored {} instead of {}", object["spec"], answer["stored"])));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}
