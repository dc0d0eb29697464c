//! Small pure readings of untyped objects that every room needs.
//!
//! Paths into JSON only: no kinds, no defaults.

use serde_json::Value;

/// The string at `path` (field names), or `""`.
#[must_use]
pub fn str_at<'v>(object: &'v Value, path: &[&str]) -> &'v str {
    at(object, path).and_then(Value::as_str).unwrap_or("")
}

/// The value at `path` (field names), or `None`.
#[must_use]
pub fn at<'v>(object: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(object, |value, key| value.get(key))
}

/// The integer at `path`, or `None`.
#[must_use]
pub fn int_at(object: &Value, path: &[&str]) -> Option<i64> {
    at(object, path).and_then(Value::as_i64)
}

/// The elements of the list at `path`; nothing where there is no list.
pub fn list_at<'v>(object: &'v Value, path: &[&str]) -> impl Iterator<Item = &'v Value> {
    at(object, path).and_then(Value::as_array).into_iter().flatten()
}

/// `metadata.name`.
#[must_use]
pub fn name(object: &Value) -> &str {
    str_at(object, &["metadata", "name"])
}

/// `metadata.namespace`, empty for cluster-scoped objects.
#[must_use]
pub fn namespace(object: &Value) -> &str {
    str_at(object, &["metadata", "namespace"])
}

/// `metadata.uid`.
#[must_use]
pub fn uid(object: &Value) -> &str {
    str_at(object, &["metadata", "uid"])
}

/// The label `key`.
#[must_use]
pub fn label<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    at(object, &["metadata", "labels", key]).and_then(Value::as_str)
}

/// The annotation `key`.
#[must_use]
pub fn annotation<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    at(object, &["metadata", "annotations", key]).and_then(Value::as_str)
}

/// The value without what typed clients add and drop at will: nulls, and objects and lists with nothing in them.
///
/// For comparing only: `emptyDir: {}` means something.
#[must_use]
pub fn without_empty(value: &Value) -> Value {
    let kept = |value: &Value| match without_empty(value) {
        Value::Null => None,
        Value::Object(map) if map.is_empty() => None,
        Value::Array(list) if list.is_empty() => None,
        some => Some(some),
    };
    match value {
        Value::Object(map) => map.iter().filter_map(|(key, value)| Some((key.clone(), kept(value)?))).collect(),
        Value::Array(list) => Value::Array(list.iter().map(without_empty).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::without_empty;

    #[test]
    fn empty_parts_do_not_count() {
        let typed = json!({"a": {}, "b": null, "c": [{"resources": {}, "name": "x"}], "d": {"e": {"f": []}}, "g": 0});
        assert_eq!(without_empty(&typed), json!({"c": [{"name": "x"}], "g": 0}));
    }
}
