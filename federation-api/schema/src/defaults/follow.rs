//! Defaults that follow from the fields beside them.
//!
//! Source: k8s.io/kubernetes `pkg/apis/core/v1/defaults.go`, `pkg/util/parsers`.

use serde_json::{Map, Value, json};

/// `Always` for the newest of an image, `IfNotPresent` for a version of it.
pub(super) fn pull_policy(container: &Map<String, Value>) -> Option<Value> {
    Some(policy_of(container.get("image")?.as_str()?).into())
}

/// The same for an image that is a volume.
pub(super) fn volume_pull_policy(source: &Map<String, Value>) -> Option<Value> {
    Some(policy_of(source.get("reference")?.as_str()?).into())
}

fn policy_of(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains('@') {
        let tag = name.split('@').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
        return if tag == Some("latest") { "Always" } else { "IfNotPresent" };
    }
    match name.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

/// A volume that says nothing of where it comes from is an empty directory.
pub(super) fn no_source(volume: &Map<String, Value>) -> Option<Value> {
    let has_source = volume.iter().any(|(name, value)| name != "name" && !value.is_null());
    (!has_source).then(|| json!({}))
}

/// The list of a pod's addresses from its one address.
pub(super) fn addresses(status: &Map<String, Value>) -> Option<Value> {
    let address = status.get("podIP")?.as_str().filter(|address| !address.is_empty())?;
    Some(json!([{"ip": address}]))
}

/// A pod's address from the list of them.
pub(super) fn address(status: &Map<String, Value>) -> Option<Value> {
    status.get("podIPs")?.get(0)?.get("ip").cloned()
}

/// Services that are reached from outside send traffic to any node.
pub(super) fn external_policy(service: &Map<String, Value>) -> Option<Value> {
    let spec = service.get("spec")?;
    let outside = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let of = spec.get("type").and_then(Value::as_str).unwrap_or("");
    let exposed = matches!(of, "NodePort" | "LoadBalancer") || of == "ClusterIP" && outside;
    exposed.then(|| "Cluster".into())
}

/// Services with endpoints of their own reach all of them.
pub(super) fn internal_policy(service: &Map<String, Value>) -> Option<Value> {
    let of = service.get("spec")?.get("type")?.as_str()?;
    matches!(of, "NodePort" | "LoadBalancer" | "ClusterIP").then(|| "Cluster".into())
}

/// A policy is about what comes in, and about what goes out if it says so.
pub(super) fn policy_types(policy: &Map<String, Value>) -> Option<Value> {
    let egress = policy.get("spec")?.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
    Some(if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) })
}

#[cfg(test)]
mod tests {
    use super::policy_of;

    #[test]
    fn images_without_a_version_are_always_pulled() {
        let cases = [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.7", "IfNotPresent"),
            ("registry:5000/nginx", "Always"),
            ("registry:5000/nginx:1", "IfNotPresent"),
            ("nginx@sha256:abc", "IfNotPresent"),
            ("nginx:1@sha256:abc", "IfNotPresent"),
        ];
        for (image, policy) in cases {
            assert_eq!(policy_of(image), policy, "{image}");
        }
    }
}
