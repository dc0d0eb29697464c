//! Groups of the Kubernetes community need an approval to be defined by anyone.
//!
//! Source: `apiextensions-apiserver/pkg/apihelpers`.

use serde_json::Value;

use crate::field::{FieldError, FieldPath};

const ANNOTATION: &str = "api-approved.kubernetes.io";

/// What the approval annotation says, with the reason that conditions show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// The group is nobody's.
    NotNeeded,
    Approved(String),
    Bypassed(String),
    Missing(String),
    Invalid(String),
}

/// Judges the annotation of a definition.
pub fn approval(definition: &Value) -> Approval {
    let group = definition.pointer("/spec/group").and_then(Value::as_str).unwrap_or("");
    if !["k8s.io", "kubernetes.io"]
        .iter()
        .any(|of| group.strip_suffix(of).is_some_and(|g| g.is_empty() || g.ends_with('.')))
    {
        return Approval::NotNeeded;
    }
    let annotation = annotation(definition);
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    if annotation.is_empty() {
        return Approval::Missing(format!("protected groups must have approval annotation \"{ANNOTATION}\", {see}"));
    }
    if annotation.starts_with("unapproved") {
        return Approval::Bypassed(format!("not approved: {annotation:?}"));
    }
    let host = annotation.split_once("://").map(|(scheme, rest)| (scheme, rest.split(['/', '?']).next().unwrap_or("")));
    if host.is_some_and(|(scheme, host)| !scheme.is_empty() && !host.is_empty())
        && crate::structural::format::holds("uri", annotation)
    {
        return Approval::Approved(format!("approved in {annotation}"));
    }
    Approval::Invalid(format!(
        "protected groups must have approval annotation \"{ANNOTATION}\" with either a URL or a reason starting with \"unapproved\", {see}"
    ))
}

fn annotation(definition: &Value) -> &str {
    let annotations = definition.pointer("/metadata/annotations");
    annotations.and_then(|annotations| annotations.get(ANNOTATION)).and_then(Value::as_str).unwrap_or("")
}

pub(super) fn check(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let found = approval(new);
    let same = |old: &Value| std::mem::discriminant(&approval(old)) == std::mem::discriminant(&found);
    if found == Approval::NotNeeded || old.is_some_and(same) {
        return;
    }
    let metadata = FieldPath::root("metadata");
    let annotations = metadata.child("annotations");
    let path = annotations.key(ANNOTATION);
    match found {
        Approval::Invalid(reason) => errors.push(FieldError::invalid(&path, annotation(new), reason)),
        Approval::Missing(reason) => errors.push(FieldError::required(&path, reason)),
        Approval::Approved(_) | Approval::Bypassed(_) | Approval::NotNeeded => {}
    }
}
