//! Field selectors: `a=b,c!=d` with backslash escapes in values.
//!
//! Source: `k8s.io/apimachinery/pkg/fields`; error texts are its own.

use std::borrow::Cow;
use std::fmt;

use super::{MAX_SELECTOR_BYTES, SelectorError};

/// One comparison of one field; an absent field equals the empty string.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldTerm {
    pub field: String,
    /// `false` for `!=`.
    pub equal: bool,
    pub value: String,
}

/// A conjunction of terms; empty selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

impl FieldSelector {
    pub fn everything() -> Self {
        FieldSelector::default()
    }

    /// `field=value`.
    pub fn one(field: impl Into<String>, value: impl Into<String>) -> Self {
        FieldSelector { terms: vec![FieldTerm { field: field.into(), equal: true, value: value.into() }] }
    }

    /// The `fieldSelector` query parameter.
    ///
    /// # Errors
    /// Upstream's text; the server answers it with 400.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > MAX_SELECTOR_BYTES {
            return Err(SelectorError::TooLong);
        }
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::with_capacity(parts.len());
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let (field, equal, raw) = split_term(part).ok_or_else(|| {
                SelectorError::Field(format!("invalid selector: '{text}'; can't understand '{part}'"))
            })?;
            terms.push(FieldTerm { field: field.to_owned(), equal, value: unescape(raw)? });
        }
        Ok(FieldSelector { terms })
    }

    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Refuses fields that the kind does not offer.
    ///
    /// # Errors
    /// `field label not supported: x`, which the server answers with 400.
    pub fn check(&self, supported: impl Fn(&str) -> bool) -> Result<(), SelectorError> {
        match self.terms.iter().find(|term| !supported(&term.field)) {
            Some(term) => Err(SelectorError::UnsupportedField(term.field.clone())),
            None => Ok(()),
        }
    }

    /// `value` gives the text of a field of the object in question, `None` if it has none.
    pub fn matches<'v>(&self, value: impl Fn(&str) -> Option<Cow<'v, str>>) -> bool {
        self.terms.iter().all(|term| {
            let found = value(&term.field);
            (found.as_deref().unwrap_or("") == term.value) == term.equal
        })
    }

    /// The one value that the field must have, if the selector says so.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.equal && term.field == field).map(|term| term.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.terms.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let sign = if term.equal { "=" } else { "!=" };
            write!(f, "{comma}{}{sign}{}", term.field, escape(&term.value))?;
        }
        Ok(())
    }
}

/// Splits at commas that no backslash precedes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// The first operator wins; names know no escapes.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    for (i, _) in term.char_indices() {
        let (name, rest) = term.split_at(i);
        if let Some(value) = rest.strip_prefix("!=") {
            return Some((name, false, value));
        }
        if let Some(value) = rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')) {
            return Some((name, true, value));
        }
    }
    None
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

fn unescape(raw: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => out.push(next),
                next => {
                    let tail = next.map(String::from).unwrap_or_else(String::new);
                    let text = format!("invalid field selector: invalid escape sequence: \\{tail}");
                    return Err(SelectorError::Field(text));
                }
            },
            ',' | '=' => {
                let text = format!("invalid field selector: unescaped character in value: {}", c as u32);
                return Err(SelectorError::Field(text));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}
