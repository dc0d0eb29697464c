//! Rules of custom kinds against what kube-apiserver 1.37.2 answered: their definitions, and objects that break them.

#[path = "support/custom_kind.rs"]
mod custom_kind;

use std::collections::BTreeSet;

use federation_schema::crd;
use federation_schema::structural::Custom;
use serde_json::{Value, json};

use self::custom_kind::custom_kind;

fn strings(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn difference(what: String, found: &BTreeSet<String>, expected: &BTreeSet<String>) -> Option<String> {
    let missing: Vec<_> = expected.difference(found).collect();
    let extra: Vec<_> = found.difference(expected).collect();
    (found != expected).then(|| format!("{what}\n  missing {missing:#?}\n  extra {extra:#?}"))
}

/// Protocol: R1, R3, A4
#[test]
fn rules_are_compiled_and_costed_as_upstream_does() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("fixtures/rules.json")).expect("fixtures are JSON");
    let wrong = cases.iter().filter_map(|case| {
        let mut definition = case["crd"].clone();
        crd::default(&mut definition);
        let found = crd::validate(&definition, None).iter().map(ToString::to_string).collect();
        difference(case["name"].to_string(), &found, &strings(&case["causes"]))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn kind(properties: &Value) -> Custom {
    custom_kind("r.example.com", "Rule", &json!({"type": "object", "properties": properties}))
}

/// Protocol: R3
#[test]
fn broken_rules_are_told_as_upstream_does() {
    let cases = include_str!("fixtures/broken_rules.json");
    let cases: Vec<Value> = serde_json::from_str(cases).expect("fixtures are JSON");
    let mut wrong = Vec::new();
    for case in &cases {
        let field = case["field"].as_str().expect("a field");
        let kind = kind(&json!({field: case["schema"]}));
        let object = |value: &Value| {
            json!({
                "apiVersion": "r.example.com/v1", "kind": "Rule", "metadata": {"name": "a", "namespace": "default"},
                "spec": {field: value},
            })
        };
        for answer in case["answers"].as_array().expect("answers") {
            let old = answer.get("old").map(object);
            let found = kind.validate(&object(&answer["new"]), old.as_ref());
            let found = found.iter().map(ToString::to_string).collect();
            let what = format!("{} {} was {}", case["schema"], answer["new"], answer["old"]);
            wrong.extend(difference(what, &found, &strings(&answer["causes"])));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
