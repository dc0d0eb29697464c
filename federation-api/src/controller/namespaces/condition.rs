//! The five conditions of a namespace that is going, in upstream's words.
//!
//! Source: upstream's `pkg/controller/namespace/deletion/status_condition_utils.go`.

use std::collections::BTreeMap;

use federation_types::text::{list_at, str_at};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Findings;

/// A condition before it is compared with what is stored.
struct Condition {
    kind: &'static str,
    raised: Option<(&'static str, String)>,
    calm: (&'static str, &'static str),
}

/// The conditions for these findings; a stored one keeps its time while its status stays, others are kept as they are.
pub(super) fn merged(stored: &Value, findings: &Findings, now: Timestamp) -> Value {
    let now = format!("{now:.0}");
    let mut conditions: Vec<Value> = stored.as_array().cloned().unwrap_or_else(Vec::new);
    for Condition { kind, raised, calm } in judged(findings) {
        let (status, reason, message) = match raised {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", calm.0, calm.1.to_owned()),
        };
        let old = list_at(&json!({"of": stored}), &["of"]).find(|old| old["type"] == kind).cloned();
        let since = old
            .as_ref()
            .filter(|old| old["status"] == status)
            .map(|old| str_at(old, &["lastTransitionTime"]).to_owned())
            .unwrap_or_else(|| now.clone());
        let new =
            json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since});
        match conditions.iter_mut().find(|old| old["type"] == kind) {
            Some(old) => *old = new,
            None => conditions.push(new),
        }
    }
    Value::Array(conditions)
}

fn judged(findings: &Findings) -> [Condition; 5] {
    let Findings { discovery, content, remaining, finalizers } = findings;
    [
        Condition {
            kind: "NamespaceDeletionDiscoveryFailure",
            raised: listed(discovery).map(|all| {
                ("DiscoveryFailed", format!("Discovery failed for some groups, {} failing: {all}", discovery.len()))
            }),
            calm: ("ResourcesDiscovered", "All resources successfully discovered"),
        },
        Condition {
            kind: "NamespaceDeletionGroupVersionParsingFailure",
            raised: None,
            calm: ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        },
        Condition {
            kind: "NamespaceDeletionContentFailure",
            raised: listed(content).map(|all| {
                (
                    "ContentDeletionFailed",
                    format!("Failed to delete all resource types, {} remaining: {all}", content.len()),
                )
            }),
            calm: ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        },
        Condition {
            kind: "NamespaceContentRemaining",
            raised: counted(remaining, "has", "resource instances")
                .map(|all| ("SomeResourcesRemain", format!("Some resources are remaining: {all}"))),
            calm: ("ContentRemoved", "All content successfully removed"),
        },
        Condition {
            kind: "NamespaceFinalizersRemaining",
            raised: counted(finalizers, "in", "resource instances").map(|all| {
                ("SomeFinalizersRemain", format!("Some content in the namespace has finalizers remaining: {all}"))
            }),
            calm: ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        },
    ]
}

fn listed(texts: &[String]) -> Option<String> {
    (!texts.is_empty()).then(|| texts.join(", "))
}

fn counted(counts: &BTreeMap<String, usize>, verb: &str, what: &str) -> Option<String> {
    let texts: Vec<_> = counts.iter().map(|(of, count)| format!("{of} {verb} {count} {what}")).collect();
    listed(&texts)
}
