//! What is believed of the documents in which another server tells what it serves. Pure.
//!
//! They come from outside: only what discovery has is taken over, and only so much of it. Sources: k8s.io/kube-aggregator
//! `pkg/apiserver/handler_discovery.go`, k8s.io/apiserver `pkg/endpoints/discovery.go` (`ConvertGroupVersionIntoToDiscovery`).

use serde_json::{Map, Value, json};

/// Resources of one version that are shown; more is no API but an attack.
const MAX_RESOURCES: usize = 2_000;
/// Entries of a list within a resource.
const MAX_ENTRIES: usize = 200;
/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 512;

/// What one server was last heard to serve of one group and version.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Documents {
    /// Resources in the form of aggregated discovery.
    pub(super) resources: Vec<Value>,
    /// Whether that is how it is now.
    pub(super) fresh: bool,
    /// Where its OpenAPI document is, as its index says.
    pub(super) openapi: Option<String>,
}

impl Documents {
    /// The same, heard of some time ago.
    pub(super) fn stale(mut self) -> Self {
        self.fresh = false;
        self
    }

    /// An entry of aggregated discovery.
    pub(super) fn shown(&self, version: &str) -> Value {
        let freshness = if self.fresh { "Current" } else { "Stale" };
        json!({"version": version, "freshness": freshness, "resources": self.resources})
    }
}

/// The resources of a version out of an aggregated document; none where it does not name the version.
pub(super) fn aggregated(document: &Value, group: &str, version: &str) -> Option<Vec<Value>> {
    let named = |item: &&Value| item.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("") == group;
    let groups = document["items"].as_array()?.iter().filter(named);
    let mut versions = groups.filter_map(|item| item["versions"].as_array()).flatten();
    let found = versions.find(|one| one["version"] == version)?;
    Some(list(&found["resources"]).take(MAX_RESOURCES).filter_map(resource).collect())
}

fn resource(from: &Value) -> Option<Value> {
    let scope = if from["scope"] == "Namespaced" { "Namespaced" } else { "Cluster" };
    let mut out = json!({
        "resource": name(&from["resource"])?, "responseKind": kind(&from["responseKind"]), "scope": scope,
        "singularResource": name(&from["singularResource"]).unwrap_or_default(), "verbs": names(&from["verbs"]),
    });
    put(&mut out, "shortNames", names(&from["shortNames"]));
    put(&mut out, "categories", names(&from["categories"]));
    let subresource = |sub: &Value| {
        Some(json!({
            "subresource": name(&sub["subresource"])?, "responseKind": kind(&sub["responseKind"]),
            "verbs": names(&sub["verbs"]),
        }))
    };
    put(
        &mut out,
        "subresources",
        list(&from["subresources"]).take(MAX_ENTRIES).filter_map(subresource).collect::<Vec<_>>(),
    );
    Some(out)
}

/// The resources out of a legacy `APIResourceList`; none where the document is another.
pub(super) fn legacy(document: &Value) -> Option<Vec<Value>> {
    if document["kind"] != "APIResourceList" {
        return None;
    }
    let all = document["resources"].as_array()?;
    let mut resources: Vec<Value> = Vec::new();
    for from in all.iter().take(MAX_RESOURCES) {
        let Some(full) = name(&from["name"]) else { continue };
        let kind = json!({
            "group": name(&from["group"]).unwrap_or_default(), "version": name(&from["version"]).unwrap_or_default(),
            "kind": name(&from["kind"]).unwrap_or_default(),
        });
        let scope = if from["namespaced"] == true { "Namespaced" } else { "Cluster" };
        if let Some((parent, subresource)) = full.split_once('/') {
            let at = resources.iter().position(|one| one["resource"] == parent).unwrap_or_else(|| {
                let nothing = json!({"group": "", "version": "", "kind": ""});
                resources.push(json!({"resource": parent, "scope": scope, "responseKind": nothing,
                    "singularResource": "", "verbs": []}));
                resources.len() - 1
            });
            let sub = json!({"subresource": subresource, "responseKind": kind, "verbs": names(&from["verbs"])});
            match resources[at]["subresources"].as_array_mut() {
                Some(all) => all.push(sub),
                None => resources[at]["subresources"] = json!([sub]),
            }
            continue;
        }
        let mut out = json!({
            "resource": full, "responseKind": kind, "scope": scope,
            "singularResource": name(&from["singularName"]).unwrap_or_default(), "verbs": names(&from["verbs"]),
        });
        put(&mut out, "shortNames", names(&from["shortNames"]));
        put(&mut out, "categories", names(&from["categories"]));
        resources.push(out);
    }
    Some(resources)
}

/// Where the OpenAPI document of a group and version is, by the index of its server: a path on that server.
pub(super) fn openapi_url(index: &Value, key: &str) -> Option<String> {
    let url = name(&index["paths"][key]["serverRelativeURL"])?;
    let own = url.strip_prefix("/openapi/v3/").and_then(|rest| rest.strip_prefix(key))?;
    (own.is_empty() || own.starts_with('?')).then_some(url)
}

fn kind(from: &Value) -> Value {
    let part = |field: &str| name(&from[field]).unwrap_or_default();
    json!({"group": part("group"), "version": part("version"), "kind": part("kind")})
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn names(value: &Value) -> Vec<String> {
    list(value).take(MAX_ENTRIES).filter_map(name).collect()
}

fn name(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty() && text.len() <= MAX_NAME_BYTES).map(str::to_owned)
}

fn put<T: Into<Value>>(out: &mut Value, key: &str, list: Vec<T>) {
    if let (Some(map), false) = (out.as_object_mut(), list.is_empty()) {
        let map: &mut Map<String, Value> = map;
        map.insert(key.to_owned(), list.into_iter().map(Into::into).collect());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{aggregated, legacy, openapi_url};

    /// Protocol: G1, D3
    #[test]
    fn both_forms_of_discovery_say_the_same() {
        let flunders = json!({
            "resource": "flunders", "responseKind": {"group": "", "version": "", "kind": "Flunder"},
            "scope": "Namespaced", "singularResource": "flunder", "verbs": ["get", "list"], "shortNames": ["fl"],
            "subresources": [{"subresource": "status", "verbs": ["get"],
                "responseKind": {"group": "", "version": "", "kind": "Flunder"}}],
        });
        let mut sent = flunders.clone();
        sent["unknown"] = json!({"deep": [1, 2]});
        let document = json!({"items": [{"metadata": {"name": "a.example"}, "versions": [
            {"version": "v1", "resources": [sent, {"resource": 7}, "bad"]}]}]});
        assert_eq!(aggregated(&document, "a.example", "v1"), Some(vec![flunders.clone()]));
        assert_eq!(aggregated(&document, "a.example", "v2"), None);
        assert_eq!(aggregated(&json!({"items": 3}), "a.example", "v1"), None);
        let old = json!({"kind": "APIResourceList", "resources": [
            {"name": "flunders/status", "namespaced": true, "kind": "Flunder", "verbs": ["get"]},
        ]});
        let parts = legacy(&old).expect("a list");
        assert_eq!(parts[0]["subresources"][0]["subresource"], "status");
        let old = json!({"kind": "APIResourceList", "resources": [
            {"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder",
                "verbs": ["get", "list"], "shortNames": ["fl"]},
            {"name": "flunders/status", "namespaced": true, "kind": "Flunder", "verbs": ["get"]},
        ]});
        assert_eq!(legacy(&old), Some(vec![flunders]));
        assert_eq!(legacy(&json!({"kind": "Status"})), None);
    }

    /// Protocol: G1
    #[test]
    fn hostile_documents_are_cut_short() {
        let many: Vec<Value> = (0..5_000).map(|n| json!({"resource": format!("r{n}")})).collect();
        let versions = json!([{"version": "v1", "resources": many}]);
        let document = json!({"items": [{"metadata": {"name": "g"}, "versions": versions}]});
        assert_eq!(aggregated(&document, "g", "v1").expect("some").len(), super::MAX_RESOURCES);
        let long = json!({"items": [{"metadata": {"name": "g"}, "versions": [
            {"version": "v1", "resources": [{"resource": "x".repeat(600)}]}]}]});
        assert_eq!(aggregated(&long, "g", "v1"), Some(Vec::new()));
        let index = |url: &str| json!({"paths": {"apis/g/v1": {"serverRelativeURL": url}}});
        assert!(openapi_url(&index("/openapi/v3/apis/g/v1?hash=A"), "apis/g/v1").is_some());
        for bad in ["https://elsewhere/openapi/v3/apis/g/v1", "/openapi/v3/apis/g/v11", "/openapi/v3/api/v1", ""] {
            assert_eq!(openapi_url(&index(bad), "apis/g/v1"), None, "{bad}");
        }
    }
}
