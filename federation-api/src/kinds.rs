//! Which kinds this server serves now: the built-in ones for ever, custom ones as long as they are defined.
//!
//! A request looks its kind up once and keeps the handle; built-in kinds cost no allocation and no lock. Custom kinds
//! are compiled from the cache when a request finds that a definition changed since: no task, no delay.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use federation_schema::facts::{self, Facts, Resource};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::cache::{Cache, ResourceCache, Scope};
use crate::custom::definition::{Definition, Version};
use crate::custom::{STORAGE, status};
use crate::request::RequestInfo;
use crate::wire::discovery::{Discovery, Served};
use crate::wire::openapi::{self, CustomDocuments};
use crate::{convert, kind};

/// A kind that is served: what the table says of it, and where its types stand. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Kind(Source);

#[derive(Debug, Clone)]
enum Source {
    Built(&'static Resource),
    Custom(CustomKind),
}

/// One version of a custom kind.
#[derive(Debug, Clone)]
pub(crate) struct CustomKind {
    pub(crate) definition: Arc<Definition>,
    version: usize,
}

/// As an extension of a request from inside: versions that are defined and not served are reached too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unserved;

/// The kinds of one server.
pub(crate) struct Kinds {
    source: Arc<ResourceCache>,
    /// What `/api` tells old clients.
    address: String,
    table: ArcSwap<Table>,
    /// Guards the making of a new table; never held across an await.
    making: Mutex<()>,
}

/// Every custom kind at one revision of the definitions, and the documents that name all kinds.
pub(crate) struct Table {
    rev: u64,
    /// By group and plural name.
    custom: BTreeMap<String, BTreeMap<String, Arc<Definition>>>,
    address: String,
    discovery: OnceLock<Discovery>,
    openapi: OnceLock<CustomDocuments>,
}

impl Kind {
    /// A kind of the built-in table.
    pub(crate) fn built_in(resource: &'static Resource) -> Self {
        Self(Source::Built(resource))
    }

    /// The facts that the ids of its types belong to.
    pub(crate) fn facts(&self) -> &Facts {
        match &self.0 {
            Source::Built(_) => facts::kubernetes(),
            Source::Custom(custom) => &custom.version().facts,
        }
    }

    /// What is known of a custom kind; none for built-in ones.
    pub(crate) fn custom(&self) -> Option<&CustomKind> {
        match &self.0 {
            Source::Built(_) => None,
            Source::Custom(custom) => Some(custom),
        }
    }

    /// Whether a request is one for this kind: what is in no namespace has no path in one, and the other way round.
    pub(crate) fn is_reached_by(&self, info: &RequestInfo) -> bool {
        let everywhere = matches!(info.verb.as_str(), "list" | "watch");
        self.custom().is_none() || self.namespaced != info.namespace.is_empty() || self.namespaced && everywhere
    }

    /// The kind as whose objects its objects are stored: itself, but for views.
    pub(crate) fn stored(&self) -> Self {
        match &self.0 {
            Source::Built(resource) => Self::built_in(convert::stored(facts::kubernetes(), resource)),
            Source::Custom(_) => self.clone(),
        }
    }
}

impl Deref for Kind {
    type Target = Resource;

    fn deref(&self) -> &Resource {
        match &self.0 {
            Source::Built(resource) => resource,
            Source::Custom(custom) => &custom.version().resource,
        }
    }
}

impl CustomKind {
    /// The version that this is.
    pub(crate) fn version(&self) -> &Version {
        &self.definition.shared.versions[self.version]
    }
}

impl Kinds {
    pub(crate) fn new(cache: &Cache, address: String) -> Self {
        let source = cache.resource(STORAGE);
        let table = Table::compile(&source, None, &address);
        Self { source, address, table: ArcSwap::from_pointee(table), making: Mutex::new(()) }
    }

    /// The kind that is served at that path.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Kind> {
        let built_in = facts::kubernetes().resource(group, version, plural).filter(|found| kind::serves(found));
        built_in.map(Kind::built_in).or_else(|| self.table().find(group, version, plural))
    }

    /// The custom kind of that version, served or not.
    pub(crate) fn find_defined(&self, group: &str, version: &str, plural: &str) -> Option<Kind> {
        let definition = Arc::clone(self.table().definition(group, plural)?);
        let version = definition.shared.versions.iter().position(|of| *of.resource.version == *version)?;
        Some(Kind(Source::Custom(CustomKind { definition, version })))
    }

    /// The kinds as they are defined now.
    pub(crate) fn table(&self) -> Arc<Table> {
        let table = self.table.load_full();
        if table.rev == self.source.snapshot().rev() {
            return table;
        }
        let _only = self.making.lock();
        let before = self.table.load_full();
        if before.rev == self.source.snapshot().rev() {
            return before;
        }
        let table = Arc::new(Table::compile(&self.source, Some(&before), &self.address));
        self.table.store(Arc::clone(&table));
        before.end_replaced(&table);
        table
    }
}

impl Table {
    fn compile(source: &ResourceCache, before: Option<&Self>, address: &str) -> Self {
        let snapshot = source.snapshot();
        let mut custom: BTreeMap<String, BTreeMap<String, Arc<Definition>>> = BTreeMap::new();
        for entry in snapshot.range(&Scope::All, "") {
            let parsed = entry.field(&["status"]).and_then(|raw| serde_json::from_slice(raw).ok());
            if !parsed.is_some_and(|status: Value| status::holds(&json!({"status": status}), "Established")) {
                continue;
            }
            // A definition is named PLURAL.GROUP.
            let known = entry.name().split_once('.').and_then(|(plural, group)| before?.definition(group, plural));
            match Definition::compile(entry, known.map(|known| &**known)) {
                Ok(new) if kind::is_built_in(&new.shared.group, &new.shared.plural) => {
                    tracing::warn!(
                        name = entry.name(),
                        "a custom kind has the name of a built-in one and is not served"
                    );
                }
                Ok(new) => {
                    let group = custom.entry(new.shared.group.clone()).or_default();
                    group.insert(new.shared.plural.clone(), Arc::new(new));
                }
                Err(error) => tracing::error!(%error, name = entry.name(), "a custom kind cannot be served"),
            }
        }
        Self {
            rev: snapshot.rev(),
            custom,
            address: address.to_owned(),
            discovery: OnceLock::new(),
            openapi: OnceLock::new(),
        }
    }

    fn definition(&self, group: &str, plural: &str) -> Option<&Arc<Definition>> {
        self.custom.get(group)?.get(plural)
    }

    fn find(&self, group: &str, version: &str, plural: &str) -> Option<Kind> {
        let definition = self.definition(group, plural)?;
        let version = definition.served(version)?;
        Some(Kind(Source::Custom(CustomKind { definition: Arc::clone(definition), version })))
    }

    /// Every served version of every custom kind.
    pub(crate) fn custom(&self) -> impl Iterator<Item = Kind> + '_ {
        self.custom.values().flat_map(BTreeMap::values).flat_map(|definition| {
            let served = |at: &usize| definition.shared.versions[*at].served;
            (0..definition.shared.versions.len())
                .filter(served)
                .map(|version| Kind(Source::Custom(CustomKind { definition: Arc::clone(definition), version })))
        })
    }

    /// The discovery documents.
    pub(crate) fn discovery(&self) -> &Discovery {
        self.discovery.get_or_init(|| {
            let facts = facts::kubernetes();
            let custom: Vec<Kind> = self.custom().collect();
            let custom = custom.iter().filter_map(|kind| {
                let of = kind.custom()?;
                Some(Served::custom(kind, of.definition.shown_verbs(of.version())))
            });
            let built_in = facts.resources().filter(|kind| kind::serves(kind)).map(Served::built_in);
            let old = crate::legacy::shown().iter().map(Served::old);
            let all: Vec<Served<'_>> = built_in.chain(old).chain(custom).collect();
            Discovery::of(facts.groups(), &all, &self.address)
        })
    }

    /// The OpenAPI documents that custom kinds are in.
    pub(crate) fn openapi(&self) -> &CustomDocuments {
        self.openapi.get_or_init(|| {
            let source = |kind: Kind| {
                let of = kind.custom()?;
                let Version { resource, facts, .. } = of.version();
                Some(openapi::Source {
                    resource: resource.clone(),
                    facts: Arc::clone(facts),
                    spec: of.definition.shared.spec().clone(),
                    at: of.version,
                })
            };
            CustomDocuments::new(self.custom().filter_map(source).collect())
        })
    }

    /// Ends what was served of kinds that are no more, or are others now.
    fn end_replaced(&self, new: &Self) {
        for (group, kinds) in &self.custom {
            for (plural, old) in kinds {
                let same = new.definition(group, plural).is_some_and(|new| Arc::ptr_eq(&new.shared, &old.shared));
                if !same {
                    old.shared.ended.cancel();
                }
            }
        }
    }

    /// Other resources that show the same objects: other versions, and views.
    pub(crate) fn equivalents(&self, of: &Kind) -> Vec<Kind> {
        if let Some(custom) = of.custom() {
            let versions = &custom.definition.shared.versions;
            let others = (0..versions.len()).filter(|at| *at != custom.version && versions[*at].served);
            let definition = &custom.definition;
            return others
                .map(|version| Kind(Source::Custom(CustomKind { definition: Arc::clone(definition), version })))
                .collect();
        }
        let storage = kind::storage_name(&of.group, &of.plural);
        let same = |other: &&'static Resource| {
            let itself = (&*other.group, &*other.version) == (&*of.group, &*of.version);
            !itself && kind::storage_name(&other.group, &other.plural) == storage && kind::serves(other)
        };
        facts::kubernetes().resources().filter(same).map(Kind::built_in).collect()
    }
}
