//! What may change of a Job's pods: nothing, but for one that waits for whoever queues it.
//!
//! Source: kubernetes `pkg/apis/batch/validation` and `pkg/registry/batch/job`.

use serde_json::{Map, Value, json};

use super::read::{at, deep, list, text};
use crate::field::{FieldError, FieldPath};
use crate::selector::LabelSelector;

const IMMUTABLE: &str = "field is immutable";

/// Judges a changed pod template.
pub(super) fn check_template(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let (now, before) = (deep(new, "spec.template"), deep(old, "spec.template"));
    if now == before {
        return;
    }
    if !waits(old) {
        errors.push(FieldError::invalid(&FieldPath::root("spec.template"), now.clone(), IMMUTABLE));
        return;
    }
    // Labels and annotations are free as well, so only the pods' specification is left.
    let (now, mut before) = (at(now, "spec"), at(before, "spec").clone());
    free_scheduling(now, &mut before);
    free_resources(now, &mut before);
    if *now != before {
        errors.push(FieldError::invalid(&FieldPath::root("spec.template.spec"), now.clone(), IMMUTABLE));
    }
}

/// The selector of a new Job is the one that the server makes, unless the user says that it is not.
pub(super) fn check_selector(new: &Value, errors: &mut Vec<FieldError>) {
    let selector = deep(new, "spec.selector");
    if *deep(new, "spec.manualSelector") == Value::Bool(true) || selector.is_null() {
        return;
    }
    let (name, uid) = (deep(new, "metadata.name"), deep(new, "metadata.uid"));
    let expected = [
        ("controller-uid", uid),
        ("job-name", name),
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
    ];
    let path = FieldPath::root("spec.template.metadata.labels");
    let labels = deep(new, "spec.template.metadata.labels");
    for (label, value) in expected {
        let detail = format!("must be '{}'", value.as_str().unwrap_or(""));
        match labels.get(label) {
            None => errors.push(FieldError::required(&path.key(label), detail)),
            Some(given) if given != value => errors.push(FieldError::invalid(&path.key(label), labels.clone(), detail)),
            Some(_) => {}
        }
    }
    let all: Map<String, Value> =
        expected.iter().map(|(label, value)| ((*label).to_owned(), (*value).clone())).collect();
    let path = FieldPath::root("spec.selector");
    if let Ok(parsed) = LabelSelector::from_object(selector, &path)
        && !parsed.matches(&Some(&all))
    {
        errors.push(FieldError::invalid(&path, selector.clone(), "`selector` not auto-generated"));
    }
}

/// Whether the Job is suspended and has no pods: it never ran, or it has stopped.
fn waits(job: &Value) -> bool {
    let stopped = list(at(job, "status"), "conditions")
        .iter()
        .any(|one| text(one, "type") == "Suspended" && text(one, "status") == "True");
    let fresh = deep(job, "status.startTime").is_null();
    let active = deep(job, "status.active").as_i64().unwrap_or(0);
    *deep(job, "spec.suspend") == Value::Bool(true) && (fresh || stopped) && active == 0
}

/// Where the pods may run can be said until they do.
fn free_scheduling(now: &Value, before: &mut Value) {
    let Some(before) = before.as_object_mut() else { return };
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        adopt(before, now, field);
    }
    if at(now, "affinity").is_null() && before.get("affinity").is_none_or(Value::is_null) {
        return;
    }
    let affinity = before.entry("affinity").or_insert_with(|| json!({}));
    if let Some(affinity) = affinity.as_object_mut() {
        adopt(affinity, at(now, "affinity"), "nodeAffinity");
    }
    if at(now, "affinity").is_null() && *affinity == json!({}) {
        before.remove("affinity");
    }
}

fn free_resources(now: &Value, before: &mut Value) {
    for name in ["containers", "initContainers"] {
        let now = list(now, name);
        let Some(before) = before.get_mut(name).and_then(Value::as_array_mut).filter(|list| list.len() == now.len())
        else {
            continue;
        };
        for (now, before) in now.iter().zip(before) {
            let same = text(now, "name") == text(before, "name");
            if let Some(before) = before.as_object_mut().filter(|_| same) {
                adopt(before, now, "resources");
            }
        }
    }
}

fn adopt(into: &mut Map<String, Value>, from: &Value, field: &str) {
    match from.get(field) {
        Some(value) => into.insert(field.to_owned(), value.clone()),
        None => into.remove(field),
    };
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check_template;

    fn job(suspend: bool, pod: Value) -> Value {
        json!({"spec": {"suspend": suspend, "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod}}})
    }

    fn judged(new: &Value, old: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        check_template(new, old, &mut errors);
        errors.iter().map(|error| format!("{} {}", error.path, error.reason())).collect()
    }

    /// Protocol: E5
    #[test]
    fn a_job_that_waits_can_still_be_placed() {
        let old = json!({"containers": [{"name": "c", "image": "i", "resources": {}}]});
        let mut placed = old.clone();
        placed["nodeSelector"] = json!({"a": "b"});
        placed["containers"][0]["resources"] = json!({"limits": {"cpu": "1"}});
        placed["affinity"] = json!({"nodeAffinity": {"x": 1}});
        let mut other = placed.clone();
        other["containers"][0]["image"] = json!("other");
        let none: Vec<String> = Vec::new();
        assert_eq!(judged(&job(true, placed.clone()), &job(true, old.clone())), none);
        assert_eq!(judged(&job(true, old.clone()), &job(true, placed.clone())), none);
        let refused = |path: &str| vec![format!("{path} FieldValueInvalid")];
        assert_eq!(judged(&job(true, other), &job(true, old.clone())), refused("spec.template.spec"));
        assert_eq!(judged(&job(false, placed.clone()), &job(false, old.clone())), refused("spec.template"));
        let mut running = job(true, old);
        running["status"] = json!({"startTime": "2026-01-01T00:00:00Z", "active": 1});
        assert_eq!(judged(&job(true, placed), &running), refused("spec.template"));
    }
}
