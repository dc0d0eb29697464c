//! Cells of our own kinds.

use serde_json::Value;

use super::row::{NONE, Row, at, cut, join, list, or_none, scalar, text};

pub(super) fn member(row: &Row<'_>) -> Vec<Value> {
    let ready = row.condition("status.conditions", "Ready").map_or("Unknown", |condition| text(condition, "status"));
    let nodes = match row.has("status.nodes") {
        true => format!("{}/{}", row.int("status.nodes.ready"), row.int("status.nodes.total")),
        false => NONE.to_owned(),
    };
    let free = |resource: &str| -> Value {
        match row.at("status.capacity").get(resource) {
            Some(capacity) => {
                let requested = row.at("status.requested").get(resource).map_or_else(|| "0".to_owned(), scalar);
                format!("{requested}/{}", scalar(capacity)).into()
            }
            None => NONE.into(),
        }
    };
    vec![
        row.name(),
        or_none(ready).into(),
        or_none(row.text("status.version")).into(),
        or_none(row.text("spec.region")).into(),
        nodes.into(),
        row.age(),
        or_none(&join(row.list("spec.zones").iter().filter_map(Value::as_str), ",")).into(),
        or_none(row.text("spec.provider")).into(),
        row.text("spec.server").into(),
        free("cpu"),
        free("memory"),
    ]
}

pub(super) fn placement(row: &Row<'_>) -> Vec<Value> {
    vec![
        row.name(),
        selected(row).into(),
        clusters(row).into(),
        or_none(row.text("spec.replicas.mode")).into(),
        row.int("spec.priority").into(),
        row.age(),
    ]
}

pub(super) fn overrides(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), selected(row).into(), row.list("spec.rules").len().into(), row.age()]
}

pub(super) fn ingress_parameters(row: &Row<'_>) -> Vec<Value> {
    let defaults = row.at("spec.defaults").as_object().map_or(0, serde_json::Map::len);
    vec![row.name(), defaults.into(), row.age()]
}

pub(super) fn binding(row: &Row<'_>) -> Vec<Value> {
    let template = match row.text("spec.template.namespace") {
        "" => format!("{}/{}", row.text("spec.template.kind"), row.text("spec.template.name")),
        namespace => format!("{}/{namespace}/{}", row.text("spec.template.kind"), row.text("spec.template.name")),
    };
    let rows = row.list("spec.clusters");
    let clusters: Vec<String> = rows.iter().map(binding_row).collect();
    let applied = row.list("status.clusters").iter().filter(|one| text(one, "phase") == "Applied").count();
    let placement = match row.has("spec.placement") {
        true => format!("{}/{}", row.text("spec.placement.kind"), row.text("spec.placement.name")),
        false => NONE.to_owned(),
    };
    vec![
        row.name(),
        template.into(),
        or_none(&clusters.join(" ")).into(),
        format!("{applied}/{}", rows.len()).into(),
        row.age(),
        placement.into(),
        or_none(row.text("spec.unschedulable")).into(),
        row.int("spec.epoch").into(),
    ]
}

/// `east:3`; `-east` is being withdrawn.
fn binding_row(one: &Value) -> String {
    let sign = if at(one, "withdraw") == &Value::Bool(true) { "-" } else { "" };
    match at(one, "replicas").as_i64() {
        Some(replicas) => format!("{sign}{}:{replicas}", text(one, "name")),
        None => format!("{sign}{}", text(one, "name")),
    }
}

/// What is selected: `Deployment/web,Service/*`.
fn selected(row: &Row<'_>) -> String {
    let selectors = row.list("spec.select").iter();
    let words: Vec<String> = selectors
        .map(|one| {
            format!("{}/{}", text(one, "kind"), if text(one, "name").is_empty() { "*" } else { text(one, "name") })
        })
        .collect();
    if words.is_empty() { NONE.to_owned() } else { cut(&words, 3) }
}

/// The clusters of the first group, in short.
fn clusters(row: &Row<'_>) -> String {
    let Some(group) = row.list("spec.clusters").first() else { return "*".to_owned() };
    let mut words: Vec<String> = Vec::new();
    words.extend(list(group, "names").iter().map(scalar));
    words.extend(list(group, "exclude").iter().map(|name| format!("!{}", scalar(name))));
    for key in ["regions", "zones", "providers"] {
        words.extend(list(group, key).iter().map(|name| format!("{}={}", &key[..key.len() - 1], scalar(name))));
    }
    let labels = super::row::selector(at(group, "labelSelector"));
    if !labels.is_empty() {
        words.push(labels);
    }
    if words.is_empty() { "*".to_owned() } else { cut(&words, 3) }
}
