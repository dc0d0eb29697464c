//! Controller: binding status → the template's own status, as `kubectl get`, `wait` and `rollout status` read it.
//!
//! Writes the status subresource only, and only what changed.

use std::sync::Arc;
use std::time::Duration;

use federation_types::binding::{BindingClusterStatus, Phase};
use federation_types::{PlacementBinding, label, text};
use hub_client::caller::At;
use hub_client::{ReconcileError, WriteOptions};
use serde_json::{Map, Value, json};

use crate::bind::retry;
use crate::clock;
use crate::interpret::{HOLDS_BACK, MemberState, fold};
use crate::world::{World, ours};

/// Condition of a template whose status counts clusters with their last known state.
const REACHABLE: &str = "fedgate.dev/ClustersReachable";

/// Brings the status of one binding's template up to date.
pub(crate) async fn reconcile(world: Arc<World>, name: String) -> Result<(), ReconcileError> {
    let found = world.hub.get(&ours("placementbindings"), label::SYSTEM_NAMESPACE, &name).await.map_err(retry)?;
    let Some(object) = found else { return Ok(()) };
    let binding: PlacementBinding =
        serde_json::from_value(object).map_err(|e| ReconcileError::Reject(format!("binding {name}: {e}")))?;
    let at = &binding.spec.template;
    let Some(kind) = world.kind(&at.api_version, &at.kind) else { return Ok(()) };
    let template = world.hub.get(&kind.gvr, &at.namespace, &at.name).await.map_err(retry)?;
    let Some(template) = template.filter(|t| text::uid(t) == at.uid) else { return Ok(()) };
    let (rows, soonest) = rows(&world, &binding);
    let states: Vec<MemberState<'_>> = rows.iter().map(|(row, lost)| state(row, *lost)).collect();
    let generation = text::int_at(&template, &["metadata", "generation"]).unwrap_or(0);
    let standing = template.get("status").unwrap_or(&Value::Null);
    let folded = fold(&kind.gvk(), generation, standing, &states);
    if let Some(mut status) = folded.status {
        name_stale(&mut status, standing, &folded.stale);
        if let Some(patch) = difference(standing, &status) {
            let how = WriteOptions { subresource: "status", ..WriteOptions::default() };
            let at = At::new(&kind.gvr, &at.namespace, &at.name);
            match world.hub.merge_patch(at, &json!({ "status": patch }), &how).await {
                Ok(_) => {}
                // A kind without a status subresource, or a template that went meanwhile.
                Err(e) if e.is_not_found() => {}
                Err(e) => return Err(retry(e)),
            }
        }
    }
    match soonest {
        Some(wait) => Err(ReconcileError::Wait(wait, "a cluster is unreachable".to_owned())),
        None => Ok(()),
    }
}

type Rows<'a> = Vec<(&'a BindingClusterStatus, Option<Duration>)>;

/// The rows that count, how long each has been out of reach, and when to look again.
fn rows<'a>(world: &World, binding: &'a PlacementBinding) -> (Rows<'a>, Option<Duration>) {
    let targets = |name: &str| binding.spec.clusters.iter().any(|r| r.name == name && !r.withdraw);
    let all = binding.status.iter().flat_map(|s| &s.clusters).filter(|row| targets(&row.name));
    let rows: Rows<'a> = all.map(|row| (row, lost(world, row))).collect();
    let soonest = rows
        .iter()
        .filter_map(|(_, lost)| HOLDS_BACK.checked_sub((*lost)?))
        .map(|left| left + Duration::from_secs(1))
        .min();
    (rows, soonest)
}

/// How long a row's cluster has been out of reach.
fn lost(world: &World, row: &BindingClusterStatus) -> Option<Duration> {
    let by_health = world.clusters.get("", &row.name).and_then(|c| c.unreachable_since.clone());
    match by_health {
        Some(since) => Some(clock::since(&since).unwrap_or_default()),
        None if row.phase == Phase::Unreachable => Some(clock::since(&row.observed_at).unwrap_or_default()),
        None => None,
    }
}

fn state(row: &BindingClusterStatus, lost: Option<Duration>) -> MemberState<'_> {
    MemberState {
        member: &row.name,
        applied_generation: row.applied_generation,
        current: row.phase == Phase::Applied,
        unreachable_for: lost,
        status: row.status.as_ref(),
    }
}

/// Says in the template's conditions which clusters count with their last known state.
fn name_stale(status: &mut Value, standing: &Value, stale: &[String]) {
    let Some(fields) = status.as_object_mut() else { return };
    if !fields.contains_key("observedGeneration") {
        return;
    }
    let before = text::list_at(standing, &["conditions"]).find(|c| text::str_at(c, &["type"]) == REACHABLE);
    if stale.is_empty() && before.is_none() {
        return;
    }
    let said = if stale.is_empty() { "True" } else { "False" };
    let message = if stale.is_empty() { String::new() } else { format!("last known state of {}", stale.join(", ")) };
    let since = before
        .filter(|c| text::str_at(c, &["status"]) == said)
        .map_or_else(clock::now, |c| text::str_at(c, &["lastTransitionTime"]).to_owned());
    let condition = json!({
        "type": REACHABLE, "status": said, "lastTransitionTime": since, "message": message,
        "reason": if stale.is_empty() { "AllReachable" } else { "ClusterUnreachable" },
    });
    match fields.get_mut("conditions").and_then(Value::as_array_mut) {
        Some(list) => list.push(condition),
        None => {
            fields.insert("conditions".to_owned(), json!([condition]));
        }
    }
}

/// The fields of `wanted` that `standing` does not say; null stands for a field that shall go.
fn difference(standing: &Value, wanted: &Value) -> Option<Value> {
    let patch: Map<String, Value> = wanted
        .as_object()?
        .iter()
        .filter(|(key, value)| standing.get(key.as_str()).unwrap_or(&Value::Null) != *value)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{difference, name_stale};

    #[test]
    fn only_what_changed_is_written() {
        let standing = json!({"replicas": 3, "readyReplicas": 2, "other": 1});
        assert_eq!(
            difference(&standing, &json!({"replicas": 3, "readyReplicas": null, "x": null})),
            Some(json!({"readyReplicas": null}))
        );
        assert_eq!(difference(&standing, &json!({"replicas": 3})), None);
        assert_eq!(difference(&Value::Null, &json!({"replicas": 3})), Some(json!({"replicas": 3})));
    }

    #[test]
    fn stale_clusters_are_named_until_they_are_back() {
        let mut status = json!({"observedGeneration": 1, "conditions": [{"type": "Available"}]});
        name_stale(&mut status, &Value::Null, &["west".to_owned()]);
        assert_eq!(status["conditions"][1]["message"], "last known state of west");
        let mut back = json!({"observedGeneration": 1});
        name_stale(&mut back, &status, &[]);
        assert_eq!(back["conditions"][0]["status"], "True");
        let mut never = json!({"observedGeneration": 1});
        name_stale(&mut never, &Value::Null, &[]);
        assert_eq!(never, json!({"observedGeneration": 1}));
    }
}
