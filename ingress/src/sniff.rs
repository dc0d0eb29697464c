//! What a client speaks, told from its first bytes.
//!
//! Pure: bytes in, a verdict out; who reads them, and for how long, is the worker's.

pub mod hello;

use memchr::memchr;

/// What an HTTP/2 client sends first (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The content type of TLS records that carry a handshake.
const HANDSHAKE: u8 = 22;
/// The major version in every TLS record.
const TLS_MAJOR: u8 = 3;

/// What is spoken on a port for plain HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// Or anything else that an HTTP/1.1 parser has to refuse.
    Http1,
    Http2,
    Tls,
    /// No HTTP of any version: an answer would mean nothing to such a client.
    Unknown,
}

/// Decides as soon as the bytes so far allow it.
#[must_use]
pub fn spoken(first: &[u8]) -> Option<Spoken> {
    match first {
        [] | [HANDSHAKE] => None,
        [HANDSHAKE, TLS_MAJOR, ..] => Some(Spoken::Tls),
        _ if first.starts_with(PREFACE) => Some(Spoken::Http2),
        _ if PREFACE.starts_with(first) => None,
        _ if is_stranger(first) => Some(Spoken::Unknown),
        _ => Some(Spoken::Http1),
    }
}

/// Whether a first line has the shape of a request line and nothing of HTTP in it, neither target nor version.
fn is_stranger(first: &[u8]) -> bool {
    let Some(space) = memchr(b' ', first) else { return false };
    let target = first[space + 1..].first();
    if matches!(target, Some(b'/' | b'*') | None) {
        return false;
    }
    let Some(line) = memchr(b'\n', first).map(|end| first[..end].trim_ascii_end()) else { return false };
    let mut words = line.split(|byte| *byte == b' ').skip(1);
    match (words.next(), words.next(), words.next()) {
        (Some(target), Some(version), None) => memchr(b':', target).is_none() && !version.starts_with(b"HTTP/"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{PREFACE, Spoken, spoken};

    #[test]
    fn the_first_bytes_decide_and_no_sooner_than_they_can() {
        for (first, wanted) in [
            (&b""[..], None),
            (b"P", None),
            (b"PR", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
            (PREFACE, Some(Spoken::Http2)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04", Some(Spoken::Http2)),
            (b"PRI * HTTP/2.0\r\n\r\nXX", Some(Spoken::Http1)),
            (b"PO", Some(Spoken::Http1)),
            (b"PRIVATE", Some(Spoken::Http1)),
            (b"GET / HTTP/1.1\r\n", Some(Spoken::Http1)),
            (b"\r\nGET /", Some(Spoken::Http1)),
            (b"\x16", None),
            (b"\x16\x03\x01", Some(Spoken::Tls)),
            (b"\x16\x04", Some(Spoken::Http1)),
            (b"\0", Some(Spoken::Http1)),
            (b"INVALID CONNECTION PREFACE\r\n\r\n", Some(Spoken::Unknown)),
            (b"INVALID CONNECTION PREFACE", Some(Spoken::Http1)),
            (b"INVALID CONNECTION HTTP/1.1\r\n", Some(Spoken::Http1)),
            (b"GET / FOO/1.1\r\n", Some(Spoken::Http1)),
            (b"GET http://h/ FOO/1.1\r\n", Some(Spoken::Http1)),
            (b"GET /\r\n", Some(Spoken::Http1)),
            (b"GET \r\n", Some(Spoken::Http1)),
            (b"GET a\r\n", Some(Spoken::Http1)),
            (b"CONNECT h:80 FOO\r\n", Some(Spoken::Http1)),
        ] {
            assert_eq!(spoken(first), wanted, "{:?}", String::from_utf8_lossy(first));
        }
    }
}
