//! Webhook configurations: names, rules, where the webhook is, and what it promises.
//!
//! Source: k8s.io/kubernetes `pkg/apis/admissionregistration/validation/validation.go`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::condition;
use super::read::{at, invalid, list, one_of, text};
use crate::field::{FieldError, FieldPath, format};
use crate::selector::LabelSelector;

const REVIEW_VERSIONS: &[&str] = &["v1", "v1beta1"];
const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];

pub(super) fn check(new: &Value, mutates: bool, errors: &mut Vec<FieldError>) {
    let mut names = BTreeSet::new();
    let root = FieldPath::root("webhooks");
    for (i, webhook) in list(new, "webhooks").iter().enumerate() {
        let path = root.index(i);
        check_webhook(webhook, mutates, &path, errors);
        check_versions(webhook, &path.child("admissionReviewVersions"), errors);
        let name = text(webhook, "name");
        if !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
    }
}

fn check_webhook(webhook: &Value, mutates: bool, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    check_name(text(webhook, "name"), &path.child("name"), errors);
    let rules = path.child("rules");
    for (i, rule) in list(webhook, "rules").iter().enumerate() {
        check_rule(rule, &rules.index(i), errors);
    }
    one_of(errors, &path.child("failurePolicy"), text(webhook, "failurePolicy"), &["Fail", "Ignore"]);
    one_of(errors, &path.child("matchPolicy"), text(webhook, "matchPolicy"), &["Equivalent", "Exact"]);
    match text(webhook, "sideEffects") {
        "" => {
            let detail = format!("must specify one of {}", SIDE_EFFECTS.join(", "));
            errors.push(FieldError::required(&path.child("sideEffects"), detail));
        }
        given => one_of(errors, &path.child("sideEffects"), given, SIDE_EFFECTS),
    }
    if let Some(seconds) = at(webhook, "timeoutSeconds").as_i64()
        && !(1..=30).contains(&seconds)
    {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(&path.child("timeoutSeconds"), seconds, detail));
    }
    for field in ["namespaceSelector", "objectSelector"] {
        let selector = at(webhook, field);
        if !selector.is_null()
            && let Err(mut found) = LabelSelector::from_object(selector, &path.child(field))
        {
            errors.append(&mut found);
        }
    }
    if mutates {
        one_of(errors, &path.child("reinvocationPolicy"), text(webhook, "reinvocationPolicy"), &["IfNeeded", "Never"]);
    }
    condition::check(webhook, &path.child("matchConditions"), errors);
    check_destination(at(webhook, "clientConfig"), &path.child("clientConfig"), errors);
}

fn check_name(name: &str, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let complaints = format::dns_subdomain(name);
    if !complaints.is_empty() {
        errors.push(FieldError::invalid(path, name, complaints.join(",")));
    } else if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(path, name, detail));
    }
}

fn check_versions(webhook: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let versions: Vec<&str> = list(webhook, "admissionReviewVersions").iter().filter_map(Value::as_str).collect();
    if versions.is_empty() {
        let detail = format!("must specify one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(FieldError::required(path, detail));
        return;
    }
    for (i, version) in versions.iter().enumerate() {
        if versions[..i].contains(version) {
            errors.push(FieldError::invalid(&path.index(i), *version, "duplicate version"));
        } else {
            invalid(errors, &path.index(i), version, format::dns_1035_label(version));
        }
    }
    if !versions.iter().any(|version| REVIEW_VERSIONS.contains(version)) {
        let detail = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(FieldError::invalid(path, versions, detail));
    }
}

fn check_rule(rule: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let texts = |field: &str| list(rule, field).iter().filter_map(Value::as_str).collect::<Vec<_>>();
    let operations = texts("operations");
    let at_operations = path.child("operations");
    if operations.is_empty() {
        errors.push(FieldError::required(&at_operations, ""));
    }
    check_alone(&operations, "operations", &at_operations, errors);
    for (i, operation) in operations.iter().enumerate() {
        if !OPERATIONS.contains(operation) {
            errors.push(FieldError::not_supported(&at_operations.index(i), *operation, OPERATIONS));
        }
    }
    for (field, what) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let (values, path) = (texts(field), path.child(field));
        if values.is_empty() {
            errors.push(FieldError::required(&path, ""));
        }
        check_alone(&values, what, &path, errors);
        for (i, _) in values.iter().enumerate().filter(|(_, value)| field == "apiVersions" && value.is_empty()) {
            errors.push(FieldError::required(&path.index(i), ""));
        }
    }
    check_resources(&texts("resources"), &path.child("resources"), errors);
    one_of(errors, &path.child("scope"), text(rule, "scope"), &["*", "Cluster", "Namespaced"]);
}

fn check_alone(values: &[&str], what: &str, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if values.len() > 1 && values.contains(&"*") {
        let detail = format!("if '*' is present, must not specify other {what}");
        errors.push(FieldError::invalid(path, values.to_vec(), detail));
    }
}

fn check_resources(resources: &[&str], path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if resources.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    let (mut all_below, mut below_all) = (BTreeSet::new(), BTreeSet::new());
    for (i, one) in resources.iter().enumerate() {
        if one.is_empty() {
            errors.push(FieldError::required(&path.index(i), ""));
        }
        let Some((resource, below)) = one.split_once('/') else { continue };
        if all_below.contains(resource) {
            let detail = format!("if '{resource}/*' is present, must not specify {one}");
            errors.push(FieldError::invalid(&path.index(i), *one, detail));
        }
        if below_all.contains(below) {
            let detail = format!("if '*/{below}' is present, must not specify {one}");
            errors.push(FieldError::invalid(&path.index(i), *one, detail));
        }
        if below == "*" {
            all_below.insert(resource);
        }
        if resource == "*" {
            below_all.insert(below);
        }
    }
    if resources.len() > 1 && resources.contains(&"*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, resources.to_vec(), detail));
    }
    if resources.contains(&"*") && resources.iter().any(|one| *one != "*" && !one.contains('/')) {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, resources.to_vec(), detail));
    }
}

fn check_destination(config: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let (url, service) = (at(config, "url"), at(config, "service"));
    match (url.as_str(), service.is_object()) {
        (Some(url), false) => check_url(url, &path.child("url"), errors),
        (None, true) => check_service(service, &path.child("service"), errors),
        _ => errors.push(FieldError::required(path, "exactly one of url or service is required")),
    }
}

fn check_url(url: &str, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if scheme != "https" {
        errors.push(FieldError::invalid(path, scheme, format!("'https' is the only allowed URL scheme{FORM}")));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or("") };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() {
        errors.push(FieldError::invalid(path, "", format!("host must be specified{FORM}")));
    }
    for (value, detail) in [
        (user, "user information is not permitted in the URL"),
        (fragment, "fragments are not permitted in the URL"),
        (query, "query parameters are not permitted in the URL"),
    ] {
        if !value.is_empty() {
            errors.push(FieldError::invalid(path, value, detail));
        }
    }
}

fn check_service(service: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    for field in ["name", "namespace"] {
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
    let (route, path) = (text(service, "path"), path.child("path"));
    if matches!(route, "" | "/") {
        return;
    }
    if route == "//" {
        errors.push(FieldError::invalid(&path, route, "segment[0] may not be empty"));
        return;
    }
    let Some(steps) = route.strip_prefix('/') else {
        errors.push(FieldError::invalid(&path, route, "must start with a '/'"));
        return;
    };
    for (i, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
        if step.is_empty() {
            errors.push(FieldError::invalid(&path, route, format!("segment[{i}] may not be empty")));
        }
        for complaint in format::dns_subdomain(step).into_iter().filter(|_| !step.is_empty()) {
            errors.push(FieldError::invalid(&path, route, format!("segment[{i}]: {complaint}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check;

    fn told(change: impl Fn(&mut Value)) -> String {
        let mut webhook = json!({"name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://host/path"},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]});
        change(&mut webhook);
        let mut errors = Vec::new();
        check(&json!({"webhooks": [webhook]}), true, &mut errors);
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    /// Protocol: A2
    #[test]
    fn complaints_are_upstreams() {
        type Change = fn(&mut Value);
        let cases: [(Change, &str); 9] = [
            (|_| {}, ""),
            (
                |w| w["name"] = json!("a.b"),
                r#"webhooks[0].name: Invalid value: "a.b": should be a domain with at least three segments separated by dots"#,
            ),
            (
                |w| w["sideEffects"] = json!("Some"),
                r#"webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun""#,
            ),
            (
                |w| w["timeoutSeconds"] = json!(31),
                "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
            ),
            (
                |w| w["admissionReviewVersions"] = json!(["v2"]),
                r#"webhooks[0].admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1"#,
            ),
            (
                |w| w["clientConfig"] = json!({}),
                "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
            ),
            (
                |w| w["clientConfig"]["url"] = json!("http://h?q"),
                r#"webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]; webhooks[0].clientConfig.url: Invalid value: "q": query parameters are not permitted in the URL"#,
            ),
            (
                |w| w["rules"][0]["operations"] = json!(["*", "CREATE"]),
                r#"webhooks[0].rules[0].operations: Invalid value: ["*","CREATE"]: if '*' is present, must not specify other operations"#,
            ),
            (
                |w| w["rules"][0]["resources"] = json!(["pods/*", "pods/exec"]),
                r#"webhooks[0].rules[0].resources[1]: Invalid value: "pods/exec": if 'pods/*' is present, must not specify pods/exec"#,
            ),
        ];
        for (change, want) in cases {
            assert_eq!(told(change), want);
        }
    }
}
