//! Values of custom kinds against what kube-apiserver 1.37.2 answered: every keyword and every format.

#[path = "support/custom_kind.rs"]
mod custom_kind;

use std::collections::BTreeSet;

use federation_schema::structural::Custom;
use federation_schema::structural::meta::Malformed;
use serde_json::{Value, json};

use self::custom_kind::custom_kind;

fn kind(properties: &Value) -> Custom {
    custom_kind("v.example.com", "Value", &json!({"type": "object", "properties": properties}))
}

/// Protocol: R3
#[test]
fn answers_are_upstreams() {
    let cases = include_str!("fixtures/values.json");
    let cases: Vec<Value> = serde_json::from_str(cases).expect("fixtures are JSON");
    let (mut wrong, mut count) = (Vec::new(), 0);
    for case in &cases {
        let field = case["field"].as_str().expect("a field");
        let kind = kind(&json!({field: case["schema"]}));
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
