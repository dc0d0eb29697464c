//! Cells of who may what and how much: RBAC, admission, certificates, disruption, flow control.

use serde_json::Value;

use super::row::{NONE, Row, UNSET, human, labels, or_none, scalar, selector, text};

pub(super) fn role_binding(row: &Row<'_>) -> Vec<Value> {
    let role = format!("{}/{}", row.text("roleRef.kind"), row.text("roleRef.name"));
    let subjects = |kind: &str| -> Value {
        let of_kind = row.list("subjects").iter().filter(|subject| text(subject, "kind") == kind);
        let names: Vec<String> = of_kind
            .map(|subject| match (kind, text(subject, "namespace")) {
                ("ServiceAccount", namespace) if !namespace.is_empty() => {
                    format!("{namespace}/{}", text(subject, "name"))
                }
                _ => text(subject, "name").to_owned(),
            })
            .collect();
        names.join(", ").into()
    };
    vec![row.name(), role.into(), row.age(), subjects("User"), subjects("Group"), subjects("ServiceAccount")]
}

pub(super) fn webhooks(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), row.list("webhooks").len().into(), row.age()]
}

pub(super) fn validating_policy(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), row.list("spec.validations").len().into(), param_kind(row), row.age()]
}

pub(super) fn mutating_policy(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), row.list("spec.mutations").len().into(), param_kind(row), row.age()]
}

fn param_kind(row: &Row<'_>) -> Value {
    match row.has("spec.paramKind") {
        true => format!("{}/{}", row.text("spec.paramKind.apiVersion"), row.text("spec.paramKind.kind")).into(),
        false => UNSET.into(),
    }
}

pub(super) fn policy_binding(row: &Row<'_>) -> Vec<Value> {
    let (name, namespace) = (row.text("spec.paramRef.name"), row.text("spec.paramRef.namespace"));
    let parameter = match (name, namespace) {
        ("", _) if row.has("spec.paramRef.selector") => selector(row.at("spec.paramRef.selector")),
        ("", _) => UNSET.to_owned(),
        (name, "") => format!("*/{name}"),
        (name, namespace) => format!("{namespace}/{name}"),
    };
    vec![row.name(), row.text("spec.policyName").into(), parameter.into(), row.age()]
}

pub(super) fn signing_request(row: &Row<'_>) -> Vec<Value> {
    let seconds = row.at("spec.expirationSeconds").as_i64();
    let has = |kind: &str| row.condition("status.conditions", kind).is_some();
    let mut status = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        status.push_str(",Failed");
    }
    if !row.text("status.certificate").is_empty() {
        status.push_str(",Issued");
    }
    vec![
        row.name(),
        row.age(),
        or_none(row.text("spec.signerName")).into(),
        row.text("spec.username").into(),
        seconds.map_or_else(|| NONE.to_owned(), human).into(),
        status.into(),
    ]
}

pub(super) fn trust_bundle(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), or_none(row.text("spec.signerName")).into()]
}

pub(super) fn pod_certificate(row: &Row<'_>) -> Vec<Value> {
    let states = ["Issued", "Denied", "Failed"];
    let mut kinds = row.list("status.conditions").iter().map(|condition| text(condition, "type"));
    let state = kinds.rfind(|kind| states.contains(kind)).unwrap_or("Pending");
    let spec = |key: &str| Value::from(text(row.at("spec"), key));
    vec![
        row.name(),
        spec("podName"),
        spec("serviceAccountName"),
        spec("nodeName"),
        spec("signerName"),
        state.into(),
        labels(row.at("spec.unverifiedUserAnnotations")).into(),
    ]
}

pub(super) fn disruption_budget(row: &Row<'_>) -> Vec<Value> {
    let or_not = |path: &str| if row.has(path) { scalar(row.at(path)) } else { "N/A".to_owned() };
    vec![
        row.name(),
        or_not("spec.minAvailable").into(),
        or_not("spec.maxUnavailable").into(),
        row.int("status.disruptionsAllowed").into(),
        row.age(),
    ]
}

pub(super) fn flow_schema(row: &Row<'_>) -> Vec<Value> {
    let dangling = row.condition("status.conditions", "Dangling").map_or("?", |condition| text(condition, "status"));
    vec![
        row.name(),
        row.text("spec.priorityLevelConfiguration.name").into(),
        row.int("spec.matchingPrecedence").into(),
        row.text_or("spec.distinguisherMethod.type", NONE).into(),
        row.age(),
        dangling.into(),
    ]
}

pub(super) fn priority_level(row: &Row<'_>) -> Vec<Value> {
    let number = |path: &str| row.at(path).as_i64().map_or_else(|| NONE.into(), Value::from);
    vec![
        row.name(),
        row.text("spec.type").into(),
        number("spec.limited.nominalConcurrencyShares"),
        number("spec.limited.limitResponse.queuing.queues"),
        number("spec.limited.limitResponse.queuing.handSize"),
        number("spec.limited.limitResponse.queuing.queueLengthLimit"),
        row.age(),
    ]
}
