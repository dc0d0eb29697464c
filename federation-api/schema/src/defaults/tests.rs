//! Defaults against what kube-apiserver 1.37.2 answered for the same objects, and the way back.

use serde_json::{Value, json};

use super::table::{RULES, Set};
use super::{set_defaults, strip_defaults};
use crate::facts::{Shape, kubernetes};

/// What was sent to a real server, and its answer without the metadata it gives out.
const UPSTREAM: &str = include_str!("upstream.jsonl");

/// Removes what other parts of a server fill in.
fn comparable(mut object: Value) -> Value {
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
        map.remove("metadata");
    }
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
            spec.remove(field);
        }
    }
    object
}

/// Protocol: A3
#[test]
fn objects_are_filled_in_as_upstream_does() {
    for line in UPSTREAM.lines() {
        let case: Value = serde_json::from_str(line).expect("a recorded answer");
        let mut filled = case["sent"].clone();
        set_defaults(&mut filled);
        let (ours, theirs) = (comparable(filled.clone()), comparable(case["filled"].clone()));
        assert!(ours == theirs, "\nsent {}\nours   {ours}\ntheirs {theirs}", case["sent"]);
        let once = filled.clone();
        set_defaults(&mut filled);
        assert_eq!(filled, once, "twice is once");
        strip_defaults(&mut filled);
        set_defaults(&mut filled);
        assert_eq!(filled, once, "what is taken out comes back by itself");
    }
}

#[test]
fn nothing_invented_is_left() {
    let pod = json!({"containers": [{"name": "c", "image": "i:1", "ports": [{"containerPort": 80}],
        "readinessProbe": {"httpGet": {"port": 80}}, "resources": {"limits": {"cpu": "1"}}}]});
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod});
    let bare = [
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": template}}),
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": {"template": template, "volumeClaimTemplates": [
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {}}]}}),
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "spec": {"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}}),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"labels": {"a": "b"}}, "spec": {"template": template}}),
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": template}}}}),
        json!({"apiVersion": "v1", "kind": "Pod", "spec": pod}),
        json!({"apiVersion": "v1", "kind": "Secret"}),
        json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}, {"port": 53, "protocol": "UDP", "targetPort": "dns"}]}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}),
        json!({"apiVersion": "example.com/v1", "kind": "Deployment", "spec": {}}),
    ];
    for object in bare {
        let mut filled = object.clone();
        set_defaults(&mut filled);
        strip_defaults(&mut filled);
        assert_eq!(filled, object);
    }
}

/// A Job with one pod at a time and no number of completions is a work queue; with neither it has one completion.
#[test]
fn what_depends_on_an_absence_is_left_whole() {
    let mut queue = json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"parallelism": 1}});
    set_defaults(&mut queue);
    assert!(queue["spec"].get("completions").is_none());
    strip_defaults(&mut queue);
    assert_eq!(queue["spec"]["parallelism"], 1);
    let mut plain = json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {}});
    set_defaults(&mut plain);
    assert_eq!((&plain["spec"]["parallelism"], &plain["spec"]["completions"]), (&json!(1), &json!(1)));
}

#[test]
fn every_rule_names_a_field() {
    let facts = kubernetes();
    for rule in RULES {
        let mut ty = facts.type_named(&rule.type_name()).unwrap_or_else(|| panic!("no type {}", rule.ty));
        for name in rule.path.split('.') {
            let field = facts.field(ty, name).unwrap_or_else(|| panic!("{} has no {}", rule.ty, rule.path));
            ty = field.ty;
        }
        if let Set::Json(text) = rule.value {
            serde_json::from_str::<Value>(text).expect("JSON");
            assert!(!matches!(facts.shape(ty), Shape::String), "{}: {}", rule.ty, rule.path);
        }
    }
}

#[test]
fn odd_shapes_are_left_alone() {
    for odd in [
        json!(null),
        json!([1]),
        json!({"apiVersion": 1}),
        json!({"apiVersion": "v1", "kind": "Service", "spec": "x"}),
        json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": {"a": 1}, "volumes": [1, null]}, "status": []}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"strategy": "x", "template": []}}),
    ] {
        let mut object = odd.clone();
        set_defaults(&mut object);
        set_defaults(&mut object);
        strip_defaults(&mut object);
    }
}
