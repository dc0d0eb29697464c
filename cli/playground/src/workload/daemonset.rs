//! DaemonSets: one pod on the one node that a simulated member has.
//!
//! Pure.

use federation_types::{Gvr, text};
use serde_json::{Value, json};

use super::commit::Action;
use super::pod;

const REVISION: &str = "controller-revision-hash";

/// The pod to create or replace, and the status.
pub fn plan(set: &Value, pods: &[Value]) -> Vec<Action> {
    let gvr = || Gvr::new("v1", "pods");
    let hash = pod::template_hash(&set["spec"]["template"]);
    let active: Vec<&Value> = pods.iter().filter(|p| pod::is_active(p)).collect();
    let mut actions = Vec::new();
    if active.is_empty() {
        let prefix = format!("{}-", text::name(set));
        actions.push(Action::Create(gvr(), pod::from_template(set, &prefix, &[(REVISION, &hash)])));
    }
    let current = |p: &Value| text::label(p, REVISION) == Some(&hash);
    actions.extend(active.iter().filter(|p| !current(p)).map(|p| Action::Delete(gvr(), (*p).clone())));
    let ready = usize::from(active.iter().any(|p| pod::is_ready(p)));
    actions.push(Action::Status(json!({
        "observedGeneration": text::int_at(set, &["metadata", "generation"]),
        "desiredNumberScheduled": 1, "currentNumberScheduled": usize::from(!active.is_empty()),
        "numberReady": ready, "numberAvailable": ready, "numberMisscheduled": 0, "numberUnavailable": 1 - ready,
        "updatedNumberScheduled": usize::from(active.iter().any(|p| current(p))),
    })));
    actions
}
