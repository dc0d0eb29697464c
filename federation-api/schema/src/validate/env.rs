//! Where the variables of a container have their values from.
//!
//! Source: kubernetes `pkg/apis/core/validation`, `pkg/apis/core/pods`.

use serde_json::Value;

use super::read::{at, invalid, text};
use crate::field::{FieldError, FieldPath, format};

/// Fields of a Pod that a variable may show.
const SHOWN: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields that have a name but are no variable's.
const KNOWN: &[&str] =
    &["metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase"];
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const PAGES: &[&str] = &["limits.hugepages-", "requests.hugepages-"];
const SOURCES: &[&str] = &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

pub(super) fn check_source(variable: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let from = at(variable, "valueFrom");
    if from.is_null() {
        return;
    }
    let path = path.child("valueFrom");
    let given = SOURCES.iter().filter(|name| !at(from, name).is_null()).count();
    if let Some(field) = from.get("fieldRef") {
        check_field(field, &path.child("fieldRef"), errors);
    }
    if let Some(resource) = from.get("resourceFieldRef") {
        check_resource(text(resource, "resource"), &path.child("resourceFieldRef").child("resource"), errors);
    }
    for name in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(key) = from.get(name) {
            check_key(key, &path.child(name), errors);
        }
    }
    let detail = match given {
        0 => "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        _ if !text(variable, "value").is_empty() => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    errors.push(FieldError::invalid(&path, "", detail));
}

fn check_field(field: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let (version, label) = (text(field, "apiVersion"), text(field, "fieldPath"));
    let at_label = path.child("fieldPath");
    if version.is_empty() {
        return errors.push(FieldError::required(&path.child("apiVersion"), ""));
    }
    if label.is_empty() {
        return errors.push(FieldError::required(&at_label, ""));
    }
    let subscript = label.strip_suffix("']").and_then(|label| label.split_once("['"));
    let unfit = match subscript {
        _ if version != "v1" => Some(format!("unsupported pod version: {version}")),
        Some(("metadata.annotations", key)) => {
            return invalid(errors, path, &key.to_lowercase(), format::label_key(&key.to_lowercase()));
        }
        Some(("metadata.labels", key)) => return invalid(errors, path, key, format::label_key(key)),
        Some(_) => Some(format!("field label does not support subscript: {label}")),
        None if label == "spec.host" || SHOWN.contains(&label) => None,
        None if KNOWN.contains(&label) => {
            return errors.push(FieldError::not_supported(&at_label, label, SHOWN));
        }
        None => Some(format!("field label not supported: {label}")),
    };
    if let Some(unfit) = unfit {
        errors.push(FieldError::invalid(&at_label, label, format!("error converting fieldPath: {unfit}")));
    }
}

fn check_resource(resource: &str, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if resource.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !RESOURCES.contains(&resource) && !PAGES.iter().any(|prefix| resource.starts_with(prefix)) {
        errors.push(FieldError::not_supported(path, resource, RESOURCES));
    }
}

fn check_key(reference: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let (name, key) = (text(reference, "name"), text(reference, "key"));
    invalid(errors, &path.child("name"), name, format::dns_subdomain(name));
    if key.is_empty() {
        errors.push(FieldError::required(&path.child("key"), ""));
    } else {
        invalid(errors, &path.child("key"), key, format::config_key(key));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check_source;
    use crate::field::FieldPath;

    /// Protocol: E5
    #[test]
    fn sources_are_judged_in_upstreams_words() {
        let shown = "supported values: \"metadata.name\"";
        let cases: Vec<(Value, &str)> = vec![
            (json!({"value": "x"}), ""),
            (json!({"valueFrom": {}}), "env[0].valueFrom: Invalid value: \"\": must specify one of"),
            (json!({"valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}), ""),
            (json!({"valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['a']"}}}), ""),
            (
                json!({"valueFrom": {"fieldRef": {"apiVersion": "v1"}}}),
                "env[0].valueFrom.fieldRef.fieldPath: Required value",
            ),
            (json!({"valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.phase"}}}), shown),
            (
                json!({"valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "no.such"}}}),
                "error converting fieldPath: field label not supported: no.such",
            ),
            (
                json!({"valueFrom": {"resourceFieldRef": {}}}),
                "env[0].valueFrom.resourceFieldRef.resource: Required value",
            ),
            (json!({"valueFrom": {"resourceFieldRef": {"resource": "limits.hugepages-1Gi"}}}), ""),
            (
                json!({"valueFrom": {"secretKeyRef": {"name": "s"}}}),
                "env[0].valueFrom.secretKeyRef.key: Required value",
            ),
            (
                json!({"value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
                "env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
            ),
            (
                json!({"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}, "configMapKeyRef": {"name": "s", "key": "k"}}}),
                "may not have more than one field specified at a time",
            ),
        ];
        for (variable, expected) in cases {
            let mut errors = Vec::new();
            check_source(&variable, &FieldPath::root("env").index(0), &mut errors);
            let text = crate::field::aggregate(&errors);
            assert!(text.contains(expected) && errors.is_empty() == expected.is_empty(), "{variable}: {text}");
        }
    }
}
