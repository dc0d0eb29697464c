//! Which kinds the hub serves that can be templates, read from its discovery.
//!
//! Names and verbs only; what of a kind is ever placed is interpret's.

use federation_types::{Gvk, Gvr};
use hub_client::{ApiError, Hub};
use serde_json::Value;

/// A resource of the hub whose objects can be templates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    pub gvr: Gvr,
    pub kind: String,
    pub namespaced: bool,
}

/// Groups that describe one API server or the federation itself.
const NEVER: &[&str] = &[
    "fedgate.dev",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "metrics.k8s.io",
    "storagemigration.k8s.io",
];

/// Core kinds that are never templates, so that nobody watches them for nothing.
const NEVER_CORE: &[&str] = &["Event", "Node", "ComponentStatus", "Binding", "Namespace"];

impl Kind {
    /// Group, version and kind.
    #[must_use]
    pub fn gvk(&self) -> Gvk {
        Gvk { group: self.gvr.group.clone(), version: self.gvr.version.clone(), kind: self.kind.clone() }
    }
}

/// Every kind that can be a template, each in the version that the hub prefers of those that it answers for itself.
///
/// What an aggregated API server keeps is no template: the hub does not store it, and that server may fail alone.
///
/// # Errors
/// As the API answers; part of a discovery is no discovery.
pub async fn discover(hub: &Hub) -> Result<Vec<Kind>, ApiError> {
    let elsewhere = elsewhere(&hub.get_path("/apis/apiregistration.k8s.io/v1/apiservices").await?);
    let mut all = Vec::new();
    if !elsewhere.iter().any(|version| version == "v1") {
        all = of_version(&hub.get_path("/api/v1").await?, "v1");
    }
    let groups = hub.get_path("/apis").await?;
    for group in list(&groups, "groups") {
        let name = group["name"].as_str().unwrap_or("");
        let version = preferred(group, &elsewhere).filter(|_| !NEVER.contains(&name));
        let Some(version) = version else { continue };
        all.extend(of_version(&hub.get_path(&format!("/apis/{version}")).await?, version));
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// The `apiVersion`s that other servers answer for.
fn elsewhere(services: &Value) -> Vec<String> {
    let remote =
        list(services, "items").filter(|service| service.pointer("/spec/service").is_some_and(Value::is_object));
    let text = |service: &Value, field: &str| service["spec"][field].as_str().unwrap_or("").to_owned();
    let version = |service: &Value| match text(service, "group") {
        group if group.is_empty() => text(service, "version"),
        group => format!("{group}/{}", text(service, "version")),
    };
    remote.map(version).collect()
}

/// The first version of a group that is not elsewhere; groups name them in order of preference.
fn preferred<'v>(group: &'v Value, elsewhere: &[String]) -> Option<&'v str> {
    let versions = std::iter::once(&group["preferredVersion"]).chain(list(group, "versions"));
    let mut named = versions.filter_map(|version| version["groupVersion"].as_str());
    named.find(|version| !version.is_empty() && !elsewhere.iter().any(|other| other == version))
}

/// The resources of one APIResourceList that can be templates.
pub(crate) fn of_version(resources: &Value, version: &str) -> Vec<Kind> {
    list(resources, "resources")
        .filter_map(|resource| {
            let name = resource["name"].as_str().filter(|n| !n.contains('/'))?;
            let kind = resource["kind"].as_str()?;
            let verbs: Vec<&str> = list(resource, "verbs").filter_map(Value::as_str).collect();
            let usable = ["list", "watch", "get"].iter().all(|v| verbs.contains(v));
            let never = version == "v1" && NEVER_CORE.contains(&kind);
            (usable && !never).then(|| Kind {
                gvr: Gvr::new(version, name),
                kind: kind.to_owned(),
                namespaced: resource["namespaced"].as_bool().unwrap_or(false),
            })
        })
        .collect()
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{elsewhere, of_version, preferred};

    #[test]
    fn what_others_answer_for_is_no_template() {
        let service = |group: &str, version: &str, at: serde_json::Value| json!({"spec": {"group": group, "version": version, "service": at}});
        let remote = json!({"namespace": "n", "name": "s"});
        let services = json!({"items": [
            service("a.example", "v2", remote.clone()),
            service("a.example", "v1", serde_json::Value::Null),
            service("b.example", "v1", remote),
        ]});
        let elsewhere = elsewhere(&services);
        assert_eq!(elsewhere, ["a.example/v2", "b.example/v1"]);
        let group = |versions: &[&str]| {
            let versions: Vec<_> = versions.iter().map(|version| json!({"groupVersion": version})).collect();
            json!({"preferredVersion": versions[0], "versions": versions})
        };
        assert_eq!(preferred(&group(&["a.example/v2", "a.example/v1"]), &elsewhere), Some("a.example/v1"));
        assert_eq!(preferred(&group(&["b.example/v1"]), &elsewhere), None);
        assert_eq!(preferred(&group(&["apps/v1"]), &elsewhere), Some("apps/v1"));
    }

    #[test]
    fn only_what_can_be_listed_and_watched_is_a_kind() {
        let verbs = json!(["get", "list", "watch", "create"]);
        let answer = json!({"resources": [
            {"name": "configmaps", "kind": "ConfigMap", "namespaced": true, "verbs": verbs},
            {"name": "pods/log", "kind": "Pod", "namespaced": true, "verbs": verbs},
            {"name": "bindings", "kind": "Binding", "namespaced": true, "verbs": ["create"]},
            {"name": "events", "kind": "Event", "namespaced": true, "verbs": verbs},
            {"name": "tokens", "kind": "Token", "namespaced": false, "verbs": ["create"]},
        ]});
        let kinds = of_version(&answer, "v1");
        assert_eq!(kinds.iter().map(|k| k.kind.as_str()).collect::<Vec<_>>(), ["ConfigMap"]);
        assert!(kinds[0].namespaced);
    }
}
