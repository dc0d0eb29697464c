//! Paths such as `.spec.hosts['a.b']` that must lead to something in a schema.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/cel` (`ValidFieldPath`).

use crate::structural::Schema;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundField<'s> {
    /// The steps, each a property (true) or a key of a map.
    pub steps: Vec<(String, bool)>,
    pub schema: &'s Schema,
}

impl FoundField<'_> {
    /// `spec.hosts[a.b]`
    pub fn path(&self) -> String {
        let mut path = String::new();
        for (name, is_property) in &self.steps {
            match (is_property, path.is_empty()) {
                (true, true) => path.push_str(name),
                (true, false) => path.push_str(&format!(".{name}")),
                (false, _) => path.push_str(&format!("[{name}]")),
            }
        }
        path
    }
}

/// Follows a path from the root of `schema`; `brackets` allows `['name']`.
///
/// # Errors
/// In upstream's words, where the path is none or leads nowhere.
pub fn find<'s>(path: &str, schema: &'s Schema, brackets: bool) -> Result<FoundField<'s>, String> {
    let mut found = FoundField { steps: Vec::new(), schema };
    let mut rest = path;
    let end = || "unexpected end of JSON path".to_owned();
    while let Some(token) = next(&mut rest) {
        match token {
            "[" if !brackets => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let quoted = next(&mut rest).ok_or_else(end)?;
                let inner = quoted.strip_prefix('\'').and_then(|inner| inner.strip_suffix('\''));
                let Some(inner) = inner.filter(|_| quoted.len() >= 2) else {
                    return Err(format!("expected single quoted string but got {quoted}"));
                };
                let name = unescape(inner).ok_or("invalid string literal: invalid syntax")?;
                found.step(name)?;
                match next(&mut rest).ok_or_else(end)? {
                    "]" => {}
                    other => return Err(format!("expected ] but got {other}")),
                }
            }
            "." => {
                let name = next(&mut rest).ok_or_else(end)?;
                found.step(name.to_owned())?;
            }
            other => return Err(format!("expected [ or . but got: {other}")),
        }
    }
    Ok(found)
}

impl FoundField<'_> {
    fn step(&mut self, name: String) -> Result<(), String> {
        let nowhere = || "does not refer to a valid field".to_owned();
        let is_property = !self.schema.properties.is_empty();
        self.schema = if is_property {
            self.schema.properties.get(&*name).ok_or_else(nowhere)?
        } else {
            self.schema.map_value().ok_or_else(nowhere)?
        };
        self.steps.push((name, is_property));
        Ok(())
    }
}

/// The next delimiter, quoted text or name.
fn next<'p>(rest: &mut &'p str) -> Option<&'p str> {
    let text = *rest;
    let first = text.chars().next()?;
    let length = match first {
        '.' | '[' | ']' => 1,
        '\'' => {
            let mut before = first;
            let close = text.char_indices().skip(1).find(|(_, c)| {
                let closes = *c == '\'' && before != '\\';
                before = *c;
                closes
            });
            close.map_or(text.len(), |(at, _)| at + 1)
        }
        _ => text.find(['.', '[', ']']).unwrap_or(text.len()),
    };
    let (token, after) = text.split_at(length);
    *rest = after;
    Some(token)
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next()? {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            c @ ('\\' | '\'' | '"') => c,
            _ => return None,
        });
    }
    Some(out)
}
