//! APIServices: their name, which group and version they are for, and who answers for it.
//!
//! Source: k8s.io/kube-aggregator `pkg/apis/apiregistration/validation/validation.go`.

use serde_json::Value;

use super::read::{at, deep, invalid, list, text};
use crate::field::quote::go_quote;
use crate::field::{FieldError, FieldPath, format};

const HIGHEST_GROUP: i64 = 20_000;
const HIGHEST_VERSION: i64 = 1_000;

/// An update that leaves the spec alone is one of the status: that alone is judged then.
pub(super) fn check(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    if old.is_some_and(|old| at(old, "status") != at(new, "status")) {
        check_status(new, errors);
        return;
    }
    let root = FieldPath::root("spec");
    let spec = at(new, "spec");
    let (group, version) = (text(spec, "group"), text(spec, "version"));
    check_name(text(at(new, "metadata"), "name"), &format!("{version}.{group}"), errors);
    if group.is_empty() && version != "v1" {
        let detail = "only v1 may have an empty group and it better be legacy kube";
        errors.push(FieldError::required(&root.child("group"), detail));
    }
    if !group.is_empty() {
        invalid(errors, &root.child("group"), group, format::dns_subdomain(group));
    }
    invalid(errors, &root.child("version"), version, format::dns_1035_label(version));
    for (field, highest) in [("groupPriorityMinimum", HIGHEST_GROUP), ("versionPriority", HIGHEST_VERSION)] {
        let value = at(spec, field).as_i64().unwrap_or(0);
        if !(1..=highest).contains(&value) {
            let detail = format!("must be positive and less than {highest}");
            errors.push(FieldError::invalid(&root.child(field), value, detail));
        }
    }
    check_destination(spec, &root, errors);
}

fn check_name(name: &str, wanted: &str, errors: &mut Vec<FieldError>) {
    let path = FieldPath::root("metadata.name");
    // What is wrong with it as a part of a path has been told with the rest of the metadata.
    if !name.is_empty() && format::path_segment(name).is_empty() && name != wanted {
        let detail = format!("must be `spec.version+\".\"+spec.group`: {}", go_quote(wanted));
        errors.push(FieldError::invalid(&path, name, detail));
    }
}

fn check_destination(spec: &Value, root: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let bundle = text(spec, "caBundle");
    let skips = at(spec, "insecureSkipTLSVerify") == &Value::Bool(true);
    let service = at(spec, "service");
    if service.is_null() {
        if !bundle.is_empty() {
            let shown = format!("{} bytes", decoded_length(bundle));
            errors.push(FieldError::invalid(
                &root.child("caBundle"),
                shown,
                "local APIServices may not have a caBundle",
            ));
        }
        if skips {
            let detail = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(FieldError::invalid(&root.child("insecureSkipTLSVerify"), true, detail));
        }
        return;
    }
    let path = root.child("service");
    for field in ["namespace", "name"] {
        if text(service, field).is_empty() {
            errors.push(FieldError::required(&path.child(field), ""));
        }
    }
    let port = at(service, "port").as_i64().unwrap_or(443);
    let complaints = format::port_number(port);
    if !complaints.is_empty() {
        let detail = format!("port is not valid: {}", complaints.join(", "));
        errors.push(FieldError::invalid(&path.child("port"), port, detail));
    }
    if skips && !bundle.is_empty() {
        let detail = "may not be true if caBundle is present";
        errors.push(FieldError::invalid(&root.child("insecureSkipTLSVerify"), true, detail));
    }
}

/// Bytes that a base64 text stands for.
fn decoded_length(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

fn check_status(new: &Value, errors: &mut Vec<FieldError>) {
    let root = FieldPath::root("status.conditions");
    for (i, condition) in list(deep(new, "status"), "conditions").iter().enumerate() {
        let status = text(condition, "status");
        if !matches!(status, "True" | "False" | "Unknown") {
            let path = root.index(i);
            errors.push(FieldError::not_supported(&path.child("status"), status, &["True", "False", "Unknown"]));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check;

    fn told(change: impl Fn(&mut Value)) -> String {
        let mut object = json!({"metadata": {"name": "v1.wardle.example.com"}, "spec": {
            "group": "wardle.example.com", "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 200,
            "service": {"namespace": "ns", "name": "api", "port": 443}}});
        change(&mut object);
        let mut errors = Vec::new();
        check(&object, None, &mut errors);
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    /// Protocol: G1
    #[test]
    fn complaints_are_upstreams() {
        type Change = fn(&mut Value);
        let cases: &[(Change, &str)] = &[
            (|_| {}, ""),
            (
                |o| o["metadata"]["name"] = json!("v1.other"),
                r#"metadata.name: Invalid value: "v1.other": must be `spec.version+"."+spec.group`: "v1.wardle.example.com""#,
            ),
            (
                |o| {
                    o["metadata"]["name"] = json!("v2.");
                    o["spec"]["group"] = json!("");
                    o["spec"]["version"] = json!("v2");
                },
                "spec.group: Required value: only v1 may have an empty group and it better be legacy kube",
            ),
            (
                |o| o["spec"]["groupPriorityMinimum"] = json!(20001),
                "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
            ),
            (
                |o| o["spec"]["versionPriority"] = json!(0),
                "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
            ),
            (
                |o| o["spec"]["service"]["port"] = json!(0),
                "spec.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
            ),
            (
                |o| o["spec"]["service"] = json!({"port": 443}),
                "spec.service.namespace: Required value; spec.service.name: Required value",
            ),
            (
                |o| {
                    o["spec"]["service"] = Value::Null;
                    o["spec"]["caBundle"] = json!("YWI=");
                    o["spec"]["insecureSkipTLSVerify"] = json!(true);
                },
                r#"spec.caBundle: Invalid value: "2 bytes": local APIServices may not have a caBundle; spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify"#,
            ),
            (
                |o| {
                    o["spec"]["caBundle"] = json!("YWI=");
                    o["spec"]["insecureSkipTLSVerify"] = json!(true);
                },
                "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
            ),
        ];
        for (change, want) in cases {
            assert_eq!(told(change), *want);
        }
    }

    /// Protocol: G1
    #[test]
    fn a_status_is_judged_by_its_conditions_alone() {
        let old = json!({"metadata": {"name": "v1.x"}, "spec": {}});
        let mut new = old.clone();
        new["status"] = json!({"conditions": [{"type": "Available", "status": "Maybe"}]});
        let mut errors = Vec::new();
        check(&new, Some(&old), &mut errors);
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let want =
            r#"status.conditions[0].status: Unsupported value: "Maybe": supported values: "True", "False", "Unknown""#;
        assert_eq!(told, [want]);
    }
}
