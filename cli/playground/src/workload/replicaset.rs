//! ReplicaSets: as many pods as wanted.
//!
//! Pure; which pod goes first when there are too many: the ones that are not ready, then the youngest.

use federation_types::{Gvr, text};
use serde_json::{Value, json};

use super::commit::Action;
use super::pod;

/// Pods to create and delete, and the status.
pub fn plan(set: &Value, pods: &[Value]) -> Vec<Action> {
    let gvr = || Gvr::new("v1", "pods");
    let mut active: Vec<&Value> = pods.iter().filter(|p| pod::is_active(p)).collect();
    let wanted = pod::wanted(set);
    let mut actions = Vec::new();
    for _ in active.len()..wanted {
        let prefix = format!("{}-", text::name(set));
        actions.push(Action::Create(gvr(), pod::from_template(set, &prefix, &[])));
    }
    if active.len() > wanted {
        active.sort_by_key(|p| (!pod::is_ready(p), text::str_at(p, &["metadata", "creationTimestamp"]).to_owned()));
        let ready_first = active.split_off(wanted.min(active.len()));
        actions.extend(ready_first.into_iter().map(|p| Action::Delete(gvr(), p.clone())));
    }
    let ready = active.iter().filter(|p| pod::is_ready(p)).count();
    actions.push(Action::Status(json!({
        "replicas": active.len(), "fullyLabeledReplicas": active.len(), "readyReplicas": ready,
        "availableReplicas": ready, "observedGeneration": text::int_at(set, &["metadata", "generation"]),
    })));
    actions
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::commit::Action;
    use super::plan;

    fn set(replicas: u32) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r", "uid": "u"},
            "spec": {"replicas": replicas, "template": {"spec": {}}}})
    }

    fn pod(name: &str, ready: &str) -> Value {
        json!({"metadata": {"name": name, "uid": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    }

    #[test]
    fn too_few_are_made_and_the_unready_go_first() {
        let creates = plan(&set(3), &[pod("a", "True")]);
        assert_eq!(creates.iter().filter(|a| matches!(a, Action::Create(..))).count(), 2);
        let deletes = plan(&set(1), &[pod("a", "False"), pod("b", "True")]);
        assert!(matches!(&deletes[0], Action::Delete(_, p) if p["metadata"]["name"] == "a"));
        assert!(matches!(deletes.last(), Some(Action::Status(s)) if s["readyReplicas"] == 1));
    }
}
