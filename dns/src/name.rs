//! Domain names in wire form, lower case: labels with their lengths, ended by the root's empty label.
//! Knows RFC 1035's limits and nothing about zones.

use std::sync::Arc;

/// Longest name, in bytes on the wire.
pub const NAME_MAX: usize = 255;
/// Longest label, in bytes.
pub const LABEL_MAX: usize = 63;

/// A name that fits the limits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<[u8]>);

impl Name {
    /// The name of the given labels below `parent` (wire form, with its root label).
    ///
    /// None where a label is empty or too long, or the whole is.
    pub fn below<'l>(labels: impl IntoIterator<Item = &'l str>, parent: &[u8]) -> Option<Self> {
        let mut wire = Vec::with_capacity(NAME_MAX);
        for label in labels {
            if label.is_empty() || label.len() > LABEL_MAX || wire.len() + label.len() + 1 + parent.len() > NAME_MAX {
                return None;
            }
            wire.push(u8::try_from(label.len()).ok()?);
            wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        wire.extend_from_slice(parent);
        Some(Self(wire.into()))
    }

    /// Parses `a.b.c`, with or without the last dot.
    pub fn parse(text: &str) -> Option<Self> {
        Self::below(text.strip_suffix('.').unwrap_or(text).split('.'), &[0])
    }

    pub fn wire(&self) -> &[u8] {
        &self.0
    }
}

impl std::borrow::Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn names_are_lower_case_wire_form_within_the_limits() {
        assert_eq!(Name::parse("Web.svc.").map(|name| name.wire().to_vec()), Some(b"\x03web\x03svc\0".to_vec()));
        assert_eq!(Name::parse("a..b"), None);
        assert_eq!(Name::parse(""), None);
        assert!(Name::parse(&"a".repeat(63)).is_some());
        assert_eq!(Name::parse(&"a".repeat(64)), None);
        let longest =
            [&"a".repeat(63), &"b".repeat(63), &"c".repeat(63), &"d".repeat(61)].map(String::as_str).join(".");
        assert_eq!(Name::parse(&longest).map(|name| name.wire().len()), Some(255));
        assert_eq!(Name::parse(&format!("{longest}d")), None);
    }
}
