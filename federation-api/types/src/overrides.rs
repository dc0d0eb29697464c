//! The kinds `Override` and `ClusterOverride`: per-cluster patches of a template.
//!
//! Shapes only; they are applied in placement/render.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::meta::Object;
use crate::placement::{ClusterSelector, TemplateSelector};

/// `fedgate.dev/v1alpha1 Override` (namespaced) and `ClusterOverride` share one spec.
pub type Override = Object<OverrideSpec, OverrideStatus>;

/// Which templates, and what changes where.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OverrideSpec {
    pub select: Vec<TemplateSelector>,
    pub rules: Vec<Rule>,
}

/// Overrides have no status of their own yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OverrideStatus {}

/// Changes for the clusters that match; no selector means every cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clusters: Option<ClusterSelector>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image: Vec<ImageRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<WordsRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<WordsRule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<KeysRule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<KeysRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub json_patch: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge_patch: Option<Value>,
}

/// Replaces the non-empty parts of an image reference; an empty container means every container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageRule {
    pub container: String,
    pub registry: String,
    pub repository: String,
    pub tag: String,
    pub digest: String,
}

/// Sets and removes environment variables of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvRule {
    pub container: String,
    pub set: BTreeMap<String, String>,
    pub remove: Vec<String>,
}

/// Appends and removes words of a container's command or args.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WordsRule {
    pub container: String,
    pub append: Vec<String>,
    pub remove: Vec<String>,
}

/// Sets and removes labels or annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KeysRule {
    pub set: BTreeMap<String, String>,
    pub remove: Vec<String>,
}
