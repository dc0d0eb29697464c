//! What of a template never travels: server-set metadata, status, our own marks, what the hub invented.
//!
//! Refuses by name what a user wrote and what only one cluster can give.

use federation_schema::defaults::strip_defaults;
use federation_types::text::{at, str_at};
use federation_types::{Gvk, label};
use serde_json::{Map, Value};

use super::{IpRange, RenderError, remove};

/// The only metadata that travels.
const METADATA: &[&str] = &["name", "namespace", "labels", "annotations"];

/// Annotations that tools and API servers keep for themselves; a trailing `/` or `-` means a prefix.
const ANNOTATIONS: &[&str] = &[
    label::PREFIX,
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/",
    "deprecated.daemonset.template.generation",
    "pv.kubernetes.io/",
    "volume.kubernetes.io/selected-node",
    "volume.kubernetes.io/storage-provisioner",
    "volume.beta.kubernetes.io/storage-provisioner",
    "control-plane.alpha.kubernetes.io/leader",
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubernetes.io/service-account.uid",
];

/// Labels by which a Job's controller finds its pods; every cluster sets its own.
const JOB_LABELS: &[&str] =
    &["controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"];

/// A field that names something of one cluster.
struct Bound {
    group: &'static str,
    kind: &'static str,
    path: &'static [&'static str],
    why: &'static str,
}

const BOUND: &[Bound] = &[
    Bound {
        group: "",
        kind: "PersistentVolumeClaim",
        path: &["spec", "volumeName"],
        why: "names a volume of one cluster",
    },
    Bound { group: "", kind: "Pod", path: &["spec", "nodeName"], why: "names a node of one cluster" },
    Bound {
        group: "",
        kind: "Service",
        path: &["spec", "healthCheckNodePort"],
        why: "every cluster gives out its own ports",
    },
];

/// The template without what does not travel.
///
/// # Errors
/// [`RenderError::Refused`] names a field that a user wrote and that must not travel.
pub(super) fn strip(gvk: &Gvk, template: &Value, hub_range: &IpRange) -> Result<Value, RenderError> {
    for bound in BOUND.iter().filter(|b| b.group == gvk.group && b.kind == gvk.kind) {
        if at(template, bound.path).is_some_and(|v| !is_unset(v)) {
            return Err(refused(&bound.path.join("."), bound.why));
        }
    }
    let mut object = template.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    strip_defaults(&mut object);
    metadata(&mut object);
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Service") => service(&mut object, hub_range)?,
        // Given through an endpoint of their own, to a pod that runs.
        ("", "Pod") => remove(&mut object, &["spec", "ephemeralContainers"]),
        ("", "ServiceAccount") => remove(&mut object, &["secrets"]),
        ("batch", "Job") => job(&mut object, &["spec"]),
        ("batch", "CronJob") => job(&mut object, &["spec", "jobTemplate", "spec"]),
        ("", "PersistentVolume") => {
            remove(&mut object, &["spec", "claimRef", "uid"]);
            remove(&mut object, &["spec", "claimRef", "resourceVersion"]);
        }
        _ => {}
    }
    drop_empty_times(&mut object);
    Ok(object)
}

fn metadata(object: &mut Value) {
    let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    meta.retain(|key, _| METADATA.contains(&key.as_str()));
    keep(meta, "labels", |key| !key.starts_with(label::PREFIX));
    keep(meta, "annotations", |key| {
        !ANNOTATIONS.iter().any(|a| if a.ends_with('/') { key.starts_with(a) } else { key == *a })
    });
}

fn keep(meta: &mut Map<String, Value>, field: &str, wanted: impl Fn(&str) -> bool) {
    let Some(map) = meta.get_mut(field).and_then(Value::as_object_mut) else {
        meta.remove(field);
        return;
    };
    map.retain(|key, _| wanted(key));
    if map.is_empty() {
        meta.remove(field);
    }
}

/// Addresses of the hub's range stay; `None` travels; an address that a user wrote is refused, a node port too.
fn service(object: &mut Value, hub_range: &IpRange) -> Result<(), RenderError> {
    let address = str_at(object, &["spec", "clusterIP"]).to_owned();
    if address != "None" {
        if !address.is_empty() && !hub_range.contains(&address) {
            return Err(refused("spec.clusterIP", "every cluster gives out its own addresses"));
        }
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            // The family is what follows from the hub's own range unless the user asked for both.
            let chosen = field == "ipFamilyPolicy" && str_at(object, &["spec", field]) != "SingleStack";
            if !chosen {
                remove(object, &["spec", field]);
            }
        }
    } else {
        // It follows from clusterIP: None.
        remove(object, &["spec", "clusterIPs"]);
    }
    let ports = object.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten();
    for (i, port) in ports.enumerate() {
        if port.get("nodePort").is_some_and(|p| !is_unset(p)) {
            return Err(refused(&format!("spec.ports[{i}].nodePort"), "every cluster gives out its own ports"));
        }
    }
    Ok(())
}

/// A finished Job must not come back: its copies stay until the template goes.
fn job(object: &mut Value, spec: &[&str]) {
    let path = |tail: &[&'static str]| -> Vec<&str> { spec.iter().copied().chain(tail.iter().copied()).collect() };
    remove(object, &path(&["ttlSecondsAfterFinished"]));
    if at(object, &path(&["manualSelector"])).and_then(Value::as_bool) == Some(true) {
        return;
    }
    remove(object, &path(&["selector"]));
    for name in JOB_LABELS {
        remove(object, &path(&["template", "metadata", "labels", name]));
    }
}

/// `creationTimestamp: null` in templates says nothing, and an applied null would own the field.
fn drop_empty_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("creationTimestamp").is_some_and(Value::is_null) {
                fields.remove("creationTimestamp");
            }
            fields.values_mut().for_each(drop_empty_times);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_empty_times),
        _ => {}
    }
}

fn is_unset(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("") || value.as_i64() == Some(0)
}

fn refused(field: &str, reason: &str) -> RenderError {
    RenderError::Refused { field: field.to_owned(), reason: reason.to_owned() }
}
