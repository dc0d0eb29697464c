//! Names of member clusters, and the `NAME.CLUSTER` form under which a member's object shows at the hub.
//!
//! Knows only syntax, never which clusters exist.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest RFC 1123 label, in bytes.
pub const LABEL_MAX: usize = 63;

/// The name of a member cluster: an RFC 1123 label, cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(Arc<str>);

/// Why a string is no cluster name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No characters at all.
    #[error("a cluster name must not be empty")]
    Empty,
    /// More than 63 bytes.
    #[error("a cluster name must be no more than 63 characters, this one has {0}")]
    TooLong(usize),
    /// A character outside of `[a-z0-9-]`, or a dash at an end.
    #[error(
        "a cluster name must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (RFC 1123 label), got {0:?}"
    )]
    Syntax(String),
}

impl ClusterName {
    /// Checks that `name` is an RFC 1123 label.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong with it.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > LABEL_MAX {
            return Err(NameError::TooLong(name.len()));
        }
        if !is_label(name) {
            return Err(NameError::Syntax(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `name` as it shows at the hub for an object of this member: `NAME.CLUSTER`.
    #[must_use]
    pub fn suffix(&self, name: &str) -> String {
        format!("{name}.{self}")
    }

    /// Splits `NAME.CLUSTER` at its last dot; `None` where there is no dot or the tail is no cluster name.
    #[must_use]
    pub fn split_suffix(full: &str) -> Option<(&str, Self)> {
        let (name, tail) = full.rsplit_once('.')?;
        if name.is_empty() {
            return None;
        }
        Some((name, Self::new(tail).ok()?))
    }
}

/// Whether `text` is an RFC 1123 label.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty()
        && text.len() <= LABEL_MAX
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for ClusterName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ClusterName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl Serialize for ClusterName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ClusterName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{ClusterName, NameError};

    #[test]
    fn names_are_labels() {
        assert_eq!(ClusterName::new("east").map(|n| n.to_string()), Ok("east".to_owned()));
        assert_eq!(ClusterName::new(""), Err(NameError::Empty));
        assert_eq!(ClusterName::new(&"a".repeat(64)), Err(NameError::TooLong(64)));
        for bad in ["East", "a.b", "-a", "a-", "a_b", "é", "a/b", "..", "a\0"] {
            assert!(matches!(ClusterName::new(bad), Err(NameError::Syntax(_))), "{bad}");
        }
    }

    #[test]
    fn suffixes_split_at_the_last_dot() {
        let east = ClusterName::new("east").expect("a label");
        assert_eq!(east.suffix("web.v1"), "web.v1.east");
        assert_eq!(ClusterName::split_suffix("web.v1.east"), Some(("web.v1", east)));
        for none in ["web", ".east", "web.", "web.EAST"] {
            assert_eq!(ClusterName::split_suffix(none), None, "{none}");
        }
    }
}
