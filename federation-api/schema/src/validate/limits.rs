//! LimitRanges and ResourceQuotas: names of resources, amounts that fit each other, scopes that fit the resources.
//!
//! Source: k8s.io/kubernetes `pkg/apis/core/validation/validation.go`, `pkg/apis/core/helper/helpers.go`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::read::{at, deep, list, map, text};
use crate::field::{FieldError, FieldPath, format};
use crate::quantity::Quantity;

const STANDARD_QUOTA: &[&str] = &[
    "configmaps",
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];
/// Resources of which there are only whole ones.
const WHOLE: &[&str] = &[
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];
const CONTAINER: &[&str] = &["cpu", "ephemeral-storage", "memory"];
const SCOPES: &[&str] = &[
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
const EXCLUSIVE: &[(&str, &str)] = &[("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")];
const POD_COMPUTE: &[&str] = &["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];
const ONLY_EXISTS: &str = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";

type Amounts<'v> = BTreeMap<&'v str, Quantity>;

/// A ResourceQuota, and that its scopes stay what they were.
pub(super) fn check_quota(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = at(new, "spec");
    let path = FieldPath::root("spec");
    check_amounts(spec, &path.child("hard"), "hard", errors);
    let names: Vec<&str> = map(spec, "hard").map(|(name, _)| name.as_str()).collect();
    let scopes: Vec<&str> = list(spec, "scopes").iter().filter_map(Value::as_str).collect();
    let at_scopes = path.child("scopes");
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            errors.push(FieldError::invalid(&at_scopes, at(spec, "scopes").clone(), "unsupported scope"));
        }
        for _ in names.iter().filter(|name| is_standard_quota(name) && !scope_fits(scope, name)) {
            let detail = "unsupported scope applied to resource";
            errors.push(FieldError::invalid(&at_scopes, at(spec, "scopes").clone(), detail));
        }
    }
    check_conflicts(&scopes, spec, &at_scopes, errors);
    check_selector(spec, &names, &path, errors);
    if let Some(old) = old {
        let set = |object: &Value| {
            let all = deep(object, "spec.scopes").as_array().cloned().unwrap_or_else(Vec::new);
            all.into_iter().filter_map(|scope| scope.as_str().map(str::to_owned)).collect::<BTreeSet<_>>()
        };
        if set(new) != set(old) {
            errors.push(FieldError::invalid(&at_scopes, at(spec, "scopes").clone(), "field is immutable"));
        }
    }
    let (status, path) = (at(new, "status"), FieldPath::root("status"));
    check_amounts(status, &path.child("hard"), "hard", errors);
    check_amounts(status, &path.child("used"), "used", errors);
}

fn check_amounts(of: &Value, path: &FieldPath<'_>, field: &str, errors: &mut Vec<FieldError>) {
    for (name, value) in map(of, field) {
        let path = path.key(name);
        if resource_name(name, &path, errors) && !name.contains('/') && !is_standard_quota(name) {
            errors.push(FieldError::invalid(&path, name.as_str(), "must be a standard resource for quota"));
        }
        let Ok(amount) = Quantity::from_value(value) else { continue };
        if amount.is_negative() {
            errors.push(FieldError::invalid(&path, amount.to_string(), "must be greater than or equal to 0"));
        }
        if (WHOLE.contains(&name.as_str()) || is_extended(name)) && amount.millis().is_some_and(|m| m % 1000 != 0) {
            errors.push(FieldError::invalid(&path, amount.to_string(), "must be an integer"));
        }
    }
}

fn check_selector(spec: &Value, names: &[&str], path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let selector = at(spec, "scopeSelector");
    let at_selector = path.child("scopeSelector");
    let path = at_selector.child("matchExpressions");
    let mut scopes = Vec::new();
    for requirement in list(selector, "matchExpressions") {
        let (scope, operator) = (text(requirement, "scopeName"), text(requirement, "operator"));
        let values = list(requirement, "values");
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(&path.child("scopeName"), scope, "unsupported scope"));
        }
        for _ in names.iter().filter(|name| is_standard_quota(name) && !scope_fits(scope, name)) {
            errors.push(FieldError::invalid(&path, selector.clone(), "unsupported scope applied to resource"));
        }
        if !matches!(scope, "PriorityClass" | "VolumeAttributesClass")
            && SCOPES.contains(&scope)
            && operator != "Exists"
        {
            errors.push(FieldError::invalid(&path.child("operator"), operator, ONLY_EXISTS));
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(FieldError::required(&path.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.push(FieldError::invalid(&path.child("values"), values.to_vec(), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.push(FieldError::invalid(&path.child("operator"), operator, "not a valid selector operator")),
        }
        scopes.push(scope);
    }
    check_conflicts(&scopes, spec, &path, errors);
}

fn check_conflicts(scopes: &[&str], spec: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    for _ in EXCLUSIVE.iter().filter(|(one, other)| scopes.contains(one) && scopes.contains(other)) {
        errors.push(FieldError::invalid(path, at(spec, "scopes").clone(), "conflicting scopes"));
    }
}

fn scope_fits(scope: &str, name: &str) -> bool {
    match scope {
        "BestEffort" => name == "pods",
        "VolumeAttributesClass" => matches!(name, "persistentvolumeclaims" | "requests.storage"),
        scope if SCOPES.contains(&scope) => name == "pods" || POD_COMPUTE.contains(&name),
        _ => true,
    }
}

/// A LimitRange.
pub(super) fn check_range(new: &Value, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    let limits = FieldPath::root("spec.limits");
    for (i, limit) in list(at(new, "spec"), "limits").iter().enumerate() {
        let path = limits.index(i);
        let kind = text(limit, "type");
        check_range_type(kind, &path.child("type"), errors);
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(&path.child("type"), kind));
        }
        check_item(limit, kind, &path, errors);
    }
}

fn check_range_type(kind: &str, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let complaints = format::label_key(kind);
    if !complaints.is_empty() {
        super::read::invalid(errors, path, kind, complaints);
    } else if !kind.contains('/') && !matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim") {
        errors.push(FieldError::invalid(path, kind, "must be a standard limit type or fully qualified"));
    }
}

fn check_item(limit: &Value, kind: &str, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    const FIELDS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];
    let of_containers = matches!(kind, "Pod" | "Container");
    let mut names = BTreeSet::new();
    let all = FIELDS.map(|field| {
        let at_field = path.child(field);
        if kind == "Pod" && field.starts_with("default") {
            if map(limit, field).next().is_some() {
                errors.push(FieldError::forbidden(&at_field, "may not be specified when `type` is 'Pod'"));
            }
            return Amounts::new();
        }
        let entries = map(limit, field).map(|(name, value)| {
            let path = at_field.key(name);
            if resource_name(name, &path, errors) && of_containers {
                container_name(name, &path, errors);
            }
            names.insert(name.as_str());
            (name.as_str(), value)
        });
        let entries: Vec<_> = entries.collect();
        entries.into_iter().filter_map(|(name, value)| Some((name, Quantity::from_value(value).ok()?))).collect()
    });
    if kind == "PersistentVolumeClaim" && !all[0].contains_key("storage") && !all[1].contains_key("storage") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(&path.child("limits"), detail));
    }
    for name in names {
        check_order(name, &all.each_ref().map(|amounts| amounts.get(name).copied()), path, errors);
    }
}

/// The amounts of one resource have to fit: [max, min, default, defaultRequest, ratio].
fn check_order(name: &str, all: &[Option<Quantity>; 5], path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let [max, min, default, request, ratio] = *all;
    // (smaller, its words, greater, its words, the field that is blamed, whether the smaller value is shown)
    let pairs = [
        (min, "min value", max, "max value", "min", true),
        (min, "min value", request, "default request value", "defaultRequest", false),
        (request, "default request value", max, "max value", "defaultRequest", true),
        (request, "default request value", default, "default limit value", "defaultRequest", true),
        (min, "min value", default, "default value", "default", true),
        (default, "default value", max, "max value", "default", false),
    ];
    for (small, its, great, other, field, shows_small) in pairs {
        if let (Some(small), Some(great)) = (small, great)
            && small > great
        {
            let shown = if shows_small { small } else { great };
            let detail = format!("{its} {small} is greater than {other} {great}");
            errors.push(FieldError::invalid(&path.child(field).key(name), shown.to_string(), detail));
        }
    }
    if let Some(ratio) = ratio {
        check_ratio(ratio, (min, max), &path.child("maxLimitRequestRatio").key(name), errors);
    }
    if let (false, Some(default), Some(request)) = (may_overcommit(name), default, request)
        && default != request
    {
        let detail = format!("default value {default} must equal to defaultRequest value {request} in {name}");
        errors.push(FieldError::invalid(&path.child("defaultRequest").key(name), request.to_string(), detail));
    }
}

#[allow(clippy::cast_precision_loss, reason = "a ratio of such numbers is not exact upstream either")]
fn check_ratio(
    ratio: Quantity,
    (min, max): (Option<Quantity>, Option<Quantity>),
    path: &FieldPath<'_>,
    errors: &mut Vec<FieldError>,
) {
    if ratio.nanos() < 1_000_000_000 {
        errors.push(FieldError::invalid(path, ratio.to_string(), format!("ratio {ratio} is less than 1")));
    }
    if let (Some(min), Some(max)) = (min, max) {
        let most = max.nanos() as f64 / min.nanos() as f64;
        if ratio.nanos() as f64 / 1e9 > most {
            let detail = format!("ratio {ratio} is greater than max/min = {most:.6}");
            errors.push(FieldError::invalid(path, ratio.to_string(), detail));
        }
    }
}

/// Whether it is a name of a resource at all; complaints are noted.
fn resource_name(name: &str, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) -> bool {
    let complaints = format::label_key(name);
    if !complaints.is_empty() {
        super::read::invalid(errors, path, name, complaints);
        return false;
    }
    if !name.contains('/') && !is_standard_quota(name) && name != "storage" {
        errors.push(FieldError::invalid(path, name, "must be a standard resource type or fully qualified"));
        return false;
    }
    true
}

fn container_name(name: &str, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if !name.contains('/') {
        if !CONTAINER.contains(&name) && !name.starts_with("hugepages-") {
            errors.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.push(FieldError::invalid(path, name, "doesn't follow extended resource name standard"));
    }
}

fn is_standard_quota(name: &str) -> bool {
    STANDARD_QUOTA.contains(&name) || name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && format::label_key(&format!("requests.{name}")).is_empty()
}

fn may_overcommit(name: &str) -> bool {
    is_native(name) && !name.starts_with("hugepages-")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{check_quota, check_range};

    fn told(check: impl Fn(&mut Vec<crate::field::FieldError>)) -> String {
        let mut errors = Vec::new();
        check(&mut errors);
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    /// Protocol: A5
    #[test]
    fn quotas_are_judged_as_upstream_does() {
        let selector = |scope: &str, operator: &str, values: Value| json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{"scopeName": scope, "operator": operator, "values": values}]}});
        for (spec, want) in [
            (json!({"hard": {"cpu": "1", "count/deployments.apps": "3", "requests.nvidia.com/gpu": "1"}}), ""),
            (
                json!({"hard": {"bogus": "1"}}),
                r#"spec.hard[bogus]: Invalid value: "bogus": must be a standard resource type or fully qualified"#,
            ),
            (
                json!({"hard": {"storage": "1"}}),
                r#"spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota"#,
            ),
            (
                json!({"hard": {"pods": "-1"}}),
                r#"spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0"#,
            ),
            (json!({"hard": {"pods": "1500m"}}), r#"spec.hard[pods]: Invalid value: "1500m": must be an integer"#),
            (
                json!({"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}),
                r#"spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes"#,
            ),
            (
                json!({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}),
                r#"spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource"#,
            ),
            (selector("PriorityClass", "In", json!(["a"])), ""),
            (
                selector("PriorityClass", "In", json!([])),
                "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            ),
        ] {
            assert_eq!(told(|errors| check_quota(&json!({"spec": spec}), None, errors)), want);
        }
        let (one, other) = (json!({"spec": {"scopes": ["Terminating"]}}), json!({"spec": {}}));
        assert_eq!(
            told(|errors| check_quota(&other, Some(&one), errors)),
            "spec.scopes: Invalid value: null: field is immutable"
        );
    }

    /// Protocol: A5
    #[test]
    fn ranges_are_judged_as_upstream_does() {
        for (limit, want) in [
            (
                json!({"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "100m"}, "maxLimitRequestRatio": {"cpu": "2"}}),
                "",
            ),
            (
                json!({"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}}),
                r#"spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1"#,
            ),
            (
                json!({"type": "Pod", "default": {"cpu": "1"}}),
                "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
            ),
            (
                json!({"type": "PersistentVolumeClaim"}),
                "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
            ),
            (
                json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "0.5"}}),
                r#"spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1"#,
            ),
            (
                json!({"type": "Container", "max": {"pods": "1"}}),
                r#"spec.limits[0].max[pods]: Invalid value: "pods": must be a standard resource for containers"#,
            ),
            (
                json!({"type": "Bogus"}),
                r#"spec.limits[0].type: Invalid value: "Bogus": must be a standard limit type or fully qualified"#,
            ),
        ] {
            assert_eq!(told(|errors| check_range(&json!({"spec": {"limits": [limit]}}), errors)), want);
        }
    }
}
