//! YAML text → a value, as `sigs.k8s.io/yaml` reads it: one document, YAML 1.1 booleans, keys become strings.
//!
//! Aliases are expanded under the same bound on values as everything else. It knows YAML, not Kubernetes.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::{Broken, Finding, MAX_DEPTH, MAX_FINDINGS, MAX_VALUES};

/// Reads the first document; the second one is refused, since it would be lost.
pub(super) fn parse(body: &[u8]) -> Result<(Value, Vec<Finding>), Broken> {
    let text = std::str::from_utf8(body).map_err(|_| Broken::Yaml("invalid UTF-8".to_owned()))?;
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Broken::Yaml(error.to_string()))?;
        let line = span.start.line();
        builder.line = line;
        builder.event(event).map_err(|broken| match broken {
            Broken::Yaml(problem) => Broken::Yaml(format!("line {line}: {problem}")),
            other => other,
        })?;
    }
    let findings = match &*builder.twice {
        [] => Vec::new(),
        twice => vec![Finding::Twice(format!("yaml: unmarshal errors:\n  {}", twice.join("\n  ")))],
    };
    Ok((builder.root.unwrap_or(Value::Null), findings))
}

#[derive(Default)]
struct Builder {
    /// Of the event that is being read.
    line: usize,
    values: usize,
    anchors: HashMap<usize, (Value, usize)>,
    /// Keys that stood in their mapping before, in upstream's words.
    twice: Vec<String>,
    stack: Vec<Open>,
    root: Option<Value>,
}

/// A collection that is being read.
struct Open {
    anchor: usize,
    /// Weight of the values inside, itself included.
    values: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Value>),
    /// `merged`: what `<<` brought, under what is said outright.
    Map {
        map: Map<String, Value>,
        key: Option<Key>,
        merged: Vec<Value>,
    },
}

enum Key {
    Name(String),
    Merge,
}

impl Builder {
    fn event(&mut self, event: Event<'_>) -> Result<(), Broken> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => broken("only one document is taken"),
            Event::SequenceStart(_, anchor, _) => self.open(anchor, Kind::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => {
                self.open(anchor, Kind::Map { map: Map::new(), key: None, merged: Vec::new() })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Scalar(text, style, anchor, tag) => {
                let weight = weight(&text);
                self.count(weight)?;
                let plain = style == ScalarStyle::Plain;
                if self.takes_key() {
                    return self.key(&text, plain, tag.as_deref());
                }
                let value = scalar(&text, plain, tag.as_deref())?;
                self.anchor(anchor, &value, weight)?;
                self.put(value, weight)
            }
            Event::Alias(anchor) => {
                let Some((value, values)) = self.anchors.get(&anchor) else { return broken("unknown anchor") };
                let values = *values;
                if self.takes_key() {
                    let text = value.as_str().map(str::to_owned);
                    let Some(text) = text else { return broken("an alias as a key must be a string") };
                    return self.key(&text, false, None);
                }
                self.count(values)?;
                let value = self.anchors[&anchor].0.clone();
                if self.stack.len() + depth(&value) > MAX_DEPTH {
                    return Err(Broken::Depth);
                }
                self.put(value, values)
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, values: usize) -> Result<(), Broken> {
        self.values += values;
        if self.values > MAX_VALUES { Err(Broken::Values) } else { Ok(()) }
    }

    /// Keeps what an anchor names; its memory counts like that of every other value.
    fn anchor(&mut self, anchor: usize, value: &Value, values: usize) -> Result<(), Broken> {
        if anchor > 0 {
            self.count(values)?;
            self.anchors.insert(anchor, (value.clone(), values));
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, kind: Kind) -> Result<(), Broken> {
        self.count(1)?;
        if self.takes_key() {
            return broken("a key must be a scalar");
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(Broken::Depth);
        }
        self.stack.push(Open { anchor, values: 1, kind });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Broken> {
        let Some(open) = self.stack.pop() else { return broken("a collection ends that never began") };
        let value = match open.kind {
            Kind::List(items) => Value::Array(items),
            Kind::Map { mut map, merged, .. } => {
                for below in merged {
                    merge(&mut map, below)?;
                }
                Value::Object(map)
            }
        };
        self.anchor(open.anchor, &value, open.values)?;
        self.put(value, open.values)
    }

    fn takes_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open { kind: Kind::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, text: &str, plain: bool, tag: Option<&Tag>) -> Result<(), Broken> {
        let name =
            if plain && text == "<<" && tag.is_none() { Key::Merge } else { Key::Name(key_text(text, plain, tag)?) };
        let duplicate = match (&name, self.stack.last()) {
            (Key::Name(name), Some(Open { kind: Kind::Map { map, .. }, .. })) => map.contains_key(name),
            _ => false,
        };
        if duplicate
            && self.twice.len() < MAX_FINDINGS
            && let Key::Name(name) = &name
        {
            self.twice.push(format!("line {}: key {name:?} already set in map", self.line));
        }
        if let Some(open) = self.stack.last_mut() {
            open.values += weight(text);
            if let Kind::Map { key, .. } = &mut open.kind {
                *key = Some(name);
            }
        }
        Ok(())
    }

    fn put(&mut self, value: Value, values: usize) -> Result<(), Broken> {
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        open.values += values;
        match &mut open.kind {
            Kind::List(items) => items.push(value),
            Kind::Map { map, key, merged } => match key.take() {
                Some(Key::Name(name)) => {
                    map.insert(name, value);
                }
                Some(Key::Merge) => merged.push(value),
                None => return broken("a key must be a scalar"),
            },
        }
        Ok(())
    }
}

/// What a scalar counts for: one, and more for texts that outweigh the value that holds them.
fn weight(text: &str) -> usize {
    1 + text.len() / size_of::<Value>()
}

fn broken<T>(problem: &str) -> Result<T, Broken> {
    Err(Broken::Yaml(problem.to_owned()))
}

/// Adds what `<<` names: a map or a list of maps, the first of which wins.
fn merge(map: &mut Map<String, Value>, below: Value) -> Result<(), Broken> {
    match below {
        Value::Object(below) => {
            for (key, value) in below {
                map.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::Array(list) if list.iter().all(Value::is_object) => {
            list.into_iter().try_for_each(|below| merge(map, below))
        }
        _ => broken("map merge requires map or sequence of maps as the value"),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn key_text(text: &str, plain: bool, tag: Option<&Tag>) -> Result<String, Broken> {
    Ok(match scalar(text, plain, tag)? {
        Value::String(text) => text,
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        _ => return broken("a key must not be null"),
    })
}

/// Source: `go.yaml.in/yaml/v2` resolve.go.
fn scalar(text: &str, plain: bool, tag: Option<&Tag>) -> Result<Value, Broken> {
    if let Some(tag) = tag {
        let tag = tag.to_string();
        return match tag.rsplit([':', '!']).next().unwrap_or("") {
            "str" | "" => Ok(Value::from(text)),
            "bool" | "int" | "float" | "null" => Ok(resolve(text)?.unwrap_or_else(|| Value::from(text))),
            "timestamp" => Ok(Value::from(text)),
            _ => broken(&format!("tag {tag} is not supported")),
        };
    }
    match plain.then(|| resolve(text)).transpose()?.flatten() {
        Some(value) => Ok(value),
        None => Ok(Value::from(text)),
    }
}

fn resolve(text: &str) -> Result<Option<Value>, Broken> {
    Ok(Some(match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => return broken(&format!("{text} has no JSON form")),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) => {
            return Ok(number(text));
        }
        _ => return Ok(None),
    }))
}

fn number(text: &str) -> Option<Value> {
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] if digits.bytes().all(|byte| byte.is_ascii_digit()) => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(['+', '-'])
        && let Ok(magnitude) = u64::from_str_radix(digits, radix)
    {
        return match (negative, i64::try_from(-i128::from(magnitude))) {
            (false, _) => Some(Value::from(magnitude)),
            (true, Ok(number)) => Some(Value::from(number)),
            (true, Err(_)) => None,
        };
    }
    if !is_float(&plain) {
        return None;
    }
    plain.parse().ok().and_then(Number::from_f64).map(Value::Number)
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let sound = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    sound && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}
