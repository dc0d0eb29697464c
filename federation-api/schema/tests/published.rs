//! Published schemas of custom kinds against those that kube-apiserver 1.37.2 publishes.

use federation_schema::facts::{Resource, Text, TypeId};
use federation_schema::structural::publish::{OpenApiVersion, kind_schema, list_schema};
use serde_json::Value;

/// Protocol: O7
#[test]
fn schemas_are_published_as_upstream_does() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("fixtures/published.json")).expect("fixtures are JSON");
    for case in &cases {
        let spec = &case["crd"]["spec"];
        let text = |value: &Value| Text::Owned(value.as_str().map_or_else(String::new, str::to_owned));
        let kind = text(&spec["names"]["kind"]);
        let resource = Resource {
            group: text(&spec["group"]),
            version: Text::Borrowed("v1"),
            list_kind: Text::Owned(format!("{kind}List")),
            kind,
            plural: text(&spec["names"]["plural"]),
            singular: Text::Borrowed(""),
            short_names: Box::default(),
            categories: Box::default(),
            namespaced: true,
            verbs: Box::default(),
            subresources: Box::default(),
            storage_hash: Text::Borrowed(""),
            ty: TypeId::JSON,
        };
        let version = &spec["versions"][0];
        for (of, kind_name, list_name) in [(OpenApiVersion::V3, "v3", "v3list"), (OpenApiVersion::V2, "v2", "v2list")] {
            let found = [kind_schema(&resource, version, of), list_schema(&resource, version, of)];
            for (found, name) in found.iter().zip([kind_name, list_name]) {
                assert_eq!(
                    serde_json::to_string_pretty(found).ok(),
                    serde_json::to_string_pretty(&case[name]).ok(),
                    "{name}"
                );
            }
        }
    }
}
