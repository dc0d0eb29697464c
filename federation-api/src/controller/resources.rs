//! Which resources there are, as discovery tells every client.
//!
//! One entry a resource, in its group's preferred version where that has it; knows no kind by name but the two views
//! of Events.

use federation_types::Gvr;
use federation_types::text::{list_at, str_at};
use hub_client::Hub;
use hub_client::error::ApiError;
use serde_json::Value;
use std::collections::BTreeMap;

/// One resource of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) gvr: Gvr,
    pub(super) kind: String,
    pub(super) namespaced: bool,
    verbs: Vec<String>,
}

/// All resources, and what could not be read.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    /// By group and plural name.
    resources: BTreeMap<(String, String), Resource>,
    /// Groups whose resources are unknown: an absence in `resources` proves nothing of theirs.
    pub(super) failures: Vec<String>,
}

impl Resource {
    pub(super) fn has_verbs(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|own| own == verb))
    }
}

impl Discovered {
    /// Asks the API.
    ///
    /// # Errors
    /// When not even the groups can be listed; a group that fails is listed in `failures`.
    pub(super) async fn read(hub: &Hub) -> Result<Self, ApiError> {
        let groups = hub.get_path("/apis").await?;
        let mut discovered = Self::default();
        let mut versions = vec!["v1".to_owned()];
        for group in list_at(&groups, &["groups"]) {
            let preferred = str_at(group, &["preferredVersion", "groupVersion"]);
            versions.push(preferred.to_owned());
            let others = list_at(group, &["versions"]).map(|version| str_at(version, &["groupVersion"]));
            versions.extend(others.filter(|other| *other != preferred).map(str::to_owned));
        }
        for version in versions.iter().filter(|version| !version.is_empty()) {
            let path = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
            match hub.get_path(&path).await {
                Ok(list) => discovered.add(version, &list),
                Err(error) => discovered.failures.push(format!("{version}: {error}")),
            }
        }
        Ok(discovered)
    }

    /// Takes the resources of one APIResourceList that are not known from a better version.
    pub(super) fn add(&mut self, group_version: &str, list: &Value) {
        for entry in list_at(list, &["resources"]) {
            let name = str_at(entry, &["name"]);
            if name.is_empty() || name.contains('/') {
                continue;
            }
            let gvr = Gvr::new(group_version, name);
            let resource = Resource {
                kind: str_at(entry, &["kind"]).to_owned(),
                namespaced: entry["namespaced"] == Value::Bool(true),
                verbs: list_at(entry, &["verbs"]).filter_map(Value::as_str).map(str::to_owned).collect(),
                gvr: gvr.clone(),
            };
            self.resources.entry((gvr.group, gvr.resource)).or_insert(resource);
        }
    }

    /// All resources that have these verbs. Events are listed under their first group only: both are one storage.
    pub(super) fn with_verbs(&self, verbs: &'static [&'static str]) -> impl Iterator<Item = &Resource> {
        self.resources.values().filter(move |resource| {
            resource.has_verbs(verbs) && !(resource.gvr.group == "events.k8s.io" && resource.gvr.resource == "events")
        })
    }

    /// The Kind of a resource; empty where it is unknown.
    pub(super) fn kind_of(&self, gvr: &Gvr) -> String {
        let found = self.resources.get(&(gvr.group.clone(), gvr.resource.clone()));
        found.map_or_else(String::new, |resource| resource.kind.clone())
    }

    /// The resource of a kind in a group, whatever the version.
    pub(super) fn of_kind(&self, group: &str, kind: &str) -> Option<&Resource> {
        self.resources.values().find(|resource| resource.gvr.group == group && resource.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::Discovered;
    use serde_json::json;

    #[test]
    fn one_entry_a_resource_in_the_better_version() {
        let mut discovered = Discovered::default();
        let resource = |name: &str, kind: &str, verbs: &[&str]| json!({"name": name, "kind": kind, "namespaced": true, "verbs": verbs});
        let all = ["delete", "list"];
        discovered.add("v1", &json!({"resources": [resource("pods", "Pod", &all), resource("pods/log", "Pod", &["get"]), resource("events", "Event", &all)]}));
        discovered.add(
            "autoscaling/v2",
            &json!({"resources": [resource("horizontalpodautoscalers", "HorizontalPodAutoscaler", &all)]}),
        );
        discovered.add("autoscaling/v1", &json!({"resources": [resource("horizontalpodautoscalers", "HorizontalPodAutoscaler", &all), resource("old", "Old", &all)]}));
        discovered.add("events.k8s.io/v1", &json!({"resources": [resource("events", "Event", &all)]}));
        discovered.add(
            "authorization.k8s.io/v1",
            &json!({"resources": [resource("subjectaccessreviews", "SubjectAccessReview", &["create"])]}),
        );
        let found: Vec<_> = discovered
            .with_verbs(&["delete", "list"])
            .map(|r| format!("{}/{}", r.gvr.api_version(), r.gvr.resource))
            .collect();
        assert_eq!(found, ["v1/events", "v1/pods", "autoscaling/v2/horizontalpodautoscalers", "autoscaling/v1/old"]);
        assert_eq!(discovered.of_kind("autoscaling", "Old").unwrap().gvr.version, "v1");
        assert_eq!(discovered.of_kind("apps", "Pod"), None);
    }
}
