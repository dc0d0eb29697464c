//! The `LabelSelector` object of the API, checked field by field.
//!
//! Source: `k8s.io/apimachinery/pkg/apis/meta/v1/validation`.

use serde_json::{Map, Value};

use super::label::{LabelSelector, Operator, Requirement};
use crate::field::{FieldError, FieldPath, format};

pub(super) fn from_object(value: &Value, path: &FieldPath<'_>) -> Result<LabelSelector, Vec<FieldError>> {
    let fields = match value {
        Value::Null => return Ok(LabelSelector::nothing()),
        Value::Object(fields) => fields,
        other => return Err(vec![wrong_type(path, other, "an object")]),
    };
    let mut errors = Vec::new();
    let mut requirements = Vec::new();
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("matchLabels" | "matchExpressions", Value::Null) => {}
            ("matchLabels", Value::Object(labels)) => match_labels(labels, path, &mut requirements, &mut errors),
            ("matchLabels", other) => errors.push(wrong_type(&path.child(name), other, "an object")),
            ("matchExpressions", Value::Array(list)) => {
                let at = path.child(name);
                for (i, expression) in list.iter().enumerate() {
                    match match_expression(expression, &at.index(i)) {
                        Ok(requirement) => requirements.push(requirement),
                        Err(mut found) => errors.append(&mut found),
                    }
                }
            }
            ("matchExpressions", other) => errors.push(wrong_type(&path.child(name), other, "an array")),
            (other, _) => errors.push(unknown(path, other)),
        }
    }
    if errors.is_empty() { Ok(LabelSelector::new(requirements)) } else { Err(errors) }
}

fn match_labels(
    labels: &Map<String, Value>,
    path: &FieldPath<'_>,
    requirements: &mut Vec<Requirement>,
    errors: &mut Vec<FieldError>,
) {
    let at = path.child("matchLabels");
    for (key, value) in labels {
        let Some(text) = value.as_str() else {
            errors.push(wrong_type(&at.key(key), value, "a string"));
            continue;
        };
        let before = errors.len();
        for complaint in format::label_key(key) {
            errors.push(FieldError::invalid(&at, key.as_str(), complaint));
        }
        for complaint in format::label_value(text) {
            errors.push(FieldError::invalid(&at, text, complaint));
        }
        if errors.len() == before {
            match Requirement::new(key, Operator::Equals, vec![text.to_owned()], &at) {
                Ok(requirement) => requirements.push(requirement),
                Err(mut found) => errors.append(&mut found),
            }
        }
    }
}

fn match_expression(value: &Value, path: &FieldPath<'_>) -> Result<Requirement, Vec<FieldError>> {
    let Value::Object(fields) = value else {
        return Err(vec![wrong_type(path, value, "an object")]);
    };
    let mut errors: Vec<FieldError> = fields
        .keys()
        .filter(|name| !matches!(name.as_str(), "key" | "operator" | "values"))
        .map(|name| unknown(path, name))
        .collect();
    let key = text_field(fields, "key", path, &mut errors);
    let operator = text_field(fields, "operator", path, &mut errors);
    let values = value_list(fields.get("values"), &path.child("values"), &mut errors);
    let values_path = path.child("values");
    let operator = match operator {
        "In" => Some(Operator::In),
        "NotIn" => Some(Operator::NotIn),
        "Exists" => Some(Operator::Exists),
        "DoesNotExist" => Some(Operator::DoesNotExist),
        other => {
            let at = path.child("operator");
            errors.push(FieldError::invalid(&at, other, "not a valid selector operator"));
            None
        }
    };
    match operator {
        Some(Operator::In | Operator::NotIn) if values.is_empty() => {
            errors.push(FieldError::required(&values_path, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        Some(Operator::Exists | Operator::DoesNotExist) if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&values_path, detail));
        }
        _ => {}
    }
    for complaint in format::label_key(key) {
        errors.push(FieldError::invalid(&path.child("key"), key, complaint));
    }
    for (i, value) in values.iter().enumerate() {
        for complaint in format::label_value(value) {
            errors.push(FieldError::invalid(&values_path.index(i), value.as_str(), complaint));
        }
    }
    match operator {
        Some(operator) if errors.is_empty() => Requirement::new(key, operator, values, path),
        _ => Err(errors),
    }
}

fn text_field<'v>(
    fields: &'v Map<String, Value>,
    name: &str,
    path: &FieldPath<'_>,
    errors: &mut Vec<FieldError>,
) -> &'v str {
    match fields.get(name) {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(other) => {
            errors.push(wrong_type(&path.child(name), other, "a string"));
            ""
        }
    }
}

fn value_list(value: Option<&Value>, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) -> Vec<String> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => {
            let mut values = Vec::with_capacity(items.len());
            for (i, item) in items.iter().enumerate() {
                match item.as_str() {
                    Some(text) => values.push(text.to_owned()),
                    None => errors.push(wrong_type(&path.index(i), item, "a string")),
                }
            }
            values
        }
        Some(other) => {
            errors.push(wrong_type(path, other, "an array"));
            Vec::new()
        }
    }
}

fn wrong_type(path: &FieldPath<'_>, value: &Value, expected: &str) -> FieldError {
    FieldError::type_invalid(path, value.clone(), format!("must be {expected}"))
}

fn unknown(path: &FieldPath<'_>, name: &str) -> FieldError {
    FieldError::invalid(path, name, "unknown field")
}
