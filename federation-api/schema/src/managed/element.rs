//! One step of a field path as managed fields write it: `f:name`, `k:{…}`, `v:…`, `i:0`.
//! It borrows from the object or the managed fields it came from and knows no schema.
//!
//! Source: `sigs.k8s.io/structured-merge-diff/v6/fieldpath`.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Number, Value};

use crate::field::quote::{go_json, go_quote};

/// A value inside a path element; in practice a scalar.
#[derive(Debug, Clone)]
pub enum Atom<'a> {
    Number(Number),
    Text(Cow<'a, str>),
    Bool(bool),
    /// What no sane object has there, kept so that nothing is lost.
    Other(Value),
}

/// One step of a path.
#[derive(Debug, Clone)]
pub enum Element<'a> {
    Field(Cow<'a, str>),
    /// Keys of an item of a map list, sorted by name.
    Key(Vec<(Cow<'a, str>, Atom<'a>)>),
    /// An item of a set.
    Value(Atom<'a>),
    Index(i64),
}

impl<'a> Atom<'a> {
    pub fn borrowed(value: &'a Value) -> Atom<'a> {
        match value {
            Value::String(text) => Atom::Text(Cow::Borrowed(text)),
            other => Atom::owned(other.clone()),
        }
    }

    pub fn owned(value: Value) -> Atom<'a> {
        match value {
            Value::String(text) => Atom::Text(Cow::Owned(text)),
            Value::Number(number) => Atom::Number(number),
            Value::Bool(flag) => Atom::Bool(flag),
            other => Atom::Other(other),
        }
    }

    fn into_owned(self) -> Atom<'static> {
        match self {
            Atom::Number(number) => Atom::Number(number),
            Atom::Text(text) => Atom::Text(Cow::Owned(text.into_owned())),
            Atom::Bool(flag) => Atom::Bool(flag),
            Atom::Other(value) => Atom::Other(value),
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Atom::Number(number) => Value::Number(number.clone()),
            Atom::Text(text) => Value::String(text.clone().into_owned()),
            Atom::Bool(flag) => Value::Bool(*flag),
            Atom::Other(value) => value.clone(),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Atom::Number(_) => 0,
            Atom::Text(_) => 1,
            Atom::Bool(_) => 2,
            Atom::Other(_) => 3,
        }
    }
}

impl Ord for Atom<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Atom::Number(a), Atom::Number(b)) => compare_numbers(a, b),
            (Atom::Text(a), Atom::Text(b)) => a.cmp(b),
            (Atom::Bool(a), Atom::Bool(b)) => a.cmp(b),
            (Atom::Other(a), Atom::Other(b)) => a.to_string().cmp(&b.to_string()),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Atom<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Atom<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Atom<'_> {}

impl fmt::Display for Atom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Text(text) => f.write_str(&go_quote(text)),
            Atom::Number(number) => write!(f, "{number}"),
            Atom::Bool(flag) => write!(f, "{flag}"),
            Atom::Other(value) => write!(f, "{value}"),
        }
    }
}

/// Numbers by value, whole or not.
pub fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    let whole = |n: &Number| n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from));
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            a.total_cmp(&b)
        }
    }
}

impl<'a> Element<'a> {
    pub fn field(name: &'a str) -> Element<'a> {
        Element::Field(Cow::Borrowed(name))
    }

    /// Reads the key of a `fieldsV1` object; `None` for element types of the future, which are skipped.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub fn parse(text: &'a str) -> Result<Option<Element<'a>>, String> {
        let Some((kind, rest)) = text.split_at_checked(2) else {
            return Err("key must be 2 characters long".to_owned());
        };
        match kind {
            "f:" => Ok(Some(Element::Field(Cow::Borrowed(rest)))),
            "v:" => {
                let value = serde_json::from_str(rest).map_err(|e| format!("bad value in {text:?}: {e}"))?;
                Ok(Some(Element::Value(Atom::owned(value))))
            }
            "k:" => {
                let map: Map<String, Value> =
                    serde_json::from_str(rest).map_err(|e| format!("bad key in {text:?}: {e}"))?;
                let fields = map.into_iter().map(|(name, value)| (Cow::Owned(name), Atom::owned(value)));
                Ok(Some(Element::key(fields.collect())))
            }
            "i:" => {
                let index = rest.parse().map_err(|_| format!("bad index in {text:?}"))?;
                Ok(Some(Element::Index(index)))
            }
            _ if kind.as_bytes().get(1) != Some(&b':') => Err(format!("missing colon: {text}")),
            _ => Ok(None),
        }
    }

    /// The same element, borrowing nothing.
    pub(crate) fn into_owned(self) -> Element<'static> {
        match self {
            Element::Field(name) => Element::Field(Cow::Owned(name.into_owned())),
            Element::Value(value) => Element::Value(value.into_owned()),
            Element::Index(index) => Element::Index(index),
            Element::Key(fields) => Element::Key(
                fields.into_iter().map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned())).collect(),
            ),
        }
    }

    /// From the key fields of an item, in any order.
    pub fn key(mut fields: Vec<(Cow<'a, str>, Atom<'a>)>) -> Element<'a> {
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        Element::Key(fields)
    }

    /// As the key of a `fieldsV1` object.
    pub fn encode(&self) -> String {
        match self {
            Element::Field(name) => format!("f:{name}"),
            Element::Index(index) => format!("i:{index}"),
            Element::Value(value) => format!("v:{}", go_json(&value.to_value())),
            Element::Key(fields) => {
                let map: Map<String, Value> =
                    fields.iter().map(|(name, value)| (name.clone().into_owned(), value.to_value())).collect();
                format!("k:{}", go_json(&Value::Object(map)))
            }
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Element::Field(_) => 0,
            Element::Key(_) => 1,
            Element::Value(_) => 2,
            Element::Index(_) => 3,
        }
    }
}

impl Ord for Element<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Element::Field(a), Element::Field(b)) => a.cmp(b),
            (Element::Key(a), Element::Key(b)) => a.cmp(b),
            (Element::Value(a), Element::Value(b)) => a.cmp(b),
            (Element::Index(a), Element::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Element<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Element<'_> {}

/// As conflicts show it: `.name`, `[name="x"]`, `[="x"]`, `[0]`.
impl fmt::Display for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Field(name) => write!(f, ".{name}"),
            Element::Index(index) => write!(f, "[{index}]"),
            Element::Value(value) => write!(f, "[={value}]"),
            Element::Key(fields) => {
                f.write_str("[")?;
                for (i, (name, value)) in fields.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={value}")?;
                }
                f.write_str("]")
            }
        }
    }
}
