//! Reading fields out of JSON while checking it: what is absent or of another type reads as empty.

use serde_json::{Map, Value};

use crate::field::{FieldError, FieldPath};

pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

pub(super) fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn map<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = (&'v String, &'v Value)> + use<'v> {
    value.get(name).and_then(Value::as_object).into_iter().flatten()
}

pub(super) fn object<'v>(value: &'v Value, name: &str) -> Option<&'v Map<String, Value>> {
    value.get(name).and_then(Value::as_object)
}

/// The field, or null.
pub(super) fn at<'v>(value: &'v Value, name: &str) -> &'v Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// The field at a dotted path, or null.
pub(super) fn deep<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('.').try_fold(value, |at, name| at.get(name)).unwrap_or(&Value::Null)
}

/// Reports every complaint about a value as `Invalid`.
pub(super) fn invalid(errors: &mut Vec<FieldError>, path: &FieldPath<'_>, value: &str, complaints: Vec<String>) {
    errors.extend(complaints.into_iter().map(|complaint| FieldError::invalid(path, value, complaint)));
}

/// A value outside `valid`; absent is fine.
pub(super) fn one_of(errors: &mut Vec<FieldError>, path: &FieldPath<'_>, value: &str, valid: &[&str]) {
    if !value.is_empty() && !valid.contains(&value) {
        errors.push(FieldError::not_supported(path, value, valid));
    }
}

/// A whole number that is there and below zero.
pub(super) fn non_negative(errors: &mut Vec<FieldError>, path: &FieldPath<'_>, value: &Value) {
    if let Some(number) = value.as_i64()
        && number < 0
    {
        errors.push(FieldError::invalid(path, number, "must be greater than or equal to 0"));
    }
}
