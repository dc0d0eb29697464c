//! Canonical JSON as it is stored and served, and a scanner that reads single values out of its bytes.
//!
//! Canonical: `apiVersion`, `kind`, `metadata` first, every other key in byte order, no white space; managed fields in
//! the order of their paths.
//! The scanner expects well-formed JSON (ours or serde's); on anything else it finds nothing, it never panics.

use std::ops::Range;

use federation_schema::managed;
use serde_json::{Map, Value};

/// Serialises an object in canonical order.
#[must_use]
pub fn canonical(object: &Value) -> Vec<u8> {
    ordered(object, Owned::ByPath)
}

/// How the owned fields of an object are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owned {
    /// In the order of their paths, where port 80 comes before port 443.
    ByPath,
    /// As text, as upstream does where it knows no Go type of an object: of custom kinds, and behind a `/scale`.
    ByText,
}

/// Canonical JSON with the owned fields in some order.
pub(crate) fn ordered(object: &Value, owned: Owned) -> Vec<u8> {
    let Value::Object(map) = object else { return to_vec(object) };
    let mut out = Vec::with_capacity(512);
    out.push(b'{');
    let first = ["apiVersion", "kind", "metadata"];
    let head = first.iter().filter_map(|key| map.get(*key).map(|value| (*key, value)));
    let rest = map.iter().map(|(k, v)| (k.as_str(), v)).filter(|(k, _)| !first.contains(k));
    for (key, value) in head.chain(rest) {
        if out.len() > 1 {
            out.push(b',');
        }
        write_into(&mut out, &key);
        out.push(b':');
        match (key, value) {
            ("metadata", Value::Object(metadata)) => write_metadata(&mut out, metadata, owned),
            _ => write_into(&mut out, value),
        }
    }
    out.push(b'}');
    out
}

fn write_metadata(out: &mut Vec<u8>, metadata: &Map<String, Value>, owned: Owned) {
    write_members(out, metadata, |out, key, value| match (key, value) {
        ("managedFields", Value::Array(entries)) => write_entries(out, entries, owned),
        _ => write_into(out, value),
    });
}

/// The text of `metadata.managedFields`.
pub(crate) fn owners(entries: &[Value], owned: Owned) -> Vec<u8> {
    let mut out = Vec::new();
    write_entries(&mut out, entries, owned);
    out
}

fn write_entries(out: &mut Vec<u8>, entries: &[Value], owned: Owned) {
    for (i, entry) in entries.iter().enumerate() {
        out.push(if i == 0 { b'[' } else { b',' });
        let Value::Object(entry) = entry else {
            write_into(out, entry);
            continue;
        };
        write_members(out, entry, |out, key, value| match (key, value) {
            ("fieldsV1", Value::Object(fields)) if owned == Owned::ByPath => write_fields(out, fields),
            _ => write_into(out, value),
        });
    }
    out.extend_from_slice(if entries.is_empty() { b"[]" } else { b"]" });
}

fn write_fields(out: &mut Vec<u8>, fields: &Map<String, Value>) {
    out.push(b'{');
    for (i, (key, below)) in managed::in_order(fields).into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_into(out, key);
        out.push(b':');
        match below {
            Value::Object(below) => write_fields(out, below),
            other => write_into(out, other),
        }
    }
    out.push(b'}');
}

fn write_members(out: &mut Vec<u8>, map: &Map<String, Value>, write: impl Fn(&mut Vec<u8>, &str, &Value)) {
    out.push(b'{');
    for (i, (key, value)) in map.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_into(out, key);
        out.push(b':');
        write(out, key, value);
    }
    out.push(b'}');
}

/// Compact JSON of any value.
#[must_use]
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    write_into(&mut out, value);
    out
}

fn write_into<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("JSON values serialise into memory");
}

/// The raw bytes of the value at `path`; `None` where it is absent.
#[must_use]
pub fn find<'a>(json: &'a [u8], path: &[&str]) -> Option<&'a [u8]> {
    let mut at = 0..json.len();
    for key in path {
        at = member(json, at, key)?;
    }
    json.get(at)
}

/// The string at `path`, unescaped; `None` where it is absent or no string.
#[must_use]
pub fn find_str(json: &[u8], path: &[&str]) -> Option<String> {
    serde_json::from_slice(find(json, path)?).ok()
}

/// Where in `json` the value of `key` stands, within the object at `within`.
#[must_use]
pub fn member(json: &[u8], within: Range<usize>, key: &str) -> Option<Range<usize>> {
    let json = &json[..within.end];
    let mut at = skip_space(json, within.start);
    if json.get(at) != Some(&b'{') {
        return None;
    }
    at = skip_space(json, at + 1);
    while json.get(at) == Some(&b'"') {
        let key_end = skip_string(json, at)?;
        let raw_key = &json[at + 1..key_end - 1];
        at = skip_space(json, key_end);
        if json.get(at) != Some(&b':') {
            return None;
        }
        let start = skip_space(json, at + 1);
        let end = skip_value(json, start)?;
        if raw_key == key.as_bytes() {
            return Some(start..end);
        }
        at = skip_space(json, end);
        if json.get(at) != Some(&b',') {
            return None;
        }
        at = skip_space(json, at + 1);
    }
    None
}

fn skip_space(json: &[u8], mut at: usize) -> usize {
    while matches!(json.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// From an opening quote to behind the closing one.
fn skip_string(json: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        let found = memchr::memchr2(b'"', b'\\', json.get(at..)?)?;
        at += found;
        if json[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// From the first byte of a value to behind its last.
fn skip_value(json: &[u8], start: usize) -> Option<usize> {
    match json.get(start)? {
        b'"' => skip_string(json, start),
        b'{' | b'[' => skip_nested(json, start),
        _ => {
            let length = json[start..]
                .iter()
                .position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'))
                .unwrap_or(json.len() - start);
            Some(start + length)
        }
    }
}

fn skip_nested(json: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        match json.get(at)? {
            b'"' => {
                at = skip_string(json, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{canonical, find, find_str};
    use serde_json::json;

    #[test]
    fn canonical_order_starts_with_the_type() {
        let object =
            json!({"data": {"z": "1", "a": "2"}, "kind": "ConfigMap", "metadata": {"name": "x"}, "apiVersion": "v1"});
        let text = String::from_utf8(canonical(&object)).expect("UTF-8");
        assert_eq!(text, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"2","z":"1"}}"#);
    }

    #[test]
    fn the_scanner_finds_values() {
        let json = br#"{"a" : {"b\"c":[1,{"x":"}"}],"d":"e\\"}, "n":-1.5e3,"s":{"t":true}}"#;
        let cases: [(&[&str], Option<&str>); 7] = [
            (&["a", "d"], Some(r#""e\\""#)),
            (&["n"], Some("-1.5e3")),
            (&["s", "t"], Some("true")),
            (&["s"], Some(r#"{"t":true}"#)),
            (&["x"], None),
            (&["n", "t"], None),
            (&["a", "x"], None),
        ];
        for (path, expected) in cases {
            assert_eq!(find(json, path), expected.map(str::as_bytes), "{path:?}");
        }
        assert_eq!(find_str(json, &["a", "d"]).as_deref(), Some("e\\"));
    }

    #[test]
    fn the_scanner_survives_garbage() {
        for garbage in ["", "{", "{\"", "{\"a\"", "{\"a\":", "{\"a\":{", "[]", "{\"a\\", "{\"b\":1,", "{]}"] {
            assert_eq!(find(garbage.as_bytes(), &["a"]).filter(|f| !f.is_empty()), None, "{garbage}");
        }
    }
}
