//! What is published of the issuer of service account tokens, so that others can verify them.
//!
//! Source: k8s.io/kubernetes `pkg/routes/openidmetadata.go`. Knows no key; `auth` writes the documents.

use http::{HeaderValue, Response, StatusCode, header};

use crate::answer;
use crate::body::Body;
use crate::server::Server;

/// Where the issuer's document is, without the leading slash.
pub(crate) const CONFIGURATION: &str = ".well-known/openid-configuration";
/// Where its public keys are, without the leading slash.
pub(crate) const KEYS: &str = "openid/v1/jwks";
/// Upstream's: verifiers ask at most once an hour.
const CACHING: &str = "public, max-age=3600";

/// The document at `path` (without its leading slash); none where this server issues no tokens or nobody knows it.
pub(crate) fn answer(server: &Server, path: &str) -> Option<Response<Body>> {
    let tokens = server.tokens.as_ref()?;
    let (document, kind) = match path {
        CONFIGURATION => {
            let keys = match &*server.address {
                "" => format!("{}/{KEYS}", crate::account::ISSUER),
                address => format!("https://{address}/{KEYS}"),
            };
            (tokens.discovery_document(&keys)?, "application/json")
        }
        KEYS => (tokens.key_set(), "application/jwk-set+json"),
        _ => return None,
    };
    let mut response = answer::json(StatusCode::OK, document.to_string());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHING));
    Some(response)
}
