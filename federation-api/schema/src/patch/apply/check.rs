//! Whether an applied configuration fits its schema: unknown fields, wrong types, items twice.
//!
//! Source: `sigs.k8s.io/structured-merge-diff/v6/typed`; texts are its own.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::facts::Shape;
use crate::field::FieldPath;
use crate::field::quote::{go_syntax, go_value};
use crate::managed::typing::{Relation, Typing, item_element};

/// Errors reported at most: enough to mend a manifest, bounded for hostile ones.
const MAX_ERRORS: usize = 20;

/// # Errors
/// Every complaint with its path.
pub(super) fn check(config: &Value, typing: Typing<'_>) -> Result<(), Vec<String>> {
    let mut errors = Vec::new();
    let Value::Object(map) = config else {
        return Err(vec![format!("expected map, got {}", go_syntax(config))]);
    };
    for (name, value) in map {
        if name != "metadata" && typing.is_closed() && !typing.declares(name) {
            errors.push(format!(".{name}: field not declared in schema"));
            continue;
        }
        let field = if name == "metadata" { typing.metadata() } else { typing.field(name) };
        check_value(value, field, &FieldPath::Root("").child(name), &mut errors);
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn check_value(value: &Value, typing: Typing<'_>, path: &FieldPath<'_>, errors: &mut Vec<String>) {
    let Some(shape) = typing.shape() else { return };
    if value.is_null() || errors.len() >= MAX_ERRORS {
        return;
    }
    let wrong = match (shape, value) {
        (Shape::Struct(object), Value::Object(map)) => {
            for (name, value) in map {
                match object.field(name) {
                    Some(_) => check_value(value, typing.field(name), &path.child(name), errors),
                    None if object.open => {}
                    None => errors.push(format!("{path}.{name}: field not declared in schema")),
                }
            }
            return;
        }
        (Shape::Map { .. }, Value::Object(map)) => {
            for (name, value) in map {
                check_value(value, typing.field(name), &path.child(name), errors);
            }
            return;
        }
        (Shape::List(_), Value::Array(list)) => return check_list(list, typing, path, errors),
        (Shape::Struct(_) | Shape::Map { .. }, _) => "expected map, got",
        (Shape::List(_), _) => "expected list, got",
        (Shape::String | Shape::Bytes, Value::String(_)) => return,
        (Shape::String | Shape::Bytes, _) => "expected string, got",
        (Shape::Int32 | Shape::Int64 | Shape::Float, Value::Number(_)) => return,
        (Shape::Int32 | Shape::Int64 | Shape::Float, _) => "expected numeric (int or float), got",
        (Shape::Bool, Value::Bool(_)) => return,
        (Shape::Bool, _) => "expected boolean, got",
        (_, Value::Array(_) | Value::Object(_)) => "expected any scalar, got",
        _ => return,
    };
    let shown = match shape {
        Shape::Struct(_) | Shape::Map { .. } | Shape::List(_) => format!("&{{{}}}", go_value(value)),
        _ => go_syntax(value),
    };
    errors.push(format!("{path}: {wrong} {shown}"));
}

fn check_list(list: &[Value], typing: Typing<'_>, path: &FieldPath<'_>, errors: &mut Vec<String>) {
    let relation = typing.relation(&Value::Null);
    let told_apart = matches!(relation, Relation::Set(_) | Relation::Keyed(..));
    let mut seen = BTreeSet::new();
    for (i, item) in list.iter().enumerate() {
        if told_apart {
            match item_element(&relation, item) {
                Err(error) => {
                    errors.push(format!("{path}: element {i}: {error}"));
                    return;
                }
                Ok(element) if seen.contains(&element) => {
                    errors.push(format!("{path}: duplicate entries for key {element}"));
                }
                Ok(element) => {
                    seen.insert(element);
                }
            }
        }
        check_value(item, typing.item(), &path.index(i), errors);
    }
}
