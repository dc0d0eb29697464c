//! A custom kind of a test: one namespaced version `v1` whose schema is that of its spec.

use federation_schema::facts::{Resource, Text, TypeId};
use federation_schema::structural::Custom;
use serde_json::{Value, json};

/// The kind `KIND` of `GROUP/v1`, with the schema of its `spec`.
pub fn custom_kind(group: &'static str, kind: &'static str, spec: &Value) -> Custom {
    let text = |text: String| Text::Owned(text);
    let singular = kind.to_lowercase();
    let resource = Resource {
        group: Text::Borrowed(group),
        version: Text::Borrowed("v1"),
        kind: Text::Borrowed(kind),
        list_kind: text(format!("{kind}List")),
        plural: text(format!("{singular}s")),
        singular: text(singular),
        short_names: Box::default(),
        categories: Box::default(),
        namespaced: true,
        verbs: Box::default(),
        subresources: Box::default(),
        storage_hash: Text::Borrowed(""),
        ty: TypeId::JSON,
    };
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    Custom::of_version(resource, &json!({"name": "v1", "schema": {"openAPIV3Schema": schema}})).expect("a schema")
}
