//! gzip of a watch that begins with the state: every chunk is a member of its own, so that nothing is held back.
//!
//! Source: k8s.io/apiserver `pkg/endpoints/handlers/watch.go` (perFlushGzipWriter).

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// One gzip member, all of whose content stands before its last block: Go's reader hands out what shares the last block
/// with the end of a member only after the next member has begun.
pub(crate) fn squeeze(chunk: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(chunk.len() / 4 + 64), Compression::fast());
    encoder.write_all(chunk).expect("memory takes everything");
    encoder.flush().expect("memory takes everything");
    encoder.finish().expect("memory takes everything").into()
}

#[cfg(test)]
mod tests {
    use super::squeeze;

    /// Protocol: W9
    #[test]
    fn the_content_is_complete_before_the_end_of_the_member() {
        let squeezed = squeeze(b"{\"type\":\"DELETED\"}\n");
        // A synchronisation marker (an empty stored block), then the empty last block and the trailer.
        let marker = [0x00, 0x00, 0xff, 0xff];
        let at = squeezed.windows(4).rposition(|bytes| bytes == marker).expect("a marker");
        assert_eq!(&squeezed[at + 4..at + 6], [0x03, 0x00], "the last block is empty");
    }
}
