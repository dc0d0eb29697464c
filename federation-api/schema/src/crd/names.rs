//! The names of a custom kind, as its definition asks for them and as its status accepts them.

use serde_json::Value;

use super::view::text;
use crate::field::format::dns_1035_label;
use crate::field::{FieldError, FieldPath};

/// Every name that is none.
pub fn check(names: &Value, path: &FieldPath<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut label = |field: &str, name: &str, path: &FieldPath<'_>| {
        let mixed = matches!(field, "kind" | "listKind");
        let complaints = if mixed { dns_1035_label(&name.to_lowercase()) } else { dns_1035_label(name) };
        if !complaints.is_empty() {
            let prefix = if mixed { "may have mixed case, but should otherwise match: " } else { "" };
            errors.push(FieldError::invalid(path, name, format!("{prefix}{}", complaints.join(","))));
        }
    };
    for field in ["plural", "singular", "kind", "listKind"] {
        let name = text(names, field);
        if !name.is_empty() {
            label(field, name, &path.child(field));
        }
    }
    let mut list = |field: &str| {
        let at = path.child(field);
        let items = names.get(field).and_then(Value::as_array).into_iter().flatten();
        for (index, name) in items.enumerate() {
            label(field, name.as_str().unwrap_or(""), &at.index(index));
        }
    };
    list("shortNames");
    let same = !text(names, "kind").is_empty() && text(names, "kind") == text(names, "listKind");
    list("categories");
    if same {
        let kind = text(names, "listKind");
        errors.push(FieldError::invalid(&path.child("listKind"), kind, "kind and listKind may not be the same"));
    }
    errors
}
