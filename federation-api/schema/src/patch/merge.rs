//! JSON merge patch (RFC 7386): objects merge, null deletes, everything else replaces.

use serde_json::{Map, Value};

use super::PatchError;

/// Applies a decoded merge patch.
///
/// # Errors
/// `Malformed` unless the patch is an object.
pub fn apply(mut object: Value, patch: Value) -> Result<Value, PatchError> {
    let Value::Object(patch) = patch else {
        return Err(PatchError::Malformed("Invalid JSON Patch".to_owned()));
    };
    match &mut object {
        Value::Object(target) => merge(target, patch),
        other => *other = Value::Object(without_nulls(patch)),
    }
    Ok(object)
}

fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(&key);
            }
            Value::Object(patch) => match target.get_mut(&key) {
                Some(Value::Object(inner)) => merge(inner, patch),
                _ => {
                    target.insert(key, Value::Object(without_nulls(patch)));
                }
            },
            other => {
                target.insert(key, other);
            }
        }
    }
}

fn without_nulls(patch: Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    merge(&mut out, patch);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::apply;
    use crate::patch::PatchError;

    /// Protocol: P1
    #[test]
    fn examples_of_the_rfc() {
        let table = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1, null]}), json!({"a": [1, null]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
            (json!({"a": 1}), json!({}), json!({"a": 1})),
        ];
        for (object, patch, expected) in table {
            assert_eq!(apply(object, patch.clone()), Ok(expected), "{patch}");
        }
        for patch in [json!([]), json!("a"), Value::Null, json!(1)] {
            assert_eq!(apply(json!({}), patch), Err(PatchError::Malformed("Invalid JSON Patch".into())));
        }
    }
}
