//! Whether a policy or binding is about a write, and in which version it sees the resource.

use federation_schema::field::FieldPath;
use federation_schema::selector::LabelSelector;
use serde_json::Value;

use crate::admission::{Operation, Review};
use crate::call::Call;
use crate::error::{ApiError, Subject};
use crate::kind;
use crate::kinds::Kind;
use crate::object;

/// What a policy or binding is about.
#[derive(Debug)]
pub(super) struct Match {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    /// None where the selector cannot be read.
    namespaces: Option<LabelSelector>,
    objects: Option<LabelSelector>,
    equivalent: bool,
}

#[derive(Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    scope: String,
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

fn words(value: &Value, field: &str) -> Vec<String> {
    let all = value.get(field).and_then(Value::as_array);
    all.map_or_else(Vec::new, |all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
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

    fn matches(&self, call: &Call, kind: &Kind, (operation, name): (Operation, &str)) -> bool {
        let scope = match self.scope.as_str() {
            "*" => true,
            "Namespaced" => kind.namespaced,
            _ => !kind.namespaced,
        };
        scope
            && among(&self.operations, word(operation))
            && among(&self.groups, &kind.group)
            && among(&self.versions, &kind.version)
            && (self.names.is_empty() || self.names.iter().any(|own| own == name))
            && self.resources.iter().any(|one| {
                let (resource, subresource) = one.split_once('/').unwrap_or((one, ""));
                (resource == "*" || kind.plural == resource)
                    && (subresource == "*" || subresource == call.info.subresource)
            })
    }
}

impl Match {
    pub(super) fn new(value: &Value) -> Match {
        let rules = |field: &str| {
            let all = value.get(field).and_then(Value::as_array);
            all.map_or_else(Vec::new, |all| all.iter().map(Rule::new).collect())
        };
        let selector = |field: &str| {
            let own = value.get(field)?;
            LabelSelector::from_object(own, &FieldPath::root(field)).ok()
        };
        Match {
            rules: rules("resourceRules"),
            excluded: rules("excludeResourceRules"),
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
            equivalent: value.get("matchPolicy").and_then(Value::as_str) == Some("Equivalent"),
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
        let kind = match self.rules.is_empty() {
            true => Some(call.kind.clone()),
            false => self.by_rules(&self.rules, call, write),
        };
        let Some(kind) = kind else { return Ok(None) };
        let selected = self.selects_namespace(call, new, review)? && self.selects_object(new, review)?;
        Ok(selected.then_some(kind))
    }

    fn by_rules(&self, rules: &[Rule], call: &Call, write: (Operation, &str)) -> Option<Kind> {
        if rules.iter().any(|rule| rule.matches(call, &call.kind, write)) {
            return Some(call.kind.clone());
        }
        if !self.equivalent {
            return None;
        }
        let storage = call.storage();
        for rule in rules {
            for (group, version) in rule.groups.iter().flat_map(|g| rule.versions.iter().map(move |v| (g, v))) {
                let group = if group == "*" { call.kind.group.to_string() } else { group.clone() };
                let version = if version == "*" { call.kind.version.to_string() } else { version.clone() };
                let other = call.server.kinds.find(&group, &version, &call.kind.plural);
                let other = other.filter(|other| kind::storage_name(&other.group, &other.plural) == storage);
                if let Some(other) = other.filter(|other| rule.matches(call, other, write)) {
                    return Some(other);
                }
            }
        }
        None
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
    ApiError::Internal("a selector of an admission policy cannot be read".to_owned())
}
