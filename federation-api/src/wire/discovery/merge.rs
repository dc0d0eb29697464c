//! Discovery with the group versions of other servers in it, each in its place.
//!
//! Source: k8s.io/apiserver `pkg/endpoints/discovery/aggregated/handler.go` (`calculateAPIGroupsLocked`),
//! k8s.io/kube-aggregator `pkg/apiserver/handler_apis.go`.

use std::cmp::Ordering;

use federation_schema::facts::{Group, Text};
use serde_json::Value;

use super::{AGGREGATED, Discovery, Document, document, group_list, group_version_path, legacy_group, typed};
use crate::custom::version;

/// A place among groups and among the versions of a group; higher comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    pub group: i64,
    pub version: i64,
}

/// A group with its versions, each with its rank.
struct Placed {
    name: String,
    metadata: Value,
    rank: i64,
    versions: Vec<(i64, Value)>,
}

impl Discovery {
    /// The same documents with what others serve: group and version, their rank, their entry of aggregated discovery.
    /// What both have is the others'; `rank` is that of our own.
    pub fn with_remote<'a>(
        &self,
        remote: impl Iterator<Item = ((&'a str, &'a str), Rank, Value)>,
        rank: fn(&str, &str) -> Rank,
    ) -> Self {
        let mut groups = self.placed(rank);
        let (mut touched, mut paths) = (Vec::new(), Vec::new());
        for ((group, version), rank, entry) in remote.filter(|((group, _), _, _)| !group.is_empty()) {
            let at = groups.iter().position(|one| one.name == group).unwrap_or_else(|| {
                let metadata = serde_json::json!({"name": group});
                groups.push(Placed { name: group.to_owned(), metadata, rank: rank.group, versions: Vec::new() });
                groups.len() - 1
            });
            let placed = &mut groups[at];
            placed.rank = placed.rank.max(rank.group);
            placed.versions.retain(|(_, own)| own["version"] != version);
            placed.versions.push((rank.version, entry));
            touched.push(group.to_owned());
            paths.push(group_version_path(group, version));
        }
        groups.sort_by(|a, b| b.rank.cmp(&a.rank).then_with(|| a.name.cmp(&b.name)));
        for group in &mut groups {
            group.versions.sort_by(by_version);
        }
        let mut merged = self.clone();
        let lists: Vec<Group> = groups.iter().map(Placed::group).collect();
        let all: Vec<&Group> = lists.iter().collect();
        merged.legacy.insert("/apis".to_owned(), document(&group_list(&all)));
        for group in lists.iter().filter(|group| touched.iter().any(|name| *name == *group.name)) {
            merged.legacy.insert(format!("/apis/{}", group.name), document(&typed(legacy_group(group), "APIGroup")));
        }
        let items: Vec<Value> = groups.into_iter().map(Placed::item).collect();
        merged.aggregated.insert("/apis", Document::new(AGGREGATED, super::aggregated_list(items).to_string()));
        merged.elsewhere = paths;
        merged
    }

    fn placed(&self, rank: fn(&str, &str) -> Rank) -> Vec<Placed> {
        let body = &self.aggregated.get("/apis").expect("it is always made").body;
        let mut document: Value = serde_json::from_slice(body).expect("we wrote it");
        let items = document["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let placed = |mut item: Value| {
            let metadata = item["metadata"].take();
            let name = metadata["name"].as_str().unwrap_or("").to_owned();
            let versions = item["versions"].as_array_mut().map(std::mem::take).unwrap_or_default();
            let version = |entry: Value| (rank(&name, entry["version"].as_str().unwrap_or("")), entry);
            let versions: Vec<(Rank, Value)> = versions.into_iter().map(version).collect();
            let highest = versions.iter().map(|(rank, _)| rank.group).max().unwrap_or(0);
            let versions = versions.into_iter().map(|(rank, entry)| (rank.version, entry)).collect();
            Placed { metadata, rank: highest, versions, name: name.clone() }
        };
        items.into_iter().map(placed).collect()
    }
}

fn by_version((a_rank, a): &(i64, Value), (b_rank, b): &(i64, Value)) -> Ordering {
    let name = |entry: &Value| entry["version"].as_str().unwrap_or("").to_owned();
    b_rank.cmp(a_rank).then_with(|| version::compare(&name(b), &name(a)))
}

impl Placed {
    fn group(&self) -> Group {
        let versions =
            self.versions.iter().map(|(_, entry)| Text::from(entry["version"].as_str().unwrap_or("").to_owned()));
        Group { name: Text::from(self.name.clone()), versions: versions.collect() }
    }

    fn item(self) -> Value {
        let versions: Vec<Value> = self.versions.into_iter().map(|(_, entry)| entry).collect();
        serde_json::json!({"metadata": self.metadata, "versions": versions})
    }
}

#[cfg(test)]
mod tests {
    use federation_schema::facts::kubernetes;
    use http::{HeaderMap, HeaderValue, header};
    use serde_json::{Value, json};

    use super::{Discovery, Rank};
    use crate::aggregation::local;
    use crate::wire::discovery::Served;

    fn get(discovery: &Discovery, path: &str, accept: &'static str) -> Value {
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        let response = discovery.answer(path, &headers).expect("acceptable").expect("there");
        serde_json::from_slice(response.body()).expect("JSON")
    }

    /// Protocol: G1, D1, D3
    #[test]
    fn others_stand_where_their_priority_says() {
        let served: Vec<Served<'_>> =
            kubernetes().resources().filter(|kind| crate::kind::serves(kind)).map(Served::built_in).collect();
        let own = Discovery::of(kubernetes().groups(), &served, "");
        let entry = |version: &str| json!({"version": version, "freshness": "Stale", "resources": []});
        let rank = |group, version| Rank { group, version };
        let remote = [
            (("first.example", "v1"), rank(19_000, 1), entry("v1")),
            (("last.example", "v1beta1"), rank(10, 5), entry("v1beta1")),
            (("last.example", "v1"), rank(10, 5), entry("v1")),
            (("last.example", "v1alpha1"), rank(10, 9), entry("v1alpha1")),
            (("apps", "v1"), rank(1, 15), entry("v1")),
        ];
        let merged = own.with_remote(remote.into_iter(), local::rank);
        let list = get(&merged, "/apis", "application/json");
        let named: Vec<&str> =
            list["groups"].as_array().expect("groups").iter().filter_map(|g| g["name"].as_str()).collect();
        assert_eq!(named[..3], ["apiregistration.k8s.io", "first.example", "apps"]);
        assert_eq!(named.last(), Some(&"last.example"));
        let group = get(&merged, "/apis/last.example", "application/json");
        let versions: Vec<&str> =
            group["versions"].as_array().expect("versions").iter().filter_map(|v| v["version"].as_str()).collect();
        assert_eq!((versions, &group["kind"]), (vec!["v1alpha1", "v1", "v1beta1"], &json!("APIGroup")));
        assert_eq!(group["preferredVersion"]["groupVersion"], "last.example/v1alpha1");
        let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let list = get(&merged, "/apis", v2);
        let apps = list["items"].as_array().expect("items").iter().find(|item| item["metadata"]["name"] == "apps");
        assert_eq!(apps.expect("apps")["versions"], json!([entry("v1")]), "who is registered answers");
        assert!(merged.paths().any(|path| path == "/apis/last.example/v1"));
        assert_eq!(get(&merged, "/api", v2), get(&own, "/api", v2));
        let before: Vec<String> = own.paths().map(str::to_owned).collect();
        let nothing = own.with_remote(std::iter::empty(), local::rank);
        assert_eq!(get(&nothing, "/apis", v2), get(&own, "/apis", v2), "the own order stays");
        assert_eq!(before, nothing.paths().map(str::to_owned).collect::<Vec<_>>());
    }
}
