//! Field paths and field errors in Kubernetes' own words, shared by everything here that judges objects.
//! Texts are upstream's to the letter, since clients and conformance tests compare them; nothing here knows any kind.

pub mod format;
pub mod quote;

use std::fmt;

use serde_json::Value;

use quote::{go_float_value, go_json, go_quote};

/// A path to a field, built on the stack while an object is walked and rendered only when something is wrong.
///
/// Shape: `spec.containers[0].ports`, `metadata.labels[app]`.
#[derive(Debug, Clone, Copy)]
pub enum FieldPath<'a> {
    /// No path at all; renders as `<nil>`, as upstream does for query strings.
    Nil,
    Root(&'a str),
    Child(&'a FieldPath<'a>, &'a str),
    Index(&'a FieldPath<'a>, usize),
    Key(&'a FieldPath<'a>, &'a str),
}

impl<'a> FieldPath<'a> {
    pub fn root(name: &'a str) -> Self {
        FieldPath::Root(name)
    }

    /// A field of the object at this path; `name` may itself hold dots.
    pub fn child(&'a self, name: &'a str) -> FieldPath<'a> {
        match self {
            FieldPath::Nil => FieldPath::Root(name),
            _ => FieldPath::Child(self, name),
        }
    }

    /// An item of the list at this path.
    pub fn index(&'a self, index: usize) -> FieldPath<'a> {
        FieldPath::Index(self, index)
    }

    /// An entry of the map at this path.
    pub fn key(&'a self, key: &'a str) -> FieldPath<'a> {
        FieldPath::Key(self, key)
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldPath::Nil => f.write_str("<nil>"),
            FieldPath::Root(name) => f.write_str(name),
            FieldPath::Child(parent, name) => write!(f, "{parent}.{name}"),
            FieldPath::Index(FieldPath::Nil, index) => write!(f, "[{index}]"),
            FieldPath::Key(FieldPath::Nil, key) => write!(f, "[{key}]"),
            FieldPath::Index(parent, index) => write!(f, "{parent}[{index}]"),
            FieldPath::Key(parent, key) => write!(f, "{parent}[{key}]"),
        }
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldErrorKind {
    Required,
    Invalid,
    TypeInvalid,
    NotSupported,
    Duplicate,
    NotFound,
    Forbidden,
    TooLong,
    TooShort,
    TooMany,
    TooFew,
    Internal,
}

impl FieldErrorKind {
    /// The `reason` of a cause in `Status.details.causes`.
    pub fn reason(self) -> &'static str {
        match self {
            FieldErrorKind::Required => "FieldValueRequired",
            FieldErrorKind::Invalid => "FieldValueInvalid",
            FieldErrorKind::TypeInvalid => "FieldValueTypeInvalid",
            FieldErrorKind::NotSupported => "FieldValueNotSupported",
            FieldErrorKind::Duplicate => "FieldValueDuplicate",
            FieldErrorKind::NotFound => "FieldValueNotFound",
            FieldErrorKind::Forbidden => "FieldValueForbidden",
            FieldErrorKind::TooLong => "FieldValueTooLong",
            FieldErrorKind::TooShort => "FieldValueTooShort",
            FieldErrorKind::TooMany => "FieldValueTooMany",
            FieldErrorKind::TooFew => "FieldValueTooFew",
            FieldErrorKind::Internal => "InternalError",
        }
    }

    fn text(self) -> &'static str {
        match self {
            FieldErrorKind::Required => "Required value",
            FieldErrorKind::Invalid | FieldErrorKind::TypeInvalid => "Invalid value",
            FieldErrorKind::NotSupported => "Unsupported value",
            FieldErrorKind::Duplicate => "Duplicate value",
            FieldErrorKind::NotFound => "Not found",
            FieldErrorKind::Forbidden => "Forbidden",
            FieldErrorKind::TooLong => "Too long",
            FieldErrorKind::TooShort => "Too short",
            FieldErrorKind::TooMany => "Too many",
            FieldErrorKind::TooFew => "Too few",
            FieldErrorKind::Internal => "Internal error",
        }
    }

    fn shows_value(self) -> bool {
        matches!(
            self,
            FieldErrorKind::Invalid
                | FieldErrorKind::TypeInvalid
                | FieldErrorKind::NotSupported
                | FieldErrorKind::NotFound
                | FieldErrorKind::Duplicate
                | FieldErrorKind::TooMany
                | FieldErrorKind::TooFew
        )
    }
}

/// One complaint about one field.
///
/// Source: `k8s.io/apimachinery/pkg/util/validation/field`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub struct FieldError {
    pub kind: FieldErrorKind,
    /// Rendered path, e.g. `spec.ports[0].port`.
    pub path: String,
    /// The offending value; `None` where upstream omits it.
    pub bad_value: Option<Value>,
    /// The offending value as JSON text, where upstream prints a Go type and the order of its fields tells.
    pub shown: Option<String>,
    pub detail: String,
}

impl FieldError {
    fn new(kind: FieldErrorKind, path: &FieldPath<'_>, bad_value: Option<Value>, detail: impl Into<String>) -> Self {
        FieldError { kind, path: path.to_string(), bad_value, shown: None, detail: detail.into() }
    }

    pub fn required(path: &FieldPath<'_>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Required, path, None, detail)
    }

    pub fn invalid(path: &FieldPath<'_>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Invalid, path, Some(value.into()), detail)
    }

    pub fn type_invalid(path: &FieldPath<'_>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::TypeInvalid, path, Some(value.into()), detail)
    }

    /// A value outside an enumeration; `valid` in the order it shall be shown.
    pub fn not_supported(path: &FieldPath<'_>, value: impl Into<Value>, valid: &[&str]) -> Self {
        let detail = if valid.is_empty() {
            String::new()
        } else {
            let quoted: Vec<String> = valid.iter().map(|v| go_quote(v)).collect();
            format!("supported values: {}", quoted.join(", "))
        };
        Self::new(FieldErrorKind::NotSupported, path, Some(value.into()), detail)
    }

    pub fn duplicate(path: &FieldPath<'_>, value: impl Into<Value>) -> Self {
        Self::new(FieldErrorKind::Duplicate, path, Some(value.into()), "")
    }

    pub fn not_found(path: &FieldPath<'_>, value: impl Into<Value>) -> Self {
        Self::new(FieldErrorKind::NotFound, path, Some(value.into()), "")
    }

    pub fn forbidden(path: &FieldPath<'_>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Forbidden, path, None, detail)
    }

    /// More than `max` bytes.
    pub fn too_long(path: &FieldPath<'_>, max: usize) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self::new(FieldErrorKind::TooLong, path, None, format!("may not be more than {max} {unit}"))
    }

    /// The same with its value printed as told.
    pub fn showing(self, json: String) -> Self {
        FieldError { shown: Some(json), ..self }
    }

    /// More than `max` items.
    pub fn too_many(path: &FieldPath<'_>, actual: usize, max: usize) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max} {unit}");
        Self::new(FieldErrorKind::TooMany, path, Some(Value::from(actual)), detail)
    }

    pub fn internal(path: &FieldPath<'_>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Internal, path, None, detail)
    }

    /// The text without the path: the `message` of a cause.
    pub fn body(&self) -> String {
        let mut out = self.kind.text().to_owned();
        if let (true, Some(shown)) = (self.kind.shows_value(), &self.shown) {
            out.push_str(": ");
            out.push_str(shown);
        } else if self.kind.shows_value()
            && let Some(value) = &self.bad_value
        {
            out.push_str(": ");
            match value {
                Value::String(text) => out.push_str(&go_quote(text)),
                Value::Number(number) if number.is_f64() => {
                    out.push_str(&number.as_f64().map_or_else(String::new, go_float_value));
                }
                other => out.push_str(&go_json(other)),
            }
        }
        if !self.detail.is_empty() {
            out.push_str(": ");
            out.push_str(&self.detail);
        }
        out
    }

    /// The `reason` of a cause.
    pub fn reason(&self) -> &'static str {
        self.kind.reason()
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

/// Several complaints in one line, as upstream's aggregate: one bare, more as `[a, b]`, equal ones once.
pub fn aggregate(errors: &[FieldError]) -> String {
    let mut seen: Vec<String> = Vec::with_capacity(errors.len());
    for error in errors {
        let text = error.to_string();
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    match seen.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{FieldError, FieldPath, aggregate};

    #[test]
    fn paths_render_as_upstream() {
        let spec = FieldPath::root("spec");
        let containers = spec.child("template.spec.containers");
        let item = containers.index(2);
        assert_eq!(item.child("name").to_string(), "spec.template.spec.containers[2].name");
        let labels = FieldPath::root("metadata").child("labels").to_string();
        assert_eq!(labels, "metadata.labels");
        assert_eq!(FieldPath::Root("a").key("b c").to_string(), "a[b c]");
        assert_eq!(FieldPath::Nil.to_string(), "<nil>");
        assert_eq!(FieldPath::Nil.child("values").index(0).key("k").to_string(), "values[0][k]");
    }

    /// Protocol: E5
    #[test]
    fn texts_are_upstreams() {
        let p = FieldPath::root("spec.x");
        let table = [
            (FieldError::required(&p, ""), "spec.x: Required value"),
            (FieldError::required(&p, "must be set"), "spec.x: Required value: must be set"),
            (FieldError::invalid(&p, "a\"b", "bad"), r#"spec.x: Invalid value: "a\"b": bad"#),
            (FieldError::invalid(&p, -1, "must be ≥ 0"), "spec.x: Invalid value: -1: must be ≥ 0"),
            (FieldError::invalid(&p, json!({"a": "<"}), "no"), r#"spec.x: Invalid value: {"a":"\u003c"}: no"#),
            (FieldError::type_invalid(&p, true, "t"), "spec.x: Invalid value: true: t"),
            (
                FieldError::not_supported(&p, "c", &["a", "b"]),
                r#"spec.x: Unsupported value: "c": supported values: "a", "b""#,
            ),
            (FieldError::duplicate(&p, "n"), r#"spec.x: Duplicate value: "n""#),
            (FieldError::not_found(&p, "n"), r#"spec.x: Not found: "n""#),
            (FieldError::forbidden(&p, "no"), "spec.x: Forbidden: no"),
            (FieldError::too_long(&p, 5), "spec.x: Too long: may not be more than 5 bytes"),
            (FieldError::too_long(&p, 1), "spec.x: Too long: may not be more than 1 byte"),
            (FieldError::too_many(&p, 3, 1), "spec.x: Too many: 3: must have at most 1 item"),
            (FieldError::internal(&p, "broken"), "spec.x: Internal error: broken"),
        ];
        for (error, text) in table {
            assert_eq!(error.to_string(), text);
        }
        let a = FieldError::required(&p, "");
        let b = FieldError::forbidden(&p, "no");
        assert_eq!(aggregate(std::slice::from_ref(&a)), "spec.x: Required value");
        assert_eq!(aggregate(&[a.clone(), b, a]), "[spec.x: Required value, spec.x: Forbidden: no]");
    }
}
