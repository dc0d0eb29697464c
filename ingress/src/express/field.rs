//! One field of a head, on its way from one side to the other.
//!
//! Knows how it is written; whether it passes is for who reads the head.

use httparse::Header;

/// Appends a field.
pub fn add(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a field under its name in lower case, if it `passes`.
pub fn copy(field: &Header<'_>, out: &mut Vec<u8>, passes: impl FnOnce(&str) -> Option<bool>) -> Option<()> {
    let before = out.len();
    out.extend_from_slice(field.name.as_bytes());
    let lower = &mut out[before..];
    lower.make_ascii_lowercase();
    if passes(std::str::from_utf8(lower).ok()?)? {
        out.extend_from_slice(b": ");
        out.extend_from_slice(field.value);
        out.extend_from_slice(b"\r\n");
    } else {
        out.truncate(before);
    }
    Some(())
}
