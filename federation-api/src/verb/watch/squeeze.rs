//! gzip of a watch that begins with the state: every chunk is a member of its own, so that nothing is held back.
//!
//! Source: k8s.io/apiserver `pkg/endpoints/handlers/watch.go` (perFlushGzipWriter).

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// One gzip member.
pub(crate) fn squeeze(chunk: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(chunk.len() / 4 + 64), Compression::fast());
    encoder.write_all(chunk).expect("memory takes everything");
    encoder.finish().expect("memory takes everything").into()
}
