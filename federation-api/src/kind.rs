//! What differs from kind to kind in the life of an object, as one table each; everything else is generic.
//!
//! Source: k8s.io/kubernetes `pkg/registry/**/strategy.go` and the tables of its `apidefinitions` tests.

use std::collections::HashSet;
use std::sync::LazyLock;

use federation_schema::facts::{Group, Resource};

use crate::convert;
use crate::error::Subject;
use crate::kinds::Kind;

/// What deleting an owner does to its dependents where the request does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GarbagePolicy {
    Background,
    Orphan,
    /// The kind takes no part in garbage collection.
    Unsupported,
}

/// Kinds that a PUT creates where they are missing.
const PUT_CREATES: &[(&str, &str)] = &[
    ("coordination.k8s.io", "leases"),
    ("coordination.k8s.io", "leasecandidates"),
    ("", "endpoints"),
    ("", "events"),
    ("events.k8s.io", "events"),
    ("", "limitranges"),
    ("", "services"),
    ("node.k8s.io", "runtimeclasses"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
];

/// Kinds that count changes of their content; everything else has generation 0.
const GENERATION: &[(&str, &[&str])] = &[
    (
        "admissionregistration.k8s.io",
        &[
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        ],
    ),
    ("", &["pods", "podtemplates", "replicationcontrollers"]),
    ("apps", &["daemonsets", "deployments", "replicasets", "statefulsets"]),
    ("autoscaling", &["horizontalpodautoscalers"]),
    ("batch", &["cronjobs", "jobs"]),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    ("discovery.k8s.io", &["endpointslices"]),
    (
        "fedgate.dev",
        &[
            "clusteringressparameters",
            "clusteroverrides",
            "clusterplacements",
            "clusters",
            "ingressparameters",
            "overrides",
            "placementbindings",
            "placements",
        ],
    ),
    ("flowcontrol.apiserver.k8s.io", &["flowschemas", "prioritylevelconfigurations"]),
    ("networking.k8s.io", &["ingressclasses", "ingresses", "networkpolicies"]),
    ("policy", &["poddisruptionbudgets"]),
    ("resource.k8s.io", &["deviceclasses", "devicetaintrules", "resourceslices"]),
    ("scheduling.k8s.io", &["priorityclasses"]),
];

/// Kinds whose updates have to name the revision they are for.
const CONDITIONAL: &[(&str, &[&str])] = &[
    (
        "admissionregistration.k8s.io",
        &[
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        ],
    ),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    ("apiregistration.k8s.io", &["apiservices"]),
    ("certificates.k8s.io", &["clustertrustbundles", "podcertificaterequests"]),
    ("coordination.k8s.io", &["leasecandidates", "leases"]),
    ("node.k8s.io", &["runtimeclasses"]),
    ("policy", &["poddisruptionbudgets"]),
    ("storage.k8s.io", &["csidrivers", "csinodes", "csistoragecapacities", "volumeattachments"]),
    ("storagemigration.k8s.io", &["storageversionmigrations"]),
];

/// Resources that are another view of a resource of another group: (group, resource) → storage name.
const ALIASES: &[(&str, &str, &str)] = &[("events.k8s.io", "events", "core/events")];

fn listed(table: &[(&str, &str)], kind: &Resource) -> bool {
    table.iter().any(|(group, plural)| *group == kind.group && *plural == kind.plural)
}

/// Whether a PUT of a missing object creates it.
#[must_use]
pub fn put_creates(kind: &Resource) -> bool {
    listed(PUT_CREATES, kind)
}

/// Whether objects carry a generation.
#[must_use]
pub(crate) fn has_generation(kind: &Kind) -> bool {
    kind.custom().is_some()
        || GENERATION.iter().any(|(group, plurals)| *group == kind.group && plurals.contains(&&*kind.plural))
}

/// Whether the generation rises with the content; it stays at 1 where upstream forgot to raise it.
#[must_use]
pub(crate) fn counts_generations(kind: &Kind) -> bool {
    has_generation(kind) && !(kind.group == "scheduling.k8s.io" && kind.plural == "priorityclasses")
}

/// Whether an update may leave the resourceVersion out: custom resources, our own and some of upstream's may not.
#[must_use]
pub(crate) fn allows_unconditional_update(kind: &Kind) -> bool {
    let own = kind.custom().is_some() || kind.group == federation_types::label::GROUP;
    let pinned = CONDITIONAL.iter().any(|(group, plurals)| *group == kind.group && plurals.contains(&&*kind.plural));
    !own && !pinned
}

/// Whether the status has an endpoint of its own, so that other writes leave it alone.
#[must_use]
pub fn has_status(kind: &Resource) -> bool {
    kind.subresource("status").is_some()
}

/// What happens to dependents by default.
#[must_use]
pub fn garbage_policy(kind: &Resource) -> GarbagePolicy {
    match (&*kind.group, &*kind.plural) {
        ("" | "events.k8s.io", "events") => GarbagePolicy::Unsupported,
        ("batch", "jobs") | ("", "replicationcontrollers") => GarbagePolicy::Orphan,
        _ => GarbagePolicy::Background,
    }
}

/// Under which name the objects of a resource are stored and cached: `core/pods`, `apps/deployments`.
#[must_use]
pub fn storage_name(group: &str, resource: &str) -> String {
    let alias = ALIASES.iter().find(|(g, r, _)| *g == group && *r == resource);
    match (alias, group) {
        (Some((_, _, name)), _) => (*name).to_owned(),
        (None, "") => format!("core/{resource}"),
        (None, group) => format!("{group}/{resource}"),
    }
}

/// `namespace/name`, or `name` for cluster-scoped kinds.
#[must_use]
pub fn object_key(kind: &Resource, namespace: &str, name: &str) -> String {
    if kind.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
}

/// The object as errors of most codes name it.
#[must_use]
pub fn subject(kind: &Resource, name: &str) -> Subject {
    Subject::new(&kind.group, &kind.plural, name)
}

/// The object as a 422 names it: by its Kind.
#[must_use]
pub fn kind_subject(kind: &Resource, name: &str) -> Subject {
    Subject::new(&kind.group, &kind.kind, name)
}

/// `Deployment.apps`, for messages.
#[must_use]
pub fn qualified(kind: &Resource) -> String {
    if kind.group.is_empty() { kind.plural.to_string() } else { format!("{}.{}", kind.plural, kind.group) }
}

/// Whether this is core/namespaces.
#[must_use]
pub fn is_namespace(kind: &Resource) -> bool {
    kind.group.is_empty() && kind.plural == "namespaces"
}

/// Whether a status that comes with the creation stays: kubelets register nodes with theirs.
#[must_use]
pub fn keeps_status_on_create(kind: &Resource) -> bool {
    kind.group.is_empty() && matches!(&*kind.plural, "nodes" | "namespaces")
}

/// Whether this version of a resource is served: the newest stable one, and older ones that convert to it.
///
/// What is not stable is served by no cluster that was not told to; our own kinds have one version.
#[must_use]
pub fn serves(kind: &Resource) -> bool {
    static SERVED: LazyLock<HashSet<(&str, &str, &str)>> = LazyLock::new(|| {
        let facts = federation_schema::facts::kubernetes();
        let groups = facts.groups();
        let served =
            |kind: &&Resource| is_stable(kind) && (is_newest(&groups, kind) || convert::is_older_version(kind));
        facts.resources().filter(served).map(path).collect()
    });
    SERVED.contains(&path(kind))
}

fn is_stable(kind: &Resource) -> bool {
    let preview = kind.version.contains("alpha") || kind.version.contains("beta");
    !preview || kind.group == federation_types::label::GROUP
}

/// Whether a resource of that name is in the built-in table, in whatever version.
#[must_use]
pub(crate) fn is_built_in(group: &str, plural: &str) -> bool {
    federation_schema::facts::kubernetes().resources().any(|kind| kind.group == group && kind.plural == plural)
}

fn is_newest(groups: &[Group], kind: &Resource) -> bool {
    let facts = federation_schema::facts::kubernetes();
    let versions = groups.iter().find(|group| group.name == kind.group).map(|group| &group.versions);
    let newest = versions.into_iter().flatten().find(|version| {
        facts.resource(&kind.group, version, &kind.plural).is_some_and(|other| !other.verbs.is_empty())
    });
    newest.is_some_and(|newest| *newest == kind.version)
}

fn path(kind: &Resource) -> (&str, &str, &str) {
    (&kind.group, &kind.version, &kind.plural)
}
