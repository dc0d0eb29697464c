//! Jobs: pods until as many have succeeded as wanted.
//!
//! Pure. A playground's pods succeed at once when their restart policy lets them end.

use federation_types::{Gvr, text};
use serde_json::{Value, json};

use super::commit::Action;
use super::pod;

/// Pods to create, and the status.
pub fn plan(job: &Value, pods: &[Value]) -> Vec<Action> {
    let count = |key: &str| text::int_at(job, &["spec", key]).map_or(1, |n| usize::try_from(n).unwrap_or(0));
    let (completions, parallelism) = (count("completions"), count("parallelism"));
    let succeeded = pods.iter().filter(|p| text::str_at(p, &["status", "phase"]) == "Succeeded").count();
    let active = pods.iter().filter(|p| pod::is_active(p)).count();
    let ready = pods.iter().filter(|p| pod::is_ready(p)).count();
    let suspended = text::at(job, &["spec", "suspend"]).and_then(Value::as_bool) == Some(true);
    let missing = if suspended { 0 } else { completions.saturating_sub(succeeded).min(parallelism) };
    let mut actions = Vec::new();
    for _ in active..missing {
        let name = text::name(job);
        let labels = [("job-name", name), ("batch.kubernetes.io/job-name", name)];
        actions.push(Action::Create(Gvr::new("v1", "pods"), pod::from_template(job, &format!("{name}-"), &labels)));
    }
    let started = text::str_at(job, &["metadata", "creationTimestamp"]);
    let mut status =
        json!({"active": active, "ready": ready, "succeeded": succeeded, "failed": 0, "startTime": started});
    if succeeded >= completions {
        let last = pods.iter().filter_map(|p| text::at(p, &["status", "startTime"]).and_then(Value::as_str)).max();
        status["completionTime"] = last.unwrap_or(started).into();
        status["conditions"] = json!([
            {"type": "SuccessCriteriaMet", "status": "True", "reason": "CompletionsReached"},
            {"type": "Complete", "status": "True", "reason": "CompletionsReached"},
        ]);
    }
    actions.push(Action::Status(status));
    actions
}
