//! Tables for rendering: what travels, what is refused, what overrides do.

use std::collections::BTreeMap;

use federation_types::Override;
use serde_json::{Value, json};

use super::{IpRange, Manifest, RenderError, Source, Stamp, Target, overrides_for, render};
use crate::schedule::{ClusterFacts, Template};

fn facts(name: &str) -> ClusterFacts {
    ClusterFacts {
        name: name.to_owned(),
        labels: BTreeMap::new(),
        region: String::new(),
        zones: Vec::new(),
        provider: String::new(),
        taints: Vec::new(),
        ready: true,
        free: None,
    }
}

fn rendered(
    template: &Value,
    overrides: &[Value],
    member: &str,
    replicas: Option<u64>,
) -> Result<Manifest, RenderError> {
    let overrides: Vec<Override> =
        overrides.iter().map(|o| serde_json::from_value(o.clone()).expect("an override")).collect();
    let meant = overrides_for(&Template::of(template), &overrides)?;
    let range = IpRange::parse("10.96.0.0/16").expect("a range");
    let source = Source { template, overrides: &meant, hub_uid: "hub-1", hub_range: &range };
    render(&source, &Target { facts: &facts(member), replicas, autoscaled: false })
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "t-1", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{}], "selfLink": "/x",
            "ownerReferences": [{"uid": "o"}], "finalizers": ["f"], "generateName": "w",
            "labels": {"app": "web", "fedgate.dev/x": "y"},
            "annotations": {
                "team": "a", "fedgate.dev/clusters": "*", "fedgate.dev/author": "jane",
                "kubectl.kubernetes.io/last-applied-configuration": "{}", "deployment.kubernetes.io/revision": "4",
            },
        },
        "spec": {
            "replicas": 9,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"creationTimestamp": null, "labels": {"app": "web"}},
                "spec": {"containers": [
                    {"name": "app", "image": "nginx:1.27", "args": ["a"], "env": [{"name": "LOG", "value": "info"}, {"name": "X", "value": "1"}]},
                    {"name": "side", "image": "r.eu/side@sha256:ff"},
                ]},
            },
        },
        "status": {"replicas": 9},
    })
}

#[test]
fn only_what_the_user_wrote_travels() {
    let manifest = rendered(&deployment(), &[], "east", Some(3)).expect("a manifest");
    assert_eq!(
        manifest.object(),
        &json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "namespace": "shop",
                "labels": {"app": "web", "fedgate.dev/hub": "hub-1", "fedgate.dev/template-uid": "t-1"},
                "annotations": {"team": "a"},
            },
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [
                        {"name": "app", "image": "nginx:1.27", "args": ["a"], "env": [{"name": "LOG", "value": "info"}, {"name": "X", "value": "1"}]},
                        {"name": "side", "image": "r.eu/side@sha256:ff"},
                    ]},
                },
            },
        })
    );
}

#[test]
fn the_hash_sees_content_only() {
    let first = rendered(&deployment(), &[], "east", Some(3)).expect("a manifest");
    let mut changed = deployment();
    changed["metadata"]["resourceVersion"] = "8".into();
    changed["status"]["replicas"] = 1.into();
    changed["spec"]["replicas"] = 12.into();
    assert_eq!(rendered(&changed, &[], "west", Some(3)).expect("a manifest").hash, first.hash);
    assert_ne!(rendered(&changed, &[], "west", Some(4)).expect("a manifest").hash, first.hash);
    changed["spec"]["minReadySeconds"] = 5.into();
    assert_ne!(rendered(&changed, &[], "east", Some(3)).expect("a manifest").hash, first.hash);
    let stamped = first.stamped(Stamp { epoch: 7, uid: "m-1", resource_version: "" });
    assert_eq!(stamped["metadata"]["annotations"]["fedgate.dev/epoch"], "7");
    assert_eq!(stamped["metadata"]["annotations"]["fedgate.dev/hash"], first.hash.as_str());
    assert_eq!((&stamped["metadata"]["uid"], stamped["metadata"].get("resourceVersion")), (&json!("m-1"), None));
}

#[test]
fn an_autoscalers_replicas_are_not_ours() {
    let range = IpRange::parse("10.96.0.0/16").expect("a range");
    let template = deployment();
    let source = Source { template: &template, overrides: &[], hub_uid: "h", hub_range: &range };
    let manifest =
        render(&source, &Target { facts: &facts("east"), replicas: Some(3), autoscaled: true }).expect("one");
    assert_eq!(manifest.object()["spec"].get("replicas"), None);
}

fn service(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop", "uid": "s"}, "spec": spec})
}

#[test]
fn services_keep_what_is_theirs() {
    let from_hub = service(json!({
        "clusterIP": "10.96.3.4", "clusterIPs": ["10.96.3.4"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "type": "ClusterIP", "sessionAffinity": "None",
        "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}], "selector": {"app": "web"},
    }));
    let manifest = rendered(&from_hub, &[], "east", None).expect("a manifest");
    assert_eq!(
        manifest.object()["spec"],
        json!({"ports": [{"port": 80, "targetPort": 8080}], "selector": {"app": "web"}})
    );
    let headless = service(json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 80}]}));
    let manifest = rendered(&headless, &[], "east", None).expect("a manifest");
    assert_eq!(manifest.object()["spec"]["clusterIP"], "None");
    for (spec, field) in [
        (json!({"clusterIP": "10.1.2.3"}), "spec.clusterIP"),
        (json!({"ports": [{"port": 80}, {"port": 81, "nodePort": 30000}]}), "spec.ports[1].nodePort"),
        (json!({"healthCheckNodePort": 30001}), "spec.healthCheckNodePort"),
    ] {
        match rendered(&service(spec), &[], "east", None) {
            Err(RenderError::Refused { field: found, .. }) => assert_eq!(found, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn what_one_cluster_gives_is_refused_by_name_or_left_out() {
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "d", "namespace": "shop"}, "spec": {"volumeName": "pv-1"}});
    let message = rendered(&claim, &[], "east", None).expect_err("refused").to_string();
    assert_eq!(message, "spec.volumeName: names a volume of one cluster; it does not travel to members");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": {"nodeName": "n"}});
    assert!(rendered(&pod, &[], "east", None).is_err());
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "namespace": "shop"}, "secrets": [{"name": "t"}], "imagePullSecrets": [{"name": "p"}]});
    let manifest = rendered(&account, &[], "east", None).expect("a manifest");
    assert_eq!(
        (manifest.object().get("secrets"), &manifest.object()["imagePullSecrets"]),
        (None, &json!([{"name": "p"}]))
    );
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "shop"}, "spec": {
        "ttlSecondsAfterFinished": 5, "selector": {"matchLabels": {"controller-uid": "x"}},
        "template": {"metadata": {"labels": {"controller-uid": "x", "job-name": "j", "batch.kubernetes.io/job-name": "j", "app": "a"}}, "spec": {}},
    }});
    let manifest = rendered(&job, &[], "east", None).expect("a manifest");
    assert_eq!(manifest.object()["spec"], json!({"template": {"metadata": {"labels": {"app": "a"}}, "spec": {}}}));
}

fn overriding(name: &str, namespace: &str, rule: Value) -> Value {
    json!({
        "apiVersion": "fedgate.dev/v1alpha1", "kind": "Override",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"select": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}], "rules": [rule]},
    })
}

#[test]
fn overrides_change_what_they_name() {
    for (rule, pointer, want) in [
        (
            json!({"image": [{"container": "app", "registry": "r.eu", "tag": "2"}]}),
            "/spec/template/spec/containers/0/image",
            json!("r.eu/nginx:2"),
        ),
        (
            json!({"image": [{"registry": "m.eu"}]}),
            "/spec/template/spec/containers/1/image",
            json!("m.eu/side@sha256:ff"),
        ),
        (
            json!({"image": [{"container": "side", "tag": "v2"}]}),
            "/spec/template/spec/containers/1/image",
            json!("r.eu/side:v2"),
        ),
        (
            json!({"env": [{"container": "app", "set": {"LOG": "debug", "NEW": "1"}, "remove": ["X"]}]}),
            "/spec/template/spec/containers/0/env",
            json!([{"name": "LOG", "value": "debug"}, {"name": "NEW", "value": "1"}]),
        ),
        (
            json!({"args": [{"container": "app", "append": ["b"], "remove": ["a"]}]}),
            "/spec/template/spec/containers/0/args",
            json!(["b"]),
        ),
        (
            json!({"command": [{"container": "app", "append": ["run"]}]}),
            "/spec/template/spec/containers/0/command",
            json!(["run"]),
        ),
        (json!({"labels": {"set": {"tier": "b"}, "remove": ["app"]}}), "/metadata/labels/tier", json!("b")),
        (json!({"annotations": {"set": {"note": "x"}}}), "/metadata/annotations/note", json!("x")),
        (
            json!({"jsonPatch": [{"op": "add", "path": "/spec/minReadySeconds", "value": 5}]}),
            "/spec/minReadySeconds",
            json!(5),
        ),
        (json!({"mergePatch": {"spec": {"paused": true}}}), "/spec/paused", json!(true)),
        (
            json!({"clusters": {"names": ["west"]}, "mergePatch": {"spec": {"paused": true}}}),
            "/spec/paused",
            Value::Null,
        ),
    ] {
        let manifest =
            rendered(&deployment(), &[overriding("o", "shop", rule.clone())], "east", Some(3)).expect("a manifest");
        assert_eq!(manifest.object().pointer(pointer).cloned().unwrap_or(Value::Null), want, "{rule}");
    }
}

#[test]
fn cluster_overrides_come_first_then_by_name() {
    let set = |n: i64| json!({"mergePatch": {"spec": {"minReadySeconds": n}}});
    let all = [
        overriding("b", "shop", set(2)),
        overriding("a", "shop", set(1)),
        overriding("z", "", set(9)),
        overriding("c", "other", set(7)),
    ];
    let manifest = rendered(&deployment(), &all, "east", Some(3)).expect("a manifest");
    assert_eq!(manifest.object()["spec"]["minReadySeconds"], 2);
}

#[test]
fn overrides_that_do_not_apply_are_named() {
    for (rule, says) in [
        (json!({"image": [{"container": "nobody", "tag": "2"}]}), "image[0]: there is no container \"nobody\""),
        (json!({"jsonPatch": [{"op": "replace", "path": "/spec/nothing/here", "value": 1}]}), "jsonPatch"),
        (json!({"mergePatch": {"metadata": {"name": "other"}}}), "must not change"),
        (json!({"mergePatch": {"kind": "StatefulSet"}}), "must not change"),
        (json!({"labels": {"set": {"fedgate.dev/hub": "mine"}}}), "must not set fedgate.dev/hub"),
    ] {
        let message = rendered(&deployment(), &[overriding("o", "shop", rule.clone())], "east", None)
            .expect_err("an error")
            .to_string();
        assert!(message.starts_with("Override o: rules[0]: ") && message.contains(says), "{rule}: {message}");
    }
    let no_pods = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "shop"}});
    let mut wrong = overriding("o", "shop", json!({"env": [{"set": {"A": "1"}}]}));
    wrong["spec"]["select"] = json!([{"apiVersion": "v1", "kind": "ConfigMap"}]);
    assert!(
        rendered(&no_pods, &[wrong], "east", None)
            .expect_err("an error")
            .to_string()
            .contains("a ConfigMap has no containers")
    );
}
