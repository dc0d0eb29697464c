//! Cells of nodes and what describes them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::row::{NONE, Row, UNKNOWN, join, or_none, text};

pub(super) fn node(row: &Row<'_>) -> Vec<Value> {
    let mut status = match row.condition("status.conditions", "Ready") {
        Some(ready) if text(ready, "status") == "True" => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if row.flag("spec.unschedulable") {
        status.push_str(",SchedulingDisabled");
    }
    let known = |key: &str| match row.text(&format!("status.nodeInfo.{key}")) {
        "" => UNKNOWN.to_owned(),
        value => value.to_owned(),
    };
    let mut kernel = known("kernelVersion");
    if row.has("status.nodeInfo.architecture") {
        kernel = format!("{kernel} ({})", row.text("status.nodeInfo.architecture"));
    }
    vec![
        row.name(),
        status.into(),
        or_none(&roles(row)).into(),
        row.age(),
        row.text("status.nodeInfo.kubeletVersion").into(),
        address(row, "InternalIP").into(),
        address(row, "ExternalIP").into(),
        known("osImage").into(),
        kernel.into(),
        known("containerRuntimeVersion").into(),
    ]
}

fn roles(row: &Row<'_>) -> String {
    let labels = row.at("metadata.labels").as_object();
    let roles: BTreeSet<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    join(roles, ",")
}

fn address<'a>(row: &Row<'a>, kind: &str) -> &'a str {
    let address = row.list("status.addresses").iter().find(|address| text(address, "type") == kind);
    address.map_or(NONE, |address| text(address, "address"))
}

pub(super) fn runtime_class(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), row.text("handler").into(), row.age()]
}

pub(super) fn component_status(row: &Row<'_>) -> Vec<Value> {
    let Some(healthy) = row.condition("conditions", "Healthy") else {
        return vec![row.name(), "Unknown".into(), "".into(), "".into()];
    };
    let status = if text(healthy, "status") == "True" { "Healthy" } else { "Unhealthy" };
    vec![row.name(), status.into(), text(healthy, "message").into(), text(healthy, "error").into()]
}
