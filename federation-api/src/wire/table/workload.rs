//! Cells of workloads: Deployments, sets, jobs and their revisions.

use serde_json::Value;

use super::row::{
    NONE, Row, at, human, instant, labels, seconds_between, selector, selector_or_none, text, true_false,
};

const CONTAINERS: &str = "spec.template.spec.containers";

pub(super) fn deployment(row: &Row<'_>) -> Vec<Value> {
    let [names, images] = row.containers(CONTAINERS);
    vec![
        row.name(),
        format!("{}/{}", row.int("status.readyReplicas"), row.int("spec.replicas")).into(),
        row.int("status.updatedReplicas").into(),
        row.int("status.availableReplicas").into(),
        row.age(),
        names,
        images,
        selector(row.at("spec.selector")).into(),
    ]
}

pub(super) fn replica_set(row: &Row<'_>) -> Vec<Value> {
    replicas(row, selector_or_none(row.at("spec.selector")))
}

pub(super) fn replication_controller(row: &Row<'_>) -> Vec<Value> {
    replicas(row, labels(row.at("spec.selector")))
}

fn replicas(row: &Row<'_>, selector: String) -> Vec<Value> {
    let [names, images] = row.containers(CONTAINERS);
    vec![
        row.name(),
        row.int("spec.replicas").into(),
        row.int("status.replicas").into(),
        row.int("status.readyReplicas").into(),
        row.age(),
        names,
        images,
        selector.into(),
    ]
}

pub(super) fn stateful_set(row: &Row<'_>) -> Vec<Value> {
    let [names, images] = row.containers(CONTAINERS);
    let ready = format!("{}/{}", row.int("status.readyReplicas"), row.int("spec.replicas"));
    vec![row.name(), ready.into(), row.age(), names, images]
}

pub(super) fn daemon_set(row: &Row<'_>) -> Vec<Value> {
    let [names, images] = row.containers(CONTAINERS);
    vec![
        row.name(),
        row.int("status.desiredNumberScheduled").into(),
        row.int("status.currentNumberScheduled").into(),
        row.int("status.numberReady").into(),
        row.int("status.updatedNumberScheduled").into(),
        row.int("status.numberAvailable").into(),
        labels(row.at("spec.template.spec.nodeSelector")).into(),
        row.age(),
        names,
        images,
        selector_or_none(row.at("spec.selector")).into(),
    ]
}

pub(super) fn job(row: &Row<'_>) -> Vec<Value> {
    let done = row.int("status.succeeded");
    let parallelism = row.int("spec.parallelism");
    let completions = match row.at("spec.completions").as_i64() {
        Some(wanted) => format!("{done}/{wanted}"),
        None if parallelism > 1 => format!("{done}/1 of {parallelism}"),
        None => format!("{done}/1"),
    };
    let (start, end) = (instant(row.at("status.startTime")), instant(row.at("status.completionTime")));
    let duration = start.map_or_else(String::new, |start| human(seconds_between(start, end.unwrap_or(row.now))));
    let [names, images] = row.containers(CONTAINERS);
    let selector = selector_or_none(row.at("spec.selector"));
    vec![
        row.name(),
        job_status(row).into(),
        completions.into(),
        duration.into(),
        row.age(),
        names,
        images,
        selector.into(),
    ]
}

fn job_status(row: &Row<'_>) -> &'static str {
    match () {
        () if row.condition_holds("Complete") => "Complete",
        () if row.condition_holds("Failed") => "Failed",
        () if row.is_leaving() => "Terminating",
        () if row.condition_holds("Suspended") => "Suspended",
        () if row.condition_holds("FailureTarget") => "FailureTarget",
        () if row.condition_holds("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

pub(super) fn cron_job(row: &Row<'_>) -> Vec<Value> {
    let last = if row.has("status.lastScheduleTime") { row.since("status.lastScheduleTime") } else { NONE.to_owned() };
    let [names, images] = row.containers("spec.jobTemplate.spec.template.spec.containers");
    vec![
        row.name(),
        row.text("spec.schedule").into(),
        row.text_or("spec.timeZone", NONE).into(),
        row.at("spec.suspend").as_bool().map_or("<unset>", true_false).into(),
        row.list("status.active").len().into(),
        last.into(),
        row.age(),
        names,
        images,
        selector_or_none(row.at("spec.jobTemplate.spec.selector")).into(),
    ]
}

pub(super) fn revision(row: &Row<'_>) -> Vec<Value> {
    let owners = row.list("metadata.ownerReferences");
    let controller = owners.iter().find(|owner| at(owner, "controller") == &Value::Bool(true));
    let controller = controller.map_or_else(
        || NONE.to_owned(),
        |owner| {
            let group =
                text(owner, "apiVersion").split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
            format!("{}{group}/{}", text(owner, "kind").to_lowercase(), text(owner, "name"))
        },
    );
    vec![row.name(), controller.into(), row.int("revision").into(), row.age()]
}
