//! Kinds with pod templates: selector, template labels, counts; and claims for volumes.

use serde_json::Value;

use super::pod::check_template;
use super::read::{at, deep, list, non_negative, text};
use crate::facts::Resource;
use crate::field::{FieldError, FieldPath};
use crate::selector::LabelSelector;

/// Where a kind keeps its pod template, and which rules hold for it.
struct Rules {
    group: &'static str,
    kind: &'static str,
    template: &'static str,
    /// Whether it has a selector of its own that must match its template.
    selects: bool,
    restart: Restart,
}

#[derive(PartialEq, Eq)]
enum Restart {
    AlwaysOnly,
    NeverAlways,
}

const fn rules(group: &'static str, kind: &'static str, template: &'static str, selects: bool) -> Rules {
    let restart = if selects { Restart::AlwaysOnly } else { Restart::NeverAlways };
    Rules { group, kind, template, selects, restart }
}

const WORKLOADS: &[Rules] = &[
    rules("apps", "Deployment", "spec.template", true),
    rules("apps", "ReplicaSet", "spec.template", true),
    rules("apps", "StatefulSet", "spec.template", true),
    rules("apps", "DaemonSet", "spec.template", true),
    rules("batch", "Job", "spec.template", false),
    rules("batch", "CronJob", "spec.jobTemplate.spec.template", false),
];

/// Counts that may not be below zero, of whatever kind has them.
const COUNTS: &[&str] = &[
    "replicas",
    "minReadySeconds",
    "revisionHistoryLimit",
    "progressDeadlineSeconds",
    "parallelism",
    "completions",
    "backoffLimit",
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
];

pub(super) fn check(resource: &Resource, new: &Value, errors: &mut Vec<FieldError>) {
    let of_kind = |rules: &&Rules| rules.group == resource.group && rules.kind == resource.kind;
    let Some(rules) = WORKLOADS.iter().find(of_kind) else { return };
    let spec = at(new, "spec");
    let path = FieldPath::root("spec");
    for name in COUNTS {
        non_negative(errors, &path.child(name), at(spec, name));
    }
    if rules.kind == "CronJob" && text(spec, "schedule").is_empty() {
        errors.push(FieldError::required(&path.child("schedule"), ""));
    }
    let template = deep(new, rules.template);
    let at_template = FieldPath::root(rules.template);
    if rules.selects {
        check_selector(resource, spec, template, errors);
    }
    // Only StatefulSets have them.
    let claims: Vec<&str> =
        list(spec, "volumeClaimTemplates").iter().map(|claim| text(at(claim, "metadata"), "name")).collect();
    check_template(template, &claims, &at_template, errors);
    let (restart, at_restart) =
        (deep(template, "spec.restartPolicy").as_str(), at_template.child("spec.restartPolicy"));
    match (&rules.restart, restart) {
        (Restart::AlwaysOnly, Some(policy)) if policy != "Always" => {
            errors.push(FieldError::not_supported(&at_restart, policy, &["Always"]));
        }
        (Restart::NeverAlways, None | Some("" | "Always")) => {
            errors.push(FieldError::required(&at_restart, "valid values: \"OnFailure\", \"Never\""));
        }
        _ => {}
    }
}

fn check_selector(resource: &Resource, spec: &Value, template: &Value, errors: &mut Vec<FieldError>) {
    let path = FieldPath::root("spec.selector");
    let given = at(spec, "selector");
    if given.is_null() {
        errors.push(FieldError::required(&path, ""));
        return;
    }
    match LabelSelector::from_object(given, &path) {
        Err(mut found) => errors.append(&mut found),
        Ok(selector) if selector.is_empty() => {
            // Upstream calls a ReplicaSet's a deployment's, too.
            let kind = if resource.kind == "ReplicaSet" { "deployment".into() } else { resource.kind.to_lowercase() };
            let detail = format!("empty selector is invalid for {kind}");
            errors.push(FieldError::invalid(&path, given.clone(), detail));
        }
        Ok(selector) => {
            let labels = deep(template, "metadata.labels");
            if !selector.matches(&labels.as_object()) {
                let path = FieldPath::root("spec.template.metadata.labels");
                let detail = "`selector` does not match template `labels`";
                errors.push(FieldError::invalid(&path, labels.clone(), detail));
            }
        }
    }
}

/// A claim's volume is a member's own.
pub(super) fn refuse_volume_name(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let name = |claim: &Value| deep(claim, "spec.volumeName").as_str().unwrap_or("").to_owned();
    if !name(new).is_empty() && old.map(name) != Some(name(new)) {
        let detail = "volumes belong to each cluster";
        errors.push(FieldError::forbidden(&FieldPath::root("spec.volumeName"), detail));
    }
}
