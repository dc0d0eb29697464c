//! Priority classes and runtime classes: reserved names, bounds, and what stays.
//!
//! Source: k8s.io/kubernetes `pkg/apis/{scheduling,node}/validation/validation.go`.

use serde_json::Value;

use super::read::{at, invalid, one_of, text};
use crate::field::{FieldError, FieldPath, format};

/// Classes that every API server has.
const SYSTEM: &[(&str, i64)] = &[("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];
const HIGHEST: i64 = 1_000_000_000;

pub(super) fn check_priority(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let name = text(at(new, "metadata"), "name");
    let value = at(new, "value").as_i64().unwrap_or(0);
    if name.starts_with("system-") {
        let why = match SYSTEM.iter().find(|(own, _)| *own == name) {
            None => Some(format!("{name} is not a known system priority class")),
            Some((_, own)) if *own != value => Some(format!("value of {name} PriorityClass must be {own}")),
            Some(_) if at(new, "globalDefault") == &Value::Bool(true) => {
                Some(format!("globalDefault of {name} PriorityClass must be false"))
            }
            Some(_) => None,
        };
        if let Some(why) = why {
            let detail =
                format!("priority class names with 'system-' prefix are reserved for system use only. error: {why}");
            errors.push(FieldError::forbidden(&FieldPath::root("metadata.name"), detail));
        }
    } else if value > HIGHEST {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST}");
        errors.push(FieldError::forbidden(&FieldPath::root("value"), detail));
    }
    let policy = FieldPath::root("preemptionPolicy");
    one_of(errors, &policy, text(new, "preemptionPolicy"), &["PreemptLowerPriority", "Never"]);
    let Some(old) = old else { return };
    if at(old, "value").as_i64().unwrap_or(0) != value {
        errors.push(FieldError::forbidden(&FieldPath::root("value"), "may not be changed in an update."));
    }
    if at(old, "preemptionPolicy") != at(new, "preemptionPolicy") {
        errors.push(FieldError::invalid(&policy, at(new, "preemptionPolicy").clone(), "field is immutable"));
    }
}

/// What an IngressClass says about its parameters.
pub(super) fn check_ingress(new: &Value, errors: &mut Vec<FieldError>) {
    let parameters = at(at(new, "spec"), "parameters");
    if parameters.is_null() {
        return;
    }
    let root = FieldPath::root("spec");
    let path = root.child("parameters");
    if let Some(group) = parameters.get("apiGroup").and_then(Value::as_str) {
        invalid(errors, &path.child("apiGroup"), group, format::dns_subdomain(group));
    }
    for name in ["kind", "name"] {
        let value = text(parameters, name);
        if value.is_empty() {
            errors.push(FieldError::required(&path.child(name), ""));
        } else {
            invalid(errors, &path.child(name), value, format::path_segment(value));
        }
    }
    let at_namespace = path.child("namespace");
    match (text(parameters, "scope"), parameters.get("namespace").and_then(Value::as_str)) {
        ("Cluster", None) => {}
        ("Cluster", Some(_)) => {
            errors.push(FieldError::forbidden(&at_namespace, "`parameters.scope` is set to 'Cluster'"));
        }
        ("Namespace", None) => {
            errors.push(FieldError::required(&at_namespace, "`parameters.scope` is set to 'Namespace'"));
        }
        ("Namespace", Some(name)) => invalid(errors, &at_namespace, name, format::dns_label(name)),
        ("", _) => errors.push(FieldError::required(&path.child("scope"), "")),
        (scope, _) => {
            errors.push(FieldError::not_supported(&path.child("scope"), scope, &["Cluster", "Namespace"]));
        }
    }
}

pub(super) fn check_runtime(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let (handler, path) = (text(new, "handler"), FieldPath::root("handler"));
    for complaint in format::dns_label(handler) {
        errors.push(FieldError::invalid(&path, handler, complaint));
    }
    if old.is_some_and(|old| text(old, "handler") != handler) {
        errors.push(FieldError::invalid(&path, handler, "field is immutable"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{check_priority, check_runtime};

    #[test]
    fn classes_are_judged_as_upstream_does() {
        let class = |name: &str, value: i64| json!({"metadata": {"name": name}, "value": value});
        for (new, old, want) in [
            (class("a", 5), None, ""),
            (
                class("a", 1_000_000_001),
                None,
                "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
            ),
            (class("a", 5), Some(class("a", 6)), "value: Forbidden: may not be changed in an update."),
            (class("system-node-critical", 2_000_001_000), None, ""),
            (
                class("system-x", 1),
                None,
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class",
            ),
        ] {
            let mut errors = Vec::new();
            check_priority(&new, old.as_ref(), &mut errors);
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "), want);
        }
        let mut errors = Vec::new();
        check_runtime(&json!({"handler": "b"}), Some(&json!({"handler": "a"})), &mut errors);
        assert_eq!(errors[0].to_string(), "handler: Invalid value: \"b\": field is immutable");
    }
}
