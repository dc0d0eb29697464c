//! gzip of large answers, for clients that take it. Watches are never compressed: they would be held back.
//!
//! Source: k8s.io/apiserver `pkg/endpoints/handlers/responsewriters/writers.go` (the threshold).

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, header};

use crate::body::Body;
use crate::wire::document::accepts_gzip;

/// Smaller answers go out as they are, in bytes; upstream's threshold.
const THRESHOLD_BYTES: usize = 128 * 1024;

/// Compresses an answer that is worth it.
pub(crate) async fn compress(encodings: Option<&HeaderValue>, response: Response<Body>) -> Response<Body> {
    let worth = response.body().as_full().is_some_and(|body| body.len() > THRESHOLD_BYTES);
    if !worth || response.headers().contains_key(header::CONTENT_ENCODING) || !takes_gzip(encodings) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Some(plain) = body.as_full().cloned() else { return Response::from_parts(parts, body) };
    let squeezed = tokio::task::spawn_blocking(move || {
        let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 8), Compression::fast());
        encoder.write_all(&plain)?;
        encoder.finish()
    });
    match squeezed.await {
        Ok(Ok(bytes)) => {
            parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            Response::from_parts(parts, Body::full(bytes))
        }
        Ok(Err(_)) | Err(_) => Response::from_parts(parts, body),
    }
}

fn takes_gzip(encodings: Option<&HeaderValue>) -> bool {
    let Some(encodings) = encodings else { return false };
    accepts_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, encodings.clone())]))
}
