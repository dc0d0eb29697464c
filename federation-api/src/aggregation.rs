//! Group versions that another API server answers for: which they are, how they are doing, what they serve.
//!
//! [`service`] reads an APIService, [`condition`] says whether it is available and [`document`] what of its documents is
//! believed (all pure); [`keeper`] asks the servers and writes what it finds, [`proxy`] hands requests on. A server that
//! fails takes its own group versions with it and nothing else. Knows no kind of any of them.

pub(crate) mod condition;
mod document;
pub(crate) mod keeper;
pub(crate) mod local;
pub(crate) mod proxy;
pub(crate) mod service;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use serde_json::Value;

use crate::cache::{Cache, ResourceCache, Scope};
use crate::kinds::Table;
use crate::wire::discovery::{Discovery, Rank};
use crate::wire::document::Document;
use document::Documents;
use service::Remote;

/// The group of APIServices; nobody else can answer for it.
pub(crate) const GROUP: &str = "apiregistration.k8s.io";
/// The plural name of APIServices.
pub(crate) const PLURAL: &str = "apiservices";
/// Where APIServices are stored.
pub(crate) const STORAGE: &str = "apiregistration.k8s.io/apiservices";

/// What one server knows of the others.
pub(crate) struct Aggregation {
    source: Arc<ResourceCache>,
    routes: ArcSwap<Routes>,
    /// What the servers were last heard to serve, by the name of the APIService.
    known: ArcSwap<BTreeMap<String, Documents>>,
    merged: ArcSwapOption<Merged>,
    /// Guards the making of routes and knowledge; never held across an await.
    making: Mutex<()>,
    /// Guards the making of merged documents, which takes longer: no request waits for it that asks for none.
    merging: Mutex<()>,
}

/// The remote APIServices at one revision.
#[derive(Debug)]
pub(crate) struct Routes {
    rev: u64,
    /// By group and version.
    remotes: BTreeMap<String, BTreeMap<String, Arc<Remote>>>,
}

/// The documents that name local and remote resources, and what they were made of.
struct Merged {
    table: Arc<Table>,
    routes: Arc<Routes>,
    known: Arc<BTreeMap<String, Documents>>,
    discovery: Discovery,
    index: OnceLock<Document>,
}

impl Aggregation {
    pub(crate) fn new(cache: &Cache) -> Self {
        let source = cache.resource(STORAGE);
        let routes = ArcSwap::from_pointee(Routes::compile(&source));
        let (known, merged) = (ArcSwap::default(), ArcSwapOption::empty());
        Self { source, routes, known, merged, making: Mutex::new(()), merging: Mutex::new(()) }
    }

    /// The remote APIServices, as new as the last write.
    pub(crate) fn routes(&self) -> Arc<Routes> {
        let routes = self.routes.load();
        if routes.rev == self.source.snapshot().rev() {
            return Arc::clone(&routes);
        }
        drop(routes);
        let _only = self.making.lock();
        let before = self.routes.load_full();
        if before.rev == self.source.snapshot().rev() {
            return before;
        }
        let routes = Arc::new(Routes::compile(&self.source));
        self.routes.store(Arc::clone(&routes));
        routes
    }

    /// Who answers for a path, where that is not this server.
    pub(crate) fn route(&self, path: &str) -> Option<Arc<Remote>> {
        let routes = self.routes();
        if routes.remotes.is_empty() {
            return None;
        }
        let Some(key) = path.strip_prefix("/openapi/v3/") else { return routes.find(path).cloned() };
        let remote = routes.find(&format!("/{}", key.trim_end_matches('/')))?;
        let known = self.known.load();
        let documents = known.get(&remote.name)?;
        documents.openapi.is_some().then(|| Arc::clone(remote))
    }

    /// Remembers what a server serves; none where its APIService is gone.
    fn learn(&self, name: &str, documents: Option<Documents>) {
        let _only = self.making.lock();
        let known = self.known.load();
        if known.get(name) == documents.as_ref() {
            return;
        }
        let mut new = BTreeMap::clone(&known);
        match documents {
            Some(documents) => new.insert(name.to_owned(), documents),
            None => new.remove(name),
        };
        self.known.store(Arc::new(new));
    }

    /// Discovery with the resources of others in it; none where there are no others.
    pub(crate) fn discovery<T>(&self, table: &Arc<Table>, read: impl FnOnce(&Discovery) -> T) -> Option<T> {
        self.merged(table).map(|merged| read(&merged.discovery))
    }

    /// The index of OpenAPI documents with those of others in it; none where there are no others.
    pub(crate) fn index(&self, table: &Arc<Table>, local: impl FnOnce() -> Value) -> Option<Document> {
        let merged = self.merged(table)?;
        let document = merged.index.get_or_init(|| {
            let mut index = local();
            for remote in merged.routes.iter() {
                let of = merged.known.get(&remote.name).and_then(|documents| documents.openapi.as_ref());
                if let Some(url) = of {
                    let key = remote.path();
                    index["paths"][key.trim_start_matches('/')] = serde_json::json!({"serverRelativeURL": url});
                }
            }
            Document::new("application/json", index.to_string())
        });
        Some(document.clone())
    }

    /// Which remote APIServices are unavailable, as metrics.
    pub(crate) fn render(&self, out: &mut String) {
        const NAME: &str = "aggregator_unavailable_apiservice";
        let help = "[ALPHA] Gauge of APIServices which are marked as unavailable broken down by APIService name.";
        out.push_str(&format!("# HELP {NAME} {help}\n# TYPE {NAME} gauge\n"));
        for remote in self.routes().iter() {
            out.push_str(&format!("{NAME}{{name=\"{}\"}} {}\n", remote.name, u8::from(!remote.available)));
        }
    }

    fn merged(&self, table: &Arc<Table>) -> Option<Arc<Merged>> {
        let routes = self.routes();
        if routes.remotes.is_empty() {
            return None;
        }
        let known = self.known.load_full();
        let made = || self.merged.load_full().filter(|merged| merged.is_of(table, &routes, &known));
        if let Some(merged) = made() {
            return Some(merged);
        }
        let _only = self.merging.lock();
        if let Some(merged) = made() {
            return Some(merged);
        }
        let none = Documents::default();
        let remotes = routes.iter().map(|remote| {
            let documents = known.get(&remote.name).unwrap_or(&none);
            let rank = Rank { group: remote.group_priority, version: remote.version_priority };
            ((remote.group.as_str(), remote.version.as_str()), rank, documents.shown(&remote.version))
        });
        let discovery = table.discovery().with_remote(remotes, local::rank);
        let table = Arc::clone(table);
        let merged = Arc::new(Merged { table, routes, known, discovery, index: OnceLock::new() });
        self.merged.store(Some(Arc::clone(&merged)));
        Some(merged)
    }
}

impl Merged {
    fn is_of(&self, table: &Arc<Table>, routes: &Arc<Routes>, known: &Arc<BTreeMap<String, Documents>>) -> bool {
        Arc::ptr_eq(&self.table, table) && Arc::ptr_eq(&self.routes, routes) && Arc::ptr_eq(&self.known, known)
    }
}

impl Routes {
    fn compile(source: &ResourceCache) -> Self {
        let snapshot = source.snapshot();
        let mut remotes: BTreeMap<String, BTreeMap<String, Arc<Remote>>> = BTreeMap::new();
        let served = snapshot.range(&Scope::All, "").filter(|entry| entry.field(&["spec", "service"]).is_some());
        for remote in served.filter_map(|entry| Remote::read(&entry.value())).filter(|remote| remote.group != GROUP) {
            let versions = remotes.entry(remote.group.clone()).or_default();
            versions.insert(remote.version.clone(), Arc::new(remote));
        }
        Self { rev: snapshot.rev(), remotes }
    }

    /// Every remote APIService.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Remote>> {
        self.remotes.values().flat_map(BTreeMap::values)
    }

    fn find(&self, path: &str) -> Option<&Arc<Remote>> {
        let mut parts = path.trim_start_matches('/').split('/');
        match parts.next()? {
            "api" => self.remotes.get("")?.get("v1"),
            "apis" => self.remotes.get(parts.next()?)?.get(parts.next()?),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde_json::json;

    use super::Routes;
    use super::service::Remote;

    /// Protocol: G1
    #[test]
    fn a_path_leads_to_who_answers_for_its_group_version() {
        let remote = Remote::read(&json!({"metadata": {"name": "v1.a.example"}, "spec": {"group": "a.example",
            "version": "v1", "service": {"namespace": "n", "name": "s", "port": 443}}}));
        let of_version = BTreeMap::from([("v1".to_owned(), Arc::new(remote.expect("remote")))]);
        let routes = Routes { rev: 1, remotes: BTreeMap::from([("a.example".to_owned(), of_version)]) };
        for (path, found) in [
            ("/apis/a.example/v1", true),
            ("/apis/a.example/v1/", true),
            ("/apis/a.example/v1/namespaces/x/ys/z/sub", true),
            ("/apis/a.example", false),
            ("/apis/a.example/v1beta1/ys", false),
            ("/apis/a.example/v11", false),
            ("/api/v1/pods", false),
            ("/version", false),
            ("/", false),
        ] {
            assert_eq!(routes.find(path).is_some(), found, "{path}");
        }
    }
}
