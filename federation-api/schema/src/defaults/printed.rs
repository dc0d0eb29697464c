//! What a Go server prints though nobody said it: fields of its structs that are no pointers and are not left out when
//! empty. Patches see them and owners own them. Most are read from the published schema, which does not tell of the rest.
//!
//! Source: the `json` tags of k8s.io/api.

use std::collections::HashMap;

use serde_json::Value;

use crate::facts::{Facts, Shape, TypeId};

/// Lists, pointers and times that are printed as null.
const NULLS: &[(&str, &[&str])] = &[
    ("api.admissionregistration.v1.ValidatingWebhook", &["sideEffects"]),
    ("api.admissionregistration.v1.MutatingWebhook", &["sideEffects"]),
    ("api.autoscaling.v2.HorizontalPodAutoscalerStatus", &["currentMetrics"]),
    ("api.core.v1.AzureFilePersistentVolumeSource", &["secretNamespace"]),
    ("api.core.v1.ContainerImage", &["names"]),
    ("api.core.v1.LimitRangeSpec", &["limits"]),
    ("api.core.v1.ProjectedVolumeSource", &["sources"]),
    ("api.core.v1.TypedLocalObjectReference", &["apiGroup"]),
    ("api.core.v1.TypedObjectReference", &["apiGroup"]),
    ("api.discovery.v1.EndpointSlice", &["endpoints", "ports"]),
    ("api.rbac.v1.ClusterRole", &["rules"]),
    ("api.rbac.v1.Role", &["rules"]),
    ("api.storage.v1.CSINodeDriver", &["topologyKeys"]),
    ("api.storage.v1.CSINodeSpec", &["drivers"]),
    ("api.apps.v1.DaemonSetCondition", &["lastTransitionTime"]),
    ("api.apps.v1.DeploymentCondition", &["lastTransitionTime", "lastUpdateTime"]),
    ("api.apps.v1.ReplicaSetCondition", &["lastTransitionTime"]),
    ("api.apps.v1.StatefulSetCondition", &["lastTransitionTime"]),
    ("api.autoscaling.v2.HorizontalPodAutoscalerCondition", &["lastTransitionTime"]),
    ("api.batch.v1.JobCondition", &["lastProbeTime", "lastTransitionTime"]),
    ("api.certificates.v1.CertificateSigningRequestCondition", &["lastTransitionTime", "lastUpdateTime"]),
    ("api.core.v1.ContainerStateRunning", &["startedAt"]),
    ("api.core.v1.ContainerStateTerminated", &["finishedAt", "startedAt"]),
    ("api.core.v1.NamespaceCondition", &["lastTransitionTime"]),
    ("api.core.v1.NodeCondition", &["lastHeartbeatTime", "lastTransitionTime"]),
    ("api.core.v1.PersistentVolumeClaimCondition", &["lastProbeTime", "lastTransitionTime"]),
    ("api.core.v1.PodCondition", &["lastProbeTime", "lastTransitionTime"]),
    ("api.core.v1.ReplicationControllerCondition", &["lastTransitionTime"]),
    ("api.flowcontrol.v1.FlowSchemaCondition", &["lastTransitionTime"]),
    ("api.flowcontrol.v1.PriorityLevelConfigurationCondition", &["lastTransitionTime"]),
    ("api.storage.v1.VolumeError", &["time"]),
    ("apimachinery.pkg.apis.meta.v1.Condition", &["lastTransitionTime"]),
];

/// Zeros that are published as defaults, but are left out where they are not said.
const SILENT: &[(&str, &str)] = &[
    ("api.autoscaling.v1.ScaleSpec", "replicas"),
    ("api.core.v1.ConfigMapEnvSource", "name"),
    ("api.core.v1.ConfigMapKeySelector", "name"),
    ("api.core.v1.ConfigMapProjection", "name"),
    ("api.core.v1.ConfigMapVolumeSource", "name"),
    ("api.core.v1.LocalObjectReference", "name"),
    ("api.core.v1.ReplicationControllerSpec", "minReadySeconds"),
    ("api.core.v1.SecretEnvSource", "name"),
    ("api.core.v1.SecretKeySelector", "name"),
    ("api.core.v1.SecretProjection", "name"),
];

/// The fields that each type prints, and as what.
pub(super) type Printed = HashMap<TypeId, Vec<(String, Value)>>;

/// Reads the table and the schema.
pub(super) fn printed(facts: &Facts) -> Printed {
    let nulls: HashMap<String, &[&str]> = NULLS.iter().map(|(ty, fields)| (format!("io.k8s.{ty}"), *fields)).collect();
    let whole: Vec<TypeId> = facts.resources().map(|resource| resource.ty).collect();
    let mut out = Printed::new();
    let of_kubernetes = |name: &str| name.starts_with("io.k8s.api.") || name.starts_with("io.k8s.apimachinery.");
    for (id, ty) in facts.types().filter(|(_, ty)| of_kubernetes(ty.published_name())) {
        let Shape::Struct(of) = &ty.shape else { continue };
        // Metadata and status of a whole object have lives of their own; nothing else is valid without its specification.
        let apart = |name: &str| match whole.contains(&id) {
            true => matches!(name, "metadata" | "status" | "apiVersion" | "kind"),
            false => name == "spec",
        };
        let silent = |name: &str| {
            SILENT.iter().any(|(of, field)| *field == name && ty.published_name().strip_prefix("io.k8s.") == Some(of))
        };
        let null = nulls.get(ty.published_name()).copied().unwrap_or(&[]);
        let fields = of.fields.iter().filter(|field| !apart(&field.name)).filter_map(|field| {
            let zero = match &*field.default {
                "{}" if matches!(facts.shape(field.ty), Shape::Struct(_)) => Value::Object(serde_json::Map::new()),
                "\"\"" | "0" | "false" if !field.nillable && !silent(&field.name) => {
                    serde_json::from_str(&field.default).expect("defaults in the facts are JSON")
                }
                _ if null.contains(&&*field.name) => Value::Null,
                _ => return None,
            };
            Some((field.name.to_string(), zero))
        });
        let fields: Vec<(String, Value)> = fields.collect();
        if !fields.is_empty() {
            out.insert(id, fields);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{NULLS, SILENT};
    use crate::facts::kubernetes;

    #[test]
    fn every_null_names_a_field() {
        let facts = kubernetes();
        for (ty, fields) in
            NULLS.iter().copied().chain(SILENT.iter().map(|(ty, field)| (*ty, std::slice::from_ref(field))))
        {
            let id = facts.type_named(&format!("io.k8s.{ty}")).unwrap_or_else(|| panic!("no type {ty}"));
            for field in fields {
                assert!(facts.field(id, field).is_some(), "{ty} has no {field}");
            }
        }
    }
}
