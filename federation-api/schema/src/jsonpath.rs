//! JSONPath as printer columns and selectable fields write it: fields, indexes, slices, unions, wildcards, descent, filters.
//!
//! It is kubectl's dialect within one pair of braces; `range` and `end`, which only templates need, are refused.
//! Source: `k8s.io/client-go/util/jsonpath`.

use serde_json::Value;

mod eval;
mod parse;

pub use eval::text;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Literal(Value),
    Field(String),
    /// Start, end and step as they are written.
    Slice(Slice),
    Union(Vec<Vec<Node>>),
    Wildcard,
    Descent,
    Filter {
        left: Vec<Node>,
        operator: Operator,
        right: Vec<Node>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slice {
    from: Option<i64>,
    to: Option<i64>,
    /// Whether `to` only says that a single item is meant.
    single: bool,
    step: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Exists,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

impl JsonPath {
    /// Parses an expression without its braces, such as `.status.conditions[?(@.type=="Ready")].status`.
    ///
    /// # Errors
    /// In upstream's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse::parse(text).map(|nodes| Self { nodes })
    }

    /// The values that the path leads to; missing fields lead nowhere.
    ///
    /// # Errors
    /// In upstream's words: indexes out of bounds, comparisons that make no sense, too many values.
    pub fn find(&self, value: &Value) -> Result<Vec<Value>, String> {
        eval::find(&self.nodes, value)
    }

    /// The value of a selectable field as text; empty where there is none.
    ///
    /// # Errors
    /// Where the path leads to more than one value.
    pub fn select(&self, value: &Value) -> Result<String, String> {
        match self.find(value)?.as_slice() {
            [] | [Value::Null] => Ok(String::new()),
            [one] => Ok(crate::field::quote::go_value(one)),
            _ => Err("unexpectedly received more than one JSON path result".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
