//! Field names as identifiers: `a.b` is written `a__dot__b`. It knows no schema.
//!
//! Source: `k8s.io/apiserver/pkg/cel/escaping.go`.

const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

const SYMBOLS: [(&str, &str); 4] = [("__", "underscores"), (".", "dot"), ("-", "dash"), ("/", "slash")];

/// Whether a field has to be written with underscores around it.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// A field name as an identifier; none where it cannot be one.
pub fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
        return None;
    }
    if is_reserved(name) {
        return Some(format!("__{name}__"));
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    'next: while let Some(c) = rest.chars().next() {
        for (symbol, word) in SYMBOLS {
            if let Some(tail) = rest.strip_prefix(symbol) {
                out.push_str("__");
                out.push_str(word);
                out.push_str("__");
                rest = tail;
                continue 'next;
            }
        }
        if !c.is_ascii_alphanumeric() && c != '_' {
            return None;
        }
        out.push(c);
        rest = &rest[1..];
    }
    Some(out)
}

/// The field name that an identifier stands for; none where it stands for none.
pub fn unescape(escaped: &str) -> Option<String> {
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(start) = rest.find("__") {
        let body = &rest[start + 2..];
        let word = body.split('_').next().filter(|word| !word.is_empty());
        let Some(word) = word.filter(|word| body[word.len()..].starts_with("__")) else {
            let skip = start + rest[start..].chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..skip]);
            rest = &rest[skip..];
            continue;
        };
        out.push_str(&rest[..start]);
        let whole = start == 0 && word.len() + 4 == escaped.len();
        match SYMBOLS.iter().find(|(_, name)| *name == word) {
            Some((symbol, _)) => out.push_str(symbol),
            None if is_reserved(word) && whole => out.push_str(word),
            None => return None,
        }
        rest = &body[word.len() + 2..];
    }
    out.push_str(rest);
    Some(out)
}
