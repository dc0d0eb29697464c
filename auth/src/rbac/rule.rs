//! One rule of a role, in the form in which it is stored.
//!
//! Matching is here, so that the index, the coverage check and the tests share one definition of it.

use super::object::nullable;
use serde::{Deserialize, Serialize};

/// `rbac.authorization.k8s.io/v1` PolicyRule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRule {
    #[serde(default, deserialize_with = "nullable")]
    pub verbs: Vec<String>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    #[serde(default, rename = "nonResourceURLs", deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
}

impl PolicyRule {
    /// A rule about resources, for tables of rules.
    pub fn resources(verbs: &[&str], api_groups: &[&str], resources: &[&str]) -> Self {
        Self { verbs: owned(verbs), api_groups: owned(api_groups), resources: owned(resources), ..Self::default() }
    }

    /// A rule about paths that are no resources.
    pub fn paths(verbs: &[&str], paths: &[&str]) -> Self {
        Self { verbs: owned(verbs), non_resource_urls: owned(paths), ..Self::default() }
    }

    /// Everything there is; two rules, because resources and paths never share one.
    pub fn full_authority() -> [Self; 2] {
        [Self::resources(&["*"], &["*"], &["*"]), Self::paths(&["*"], &["*"])]
    }

    pub(super) fn allows_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|own| own == "*" || own == verb)
    }

    pub(super) fn allows_group(&self, group: &str) -> bool {
        self.api_groups.iter().any(|own| own == "*" || own == group)
    }

    /// `full` is `RESOURCE[/SUBRESOURCE]`. `pods/*` is no pattern; `*/scale` is.
    pub(super) fn allows_resource(&self, full: &str, subresource: &str) -> bool {
        self.resources.iter().any(|own| {
            own == "*" || own == full || (!subresource.is_empty() && own.strip_prefix("*/") == Some(subresource))
        })
    }

    pub(super) fn allows_name(&self, name: &str) -> bool {
        self.resource_names.is_empty() || self.resource_names.iter().any(|own| own == name)
    }

    pub(super) fn allows_path(&self, path: &str) -> bool {
        self.non_resource_urls.iter().any(|own| path_covers(own, path))
    }
}

/// Whether the pattern `own` (exact, `*`, or a prefix with a trailing `*`) matches `path`.
pub(super) fn path_covers(own: &str, path: &str) -> bool {
    own == path || (own.ends_with('*') && path.starts_with(own.trim_end_matches('*')))
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
