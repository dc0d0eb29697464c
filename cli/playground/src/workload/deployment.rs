//! Deployments: one ReplicaSet a pod template, moved over within maxSurge and maxUnavailable.
//!
//! Pure. `Recreate` empties the old sets before the new one starts.

use federation_types::{Gvr, text};
use serde_json::{Value, json};

use super::commit::Action;
use super::pod;

const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

/// ReplicaSets to create and scale, and the status.
pub fn plan(deployment: &Value, sets: &[Value]) -> Vec<Action> {
    let gvr = || Gvr::new("apps/v1", "replicasets");
    let hash = pod::template_hash(&deployment["spec"]["template"]);
    let name = format!("{}-{hash}", text::name(deployment));
    let wanted = pod::wanted(deployment);
    let (new, old): (Vec<&Value>, Vec<&Value>) = sets.iter().partition(|s| text::name(s) == name);
    let new = new.first().copied();
    let sum = |of: &[&Value], key: &str| of.iter().map(|s| status(s, key)).sum::<usize>();
    let old_total: usize = old.iter().map(|s| pod::wanted(s)).sum();
    let old_alive = sum(&old, "replicas");
    let (surge, missing) = room(deployment, wanted);
    let recreate = text::str_at(deployment, &["spec", "strategy", "type"]) == "Recreate";
    let new_target = if recreate && old_alive > 0 {
        0
    } else if old.is_empty() || old_total == 0 || recreate {
        wanted
    } else {
        let have = new.map_or(0, pod::wanted);
        (wanted + surge).saturating_sub(old_total).max(have.min(wanted)).min(wanted)
    };
    let mut actions = Vec::new();
    match new {
        None => actions.push(Action::Create(gvr(), replica_set(deployment, &name, &hash, new_target, next(sets)))),
        Some(set) if pod::wanted(set) != new_target => {
            actions.push(Action::Patch(gvr(), set.clone(), json!({"spec": {"replicas": new_target}})));
        }
        Some(_) => {}
    }
    let new_ready = new.map_or(0, |s| status(s, "availableReplicas"));
    let old_ready = sum(&old, "availableReplicas");
    let keep = wanted.saturating_sub(missing);
    // What may go: pods that never became ready, and as many ready ones as the new set has made up for.
    let mut spare = if recreate {
        old_total
    } else {
        (new_ready + old_ready).saturating_sub(keep) + old_total.saturating_sub(old_ready)
    };
    for set in &old {
        let has = pod::wanted(set);
        let less = has.min(spare);
        if less > 0 {
            spare -= less;
            actions.push(Action::Patch(gvr(), (*set).clone(), json!({"spec": {"replicas": has - less}})));
        }
    }
    actions.push(Action::Status(summary(deployment, sets, new)));
    actions
}

fn status(set: &Value, key: &str) -> usize {
    text::int_at(set, &["status", key]).and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

fn room(deployment: &Value, wanted: usize) -> (usize, usize) {
    let share = |key: &str, up: bool| {
        let given = text::at(deployment, &["spec", "strategy", "rollingUpdate", key]);
        let percent = match given {
            Some(Value::Number(n)) => return n.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
            Some(Value::String(s)) => s.trim_end_matches('%').parse::<usize>().unwrap_or(25),
            _ => 25,
        };
        if up { (wanted * percent).div_ceil(100) } else { wanted * percent / 100 }
    };
    let (surge, missing) = (share("maxSurge", true), share("maxUnavailable", false));
    if surge + missing == 0 { (1, 0) } else { (surge, missing) }
}

fn next(sets: &[Value]) -> u64 {
    let revision = |s: &Value| text::annotation(s, REVISION).and_then(|r| r.parse::<u64>().ok()).unwrap_or(0);
    sets.iter().map(revision).max().unwrap_or(0) + 1
}

fn replica_set(deployment: &Value, name: &str, hash: &str, replicas: usize, revision: u64) -> Value {
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"][HASH] = hash.into();
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"][HASH] = hash.into();
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": text::namespace(deployment), "labels": template["metadata"]["labels"],
            "annotations": {REVISION: revision.to_string()}, "ownerReferences": [pod::owner_reference(deployment)]},
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    })
}

fn summary(deployment: &Value, sets: &[Value], new: Option<&Value>) -> Value {
    let sum = |key: &str| sets.iter().map(|s| status(s, key)).sum::<usize>();
    let wanted = pod::wanted(deployment);
    let (total, ready) = (sum("replicas"), sum("readyReplicas"));
    let updated = new.map_or(0, |s| status(s, "replicas"));
    let available = ready >= wanted.saturating_sub(room(deployment, wanted).1);
    let complete = updated == wanted && total == wanted && ready == wanted;
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| json!({"type": kind, "status": if holds { "True" } else { "False" }, "reason": reason, "message": message});
    json!({
        "observedGeneration": text::int_at(deployment, &["metadata", "generation"]),
        "replicas": total, "updatedReplicas": updated, "readyReplicas": ready, "availableReplicas": ready,
        "unavailableReplicas": wanted.saturating_sub(ready),
        "conditions": [
            if available {
                condition("Available", true, "MinimumReplicasAvailable", "Deployment has minimum availability.")
            } else {
                condition("Available", false, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
            },
            if complete {
                condition("Progressing", true, "NewReplicaSetAvailable", "The new ReplicaSet has successfully progressed.")
            } else {
                condition("Progressing", true, "ReplicaSetUpdated", "The new ReplicaSet is progressing.")
            },
        ],
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::commit::Action;
    use super::super::pod::template_hash;
    use super::plan;

    fn deployment(image: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "uid": "u", "generation": 1},
            "spec": {"replicas": 4, "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"image": image}]}}}})
    }

    fn set(of: &Value, wanted: u32, ready: u32) -> Value {
        let name = format!("web-{}", template_hash(&of["spec"]["template"]));
        json!({"metadata": {"name": name}, "spec": {"replicas": wanted},
            "status": {"replicas": wanted, "readyReplicas": ready, "availableReplicas": ready}})
    }

    #[test]
    fn the_first_set_gets_everything() {
        let actions = plan(&deployment("a"), &[]);
        assert!(matches!(&actions[0], Action::Create(_, s) if s["spec"]["replicas"] == 4));
    }

    #[test]
    fn an_update_never_drops_below_what_may_be_missing_and_ends() {
        let (before, after) = (deployment("a"), deployment("b"));
        let mut old = (4_u32, 4_u32);
        let mut new: Option<(u32, u32)> = None;
        for _ in 0..20 {
            let mut sets = vec![set(&before, old.0, old.1)];
            sets.extend(new.map(|n| set(&after, n.0, n.1)));
            for action in plan(&after, &sets) {
                match action {
                    Action::Create(_, s) => new = Some((s["spec"]["replicas"].as_u64().unwrap() as u32, 0)),
                    Action::Patch(_, s, p) => {
                        let to = p["spec"]["replicas"].as_u64().unwrap() as u32;
                        if s["metadata"]["name"] == sets[0]["metadata"]["name"] {
                            old = (to, old.1.min(to));
                        } else {
                            new = new.map(|n| (to, n.1.min(to)));
                        }
                    }
                    _ => {}
                }
            }
            assert!(old.1 + new.map_or(0, |n| n.1) >= 3, "too few ready");
            assert!(old.0 + new.map_or(0, |n| n.0) <= 5, "too many at once");
            new = new.map(|n| (n.0, n.0));
        }
        assert_eq!((old.0, new), (0, Some((4, 4))));
    }
}
