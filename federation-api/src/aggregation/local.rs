//! The APIServices of what this server answers for itself, and the places of its groups in discovery. Pure.
//!
//! Source: k8s.io/kubernetes `cmd/kube-apiserver/app/aggregator.go`, `pkg/controlplane/apiserver/aggregator.go`,
//! `pkg/controlplane/controller/crdregistration`.

use std::collections::BTreeSet;

use federation_schema::facts;
use serde_json::{Value, json};

use super::GROUP;
use crate::kind;
use crate::wire::discovery::Rank;

/// Whose object an APIService is that this server keeps.
pub(crate) const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// Kept in order when the server starts, left to people afterwards.
pub(crate) const ON_START: &str = "onstart";
/// Kept in order all the time.
pub(crate) const ALWAYS: &str = "true";

/// The rank of every group version of a custom kind.
const CUSTOM: Rank = Rank { group: 1_000, version: 100 };
/// The rank of a version that the table does not have in a group that it has.
const OLD_VERSION: i64 = 1;

/// A group, its priority, and those of its versions.
type Priority = (&'static str, i64, &'static [(&'static str, i64)]);

const PRIORITIES: &[Priority] = &[
    (GROUP, 20_000, &[("v1", 15)]),
    ("", 18_000, &[("v1", 1)]),
    ("apps", 17_800, &[("v1", 15)]),
    ("events.k8s.io", 17_750, &[("v1", 15), ("v1beta1", 5)]),
    ("authentication.k8s.io", 17_700, &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)]),
    ("authorization.k8s.io", 17_600, &[("v1", 15)]),
    ("autoscaling", 17_500, &[("v2", 30), ("v1", 15), ("v2beta1", 9), ("v2beta2", 1)]),
    ("batch", 17_400, &[("v1", 15), ("v1beta1", 9), ("v2alpha1", 9)]),
    ("certificates.k8s.io", 17_300, &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)]),
    ("networking.k8s.io", 17_200, &[("v1", 15), ("v1beta1", 9)]),
    ("policy", 17_100, &[("v1", 15), ("v1beta1", 9)]),
    ("rbac.authorization.k8s.io", 17_000, &[("v1", 15)]),
    ("storage.k8s.io", 16_800, &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)]),
    ("admissionregistration.k8s.io", 16_700, &[("v1", 15), ("v1beta1", 12), ("v1alpha1", 9)]),
    ("apiextensions.k8s.io", 16_700, &[("v1", 15)]),
    ("scheduling.k8s.io", 16_600, &[("v1", 15), ("v1beta1", 9), ("v1alpha3", 3)]),
    ("coordination.k8s.io", 16_500, &[("v1", 15), ("v1beta1", 13), ("v1alpha2", 12)]),
    ("node.k8s.io", 16_300, &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)]),
    ("discovery.k8s.io", 16_200, &[("v1", 15), ("v1beta1", 12)]),
    ("resource.k8s.io", 16_200, &[("v1", 21), ("v1beta2", 15), ("v1beta1", 9), ("v1alpha3", 1)]),
    (
        "flowcontrol.apiserver.k8s.io",
        16_100,
        &[("v1", 21), ("v1beta3", 18), ("v1beta2", 15), ("v1beta1", 12), ("v1alpha1", 9)],
    ),
    ("internal.apiserver.k8s.io", 16_000, &[("v1alpha1", 9)]),
    ("storagemigration.k8s.io", 15_800, &[("v1", 15), ("v1beta1", 9)]),
    ("lifecycle.k8s.io", 15_700, &[("v1alpha1", 1)]),
    (federation_types::label::GROUP, 15_000, &[("v1alpha1", 9)]),
];

/// The place of a group version that this server answers for.
pub(crate) fn rank(group: &str, version: &str) -> Rank {
    let Some((_, of_group, versions)) = PRIORITIES.iter().find(|(name, _, _)| *name == group) else { return CUSTOM };
    let of_version = versions.iter().find(|(name, _)| *name == version).map_or(OLD_VERSION, |(_, rank)| *rank);
    Rank { group: *of_group, version: of_version }
}

/// The APIServices of all built-in group versions.
///
/// Upstream's own group has none: it answers for it before it looks at them.
pub(crate) fn built_in() -> Vec<Value> {
    let served = facts::kubernetes().resources().filter(|resource| kind::serves(resource));
    let all: BTreeSet<(&str, &str)> = served
        .chain(crate::legacy::shown())
        .map(|resource| (&*resource.group, &*resource.version))
        .filter(|(group, _)| *group != GROUP)
        .collect();
    all.into_iter().map(|(group, version)| object((group, version), ON_START)).collect()
}

/// The APIService of a group version that custom kinds are served in.
pub(crate) fn custom(group: &str, version: &str) -> Value {
    object((group, version), ALWAYS)
}

fn object((group, version): (&str, &str), kept: &str) -> Value {
    let Rank { group: group_rank, version: version_rank } = if kept == ALWAYS { CUSTOM } else { rank(group, version) };
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": format!("{version}.{group}"), "labels": {MANAGED: kept}},
        "spec": {
            "group": group, "version": version,
            "groupPriorityMinimum": group_rank, "versionPriority": version_rank,
        },
    })
}

#[cfg(test)]
mod tests {
    use federation_schema::facts;

    use super::{built_in, rank};

    /// Protocol: G1, D1
    #[test]
    fn the_table_has_the_order_of_discovery() {
        let groups = facts::kubernetes().groups();
        let ranks: Vec<i64> = groups.iter().filter(|g| !g.name.is_empty()).map(|g| rank(&g.name, "v1").group).collect();
        assert!(ranks.is_sorted_by(|a, b| a >= b), "{ranks:?}");
        for group in groups {
            let ranks: Vec<i64> = group.versions.iter().map(|version| rank(&group.name, version).version).collect();
            assert!(ranks.is_sorted_by(|a, b| a > b), "{}: {ranks:?}", group.name);
        }
    }

    /// Protocol: G1
    #[test]
    fn every_built_in_group_version_has_one() {
        let names: Vec<String> =
            built_in().iter().map(|object| object["metadata"]["name"].as_str().expect("a name").to_owned()).collect();
        for name in ["v1.", "v1.apps", "v2.autoscaling", "v1.rbac.authorization.k8s.io", "v1alpha1.fedgate.dev"] {
            assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
        }
        assert!(!names.iter().any(|name| name.ends_with("apiregistration.k8s.io")));
    }
}
