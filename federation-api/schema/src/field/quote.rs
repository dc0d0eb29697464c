//! Values as Go prints them in messages: `%q` strings and `encoding/json` text.
//! Only texts; it must not know why something is printed.

use std::fmt::Write;

use serde_json::Value;

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
    for c in value.to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => push_escape(&mut out, 'u', 4, c),
            c => out.push(c),
        }
    }
    out
}

/// A value as Go's `%v` shows it: `map[a:1 b:[x y]]`.
pub fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
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

    use super::{go_json, go_quote};

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
    }
}
