//! JSON values as YAML text, for clients that ask for `application/yaml`.
//!
//! It writes what YAML 1.1 and 1.2 readers agree on: anything doubtful is quoted.

use std::fmt::Write as _;

use serde_json::Value;

/// Block style, two spaces, list items not indented under their key, one line end at the end.
pub fn render(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write(&mut out, value, 0),
        Value::Array(items) if !items.is_empty() => write(&mut out, value, 0),
        scalar => {
            write_scalar(&mut out, scalar);
            out.push('\n');
        }
    }
    out
}

fn write(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) => {
            for (at, (key, value)) in map.iter().enumerate() {
                // The first key of a list item follows its dash.
                if at > 0 || !out.ends_with("- ") {
                    indent(out, depth);
                }
                write_text(out, key);
                out.push(':');
                match value {
                    Value::Object(inner) if !inner.is_empty() => {
                        out.push('\n');
                        write(out, value, depth + 1);
                    }
                    Value::Array(items) if !items.is_empty() => {
                        out.push('\n');
                        write(out, value, depth);
                    }
                    scalar => {
                        out.push(' ');
                        write_scalar(out, scalar);
                        out.push('\n');
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                indent(out, depth);
                out.push_str("- ");
                match item {
                    Value::Object(inner) if !inner.is_empty() => write(out, item, depth + 1),
                    Value::Array(inner) if !inner.is_empty() => {
                        out.pop();
                        out.push('\n');
                        write(out, item, depth + 1);
                    }
                    scalar => {
                        write_scalar(out, scalar);
                        out.push('\n');
                    }
                }
            }
        }
        scalar => write_scalar(out, scalar),
    }
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn write_scalar(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => write_text(out, text),
        // Empty collections, numbers, booleans and null look the same in both languages.
        other => write!(out, "{other}").expect("a String takes everything"),
    }
}

fn write_text(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
    } else {
        // JSON's strings are YAML's double-quoted ones.
        out.push_str(&Value::from(text).to_string());
    }
}

/// A word that no reader takes for anything but a string.
fn is_plain(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+' | '=' | ' ');
    let reserved = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    starts
        && !text.ends_with(' ')
        && text.chars().all(inside)
        && !reserved.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::render;
    use federation_schema::decode::{Format, untyped};
    use serde_json::json;

    #[test]
    fn yaml_reads_back() {
        let value = json!({
            "a": {"b": [1, "two", {"c": "yes", "d": []}, [["x"], {}], "1e3", "0x1", " lead", "trail ", "a: b", "- x", "#", "é\n\"\\"]},
            "e": "", "f": null, "g": 1.5, "h": true, "i": {}, "on": {"~": "~"}, "2001-01-01": "2001-01-01", "=": "=",
        });
        let text = render(&value);
        assert_eq!(untyped(text.as_bytes(), Format::Yaml).expect("YAML").0, value, "{text}");
        for scalar in [json!(null), json!("x"), json!([]), json!({}), json!([1])] {
            assert_eq!(untyped(render(&scalar).as_bytes(), Format::Yaml).expect("YAML").0, scalar);
        }
    }

    #[test]
    fn yaml_looks_like_kubectls() {
        let value = json!({"kind": "Pod", "spec": {"containers": [{"name": "a", "args": ["-v", "x"]}]}});
        assert_eq!(render(&value), "kind: Pod\nspec:\n  containers:\n  - args:\n    - \"-v\"\n    - x\n    name: a\n");
    }
}
