//! Folds what the copies of a template say of themselves into the template's own status.
//!
//! The rule for `observedGeneration`: it advances only when every target cluster that answers has applied the
//! template's generation and its controllers have observed that. A cluster that has not answered for
//! [`HOLDS_BACK`] no longer holds it back; it goes on counting with its last known state, and is named as stale.

use std::time::Duration;

use federation_types::Gvk;
use federation_types::text::{int_at, list_at, str_at};
use serde_json::{Map, Value, json};

use super::health::{condition, condition_of, observed};

/// How long an unreachable cluster holds `observedGeneration` back.
pub const HOLDS_BACK: Duration = Duration::from_secs(60);

/// One target cluster's part of the fold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemberState<'a> {
    pub member: &'a str,
    /// The template's generation that was applied there last.
    pub applied_generation: i64,
    /// Whether what is applied there is what the template asks for now.
    pub current: bool,
    /// `None` while it answers.
    pub unreachable_for: Option<Duration>,
    /// The copy's summary; `None` where nothing is known yet.
    pub status: Option<&'a Value>,
}

/// The template's status, and what to say about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Folded {
    /// Fields to be merged into the template's status; null removes one. `None` for kinds without a folded status.
    pub status: Option<Value>,
    /// Clusters that count with their last known state.
    pub stale: Vec<String>,
    /// Every cluster that answers has applied and observed the template as it stands.
    pub caught_up: bool,
}

/// Folds `states` for a template of this kind and generation; `previous` is the template's status as it stands.
#[must_use]
pub fn fold(gvk: &Gvk, generation: i64, previous: &Value, states: &[MemberState<'_>]) -> Folded {
    let caught_up =
        !states.is_empty() && states.iter().all(|s| no_longer_holds_back(s) || caught_up(gvk, s, generation));
    let stale = states.iter().filter(|s| s.unreachable_for.is_some()).map(|s| s.member.to_owned()).collect();
    let known: Vec<&Value> = states.iter().filter_map(|s| s.status).collect();
    let status = (!known.is_empty()).then(|| by_kind(gvk, &known, states.len())).flatten().map(|mut status| {
        let before = int_at(previous, &["observedGeneration"]).unwrap_or(0);
        if has_observed_generation(gvk) {
            status.insert("observedGeneration".to_owned(), if caught_up { generation } else { before }.into());
        }
        Value::Object(status)
    });
    Folded { status, stale, caught_up }
}

fn no_longer_holds_back(state: &MemberState<'_>) -> bool {
    state.unreachable_for.is_some_and(|lost| lost > HOLDS_BACK)
}

fn caught_up(gvk: &Gvk, state: &MemberState<'_>, generation: i64) -> bool {
    // A kind whose controllers observe, and of whose copy nothing is known yet, has not been observed.
    let seen = state.status.map_or(!has_observed_generation(gvk), observed);
    state.current && state.applied_generation >= generation && seen
}

fn has_observed_generation(gvk: &Gvk) -> bool {
    matches!(
        (gvk.group.as_str(), gvk.kind.as_str()),
        ("apps", "Deployment" | "StatefulSet" | "ReplicaSet" | "DaemonSet") | ("", "ReplicationController")
    )
}

/// Kinds whose status the hub's API server and its controllers say of the hub itself.
const OF_THE_HUB: &[(&str, &str)] = &[
    ("", "Namespace"),
    ("", "ResourceQuota"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("networking.k8s.io", "ServiceCIDR"),
];

/// The status of `copies` copies, of which some are known.
fn by_kind(gvk: &Gvk, known: &[&Value], copies: usize) -> Option<Map<String, Value>> {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("apps", "Deployment") => Some(deployment(known)),
        ("apps", "StatefulSet") => Some(stateful_set(known)),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => {
            Some(sums(known, &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"]))
        }
        ("apps", "DaemonSet") => Some(sums(
            known,
            &[
                "currentNumberScheduled",
                "numberMisscheduled",
                "desiredNumberScheduled",
                "numberReady",
                "updatedNumberScheduled",
                "numberAvailable",
                "numberUnavailable",
            ],
        )),
        ("batch", "Job") => Some(job(known)),
        ("", "Service") | ("networking.k8s.io", "Ingress") => Some(load_balancer(known)),
        other if OF_THE_HUB.contains(&other) => None,
        _ if copies == 1 => single(known),
        _ => None,
    }
}

/// A kind without a row: one copy's status is the template's; several say nothing together.
fn single(known: &[&Value]) -> Option<Map<String, Value>> {
    let [only] = known else { return None };
    let mut status = only.as_object()?.clone();
    status.remove("generation");
    status.remove("observedGeneration");
    Some(status)
}

/// Sums of counts; a count that no copy has is removed, as upstream leaves out zeros.
fn sums(known: &[&Value], fields: &[&str]) -> Map<String, Value> {
    fields
        .iter()
        .map(|field| {
            let sum: i64 = known.iter().filter_map(|s| int_at(s, &[field])).sum();
            let required = matches!(
                *field,
                "currentNumberScheduled" | "numberMisscheduled" | "desiredNumberScheduled" | "numberReady"
            ) || *field == "replicas";
            ((*field).to_owned(), if sum == 0 && !required { Value::Null } else { sum.into() })
        })
        .collect()
}

fn deployment(known: &[&Value]) -> Map<String, Value> {
    let mut status = sums(
        known,
        &[
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
        ],
    );
    let mut conditions = Vec::new();
    for kind in ["Available", "Progressing", "ReplicaFailure"] {
        // The first copy that is worse than the others speaks for all; ReplicaFailure is bad when it is True.
        let bad = if kind == "ReplicaFailure" { "True" } else { "False" };
        let all: Vec<&Value> = known.iter().filter_map(|s| condition_of(s, kind)).collect();
        let worst = all.iter().find(|c| str_at(c, &["status"]) == bad);
        let unfinished = || all.iter().find(|c| str_at(c, &["reason"]) != "NewReplicaSetAvailable");
        let spoken = worst.or_else(|| if kind == "Progressing" { unfinished() } else { None }).or(all.first());
        if let Some(condition) = spoken {
            conditions.push((*condition).clone());
        }
    }
    status.insert("conditions".to_owned(), if conditions.is_empty() { Value::Null } else { conditions.into() });
    status
}

fn stateful_set(known: &[&Value]) -> Map<String, Value> {
    let mut status =
        sums(known, &["replicas", "currentReplicas", "updatedReplicas", "readyReplicas", "availableReplicas"]);
    // Members name revisions alike for equal content; a copy on its way speaks for all, so that a rollout is seen.
    let on_its_way = known.iter().find(|s| str_at(s, &["currentRevision"]) != str_at(s, &["updateRevision"]));
    if let Some(speaker) = on_its_way.or(known.first()) {
        for field in ["currentRevision", "updateRevision"] {
            let revision = str_at(speaker, &[field]);
            status.insert(field.to_owned(), if revision.is_empty() { Value::Null } else { revision.into() });
        }
    }
    status
}

fn job(known: &[&Value]) -> Map<String, Value> {
    if let [only] = known {
        return single(&[only]).unwrap_or_default();
    }
    let mut status = sums(known, &["active", "ready", "succeeded", "failed", "terminating"]);
    let times = |field: &str| known.iter().map(|s| str_at(s, &[field])).filter(|t| !t.is_empty()).collect::<Vec<_>>();
    if let Some(first) = times("startTime").iter().min() {
        status.insert("startTime".to_owned(), (*first).into());
    }
    let of = |kind: &str| known.iter().filter_map(|s| condition(s, kind)).collect::<Vec<_>>();
    let mut conditions = Vec::new();
    if let Some(failed) = of("Failed").first() {
        conditions.extend(of("FailureTarget").first().map(|c| (*c).clone()));
        conditions.push((*failed).clone());
    } else if of("Complete").len() == known.len() {
        // SuccessCriteriaMet stands before Complete since 1.32: clients wait for either.
        conditions.extend(of("SuccessCriteriaMet").first().map(|c| (*c).clone()));
        conditions.extend(of("Complete").first().map(|c| (*c).clone()));
        if let Some(last) = times("completionTime").iter().max() {
            status.insert("completionTime".to_owned(), (*last).into());
        }
    } else if let Some(suspended) = of("Suspended").first() {
        conditions.push((*suspended).clone());
    }
    status.insert("conditions".to_owned(), if conditions.is_empty() { Value::Null } else { conditions.into() });
    status
}

fn load_balancer(known: &[&Value]) -> Map<String, Value> {
    let mut points: Vec<Value> = Vec::new();
    for point in known.iter().flat_map(|s| list_at(s, &["loadBalancer", "ingress"])) {
        if !points.contains(point) {
            points.push(point.clone());
        }
    }
    let value = if points.is_empty() { json!({}) } else { json!({ "ingress": points }) };
    Map::from_iter([("loadBalancer".to_owned(), value)])
}

#[cfg(test)]
mod tests;
