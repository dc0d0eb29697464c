//! Which requests the rules of a FlowSchema match.
//!
//! Pure. Source: k8s.io/apiserver `pkg/util/flowcontrol/rule.go`.

use auth::UserInfo;
use serde::Deserialize;

use crate::request::RequestInfo;

/// `spec.rules[]` of a FlowSchema.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rule {
    subjects: Vec<Subject>,
    resource_rules: Vec<ResourceRule>,
    non_resource_rules: Vec<PathRule>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subject {
    user: Option<Named>,
    group: Option<Named>,
    service_account: Option<Account>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Account {
    namespace: String,
    name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceRule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    cluster_scope: bool,
    namespaces: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PathRule {
    verbs: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    urls: Vec<String>,
}

impl Rule {
    pub(super) fn matches(&self, user: &UserInfo, info: &RequestInfo) -> bool {
        if !self.subjects.iter().any(|subject| subject.matches(user)) {
            return false;
        }
        if info.is_resource {
            self.resource_rules.iter().any(|rule| rule.matches(info))
        } else {
            self.non_resource_rules.iter().any(|rule| rule.matches(info))
        }
    }
}

impl Subject {
    fn matches(&self, user: &UserInfo) -> bool {
        if let Some(Named { name }) = &self.user {
            return name == "*" || *name == user.name;
        }
        if let Some(Named { name }) = &self.group {
            return name == "*" || user.groups.contains(name);
        }
        let Some(Account { namespace, name }) = &self.service_account else { return false };
        let rest = user.name.strip_prefix("system:serviceaccount:");
        let rest = rest.and_then(|rest| rest.strip_prefix(namespace.as_str())).and_then(|rest| rest.strip_prefix(':'));
        rest.is_some_and(|own| name == "*" || own == name)
    }
}

impl ResourceRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        let resource = self.resources.iter().any(|rule| rule == "*" || is_resource(rule, info));
        let place =
            if info.namespace.is_empty() { self.cluster_scope } else { holds(&self.namespaces, &info.namespace) };
        place && resource && holds(&self.verbs, &info.verb) && holds(&self.api_groups, &info.group)
    }
}

/// Whether `rule` reads `resource`, or `resource/subresource` of a request that has one.
fn is_resource(rule: &str, info: &RequestInfo) -> bool {
    if info.subresource.is_empty() {
        return rule == info.resource;
    }
    rule.split_once('/').is_some_and(|(resource, sub)| resource == info.resource && sub == info.subresource)
}

impl PathRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        holds(&self.verbs, &info.verb) && self.urls.iter().any(|url| covers(url, &info.path))
    }
}

/// Whether the path is `rule`, or below it.
fn covers(rule: &str, path: &str) -> bool {
    if rule == "*" || rule == path {
        return true;
    }
    let prefix = rule.strip_suffix('*').unwrap_or(rule);
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
}

fn holds(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == "*" || one == wanted)
}
