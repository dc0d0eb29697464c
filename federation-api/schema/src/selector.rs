//! Selectors over labels and fields: the query-string grammars, the `LabelSelector` object, and pure matching.
//! They know strings only; which fields a kind offers is one table in `selectable`.

mod field;
mod label;
mod lexer;
mod object;
pub mod selectable;

pub use field::{FieldSelector, FieldTerm};
pub use label::{LabelSelector, Operator, Requirement};

use std::collections::{BTreeMap, HashMap};

/// Something that has labels.
pub trait Labels {
    fn label(&self, key: &str) -> Option<&str>;
}

/// No labels at all.
impl Labels for () {
    fn label(&self, _key: &str) -> Option<&str> {
        None
    }
}

impl<T: Labels + ?Sized> Labels for &T {
    fn label(&self, key: &str) -> Option<&str> {
        (**self).label(key)
    }
}

impl<T: Labels> Labels for Option<T> {
    fn label(&self, key: &str) -> Option<&str> {
        self.as_ref().and_then(|labels| labels.label(key))
    }
}

impl<K, V> Labels for BTreeMap<K, V>
where
    K: std::borrow::Borrow<str> + Ord,
    V: AsRef<str>,
{
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(AsRef::as_ref)
    }
}

impl<K, V, S> Labels for HashMap<K, V, S>
where
    K: std::borrow::Borrow<str> + std::hash::Hash + Eq,
    V: AsRef<str>,
    S: std::hash::BuildHasher,
{
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(AsRef::as_ref)
    }
}

/// `metadata.labels` as JSON; values that are no strings count as absent.
impl Labels for serde_json::Map<String, serde_json::Value> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(serde_json::Value::as_str)
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Labels for [(K, V)] {
    fn label(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| k.as_ref() == key).map(|(_, v)| v.as_ref())
    }
}

/// Why a selector was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The label selector grammar; the text is upstream's.
    #[error("{0}")]
    Label(String),
    /// The field selector grammar; the text is upstream's.
    #[error("{0}")]
    Field(String),
    /// The kind does not offer this field.
    #[error("field label not supported: {0}")]
    UnsupportedField(String),
    /// Longer than `MAX_SELECTOR_BYTES`.
    #[error("selector is longer than {MAX_SELECTOR_BYTES} bytes")]
    TooLong,
}

/// Bound on a selector in a query string; request lines themselves are bounded near this.
pub const MAX_SELECTOR_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests;
