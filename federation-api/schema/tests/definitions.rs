//! Definitions of custom kinds against what kube-apiserver 1.37.2 answered to the very same bodies.

use std::collections::BTreeSet;

use federation_schema::crd;
use federation_schema::field::FieldError;
use serde_json::{Value, json};

/// The texts, but for names of objects (checked with all metadata) and for whole schemas within them.
fn texts(errors: &[FieldError]) -> BTreeSet<String> {
    let short = |text: String| match (text.find("Invalid value: {"), text.find(": only [")) {
        (Some(start), Some(end)) => format!("{}Invalid value: {{}}{}", &text[..start], &text[end..]),
        _ => text,
    };
    errors.iter().map(|error| short(error.to_string())).collect()
}

fn strings(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Protocol: R1, R5
#[test]
fn complaints_are_upstreams() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("fixtures/definitions.json")).expect("fixtures are JSON");
    let mut wrong = Vec::new();
    for case in &cases {
        let mut definition = case["crd"].clone();
        crd::default(&mut definition);
        let found = texts(&crd::validate(&definition, None));
        let mut expected = strings(&case["causes"]);
        expected.retain(|text| !text.contains("a lowercase RFC 1123 subdomain") || !text.starts_with("metadata.name"));
        if found != expected {
            let missing: Vec<_> = expected.difference(&found).collect();
            let extra: Vec<_> = found.difference(&expected).collect();
            wrong.push(format!("{}\n  missing {missing:#?}\n  extra {extra:#?}", case["name"]));
        }
        let (found, expected) = (crd::warnings(&definition, None), strings(&case["warnings"]));
        if case["code"] == 201 && found.iter().cloned().collect::<BTreeSet<_>>() != expected {
            wrong.push(format!("{}: {found:?} instead of {expected:?}", case["name"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

type Change<'c> = &'c dyn Fn(&mut Value);

/// Protocol: R1
#[test]
fn updates_keep_what_was_there() {
    let definition = |change: &dyn Fn(&mut Value)| {
        let mut value = json!({
            "metadata": {"name": "widgets.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}}}],
            },
            "status": {"storedVersions": ["v1"], "conditions": [{"type": "Established", "status": "True"}]},
        });
        change(&mut value);
        crd::default(&mut value);
        value
    };
    let old = definition(&|_| {});
    let table: [(Change<'_>, &[&str]); 4] = [
        (&|_| {}, &[]),
        (&|v| v["spec"]["scope"] = json!("Cluster"), &["spec.scope: Invalid value: \"Cluster\": field is immutable"]),
        (
            &|v| v["spec"]["names"]["plural"] = json!("others"),
            &["spec.names.plural: Invalid value: \"others\": field is immutable"],
        ),
        (
            &|v| v["spec"]["versions"][0]["name"] = json!("v2"),
            &[
                "status.storedVersions: Invalid value: [\"v1\"]: must have the storage version v2",
                "status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from status.storedVersions",
            ],
        ),
    ];
    for (change, expected) in table {
        let found = texts(&crd::validate(&definition(change), Some(&old)));
        assert_eq!(found, expected.iter().map(|text| (*text).to_owned()).collect());
    }
    let loose = |v: &mut Value| v["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = json!({});
    assert_eq!(crd::validate(&definition(&loose), Some(&old)).len(), 1);
    let preserving = |v: &mut Value| {
        loose(v);
        v["spec"]["preserveUnknownFields"] = json!(true);
    };
    assert_eq!(crd::validate(&definition(&preserving), Some(&definition(&preserving))), []);
}
