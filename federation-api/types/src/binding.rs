//! The kind `PlacementBinding`: the stored result of a decision and what became of it in each member.
//!
//! Spec is schedule's, status is propagate's; nobody else writes either.

use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::meta::Object;

/// `fedgate.dev/v1alpha1 PlacementBinding`, in fedgate-system, one a placed template.
pub type PlacementBinding = Object<BindingSpec, BindingStatus>;

/// The decision.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BindingSpec {
    pub template: TemplateRef,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<PlacementRef>,
    pub clusters: Vec<BindingCluster>,
    /// Why fewer clusters or replicas than asked for; empty when all fits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unschedulable: String,
    /// Raised with every change of content.
    pub epoch: u64,
    /// The policy for objects in members when the template goes: `Delete` or `Orphan`; recorded before it goes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub on_delete: String,
    /// `Fail`, `Adopt` or `Overwrite`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub conflict: String,
    /// Identity that member writes impersonate; empty means the Cluster's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub executor: String,
}

/// Names a template exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateRef {
    pub api_version: String,
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub generation: i64,
}

/// Names the policy that won: a Placement, a ClusterPlacement, or `Annotation`, `Namespace`, `Default`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PlacementRef {
    pub kind: String,
    pub name: String,
}

/// One target; a row that shall go says `withdraw` and stays until propagate has acknowledged it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BindingCluster {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub withdraw: bool,
    /// The copy stays as it is: who changed the template last may not act on this cluster.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hold: bool,
}

/// What became of the decision.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BindingStatus {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<BindingClusterStatus>,
}

/// The state of one member's copy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BindingClusterStatus {
    pub name: String,
    pub phase: Phase,
    pub applied_generation: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub applied_hash: String,
    /// Hash of the fields that we own there, as the member recorded it; differs once somebody took one over.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owned_hash: String,
    /// UID of the object in the member.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// What the member's object says of itself, folded by kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub observed_at: String,
}

/// Where one member's copy is on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    #[default]
    Pending,
    Applied,
    Failed,
    Conflict,
    Unreachable,
    Deleting,
    /// Withdrawn and seen to be gone (or never ours): schedule takes the row away.
    Gone,
}
