//! Which fields the built-in kinds offer to field selectors, and how to read them from an object.
//! One table; CRDs bring their own `selectableFields`.

use std::borrow::Cow;

use serde_json::Value;

/// (group, kind, fields). Every kind also offers `metadata.name` and, if namespaced, `metadata.namespace`.
const FIELDS: &[(&str, &str, &[&str])] = &[
    (
        "",
        "Pod",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
    ),
    (
        "",
        "Event",
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
    ),
    ("", "Secret", &["type"]),
    ("", "Namespace", &["status.phase"]),
    ("", "Node", &["spec.unschedulable"]),
    ("", "ReplicationController", &["status.replicas"]),
    ("", "Service", &["spec.clusterIP", "spec.type"]),
    ("batch", "Job", &["status.successful"]),
    ("certificates.k8s.io", "CertificateSigningRequest", &["spec.signerName"]),
    (
        "events.k8s.io",
        "Event",
        &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
    ),
];

/// The fields beyond `metadata.name` and `metadata.namespace` that a built-in kind offers.
pub fn fields(group: &str, kind: &str) -> &'static [&'static str] {
    FIELDS.iter().find(|(g, k, _)| *g == group && *k == kind).map_or(&[], |(_, _, fields)| fields)
}

/// Whether a built-in kind offers this field.
pub fn is_selectable(group: &str, kind: &str, field: &str) -> bool {
    matches!(field, "metadata.name" | "metadata.namespace") || fields(group, kind).contains(&field)
}

/// The text of a field of an object, as selectors compare it.
pub fn value<'v>(object: &'v Value, field: &str) -> Option<Cow<'v, str>> {
    let walk = |path: &str| path.split('.').try_fold(object, |at, name| at.get(name)).and_then(text);
    match field {
        "source" => walk("source.component").or_else(|| walk("reportingComponent")),
        "status.successful" => walk("status.succeeded").or(Some("0".into())),
        "status.replicas" => walk(field).or(Some("0".into())),
        "spec.unschedulable" | "spec.hostNetwork" => walk(field).or(Some("false".into())),
        "status.podIPs" => {
            let ips = object.pointer("/status/podIPs")?.as_array()?;
            let list: Vec<&str> = ips.iter().filter_map(|ip| ip.get("ip")?.as_str()).collect();
            Some(list.join(",").into())
        }
        "reportingComponent" => walk("reportingComponent").or_else(|| walk("reportingController")),
        _ => walk(field),
    }
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(true) => Some("true".into()),
        Value::Bool(false) => Some("false".into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
