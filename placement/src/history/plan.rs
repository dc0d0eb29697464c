//! Pure: from a template and its revisions to what has to be written.
//!
//! Source: `k8s.io/kubernetes/pkg/controller/deployment/util` and `pkg/controller/history`; the hash is ours.

use federation_types::label;
use federation_types::text::{at, int_at, list_at, name, str_at, uid, without_empty};
use serde_json::{Map, Value, json};

use crate::render::content_hash;

/// Annotation that numbers a Deployment's revisions, on the Deployment and on its ReplicaSets.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const POD_HASH: &str = "pod-template-hash";
const CONTROLLER_HASH: &str = "controller-revision-hash";
/// Revisions that are kept beside the current one where the template does not say.
const LIMIT: i64 = 10;

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    Create(Value),
    Patch {
        name: String,
        patch: Value,
    },
    Status {
        name: String,
        status: Value,
    },
    /// The template's own revision number.
    Number(i64),
    Delete {
        name: String,
        uid: String,
    },
}

/// The resource that keeps a template's revisions.
pub(super) fn resource(template: &Value) -> &'static str {
    if is_deployment(template) { "replicasets" } else { "controllerrevisions" }
}

fn is_deployment(template: &Value) -> bool {
    str_at(template, &["kind"]) == "Deployment"
}

/// Selects the template's revisions: they bear its pods' labels, and what members run bears a mark.
pub(super) fn selector(template: &Value) -> String {
    let labels = at(template, &["spec", "selector", "matchLabels"]).and_then(Value::as_object);
    let terms = labels.into_iter().flatten().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    terms.chain([format!("!{}", label::CLUSTER)]).collect::<Vec<_>>().join(",")
}

/// Whether the template of this UID controls `object`.
pub(super) fn is_owned_by(object: &Value, owner: &str) -> bool {
    list_at(object, &["metadata", "ownerReferences"])
        .any(|o| str_at(o, &["uid"]) == owner && o.get("controller").and_then(Value::as_bool) == Some(true))
}

/// What has to be written so that the revisions tell the template's history.
pub(super) fn plan(template: &Value, revisions: &[Value]) -> Vec<Action> {
    let mut actions = Vec::new();
    let wanted = content(template);
    let last = revisions.iter().map(number).max().unwrap_or(0);
    let current = revisions.iter().filter(|r| kept_content(r) == wanted).max_by_key(|r| number(r));
    let (current_name, revision) = match current {
        None => {
            let object = revision_object(template, last + 1);
            let fresh = name(&object).to_owned();
            actions.push(Action::Create(object));
            (fresh, last + 1)
        }
        Some(found) if number(found) < last => {
            actions.push(Action::Patch { name: name(found).to_owned(), patch: renumbered(template, found, last + 1) });
            (name(found).to_owned(), last + 1)
        }
        Some(found) => {
            actions.extend(annotated(template, found));
            (name(found).to_owned(), last)
        }
    };
    if is_deployment(template) {
        if str_at(template, &["metadata", "annotations", REVISION]) != revision.to_string() {
            actions.push(Action::Number(revision));
        }
        for one in revisions {
            counts(template, one, name(one) == current_name, &mut actions);
        }
    }
    prune(template, revisions, &current_name, &mut actions);
    actions
}

/// The pod template without what a revision adds, and without what typed clients such as `rollout undo` add.
fn content(template: &Value) -> String {
    comparable(at(template, &["spec", "template"]))
}

fn comparable(pod: Option<&Value>) -> String {
    content_hash(&without_empty(&without_hash(pod.cloned().unwrap_or(Value::Null))))
}

fn without_hash(mut pod: Value) -> Value {
    if let Some(fields) = pod.as_object_mut() {
        fields.remove("$patch");
    }
    if let Some(labels) = pod.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(POD_HASH);
    }
    if let Some(meta) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        if meta.get("creationTimestamp").is_some_and(Value::is_null) {
            meta.remove("creationTimestamp");
        }
        if meta.get("labels").and_then(Value::as_object).is_some_and(Map::is_empty) {
            meta.remove("labels");
        }
        if meta.is_empty()
            && let Some(fields) = pod.as_object_mut()
        {
            fields.remove("metadata");
        }
    }
    pod
}

fn kept_content(revision: &Value) -> String {
    let path: &[&str] =
        if revision.get("data").is_some() { &["data", "spec", "template"] } else { &["spec", "template"] };
    comparable(at(revision, path))
}

fn number(revision: &Value) -> i64 {
    // What is no number was not written by us; it counts as the oldest.
    int_at(revision, &["revision"])
        .or_else(|| str_at(revision, &["metadata", "annotations", REVISION]).parse().ok())
        .unwrap_or(0)
}

fn revision_object(template: &Value, revision: i64) -> Value {
    let hash = &content(template)[..10];
    let pod = at(template, &["spec", "template"]).cloned().unwrap_or_else(|| json!({}));
    let mut labels = pod.pointer("/metadata/labels").cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    let mut meta = json!({
        "namespace": str_at(template, &["metadata", "namespace"]),
        "name": format!("{}-{hash}", name(template)),
        "annotations": annotations(template),
        "ownerReferences": [{
            "apiVersion": str_at(template, &["apiVersion"]), "kind": str_at(template, &["kind"]),
            "name": name(template), "uid": uid(template), "controller": true, "blockOwnerDeletion": true,
        }],
    });
    if !is_deployment(template) {
        labels[CONTROLLER_HASH] = hash.into();
        meta["labels"] = labels;
        let mut kept = pod;
        kept["$patch"] = "replace".into();
        return json!({
            "apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta,
            "data": {"spec": {"template": kept}}, "revision": revision,
        });
    }
    meta["annotations"][REVISION] = revision.to_string().into();
    labels[POD_HASH] = hash.into();
    meta["labels"] = labels.clone();
    let mut selector = at(template, &["spec", "selector"]).cloned().unwrap_or_else(|| json!({}));
    selector["matchLabels"][POD_HASH] = hash.into();
    let mut pod = pod;
    pod["metadata"]["labels"] = labels;
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta,
        "spec": {"replicas": replicas(template), "selector": selector, "template": pod},
    })
}

/// The template's annotations as upstream copies them: `kubernetes.io/change-cause` is what history shows.
fn annotations(template: &Value) -> Value {
    let all = at(template, &["metadata", "annotations"]).and_then(Value::as_object);
    let kept = all.into_iter().flatten().filter(|(key, _)| {
        ![REVISION, REVISION_HISTORY, LAST_APPLIED].contains(&key.as_str()) && !key.starts_with("fedgate.dev/")
    });
    Value::Object(kept.map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// A Deployment's annotations go to its current ReplicaSet whenever they change: a change-cause comes after the change.
fn annotated(template: &Value, revision: &Value) -> Option<Action> {
    if !is_deployment(template) {
        return None;
    }
    let Value::Object(mut missing) = annotations(template) else { return None };
    missing.retain(|key, value| at(revision, &["metadata", "annotations", key]) != Some(value));
    let patch = json!({"metadata": {"annotations": &missing}});
    (!missing.is_empty()).then(|| Action::Patch { name: name(revision).to_owned(), patch })
}

/// An old revision that is current again bears the newest number, and remembers the others.
fn renumbered(template: &Value, revision: &Value, number: i64) -> Value {
    if !is_deployment(template) {
        return json!({ "revision": number });
    }
    let before = str_at(revision, &["metadata", "annotations", REVISION]);
    let history = str_at(revision, &["metadata", "annotations", REVISION_HISTORY]);
    let history = if history.is_empty() { before.to_owned() } else { format!("{history},{before}") };
    let mut annotations = annotations(template);
    annotations[REVISION] = number.to_string().into();
    annotations[REVISION_HISTORY] = history.into();
    json!({"metadata": {"annotations": annotations}})
}

fn replicas(template: &Value) -> i64 {
    int_at(template, &["spec", "replicas"]).unwrap_or(1)
}

/// Replicas as the folded status tells them: what is updated belongs to the current revision.
fn counts(template: &Value, revision: &Value, current: bool, actions: &mut Vec<Action>) {
    let wanted = if current { replicas(template) } else { 0 };
    if int_at(revision, &["spec", "replicas"]) != Some(wanted) {
        let patch = json!({"spec": {"replicas": wanted}});
        actions.push(Action::Patch { name: name(revision).to_owned(), patch });
    }
    let of = |field: &str| int_at(template, &["status", field]).unwrap_or(0);
    let have = if current { of("updatedReplicas") } else { 0 };
    let ready = have.min(of("readyReplicas"));
    let status = json!({
        "replicas": have, "fullyLabeledReplicas": have, "readyReplicas": ready,
        "availableReplicas": have.min(of("availableReplicas")),
        "observedGeneration": int_at(revision, &["metadata", "generation"]).unwrap_or(0),
    });
    let said = |field: &str| int_at(revision, &["status", field]).unwrap_or(0);
    let counted = ["replicas", "readyReplicas", "availableReplicas"];
    if counted.iter().any(|field| int_at(&status, &[field]) != Some(said(field))) {
        actions.push(Action::Status { name: name(revision).to_owned(), status });
    }
}

fn prune(template: &Value, revisions: &[Value], current: &str, actions: &mut Vec<Action>) {
    let limit = int_at(template, &["spec", "revisionHistoryLimit"]).unwrap_or(LIMIT).max(0);
    let mut old: Vec<&Value> = revisions.iter().filter(|r| name(r) != current).collect();
    old.sort_by_key(|r| number(r));
    // A negative limit is refused by the API.
    let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    actions.extend(old[..surplus].iter().map(|r| Action::Delete { name: name(r).to_owned(), uid: uid(r).to_owned() }));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Action, REVISION, plan, selector};

    fn deployment(image: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "uid": "d", "annotations": {"kubernetes.io/change-cause": image, "fedgate.dev/clusters": "*"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": image}]}}},
        })
    }

    fn created(actions: &[Action]) -> Value {
        let found = actions.iter().find_map(|a| if let Action::Create(o) = a { Some(o.clone()) } else { None });
        let mut object = found.expect("a revision");
        object["metadata"]["uid"] = format!("uid-{}", object["metadata"]["name"]).into();
        object
    }

    #[test]
    fn the_first_revision_is_what_kubectl_reads() {
        let mut template = deployment("v1");
        let actions = plan(&template, &[]);
        let set = created(&actions);
        assert_eq!(set["metadata"]["annotations"][REVISION], "1");
        assert_eq!(set["metadata"]["annotations"]["kubernetes.io/change-cause"], "v1");
        assert_eq!(set["metadata"]["annotations"].get("fedgate.dev/clusters"), None);
        assert_eq!(set["metadata"]["ownerReferences"][0]["uid"], "d");
        let hash = set["metadata"]["labels"]["pod-template-hash"].clone();
        assert_eq!(
            (
                &set["spec"]["selector"]["matchLabels"]["pod-template-hash"],
                &set["spec"]["template"]["metadata"]["labels"]["pod-template-hash"]
            ),
            (&hash, &hash)
        );
        assert!(actions.contains(&Action::Number(1)));
        template["metadata"]["annotations"][REVISION] = "1".into();
        // Once it is there and nothing changed, nothing is written.
        assert_eq!(plan(&template, &[set]), []);
        assert_eq!(selector(&template), "app=web,!fedgate.dev/cluster");
    }

    #[test]
    fn an_edit_adds_a_revision_and_an_undo_renumbers_the_old_one() {
        let first = created(&plan(&deployment("v1"), &[]));
        let actions = plan(&deployment("v2"), std::slice::from_ref(&first));
        let second = created(&actions);
        assert_eq!(second["metadata"]["annotations"][REVISION], "2");
        assert!(actions.contains(&Action::Patch {
            name: first["metadata"]["name"].as_str().expect("text").to_owned(),
            patch: json!({"spec": {"replicas": 0}})
        }));
        let undone = plan(&deployment("v1"), &[first.clone(), second]);
        assert!(undone.contains(&Action::Number(3)));
        let renumbered = undone.iter().any(|a| {
            matches!(a, Action::Patch { name, patch }
            if first["metadata"]["name"] == name.as_str() && patch["metadata"]["annotations"][REVISION] == "3"
                && patch["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1")
        });
        assert!(renumbered, "{undone:?}");
        assert!(!undone.iter().any(|a| matches!(a, Action::Create(_))));
    }

    #[test]
    fn a_change_cause_that_comes_late_goes_to_the_current_revision() {
        let mut template = deployment("v1");
        template["metadata"]["annotations"][REVISION] = "1".into();
        let set = created(&plan(&template, &[]));
        template["metadata"]["annotations"]["kubernetes.io/change-cause"] = "because".into();
        let name = set["metadata"]["name"].as_str().expect("text").to_owned();
        let patch = json!({"metadata": {"annotations": {"kubernetes.io/change-cause": "because"}}});
        assert_eq!(plan(&template, &[set]), [Action::Patch { name, patch }]);
    }

    #[test]
    fn old_revisions_are_pruned_to_the_limit() {
        let mut all: Vec<Value> = Vec::new();
        for i in 0..4 {
            let next = created(&plan(&deployment(&format!("v{i}")), &all));
            all.push(next);
        }
        let mut template = deployment("v3");
        template["spec"]["revisionHistoryLimit"] = 1.into();
        let gone: Vec<String> = plan(&template, &all)
            .into_iter()
            .filter_map(|a| if let Action::Delete { name, .. } = a { Some(name) } else { None })
            .collect();
        assert_eq!(
            gone,
            [all[0]["metadata"]["name"].as_str().expect("text"), all[1]["metadata"]["name"].as_str().expect("text")]
        );
    }

    #[test]
    fn counts_follow_the_folded_status() {
        let set = created(&plan(&deployment("v1"), &[]));
        let mut template = deployment("v1");
        template["metadata"]["annotations"][REVISION] = "1".into();
        template["status"] = json!({"replicas": 3, "updatedReplicas": 3, "readyReplicas": 2, "availableReplicas": 2});
        let actions = plan(&template, &[set]);
        assert!(
            matches!(&actions[..], [Action::Status { status, .. }] if status["replicas"] == 3 && status["readyReplicas"] == 2),
            "{actions:?}"
        );
    }

    #[test]
    fn other_kinds_keep_controller_revisions() {
        let mut template = deployment("v1");
        template["kind"] = "StatefulSet".into();
        let actions = plan(&template, &[]);
        let revision = created(&actions);
        assert_eq!((revision["kind"].as_str(), &revision["revision"]), (Some("ControllerRevision"), &json!(1)));
        assert_eq!(revision["data"]["spec"]["template"]["$patch"], "replace");
        assert_eq!(revision["metadata"]["labels"]["app"], "web");
        assert_eq!(plan(&template, std::slice::from_ref(&revision)), []);
        let mut next = deployment("v2");
        next["kind"] = "StatefulSet".into();
        let second = created(&plan(&next, std::slice::from_ref(&revision)));
        assert_eq!(second["revision"], 2);
        let undone = plan(&template, &[revision.clone(), second]);
        assert_eq!(
            undone,
            [Action::Patch {
                name: revision["metadata"]["name"].as_str().expect("text").to_owned(),
                patch: json!({"revision": 3})
            }]
        );
    }
}
