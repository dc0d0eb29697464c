//! What a decision is made from, and what it says.
//!
//! Plain facts: no watches, no clock. Whoever fills them in reads the API.

use std::collections::BTreeMap;

use federation_types::binding::{BindingSpec, BindingStatus, PlacementRef};
use federation_types::cluster::{self, Taint};
use federation_types::placement::PlacementSpec;
use federation_types::{Cluster, ClusterName, Gvk, Placement, condition, label};
use serde_json::Value;

use super::capacity::{Free, Request};
use crate::interpret;

/// A template as far as placing it needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pub gvk: Gvk,
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub shape: Shape,
    /// What one of its pods asks for.
    pub request: Request,
}

/// How a template can spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The same object everywhere: ConfigMaps, Services, DaemonSets.
    Whole,
    /// Replicas that can be divided.
    Replicas(u64),
    /// Runs once: divided means one cluster.
    Once,
    /// One cluster, whatever a policy says: a bare Pod has one status, one log, one name.
    Single,
}

/// A member cluster as far as placing needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterFacts {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub region: String,
    pub zones: Vec<String>,
    pub provider: String,
    pub taints: Vec<Taint>,
    pub ready: bool,
    /// Capacity less requests; `None` where the member has not reported any.
    pub free: Option<Free>,
}

/// A policy and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// `Placement`, `ClusterPlacement`, `Annotation`, `Namespace` or `Default`, with a name.
    pub source: PlacementRef,
    /// Empty for policies of the whole hub.
    pub namespace: String,
    /// RFC 3339; the oldest wins a tie.
    pub created: String,
    /// Who wrote it last, as the write pipeline recorded it; empty where it recorded nobody.
    pub author: String,
    pub spec: PlacementSpec,
}

/// Where templates go that nothing else places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DefaultPlacement {
    #[default]
    None,
    /// To every cluster; replicas divided, or each cluster with all of them.
    All { divided: bool },
}

/// Everything a decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    pub template: &'a Template,
    /// Every Placement of the template's namespace and every ClusterPlacement.
    pub policies: &'a [Policy],
    pub namespace_annotations: &'a BTreeMap<String, String>,
    pub clusters: &'a [ClusterFacts],
    /// What was decided last, and what became of it.
    pub previous: Option<Previous<'a>>,
    /// Templates that need this one, and where they are: this one follows them.
    pub referrers: &'a [Referrer],
    /// Whether `referrers` is everybody: before all templates have been read, nobody is not nobody.
    pub referrers_known: bool,
    /// Clusters that the template's author may not execute on, with the reason: nothing is added there, what stands holds.
    pub denied: &'a BTreeMap<String, String>,
    pub default: DefaultPlacement,
}

/// The binding as it stands.
#[derive(Debug, Clone, Copy)]
pub struct Previous<'a> {
    pub spec: &'a BindingSpec,
    pub status: Option<&'a BindingStatus>,
}

/// A template whose pods need this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    pub kind: String,
    pub name: String,
    pub clusters: Vec<String>,
}

/// Where a template runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// By name; `replicas` is `None` for kinds without any.
    pub rows: Vec<Row>,
    /// Why fewer clusters or replicas than asked for; empty when all fits.
    pub unschedulable: String,
    pub winner: Option<PlacementRef>,
    /// The winning policy, refined by annotations.
    pub policy: Option<PlacementSpec>,
    /// Policies that select the template and do not count, with the reason.
    pub losers: Vec<(PlacementRef, String)>,
    /// Every cluster, and why it was or was not chosen.
    pub verdicts: Vec<Verdict>,
}

/// One target cluster of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub replicas: Option<u64>,
    /// The copy there shall go.
    pub withdraw: bool,
    /// The copy there stays as it is.
    pub hold: bool,
}

/// Why one cluster was or was not chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub member: String,
    pub chosen: bool,
    pub reason: String,
}

impl Template {
    /// The facts of a template object.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let gvk = interpret::gvk(object);
        Self {
            namespace: federation_types::text::namespace(object).to_owned(),
            name: federation_types::text::name(object).to_owned(),
            labels: strings(object, "labels"),
            annotations: strings(object, "annotations"),
            shape: interpret::shape(&gvk, object),
            request: Request::of_pod(interpret::pod_spec(&gvk, object)),
            gvk,
        }
    }
}

/// A string map of the metadata; what is no string is left out (the API refuses it on writing).
fn strings(object: &Value, field: &str) -> BTreeMap<String, String> {
    federation_types::text::at(object, &["metadata", field])
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

impl ClusterFacts {
    /// The facts of a `Cluster` object.
    #[must_use]
    pub fn of(member: &Cluster) -> Self {
        let status = member.status.clone().unwrap_or_default();
        Self {
            name: member.metadata.name.clone(),
            labels: member.metadata.labels.clone(),
            region: member.spec.region.clone(),
            zones: member.spec.zones.clone(),
            provider: member.spec.provider.clone(),
            taints: member.spec.taints.clone(),
            ready: condition::holds(&status.conditions, cluster::conditions::READY),
            free: Free::between(&status.capacity, &status.requested),
        }
    }

    /// Whether the name is one that a member can have.
    #[must_use]
    pub fn cluster_name(&self) -> Option<ClusterName> {
        ClusterName::new(&self.name).ok()
    }
}

impl Policy {
    /// A Placement or ClusterPlacement object as a policy.
    #[must_use]
    pub fn of(placement: &Placement) -> Self {
        let namespace = placement.metadata.namespace.clone();
        let kind = if namespace.is_empty() { "ClusterPlacement" } else { "Placement" };
        Self {
            source: PlacementRef { kind: kind.to_owned(), name: placement.metadata.name.clone() },
            namespace,
            created: placement.metadata.creation_timestamp.clone().unwrap_or_default(),
            author: placement.metadata.annotations.get(label::AUTHOR).cloned().unwrap_or_default(),
            spec: placement.spec.clone(),
        }
    }
}

impl Previous<'_> {
    /// The replicas that `cluster` was given, if it has a row that stays.
    #[must_use]
    pub fn replicas(&self, member: &str) -> Option<u64> {
        let row = self.spec.clusters.iter().find(|row| row.name == member && !row.withdraw)?;
        // A negative count is no count: the API refuses it, and zero places nothing.
        Some(row.replicas.map_or(0, |r| u64::try_from(r).unwrap_or(0)))
    }
}
