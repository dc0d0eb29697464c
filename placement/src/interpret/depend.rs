//! What the pods of a template need beside it: ConfigMaps, Secrets, accounts, claims of the same namespace.
//!
//! Reads a pod spec only; claims that a StatefulSet makes itself are no dependency.

use std::collections::BTreeSet;

use federation_types::text::{list_at, str_at};
use serde_json::Value;

use super::{gvk, pod_spec};

/// An object of the core group that a pod names, in the pod's namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dependency {
    pub kind: &'static str,
    pub name: String,
}

/// Everything that the pods of `template` name, once each, in order.
#[must_use]
pub fn dependencies(template: &Value) -> Vec<Dependency> {
    let mut found = BTreeSet::new();
    if let Some(pod) = pod_spec(&gvk(template), template) {
        let mut add = |kind: &'static str, name: &str| {
            if !name.is_empty() {
                found.insert(Dependency { kind, name: name.to_owned() });
            }
        };
        of_pod(pod, &mut add);
    }
    found.into_iter().collect()
}

fn of_pod(pod: &Value, add: &mut impl FnMut(&'static str, &str)) {
    let account = str_at(pod, &["serviceAccountName"]);
    if account != "default" {
        add("ServiceAccount", account);
    }
    for secret in list_at(pod, &["imagePullSecrets"]) {
        add("Secret", str_at(secret, &["name"]));
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in list_at(pod, &[list]) {
            of_container(container, add);
        }
    }
    for volume in list_at(pod, &["volumes"]) {
        add("ConfigMap", str_at(volume, &["configMap", "name"]));
        add("Secret", str_at(volume, &["secret", "secretName"]));
        add("Secret", str_at(volume, &["csi", "nodePublishSecretRef", "name"]));
        add("PersistentVolumeClaim", str_at(volume, &["persistentVolumeClaim", "claimName"]));
        for source in list_at(volume, &["projected", "sources"]) {
            add("ConfigMap", str_at(source, &["configMap", "name"]));
            add("Secret", str_at(source, &["secret", "name"]));
        }
    }
}

fn of_container(container: &Value, add: &mut impl FnMut(&'static str, &str)) {
    for source in list_at(container, &["envFrom"]) {
        add("ConfigMap", str_at(source, &["configMapRef", "name"]));
        add("Secret", str_at(source, &["secretRef", "name"]));
    }
    for variable in list_at(container, &["env"]) {
        add("ConfigMap", str_at(variable, &["valueFrom", "configMapKeyRef", "name"]));
        add("Secret", str_at(variable, &["valueFrom", "secretKeyRef", "name"]));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::dependencies;

    #[test]
    fn everything_that_a_pod_names() {
        let template = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "spec": {
                "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
                "template": {"spec": {
                    "serviceAccountName": "runner",
                    "imagePullSecrets": [{"name": "pull"}],
                    "initContainers": [{"envFrom": [{"configMapRef": {"name": "init"}}, {"secretRef": {"name": "s1"}}]}],
                    "containers": [{"env": [
                        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "a"}}},
                        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "b"}}},
                        {"name": "C", "value": "x"},
                    ]}],
                    "volumes": [
                        {"name": "c", "configMap": {"name": "files"}},
                        {"name": "s", "secret": {"secretName": "s2"}},
                        {"name": "p", "projected": {"sources": [{"configMap": {"name": "proj"}}, {"secret": {"name": "s3"}}]}},
                        {"name": "d", "persistentVolumeClaim": {"claimName": "disk"}},
                        {"name": "data"},
                    ],
                }},
            },
        });
        let found: Vec<String> = dependencies(&template).iter().map(|d| format!("{}/{}", d.kind, d.name)).collect();
        assert_eq!(
            found,
            [
                "ConfigMap/env",
                "ConfigMap/files",
                "ConfigMap/init",
                "ConfigMap/proj",
                "PersistentVolumeClaim/disk",
                "Secret/pull",
                "Secret/s1",
                "Secret/s2",
                "Secret/s3",
                "ServiceAccount/runner",
            ]
        );
        assert!(dependencies(&json!({"apiVersion": "v1", "kind": "ConfigMap"})).is_empty());
    }
}
