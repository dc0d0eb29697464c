//! The order in which Go writes the fields of discovery documents: scripts cut them up as text.
//!
//! Source: k8s.io/apimachinery `meta/v1/types.go`, k8s.io/api `apidiscovery/v2/types.go`.

use serde_json::{Map, Value};

/// Fields of a document itself.
const OUTER: &[&str] = &["kind", "apiVersion"];
/// Fields of everything inside; others follow by name.
const INNER: &[&str] = &[
    "groupVersion",
    "name",
    "singularName",
    "namespaced",
    "metadata",
    "resource",
    "subresource",
    "group",
    "version",
    "kind",
    "responseKind",
    "scope",
    "singularResource",
    "verbs",
    "shortNames",
    "categories",
    "storageVersionHash",
    "versions",
    "preferredVersion",
    "resources",
    "freshness",
    "subresources",
];

/// The document as text.
pub(super) fn text(document: &Value) -> String {
    let mut out = String::new();
    write(document, OUTER, &mut out);
    out
}

fn write(value: &Value, first: &[&str], out: &mut String) {
    match value {
        Value::Object(map) => object(map, first, out),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, &[], out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn object(map: &Map<String, Value>, first: &[&str], out: &mut String) {
    let place = |key: &str| {
        let at = |list: &[&str]| list.iter().position(|known| *known == key);
        at(first).or_else(|| at(INNER).map(|at| at + OUTER.len())).unwrap_or(usize::MAX)
    };
    let mut fields: Vec<(&String, &Value)> = map.iter().collect();
    fields.sort_by_key(|(key, _)| place(key));
    out.push('{');
    for (at, (key, value)) in fields.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&Value::from(key.as_str()).to_string());
        out.push(':');
        write(value, &[], out);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::text;
    use serde_json::json;

    /// Protocol: D1
    #[test]
    fn fields_come_in_the_order_of_go() {
        let document = json!({
            "apiVersion": "v1", "groupVersion": "v1", "kind": "APIResourceList",
            "resources": [{"categories": ["all"], "kind": "Pod", "name": "pods", "namespaced": true, "verbs": []}],
        });
        let expected = r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"v1","resources":[{"name":"pods","namespaced":true,"kind":"Pod","verbs":[],"categories":["all"]}]}"#;
        assert_eq!(text(&document), expected);
    }
}
