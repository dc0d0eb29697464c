//! Defaults that follow from other amounts: a pod's requests from its limits, a LimitRange's defaults from its bounds.
//!
//! Source: k8s.io/kubernetes `pkg/apis/core/v1/defaults.go`. Pods as they stand alone, never pod templates.

use serde_json::{Value, json};

/// Fills in what follows from other amounts.
pub(super) fn set(object: &mut Value) {
    match kind(object) {
        "Pod" => containers(object, &mut |container| {
            fill(container.get_mut("resources").unwrap_or(&mut Value::Null), "limits", "requests");
        }),
        "LimitRange" => {
            let items = object.pointer_mut("/spec/limits").and_then(Value::as_array_mut);
            for item in items.into_iter().flatten().filter(|item| item["type"] == "Container") {
                fill(item, "max", "default");
                fill(item, "default", "defaultRequest");
                fill(item, "min", "defaultRequest");
            }
        }
        _ => {}
    }
}

/// Takes a pod's requests away that say what its limits say: a member fills them in as well, and from the limits that
/// it gets.
pub(super) fn strip(object: &mut Value) {
    if kind(object) != "Pod" {
        return;
    }
    containers(object, &mut |container| {
        let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else { return };
        let limits = resources.get("limits").cloned().unwrap_or(Value::Null);
        let Some(requests) = resources.get_mut("requests").and_then(Value::as_object_mut) else { return };
        requests.retain(|name, value| limits.get(name) != Some(value));
        if requests.is_empty() {
            resources.remove("requests");
        }
    });
}

fn kind(object: &Value) -> &str {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or("");
    if text("apiVersion") == "v1" { text("kind") } else { "" }
}

fn containers(pod: &mut Value, change: &mut dyn FnMut(&mut Value)) {
    for list in ["containers", "initContainers"] {
        let all = pod.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
        all.into_iter().flatten().for_each(&mut *change);
    }
}

/// Copies to the map `to` what it has not and the map `from` has.
fn fill(within: &mut Value, from: &str, to: &str) {
    let Some(given) = within.get(from).and_then(Value::as_object).filter(|given| !given.is_empty()).cloned() else {
        return;
    };
    if !within.get(to).is_some_and(Value::is_object) {
        within[to] = json!({});
    }
    let Some(filled) = within[to].as_object_mut() else { return };
    for (name, value) in given {
        filled.entry(name).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{set, strip};

    /// Protocol: A5
    #[test]
    fn amounts_follow_from_amounts() {
        let bare = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [
            {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}}, {}]}});
        let mut pod = bare.clone();
        set(&mut pod);
        assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "500m", "memory": "1Gi"}));
        strip(&mut pod);
        assert_eq!(pod, bare);
        let mut range = json!({"apiVersion": "v1", "kind": "LimitRange", "spec": {"limits": [
            {"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1", "memory": "1Gi"}},
            {"type": "Pod", "max": {"cpu": "2"}}]}});
        set(&mut range);
        assert_eq!(
            range["spec"]["limits"],
            json!([{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1", "memory": "1Gi"},
                "default": {"cpu": "2"}, "defaultRequest": {"cpu": "2", "memory": "1Gi"}},
                {"type": "Pod", "max": {"cpu": "2"}}])
        );
    }
}
