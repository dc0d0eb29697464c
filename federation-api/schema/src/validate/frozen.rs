//! Specs of which little may change after creation: pods, claims, StatefulSets; and disruption budgets.
//!
//! Source: k8s.io/kubernetes `pkg/apis/{core,apps,policy}/validation/validation.go`. Upstream ends such a refusal with a
//! diff for people; here the words alone are said.

use serde_json::Value;

use super::read::{at, deep, text};
use crate::defaults::set_defaults;
use crate::facts::Resource;
use crate::field::{FieldError, FieldPath};
use crate::selector::LabelSelector;

const POD: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
const CLAIM: &str =
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
const STATEFUL_SET: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

/// What may change of a StatefulSet.
const STATEFUL_SET_FREE: &[&str] = &[
    "minReadySeconds",
    "ordinals",
    "persistentVolumeClaimRetentionPolicy",
    "replicas",
    "revisionHistoryLimit",
    "template",
    "updateStrategy",
];
/// What may change of a Pod, some of it only in one direction.
const POD_FREE: &[&str] = &[
    "activeDeadlineSeconds",
    "ephemeralContainers",
    "schedulingGates",
    "terminationGracePeriodSeconds",
    "tolerations",
];

/// Judges a changed spec.
pub(super) fn check(resource: &Resource, new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    match (&*resource.group, &*resource.kind) {
        ("", "Pod") => check_pod(new, old, errors),
        ("", "PersistentVolumeClaim") => check_claim(new, old, errors),
        ("apps", "StatefulSet") => check_stateful_set(new, old, errors),
        _ => {}
    }
}

fn check_pod(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let (now, before) = (at(new, "spec"), at(old, "spec"));
    let path = FieldPath::root("spec");
    check_deadline(at(now, "activeDeadlineSeconds"), at(before, "activeDeadlineSeconds"), &path, errors);
    for field in ["tolerations", "schedulingGates"] {
        let list = |spec: &Value| at(spec, field).as_array().cloned().unwrap_or_else(Vec::new);
        let (now, before) = (list(now), list(before));
        let added = field == "tolerations";
        let (few, many) = if added { (&before, &now) } else { (&now, &before) };
        if !few.iter().all(|one| many.contains(one)) {
            let detail = if added {
                "existing toleration can not be modified except its tolerationSeconds"
            } else {
                "only deletion is allowed, but found new scheduling gate"
            };
            let same_but_seconds =
                added && few.iter().all(|one| many.iter().any(|other| without_seconds(other) == without_seconds(one)));
            if !same_but_seconds {
                errors.push(FieldError::forbidden(&path.child(field), detail));
            }
        }
    }
    let (mut now, mut before) = (whole(new), whole(old));
    for list in ["containers", "initContainers"] {
        for spec in [&mut now, &mut before] {
            let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            containers.filter_map(Value::as_object_mut).for_each(|container| {
                container.remove("image");
                // Resizing has an endpoint of its own, which is judged here as well.
                container.remove("resources");
            });
        }
    }
    let bound = text(at(old, "spec"), "nodeName").is_empty();
    for spec in [&mut now, &mut before] {
        drop_fields(spec, POD_FREE);
        if bound {
            drop_fields(spec, &["nodeName"]);
        }
    }
    if now != before {
        errors.push(FieldError::forbidden(&path, POD));
    }
}

/// Resources of containers change by an endpoint of their own, never with the pod.
pub fn refuse_resized(new: &Value, old: &Value) -> Vec<FieldError> {
    let resources = |pod: &Value| -> Vec<Value> {
        let pod = whole(pod);
        let lists = ["containers", "initContainers"].map(|list| at(&pod, list).as_array().cloned());
        lists.into_iter().flatten().flatten().map(|container| at(&container, "resources").clone()).collect()
    };
    if at(new, "spec") == at(old, "spec") || resources(new) == resources(old) {
        return Vec::new();
    }
    vec![FieldError::forbidden(&FieldPath::root("spec"), POD)]
}

fn check_deadline(now: &Value, before: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let path = path.child("activeDeadlineSeconds");
    match (now.as_i64(), before.as_i64()) {
        (Some(now), _) if !(0..=i64::from(i32::MAX)).contains(&now) => {
            errors.push(FieldError::invalid(&path, now, "must be between 0 and 2147483647, inclusive"));
        }
        (Some(now), Some(before)) if before < now => {
            errors.push(FieldError::invalid(&path, now, "must be less than or equal to previous value"));
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(&path, Value::Null, detail));
        }
        _ => {}
    }
}

fn without_seconds(toleration: &Value) -> Value {
    let mut toleration = toleration.clone();
    drop_fields(&mut toleration, &["tolerationSeconds"]);
    toleration
}

fn check_claim(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let (mut now, mut before) = (whole(new), whole(old));
    let mut free = vec!["volumeAttributesClassName"];
    for field in ["volumeName", "storageClassName"] {
        if at(&before, field).as_str().is_none_or(str::is_empty) {
            free.push(field);
        }
    }
    let bound = deep(old, "status.phase").as_str() == Some("Bound");
    for spec in [&mut now, &mut before] {
        drop_fields(spec, &free);
        if let Some(resources) = spec.get_mut("resources").filter(|_| bound) {
            drop_fields(resources, &["requests"]);
        }
    }
    if now != before {
        errors.push(FieldError::forbidden(&FieldPath::root("spec"), CLAIM));
    }
}

fn check_stateful_set(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let (mut now, mut before) = (whole(new), whole(old));
    drop_fields(&mut now, STATEFUL_SET_FREE);
    drop_fields(&mut before, STATEFUL_SET_FREE);
    if now != before {
        errors.push(FieldError::forbidden(&FieldPath::root("spec"), STATEFUL_SET));
    }
}

pub(super) fn check_budget(new: &Value, errors: &mut Vec<FieldError>) {
    let (spec, path) = (at(new, "spec"), FieldPath::root("spec"));
    let (least, most) = (at(spec, "minAvailable"), at(spec, "maxUnavailable"));
    if !least.is_null() && !most.is_null() {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid(&path, spec.clone(), detail));
    }
    for (field, value) in [("minAvailable", least), ("maxUnavailable", most)] {
        let path = path.child(field);
        if value.as_i64().is_some_and(|number| number < 0) {
            errors.push(FieldError::invalid(&path, value.clone(), "must be greater than or equal to 0"));
        }
        if let Some(given) = value.as_str() {
            let percent = given
                .strip_suffix('%')
                .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
            match percent.map(str::parse::<u64>) {
                Some(Ok(..=100)) => {}
                Some(_) => errors.push(FieldError::invalid(&path, given, "must not be greater than 100%")),
                None => {
                    let detail = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
                    errors.push(FieldError::invalid(&path, given, detail));
                }
            }
        }
    }
    let selector = at(spec, "selector");
    if !selector.is_null()
        && let Err(mut found) = LabelSelector::from_object(selector, &path.child("selector"))
    {
        errors.append(&mut found);
    }
    let policy = text(spec, "unhealthyPodEvictionPolicy");
    super::read::one_of(errors, &path.child("unhealthyPodEvictionPolicy"), policy, &["AlwaysAllow", "IfHealthyBudget"]);
}

/// The spec with its defaults: what was stored before a default was known is the same.
fn whole(object: &Value) -> Value {
    let mut object = object.clone();
    set_defaults(&mut object);
    object.get_mut("spec").map(Value::take).unwrap_or(Value::Null)
}

fn drop_fields(of: &mut Value, fields: &[&str]) {
    if let Some(map) = of.as_object_mut() {
        map.retain(|name, _| !fields.contains(&name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{check_budget, check_claim, check_pod, check_stateful_set};
    use crate::field::FieldError;

    fn told(check: impl Fn(&mut Vec<FieldError>)) -> String {
        let mut errors = Vec::new();
        check(&mut errors);
        errors.iter().map(|error| error.path.clone()).collect::<Vec<_>>().join(",")
    }

    fn pod(spec: Value) -> Value {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c", "image": "i"}]}});
        for (field, value) in spec.as_object().into_iter().flatten() {
            pod["spec"][field] = value.clone();
        }
        pod
    }

    #[test]
    fn little_of_a_pod_may_change() {
        let image = json!({"containers": [{"name": "c", "image": "j"}]});
        let env = json!({"containers": [{"name": "c", "image": "i", "env": [{"name": "A"}]}]});
        let tolerates = |seconds: i64| json!({"tolerations": [{"operator": "Exists", "tolerationSeconds": seconds}]});
        for (old, new, want) in [
            (json!({}), image, ""),
            (json!({}), env, "spec"),
            (json!({}), json!({"nodeName": "n"}), ""),
            (json!({"nodeName": "n"}), json!({"nodeName": "m"}), "spec"),
            (json!({}), tolerates(1), ""),
            (tolerates(1), tolerates(2), ""),
            (tolerates(1), json!({}), "spec.tolerations"),
            (json!({"activeDeadlineSeconds": 5}), json!({"activeDeadlineSeconds": 4}), ""),
            (json!({"activeDeadlineSeconds": 5}), json!({"activeDeadlineSeconds": 6}), "spec.activeDeadlineSeconds"),
            (json!({"activeDeadlineSeconds": 5}), json!({}), "spec.activeDeadlineSeconds"),
        ] {
            assert_eq!(told(|errors| check_pod(&pod(new.clone()), &pod(old.clone()), errors)), want, "{old} {new}");
        }
    }

    #[test]
    fn little_of_a_claim_and_of_a_stateful_set_may_change() {
        let claim = |size: &str, phase: &str| {
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": phase},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}})
        };
        assert_eq!(told(|errors| check_claim(&claim("2Gi", "Bound"), &claim("1Gi", "Bound"), errors)), "");
        assert_eq!(told(|errors| check_claim(&claim("2Gi", "Pending"), &claim("1Gi", "Pending"), errors)), "spec");
        let set = |field: &str, value: Value| {
            let mut set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": {"serviceName": "s"}});
            set["spec"][field] = value;
            set
        };
        assert_eq!(
            told(|errors| check_stateful_set(&set("replicas", json!(3)), &set("replicas", json!(1)), errors)),
            ""
        );
        assert_eq!(
            told(|errors| check_stateful_set(&set("serviceName", json!("t")), &set("replicas", json!(1)), errors)),
            "spec"
        );
    }

    #[test]
    fn budgets_say_one_thing() {
        for (spec, want) in [
            (json!({"minAvailable": 1}), ""),
            (json!({"maxUnavailable": "50%"}), ""),
            (json!({"minAvailable": 1, "maxUnavailable": 1}), "spec"),
            (json!({"minAvailable": "150%"}), "spec.minAvailable"),
            (json!({"minAvailable": "many"}), "spec.minAvailable"),
            (json!({"minAvailable": -1}), "spec.minAvailable"),
        ] {
            assert_eq!(told(|errors| check_budget(&json!({"spec": spec}), errors)), want, "{spec}");
        }
    }
}
