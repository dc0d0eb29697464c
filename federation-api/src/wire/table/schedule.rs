//! Cells of what schedulers read: priorities, groups of pods, devices.

use serde_json::Value;

use super::row::{NONE, Row, at, text};

pub(super) fn priority_class(row: &Row<'_>) -> Vec<Value> {
    vec![
        row.name(),
        row.int("value").into(),
        row.flag("globalDefault").into(),
        row.age(),
        row.text("preemptionPolicy").into(),
    ]
}

pub(super) fn pod_group(row: &Row<'_>) -> Vec<Value> {
    let mut status = match row.condition("status.conditions", "PodGroupInitiallyScheduled") {
        Some(scheduled) if text(scheduled, "status") == "True" => "Scheduled",
        Some(_) => "Unschedulable",
        None => "Pending",
    };
    if let Some(target) = row.condition("status.conditions", "DisruptionTarget") {
        status = text(target, "reason");
    }
    vec![row.name(), group_policy(row), group_workload(row), status.into(), row.age()]
}

pub(super) fn composite_group(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), group_policy(row), group_workload(row), row.age()]
}

fn group_policy(row: &Row<'_>) -> Value {
    if row.has("spec.schedulingPolicy.gang") { "Gang".into() } else { "Basic".into() }
}

fn group_workload(row: &Row<'_>) -> Value {
    row.text_or("spec.workloadRef.workloadName", NONE).into()
}

pub(super) fn resource_claim(row: &Row<'_>) -> Vec<Value> {
    let mut states = Vec::new();
    if row.is_leaving() {
        states.push("deleted");
    }
    if row.has("status.allocation") {
        states.push("allocated");
        if !row.list("status.reservedFor").is_empty() {
            states.push("reserved");
        }
    } else if !row.is_leaving() {
        states.push("pending");
    }
    vec![row.name(), states.join(",").into(), row.age()]
}

pub(super) fn resource_slice(row: &Row<'_>) -> Vec<Value> {
    let spec = |key: &str| Value::from(text(row.at("spec"), key));
    vec![row.name(), spec("nodeName"), spec("driver"), spec("pool.name"), row.age()]
}

pub(super) fn device_taint(row: &Row<'_>) -> Vec<Value> {
    let taint = |key: &str| Value::from(text(row.at("spec.taint"), key));
    let added = if row.has("spec.taint.timeAdded") { row.since("spec.taint.timeAdded") } else { String::new() };
    vec![row.name(), taint("key"), taint("value"), taint("effect"), added.into(), row.age()]
}

pub(super) fn pool_status(row: &Row<'_>) -> Vec<Value> {
    let pools = row.list("status.pools");
    let count = row.int("status.poolCount");
    let complete = row.condition("status.conditions", "Complete").filter(|_| row.condition_holds("Complete"));
    let failed = complete.is_none() && row.condition_holds("Failed");
    let status = match (complete, failed) {
        (Some(_), _) if count > i64::try_from(pools.len()).unwrap_or(i64::MAX) => {
            format!("Complete ({}/{count} pools)", pools.len())
        }
        (Some(_), _) => "Complete".to_owned(),
        (None, true) => "Failed".to_owned(),
        (None, false) => "Pending".to_owned(),
    };
    let counted = row.has("status") && !failed;
    let sum = |key: &str| -> Value {
        let total: i64 = pools.iter().filter_map(|pool| at(pool, key).as_i64()).sum();
        if counted { total.to_string().into() } else { "-".into() }
    };
    let errors = pools.iter().filter(|pool| !at(pool, "validationError").is_null()).count();
    let completed = complete.map_or_else(|| NONE.to_owned(), |one| row.since_value(at(one, "lastTransitionTime")));
    vec![
        row.name(),
        row.text("spec.driver").into(),
        sum("totalDevices"),
        sum("availableDevices"),
        sum("allocatedDevices"),
        sum("unavailableDevices"),
        if counted { errors.to_string().into() } else { "-".into() },
        count.into(),
        status.into(),
        completed.into(),
    ]
}
