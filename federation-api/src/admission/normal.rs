//! What a Go server never prints, since its types cannot hold it: Secrets' `stringData`, and empty lists and maps
//! of the metadata.
//!
//! Source: k8s.io/kubernetes `pkg/apis/core/v1/conversion.go`; the `omitempty` of `metav1.ObjectMeta`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use federation_schema::facts::Resource;
use serde_json::{Map, Value};

/// Brings a new object into the form in which it is stored and shown.
pub(crate) fn admit(of: &Resource, new: &mut Value) {
    if (&*of.group, &*of.plural) == ("", "secrets") {
        fold_string_data(new);
    }
    if let Some(meta) = new.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
            if meta.get(field).is_some_and(is_empty) {
                meta.remove(field);
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Plain text wins over what `data` says under the same key.
fn fold_string_data(secret: &mut Value) {
    let Some(map) = secret.as_object_mut() else { return };
    let Some(Value::Object(plain)) = map.remove("stringData") else { return };
    if plain.is_empty() {
        return;
    }
    let data = map.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    let Some(data) = data.as_object_mut() else { return };
    for (key, value) in plain {
        data.insert(key, STANDARD.encode(value.as_str().unwrap_or("")).into());
    }
}

#[cfg(test)]
mod tests {
    use federation_schema::facts::kubernetes;
    use serde_json::{Value, json};

    use super::admit;

    fn normal(plural: &str, mut object: Value) -> Value {
        admit(kubernetes().resource("", "v1", plural).expect("a kind"), &mut object);
        object
    }

    #[test]
    fn plain_text_of_a_secret_becomes_data() {
        let cases = [
            (json!({"stringData": {"a": "b"}}), json!({"data": {"a": "Yg=="}})),
            (
                json!({"data": {"a": "eA==", "c": "eA=="}, "stringData": {"a": "b"}}),
                json!({"data": {"a": "Yg==", "c": "eA=="}}),
            ),
            (json!({"data": null, "stringData": {"a": ""}}), json!({"data": {"a": ""}})),
            (json!({"stringData": {}}), json!({})),
            (json!({"data": {"a": "eA=="}, "stringData": null}), json!({"data": {"a": "eA=="}})),
        ];
        for (sent, stored) in cases {
            assert_eq!(normal("secrets", sent.clone()), stored, "{sent}");
        }
        let other = json!({"stringData": {"a": "b"}});
        assert_eq!(normal("configmaps", other.clone()), other);
    }

    #[test]
    fn empty_metadata_is_not_kept() {
        let sent = json!({"metadata": {"name": "a", "labels": {}, "annotations": {}, "finalizers": [], "ownerReferences": []}});
        assert_eq!(normal("configmaps", sent), json!({"metadata": {"name": "a"}}));
        let full = json!({"metadata": {"labels": {"a": "b"}, "finalizers": ["x.example/y"]}});
        assert_eq!(normal("configmaps", full.clone()), full);
    }
}
