//! StatefulSets: numbered pods, one changed at a time from the highest number down.
//!
//! Pure. Volumes are not made: a playground's pods have no disk.

use federation_types::{Gvr, text};
use serde_json::{Value, json};

use super::commit::Action;
use super::pod;

const REVISION: &str = "controller-revision-hash";

/// Pods to create and delete, and the status.
pub fn plan(set: &Value, pods: &[Value]) -> Vec<Action> {
    let gvr = || Gvr::new("v1", "pods");
    let hash = pod::template_hash(&set["spec"]["template"]);
    let wanted = pod::wanted(set);
    let name = |n: usize| format!("{}-{n}", text::name(set));
    let find = |n: usize| pods.iter().find(|p| text::name(p) == name(n));
    let parallel = text::str_at(set, &["spec", "podManagementPolicy"]) == "Parallel";
    let current = |p: &Value| text::label(p, REVISION) == Some(&hash);
    let mut actions = Vec::new();
    for n in 0..wanted {
        match find(n) {
            None => {
                let labels = [
                    (REVISION, hash.as_str()),
                    ("statefulset.kubernetes.io/pod-name", &name(n)),
                    ("apps.kubernetes.io/pod-index", &n.to_string()),
                ];
                actions.push(Action::Create(gvr(), pod::from_template(set, &name(n), &labels)));
            }
            Some(p) if pod::is_ready(p) => continue,
            Some(_) => {}
        }
        if !parallel {
            break;
        }
    }
    let number = |p: &Value| text::name(p).rsplit_once('-').and_then(|(_, n)| n.parse::<usize>().ok());
    let extra = pods.iter().filter(|p| pod::is_active(p) && number(p).is_none_or(|n| n >= wanted));
    actions.extend(extra.map(|p| Action::Delete(gvr(), p.clone())));
    if actions.is_empty() && pods.iter().all(pod::is_ready) {
        let stale = (0..wanted).rev().filter_map(find).find(|p| !current(p));
        actions.extend(stale.map(|p| Action::Delete(gvr(), p.clone())));
    }
    let active: Vec<&Value> = pods.iter().filter(|p| pod::is_active(p)).collect();
    let ready = active.iter().filter(|p| pod::is_ready(p)).count();
    let updated = active.iter().filter(|p| current(p)).count();
    actions.push(Action::Status(json!({
        "observedGeneration": text::int_at(set, &["metadata", "generation"]), "replicas": active.len(),
        "readyReplicas": ready, "availableReplicas": ready, "currentReplicas": updated, "updatedReplicas": updated,
        "currentRevision": hash, "updateRevision": hash, "collisionCount": 0,
    })));
    actions
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::commit::Action;
    use super::super::pod::template_hash;
    use super::plan;

    fn set() -> Value {
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "uid": "u"},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [{"image": "a"}]}}}})
    }

    fn pod(name: &str, hash: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {"controller-revision-hash": hash}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    }

    #[test]
    fn pods_come_in_order_and_stale_ones_go_one_by_one() {
        let first = plan(&set(), &[]);
        assert!(matches!(&first[0], Action::Create(_, p) if p["metadata"]["name"] == "db-0"));
        assert!(matches!(&first[1], Action::Status(_)));
        let stale = plan(&set(), &[pod("db-0", "x"), pod("db-1", "x")]);
        assert!(matches!(&stale[0], Action::Delete(_, p) if p["metadata"]["name"] == "db-1"));
        let hash = template_hash(&set()["spec"]["template"]);
        let done = plan(&set(), &[pod("db-0", &hash), pod("db-1", &hash), pod("db-2", &hash)]);
        assert!(matches!(&done[0], Action::Delete(_, p) if p["metadata"]["name"] == "db-2"));
    }
}
