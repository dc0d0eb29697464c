//! OpenAPI with custom kinds in it: their own groups and versions in v3, the one document of v2 made longer.
//!
//! Built when first asked for, and anew where definitions changed; what the built-in kinds need is the parent's.

use std::collections::{BTreeMap, HashSet};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use federation_schema::facts::{Facts, Resource};
use federation_schema::structural::layer::type_name;
use federation_schema::structural::publish::{self, OpenApiVersion};
use http::Response;
use http::header::{self, HeaderMap};
use serde_json::{Map, Value};

use super::path::Paths;
use super::schema::{Dialect, Schemas};
use super::{JSON, JsonWriter, LAYOUT, Lazy, OpenApi, V2_PROTOBUF, V2Writer, gnostic, gzip, index, moved, serve};
use super::{takes_json, takes_protobuf};
use crate::wire::document::{Caching, Document, hash};
use crate::wire::negotiate::NegotiateError;

/// One served version of a custom kind.
#[derive(Debug, Clone)]
pub struct Source {
    pub resource: Resource,
    pub facts: Arc<Facts>,
    /// The `spec` of its definition as JSON, and the place of the version in it.
    pub spec: Bytes,
    pub at: usize,
}

/// All documents that custom kinds are in.
#[derive(Default)]
pub struct CustomDocuments {
    sources: Vec<Source>,
    versions: OnceLock<BTreeMap<String, Lazy>>,
    index: OnceLock<Document>,
    v2_json: OnceLock<Document>,
    v2_protobuf: OnceLock<Document>,
}

impl CustomDocuments {
    /// Costs nothing yet.
    pub fn new(sources: Vec<Source>) -> Self {
        Self { sources, ..Self::default() }
    }

    /// Answers a request for `/openapi/…`, with `base` for what has no custom kinds; none where there is no such document.
    ///
    /// # Errors
    /// Where the client accepts none of the formats.
    pub fn answer<F: Deref<Target = Facts>>(
        &self,
        base: &OpenApi<F>,
        path: &str,
        (query, headers): (Option<&str>, &HeaderMap),
    ) -> Result<Option<Response<Bytes>>, NegotiateError> {
        if self.sources.is_empty() {
            return base.answer(path, query, headers);
        }
        let wanted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
        if path == "/openapi/v2" {
            return Ok(Some(serve(self.v2(base, wanted)?, headers, Caching::Revalidate)));
        }
        let key = path.strip_prefix("/openapi/v3").map(|key| key.trim_matches('/'));
        let is_index = key == Some("");
        let Some((key, lazy)) = key.and_then(|key| Some((key, self.versions().get(key)?))) else {
            if is_index && takes_json(wanted) {
                return Ok(Some(self.index(base).answer(headers, Caching::Revalidate)));
            }
            return base.answer(path, query, headers);
        };
        if !takes_json(wanted) {
            return Err(NegotiateError::NotAcceptable);
        }
        let asked = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("hash=")));
        Ok(Some(match asked {
            Some(asked) if asked != lazy.hash => moved(&format!("/openapi/v3/{key}?hash={}", lazy.hash)),
            Some(_) => serve(self.v3(base, lazy), headers, Caching::Immutable),
            None => serve(self.v3(base, lazy), headers, Caching::Revalidate),
        }))
    }

    fn versions(&self) -> &BTreeMap<String, Lazy> {
        self.versions.get_or_init(|| {
            let mut texts: BTreeMap<(&str, &str), String> = BTreeMap::new();
            for source in &self.sources {
                let Resource { group, version, plural, .. } = &source.resource;
                let text = texts.entry((group, version)).or_insert_with(|| format!("{LAYOUT}"));
                text.push_str(&format!(" {plural} {} {}", source.at, hash(&source.spec)));
            }
            let lazy = |((group, version), text): ((&str, &str), String)| {
                let path = crate::wire::discovery::group_version_path(group, version);
                let (group, version) = (group.to_owned(), version.to_owned());
                let lazy = Lazy { group, version, hash: hash(text.as_bytes()), document: OnceLock::new() };
                (path[1..].to_owned(), lazy)
            };
            texts.into_iter().map(lazy).collect()
        })
    }

    fn index<F: Deref<Target = Facts>>(&self, base: &OpenApi<F>) -> &Document {
        self.index.get_or_init(|| {
            let built_in = base.versions().documents.iter();
            let own = self.versions();
            let others = built_in.filter(|(key, _)| !own.contains_key(*key));
            Document::new(JSON, index(others.chain(own)).to_string())
        })
    }

    fn v3<'a, F: Deref<Target = Facts>>(&'a self, base: &OpenApi<F>, lazy: &'a Lazy) -> &'a Document {
        lazy.document.get_or_init(|| {
            let json = self.v3_json(base, &lazy.group, &lazy.version).to_string();
            Document { content_type: JSON, body: gzip(json.as_bytes()), gzip: true, hash: lazy.hash.clone() }
        })
    }

    fn v3_json<F: Deref<Target = Facts>>(&self, base: &OpenApi<F>, group: &str, version: &str) -> Value {
        let mut document = base.v3_json(group, version);
        let own = self.sources.iter().filter(|of| of.resource.group == group && of.resource.version == version);
        for source in own {
            let (paths, definitions) = source.render(Dialect::V3);
            extend(&mut document["paths"], paths);
            extend(&mut document["components"]["schemas"], definitions);
        }
        document
    }

    fn v2<F: Deref<Target = Facts>>(&self, base: &OpenApi<F>, wanted: &str) -> Result<&Document, NegotiateError> {
        if takes_protobuf(wanted) {
            let build = || self.build_v2(base, gnostic::Writer::default(), V2_PROTOBUF);
            return Ok(self.v2_protobuf.get_or_init(build));
        }
        if !takes_json(wanted) {
            return Err(NegotiateError::NotAcceptable);
        }
        Ok(self.v2_json.get_or_init(|| self.build_v2(base, JsonWriter::default(), JSON)))
    }

    fn build_v2<F: Deref<Target = Facts>, W: V2Writer>(
        &self,
        base: &OpenApi<F>,
        mut writer: W,
        content_type: &'static str,
    ) -> Document {
        let mut known: HashSet<String> = base.write_v2(&mut writer);
        for source in &self.sources {
            let (paths, definitions) = source.render(Dialect::V2);
            paths.iter().for_each(|(path, item)| writer.path(path, item));
            for (name, schema) in &definitions {
                if known.insert(name.clone()) {
                    writer.definition(name, schema);
                }
            }
        }
        let plain = writer.finish();
        Document { content_type, hash: hash(&plain), body: gzip(&plain), gzip: true }
    }
}

impl Source {
    /// The paths of the kind, and every definition that they lead to.
    fn render(&self, dialect: Dialect) -> (Map<String, Value>, Map<String, Value>) {
        let mut schemas = Schemas::new(&self.facts, dialect);
        let paths = Paths::of_custom(dialect, &mut schemas);
        let mut all = Map::new();
        all.extend(paths.of(&self.resource, &mut schemas));
        schemas.reference_named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
        schemas.reference_named("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta");
        let mut definitions = Map::new();
        while let Some((name, schema)) = schemas.next(&[&self.resource]) {
            definitions.insert(name, schema);
        }
        let spec: Value = serde_json::from_slice(&self.spec).expect("the cache holds valid JSON");
        let version = &spec["versions"][self.at];
        let of = match dialect {
            Dialect::V2 => OpenApiVersion::V2,
            Dialect::V3 => OpenApiVersion::V3,
        };
        let Resource { group, version: name, kind, list_kind, .. } = &self.resource;
        definitions.insert(type_name(group, name, kind), publish::kind_schema(&self.resource, version, of));
        definitions.insert(type_name(group, name, list_kind), publish::list_schema(&self.resource, version, of));
        (all, definitions)
    }
}

impl std::fmt::Debug for CustomDocuments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CustomDocuments").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}

/// Adds members; what is there already stays.
fn extend(object: &mut Value, more: Map<String, Value>) {
    let Some(map) = object.as_object_mut() else { return };
    for (name, value) in more {
        map.entry(name).or_insert(value);
    }
}
