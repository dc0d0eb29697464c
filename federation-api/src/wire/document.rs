//! A document that changes rarely: its bytes, its ETag, and how it is served.
//!
//! It knows HTTP caching, not what is in the document.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use sha2::{Digest, Sha512};

/// How long clients may keep a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// Ask again each time, with the ETag.
    Revalidate,
    /// The URL names the content.
    Immutable,
}

/// A document with its ETag.
#[derive(Debug, Clone)]
pub struct Document {
    pub content_type: &'static str,
    pub body: Bytes,
    /// Whether `body` is gzip.
    pub gzip: bool,
    /// Upper-case hexadecimal SHA-512 of the plain document.
    pub hash: String,
}

impl Document {
    /// A document of plain bytes.
    pub fn new(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let hash = hash(&body);
        Self { content_type, body, gzip: false, hash }
    }

    /// The answer to a request with these headers: 304 where the client has the document already.
    pub fn answer(&self, headers: &HeaderMap, caching: Caching) -> Response<Bytes> {
        let etag = format!("\"{}\"", self.hash);
        let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let known = known.is_some_and(|known| known.split(',').any(|one| one.trim() == etag || one.trim() == "*"));
        let mut response = Response::new(if known { Bytes::new() } else { self.body.clone() });
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let out = response.headers_mut();
        out.insert(header::ETAG, HeaderValue::try_from(etag).expect("hexadecimal"));
        out.insert(header::VARY, HeaderValue::from_static("Accept"));
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if self.gzip && !known {
            out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let control = match caching {
            Caching::Revalidate => "public",
            Caching::Immutable => "public, immutable, max-age=31536000",
        };
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static(control));
        response
    }
}

/// Upper-case hexadecimal SHA-512, as ETags and OpenAPI hashes have it.
pub fn hash(bytes: &[u8]) -> String {
    let digest = Sha512::digest(bytes);
    digest.iter().fold(String::with_capacity(128), |mut text, byte| {
        write!(text, "{byte:02X}").expect("a String takes everything");
        text
    })
}

/// Whether the client takes gzip.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let value = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        parts.next() == Some("gzip") && parts.all(|part| part != "q=0")
    })
}
