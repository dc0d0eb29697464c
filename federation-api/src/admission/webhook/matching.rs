//! Whether a webhook wants to be asked about a write, and in which version of the resource.

use serde_json::Value;

use super::condition::{self, Asked};
use super::configuration::{Rule, Webhook};
use super::exchange;
use crate::admission::{Operation, Review};
use crate::call::Call;
use crate::convert;
use crate::error::{ApiError, Subject};
use crate::kind;
use crate::kinds::Kind;
use crate::object;
use crate::verb::subresource;

/// How a webhook is asked: as whose kind it sees the object.
#[derive(Debug, Clone)]
pub(super) struct Invocation {
    pub(super) kind: Kind,
}

/// A write as rules see it.
struct Seen<'a> {
    operation: &'a str,
    group: &'a str,
    version: &'a str,
    resource: &'a str,
    subresource: &'a str,
    /// Whether the object lives in a namespace; a namespace itself does not.
    namespaced: bool,
}

impl Invocation {
    /// An object in the shape of the invocation's kind; ours is the stored one.
    pub(super) fn shown(&self, call: &Call, object: &Value) -> Value {
        if call.info.subresource == "scale" {
            return subresource::scale_of(object);
        }
        let mut shown = object.clone();
        convert::from_stored(&self.kind, &call.stored, &mut shown);
        shown
    }
}

/// The word for an operation.
pub(super) fn word(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

/// How a webhook is to be asked about a write, if at all.
///
/// # Errors
/// 404 where the namespace is not there, 500 where a selector cannot be read.
pub(super) fn should_call(
    call: &Call,
    webhook: &Webhook,
    (new, review): (&Value, &Review<'_>),
) -> Result<Option<Invocation>, ApiError> {
    let Some(invocation) = selected(call, webhook, (new, review))? else { return Ok(None) };
    if webhook.conditions.is_empty() {
        return Ok(Some(invocation));
    }
    let new = (review.operation != Operation::Delete).then_some(new);
    let shown = |object: Option<&Value>| object.map_or(Value::Null, |object| invocation.shown(call, object));
    let (object, old) = (shown(new), shown(review.old));
    let mut request = exchange::question(call, &invocation, (new, review), "");
    for field in ["object", "oldObject"] {
        request[field] = Value::Null;
    }
    let asked = Asked { object: &object, old: &old, request: &request };
    match condition::hold(webhook, &asked) {
        Ok(true) => Ok(Some(invocation)),
        Ok(false) => Ok(None),
        Err(text) => Err(ApiError::Forbidden(call.subject(), text)),
    }
}

/// How a webhook's rules and selectors would have it asked.
fn selected(
    call: &Call,
    webhook: &Webhook,
    (new, review): (&Value, &Review<'_>),
) -> Result<Option<Invocation>, ApiError> {
    let Some(invocation) = by_rules(call, webhook, review) else { return Ok(None) };
    let unread = || ApiError::Internal(format!("a selector of webhook {:?} cannot be read", webhook.name));
    let namespaces = webhook.namespaces.as_ref().ok_or_else(unread)?;
    let objects = webhook.objects.as_ref().ok_or_else(unread)?;
    let labels = |object: &Value| object.pointer("/metadata/labels").and_then(Value::as_object).cloned();
    let gone = review.operation == Operation::Delete;
    let selected =
        !gone && objects.matches(&labels(new)) || review.old.is_some_and(|old| objects.matches(&labels(old)));
    if !objects.is_empty() && !selected {
        return Ok(None);
    }
    if namespaces.is_empty() {
        return Ok(Some(invocation));
    }
    let labels = if kind::is_namespace(&call.kind) && !gone {
        labels(new)
    } else {
        let name = if kind::is_namespace(&call.kind) { object::name(new) } else { call.namespace() };
        if name.is_empty() {
            // What is in no namespace is exempt from none.
            return Ok(Some(invocation));
        }
        let found = call.server.cache.resource("core/namespaces").get(name);
        labels(&found.ok_or_else(|| ApiError::NotFound(Subject::new("", "namespaces", name)))?.value())
    };
    Ok(namespaces.matches(&labels).then_some(invocation))
}

fn by_rules(call: &Call, webhook: &Webhook, review: &Review<'_>) -> Option<Invocation> {
    let seen = |kind: &Kind| {
        let of = |rule: &Rule| {
            rule.matches(&Seen {
                operation: word(review.operation),
                group: &kind.group,
                version: &kind.version,
                resource: &kind.plural,
                subresource: &call.info.subresource,
                namespaced: kind.namespaced,
            })
        };
        webhook.rules.iter().any(of)
    };
    if seen(&call.kind) {
        return Some(Invocation { kind: call.kind.clone() });
    }
    let equivalents = if webhook.equivalent { call.server.kinds.table().equivalents(&call.kind) } else { Vec::new() };
    equivalents.into_iter().find(|kind| seen(kind)).map(|kind| Invocation { kind })
}

impl Rule {
    fn matches(&self, seen: &Seen<'_>) -> bool {
        let among = |list: &[String], wanted: &str| list.iter().any(|one| one == "*" || one == wanted);
        let scope = match self.scope.as_str() {
            "*" => true,
            "Namespaced" => seen.namespaced,
            "Cluster" => !seen.namespaced,
            _ => false,
        };
        scope
            && among(&self.operations, seen.operation)
            && among(&self.groups, seen.group)
            && among(&self.versions, seen.version)
            && self.resources.iter().any(|one| {
                let (resource, subresource) = one.split_once('/').unwrap_or((one, ""));
                (resource == "*" || resource == seen.resource)
                    && (subresource == "*" || subresource == seen.subresource)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::{Rule, Seen};

    /// Protocol: A2
    #[test]
    fn rules_match_as_upstreams() {
        let rule = |resources: &[&str], scope: &str| {
            let all = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
            let (operations, groups, versions) = (all(&["CREATE"]), all(&["apps"]), all(&["*"]));
            Rule { operations, groups, versions, resources: all(resources), scope: scope.to_owned() }
        };
        let seen = |subresource| Seen {
            operation: "CREATE",
            group: "apps",
            version: "v1",
            resource: "deployments",
            subresource,
            namespaced: true,
        };
        for (rule, subresource, want) in [
            (rule(&["deployments"], "*"), "", true),
            (rule(&["deployments"], "*"), "scale", false),
            (rule(&["deployments/*"], "*"), "scale", true),
            (rule(&["deployments/*"], "*"), "", true),
            (rule(&["*/scale"], "*"), "scale", true),
            (rule(&["*"], "*"), "scale", false),
            (rule(&["*/*"], "Namespaced"), "scale", true),
            (rule(&["*/*"], "Cluster"), "scale", false),
            (rule(&["pods"], "*"), "", false),
        ] {
            assert_eq!(rule.matches(&seen(subresource)), want, "{rule:?}");
        }
    }
}
