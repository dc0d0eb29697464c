//! Custom kinds for the tests of custom kinds.

use std::time::Duration;

use serde_json::{Value, json};

use crate::hub::{Hub, PATIENCE};

pub const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A definition of `PLURAL.example.com` with these versions; the first one is stored.
pub fn definition(plural: &str, kind: &str, versions: &[Value]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .enumerate()
        .map(|(at, version)| {
            let mut of = json!({"served": true, "storage": at == 0, "schema": {"openAPIV3Schema": open()}});
            for (key, value) in version.as_object().expect("a version is an object") {
                of[key] = value.clone();
            }
            of
        })
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": versions,
        },
    })
}

/// A schema that lets everything through.
pub fn open() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A schema with typed fields and defaults.
pub fn widgets() -> Value {
    definition(
        "widgets",
        "Widget",
        &[json!({
            "name": "v1",
            "subresources": {
                "status": {},
                "scale": {
                    "specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.replicas",
                    "labelSelectorPath": ".status.selector",
                },
            },
            "selectableFields": [{"jsonPath": ".spec.color"}],
            "additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}],
            "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "spec": {
                        "type": "object",
                        "properties": {
                            "color": {"type": "string", "default": "blue", "enum": ["red", "green", "blue"]},
                            "replicas": {"type": "integer", "minimum": 0},
                            "parts": {
                                "type": "array",
                                "x-kubernetes-list-type": "map",
                                "x-kubernetes-list-map-keys": ["name"],
                                "items": {
                                    "type": "object",
                                    "required": ["name"],
                                    "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
                                },
                            },
                        },
                    },
                    "status": {
                        "type": "object",
                        "properties": {
                            "replicas": {"type": "integer"},
                            "selector": {"type": "string"},
                            "phase": {"type": "string"},
                        },
                    },
                },
            }},
        })],
    )
}

pub const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

pub fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

impl Hub {
    /// Creates a definition and waits until it is established.
    pub async fn define(&self, definition: &Value) -> Value {
        self.post(DEFINITIONS, definition).await.expect(201);
        let name = definition["metadata"]["name"].as_str().expect("a name");
        self.until(&format!("{DEFINITIONS}/{name}"), |found| condition(found, "Established") == "True").await
    }

    /// The object at a path, once it is as it should be.
    pub async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let look = async {
            loop {
                let reply = self.get(path).await;
                let found: Value = serde_json::from_slice(&reply.body).expect("JSON");
                if is_so(&found) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("{path} did not become so in time"))
    }
}

/// The status of a condition; empty where there is none.
pub fn condition<'v>(object: &'v Value, kind: &str) -> &'v str {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or("")
}
