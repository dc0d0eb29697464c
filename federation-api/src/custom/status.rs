//! What the status of a definition should say: its names, whether it is served, whether its schema and group are in order.
//!
//! Pure; times are passed in. Source: k8s.io/apiextensions-apiserver `pkg/controller/{status,establish,apiapproval}`.

use federation_schema::crd::{self, Approval};
use serde_json::{Value, json};

use super::names::{Taken, accept};

const NON_STRUCTURAL: &str = "NonStructuralSchema";

/// A condition without its time.
pub(crate) struct Condition<'a> {
    pub(crate) kind: &'a str,
    pub(crate) status: bool,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
}

/// Whether a condition of a definition is true.
pub(crate) fn holds(definition: &Value, kind: &str) -> bool {
    find(definition, kind).is_some_and(|condition| condition["status"] == "True")
}

/// The status that a definition starts with.
pub(crate) fn initial(definition: &Value) -> Value {
    json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": [], "storedVersions": stored(definition, &[])})
}

/// The versions in which objects may be stored, the storage version included.
pub(crate) fn stored(definition: &Value, before: &[Value]) -> Vec<Value> {
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
    let storage = versions.into_iter().flatten().find(|version| version["storage"] == true);
    let mut stored = before.to_vec();
    if let Some(name) = storage.map(|version| &version["name"])
        && !stored.contains(name)
    {
        stored.push(name.clone());
    }
    stored
}

/// Adds the storage version to the versions in which objects may be stored.
pub(crate) fn keep_stored(definition: &mut Value) {
    let before = definition.pointer("/status/storedVersions").and_then(Value::as_array).cloned().unwrap_or_default();
    let after = stored(definition, &before);
    if after != before {
        definition["status"]["storedVersions"] = after.into();
    }
}

/// Brings the status up to date; `others` are the definitions of the same group. Says whether anything changed.
pub(crate) fn update(definition: &mut Value, others: &[&Value], now: &str) -> bool {
    let before = definition["status"].clone();
    let wanted = definition["spec"]["names"].clone();
    let accepted = definition["status"]["acceptedNames"].clone();
    if wanted != accepted || find(definition, "NamesAccepted").is_none() {
        let mut taken = Taken::default();
        others.iter().for_each(|other| taken.add(&other["status"]["acceptedNames"]));
        let outcome = accept(&wanted, &accepted, &taken);
        definition["status"]["acceptedNames"] = outcome.accepted;
        let (status, reason, message) = match &outcome.conflict {
            Some((reason, message)) => (false, *reason, message.as_str()),
            None => (true, "NoConflicts", "no conflicts found"),
        };
        set(definition, &Condition { kind: "NamesAccepted", status, reason, message }, now);
    }
    if !holds(definition, "Established") {
        let (status, reason, message) = match holds(definition, "NamesAccepted") {
            true => (true, "InitialNamesAccepted", "the initial names have been accepted"),
            false => (false, "NotAccepted", "not all names are accepted"),
        };
        set(definition, &Condition { kind: "Established", status, reason, message }, now);
    }
    if let Some((status, reason, message)) = approval(definition) {
        let kind = "KubernetesAPIApprovalPolicyConformant";
        set(definition, &Condition { kind, status, reason, message: &message }, now);
    }
    match crd::violations(definition) {
        Some(message) => {
            let condition = Condition { kind: NON_STRUCTURAL, status: true, reason: "Violations", message: &message };
            set(definition, &condition, now);
        }
        None => unset(definition, NON_STRUCTURAL),
    }
    definition["status"] != before
}

/// Notes that a definition is being deleted.
pub(crate) fn mark_deleted(definition: &mut Value, now: &str) {
    let marked = Condition {
        kind: "Terminating",
        status: true,
        reason: "InstanceDeletionPending",
        message: "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    };
    set(definition, &marked, now);
}

/// Sets a condition; its time changes with its status alone.
pub(crate) fn set(definition: &mut Value, condition: &Condition<'_>, now: &str) {
    let Condition { kind, status, reason, message } = *condition;
    let status = if status { "True" } else { "False" };
    let old = find(definition, kind);
    let since = old.filter(|old| old["status"] == status).and_then(|old| old["lastTransitionTime"].as_str());
    let new = json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since.unwrap_or(now),
    });
    let conditions = &mut definition["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let list = conditions.as_array_mut().expect("made a list above");
    match list.iter_mut().find(|one| one["type"] == kind) {
        Some(place) => *place = new,
        None => list.push(new),
    }
}

fn unset(definition: &mut Value, kind: &str) {
    if let Some(list) = definition.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
        list.retain(|condition| condition["type"] != kind);
    }
}

fn find<'v>(definition: &'v Value, kind: &str) -> Option<&'v Value> {
    let conditions = definition.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().find(|condition| condition["type"] == kind)
}

/// The approval that a protected group needs; none for other groups.
fn approval(definition: &Value) -> Option<(bool, &'static str, String)> {
    match crd::approval(definition) {
        Approval::NotNeeded => None,
        Approval::Approved(message) => Some((true, "ApprovedAnnotation", message)),
        Approval::Bypassed(message) => Some((false, "UnapprovedAnnotation", message)),
        Approval::Missing(message) => Some((false, "MissingAnnotation", message)),
        Approval::Invalid(message) => Some((false, "InvalidAnnotation", message)),
    }
}

#[cfg(test)]
mod tests {
    use super::{holds, initial, update};
    use serde_json::{Value, json};

    fn definition(plural: &str, kind: &str) -> Value {
        let names = json!({"plural": plural, "singular": kind, "kind": kind, "listKind": format!("{kind}List")});
        let mut definition = json!({
            "metadata": {"name": format!("{plural}.example.com")},
            "spec": {"group": "example.com", "names": names, "versions": [{"name": "v1", "storage": true}]},
        });
        definition["status"] = initial(&definition);
        definition
    }

    /// Protocol: R2
    #[test]
    fn a_definition_is_established_once_its_names_are_accepted() {
        let mut first = definition("foos", "Foo");
        assert_eq!(first["status"]["storedVersions"], json!(["v1"]));
        assert!(update(&mut first, &[], "t1"));
        assert!(holds(&first, "Established") && holds(&first, "NamesAccepted"));
        assert!(!update(&mut first, &[], "t2"), "nothing to say twice");

        let mut second = definition("bars", "Foo");
        assert!(update(&mut second, &[&first], "t1"));
        assert!(!holds(&second, "Established"));
        assert_eq!(second["status"]["conditions"][1]["reason"], "NotAccepted");
        assert!(update(&mut second, &[], "t2"), "the name is free again");
        assert!(holds(&second, "Established"));
        assert_eq!(second["status"]["acceptedNames"], second["spec"]["names"]);

        // Once established, a conflict does not end the serving.
        first["spec"]["names"]["shortNames"] = json!(["Foo", "bars"]);
        assert!(update(&mut first, &[&second], "t3"));
        assert!(holds(&first, "Established") && !holds(&first, "NamesAccepted"));
    }

    /// Protocol: R2
    #[test]
    fn schemas_that_are_not_structural_are_told_of() {
        let mut of = definition("foos", "Foo");
        of["spec"]["preserveUnknownFields"] = true.into();
        assert!(update(&mut of, &[], "t1"));
        assert!(holds(&of, "NonStructuralSchema") && !update(&mut of, &[], "t2"));
        of["spec"]["preserveUnknownFields"] = false.into();
        assert!(update(&mut of, &[], "t3") && !holds(&of, "NonStructuralSchema"));
    }

    /// Protocol: R2
    #[test]
    fn protected_groups_need_an_approval() {
        let cases = [
            (None, "False", "MissingAnnotation"),
            (Some("unapproved, testing"), "False", "UnapprovedAnnotation"),
            (Some("https://github.com/x/y"), "True", "ApprovedAnnotation"),
            (Some("yes"), "False", "InvalidAnnotation"),
        ];
        for (annotation, status, reason) in cases {
            let mut of = definition("foos", "Foo");
            of["spec"]["group"] = "sigs.k8s.io".into();
            if let Some(text) = annotation {
                of["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": text});
            }
            update(&mut of, &[], "t");
            let condition = &of["status"]["conditions"][2];
            assert_eq!((&condition["status"], &condition["reason"]), (&json!(status), &json!(reason)));
        }
    }
}
