//! A member's object as the hub shows it: `NAME.CLUSTER`, the cluster as a label, references with the same suffix.
//!
//! Pure. The table says which fields of which kind are references to objects that are mirrored too.

use federation_types::{ClusterName, label, text};
use serde_json::Value;

/// Kinds that are mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Node,
    Pod,
    EndpointSlice,
}

impl Kind {
    fn api(self) -> (&'static str, &'static str) {
        match self {
            Self::Node => ("v1", "Node"),
            Self::Pod => ("v1", "Pod"),
            Self::EndpointSlice => ("discovery.k8s.io/v1", "EndpointSlice"),
        }
    }

    /// Whether the object was rendered from one of the hub's, which shows it already.
    #[must_use]
    pub fn folds(self, object: &Value) -> bool {
        if text::label(object, label::TEMPLATE_UID).is_none() {
            return false;
        }
        match self {
            Self::Node => false,
            Self::Pod => text::list_at(object, &["metadata", "ownerReferences"]).next().is_none(),
            // Controllers copy a service's labels to its slices; a slice that a user wrote has no such controller.
            Self::EndpointSlice => text::label(object, "endpointslice.kubernetes.io/managed-by").is_none(),
        }
    }

    /// The key of the object in the ring.
    #[must_use]
    pub fn key(object: &Value, cluster: &ClusterName) -> String {
        let (namespace, name) = (text::namespace(object), cluster.suffix(text::name(object)));
        if namespace.is_empty() { name } else { format!("{namespace}/{name}") }
    }

    /// Changes the object into what the hub shows.
    pub fn rename(self, object: &mut Value, cluster: &ClusterName) {
        let (api_version, kind) = self.api();
        object["apiVersion"] = api_version.into();
        object["kind"] = kind.into();
        suffix(object.pointer_mut("/metadata/name"), cluster);
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
            metadata.remove("resourceVersion");
            match metadata.get_mut("labels") {
                Some(Value::Object(labels)) => {
                    // A marker says that everything is listed, which no object of a member can know.
                    labels.remove(label::MARKER);
                    labels.insert(label::CLUSTER.to_owned(), cluster.as_str().into());
                }
                _ => {
                    metadata.insert("labels".to_owned(), serde_json::json!({label::CLUSTER: cluster.as_str()}));
                }
            }
        }
        match self {
            Self::Node => {}
            Self::Pod => suffix(object.pointer_mut("/spec/nodeName"), cluster),
            Self::EndpointSlice => {
                let endpoints = object.get_mut("endpoints").and_then(Value::as_array_mut);
                for endpoint in endpoints.into_iter().flatten() {
                    suffix(endpoint.get_mut("nodeName"), cluster);
                    suffix(endpoint.pointer_mut("/targetRef/name"), cluster);
                }
            }
        }
    }
}

fn suffix(name: Option<&mut Value>, cluster: &ClusterName) {
    if let Some(name) = name
        && let Some(text) = name.as_str().filter(|text| !text.is_empty())
    {
        *name = cluster.suffix(text).into();
    }
}

#[cfg(test)]
mod tests {
    use federation_types::ClusterName;
    use serde_json::json;

    use super::Kind;

    #[test]
    fn names_and_references_carry_the_cluster() {
        let east = ClusterName::new("east").expect("a label");
        let mut pod = json!({"metadata": {"name": "p", "namespace": "d", "resourceVersion": "7", "managedFields": []},
            "spec": {"nodeName": "n"}});
        assert_eq!(Kind::key(&pod, &east), "d/p.east");
        Kind::Pod.rename(&mut pod, &east);
        assert_eq!(
            pod,
            json!({"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": "n.east"},
                "metadata": {"name": "p.east", "namespace": "d", "labels": {"fedgate.dev/cluster": "east"}}})
        );
        let mut slice = json!({"metadata": {"name": "s", "labels": {"a": "b", "fedgate.dev/mirror-marker": "true"}},
            "endpoints": [{"nodeName": "n", "targetRef": {"name": "p"}}, {}]});
        Kind::EndpointSlice.rename(&mut slice, &east);
        assert_eq!(slice["metadata"]["labels"], json!({"a": "b", "fedgate.dev/cluster": "east"}));
        assert_eq!(slice["endpoints"][0], json!({"nodeName": "n.east", "targetRef": {"name": "p.east"}}));
    }

    #[test]
    fn only_what_was_rendered_itself_folds() {
        let owned = json!({"metadata": {"labels": {"fedgate.dev/template-uid": "u"}}});
        assert!(Kind::Pod.folds(&owned));
        assert!(!Kind::Pod.folds(&json!({"metadata": {}})));
        let inherited = json!({"metadata": {"labels": {"fedgate.dev/template-uid": "u",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}}});
        assert!(!Kind::EndpointSlice.folds(&inherited));
    }
}
