//! A definition, compiled: one resource a version, with its types, its schema and what its subresources point at.
//!
//! Made from a stored CustomResourceDefinition, which validation has let in; knows no request and no cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use federation_schema::facts::{self, Facts, FactsError, Resource, Subresource, Text, TypeId};
use federation_schema::structural::columns::{self, Column};
use federation_schema::structural::{Custom, SchemaError};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::convert::Conversion;
use super::version;
use crate::cache::Entry;

const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const SUB_VERBS: [&str; 3] = ["get", "patch", "update"];

/// Why a stored definition cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DefinitionError {
    #[error("{0} is missing or of a wrong type")]
    Missing(&'static str),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Facts(#[from] FactsError),
}

/// A custom kind in all its versions.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) shared: Arc<Shared>,
    /// Whether it is being deleted: its objects go, and no new ones come.
    pub(crate) terminating: bool,
}

/// What stays the same as long as the spec and the names do.
#[derive(Debug)]
pub(crate) struct Shared {
    /// What it was made from, to find out whether it has to be made anew.
    source: Source,
    pub(crate) group: String,
    pub(crate) plural: String,
    /// Every version, in the order of the definition.
    pub(crate) versions: Box<[Version]>,
    /// Place of the version in which objects are stored.
    pub(crate) storage: usize,
    /// The store's revision at which the definition became this; what was stored earlier may look otherwise.
    pub(crate) since: u64,
    pub(crate) conversion: Conversion,
    /// Cancelled when another one takes its place: watches end and are begun anew.
    pub(crate) ended: CancellationToken,
}

#[derive(Debug, PartialEq, Eq)]
struct Source {
    uid: String,
    spec: Bytes,
    names: Bytes,
}

/// One version of a custom kind.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) resource: Resource,
    /// `GROUP/VERSION`.
    pub(crate) api_version: Box<str>,
    /// The layer that holds its types.
    pub(crate) facts: Arc<Facts>,
    /// What its schema makes of objects.
    pub(crate) shape: Custom,
    /// No other version that ever was has this number.
    pub(crate) stamp: u64,
    pub(crate) columns: Box<[Column]>,
    pub(crate) served: bool,
    /// What every request for a deprecated version is told.
    pub(crate) warning: Option<String>,
    /// Fields that selectors may name, as `spec.color`.
    pub(crate) selectable: Box<[Box<str>]>,
}

/// What all versions of a definition share, while it is compiled.
struct Names<'v> {
    group: &'v str,
    accepted: &'v Value,
    namespaced: bool,
}

impl Definition {
    /// Compiles a stored definition that is established; `before` is taken over as far as nothing has changed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn compile(entry: &Entry, before: Option<&Self>) -> Result<Self, DefinitionError> {
        let raw = |path: &[&str]| entry.field(path).map(Bytes::copy_from_slice).unwrap_or_default();
        let source = Source {
            uid: entry.text(&["metadata", "uid"]).unwrap_or_default(),
            spec: raw(&["spec"]),
            names: raw(&["status", "acceptedNames"]),
        };
        let terminating = entry.field(&["metadata", "deletionTimestamp"]).is_some();
        let shared = match before.filter(|before| before.shared.source == source) {
            Some(before) => Arc::clone(&before.shared),
            None => Arc::new(Shared::compile(source, &entry.value(), entry.stored())?),
        };
        Ok(Self { shared, terminating })
    }

    /// The version of that name, if it is served.
    pub(crate) fn served(&self, version: &str) -> Option<usize> {
        self.shared.versions.iter().position(|of| of.served && of.resource.version == version)
    }

    /// The verbs that discovery shows.
    pub(crate) fn shown_verbs(&self, version: &Version) -> Vec<Text> {
        let ending = |verb: &&Text| !self.terminating || !matches!(&***verb, "create" | "patch" | "update");
        version.resource.verbs.iter().filter(ending).cloned().collect()
    }
}

impl Shared {
    fn compile(source: Source, value: &Value, since: u64) -> Result<Self, DefinitionError> {
        let spec = &value["spec"];
        let group = text(spec, "group").ok_or(DefinitionError::Missing("spec.group"))?;
        let accepted = &value["status"]["acceptedNames"];
        let plural = text(accepted, "plural").ok_or(DefinitionError::Missing("status.acceptedNames.plural"))?;
        let names = Names { group, accepted, namespaced: spec["scope"] == "Namespaced" };
        let listed = spec["versions"].as_array().ok_or(DefinitionError::Missing("spec.versions"))?;
        let versions = listed.iter().map(|of| Version::compile(of, &names, listed));
        let versions = versions.collect::<Result<Box<[Version]>, _>>()?;
        let storage = listed.iter().position(|of| of["storage"] == true);
        let storage = storage.ok_or(DefinitionError::Missing("the storage version"))?;
        Ok(Self {
            source,
            group: group.to_owned(),
            plural: plural.to_owned(),
            versions,
            storage,
            since,
            conversion: Conversion::read(&spec["conversion"]),
            ended: CancellationToken::new(),
        })
    }

    /// The version in which objects are stored.
    pub(crate) fn stored_version(&self) -> &Version {
        &self.versions[self.storage]
    }

    /// The `spec` as JSON.
    pub(crate) fn spec(&self) -> &Bytes {
        &self.source.spec
    }

    /// The version of that `apiVersion`.
    pub(crate) fn version(&self, api_version: &str) -> Option<&Version> {
        self.versions.iter().find(|version| *version.api_version == *api_version)
    }
}

impl Version {
    fn compile(of: &Value, names: &Names<'_>, all: &[Value]) -> Result<Self, DefinitionError> {
        let name = text(of, "name").ok_or(DefinitionError::Missing("spec.versions[*].name"))?;
        let accepted = |key: &str| text(names.accepted, key).unwrap_or("").to_owned();
        let kind = accepted("kind");
        let subresources = &of["subresources"];
        let mut subs = Vec::new();
        if subresources["status"].is_object() {
            subs.push(subresource("status", (names.group, name, &kind), None));
        }
        if subresources["scale"].is_object() {
            let scale = facts::kubernetes().type_named(SCALE);
            subs.push(subresource("scale", ("autoscaling", "v1", "Scale"), scale));
        }
        let resource = Resource {
            group: names.group.to_owned().into(),
            version: name.to_owned().into(),
            list_kind: accepted("listKind").into(),
            plural: accepted("plural").into(),
            singular: accepted("singular").into(),
            short_names: texts(names.accepted, "shortNames"),
            categories: texts(names.accepted, "categories"),
            namespaced: names.namespaced,
            verbs: VERBS.map(Text::from).into(),
            subresources: subs.into(),
            storage_hash: Text::from(""),
            kind: kind.into(),
            ty: TypeId::JSON,
        };
        let shape = Custom::of_version(resource, of)?;
        let facts = shape.facts()?;
        let resource = facts.resource(names.group, name, &shape.resource().plural).cloned();
        let resource = resource.ok_or(DefinitionError::Missing("the resource of the layer"))?;
        let warning = (of["deprecated"] == true)
            .then(|| text(of, "deprecationWarning").map_or_else(|| deprecation(&resource, all), str::to_owned));
        let fields =
            of["selectableFields"].as_array().into_iter().flatten().filter_map(|field| text(field, "jsonPath"));
        let selectable = fields.map(|path| path.trim_start_matches('.').into()).collect();
        static STAMPS: AtomicU64 = AtomicU64::new(1);
        Ok(Self {
            api_version: resource.api_version().into(),
            resource,
            facts: Arc::new(facts),
            shape,
            stamp: STAMPS.fetch_add(1, Ordering::Relaxed),
            columns: columns::of_version(of).into(),
            served: of["served"] == true,
            warning,
            selectable,
        })
    }
}

fn subresource(name: &'static str, (group, version, kind): (&str, &str, &str), ty: Option<TypeId>) -> Subresource {
    Subresource {
        name: Text::from(name),
        group: group.to_owned().into(),
        version: version.to_owned().into(),
        kind: kind.to_owned().into(),
        verbs: SUB_VERBS.map(Text::from).into(),
        ty,
    }
}

/// Upstream's words for a deprecated version that has none of its own.
fn deprecation(resource: &Resource, all: &[Value]) -> String {
    let Resource { group, version, kind, .. } = resource;
    let living = all.iter().filter(|of| of["served"] == true && of["deprecated"] != true);
    let better = living.filter_map(|of| text(of, "name")).filter(|name| version::compare(version, name).is_lt());
    let tail = match better.max_by(|a, b| version::compare(a, b)) {
        Some(better) => format!("; use {group}/{better} {kind}"),
        None => String::new(),
    };
    format!("{group}/{version} {kind} is deprecated{tail}")
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

fn texts(value: &Value, key: &str) -> Box<[Text]> {
    let list = value.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(|text| Text::from(text.to_owned())).collect()
}
