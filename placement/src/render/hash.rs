//! Hashes of JSON that do not depend on the order of fields or on how numbers were spelt.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// SHA-256 over canonical JSON, as 64 hexadecimal digits.
#[must_use]
pub fn content_hash(value: &Value) -> String {
    let mut hasher = Sha256::new();
    feed(&mut hasher, value);
    hex(&hasher.finalize())
}

/// The first 40 digits of the hash over `parts`, each delimited: short enough for a name.
#[must_use]
pub fn short_hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let mut text = hex(&hasher.finalize());
    text.truncate(40);
    text
}

/// Objects by sorted keys, whatever map the values were read into.
fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| *key);
            hasher.update(b"{");
            for (key, value) in sorted {
                scalar(hasher, &Value::String(key.clone()));
                hasher.update(b":");
                feed(hasher, value);
                hasher.update(b",");
            }
            hasher.update(b"}");
        }
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                feed(hasher, item);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        other => scalar(hasher, other),
    }
}

fn scalar(hasher: &mut Sha256, value: &Value) {
    hasher.update(value.to_string().as_bytes());
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{content_hash, short_hash};

    #[test]
    fn order_does_not_matter_and_content_does() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":{"c":[1,2],"d":"x"}}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"b":{"d":"x","c":[1,2]},"a":1}"#).unwrap();
        assert_eq!(content_hash(&one), content_hash(&two));
        for other in [
            json!({"a": 2, "b": {"c": [1, 2], "d": "x"}}),
            json!({"a": 1, "b": {"c": [2, 1], "d": "x"}}),
            json!({"a": "1"}),
        ] {
            assert_ne!(content_hash(&one), content_hash(&other));
        }
        assert_eq!(content_hash(&one).len(), 64);
    }

    #[test]
    fn parts_are_delimited() {
        assert_ne!(short_hash(&["ab", "c"]), short_hash(&["a", "bc"]));
        assert_ne!(short_hash(&["apps", "a.b"]), short_hash(&["apps", "a:b"]));
        assert_eq!(short_hash(&["x"]).len(), 40);
    }
}
