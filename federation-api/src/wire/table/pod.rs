//! Cells of pods: the one status word that sums up phases, conditions and containers.

use federation_schema::decode::time::Instant;
use serde_json::{Value, json};

use super::row::{NONE, Row, at, human, instant, labels, or_none, seconds_between, text};

/// What the containers of a pod add up to.
struct Summary {
    reason: String,
    restarts: i64,
    last_restart: Option<Instant>,
    ready: usize,
    total: usize,
}

pub(super) fn pod(row: &Row<'_>) -> Vec<Value> {
    let summary = summarize(row);
    let ago = summary.last_restart.filter(|_| summary.restarts != 0);
    let restarts = match ago {
        Some(last) => format!("{} ({} ago)", summary.restarts, human(seconds_between(last, row.now))),
        None => summary.restarts.to_string(),
    };
    let ip = row.list("status.podIPs").first().map_or("", |ip| text(ip, "ip"));
    vec![
        row.name(),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        row.age(),
        or_none(ip).into(),
        or_none(row.text("spec.nodeName")).into(),
        or_none(row.text("status.nominatedNodeName")).into(),
        gates(row).into(),
    ]
}

pub(super) fn template(row: &Row<'_>) -> Vec<Value> {
    let [names, images] = row.containers("template.spec.containers");
    vec![row.name(), names, images, labels(row.at("template.metadata.labels")).into()]
}

/// What the row of a finished pod says, so that clients can grey it out.
pub(super) fn row_conditions(kind: &str, object: &Value) -> Vec<Value> {
    if kind != "Pod" {
        return Vec::new();
    }
    let message = match text(object, "status.phase") {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return Vec::new(),
    };
    vec![json!({"type": "Completed", "status": "True", "reason": text(object, "status.phase"), "message": message})]
}

fn gates(row: &Row<'_>) -> String {
    let gates = row.list("spec.readinessGates");
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let open = gates.iter().filter(|gate| row.condition_holds(text(gate, "conditionType"))).count();
    format!("{open}/{}", gates.len())
}

fn summarize(row: &Row<'_>) -> Summary {
    let mut reason = row.text("status.phase");
    if !row.text("status.reason").is_empty() {
        reason = row.text("status.reason");
    }
    let scheduled = row.list("status.conditions").iter().filter(|one| text(one, "type") == "PodScheduled");
    if scheduled.into_iter().any(|one| text(one, "reason") == "SchedulingGated") {
        reason = "SchedulingGated";
    }
    let sidecars = row.list("spec.initContainers").iter().filter(|one| is_sidecar(one)).count();
    let mut summary = Summary {
        reason: reason.to_owned(),
        restarts: 0,
        last_restart: None,
        ready: 0,
        total: row.list("spec.containers").len() + sidecars,
    };
    let (initializing, sidecar_restarts, sidecar_last) = summary.add_init(row);
    if !initializing || row.condition_holds("Initialized") {
        summary.restarts = sidecar_restarts;
        summary.last_restart = sidecar_last;
        summary.add_main(row);
    }
    if row.is_leaving() {
        if row.text("status.reason") == "NodeLost" {
            summary.reason = "Unknown".to_owned();
        } else if !matches!(row.text("status.phase"), "Succeeded" | "Failed") {
            summary.reason = "Terminating".to_owned();
        }
    }
    summary
}

impl Summary {
    /// Adds init containers: whether one still runs, and what the restartable ones among them add to the restarts.
    fn add_init(&mut self, row: &Row<'_>) -> (bool, i64, Option<Instant>) {
        let specs = row.list("spec.initContainers");
        let (mut sidecar_restarts, mut sidecar_last) = (0, None);
        for (index, status) in row.list("status.initContainerStatuses").iter().enumerate() {
            let restarts = at(status, "restartCount").as_i64().unwrap_or(0);
            let last = last_end(status);
            self.restarts += restarts;
            self.last_restart = self.last_restart.max(last);
            let name = text(status, "name");
            let sidecar = specs.iter().find(|spec| text(spec, "name") == name).is_some_and(is_sidecar);
            if sidecar {
                sidecar_restarts += restarts;
                sidecar_last = sidecar_last.max(last);
            }
            let ended = at(status, "state.terminated");
            if !ended.is_null() && exit_code(ended) == 0 {
                continue;
            }
            if sidecar && at(status, "started") == &Value::Bool(true) {
                self.ready += usize::from(is_ready(status));
                continue;
            }
            let waiting = text(status, "state.waiting.reason");
            self.reason = if !ended.is_null() {
                format!("Init:{}", end_reason(ended))
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                format!("Init:{waiting}")
            } else {
                format!("Init:{index}/{}", specs.len())
            };
            return (true, sidecar_restarts, sidecar_last);
        }
        (false, sidecar_restarts, sidecar_last)
    }

    fn add_main(&mut self, row: &Row<'_>) {
        let (mut running, mut failed) = (false, String::new());
        for status in row.list("status.containerStatuses").iter().rev() {
            self.restarts += at(status, "restartCount").as_i64().unwrap_or(0);
            self.last_restart = self.last_restart.max(last_end(status));
            let (waiting, ended) = (text(status, "state.waiting.reason"), at(status, "state.terminated"));
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.reason);
            } else if !ended.is_null() {
                self.reason = end_reason(ended);
                if exit_code(ended) != 0 {
                    failed.clone_from(&self.reason);
                }
            } else if is_ready(status) && !at(status, "state.running").is_null() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" {
            if running && row.condition_holds("Ready") {
                self.reason = "Running".to_owned();
            } else if !failed.is_empty() {
                self.reason = failed;
            } else if running {
                self.reason = "NotReady".to_owned();
            }
        }
    }
}

fn is_sidecar(container: &Value) -> bool {
    text(container, "restartPolicy") == "Always"
}

fn is_ready(status: &Value) -> bool {
    at(status, "ready") == &Value::Bool(true)
}

fn exit_code(ended: &Value) -> i64 {
    at(ended, "exitCode").as_i64().unwrap_or(0)
}

fn end_reason(ended: &Value) -> String {
    let signal = at(ended, "signal").as_i64().unwrap_or(0);
    match text(ended, "reason") {
        "" if signal != 0 => format!("Signal:{signal}"),
        "" => format!("ExitCode:{}", exit_code(ended)),
        reason => reason.to_owned(),
    }
}

fn last_end(status: &Value) -> Option<Instant> {
    instant(at(status, "lastState.terminated.finishedAt"))
}
