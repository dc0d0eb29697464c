//! What the server itself writes into a few kinds when they are created, whatever the request says.
//!
//! Source: the strategies of k8s.io/kubernetes `pkg/registry/{apps,batch,core,certificates}`, of k8s.io/kube-aggregator
//! `pkg/registry/apiservice`.

use serde_json::{Map, Value, json};

use super::{Operation, Review};
use crate::aggregation;
use crate::call::Call;
use crate::custom;
use crate::kinds::Kind;
use crate::object;
use crate::verb::write::Part;

/// How often the template of a DaemonSet has changed. Nobody reads it any more, but it is in every answer.
const TEMPLATES: &str = "deprecated.daemonset.template.generation";
/// Labels of a Job's pods that hold its name.
const NAME_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];
/// Labels of a Job's pods that hold its uid; it selects by the first.
const UID_LABELS: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];

/// Fills in a new object's first status, and who asks for a certificate.
pub(crate) fn admit(call: &Call, new: &mut Value, review: &Review<'_>) {
    if review.operation != Operation::Create {
        if custom::is_definition(&call.kind) {
            federation_schema::crd::default(new);
            custom::status::keep_stored(new);
        }
        return;
    }
    match (&*call.kind.group, &*call.kind.plural) {
        ("", "pods") => {
            new["status"] = json!({"phase": "Pending", "qosClass": super::amounts::qos_class(new)});
        }
        ("", "persistentvolumeclaims" | "persistentvolumes") => {
            new["status"] = json!({"phase": "Pending"});
        }
        ("certificates.k8s.io", "certificatesigningrequests") => name_requestor(call, new),
        (aggregation::GROUP, aggregation::PLURAL) => {
            new["status"] = aggregation::condition::first_status(new, &call.server.timestamp());
        }
        ("batch", "jobs") => select_own(new),
        (custom::GROUP, custom::PLURAL) => {
            federation_schema::crd::default(new);
            new["status"] = custom::status::initial(new);
        }
        _ => {}
    }
}

/// A Job selects the pods that bear its uid, unless the user selects.
fn select_own(job: &mut Value) {
    if job.pointer("/spec/manualSelector") == Some(&Value::Bool(true)) {
        return;
    }
    let (name, uid) = (object::name(job).to_owned(), object::uid(job).to_owned());
    let names = NAME_LABELS.iter().map(|label| (*label, &name));
    let uids = UID_LABELS.iter().map(|label| (*label, &uid));
    if let Some(labels) = below(job, &["spec", "template", "metadata", "labels"]) {
        for (label, value) in names.chain(uids) {
            labels.entry(label).or_insert_with(|| value.as_str().into());
        }
    }
    if let Some(labels) = below(job, &["spec", "selector", "matchLabels"]) {
        labels.entry(UID_LABELS[0]).or_insert_with(|| uid.as_str().into());
    }
}

/// The object at a path, made where there is none.
fn below<'v>(object: &'v mut Value, path: &[&str]) -> Option<&'v mut Map<String, Value>> {
    let mut at = object.as_object_mut()?;
    for name in path {
        let next = at.entry(*name).or_insert(Value::Null);
        if next.is_null() {
            *next = json!({});
        }
        at = next.as_object_mut()?;
    }
    Some(at)
}

fn counts_templates(kind: &Kind) -> bool {
    &*kind.group == "apps" && &*kind.plural == "daemonsets"
}

/// A DaemonSet of a request that does not say how often its template has changed.
pub(crate) fn uncounted(call: &Call, new: &mut Value) {
    if counts_templates(&call.kind) && object::annotation(new, TEMPLATES).is_none() {
        object::set_annotation(new, TEMPLATES, Some("0"));
    }
}

/// Counts the changes of a DaemonSet's template; the request cannot.
pub(crate) fn count_templates(call: &Call, new: &mut Value, review: &Review<'_>) {
    if !counts_templates(&call.kind) {
        return;
    }
    let number = |object: &Value| object::annotation(object, TEMPLATES).and_then(|text| text.parse::<i64>().ok());
    let count = match review.old {
        None => number(new).unwrap_or(0).max(1),
        Some(old) => {
            let template = |object: &Value| object.pointer("/spec/template").cloned();
            let changed = review.part == Part::Main && template(old) != template(new);
            number(old).unwrap_or(0) + i64::from(changed)
        }
    };
    object::set_annotation(new, TEMPLATES, Some(&count.to_string()));
}

fn name_requestor(call: &Call, new: &mut Value) {
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let user = &call.user;
    spec.insert("username".to_owned(), user.name.clone().into());
    for (field, value) in [("uid", json!(user.uid)), ("groups", json!(user.groups)), ("extra", json!(user.extra))] {
        let empty = matches!(&value, Value::String(text) if text.is_empty())
            || matches!(&value, Value::Array(list) if list.is_empty())
            || matches!(&value, Value::Object(map) if map.is_empty());
        if empty {
            spec.remove(field);
        } else {
            spec.insert(field.to_owned(), value);
        }
    }
}
