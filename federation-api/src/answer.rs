//! What a verb answers, before anyone decided in which format it goes out.
//!
//! Objects stay bytes: a list is spliced out of cached JSON, a watch streams encoded frames.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use crate::body::{Body, PIECE_BYTES};
use crate::cache::Entry;
use crate::convert;
use crate::error::{ApiError, Status};
use crate::kinds::Kind;
use crate::wire::negotiate::{self, Accepted, Encoding};

/// The outcome of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// One object as JSON.
    Object(ObjectAnswer),
    /// A list.
    List(ListAnswer),
    /// A Status that is no failure.
    Status(Status),
    /// Anything that is already complete (streams, text, proxied answers).
    Response(Response<Body>),
}

/// One object: the kind may be another one than the path's (a Scale, a TokenReview).
#[derive(Debug)]
pub(crate) struct ObjectAnswer {
    pub(crate) code: StatusCode,
    pub(crate) json: Bytes,
}

/// A list's items and what its metadata says.
#[derive(Debug)]
pub(crate) struct ListAnswer {
    pub(crate) kind: Kind,
    pub(crate) items: Vec<Arc<Entry>>,
    pub(crate) rev: u64,
    pub(crate) continue_token: String,
    pub(crate) remaining: Option<usize>,
}

impl Answer {
    pub(crate) fn object(code: StatusCode, json: impl Into<Bytes>) -> Self {
        Self::Object(ObjectAnswer { code, json: json.into() })
    }

    pub(crate) fn ok(json: impl Into<Bytes>) -> Self {
        Self::object(StatusCode::OK, json)
    }
}

impl ListAnswer {
    /// The items as trees, in the shape of the list's kind.
    pub(crate) fn values(&self) -> impl Iterator<Item = Value> + '_ {
        let stored = self.kind.stored();
        self.items.iter().map(move |entry| {
            let mut object = entry.value();
            convert::from_stored(&self.kind, &stored, &mut object);
            object
        })
    }

    /// The whole list as JSON, chunk by chunk: `{"kind":…,"apiVersion":…,"metadata":…,"items":[…]}`.
    ///
    /// A list of any length takes the memory of one chunk beside the objects, which the cache holds anyway.
    pub(crate) fn into_body(self) -> Body {
        let mut head = Vec::with_capacity(256);
        head.extend_from_slice(b"{\"kind\":\"");
        head.extend_from_slice(self.kind.list_kind.as_bytes());
        head.extend_from_slice(b"\",\"apiVersion\":\"");
        head.extend_from_slice(self.kind.api_version().as_bytes());
        head.extend_from_slice(b"\",\"metadata\":");
        serde_json::to_writer(&mut head, &self.metadata()).expect("metadata serialises into memory");
        head.extend_from_slice(b",\"items\":[");
        let typed = self.kind.custom().is_some() || self.kind.group == federation_types::label::GROUP;
        if convert::is_view(&self.kind) {
            for (at, object) in self.values().enumerate() {
                if at > 0 {
                    head.push(b',');
                }
                head.extend_from_slice(&crate::json::canonical(&object));
            }
            head.extend_from_slice(b"]}");
            return Body::full(head);
        }
        let items: usize = self.items.iter().map(|entry| item(entry, typed).len() + "{,".len()).sum();
        let length = head.len() + items.saturating_sub(usize::from(!self.items.is_empty())) + LIST_END.len();
        let chunks = Chunks { chunk: Some(head), large: None, items: self.items.into_iter(), typed, first: true };
        Body::chunks(length as u64, chunks)
    }

    /// The list's metadata.
    pub(crate) fn metadata(&self) -> serde_json::Value {
        let mut metadata = serde_json::Map::new();
        metadata.insert("resourceVersion".to_owned(), self.rev.to_string().into());
        if !self.continue_token.is_empty() {
            metadata.insert("continue".to_owned(), self.continue_token.clone().into());
        }
        if let Some(remaining) = self.remaining {
            metadata.insert("remainingItemCount".to_owned(), remaining.into());
        }
        serde_json::Value::Object(metadata)
    }
}

/// What follows the items of a list.
const LIST_END: &[u8] = b"]}";
/// Lists go out in chunks of this size, in bytes: four of the pieces in which the listener sends them.
const CHUNK_BYTES: usize = 4 * PIECE_BYTES;

/// An object as a list shows it, but for the brace that opens it: items of built-in kinds carry no type.
fn item(entry: &Entry, typed: bool) -> &[u8] {
    match entry.untyped() {
        Some(untyped) if !typed => untyped,
        _ => &entry.bytes()[1..],
    }
}

/// The rest of a list that is going out.
struct Chunks {
    /// Where to write on; none behind the end.
    chunk: Option<Vec<u8>>,
    /// An object that goes out by itself, as the cache holds it.
    large: Option<Bytes>,
    items: std::vec::IntoIter<Arc<Entry>>,
    typed: bool,
    first: bool,
}

/// An object of a list, lent by the cache.
struct Lent {
    entry: Arc<Entry>,
    typed: bool,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        item(&self.entry, self.typed)
    }
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(large) = self.large.take() {
            return Some(large);
        }
        let mut chunk = self.chunk.take()?;
        while let Some(entry) = self.items.next() {
            chunk.extend_from_slice(if self.first { b"{" } else { b",{" });
            self.first = false;
            let lent = Lent { entry, typed: self.typed };
            if lent.as_ref().len() >= CHUNK_BYTES {
                self.large = Some(Bytes::from_owner(lent));
                self.chunk = Some(Vec::new());
                return Some(chunk.into());
            }
            chunk.extend_from_slice(lent.as_ref());
            if chunk.len() >= CHUNK_BYTES && self.items.len() > 0 {
                let mut next = Vec::with_capacity(chunk.capacity());
                next.extend_from_slice(&chunk[CHUNK_BYTES..]);
                chunk.truncate(CHUNK_BYTES);
                self.chunk = Some(next);
                return Some(chunk.into());
            }
        }
        chunk.extend_from_slice(LIST_END);
        Some(chunk.into())
    }
}

/// A JSON answer.
pub(crate) fn json(code: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    json_body(code, Body::full(body))
}

/// A JSON answer whose body is made already, or will be.
pub(crate) fn json_body(code: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A plain text answer.
pub(crate) fn text(code: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Who reads a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// JSON on one line.
    Program,
    /// Indented JSON.
    Person,
    Yaml,
}

impl Reader {
    /// As the request says.
    pub(crate) fn of(accept: Option<&HeaderValue>, agent: Option<&HeaderValue>, pretty: Option<&str>) -> Self {
        let text = |value: Option<&HeaderValue>| value.and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        match negotiate::accept(&text(accept), negotiate::object_conversions) {
            Ok(Accepted { encoding: Encoding::Yaml, .. }) => Self::Yaml,
            Ok(Accepted { pretty: true, .. }) => Self::Person,
            _ if negotiate::wants_pretty(pretty, &text(agent)) => Self::Person,
            _ => Self::Program,
        }
    }
}

/// A refusal, as a Status with its headers, in the format that the client reads.
pub(crate) fn refusal(error: &ApiError, reader: Reader) -> Response<Body> {
    if matches!(error, ApiError::NoSuchPage) {
        return text(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    let status = error.status();
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match reader {
        Reader::Program => json(code, status.to_json()),
        Reader::Person => json(code, serde_json::to_vec_pretty(&status).expect("a Status has only string keys")),
        Reader::Yaml => {
            let value = serde_json::to_value(&status).expect("a Status has only string keys");
            let mut response = json(code, crate::wire::yaml::render(&value));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
            response
        }
    };
    let retry_after_s = status.retry_after_s();
    if retry_after_s > 0 {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
    }
    if code == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Basic realm=\"kubernetes-master\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}
