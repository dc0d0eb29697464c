//! The kinds `Placement` and `ClusterPlacement`: which clusters run which templates, with how many replicas.
//!
//! Shapes only; the decision is made in placement/schedule.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cluster::Taint;
use crate::meta::Object;

/// `fedgate.dev/v1alpha1 Placement` (namespaced) and `ClusterPlacement` share one spec.
pub type Placement = Object<PlacementSpec, PlacementStatus>;

/// The policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PlacementSpec {
    pub select: Vec<TemplateSelector>,
    /// Higher wins.
    pub priority: i32,
    /// Ordered groups: the next is used when the one before does not fit.
    pub clusters: Vec<ClusterSelector>,
    pub tolerations: Vec<Toleration>,
    pub spread: Vec<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Replicas>,
    /// `Follow` (default) or `Ignore`.
    pub dependencies: String,
    /// `Fail` (default), `Adopt` or `Overwrite`.
    pub conflict: String,
    /// `Delete` (default) or `Orphan`.
    pub on_delete: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    pub suspend: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub executor: String,
}

/// Written by placement: names what does not resolve.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PlacementStatus {
    pub conditions: Vec<crate::condition::Condition>,
}

/// Selects templates: kind first, then by name or by labels; neither means all of the kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateSelector {
    pub api_version: String,
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// A `metav1.LabelSelector`, matched by the schema's selectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<serde_json::Value>,
}

/// Selects clusters: every non-empty field must match; names may be globs (`eu-*`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterSelector {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
}

/// Tolerates a taint, with the semantics of a pod's toleration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    pub key: String,
    /// `Equal` (default) or `Exists`.
    pub operator: String,
    pub value: String,
    /// Empty tolerates every effect.
    pub effect: String,
}

/// At least `min`, at most `max` different values of `by`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spread {
    /// `cluster`, `region`, `zone`, `provider` or `label:KEY`.
    pub by: String,
    pub min: u32,
    pub max: u32,
}

/// How replicas spread over the chosen clusters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Replicas {
    /// `Duplicated` or `Divided`.
    pub mode: String,
    /// `Weighted` or `Aggregated`, with `mode: Divided`.
    pub divide: String,
    pub weights: Vec<Weight>,
    /// Empty or `AvailableReplicas`.
    pub dynamic: String,
    pub min: BTreeMap<String, u32>,
    pub max: BTreeMap<String, u32>,
}

/// Weight of each cluster that the selector matches; the first match counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Weight {
    pub clusters: ClusterSelector,
    pub weight: u32,
}

/// When a lost cluster's replicas go elsewhere, and when they come back; Go durations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failover {
    pub after: String,
    #[serde(rename = "return")]
    pub return_after: String,
}

impl Toleration {
    /// Whether a template with this toleration may stay on a cluster with `taint`.
    #[must_use]
    pub fn tolerates(&self, taint: &Taint) -> bool {
        if !self.effect.is_empty() && self.effect != taint.effect {
            return false;
        }
        match self.operator.as_str() {
            "Exists" => self.key.is_empty() || self.key == taint.key,
            _ => !self.key.is_empty() && self.key == taint.key && self.value == taint.value,
        }
    }
}
