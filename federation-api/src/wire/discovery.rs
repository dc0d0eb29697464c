//! Discovery: which groups, versions and resources there are, aggregated (v2) and one by one (legacy).
//!
//! Everything is rendered once per set of facts; a request costs a lookup.

mod merge;
mod order;

use std::collections::BTreeMap;
use std::ops::Deref;

use bytes::Bytes;
use federation_schema::facts::{Group, Resource, Subresource, Text, api_version};
use http::{HeaderMap, Response, header};
use serde_json::{Map, Value, json};

use super::document::{Caching, Document};
use super::negotiate::{Convert, Encoding, NegotiateError, accept};
use super::yaml;
use crate::custom::version;

pub use merge::Rank;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A resource that is served, and what discovery alone has to know of it.
pub struct Served<'a> {
    resource: &'a Resource,
    /// Whether its group and version come behind those of the built-in kinds.
    behind: bool,
    /// The verbs that are shown, where they are not all that the resource has.
    verbs: Option<Vec<Text>>,
}

/// All discovery documents of one set of kinds.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// Path without a trailing slash → document.
    legacy: BTreeMap<String, Document>,
    /// `/api` and `/apis`.
    aggregated: BTreeMap<&'static str, Document>,
    /// Paths of documents that other servers have.
    elsewhere: Vec<String>,
}

impl<'a> Served<'a> {
    pub fn built_in(resource: &'a Resource) -> Self {
        Self { resource, behind: false, verbs: None }
    }

    /// A custom kind; `verbs` are those that are shown.
    pub fn custom(resource: &'a Resource, verbs: Vec<Text>) -> Self {
        Self { resource, behind: true, verbs: Some(verbs) }
    }

    /// An older version of a built-in kind: shown behind the current ones.
    pub fn old(resource: &'a Resource) -> Self {
        Self { resource, behind: true, verbs: None }
    }

    fn verbs(&self) -> &[Text] {
        self.verbs.as_deref().unwrap_or(&self.resource.verbs)
    }
}

impl Deref for Served<'_> {
    type Target = Resource;

    fn deref(&self) -> &Resource {
        self.resource
    }
}

impl Discovery {
    /// Renders the documents; `groups` are in order, those that only custom kinds are in come behind them.
    ///
    /// `address` is what `/api` tells old clients, such as `10.0.0.1:6443`.
    pub fn of(groups: Vec<Group>, resources: &[Served<'_>], address: &str) -> Self {
        let groups = served_groups(groups, resources);
        let (core, named): (Vec<&Group>, Vec<&Group>) = groups.iter().partition(|group| group.name.is_empty());
        let mut legacy = BTreeMap::new();
        legacy.insert("/api".to_owned(), document(&api_versions(address)));
        legacy.insert("/apis".to_owned(), document(&group_list(&named)));
        for group in &groups {
            if !group.name.is_empty() {
                legacy.insert(format!("/apis/{}", group.name), document(&typed(legacy_group(group), "APIGroup")));
            }
            for version in &group.versions {
                let list = resource_list(resources, &group.name, version);
                legacy.insert(group_version_path(&group.name, version), document(&list));
            }
        }
        let aggregated = BTreeMap::from([
            ("/api", Document::new(AGGREGATED, aggregated(resources, &core).to_string())),
            ("/apis", Document::new(AGGREGATED, aggregated(resources, &named).to_string())),
        ]);
        Self { legacy, aggregated, elsewhere: Vec::new() }
    }

    /// Every path, as `GET /` lists them.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let elsewhere = self.elsewhere.iter().filter(|path| !self.legacy.contains_key(*path));
        self.legacy.keys().chain(elsewhere).map(String::as_str)
    }

    /// Answers a request for `/api`, `/apis` or below; none where there is no such document.
    ///
    /// # Errors
    /// Where the client accepts none of the formats.
    pub fn answer(&self, path: &str, headers: &HeaderMap) -> Result<Option<Response<Bytes>>, NegotiateError> {
        let path = trimmed(path);
        let Some(legacy) = self.legacy.get(path) else { return Ok(None) };
        let aggregated = self.aggregated.get(path);
        let wanted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
        let accepted = accept(wanted, |convert| aggregated.is_some() && convert == Convert::Discovery)?;
        let document = match (accepted.convert, aggregated) {
            (Some(Convert::Discovery), Some(document)) if accepted.encoding == Encoding::Json => document,
            _ if accepted.encoding == Encoding::Yaml => {
                let value = serde_json::from_slice(&legacy.body).expect("we wrote it");
                return Ok(Some(Document::new(YAML, yaml::render(&value)).answer(headers, Caching::Revalidate)));
            }
            _ => legacy,
        };
        Ok(Some(document.answer(headers, Caching::Revalidate)))
    }
}

fn trimmed(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// `/api/v1` or `/apis/apps/v1`.
pub fn group_version_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// Groups and versions that serve at least one resource: an empty list would make `kubectl api-resources` fail.
fn served_groups(mut groups: Vec<Group>, resources: &[Served<'_>]) -> Vec<Group> {
    let serves = |group: &str, version: &str| resources.iter().any(|r| r.group == group && r.version == version);
    let built_in = groups.len();
    for resource in resources.iter().filter(|resource| resource.behind) {
        let at = groups.iter().position(|group| group.name == resource.group).unwrap_or_else(|| {
            groups.push(Group { name: resource.group.clone(), versions: Box::default() });
            groups.len() - 1
        });
        let group = &mut groups[at];
        if !group.versions.contains(&resource.version) {
            let mut versions = std::mem::take(&mut group.versions).into_vec();
            versions.push(resource.version.clone());
            if at >= built_in {
                versions.sort_by(|a, b| version::compare(b, a));
            }
            group.versions = versions.into();
        }
    }
    groups[built_in..].sort_by(|a, b| a.name.cmp(&b.name));
    for group in &mut groups {
        group.versions = group.versions.iter().filter(|version| serves(&group.name, version)).cloned().collect();
    }
    groups.retain(|group| !group.versions.is_empty());
    groups
}

fn document(value: &Value) -> Document {
    Document::new(JSON, order::text(value))
}

fn typed(mut value: Value, kind: &str) -> Value {
    value["kind"] = kind.into();
    value["apiVersion"] = "v1".into();
    value
}

fn api_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

fn group_list(groups: &[&Group]) -> Value {
    let groups: Vec<Value> = groups.iter().map(|group| legacy_group(group)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn legacy_group(group: &Group) -> Value {
    let version = |version: &str| json!({"groupVersion": api_version(&group.name, version), "version": version});
    let versions: Vec<Value> = group.versions.iter().map(|one| version(one)).collect();
    json!({"name": group.name, "preferredVersion": versions[0], "versions": versions})
}

fn resource_list(resources: &[Served<'_>], group: &str, version: &str) -> Value {
    let mut list = Vec::new();
    for resource in resources.iter().filter(|r| r.group == group && r.version == version) {
        list.push(legacy_resource(resource));
        list.extend(resource.subresources.iter().map(|sub| legacy_subresource(resource, sub)));
    }
    let mut value = json!({"kind": "APIResourceList", "groupVersion": api_version(group, version), "resources": list});
    // Upstream's oldest document has no apiVersion.
    if !group.is_empty() {
        value["apiVersion"] = "v1".into();
    }
    value
}

fn legacy_resource(resource: &Served<'_>) -> Value {
    let mut value = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs(),
    });
    put_list(&mut value, "shortNames", &resource.short_names);
    put_list(&mut value, "categories", &resource.categories);
    if !resource.storage_hash.is_empty() {
        value["storageVersionHash"] = (*resource.storage_hash).into();
    }
    value
}

fn legacy_subresource(resource: &Resource, sub: &Subresource) -> Value {
    let mut value = json!({
        "name": format!("{}/{}", resource.plural, sub.name),
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": sub.kind,
        "verbs": sub.verbs,
    });
    if (&sub.group, &sub.version) != (&resource.group, &resource.version) {
        value["group"] = (*sub.group).into();
        value["version"] = (*sub.version).into();
    }
    value
}

fn put_list(value: &mut Value, key: &str, list: &[federation_schema::facts::Text]) {
    if !list.is_empty() {
        value[key] = json!(list);
    }
}

fn aggregated(resources: &[Served<'_>], groups: &[&Group]) -> Value {
    aggregated_list(groups.iter().map(|group| aggregated_group(resources, group)).collect())
}

fn aggregated_list(items: Vec<Value>) -> Value {
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_group(resources: &[Served<'_>], group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| {
            let of_version = resources.iter().filter(|r| r.group == group.name && r.version == *version);
            let list: Vec<Value> = of_version.map(|resource| aggregated_resource(resource)).collect();
            json!({"version": version, "freshness": "Current", "resources": list})
        })
        .collect();
    let mut metadata = Map::new();
    if !group.name.is_empty() {
        metadata.insert("name".to_owned(), (*group.name).into());
    }
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(resource: &Served<'_>) -> Value {
    let (group, version) = if resource.behind { (&*resource.group, &*resource.version) } else { ("", "") };
    let mut value = json!({
        "resource": resource.plural,
        "responseKind": {"group": group, "version": version, "kind": resource.kind},
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs(),
    });
    put_list(&mut value, "shortNames", &resource.short_names);
    put_list(&mut value, "categories", &resource.categories);
    let subresources: Vec<Value> =
        resource.subresources.iter().map(|sub| aggregated_subresource(resource, sub)).collect();
    if !subresources.is_empty() {
        value["subresources"] = subresources.into();
    }
    value
}

fn aggregated_subresource(resource: &Served<'_>, sub: &Subresource) -> Value {
    let same = (&sub.group, &sub.version) == (&resource.group, &resource.version);
    let (group, version) = if same && !resource.behind { ("", "") } else { (&*sub.group, &*sub.version) };
    json!({
        "subresource": sub.name,
        "responseKind": {"group": group, "version": version, "kind": sub.kind},
        "verbs": sub.verbs,
    })
}

#[cfg(test)]
mod tests;
