//! FlowSchemas and PriorityLevelConfigurations.
//!
//! Source: kubernetes `pkg/apis/flowcontrol/validation`.

use serde_json::Value;

use super::read::{at, list, text};
use crate::field::{FieldError, FieldPath, format};
use crate::flowcontrol::mandatory;

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const SUBJECTS: &[(&str, &str)] = &[("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
const MAX_PRECEDENCE: i64 = 10_000;
const MAX_QUEUES: i64 = 10_000_000;
/// Bits of the hash that deals a flow's hand of queues.
const MAX_HASH_BITS: f64 = 60.0;

pub(super) fn check_schema(new: &Value, errors: &mut Vec<FieldError>) {
    let name = text(at(new, "metadata"), "name");
    let (spec, path) = (at(new, "spec"), FieldPath::root("spec"));
    let precedence = at(spec, "matchingPrecedence").as_i64().unwrap_or(0);
    let at_precedence = path.child("matchingPrecedence");
    if precedence <= 0 {
        errors.push(FieldError::invalid(&at_precedence, precedence, "must be a positive value"));
    }
    if precedence > MAX_PRECEDENCE {
        let detail = format!("must not be greater than {MAX_PRECEDENCE}");
        errors.push(FieldError::invalid(&at_precedence, precedence, detail));
    }
    if precedence == 1 && name != "exempt" {
        let detail = "only the schema named 'exempt' may have matchingPrecedence 1";
        errors.push(FieldError::invalid(&at_precedence, precedence, detail));
    }
    let method = at(spec, "distinguisherMethod");
    if method.is_object() && !matches!(text(method, "type"), "ByUser" | "ByNamespace") {
        let at_method = path.child("distinguisherMethod");
        let valid = ["ByNamespace", "ByUser"];
        errors.push(FieldError::not_supported(&at_method.child("type"), text(method, "type"), &valid));
    }
    let level = text(at(spec, "priorityLevelConfiguration"), "name");
    let at_level = path.child("priorityLevelConfiguration");
    if level.is_empty() {
        errors.push(FieldError::required(&at_level.child("name"), "must reference a priority level"));
    } else {
        super::read::invalid(errors, &at_level.child("name"), level, format::dns_subdomain(level));
    }
    let at_rules = path.child("rules");
    for (i, rule) in list(spec, "rules").iter().enumerate() {
        check_rule(rule, &at_rules.index(i), errors);
    }
    if let Some(fixed) = fixed("FlowSchema", name)
        && plain(spec) != fixed
    {
        errors.push(FieldError::invalid(&path, spec.clone(), format!("spec of '{name}' must equal the fixed value")));
    }
    check_conditions(new, errors);
}

pub(super) fn check_level(new: &Value, errors: &mut Vec<FieldError>) {
    let name = text(at(new, "metadata"), "name");
    let (spec, path) = (at(new, "spec"), FieldPath::root("spec"));
    let (kind, exempt, limited) = (text(spec, "type"), at(spec, "exempt"), at(spec, "limited"));
    let (at_exempt, at_limited) = (path.child("exempt"), path.child("limited"));
    if (name == "exempt") != (kind == "Exempt") {
        let detail = "must be 'Exempt' if and only if `name` is 'exempt'";
        errors.push(FieldError::invalid(&path.child("type"), kind, detail));
    }
    match kind {
        "Exempt" => {
            if !limited.is_null() {
                errors.push(FieldError::forbidden(&at_limited, "must be nil if the type is not Limited"));
            }
            check_shares(exempt, &at_exempt, errors);
        }
        "Limited" => {
            if !exempt.is_null() {
                errors.push(FieldError::forbidden(&at_exempt, "must be nil if the type is Limited"));
            }
            if limited.is_null() {
                errors.push(FieldError::required(&at_limited, "must not be empty when type is Limited"));
            } else {
                check_limited(limited, &at_limited, errors);
            }
        }
        "" => errors.push(FieldError::required(&path.child("type"), "")),
        other => errors.push(FieldError::not_supported(&path.child("type"), other, &["Exempt", "Limited"])),
    }
    check_fixed_level(name, spec, errors);
    check_conditions(new, errors);
}

fn check_fixed_level(name: &str, spec: &Value, errors: &mut Vec<FieldError>) {
    let Some(mut fixed) = fixed("PriorityLevelConfiguration", name) else { return };
    let mut spec = plain(spec);
    let sent = spec.clone();
    let detail = if name == "exempt" {
        for one in [&mut spec, &mut fixed] {
            one["exempt"] = Value::Null;
        }
        format!("spec of '{name}' except the 'spec.exempt' field must equal the fixed value")
    } else {
        format!("spec of '{name}' must equal the fixed value")
    };
    if spec != fixed {
        errors.push(FieldError::invalid(&FieldPath::root("spec"), sent, detail));
    }
}

fn check_limited(limited: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    check_shares(limited, path, errors);
    if let Some(percent) = at(limited, "borrowingLimitPercent").as_i64().filter(|percent| *percent < 0) {
        let detail = "if specified, must be a non-negative integer";
        errors.push(FieldError::invalid(&path.child("borrowingLimitPercent"), percent, detail));
    }
    let (response, path) = (at(limited, "limitResponse"), path.child("limitResponse"));
    let (queuing, at_queuing) = (at(response, "queuing"), path.child("queuing"));
    match text(response, "type") {
        "Reject" if !queuing.is_null() => {
            let detail = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(FieldError::forbidden(&at_queuing, detail));
        }
        "Queue" if queuing.is_null() => {
            let detail = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(FieldError::required(&at_queuing, detail));
        }
        "Queue" => check_queuing(queuing, &at_queuing, errors),
        "Reject" => {}
        "" => errors.push(FieldError::required(&path.child("type"), "")),
        other => errors.push(FieldError::not_supported(&path.child("type"), other, &["Queue", "Reject"])),
    }
}

fn check_shares(of: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if let Some(shares) = at(of, "nominalConcurrencyShares").as_i64().filter(|shares| *shares < 0) {
        let detail = "must be a non-negative integer";
        errors.push(FieldError::invalid(&path.child("nominalConcurrencyShares"), shares, detail));
    }
    if let Some(percent) = at(of, "lendablePercent").as_i64().filter(|percent| !(0..=100).contains(percent)) {
        let detail = "must be between 0 and 100, inclusive";
        errors.push(FieldError::invalid(&path.child("lendablePercent"), percent, detail));
    }
}

fn check_queuing(queuing: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let number = |name: &str| at(queuing, name).as_i64().unwrap_or(0);
    let (length, queues, hand) = (number("queueLengthLimit"), number("queues"), number("handSize"));
    if length <= 0 {
        errors.push(FieldError::invalid(&path.child("queueLengthLimit"), length, "must be positive"));
    }
    if queues <= 0 {
        errors.push(FieldError::invalid(&path.child("queues"), queues, "must be positive"));
    } else if queues > MAX_QUEUES {
        let detail = format!("must not be greater than {MAX_QUEUES}");
        errors.push(FieldError::invalid(&path.child("queues"), queues, detail));
    }
    let at_hand = path.child("handSize");
    if hand <= 0 {
        errors.push(FieldError::invalid(&at_hand, hand, "must be positive"));
    } else if hand > queues {
        let detail = format!("should not be greater than queues ({queues})");
        errors.push(FieldError::invalid(&at_hand, hand, detail));
    } else if entropy_bits(queues, hand).is_some_and(|bits| bits > MAX_HASH_BITS) {
        let detail = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {MAX_HASH_BITS}"
        );
        errors.push(FieldError::invalid(&at_hand, hand, detail));
    }
}

fn check_rule(rule: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let subjects = list(rule, "subjects");
    let at_subjects = path.child("subjects");
    if subjects.is_empty() {
        errors.push(FieldError::required(&at_subjects, "subjects must contain at least one value"));
    }
    for (i, subject) in subjects.iter().enumerate() {
        check_subject(subject, &at_subjects.index(i), errors);
    }
    let (resources, paths) = (list(rule, "resourceRules"), list(rule, "nonResourceRules"));
    if resources.is_empty() && paths.is_empty() {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, detail));
    }
    let (at_resources, at_paths) = (path.child("resourceRules"), path.child("nonResourceRules"));
    for (i, rule) in resources.iter().enumerate() {
        check_resource_rule(rule, &at_resources.index(i), errors);
    }
    for (i, rule) in paths.iter().enumerate() {
        check_path_rule(rule, &at_paths.index(i), errors);
    }
}

fn check_subject(subject: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let kind = text(subject, "kind");
    let Some((_, own)) = SUBJECTS.iter().find(|(known, _)| *known == kind) else {
        errors.push(FieldError::not_supported(&path.child("kind"), kind, &["Group", "ServiceAccount", "User"]));
        return;
    };
    let (named, at_own) = (at(subject, own), path.child(own));
    let name = text(named, "name");
    if named.is_null() {
        errors.push(FieldError::required(&at_own, format!("{own} is required when subject kind is '{kind}'")));
    } else if name.is_empty() {
        errors.push(FieldError::required(&at_own.child("name"), ""));
    } else if kind == "ServiceAccount" && name != "*" {
        super::read::invalid(errors, &at_own.child("name"), name, format::dns_subdomain(name));
    }
    if kind == "ServiceAccount" && !named.is_null() {
        let namespace = text(named, "namespace");
        if namespace.is_empty() {
            let detail = "must specify namespace for service account";
            errors.push(FieldError::required(&at_own.child("namespace"), detail));
        } else {
            super::read::invalid(errors, &at_own.child("namespace"), namespace, format::dns_label(namespace));
        }
    }
    for (other, field) in SUBJECTS.iter().filter(|(_, field)| field != own && !at(subject, field).is_null()) {
        let detail = format!("{field} is forbidden when subject kind is not '{other}'");
        errors.push(FieldError::forbidden(&path.child(field), detail));
    }
}

fn check_resource_rule(rule: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    check_verbs(rule, path, errors);
    for (field, one, several) in [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")] {
        let values = list(rule, field);
        let at_field = path.child(field);
        if values.is_empty() {
            errors.push(FieldError::required(&at_field, format!("resource rules must supply at least one {one}")));
        } else if values.len() > 1 && has_wildcard(values) {
            let detail = format!("if '*' is present, must not specify other {several}");
            errors.push(FieldError::invalid(&at_field, values.to_vec(), detail));
        }
    }
    let namespaces = list(rule, "namespaces");
    let at_namespaces = path.child("namespaces");
    if namespaces.is_empty() && at(rule, "clusterScope") != true {
        let detail = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(FieldError::required(&at_namespaces, detail));
    } else if has_wildcard(namespaces) {
        if namespaces.len() > 1 {
            let detail = "if '*' is present, must not specify other namespaces";
            errors.push(FieldError::invalid(&at_namespaces, namespaces.to_vec(), detail));
        }
    } else {
        for (i, namespace) in namespaces.iter().filter_map(Value::as_str).enumerate() {
            let intro = "each member of this list must be '*' or a DNS-1123 label; ";
            let complaints = format::dns_label(namespace).into_iter().map(|text| format!("{intro}{text}")).collect();
            super::read::invalid(errors, &at_namespaces.index(i), namespace, complaints);
        }
    }
}

fn check_path_rule(rule: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    check_verbs(rule, path, errors);
    let (urls, at_urls) = (list(rule, "nonResourceURLs"), path.child("nonResourceURLs"));
    if urls.is_empty() {
        errors.push(FieldError::required(&at_urls, "nonResourceURLs must contain at least one value"));
    } else if has_wildcard(urls) {
        if urls.len() > 1 {
            let detail = "if '*' is present, must not specify other non-resource URLs";
            errors.push(FieldError::invalid(&at_urls, urls.to_vec(), detail));
        }
    } else {
        for (i, url) in urls.iter().filter_map(Value::as_str).enumerate() {
            if let Some(detail) = url_complaint(url) {
                errors.push(FieldError::invalid(&at_urls.index(i), url, detail));
            }
        }
    }
}

fn url_complaint(url: &str) -> Option<&'static str> {
    let stars = url.matches('*').count();
    match url {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !url.starts_with('/') => Some("must start with slash"),
        _ if url.contains(' ') => Some("must not contain white-space"),
        _ if url.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || (stars == 1 && !url.ends_with("/*")) => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}

fn check_verbs(rule: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let (verbs, path) = (list(rule, "verbs"), path.child("verbs"));
    if verbs.is_empty() {
        errors.push(FieldError::required(&path, "verbs must contain at least one value"));
    } else if has_wildcard(verbs) {
        if verbs.len() > 1 {
            errors.push(FieldError::invalid(&path, verbs.to_vec(), "if '*' is present, must not specify other verbs"));
        }
    } else if !verbs.iter().all(|verb| verb.as_str().is_some_and(|verb| VERBS.contains(&verb))) {
        errors.push(FieldError::not_supported(&path, verbs.to_vec(), VERBS));
    }
}

fn check_conditions(new: &Value, errors: &mut Vec<FieldError>) {
    let (status, path) = (FieldPath::root("status"), "conditions");
    let at_conditions = status.child(path);
    let mut seen: Vec<&str> = Vec::new();
    for (i, condition) in list(at(new, "status"), path).iter().enumerate() {
        let at_type = at_conditions.index(i);
        match text(condition, "type") {
            "" => errors.push(FieldError::required(&at_type.child("type"), "")),
            kind if seen.contains(&kind) => errors.push(FieldError::duplicate(&at_type.child("type"), kind)),
            kind => seen.push(kind),
        }
    }
}

fn has_wildcard(values: &[Value]) -> bool {
    values.iter().any(|value| value == "*")
}

/// The spec that an object of this name has to have.
fn fixed(kind: &str, name: &str) -> Option<Value> {
    let found = mandatory()
        .into_iter()
        .find(|object| text(object, "kind") == kind && text(at(object, "metadata"), "name") == name);
    found.map(|mut object| object["spec"].take())
}

/// Without nulls and what equals the zero value, so that two ways to write a spec compare equal.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().map(|(key, value)| (key.clone(), plain(value)));
            Value::Object(kept.filter(|(_, value)| !value.is_null() && *value != false).collect())
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

/// Bits that dealing such a hand takes out of a hash.
fn entropy_bits(deck: i64, hand: i64) -> Option<f64> {
    let (deck, hand) = (u32::try_from(deck).ok()?, u32::try_from(hand).ok()?);
    Some((f64::from(deck).log2() * f64::from(hand)).ceil())
}
