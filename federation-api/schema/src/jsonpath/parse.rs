//! Text → nodes. One pass, with bounded nesting.

use serde_json::Value;

use super::{Node, Operator, Slice};

/// Filters within filters.
const MAX_DEPTH: usize = 16;
/// Bytes of an expression.
const MAX_LENGTH: usize = 4096;

pub(super) fn parse(text: &str) -> Result<Vec<Node>, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("expression is longer than {MAX_LENGTH} bytes"));
    }
    Parser { rest: text, nodes: Vec::new(), depth: 0 }.run()
}

fn nested(text: &str, depth: usize) -> Result<Vec<Node>, String> {
    if depth >= MAX_DEPTH {
        return Err("filters are nested too deeply".to_owned());
    }
    Parser { rest: text, nodes: Vec::new(), depth: depth + 1 }.run()
}

struct Parser<'t> {
    rest: &'t str,
    nodes: Vec<Node>,
    depth: usize,
}

fn is_terminator(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

impl<'t> Parser<'t> {
    fn run(mut self) -> Result<Vec<Node>, String> {
        while let Some(c) = self.rest.chars().next() {
            if self.rest.starts_with("[?(") {
                self.filter()?;
            } else if self.rest.starts_with("..") {
                self.descent()?;
            } else {
                self.step(c)?;
            }
        }
        Ok(self.nodes)
    }

    fn step(&mut self, c: char) -> Result<(), String> {
        match c {
            '\r' | '\n' => Err("unclosed action".to_owned()),
            ' ' | '@' | '$' => {
                self.take(1);
                Ok(())
            }
            '[' => self.array(),
            '"' | '\'' => self.quote(c),
            '.' => {
                self.take(1);
                self.field();
                Ok(())
            }
            '+' | '-' => self.number(),
            c if c.is_numeric() => self.number(),
            c if c == '_' || c.is_alphabetic() => self.identifier(),
            c => Err(format!("unrecognized character in action: U+{:04X} '{c}'", c as u32)),
        }
    }

    fn take(&mut self, length: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, test: impl Fn(char) -> bool) -> &'t str {
        let length = self.rest.find(|c| !test(c)).unwrap_or(self.rest.len());
        self.take(length)
    }

    fn identifier(&mut self) -> Result<(), String> {
        match self.take_while(|c| !is_terminator(c)) {
            "true" => self.nodes.push(Node::Literal(Value::Bool(true))),
            "false" => self.nodes.push(Node::Literal(Value::Bool(false))),
            other => return Err(format!("unrecognized identifier {other}")),
        }
        Ok(())
    }

    fn descent(&mut self) -> Result<(), String> {
        if self.nodes.last() == Some(&Node::Descent) {
            return Err("invalid multiple recursive descent".to_owned());
        }
        self.take(2);
        self.nodes.push(Node::Descent);
        if self.rest.starts_with(|c: char| c == '_' || c.is_alphanumeric()) {
            self.field();
        }
        Ok(())
    }

    fn field(&mut self) {
        let mut length = 0;
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            if c == '\\' {
                length = at + 1 + chars.next().map_or(0, |(_, c)| c.len_utf8());
            } else if is_terminator(c) {
                break;
            } else {
                length = at + c.len_utf8();
            }
        }
        let name = self.take(length);
        self.nodes.push(if name == "*" { Node::Wildcard } else { Node::Field(name.replace('\\', "")) });
    }

    fn number(&mut self) -> Result<(), String> {
        let sign = usize::from(self.rest.starts_with(['+', '-']));
        let digits =
            self.rest[sign..].find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(self.rest.len() - sign);
        let text = self.take(sign + digits);
        let plain = text.strip_prefix('+').unwrap_or(text);
        let literal = match (plain.parse::<i64>(), plain.parse::<f64>()) {
            (Ok(int), _) => Value::from(int),
            (_, Ok(float)) => Value::from(float),
            _ => return Err(format!("cannot parse number {text}")),
        };
        self.nodes.push(Node::Literal(literal));
        Ok(())
    }

    fn quote(&mut self, end: char) -> Result<(), String> {
        let mut escaped = false;
        let close = self.rest.char_indices().skip(1).find(|(_, c)| {
            let closes = *c == end && !escaped || *c == '\n';
            escaped = *c == '\\' && !escaped;
            closes
        });
        let Some((close, _)) = close.filter(|(_, c)| *c != '\n') else {
            return Err("unterminated quoted string".to_owned());
        };
        let quoted = self.take(close + 1);
        let inner = &quoted[1..close];
        let text = unquote(inner).ok_or_else(|| format!("unquote string {quoted} error invalid syntax"))?;
        self.nodes.push(Node::Literal(Value::String(text)));
        Ok(())
    }

    fn array(&mut self) -> Result<(), String> {
        let Some(end) = self.rest.find([']', '\n']).filter(|at| self.rest[*at..].starts_with(']')) else {
            return Err("unterminated array".to_owned());
        };
        let text = &self.take(end + 1)[1..end];
        if text.contains(',') {
            let alternatives = text.split(',').map(|part| nested(&format!("[{}]", part.trim_matches(' ')), self.depth));
            let union = alternatives.collect::<Result<Vec<_>, String>>()?;
            self.nodes.push(Node::Union(union));
            return Ok(());
        }
        let quoted = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
        if let Some(key) = quoted.filter(|key| !key.contains('\'')) {
            self.nodes.extend(nested(&format!(".{key}"), self.depth)?);
            return Ok(());
        }
        self.nodes.push(Node::Slice(slice(if text == "*" { ":" } else { text })?));
        Ok(())
    }

    fn filter(&mut self) -> Result<(), String> {
        let inside = &self.rest[3..];
        let (mut open, mut previous, mut end) = (None, '\0', None);
        for (at, c) in inside.char_indices() {
            match (c, open) {
                ('\n', _) => break,
                ('"' | '\'', None) => open = Some(c),
                (c, Some(pair)) if c == pair && previous != '\\' => open = None,
                (')', None) => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
            previous = c;
        }
        let Some(end) = end else { return Err("unterminated filter".to_owned()) };
        let text = &inside[..end];
        if !inside[end + 1..].starts_with(']') {
            return Err("unclosed array expect ]".to_owned());
        }
        self.take(3 + end + 2);
        let is_operator = |c: char| "!<>=".contains(c);
        let start = text.find(is_operator).filter(|at| *at > 0);
        let split = start.map(|at| (at, text[at..].find(|c| !is_operator(c)).map_or(text.len(), |length| at + length)));
        let node = match split.filter(|(_, end)| *end < text.len()) {
            None => Node::Filter { left: nested(text, self.depth)?, operator: Operator::Exists, right: Vec::new() },
            Some((at, end)) => Node::Filter {
                left: nested(&text[..at], self.depth)?,
                operator: operator(&text[at..end])?,
                right: nested(&text[end..], self.depth)?,
            },
        };
        self.nodes.push(node);
        Ok(())
    }
}

fn operator(text: &str) -> Result<Operator, String> {
    Ok(match text {
        "<" => Operator::Less,
        "<=" => Operator::LessOrEqual,
        ">" => Operator::Greater,
        ">=" => Operator::GreaterOrEqual,
        "==" => Operator::Equal,
        "!=" => Operator::NotEqual,
        other => return Err(format!("unrecognized filter operator {other}")),
    })
}

/// `from:to:step`, each optional.
fn slice(text: &str) -> Result<Slice, String> {
    let invalid = || format!("invalid array index {text}");
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 {
        return Err(invalid());
    }
    let number = |at: usize| -> Result<Option<i64>, String> {
        let part = parts.get(at).copied().unwrap_or("");
        let digits = part.strip_prefix('-').unwrap_or(part);
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        if part.is_empty() {
            return Ok(None);
        }
        part.parse().map(Some).map_err(|_| format!("array index {part} is not a number"))
    };
    let (from, to, step) = (number(0)?, number(1)?, number(2)?);
    let single = parts.len() == 1;
    let to = if single { Some(from.unwrap_or(0).saturating_add(1)) } else { to };
    Ok(Slice { from, to, single, step })
}

fn unquote(text: &str) -> Option<String> {
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
            'u' => {
                let digits: String = chars.by_ref().take(4).collect();
                char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
            }
            _ => return None,
        });
    }
    Some(out)
}
