//! Whether a policy, a binding or a webhook is about a write, and in which version of the resource.

use federation_schema::field::FieldPath;
use federation_schema::selector::LabelSelector;
use serde_json::Value;

use super::{Operation, Review};
use crate::call::Call;
use crate::error::{ApiError, Subject};
use crate::kind;
use crate::kinds::Kind;
use crate::object;

/// What a policy, a binding or a webhook is about.
#[derive(Debug)]
pub(super) struct Match {
    /// None for every resource.
    rules: Option<Vec<Rule>>,
    excluded: Vec<Rule>,
    /// None where the selector cannot be read: then nobody can tell.
    namespaces: Option<LabelSelector>,
    objects: Option<LabelSelector>,
    /// Whether other versions of a resource count as the one that a rule names.
    equivalent: bool,
}

#[derive(Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    /// Empty for every name.
    names: Vec<String>,
    scope: String,
}

/// A write as rules see it.
struct Seen<'a> {
    operation: &'static str,
    group: &'a str,
    version: &'a str,
    resource: &'a str,
    subresource: &'a str,
    name: &'a str,
    /// Whether the object lives in a namespace; a namespace itself does not.
    namespaced: bool,
}

fn words(value: &Value, field: &str) -> Vec<String> {
    let all = value.get(field).and_then(Value::as_array);
    all.map_or_else(Vec::new, |all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn rules(value: &Value, field: &str) -> Vec<Rule> {
    value.get(field).and_then(Value::as_array).into_iter().flatten().map(Rule::new).collect()
}

fn among(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == "*" || one == wanted)
}

fn labels(object: &Value) -> Option<serde_json::Map<String, Value>> {
    object.pointer("/metadata/labels").and_then(Value::as_object).cloned()
}

impl Rule {
    fn new(value: &Value) -> Rule {
        Rule {
            operations: words(value, "operations"),
            groups: words(value, "apiGroups"),
            versions: words(value, "apiVersions"),
            resources: words(value, "resources"),
            names: words(value, "resourceNames"),
            scope: value.get("scope").and_then(Value::as_str).unwrap_or("*").to_owned(),
        }
    }

    fn matches(&self, seen: &Seen<'_>) -> bool {
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
            && (self.names.is_empty() || self.names.iter().any(|own| own == seen.name))
            && self.resources.iter().any(|one| {
                let (resource, subresource) = one.split_once('/').unwrap_or((one, ""));
                (resource == "*" || resource == seen.resource)
                    && (subresource == "*" || subresource == seen.subresource)
            })
    }
}

impl Match {
    /// The match of a policy or binding, where no rule means every resource.
    pub(super) fn of_policy(value: &Value) -> Self {
        let rules = Some(rules(value, "resourceRules")).filter(|rules| !rules.is_empty());
        Self { rules, ..Self::of_webhook(value) }
    }

    /// The match of a webhook, where no rule means no resource.
    pub(super) fn of_webhook(value: &Value) -> Self {
        let selector = |field: &str| match value.get(field) {
            None | Some(Value::Null) => Some(LabelSelector::everything()),
            Some(selector) => LabelSelector::from_object(selector, &FieldPath::root(field)).ok(),
        };
        Self {
            rules: Some(rules(value, "rules")),
            excluded: rules(value, "excludeResourceRules"),
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
            equivalent: value.get("matchPolicy").and_then(Value::as_str) != Some("Exact"),
        }
    }

    /// As which kind the write is matched, if it is.
    ///
    /// # Errors
    /// 404 where the namespace is not there; 500 where a selector cannot be read.
    pub(super) fn find(&self, call: &Call, (new, review): (&Value, &Review<'_>)) -> Result<Option<Kind>, ApiError> {
        let write = (review.operation, object::name(new));
        if self.by_rules(&self.excluded, call, write).is_some() {
            return Ok(None);
        }
        let kind = match &self.rules {
            None => Some(call.kind.clone()),
            Some(rules) => self.by_rules(rules, call, write),
        };
        let Some(kind) = kind else { return Ok(None) };
        let selected = self.selects_namespace(call, new, review)? && self.selects_object(new, review)?;
        Ok(selected.then_some(kind))
    }

    fn by_rules(&self, rules: &[Rule], call: &Call, (operation, name): (Operation, &str)) -> Option<Kind> {
        let matches = |kind: &Kind| {
            let seen = Seen {
                operation: operation.word(),
                group: &kind.group,
                version: &kind.version,
                resource: &kind.plural,
                subresource: &call.info.subresource,
                name,
                namespaced: kind.namespaced,
            };
            rules.iter().any(|rule| rule.matches(&seen))
        };
        if matches(&call.kind) {
            return Some(call.kind.clone());
        }
        let others = if self.equivalent { call.server.kinds.table().equivalents(&call.kind) } else { Vec::new() };
        others.into_iter().find(matches)
    }

    fn selects_object(&self, new: &Value, review: &Review<'_>) -> Result<bool, ApiError> {
        let selector = self.objects.as_ref().ok_or_else(unreadable)?;
        let gone = review.operation == Operation::Delete;
        Ok(selector.is_empty()
            || !gone && selector.matches(&labels(new))
            || review.old.is_some_and(|old| selector.matches(&labels(old))))
    }

    fn selects_namespace(&self, call: &Call, new: &Value, review: &Review<'_>) -> Result<bool, ApiError> {
        let selector = self.namespaces.as_ref().ok_or_else(unreadable)?;
        if selector.is_empty() {
            return Ok(true);
        }
        let is_namespace = kind::is_namespace(&call.kind);
        if is_namespace && review.operation != Operation::Delete {
            return Ok(selector.matches(&labels(new)));
        }
        let name = if is_namespace { object::name(new) } else { call.namespace() };
        if name.is_empty() {
            // What is in no namespace is exempt from none.
            return Ok(true);
        }
        let found = call.server.cache.resource("core/namespaces").get(name);
        let found = found.ok_or_else(|| ApiError::NotFound(Subject::new("", "namespaces", name)))?;
        Ok(selector.matches(&labels(&found.value())))
    }
}

fn unreadable() -> ApiError {
    ApiError::Internal("a selector of an admission policy or webhook cannot be read".to_owned())
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
            Rule { operations, groups, versions, resources: all(resources), names: Vec::new(), scope: scope.to_owned() }
        };
        let seen = |subresource| Seen {
            operation: "CREATE",
            group: "apps",
            version: "v1",
            resource: "deployments",
            subresource,
            name: "web",
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
