//! Nodes over a value. What is looked at is bounded, since descents multiply.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::{Node, Operator, Slice};
use crate::field::quote::{go_json, go_value};

/// Values that one expression may pass through.
const MAX_VALUES: usize = 100_000;

type Values<'v> = Vec<Cow<'v, Value>>;

pub(super) fn find(nodes: &[Node], value: &Value) -> Result<Vec<Value>, String> {
    let mut walk = Walk { passed: 0 };
    let found = walk.list(vec![Cow::Borrowed(value)], nodes)?;
    Ok(found.into_iter().map(Cow::into_owned).collect())
}

/// A value as a text column shows it.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::Array(_) | Value::Object(_) => go_json(value),
        scalar => go_value(scalar),
    }
}

struct Walk {
    passed: usize,
}

impl Walk {
    fn list<'v>(&mut self, mut values: Values<'v>, nodes: &[Node]) -> Result<Values<'v>, String> {
        for node in nodes {
            self.passed += values.len();
            if self.passed > MAX_VALUES {
                return Err(format!("expression passes more than {MAX_VALUES} values"));
            }
            values = self.node(values, node)?;
        }
        Ok(values)
    }

    fn node<'v>(&mut self, values: Values<'v>, node: &Node) -> Result<Values<'v>, String> {
        match node {
            Node::Literal(value) if matches!(value, Value::String(_)) => Ok(vec![Cow::Owned(value.clone())]),
            Node::Literal(value) => Ok(values.iter().map(|_| Cow::Owned(value.clone())).collect()),
            Node::Field(name) => Ok(values.into_iter().filter_map(|value| field(value, name)).collect()),
            Node::Wildcard => Ok(values.into_iter().flat_map(children).collect()),
            Node::Descent => {
                let mut found = Vec::new();
                for value in values {
                    self.descend(value, &mut found)?;
                }
                Ok(found)
            }
            Node::Union(alternatives) => {
                let mut found = Vec::new();
                for nodes in alternatives {
                    found.extend(self.list(values.clone(), nodes)?);
                }
                Ok(found)
            }
            Node::Slice(slice) => {
                let mut found = Vec::new();
                for value in values.into_iter().filter(|value| !value.is_null()) {
                    if !cut(value, *slice, &mut found)? {
                        return Ok(found);
                    }
                }
                Ok(found)
            }
            Node::Filter { left, operator, right } => {
                let mut found = Vec::new();
                for value in values {
                    self.filter(value, (left, *operator, right), &mut found)?;
                }
                Ok(found)
            }
        }
    }

    /// Every container at and below the value.
    fn descend<'v>(&mut self, value: Cow<'v, Value>, found: &mut Values<'v>) -> Result<(), String> {
        let below = children(value.clone());
        if below.is_empty() {
            return Ok(());
        }
        self.passed += 1 + below.len();
        if self.passed > MAX_VALUES {
            return Err(format!("expression passes more than {MAX_VALUES} values"));
        }
        found.push(value);
        below.into_iter().try_for_each(|value| self.descend(value, found))
    }

    fn filter<'v>(
        &mut self,
        value: Cow<'v, Value>,
        (left, operator, right): (&[Node], Operator, &[Node]),
        found: &mut Values<'v>,
    ) -> Result<(), String> {
        if !value.is_array() {
            return Err(format!("{} is not array or slice and cannot be filtered", go_value(&value)));
        }
        for item in children(value) {
            let lefts = self.list(vec![item.clone()], left);
            if operator == Operator::Exists {
                if lefts.is_ok_and(|lefts| !lefts.is_empty()) {
                    found.push(item);
                }
                continue;
            }
            let (lefts, rights) = (lefts?, self.list(vec![item.clone()], right)?);
            match (lefts.as_slice(), rights.as_slice()) {
                ([], _) | (_, []) => {}
                ([left], [right]) => {
                    if holds(left, operator, right)? {
                        found.push(item);
                    }
                }
                _ => return Err("can only compare one element at a time".to_owned()),
            }
        }
        Ok(())
    }
}

fn field<'v>(value: Cow<'v, Value>, name: &str) -> Option<Cow<'v, Value>> {
    match value {
        Cow::Borrowed(value) => value.as_object()?.get(name).map(Cow::Borrowed),
        Cow::Owned(value) => value.as_object()?.get(name).cloned().map(Cow::Owned),
    }
}

fn children(value: Cow<'_, Value>) -> Values<'_> {
    match value {
        Cow::Borrowed(Value::Array(items)) => items.iter().map(Cow::Borrowed).collect(),
        Cow::Borrowed(Value::Object(map)) => map.values().map(Cow::Borrowed).collect(),
        Cow::Owned(Value::Array(items)) => items.into_iter().map(Cow::Owned).collect(),
        Cow::Owned(Value::Object(map)) => map.into_iter().map(|(_, value)| Cow::Owned(value)).collect(),
        _ => Vec::new(),
    }
}

/// Adds the items of a slice; says whether there was anything to cut, since an empty slice ends the whole search.
fn cut<'v>(value: Cow<'v, Value>, slice: Slice, found: &mut Values<'v>) -> Result<bool, String> {
    let Some(length) = value.as_array().map(Vec::len) else {
        return Err(format!("{} is not array or slice", crate::field::quote::go_type(&value)));
    };
    let count = i64::try_from(length).unwrap_or(i64::MAX);
    let from = slice.from.unwrap_or(0);
    let from = if from < 0 { from + count } else { from };
    let to = slice.to.unwrap_or(count);
    let to = if to < 0 || to == 0 && slice.single { to + count } else { to };
    if from == to {
        return Ok(false);
    }
    if from >= count || from < 0 {
        return Err(format!("array index out of bounds: index {from}, length {count}"));
    }
    if to > count || to < 0 {
        return Err(format!("array index out of bounds: index {}, length {count}", to - 1));
    }
    if from > to {
        return Err(format!("starting index {from} is greater than ending index {to}"));
    }
    let step = slice.step.unwrap_or(1);
    if step <= 0 {
        return Err("step must be > 0".to_owned());
    }
    let whole = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    let items = children(value).into_iter().skip(whole(from)).take(whole(to - from));
    found.extend(items.step_by(whole(step)));
    Ok(true)
}

fn holds(left: &Value, operator: Operator, right: &Value) -> Result<bool, String> {
    let incompatible = || "incompatible types for comparison".to_owned();
    let order = match (left, right) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            (None, None) => {
                let float = |number: &serde_json::Number| number.as_f64().ok_or_else(incompatible);
                float(a)?.partial_cmp(&float(b)?).ok_or_else(incompatible)?
            }
            _ => return Err(incompatible()),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) if matches!(operator, Operator::Equal | Operator::NotEqual) => a.cmp(b),
        (
            Value::Number(_) | Value::String(_) | Value::Bool(_),
            Value::Number(_) | Value::String(_) | Value::Bool(_),
        ) => {
            return Err(incompatible());
        }
        _ => return Err("invalid type for comparison".to_owned()),
    };
    Ok(match operator {
        Operator::Less => order == Ordering::Less,
        Operator::LessOrEqual => order != Ordering::Greater,
        Operator::Greater => order == Ordering::Greater,
        Operator::GreaterOrEqual => order != Ordering::Less,
        Operator::Equal => order == Ordering::Equal,
        Operator::NotEqual => order != Ordering::Equal,
        Operator::Exists => true,
    })
}
