//! gzip of large answers, for clients that take it. Watches are never compressed: they would be held back.
//!
//! Source: k8s.io/apiserver `pkg/endpoints/handlers/responsewriters/writers.go` (the threshold).

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, header};

use crate::body::Body;
use crate::wire::document::accepts_gzip;

/// Smaller answers go out as they are, in bytes; upstream's threshold.
const THRESHOLD_BYTES: u64 = 128 * 1024;
/// Bytes that are compressed at once.
const STEP_BYTES: usize = 64 * 1024;
/// Compressed bytes go out in pieces of about this size.
const OUT_BYTES: usize = 32 * 1024;

/// Compresses an answer that is worth it, as it goes out: nobody holds the whole of it.
pub(crate) fn compress(encodings: Option<&HeaderValue>, response: Response<Body>) -> Response<Body> {
    let worth = response.body().length().is_some_and(|length| length > THRESHOLD_BYTES);
    if !worth || response.headers().contains_key(header::CONTENT_ENCODING) || !takes_gzip(encodings) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let pieces = match body.into_pieces() {
        Ok(pieces) => pieces,
        Err(stream) => return Response::from_parts(parts, stream),
    };
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let squeezed = Squeezed { plain: Cut { pieces, rest: Bytes::new() }, encoder: Some(encoder()) };
    Response::from_parts(parts, Body::stream(futures_util::stream::iter(squeezed)))
}

fn encoder() -> GzEncoder<Vec<u8>> {
    GzEncoder::new(Vec::new(), Compression::fast())
}

/// Pieces in steps that a thread can compress without keeping others waiting.
struct Cut {
    pieces: Box<dyn Iterator<Item = Bytes> + Send>,
    rest: Bytes,
}

impl Iterator for Cut {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            self.rest = self.pieces.next()?;
        }
        Some(self.rest.split_to(self.rest.len().min(STEP_BYTES)))
    }
}

/// What a gzip stream is made of, as far as it is made.
struct Squeezed {
    plain: Cut,
    /// None behind the end.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Iterator for Squeezed {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let encoder = self.encoder.as_mut()?;
        for piece in self.plain.by_ref() {
            encoder.write_all(&piece).expect("memory takes everything");
            if encoder.get_ref().len() >= OUT_BYTES {
                return Some(std::mem::take(encoder.get_mut()).into());
            }
        }
        let encoder = self.encoder.take()?;
        Some(encoder.finish().expect("memory takes everything").into())
    }
}

fn takes_gzip(encodings: Option<&HeaderValue>) -> bool {
    let Some(encodings) = encodings else { return false };
    accepts_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, encodings.clone())]))
}
