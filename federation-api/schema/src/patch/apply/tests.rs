//! Server-side apply replayed against what Kubernetes' own field manager did (`cases.jsonl`: sequences of apply, update and
//! merge patch by several managers, with the object, the owners or the error after each step), and its messages.

mod upstream;

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::{ApplyError, apply};
use crate::facts::kubernetes;
use crate::managed::{OneVersion, Typing, Write, managed_fields, on_create, on_update, set_managed_fields};
use crate::patch::merge;

const NOW: &str = "2026-01-02T03:04:05Z";

fn write<'a>(manager: &'a str, api_version: &'a str, has_status: bool) -> Write<'a> {
    Write {
        manager,
        subresource: "",
        api_version,
        now: NOW,
        reset: if has_status { &[&["status"]] } else { &[] },
        versions: &OneVersion,
    }
}

fn typing(api_version: &str, kind: &str) -> Typing<'static> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    match kubernetes().by_kind(group, version, kind) {
        Some(resource) => Typing::new(kubernetes(), resource.ty),
        None => Typing::deduced(kubernetes()),
    }
}

/// Without what Go writes or drops on its own: nulls and empty objects.
fn pruned(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().map(|(key, value)| (key.clone(), pruned(value)));
            let zero = |key: &str, value: &Value| key == "targetPort" && *value == json!(0);
            Value::Object(kept.filter(|(k, v)| !v.is_null() && *v != json!({}) && !zero(k, v)).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(pruned).collect()),
        other => other.clone(),
    }
}

fn visible(object: &Value) -> Value {
    let mut object = object.clone();
    set_managed_fields(&mut object, Value::Null);
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("uid");
    }
    pruned(&object)
}

/// The entries without their times, in an order of their own.
fn owners(entries: &Value) -> Vec<Value> {
    let mut list: Vec<Value> = entries.as_array().cloned().unwrap_or_default();
    for entry in &mut list {
        entry.as_object_mut().expect("entry").remove("time");
        without_bare_resources(entry);
    }
    list.sort_by_key(|entry| format!("{}{}{}", entry["operation"], entry["manager"], entry["apiVersion"]));
    list
}

/// Go writes `resources: {}` into every container, so that upstream's owners own that too.
fn without_bare_resources(set: &mut Value) {
    let Value::Object(map) = set else { return };
    if let Some(Value::Object(resources)) = map.get_mut("f:resources") {
        resources.remove(".");
    }
    map.retain(|key, value| key != "f:resources" || *value != json!({}));
    map.retain(|_, value| {
        let was_bare = *value == json!({});
        without_bare_resources(value);
        was_bare || *value != json!({})
    });
}

/// Go drops empty maps of strings; decoding does that for real requests.
fn without_bare_maps(value: &mut Value) {
    let bare = ["labels", "annotations", "matchLabels", "nodeSelector", "data", "limits"];
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(without_bare_maps);
            map.retain(|key, value| !bare.contains(&key.as_str()) || *value != json!({}));
        }
        Value::Array(list) => list.iter_mut().for_each(without_bare_maps),
        _ => {}
    }
}

fn step(live: &mut Option<Value>, op: &Value, api_version: &str, kind: &str) -> Result<(), ApplyError> {
    let typing = typing(api_version, kind);
    let write = write(op["m"].as_str().expect("manager"), api_version, kind != "ConfigMap");
    let object = op["o"].clone();
    let empty = json!({"apiVersion": api_version, "kind": kind, "metadata": {}});
    match op["op"].as_str().expect("op") {
        "apply" => {
            let before = live.clone().unwrap_or(empty);
            let applied = apply(typing, &before, &object, &write, op["force"] == json!(true))?;
            *live = Some(applied.object);
        }
        verb => {
            let mut new = match (verb, &live) {
                ("patch", _) => merge::apply(live.clone().unwrap_or(empty), object).expect("a patch"),
                _ => object,
            };
            without_bare_maps(&mut new);
            match live {
                Some(live) => on_update(typing, live, &mut new, &write),
                None => on_create(typing, &mut new, &write),
            }
            *live = Some(new);
        }
    }
    Ok(())
}

fn replay(case: &Value) -> Result<(), String> {
    let text = |name: &str| case[name].as_str().expect("text").to_owned();
    let (api_version, kind) = (text("v"), text("k"));
    let mut live = None;
    for (i, op) in case["ops"].as_array().expect("ops").iter().enumerate() {
        let result = step(&mut live, op, &api_version, &kind);
        let expected = op.get("e").and_then(Value::as_str);
        match (result, expected) {
            (Err(error), Some(text)) if error.to_string() == text => continue,
            (Err(ApplyError::Schema(_)), Some(text)) if text.starts_with("failed to create typed") => continue,
            (Ok(()), None) => {}
            (result, expected) => return Err(format!("op {i}: {result:?}\n  instead of {expected:?}\n  {op}")),
        }
        let object = live.as_ref().expect("written");
        let (found, wanted) = (visible(object), pruned(&op["r"]));
        if found != wanted {
            return Err(format!("op {i}: object\n  {found}\n  instead of\n  {wanted}\n  {op}"));
        }
        let (found, wanted) = (owners(managed_fields(object)), owners(op.get("f").unwrap_or(&Value::Null)));
        if found != wanted {
            let show = |list: &[Value]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n   ");
            return Err(format!("op {i}: owners\n   {}\n  instead of\n   {}\n  {op}", show(&found), show(&wanted)));
        }
    }
    Ok(())
}

/// Protocol: S2, S6, S7
#[test]
fn as_upstreams_field_manager() {
    let path = std::env::var("APPLY_CASES").ok();
    let text = match path {
        Some(path) => std::fs::read_to_string(path).expect("cases"),
        None => include_str!("cases.jsonl").to_owned(),
    };
    let mut failures = Vec::new();
    let mut count = 0;
    for (i, line) in text.lines().enumerate() {
        count += 1;
        let case: Value = serde_json::from_str(line).expect("case");
        if let Err(failure) = replay(&case) {
            failures.push(format!("case {i} {} {failure}", case["k"]));
        }
    }
    let shown: Vec<&str> = failures.iter().take(6).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} of {count} failed:\n{}", failures.len(), shown.join("\n"));
}

fn applied(live: &Value, config: &Value, manager: &str, force: bool) -> Result<super::Applied, ApplyError> {
    let api_version = config["apiVersion"].as_str().expect("version");
    let kind = config["kind"].as_str().expect("kind");
    apply(typing(api_version, kind), live, config, &write(manager, api_version, true), force)
}

/// Protocol: S7
#[test]
fn conflicts_name_field_and_owner() {
    let config = |replicas: u32, paused: bool| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
               "spec": {"replicas": replicas, "paused": paused}})
    };
    let mut live =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 1}});
    on_create(typing("apps/v1", "Deployment"), &mut live, &write("curl", "apps/v1", true));
    let one = applied(&live, &config(2, false), "a", false).expect_err("conflict");
    assert_eq!(one.to_string(), "Apply failed with 1 conflict: conflict with \"curl\" using apps/v1: .spec.replicas");
    let live = applied(&live, &config(2, false), "a", true).expect("forced").object;
    let two = applied(&live, &config(3, true), "b", false).expect_err("conflicts");
    assert_eq!(
        two.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"a\":\n- .spec.paused\n- .spec.replicas"
    );
    let ApplyError::Conflicts(causes) = two else { panic!("conflicts") };
    assert_eq!(causes[0].message(), "conflict with \"a\"");
    let again = applied(&live, &config(2, false), "a", false).expect("the same");
    assert!(!again.changed);
    assert_eq!(again.object, live);
    let shared = applied(&live, &config(2, false), "b", false).expect("shared");
    assert!(shared.changed, "a new owner is a change");
}

/// Protocol: S1
#[test]
fn bad_configurations_are_refused() {
    let live = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}});
    let table = [
        (json!({"spec": {"replica": 1}}), ".spec.replica: field not declared in schema"),
        (
            json!({"spec": {"replicas": "1"}}),
            ".spec.replicas: expected numeric (int or float), got &value.valueUnstructured{Value:\"1\"}",
        ),
        (json!({"spec": {"template": []}}), ".spec.template: expected map, got &{[]}"),
        (json!({"spec": {"paused": 1}}), ".spec.paused: expected boolean, got &value.valueUnstructured{Value:1}"),
        (
            json!({"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}}}),
            ".spec.template.spec.containers: duplicate entries for key [name=\"a\"]",
        ),
        (
            json!({"spec": {"template": {"spec": {"containers": ["a"]}}}}),
            ".spec.template.spec.containers: element 0: associative list with keys may not have non-map elements",
        ),
        (
            json!({"metadata": {"finalizers": [null]}}),
            ".metadata.finalizers: element 0: associative list without keys has an element that's an explicit null",
        ),
        (json!({"foo": 1}), ".foo: field not declared in schema"),
    ];
    for (mut config, message) in table {
        let map = config.as_object_mut().expect("object");
        map.insert("apiVersion".into(), json!("apps/v1"));
        map.insert("kind".into(), json!("Deployment"));
        let error = applied(&live, &config, "a", true).expect_err(message);
        let wanted = format!("failed to create typed patch object (/; apps/v1, Kind=Deployment): {message}");
        assert_eq!(error.to_string(), wanted);
    }
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"managedFields": []}});
    let error = applied(&live, &config, "a", true).expect_err("managed fields");
    assert_eq!(error, ApplyError::BadRequest("metadata.managedFields must be nil".into()));
    let bad = json!({"metadata": {"managedFields": [{"operation": "Steal"}]}});
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {}});
    assert!(matches!(applied(&bad, &config, "a", true), Err(ApplyError::Live(_))));
}

/// Protocol: S9
#[test]
fn kubectl_takes_over_what_it_applied_on_the_client() {
    let last =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1", "b": "1"}});
    let mut live = last.clone();
    live["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": format!("{last}\n")});
    on_create(typing("v1", "ConfigMap"), &mut live, &write("kubectl-client-side-apply", "v1", false));
    let mut config = last;
    config["data"] = json!({"a": "2", "b": "1"});
    assert!(applied(&live, &config, "other", false).is_err());
    let new = applied(&live, &config, "kubectl", false).expect("no conflict with itself").object;
    assert_eq!(new["data"], json!({"a": "2", "b": "1"}));
    let annotation = &new["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    assert!(annotation.as_str().expect("text").contains("\"a\":\"2\""));
    // What somebody changed since is a conflict still.
    live["data"]["a"] = json!("9");
    assert!(applied(&live, &config, "kubectl", false).is_err());
}

#[test]
fn large_and_deep_objects_stay_cheap() {
    let data: Map<String, Value> = (0..20_000).map(|i| (format!("k{i}"), json!("v"))).collect();
    let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data});
    let start = Instant::now();
    let first = applied(&live, &config, "a", false).expect("applies").object;
    let less = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    let second = applied(&first, &less, "a", false).expect("applies").object;
    assert_eq!(second.get("data"), None);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    let mut deep = json!("x");
    for _ in 0..120 {
        deep = json!({"a": deep});
    }
    let config = json!({"apiVersion": "example.com/v1", "kind": "Thing", "spec": deep});
    let first = applied(&json!({}), &config, "a", false).expect("applies").object;
    let less = json!({"apiVersion": "example.com/v1", "kind": "Thing"});
    assert_eq!(applied(&first, &less, "a", false).expect("applies").object.get("spec"), None);
}

/// Not a benchmark, but a guard against another order of magnitude: run with `--release` to read the figure.
#[test]
fn an_apply_of_two_kilobytes_is_quick() {
    let container = |name: &str| {
        json!({"name": name, "image": format!("registry.example.com/team/{name}:1.2.3"),
               "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
               "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 443, "name": "https"}],
               "resources": {"limits": {"cpu": "500m", "memory": "128Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}},
               "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 5}})
    };
    let mut config = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "tier": "front"}},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
                 "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container("a"), container("b"), container("c")],
                 "volumes": [{"name": "v", "configMap": {"name": "c"}}]}}}});
    let empty = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}});
    let mut live = applied(&empty, &config, "a", false).expect("applies").object;
    let rounds = 200;
    let start = Instant::now();
    for i in 0..rounds {
        config["spec"]["replicas"] = json!(i);
        live = applied(&live, &config, "a", false).expect("applies").object;
    }
    let each = start.elapsed() / rounds;
    println!("{} bytes, {each:?} an apply", config.to_string().len());
    assert!(each.as_millis() < 20, "{each:?}");
}
