//! What one member's copy says of itself: the part of its status worth keeping, and whether it does its work.
//!
//! Knows one copy at a time; folding over clusters stands beside.

use federation_types::Gvk;
use federation_types::text::{at, int_at, list_at, str_at};
use serde_json::{Map, Value};

/// Whether a copy does its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    Healthy,
    /// Not yet, with what is missing.
    Progressing(String),
    /// It says itself that it failed.
    Failed(String),
}

/// Longest status of a kind without a row that is kept, in bytes of JSON; longer ones keep their conditions only.
pub const STATUS_MAX: usize = 16 << 10;

const REPLICATED: &[&str] = &[
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "currentReplicas",
    "fullyLabeledReplicas",
    "terminatingReplicas",
    "currentRevision",
    "updateRevision",
    "conditions",
];
const DAEMON: &[&str] = &[
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
];

/// The part of a member object's status that binding status keeps, with the object's own generation beside it.
#[must_use]
pub fn summary(gvk: &Gvk, object: &Value) -> Option<Value> {
    let status = object.get("status").and_then(Value::as_object)?;
    let mut kept = match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet" | "ReplicaSet") | ("", "ReplicationController") => {
            pick(status, REPLICATED)
        }
        ("apps", "DaemonSet") => pick(status, DAEMON),
        _ => whole(status),
    };
    if let Some(observed) = status.get("observedGeneration") {
        kept.insert("observedGeneration".to_owned(), observed.clone());
    }
    if let Some(generation) = int_at(object, &["metadata", "generation"]) {
        kept.insert("generation".to_owned(), generation.into());
    }
    Some(Value::Object(kept))
}

fn pick(status: &Map<String, Value>, fields: &[&str]) -> Map<String, Value> {
    fields.iter().filter_map(|f| Some(((*f).to_owned(), status.get(*f)?.clone()))).collect()
}

fn whole(status: &Map<String, Value>) -> Map<String, Value> {
    let size = serde_json::to_vec(status).map_or(usize::MAX, |bytes| bytes.len());
    if size <= STATUS_MAX { status.clone() } else { pick(status, &["phase", "conditions"]) }
}

/// Whether a copy with this summary does its work, given the replicas that it was given.
#[must_use]
pub fn health(gvk: &Gvk, summary: Option<&Value>, wanted: Option<u64>) -> Health {
    let empty = Value::Null;
    let status = summary.unwrap_or(&empty);
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet" | "ReplicaSet") | ("", "ReplicationController") => {
            replicated(status, wanted)
        }
        ("apps", "DaemonSet") => {
            let (ready, desired) = (int_at(status, &["numberReady"]), int_at(status, &["desiredNumberScheduled"]));
            match (observed(status), ready.unwrap_or(0), desired) {
                (true, ready, Some(desired)) if ready >= desired => Health::Healthy,
                (_, ready, desired) => Health::Progressing(format!("{ready} of {} ready", desired.unwrap_or(0))),
            }
        }
        ("batch", "Job") => match condition(status, "Failed") {
            Some(failed) => Health::Failed(str_at(failed, &["message"]).to_owned()),
            None => Health::Healthy,
        },
        ("", "Pod") => pod(status),
        _ => Health::Healthy,
    }
}

fn replicated(status: &Value, wanted: Option<u64>) -> Health {
    let wanted = wanted.and_then(|w| i64::try_from(w).ok()).unwrap_or(0);
    if let Some(progress) = at(status, &["conditions"]).and_then(|_| condition_of(status, "Progressing"))
        && str_at(progress, &["reason"]) == "ProgressDeadlineExceeded"
    {
        return Health::Failed(str_at(progress, &["message"]).to_owned());
    }
    let ready = int_at(status, &["readyReplicas"]).unwrap_or(0);
    if observed(status) && ready >= wanted {
        Health::Healthy
    } else {
        Health::Progressing(format!("{ready} of {wanted} ready"))
    }
}

fn pod(status: &Value) -> Health {
    match str_at(status, &["phase"]) {
        "Succeeded" => Health::Healthy,
        "Failed" => Health::Failed(str_at(status, &["message"]).to_owned()),
        _ if condition(status, "Ready").is_some() => Health::Healthy,
        phase => Health::Progressing(if phase.is_empty() { "no status yet".to_owned() } else { phase.to_owned() }),
    }
}

/// Whether a copy that runs once ran to its end, well or not.
#[must_use]
pub fn has_finished(gvk: &Gvk, summary: &Value) -> bool {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("batch", "Job") => condition(summary, "Complete").or(condition(summary, "Failed")).is_some(),
        ("", "Pod") => matches!(str_at(summary, &["phase"]), "Succeeded" | "Failed"),
        _ => false,
    }
}

/// Whether the member's controller has seen the member object as it stands.
#[must_use]
pub fn observed(summary: &Value) -> bool {
    match (int_at(summary, &["observedGeneration"]), int_at(summary, &["generation"])) {
        (Some(observed), Some(generation)) => observed >= generation,
        (None, Some(_)) => false,
        // Kinds without a generation are seen once they are there.
        (_, None) => true,
    }
}

/// The condition of this type if it is `True`.
pub(super) fn condition<'v>(status: &'v Value, kind: &str) -> Option<&'v Value> {
    condition_of(status, kind).filter(|c| str_at(c, &["status"]) == "True")
}

/// The condition of this type, whatever it says.
pub(super) fn condition_of<'v>(status: &'v Value, kind: &str) -> Option<&'v Value> {
    list_at(status, &["conditions"]).find(|c| str_at(c, &["type"]) == kind)
}

#[cfg(test)]
mod tests {
    use federation_types::Gvk;
    use serde_json::{Value, json};

    use super::{Health, health, summary};

    #[test]
    fn summaries_keep_what_folding_needs() {
        let deployment = json!({"metadata": {"generation": 3}, "status": {"observedGeneration": 3, "replicas": 2, "readyReplicas": 2, "collisionCount": 1}});
        assert_eq!(
            summary(&Gvk::new("apps/v1", "Deployment"), &deployment),
            Some(json!({"generation": 3, "observedGeneration": 3, "replicas": 2, "readyReplicas": 2}))
        );
        assert_eq!(summary(&Gvk::new("v1", "ConfigMap"), &json!({"data": {}})), None);
        let long = json!({"status": {"phase": "Running", "notes": "x".repeat(20_000)}});
        assert_eq!(summary(&Gvk::new("v1", "Pod"), &long), Some(json!({"phase": "Running"})));
    }

    #[test]
    fn health_by_kind() {
        let cases: Vec<(&str, &str, Value, Option<u64>, bool)> = vec![
            (
                "apps/v1",
                "Deployment",
                json!({"generation": 2, "observedGeneration": 2, "readyReplicas": 3}),
                Some(3),
                true,
            ),
            (
                "apps/v1",
                "Deployment",
                json!({"generation": 2, "observedGeneration": 1, "readyReplicas": 3}),
                Some(3),
                false,
            ),
            (
                "apps/v1",
                "Deployment",
                json!({"generation": 2, "observedGeneration": 2, "readyReplicas": 2}),
                Some(3),
                false,
            ),
            ("apps/v1", "Deployment", json!({"generation": 1, "observedGeneration": 1}), Some(0), true),
            (
                "apps/v1",
                "DaemonSet",
                json!({"generation": 1, "observedGeneration": 1, "numberReady": 2, "desiredNumberScheduled": 2}),
                None,
                true,
            ),
            ("apps/v1", "DaemonSet", json!({}), None, false),
            ("v1", "Pod", json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}), None, true),
            (
                "v1",
                "Pod",
                json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}),
                None,
                false,
            ),
            ("v1", "Pod", json!({"phase": "Succeeded"}), None, true),
            ("v1", "ConfigMap", Value::Null, None, true),
        ];
        for (api, kind, status, wanted, healthy) in cases {
            let found = health(&Gvk::new(api, kind), Some(&status), wanted);
            assert_eq!(found == Health::Healthy, healthy, "{kind} {status}: {found:?}");
        }
        let failed =
            json!({"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]});
        assert!(matches!(health(&Gvk::new("apps/v1", "Deployment"), Some(&failed), Some(1)), Health::Failed(_)));
    }
}
