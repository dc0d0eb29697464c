//! Tables for folding, and the rule of `observedGeneration`.

use std::time::Duration;

use federation_types::Gvk;
use serde_json::{Value, json};

use super::{HOLDS_BACK, MemberState, fold};

fn state<'a>(member: &'a str, status: &'a Value) -> MemberState<'a> {
    MemberState { member, applied_generation: 4, current: true, unreachable_for: None, status: Some(status) }
}

fn deployment(ready: i64, observed: i64) -> Value {
    json!({"generation": 9, "observedGeneration": observed, "replicas": ready, "updatedReplicas": ready, "readyReplicas": ready,
    "availableReplicas": ready, "conditions": [
        {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
        {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
    ]})
}

fn apps(kind: &str) -> Gvk {
    Gvk::new("apps/v1", kind)
}

#[test]
fn deployments_add_up() {
    let (a, b) = (deployment(3, 9), deployment(2, 9));
    let folded =
        fold(&apps("Deployment"), 4, &json!({"observedGeneration": 3}), &[state("east", &a), state("west", &b)]);
    let status = folded.status.expect("a status");
    assert!(folded.caught_up && folded.stale.is_empty());
    for (field, want) in [
        ("observedGeneration", 4),
        ("replicas", 5),
        ("updatedReplicas", 5),
        ("readyReplicas", 5),
        ("availableReplicas", 5),
    ] {
        assert_eq!(status[field], json!(want), "{field}");
    }
    assert_eq!(status["unavailableReplicas"], Value::Null);
    assert_eq!(status["conditions"].as_array().map(Vec::len), Some(2));
}

#[test]
fn the_worst_condition_speaks() {
    let (a, mut b) = (deployment(3, 9), deployment(0, 9));
    b["conditions"] = json!([
        {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"},
        {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"},
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"},
    ]);
    let folded = fold(&apps("Deployment"), 4, &json!({}), &[state("east", &a), state("west", &b)]);
    let status = folded.status.expect("a status");
    let reasons: Vec<&str> =
        status["conditions"].as_array().expect("a list").iter().map(|c| c["reason"].as_str().expect("text")).collect();
    assert_eq!(reasons, ["MinimumReplicasUnavailable", "ReplicaSetUpdated", "FailedCreate"]);
}

#[test]
fn observed_generation_waits_for_every_cluster_that_answers() {
    let (fine, late) = (deployment(3, 9), deployment(2, 8));
    let minute = HOLDS_BACK;
    let second = Duration::from_secs(1);
    type Change = fn(&mut MemberState<'_>, Duration);
    let cases: Vec<(&str, &Value, Change, Duration, i64)> = vec![
        ("all observed", &fine, |_, _| {}, second, 4),
        ("not observed there", &late, |_, _| {}, second, 3),
        ("not applied there", &fine, |s, _| s.applied_generation = 3, second, 3),
        ("applied, but an override changed since", &fine, |s, _| s.current = false, second, 3),
        (
            "nothing known yet, not applied",
            &fine,
            |s, _| {
                s.status = None;
                s.applied_generation = 0
            },
            second,
            3,
        ),
        ("unreachable for less than a minute", &late, |s, d| s.unreachable_for = Some(d), minute, 3),
        ("unreachable for more", &late, |s, d| s.unreachable_for = Some(d), minute + second, 4),
    ];
    for (name, second_status, change, lost, want) in cases {
        let mut other = state("west", second_status);
        change(&mut other, lost);
        let folded = fold(&apps("Deployment"), 4, &json!({"observedGeneration": 3}), &[state("east", &fine), other]);
        assert_eq!(folded.status.expect("a status")["observedGeneration"], json!(want), "{name}");
    }
}

#[test]
fn an_unreachable_cluster_counts_with_its_last_state_and_is_named() {
    let (a, b) = (deployment(3, 9), deployment(2, 9));
    let mut lost = state("west", &b);
    lost.unreachable_for = Some(Duration::from_secs(3600));
    let folded = fold(&apps("Deployment"), 4, &json!({}), &[state("east", &a), lost]);
    assert_eq!(folded.stale, ["west"]);
    assert_eq!(folded.status.expect("a status")["readyReplicas"], json!(5));
}

#[test]
fn nothing_known_writes_nothing() {
    assert_eq!(fold(&apps("Deployment"), 4, &json!({}), &[]).status, None);
    let unknown =
        MemberState { member: "east", applied_generation: 0, current: false, unreachable_for: None, status: None };
    let folded = fold(&apps("Deployment"), 4, &json!({}), &[unknown]);
    assert_eq!((folded.status, folded.caught_up), (None, false));
}

#[test]
fn stateful_and_daemon_sets() {
    let done = json!({"replicas": 2, "readyReplicas": 2, "currentRevision": "db-2", "updateRevision": "db-2"});
    let moving = json!({"replicas": 2, "readyReplicas": 1, "currentRevision": "db-1", "updateRevision": "db-2"});
    let status =
        fold(&apps("StatefulSet"), 4, &json!({}), &[state("a", &done), state("b", &moving)]).status.expect("a status");
    assert_eq!(
        (&status["readyReplicas"], &status["currentRevision"], &status["updateRevision"]),
        (&json!(3), &json!("db-1"), &json!("db-2"))
    );
    let daemon = json!({"desiredNumberScheduled": 3, "numberReady": 3});
    let status =
        fold(&apps("DaemonSet"), 4, &json!({}), &[state("a", &daemon), state("b", &daemon)]).status.expect("a status");
    assert_eq!((&status["desiredNumberScheduled"], &status["numberMisscheduled"]), (&json!(6), &json!(0)));
}

#[test]
fn jobs_complete_when_all_do_and_fail_when_one_does() {
    let gvk = Gvk::new("batch/v1", "Job");
    let done = json!({"succeeded": 1, "startTime": "2026-01-01T00:00:01Z", "completionTime": "2026-01-01T00:00:05Z", "conditions": [
        {"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]});
    let later = json!({"succeeded": 1, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:09Z", "conditions": [
        {"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]});
    let status = fold(&gvk, 1, &json!({}), &[state("a", &done), state("b", &later)]).status.expect("a status");
    assert_eq!(status["conditions"][0]["type"], "SuccessCriteriaMet");
    assert_eq!(status["conditions"][1]["type"], "Complete");
    assert_eq!(
        (&status["startTime"], &status["completionTime"]),
        (&json!("2026-01-01T00:00:00Z"), &json!("2026-01-01T00:00:09Z"))
    );
    let running = json!({"active": 1});
    let status = fold(&gvk, 1, &json!({}), &[state("a", &done), state("b", &running)]).status.expect("a status");
    assert_eq!((&status["conditions"], &status["active"]), (&Value::Null, &json!(1)));
    let failed =
        json!({"failed": 1, "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]});
    let status = fold(&gvk, 1, &json!({}), &[state("a", &done), state("b", &failed)]).status.expect("a status");
    assert_eq!(status["conditions"][0]["reason"], "BackoffLimitExceeded");
}

#[test]
fn services_collect_addresses_and_single_copies_speak_for_themselves() {
    let a = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
    let b = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2"}]}});
    let status =
        fold(&Gvk::new("v1", "Service"), 0, &json!({}), &[state("a", &a), state("b", &b)]).status.expect("a status");
    assert_eq!(status["loadBalancer"]["ingress"].as_array().map(Vec::len), Some(2));
    let pod = json!({"generation": 1, "phase": "Running", "podIP": "10.0.0.1"});
    let status = fold(&Gvk::new("v1", "Pod"), 0, &json!({}), &[state("a", &pod)]).status.expect("a status");
    assert_eq!(status, json!({"phase": "Running", "podIP": "10.0.0.1"}));
    assert_eq!(
        fold(&Gvk::new("example.com/v1", "X"), 0, &json!({}), &[state("a", &pod), state("b", &pod)]).status,
        None
    );
}

#[test]
fn one_of_several_copies_does_not_speak_for_all_and_the_hub_says_its_own() {
    let copy = json!({"conditions": [], "phase": "Pending"});
    let unknown =
        MemberState { member: "west", applied_generation: 0, current: false, unreachable_for: None, status: None };
    let pod = Gvk::new("v1", "Pod");
    assert_eq!(fold(&pod, 0, &json!({}), &[state("east", &copy), unknown]).status, None);
    for (group_version, kind) in [
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("networking.k8s.io/v1", "ServiceCIDR"),
        ("v1", "Namespace"),
        ("v1", "ResourceQuota"),
    ] {
        let gvk = Gvk::new(group_version, kind);
        assert_eq!(fold(&gvk, 0, &json!({}), &[state("east", &copy)]).status, None, "{kind}");
    }
}
