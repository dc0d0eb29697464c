//! OpenAPI: v3 by group and version, v2 as one document in JSON and in gnostic's protobuf.
//!
//! Documents are built when first asked for and kept compressed. Only our own kinds and metadata have descriptions, and
//! only in v3: shapes and paths are what clients compute with.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::ops::Deref;
use std::sync::OnceLock;

use bytes::Bytes;
use federation_schema::facts::{Facts, Resource};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::document::{Caching, Document, accepts_gzip, hash};
use super::negotiate::NegotiateError;
use path::Paths;
use schema::{Dialect, Schemas};

mod custom;
mod gnostic;
mod path;
mod schema;
mod words;

pub use custom::{CustomDocuments, Source};

const JSON: &str = "application/json";
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// Raised when documents change for the same facts, so that clients fetch them anew.
const LAYOUT: u32 = 3;

/// All OpenAPI documents of one set of facts.
pub struct OpenApi<F> {
    facts: F,
    v3: OnceLock<Versions>,
    v2_json: OnceLock<Document>,
    v2_protobuf: OnceLock<Document>,
    serves: fn(&Resource) -> bool,
}

/// The v3 documents, once anyone asks for one.
struct Versions {
    /// Key as in the index (`apis/apps/v1`) → document.
    documents: BTreeMap<String, Lazy>,
    index: Document,
}

/// A document of one group and version that is built once it is asked for.
struct Lazy {
    group: String,
    version: String,
    hash: String,
    document: OnceLock<Document>,
}

impl<F: Deref<Target = Facts>> OpenApi<F> {
    /// Costs nothing yet; `serves` leaves out resources that the server refuses.
    pub fn new(facts: F, serves: fn(&Resource) -> bool) -> Self {
        Self { facts, v3: OnceLock::new(), v2_json: OnceLock::new(), v2_protobuf: OnceLock::new(), serves }
    }

    fn versions(&self) -> &Versions {
        self.v3.get_or_init(|| self.build_versions())
    }

    fn build_versions(&self) -> Versions {
        let mut documents = BTreeMap::new();
        for group in self.facts.groups() {
            for version in &group.versions {
                let resources = of_version(&self.facts, self.serves, &group.name, version);
                if resources.is_empty() {
                    continue;
                }
                let path = super::discovery::group_version_path(&group.name, version);
                let hash = fingerprint(&self.facts, &resources);
                let (group, version) = (group.name.to_string(), version.to_string());
                documents.insert(path[1..].to_owned(), Lazy { group, version, hash, document: OnceLock::new() });
            }
        }
        let index = Document::new(JSON, index(documents.iter()).to_string());
        Versions { documents, index }
    }

    /// Answers a request for `/openapi/…`; none where there is no such document.
    ///
    /// # Errors
    /// Where the client accepts none of the formats.
    pub fn answer(
        &self,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Option<Response<Bytes>>, NegotiateError> {
        let wanted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
        if path == "/openapi/v2" {
            let document = self.v2(wanted)?;
            return Ok(Some(serve(document, headers, Caching::Revalidate)));
        }
        let Some(key) = path.strip_prefix("/openapi/v3") else { return Ok(None) };
        if !takes_json(wanted) {
            return Err(NegotiateError::NotAcceptable);
        }
        let key = key.trim_matches('/');
        if key.is_empty() {
            return Ok(Some(self.versions().index.answer(headers, Caching::Revalidate)));
        }
        let Some(lazy) = self.versions().documents.get(key) else { return Ok(None) };
        let asked = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("hash=")));
        match asked {
            Some(asked) if asked != lazy.hash => Ok(Some(moved(&format!("/openapi/v3/{key}?hash={}", lazy.hash)))),
            Some(_) => Ok(Some(serve(self.v3(lazy), headers, Caching::Immutable))),
            None => Ok(Some(serve(self.v3(lazy), headers, Caching::Revalidate))),
        }
    }

    /// The v3 document of a group and version, as JSON.
    pub fn v3_json(&self, group: &str, version: &str) -> Value {
        let resources = of_version(&self.facts, self.serves, group, version);
        let mut schemas = Schemas::new(&self.facts, Dialect::V3);
        let paths = Paths::new(Dialect::V3, &mut schemas);
        let mut all = serde_json::Map::new();
        for resource in &resources {
            all.extend(paths.of(resource, &mut schemas));
        }
        let mut definitions = serde_json::Map::new();
        while let Some((name, schema)) = schemas.next(&resources) {
            definitions.insert(name, schema);
        }
        json!({
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": self.facts.version()},
            "paths": all,
            "components": {
                "schemas": definitions,
                "securitySchemes": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}},
            },
        })
    }

    fn v3<'a>(&self, lazy: &'a Lazy) -> &'a Document {
        lazy.document.get_or_init(|| {
            let json = self.v3_json(&lazy.group, &lazy.version).to_string();
            Document { content_type: JSON, body: gzip(json.as_bytes()), gzip: true, hash: lazy.hash.clone() }
        })
    }

    fn v2(&self, wanted: &str) -> Result<&Document, NegotiateError> {
        if takes_protobuf(wanted) {
            return Ok(self.v2_protobuf.get_or_init(|| self.build_v2(gnostic::Writer::default(), V2_PROTOBUF)));
        }
        if !takes_json(wanted) {
            return Err(NegotiateError::NotAcceptable);
        }
        Ok(self.v2_json.get_or_init(|| self.build_v2(JsonWriter::default(), JSON)))
    }

    /// Builds v2 piece by piece: the whole as a tree would take tens of megabytes.
    fn build_v2<W: V2Writer>(&self, mut writer: W, content_type: &'static str) -> Document {
        self.write_v2(&mut writer);
        let plain = writer.finish();
        Document { content_type, hash: hash(&plain), body: gzip(&plain), gzip: true }
    }

    /// Writes all of v2 but its end; says which definitions are in it.
    fn write_v2<W: V2Writer>(&self, writer: &mut W) -> HashSet<String> {
        let resources: Vec<&Resource> = self.facts.resources().filter(|resource| (self.serves)(resource)).collect();
        let mut schemas = Schemas::new(&self.facts, Dialect::V2);
        let paths = Paths::new(Dialect::V2, &mut schemas);
        let mut known = HashSet::new();
        writer.begin(&json!({"title": "Kubernetes", "version": self.facts.version()}));
        for resource in &resources {
            for (path, item) in paths.of(resource, &mut schemas) {
                writer.path(&path, &item);
            }
        }
        while let Some((name, schema)) = schemas.next(&resources) {
            writer.definition(&name, &schema);
            known.insert(name);
        }
        known
    }
}

impl<F> std::fmt::Debug for OpenApi<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenApi").finish_non_exhaustive()
    }
}

/// Takes the v2 document piece by piece.
trait V2Writer {
    fn begin(&mut self, info: &Value);
    fn path(&mut self, path: &str, item: &Value);
    fn definition(&mut self, name: &str, schema: &Value);
    fn finish(self) -> Vec<u8>;
}

#[derive(Default)]
struct JsonWriter {
    out: String,
    definitions: String,
}

impl V2Writer for JsonWriter {
    fn begin(&mut self, info: &Value) {
        let security = r#""securityDefinitions":{"BearerToken":{"type":"apiKey","name":"authorization","in":"header"}},"security":[{"BearerToken":[]}]"#;
        write!(self.out, r#"{{"swagger":"2.0","info":{info},{security},"paths":{{"#)
            .expect("a String takes everything");
    }

    fn path(&mut self, path: &str, item: &Value) {
        member(&mut self.out, path, item);
    }

    fn definition(&mut self, name: &str, schema: &Value) {
        if self.definitions.is_empty() {
            self.definitions.push('{');
        }
        member(&mut self.definitions, name, schema);
    }

    fn finish(mut self) -> Vec<u8> {
        self.out.push_str("},\"definitions\":");
        self.out.push_str(&self.definitions);
        self.out.push_str("}}");
        self.out.into_bytes()
    }
}

fn member(out: &mut String, name: &str, value: &Value) {
    let comma = if out.ends_with('{') { "" } else { "," };
    write!(out, "{comma}{}:{value}", Value::from(name)).expect("a String takes everything");
}

fn of_version<'f>(facts: &'f Facts, serves: fn(&Resource) -> bool, group: &str, version: &str) -> Vec<&'f Resource> {
    facts.resources().filter(|r| r.group == group && r.version == version && serves(r)).collect()
}

/// What the content of a document depends on; cheaper than the content.
fn fingerprint(facts: &Facts, resources: &[&Resource]) -> String {
    let mut text = format!("{LAYOUT} {} {}", env!("CARGO_PKG_VERSION"), facts.version());
    let mut schemas = Schemas::new(facts, Dialect::V3);
    for resource in resources {
        write!(text, "\n{resource:?}").expect("a String takes everything");
        schemas.want(resource.ty);
    }
    while let Some(id) = schemas.next_type() {
        write!(text, "\n{:?}", facts.ty(id)).expect("a String takes everything");
        schemas.want_all(id);
    }
    hash(text.as_bytes())
}

fn index<'a>(documents: impl Iterator<Item = (&'a String, &'a Lazy)>) -> Value {
    let url = |key: &str, lazy: &Lazy| json!({"serverRelativeURL": format!("/openapi/v3/{key}?hash={}", lazy.hash)});
    let paths: serde_json::Map<String, Value> = documents.map(|(key, lazy)| (key.clone(), url(key, lazy))).collect();
    json!({"paths": paths})
}

fn takes_protobuf(accept: &str) -> bool {
    let named = |media| media == V2_PROTOBUF || media == "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    accept.split(',').map(super::negotiate::essence).any(named)
}

fn takes_json(accept: &str) -> bool {
    let accept = accept.trim();
    accept.is_empty()
        || accept.split(',').map(super::negotiate::essence).any(|media| matches!(media, JSON | "*/*" | "application/*"))
}

/// Sends a compressed document, plain to those who do not take gzip.
fn serve(document: &Document, headers: &HeaderMap, caching: Caching) -> Response<Bytes> {
    let mut response = document.answer(headers, caching);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if document.gzip && response.status() == StatusCode::OK && !accepts_gzip(headers) {
        let mut plain = Vec::new();
        GzDecoder::new(&*document.body).read_to_end(&mut plain).expect("we compressed it");
        *response.body_mut() = plain.into();
        response.headers_mut().remove(header::CONTENT_ENCODING);
    }
    response
}

fn moved(url: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let location = HeaderValue::try_from(url).expect("keys and hashes are ASCII");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).expect("a Vec takes everything");
    encoder.finish().expect("a Vec takes everything").into()
}

#[cfg(test)]
mod tests;
