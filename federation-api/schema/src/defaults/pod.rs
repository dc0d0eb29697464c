//! What admission of an API server fills into a Pod, taken out again: a member has admission of its own, with accounts,
//! classes and limits of its own.
//!
//! | filled in by | what is taken out |
//! |---|---|
//! | ServiceAccount | the account `default`, the token's volume and its mounts, unless mounting is switched off |
//! | Priority | `priority`, `preemptionPolicy`: they follow from the class |
//! | RuntimeClass | `overhead`: it follows from the class |
//! | DefaultTolerationSeconds | the two tolerations of five minutes |
//! | LimitRanger | nothing: limits are the user's own policy |

use serde_json::{Value, json};

const VOLUME: &str = "kube-api-access-";
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// Takes out of a Pod what admission fills in anyway.
pub(super) fn strip(object: &mut Value) {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or("");
    if (text("apiVersion"), text("kind")) != ("v1", "Pod") {
        return;
    }
    let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    let mounts = spec.get("automountServiceAccountToken") != Some(&Value::Bool(false));
    if mounts {
        let is_ours =
            |one: &Value| one.get("name").and_then(Value::as_str).is_some_and(|name| name.starts_with(VOLUME));
        retain(spec, "volumes", |volume| !(is_ours(volume) && volume.get("projected").is_some()));
        for list in ["initContainers", "containers"] {
            let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            containers.for_each(|container| retain(container, "volumeMounts", |mount| !is_ours(mount)));
        }
    }
    retain(spec, "tolerations", |one| {
        !TAINTS.iter().any(|taint| {
            *one == json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
        })
    });
    let Some(spec) = spec.as_object_mut() else { return };
    for field in ["priority", "preemptionPolicy", "overhead"] {
        spec.remove(field);
    }
    if spec.get("serviceAccountName").and_then(Value::as_str) == Some("default") {
        spec.remove("serviceAccountName");
    }
    // Another name of the same, which a member fills in as well.
    spec.remove("serviceAccount");
}

/// Keeps some items of a list, and the list only if it keeps any or had none.
fn retain(of: &mut Value, field: &str, keep: impl Fn(&Value) -> bool) {
    let Some(map) = of.as_object_mut() else { return };
    let Some(list) = map.get_mut(field).and_then(Value::as_array_mut) else { return };
    let before = list.len();
    list.retain(keep);
    if list.is_empty() && before > 0 {
        map.remove(field);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::strip;

    #[test]
    fn what_admission_fills_in_does_not_travel() {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {
            "serviceAccountName": "default", "serviceAccount": "default", "priority": 0, "preemptionPolicy": "PreemptLowerPriority",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            "volumes": [{"name": "kube-api-access-abcde", "projected": {}}, {"name": "own", "emptyDir": {}}],
            "containers": [{"name": "c", "volumeMounts": [{"name": "kube-api-access-abcde", "mountPath": "/x"}]}]}});
        strip(&mut pod);
        let bare = json!({"apiVersion": "v1", "kind": "Pod", "spec": {
            "volumes": [{"name": "own", "emptyDir": {}}], "containers": [{"name": "c"}]}});
        assert_eq!(pod, bare);
        let own = json!({"apiVersion": "v1", "kind": "Pod", "spec": {
            "serviceAccountName": "robot", "automountServiceAccountToken": false, "tolerations": [{"operator": "Exists"}],
            "volumes": [{"name": "kube-api-access-mine", "projected": {}}], "containers": []}});
        let mut kept = own.clone();
        strip(&mut kept);
        assert_eq!(kept, own);
    }
}
