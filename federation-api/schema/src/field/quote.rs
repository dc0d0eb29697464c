//! Values as Go prints them in messages: `%q` strings and `encoding/json` text.
//! Only texts; it must not know why something is printed.

use std::fmt::Write;

use serde_json::Value;

/// The Go type that a JSON value is read as, as `%T` shows it.
pub fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// What a JSON value is, as `encoding/json` says it.
pub fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A string as Go's `%q` shows it.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => push_escape(&mut out, 'x', 2, c),
            c if is_printable(c) => out.push(c),
            c if (c as u32) < 0x10000 => push_escape(&mut out, 'u', 4, c),
            c => push_escape(&mut out, 'U', 8, c),
        }
    }
    out.push('"');
    out
}

/// A value as Go's `encoding/json` writes it: compact, `<`, `>` and `&` escaped.
pub fn go_json(value: &Value) -> String {
    let mut out = String::new();
    push_json(&mut out, value);
    out
}

fn push_json(out: &mut String, value: &Value) {
    match value {
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => out.push_str(&go_float(float, -7, true)),
            None => out.push_str(&number.to_string()),
        },
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                out.push(if at == 0 { '[' } else { ',' });
                push_json(out, item);
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Value::Object(map) => {
            for (at, (key, value)) in map.iter().enumerate() {
                out.push(if at == 0 { '{' } else { ',' });
                push_text(out, &Value::String(key.clone()));
                out.push(':');
                push_json(out, value);
            }
            out.push_str(if map.is_empty() { "{}" } else { "}" });
        }
        other => push_text(out, other),
    }
}

fn push_text(out: &mut String, value: &Value) {
    for c in value.to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => push_escape(out, 'u', 4, c),
            c => out.push(c),
        }
    }
}

/// A float as Go's `%v` shows it: `1`, `0.5`, `1e+21`, `1e-05`.
pub fn go_float_value(float: f64) -> String {
    go_float(float, -5, false)
}

/// The shortest digits that read back as `float`; exponents above `small` and below 21 are written out. JSON writes small
/// exponents without the zero that `%v` pads them with.
fn go_float(float: f64, small: i32, json: bool) -> String {
    if float == 0.0 {
        return if float.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let scientific = format!("{float:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let Ok(power) = exponent.parse::<i32>() else { return scientific };
    if power > small && power < 21 {
        return format!("{float}");
    }
    let sign = if power < 0 { '-' } else { '+' };
    let padded = if json && power < 0 { 1 } else { 2 };
    format!("{digits}e{sign}{:0padded$}", power.abs())
}

/// A value as Go's `%v` shows it: `map[a:1 b:[x y]]`.
pub fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => number.as_f64().map_or_else(String::new, go_float_value),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(go_value).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let items: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", go_value(value))).collect();
            format!("map[{}]", items.join(" "))
        }
    }
}

/// A value as structured-merge-diff shows one it cannot take: its wrapper in Go syntax.
pub fn go_syntax(value: &Value) -> String {
    format!("&value.valueUnstructured{{Value:{}}}", literal(value))
}

/// `%#v`
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::String(text) => go_quote(text),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(literal).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(map) => {
            let items: Vec<String> =
                map.iter().map(|(key, value)| format!("{}:{}", go_quote(key), literal(value))).collect();
            format!("map[string]interface {{}}{{{}}}", items.join(", "))
        }
    }
}

fn push_escape(out: &mut String, letter: char, width: usize, c: char) {
    write!(out, "\\{letter}{:0width$x}", c as u32).expect("writing to a String does not fail");
}

/// Go prints letters, marks, numbers, punctuation, symbols and the ASCII space; Rust's own escaping agrees but for spaces.
fn is_printable(c: char) -> bool {
    if c == ' ' {
        return true;
    }
    if c.is_whitespace() {
        return false;
    }
    c.is_ascii_graphic() || !c.is_control() && c.escape_debug().count() == 1 || is_mark(c)
}

/// `escape_debug` escapes a leading combining mark, Go does not.
fn is_mark(c: char) -> bool {
    matches!(c as u32, 0x300..=0x36f | 0x483..=0x489 | 0x591..=0x5c7 | 0x610..=0x61a | 0x20d0..=0x20f0 | 0xfe00..=0xfe0f)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{go_float_value, go_json, go_quote};

    #[test]
    fn quotes_like_go() {
        let table = [
            ("a", r#""a""#),
            ("a\"\\\n\t\r", r#""a\"\\\n\t\r""#),
            ("\u{0}\u{7}\u{1b}\u{7f}", r#""\x00\a\x1b\x7f""#),
            ("é ☺ 日本", r#""é ☺ 日本""#),
            ("\u{a0}\u{200b}", r#""\u00a0\u200b""#),
            ("'", r#""'""#),
        ];
        for (text, quoted) in table {
            assert_eq!(go_quote(text), quoted);
        }
        assert_eq!(go_json(&json!(["a&b", {"z": 1, "a": null}])), r#"["a\u0026b",{"a":null,"z":1}]"#);
        assert_eq!(go_json(&json!([1.0, 1.5, 1e21, 1e-7, 1e-6, {}, []])), "[1,1.5,1e+21,1e-7,0.000001,{},[]]");
        let floats = [1.0, -2.5, 1e20, 1e21, 1e-4, 1e-5].map(go_float_value);
        assert_eq!(floats, ["1", "-2.5", "100000000000000000000", "1e+21", "0.0001", "1e-05"]);
    }
}
