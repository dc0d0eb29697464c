//! The objects that journeys are made of, as a user would write them, and the kinds that they name.

use federation_types::{Gvr, text};
use serde_json::{Value, json};

/// Kind, resource, version, and whether it lives in namespaces.
const KINDS: &[(&str, &str, &str, bool)] = &[
    ("Cluster", "clusters", "fedgate.dev/v1alpha1", false),
    ("ClusterRole", "clusterroles", "rbac.authorization.k8s.io/v1", false),
    ("ClusterRoleBinding", "clusterrolebindings", "rbac.authorization.k8s.io/v1", false),
    ("ConfigMap", "configmaps", "v1", true),
    ("CustomResourceDefinition", "customresourcedefinitions", "apiextensions.k8s.io/v1", false),
    ("Deployment", "deployments", "apps/v1", true),
    ("EndpointSlice", "endpointslices", "discovery.k8s.io/v1", true),
    ("Event", "events", "v1", true),
    ("Ingress", "ingresses", "networking.k8s.io/v1", true),
    ("Namespace", "namespaces", "v1", false),
    ("Node", "nodes", "v1", false),
    ("Placement", "placements", "fedgate.dev/v1alpha1", true),
    ("PlacementBinding", "placementbindings", "fedgate.dev/v1alpha1", true),
    ("Pod", "pods", "v1", true),
    ("ReplicaSet", "replicasets", "apps/v1", true),
    ("RoleBinding", "rolebindings", "rbac.authorization.k8s.io/v1", true),
    ("Secret", "secrets", "v1", true),
    ("Service", "services", "v1", true),
    ("ServiceAccount", "serviceaccounts", "v1", true),
    ("Widget", "widgets", "example.com/v1", true),
];

/// The resource of this plural name.
///
/// # Panics
/// Where no journey has needed it yet.
#[must_use]
pub fn resource(plural: &str) -> Gvr {
    let (_, _, version, _) = find(plural);
    Gvr::new(version, plural)
}

/// Whether the resource of this plural name lives in namespaces.
///
/// # Panics
/// As [`resource`].
#[must_use]
pub fn is_namespaced(plural: &str) -> bool {
    find(plural).3
}

/// The resource that the object is one of.
///
/// # Panics
/// As [`resource`].
#[must_use]
pub fn resource_of(object: &Value) -> Gvr {
    let kind = text::str_at(object, &["kind"]);
    let known = KINDS.iter().find(|known| known.0 == kind);
    let (_, plural, version, _) = known.unwrap_or_else(|| panic!("{kind:?} is not in the table of kinds"));
    Gvr::new(version, plural)
}

fn find(plural: &str) -> &'static (&'static str, &'static str, &'static str, bool) {
    let known = KINDS.iter().find(|known| known.1 == plural);
    known.unwrap_or_else(|| panic!("{plural:?} is not in the table of kinds"))
}

/// A Deployment in `default` whose pods listen on 8080, named `http`.
#[must_use]
pub fn deployment(name: &str, replicas: u64, image: &str) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "app", "image": image,
                "ports": [{"name": "http", "containerPort": 8080}]}]}}},
    })
}

/// A Service in `default` for the pods of the Deployment of the same name.
#[must_use]
pub fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    })
}

/// An Ingress in `default` from `NAME.localhost` to the Service of the same name.
#[must_use]
pub fn ingress(name: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "namespace": "default"},
        "spec": {"ingressClassName": "fedgate", "rules": [{"host": format!("{name}.localhost"), "http": {"paths": [
            {"path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": name, "port": {"name": "http"}}}}]}}]},
    })
}

/// A ConfigMap in `default` with one entry, `a`.
#[must_use]
pub fn config_map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
        "data": {"a": value},
    })
}

/// The object with an annotation.
#[must_use]
pub fn annotated(mut object: Value, key: &str, value: &str) -> Value {
    object["metadata"]["annotations"][key] = value.into();
    object
}

/// The condition of this type in `status.conditions`.
#[must_use]
pub fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v Value> {
    text::list_at(object, &["status", "conditions"]).find(|c| c["type"] == kind)
}
