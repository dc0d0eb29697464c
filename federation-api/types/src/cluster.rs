//! The kind `Cluster`: a member cluster as the user registered it and as the health loop sees it.
//!
//! Shapes only; who may write which half stands in ARCHITECTURE.md.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::meta::Object;

/// `fedgate.dev/v1alpha1 Cluster`, cluster-scoped.
pub type Cluster = Object<ClusterSpec, ClusterStatus>;

/// What the user says of a member.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterSpec {
    /// `https://host:port` of the member's API server.
    pub server: String,
    /// Base64 of PEM certificates that the server's certificate is checked against.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ca_bundle: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_ref: Option<CredentialsRef>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub provider: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    /// Identity that writes to this member impersonate; empty means the default executor.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub executor: String,
}

/// Names a Secret of type `fedgate.dev/cluster-credentials` in fedgate-system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CredentialsRef {
    pub name: String,
}

/// Keeps templates without a matching toleration away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    pub key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule` or `NoExecute`.
    pub effect: String,
}

/// What the health loop sees of a member.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterStatus {
    /// UID of the member's kube-system namespace: the identity of the cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// `gitVersion` of the member's API server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Sum of `status.allocatable` over ready nodes: cpu, memory, pods, as quantities.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub capacity: BTreeMap<String, String>,
    /// Sum of what running pods request: cpu, memory, pods, as quantities.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub requested: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodeCount>,
}

/// How many nodes a member has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeCount {
    pub total: u32,
    pub ready: u32,
}

/// Condition types of a Cluster.
pub mod conditions {
    /// All that placing needs holds.
    pub const READY: &str = "Ready";
    /// The member's API server answers.
    pub const REACHABLE: &str = "Reachable";
    /// The hub's credentials are accepted and suffice.
    pub const AUTHORIZED: &str = "Authorized";
    /// The member is the cluster that was registered, and speaks a version that we speak.
    pub const API_COMPATIBLE: &str = "APICompatible";
    /// Pods, nodes and slices of the member are complete at the hub.
    pub const MIRRORED: &str = "Mirrored";
}
