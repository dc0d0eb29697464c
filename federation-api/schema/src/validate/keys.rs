//! ConfigMaps and Secrets: keys, total size, and what typed Secrets must hold.

use serde_json::Value;

use super::read::{at, deep, invalid, map, object, text};
use crate::field::{FieldError, FieldPath, format};

/// Bytes of all values of a ConfigMap or Secret.
const MAX_BYTES: usize = 1024 * 1024;

/// (type, keys it must have).
const REQUIRED_KEYS: &[(&str, &[&str])] = &[
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];

pub(super) fn check_config_map(new: &Value, errors: &mut Vec<FieldError>) {
    let (data, binary) = (FieldPath::root("data"), FieldPath::root("binaryData"));
    let in_binary = |key: &str| object(new, "binaryData").is_some_and(|all| all.contains_key(key));
    let mut size = 0;
    for (key, value) in map(new, "data") {
        invalid(errors, &data.key(key), key, format::config_key(key));
        if in_binary(key) {
            let detail = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(&data.key(key), key.as_str(), detail));
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in map(new, "binaryData") {
        invalid(errors, &binary.key(key), key, format::config_key(key));
        size += decoded_length(value);
    }
    if size > MAX_BYTES {
        errors.push(FieldError::too_long(&FieldPath::root("[]"), MAX_BYTES));
    }
}

pub(super) fn check_secret(new: &Value, errors: &mut Vec<FieldError>) {
    let path = FieldPath::root("data");
    let mut size = 0;
    for (key, value) in map(new, "data") {
        invalid(errors, &path.key(key), key, format::config_key(key));
        size += decoded_length(value);
    }
    for (key, value) in map(new, "stringData") {
        invalid(errors, &FieldPath::root("stringData").key(key), key, format::config_key(key));
        size += value.as_str().map_or(0, str::len);
    }
    if size > MAX_BYTES {
        errors.push(FieldError::too_long(&path, MAX_BYTES));
    }
    let has = |key: &str| !at(at(new, "data"), key).is_null() || !at(at(new, "stringData"), key).is_null();
    let kind = text(new, "type");
    if let Some((_, keys)) = REQUIRED_KEYS.iter().find(|(name, _)| *name == kind) {
        for key in keys.iter().filter(|key| !has(key)) {
            errors.push(FieldError::required(&path.key(key), ""));
        }
    }
    if kind == "kubernetes.io/basic-auth" && !has("username") && !has("password") {
        for key in ["username", "password"] {
            errors.push(FieldError::required(&path.key(key), ""));
        }
    }
    if kind == "kubernetes.io/service-account-token" {
        let name = at(deep(new, "metadata.annotations"), "kubernetes.io/service-account.name");
        if name.as_str().is_none_or(str::is_empty) {
            let annotations = FieldPath::root("metadata.annotations");
            errors.push(FieldError::required(&annotations.key("kubernetes.io/service-account.name"), ""));
        }
    }
}

/// Bytes that a base64 text stands for.
fn decoded_length(value: &Value) -> usize {
    let text = value.as_str().unwrap_or("");
    text.trim_end_matches('=').len() * 3 / 4
}
