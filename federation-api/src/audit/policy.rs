//! Which requests are recorded, and how much of each: the rules of an `audit.k8s.io` Policy, the first that matches wins.
//!
//! Pure. Source: k8s.io/apiserver `pkg/audit/policy`, `pkg/apis/audit/validation`.

use auth::UserInfo;
use serde::Deserialize;
use serde_json::Value;

use super::event::Stage;
use crate::request::RequestInfo;

/// What a policy file says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    #[serde(default, rename = "apiVersion")]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    #[allow(dead_code, reason = "may be there, says nothing")]
    metadata: Value,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

/// What is wrong with a policy file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("{0}")]
    Syntax(String),
    #[error("{path}: {detail}")]
    Invalid { path: String, detail: String },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<Resources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    urls: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Resources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

/// How much of a request is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

/// What the rules look at.
pub(crate) struct Asked<'a> {
    pub(crate) user: &'a UserInfo,
    pub(crate) info: &'a RequestInfo,
}

/// What the policy says of one request.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) level: Level,
    pub(crate) omit_stages: Vec<Stage>,
    pub(crate) omit_managed_fields: bool,
}

impl Level {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

impl Policy {
    /// Reads a policy file, in JSON or YAML.
    ///
    /// # Errors
    /// What does not read, and rules that upstream refuses.
    pub fn parse(text: &[u8]) -> Result<Self, PolicyError> {
        let format = federation_schema::decode::Format::Yaml;
        let (value, findings) =
            federation_schema::decode::untyped(text, format).map_err(|error| PolicyError::Syntax(error.to_string()))?;
        if let Some(finding) = findings.first() {
            return Err(PolicyError::Syntax(finding.to_string()));
        }
        let policy: Self = serde_json::from_value(value).map_err(|error| PolicyError::Syntax(error.to_string()))?;
        if (policy.api_version.as_str(), policy.kind.as_str()) != ("audit.k8s.io/v1", "Policy") {
            let found = format!("{:?} {:?} is not Policy of audit.k8s.io/v1", policy.api_version, policy.kind);
            return Err(PolicyError::Syntax(found));
        }
        if policy.rules.is_empty() {
            return Err(PolicyError::Syntax("loaded illegal policy with 0 rules".to_owned()));
        }
        for (at, rule) in policy.rules.iter().enumerate() {
            rule.check(at)?;
        }
        Ok(policy)
    }

    pub(super) fn judge(&self, asked: &Asked<'_>) -> Verdict {
        let Some(rule) = self.rules.iter().find(|rule| rule.matches(asked)) else {
            return Verdict {
                level: Level::None,
                omit_stages: self.omit_stages.clone(),
                omit_managed_fields: self.omit_managed_fields,
            };
        };
        let omit_stages = match rule.level {
            Level::None => Vec::new(),
            _ => self.omit_stages.iter().chain(&rule.omit_stages).copied().collect(),
        };
        let omit_managed_fields = rule.omit_managed_fields.unwrap_or(self.omit_managed_fields);
        Verdict { level: rule.level, omit_stages, omit_managed_fields }
    }
}

impl Rule {
    fn check(&self, at: usize) -> Result<(), PolicyError> {
        let invalid = |field: &str, detail: &str| {
            Err(PolicyError::Invalid { path: format!("rules[{at}].{field}"), detail: detail.to_owned() })
        };
        for url in self.urls.iter().filter(|url| *url != "*") {
            if !url.starts_with('/') {
                return invalid("nonResourceURLs", "non-resource URL rules must begin with a '/' character");
            }
            if url[..url.len() - 1].contains('*') {
                return invalid(
                    "nonResourceURLs",
                    "non-resource URL wildcards '*' must be the final character of the rule",
                );
            }
        }
        for resources in &self.resources {
            let group = &resources.group;
            if !group.is_empty() && group != "*" && !federation_schema::field::format::is_dns_subdomain(group) {
                return invalid("resources.group", "a group is a lowercase RFC 1123 subdomain, without a version");
            }
            if !resources.resource_names.is_empty() && resources.resources.is_empty() {
                return invalid("resources.resourceNames", "using resourceNames requires at least one resource");
            }
        }
        if !self.urls.is_empty() && (!self.resources.is_empty() || !self.namespaces.is_empty()) {
            return invalid("nonResourceURLs", "rules cannot apply to both regular resources and non-resource URLs");
        }
        Ok(())
    }

    fn matches(&self, Asked { user, info }: &Asked<'_>) -> bool {
        let allows = |list: &[String], value: &str| list.is_empty() || list.iter().any(|one| one == value);
        if !allows(&self.users, &user.name) || !allows(&self.verbs, &info.verb) {
            return false;
        }
        if !self.user_groups.is_empty() && !user.groups.iter().any(|group| self.user_groups.contains(group)) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return info.is_resource
                && allows(&self.namespaces, &info.namespace)
                && (self.resources.is_empty() || self.resources.iter().any(|resources| resources.matches(info)));
        }
        if !self.urls.is_empty() {
            return !info.is_resource && self.urls.iter().any(|url| covers(url, &info.path));
        }
        true
    }
}

impl Resources {
    fn matches(&self, info: &RequestInfo) -> bool {
        if self.group != info.group && self.group != "*" {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        let named = self.resource_names.is_empty() || self.resource_names.contains(&info.name);
        let path = info.resource_path();
        let is = |rule: &String| {
            rule == "*"
                || *rule == path
                || rule.strip_prefix("*/").is_some_and(|sub| !info.subresource.is_empty() && sub == info.subresource)
                || rule.strip_suffix("/*").is_some_and(|resource| resource == info.resource)
        };
        named && self.resources.iter().any(is)
    }
}

fn covers(rule: &str, path: &str) -> bool {
    rule == "*" || rule == path || rule.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::{Asked, Level, Policy};
    use crate::request::RequestInfo;
    use auth::UserInfo;

    const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, nonResourceURLs: [/healthz*, /version]}
- {level: Metadata, resources: [{group: '', resources: [secrets, configmaps, '*/token']}]}
- {level: Request, users: [alice], verbs: [create], namespaces: [shop], omitStages: [ResponseStarted]}
- {level: RequestResponse, userGroups: [dev], resources: [{group: '*', resources: [pods/*], resourceNames: [p]}]}
- {level: Metadata, omitManagedFields: true}
";

    /// Protocol: F3
    #[test]
    fn the_first_rule_that_matches_wins() {
        let policy = Policy::parse(POLICY.as_bytes()).expect("a policy");
        let judge = |user: &str, groups: &[&str], (verb, path): (&str, &str)| {
            let mut parts = path.split('/');
            let mut next = || parts.next().unwrap_or("").to_owned();
            let info = match path.strip_prefix('/') {
                Some(_) => RequestInfo { path: path.to_owned(), verb: verb.to_owned(), ..RequestInfo::default() },
                None => RequestInfo {
                    is_resource: true,
                    verb: verb.to_owned(),
                    namespace: next(),
                    resource: next(),
                    name: next(),
                    subresource: next(),
                    ..RequestInfo::default()
                },
            };
            let user = UserInfo::new(user, groups.iter().copied());
            policy.judge(&Asked { user: &user, info: &info })
        };
        for (user, groups, asked, level) in [
            ("eve", &[][..], ("get", "/healthz/etcd"), Level::None),
            ("eve", &[], ("get", "/metrics"), Level::Metadata),
            ("alice", &[], ("create", "shop/secrets"), Level::Metadata),
            ("alice", &[], ("create", "shop/pods"), Level::Request),
            ("alice", &[], ("create", "other/pods"), Level::Metadata),
            ("bob", &["dev"], ("create", "shop/pods/p/exec"), Level::RequestResponse),
            ("bob", &["dev"], ("create", "shop/pods/q/exec"), Level::Metadata),
            ("bob", &[], ("create", "shop/serviceaccounts/x/token"), Level::Metadata),
        ] {
            assert_eq!(judge(user, groups, asked).level, level, "{user} {asked:?}");
        }
        let verdict = judge("alice", &[], ("create", "shop/pods"));
        assert_eq!(verdict.omit_stages.len(), 2, "those of the rule and those of the policy");
        assert!(judge("eve", &[], ("get", "/metrics")).omit_managed_fields);
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_refused_by_name() {
        let rule = |rule: &str| format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{rule}]");
        for (text, named) in [
            ("kind: Policy".to_owned(), "audit.k8s.io/v1"),
            (rule(""), "0 rules"),
            (rule("{level: Loud}"), "Loud"),
            (rule("{users: [x]}"), "level"),
            (rule("{level: None, colour: red}"), "colour"),
            (rule("{level: None, nonResourceURLs: [healthz]}"), "rules[0].nonResourceURLs"),
            (rule("{level: None, nonResourceURLs: [/*/a]}"), "final character"),
            (rule("{level: None, nonResourceURLs: [/a], namespaces: [b]}"), "both regular resources"),
            (rule("{level: None, resources: [{resourceNames: [a]}]}"), "at least one resource"),
            (rule("{level: None, resources: [{group: apps/v1}]}"), "resources.group"),
        ] {
            let error = Policy::parse(text.as_bytes()).expect_err(&text).to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
