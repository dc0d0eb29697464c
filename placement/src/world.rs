//! What placement knows of the hub: small projections of everything a decision or a manifest depends on.
//!
//! Readers only; whatever a reconcile writes, it reads afresh first.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use federation_types::binding::TemplateRef;
use federation_types::cluster::conditions::REACHABLE;
use federation_types::{Cluster, Gvk, Gvr, Override, Placement, PlacementBinding, label, text};
use hub_client::{Collection, Hub, Reflection};
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use crate::interpret::{self, Dependency};
use crate::kinds::Kind;
use crate::namespaces;
use crate::render::{IpRange, content_hash};
use crate::schedule::{ClusterFacts, DefaultPlacement, Policy};

/// One template by where it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TemplateKey {
    pub gvr: Gvr,
    pub namespace: String,
    pub name: String,
}

/// What stays of a template in memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TemplateSeen {
    pub uid: String,
    /// Hash of what the user wrote; status and bookkeeping do not count.
    pub content: String,
    pub dependencies: Vec<Dependency>,
    /// Deployment, StatefulSet or DaemonSet that an autoscaler names, for HorizontalPodAutoscalers.
    pub scales: Option<(String, String)>,
}

/// What stays of a Cluster in memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClusterSeen {
    pub facts: ClusterFacts,
    /// Since when the health loop has called it unreachable, RFC 3339.
    pub unreachable_since: Option<String>,
}

/// What stays of a Namespace in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamespaceSeen {
    pub uid: String,
    pub annotations: BTreeMap<String, String>,
    pub deleting: bool,
}

/// Everything that controllers share.
pub(crate) struct World {
    pub hub: Hub,
    pub hub_uid: String,
    pub hub_range: IpRange,
    pub default: DefaultPlacement,
    pub clusters: Reflection<ClusterSeen>,
    pub placements: Reflection<Policy>,
    pub cluster_placements: Reflection<Policy>,
    pub overrides: Reflection<Override>,
    pub cluster_overrides: Reflection<Override>,
    pub namespaces: Reflection<NamespaceSeen>,
    pub bindings: Reflection<PlacementBinding>,
    /// UIDs of bound templates that were seen to go, until their bindings have. Guards the set; held for single changes.
    pub departed: Mutex<HashSet<String>>,
    /// Guards the table of kinds and their templates; held for look-ups and single inserts only.
    pub templates: RwLock<BTreeMap<Kind, Reflection<TemplateSeen>>>,
    /// The kinds of the hub have been read once.
    pub discovered: AtomicBool,
    /// Guards the look-ups; held for single changes only.
    pub index: Mutex<Index>,
    /// Whether an author may act on a cluster, and when that was asked. Guards the answers; held for single changes.
    pub rights: Mutex<HashMap<(String, String), (Instant, bool)>>,
}

/// `placementbindings.fedgate.dev`, and so on.
pub(crate) fn ours(resource: &str) -> Gvr {
    Gvr::new(label::API_VERSION, resource)
}

/// Every object of one of our resources.
pub(crate) fn all_of(resource: &str) -> Collection {
    Collection::all(ours(resource))
}

impl TemplateSeen {
    pub(crate) fn of(object: &Value) -> Self {
        Self {
            uid: text::uid(object).to_owned(),
            content: content(object),
            dependencies: interpret::dependencies(object),
            scales: scales(object),
        }
    }
}

/// Annotations that change without the user wanting anything else in members.
const BOOKKEEPING: &[&str] =
    &["deployment.kubernetes.io/", "kubectl.kubernetes.io/last-applied-configuration", label::AUTHOR];

/// Hash of what the user wrote.
fn content(object: &Value) -> String {
    let mut written = object.clone();
    if let Some(fields) = written.as_object_mut() {
        fields.remove("status");
    }
    if let Some(meta) = written.get_mut("metadata").and_then(Value::as_object_mut) {
        for bookkeeping in ["resourceVersion", "managedFields", "generation", "creationTimestamp", "selfLink"] {
            meta.remove(bookkeeping);
        }
        if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|key, _| !BOOKKEEPING.iter().any(|b| key.starts_with(b)));
        }
    }
    content_hash(&written)
}

fn scales(object: &Value) -> Option<(String, String)> {
    let gvk = interpret::gvk(object);
    if gvk.group != "autoscaling" || gvk.kind != "HorizontalPodAutoscaler" {
        return None;
    }
    let of = |key| text::str_at(object, &["spec", "scaleTargetRef", key]).to_owned();
    Some((of("kind"), of("name")))
}

impl ClusterSeen {
    pub(crate) fn of(object: Value) -> Option<Self> {
        let member: Cluster = serde_json::from_value(object).ok()?;
        if member.metadata.deletion_timestamp.is_some() {
            // It leaves with what it runs: to placement it is no member any more.
            return None;
        }
        let conditions = member.status.iter().flat_map(|s| &s.conditions);
        let lost = conditions.clone().find(|c| c.kind == REACHABLE && c.status == "False");
        let unreachable_since = lost.map(|c| c.last_transition_time.clone());
        Some(Self { facts: ClusterFacts::of(&member), unreachable_since })
    }

    /// Whether something changed that decisions depend on; free capacity moves all the time and does not count.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        let fixed = |seen: &Self| ClusterFacts { free: None, ..seen.facts.clone() };
        fixed(self) != fixed(other) || self.unreachable_since != other.unreachable_since
    }
}

impl NamespaceSeen {
    pub(crate) fn of(object: &Value) -> Self {
        Self {
            uid: text::uid(object).to_owned(),
            annotations: crate::schedule::Template::of(object).annotations,
            deleting: text::at(object, &["metadata", "deletionTimestamp"]).is_some(),
        }
    }
}

/// A Placement as a policy; one that is not of our shape is left out (the API refuses it).
pub(crate) fn policy(object: Value) -> Option<Policy> {
    serde_json::from_value::<Placement>(object).ok().map(|p| Policy::of(&p))
}

/// A binding without what members say of themselves: that stays in the fleet's own watches.
pub(crate) fn binding(object: Value) -> Option<PlacementBinding> {
    let mut binding: PlacementBinding = serde_json::from_value(object).ok()?;
    for row in binding.status.iter_mut().flat_map(|s| &mut s.clusters) {
        row.status = None;
    }
    Some(binding)
}

impl World {
    /// Waits until everything that decisions depend on has been read once.
    pub(crate) async fn synced(&self) -> bool {
        self.clusters.synced().await
            && self.placements.synced().await
            && self.cluster_placements.synced().await
            && self.overrides.synced().await
            && self.cluster_overrides.synced().await
            && self.namespaces.synced().await
            && self.bindings.synced().await
    }

    /// The kind that a template reference names, in the version that the hub prefers.
    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Option<Kind> {
        let wanted = Gvk::new(api_version, kind);
        let namespaces = namespaces::kind();
        if wanted == namespaces.gvk() {
            return Some(namespaces);
        }
        self.templates.read().keys().find(|k| k.gvr.group == wanted.group && k.kind == wanted.kind).cloned()
    }

    /// The kind of a resource.
    pub(crate) fn kind_of(&self, gvr: &Gvr) -> Option<Kind> {
        let namespaces = namespaces::kind();
        if *gvr == namespaces.gvr {
            return Some(namespaces);
        }
        self.templates.read().keys().find(|k| k.gvr == *gvr).cloned()
    }

    /// The projection of one template.
    pub(crate) fn template(&self, key: &TemplateKey) -> Option<Arc<TemplateSeen>> {
        let templates = self.templates.read();
        let (_, seen) = templates.iter().find(|(k, _)| k.gvr == key.gvr)?;
        seen.get(&key.namespace, &key.name)
    }

    /// Every template of a namespace, or of all for `None`.
    pub(crate) fn keys(&self, namespace: Option<&str>) -> Vec<TemplateKey> {
        let templates = self.templates.read();
        let mut keys = Vec::new();
        for (kind, seen) in templates.iter() {
            let found = namespace.map_or_else(|| seen.all(), |ns| seen.within(ns));
            keys.extend(found.into_iter().map(|((namespace, name), _)| TemplateKey {
                gvr: kind.gvr.clone(),
                namespace,
                name,
            }));
        }
        keys
    }

    /// Every policy that may mean templates of `namespace`.
    pub(crate) fn policies(&self, namespace: &str) -> Vec<Policy> {
        let near = if namespace.is_empty() { Vec::new() } else { self.placements.within(namespace) };
        near.into_iter().chain(self.cluster_placements.all()).map(|(_, p)| (*p).clone()).collect()
    }

    /// Every override that may mean templates of `namespace`.
    pub(crate) fn overrides(&self, namespace: &str) -> Vec<Override> {
        let near = if namespace.is_empty() { Vec::new() } else { self.overrides.within(namespace) };
        near.into_iter().chain(self.cluster_overrides.all()).map(|(_, o)| (*o).clone()).collect()
    }

    /// Whether an autoscaler that is placed itself owns the replica count of a template.
    pub(crate) fn is_autoscaled(&self, kind: &str, template: &TemplateRef) -> bool {
        let Some(scalers) = self.kind("autoscaling/v2", "HorizontalPodAutoscaler") else { return false };
        let Some(seen) = self.templates.read().get(&scalers).cloned() else { return false };
        seen.within(&template.namespace).iter().any(|((namespace, name), scaler)| {
            let means = scaler.scales.as_ref().is_some_and(|(k, n)| k == kind && *n == template.name);
            let (gvr, namespace, name) = (scalers.gvr.clone(), namespace.clone(), name.clone());
            means && !self.bindings_of(&scalers.gvk(), &TemplateKey { gvr, namespace, name }).is_empty()
        })
    }

    /// The policy that placed a binding, where it is an object.
    pub(crate) fn policy_of(&self, binding: &PlacementBinding) -> Option<Arc<Policy>> {
        let placement = binding.spec.placement.as_ref()?;
        match placement.kind.as_str() {
            "Placement" => self.placements.get(&binding.spec.template.namespace, &placement.name),
            "ClusterPlacement" => self.cluster_placements.get("", &placement.name),
            _ => None,
        }
    }

    /// Whether the policy that placed a binding suspends it: no update, no new copy, no deletion.
    pub(crate) fn is_suspended(&self, binding: &PlacementBinding) -> bool {
        self.policy_of(binding).is_some_and(|p| p.spec.suspend)
    }

    /// Every member cluster's facts, by name.
    pub(crate) fn facts(&self) -> Vec<ClusterFacts> {
        self.clusters.all().into_iter().map(|(_, seen)| seen.facts.clone()).collect()
    }

    /// Bindings of templates of this kind, namespace and name, whatever their UID.
    pub(crate) fn bindings_of(&self, gvk: &Gvk, key: &TemplateKey) -> Vec<Arc<PlacementBinding>> {
        let names = self.index.lock().bindings.get(&Subject::of(gvk, key)).cloned().unwrap_or_default();
        names.iter().filter_map(|name| self.bindings.get(label::SYSTEM_NAMESPACE, name)).collect()
    }

    /// Whether the kinds of the hub have been read once.
    pub(crate) fn knows_kinds(&self) -> bool {
        self.discovered.load(Ordering::Acquire)
    }

    /// Whether every template that runs pods has been read once.
    pub(crate) fn knows_pods(&self) -> bool {
        self.knows_kinds()
            && self.templates.read().iter().all(|(k, seen)| !interpret::runs_pods(&k.gvk()) || seen.state().synced)
    }

    /// Templates whose pods name this ConfigMap, Secret, ServiceAccount or claim.
    pub(crate) fn needed_by(&self, gvk: &Gvk, key: &TemplateKey) -> Vec<TemplateKey> {
        let index = self.index.lock();
        index.needed_by.get(&Subject::of(gvk, key)).into_iter().flatten().cloned().collect()
    }

    /// Notes that a template was seen to go, where it is bound; answers by which bindings.
    pub(crate) fn depart(&self, gvk: &Gvk, key: &TemplateKey, uid: &str) -> Vec<String> {
        let bindings = self.bindings_of(gvk, key).into_iter().filter(|binding| binding.spec.template.uid == uid);
        let names: Vec<String> = bindings.map(|binding| binding.metadata.name.clone()).collect();
        if !names.is_empty() {
            self.departed.lock().insert(uid.to_owned());
        }
        names
    }

    /// Keeps the index of bindings by template.
    pub(crate) fn bound(&self, name: &str, old: Option<&PlacementBinding>, new: Option<&PlacementBinding>) {
        let mut index = self.index.lock();
        let subject = |b: &PlacementBinding| Subject::of_ref(&b.spec.template);
        if let Some(old) = old {
            drop_from(&mut index.bindings, &subject(old), &name.to_owned());
        }
        if let Some(new) = new {
            index.bindings.entry(subject(new)).or_default().insert(name.to_owned());
        }
    }

    /// Keeps the index of who needs what; gives the keys whose referrers changed.
    pub(crate) fn needs(
        &self,
        key: &TemplateKey,
        old: Option<&TemplateSeen>,
        new: Option<&TemplateSeen>,
    ) -> BTreeSet<TemplateKey> {
        let of = |seen: Option<&TemplateSeen>| -> BTreeSet<Dependency> {
            seen.into_iter().flat_map(|s| s.dependencies.iter().cloned()).collect()
        };
        let (before, after) = (of(old), of(new));
        let mut index = self.index.lock();
        for gone in before.difference(&after) {
            drop_from(&mut index.needed_by, &Subject::needed(gone, &key.namespace), key);
        }
        for fresh in &after {
            index.needed_by.entry(Subject::needed(fresh, &key.namespace)).or_default().insert(key.clone());
        }
        drop(index);
        before.symmetric_difference(&after).filter_map(|d| dependency_key(d, &key.namespace)).collect()
    }
}

/// What a pod names, as the key of a template.
pub(crate) fn dependency_key(dependency: &Dependency, namespace: &str) -> Option<TemplateKey> {
    let resource = match dependency.kind {
        "ConfigMap" => "configmaps",
        "Secret" => "secrets",
        "ServiceAccount" => "serviceaccounts",
        "PersistentVolumeClaim" => "persistentvolumeclaims",
        _ => return None,
    };
    let (gvr, namespace, name) = (Gvr::new("v1", resource), namespace.to_owned(), dependency.name.clone());
    Some(TemplateKey { gvr, namespace, name })
}

/// A template by kind and name, whatever its version and UID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    group: String,
    kind: String,
    namespace: String,
    name: String,
}

/// Look-ups that would otherwise read every object.
#[derive(Debug, Default)]
pub(crate) struct Index {
    bindings: BTreeMap<Subject, BTreeSet<String>>,
    needed_by: BTreeMap<Subject, BTreeSet<TemplateKey>>,
}

impl Subject {
    fn of(gvk: &Gvk, key: &TemplateKey) -> Self {
        Self {
            group: gvk.group.clone(),
            kind: gvk.kind.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
        }
    }

    fn of_ref(template: &TemplateRef) -> Self {
        let gvk = Gvk::new(&template.api_version, &template.kind);
        let (namespace, name) = (template.namespace.clone(), template.name.clone());
        Self { group: gvk.group, kind: gvk.kind, namespace, name }
    }

    fn needed(dependency: &Dependency, namespace: &str) -> Self {
        Self {
            group: String::new(),
            kind: dependency.kind.to_owned(),
            namespace: namespace.to_owned(),
            name: dependency.name.clone(),
        }
    }
}

fn drop_from<V: Ord>(map: &mut BTreeMap<Subject, BTreeSet<V>>, subject: &Subject, value: &V) {
    if let Some(set) = map.get_mut(subject) {
        set.remove(value);
        if set.is_empty() {
            map.remove(subject);
        }
    }
}
