//! Tables of custom kinds: the name, then the columns that their definition names.
//!
//! Source: k8s.io/apiextensions-apiserver `pkg/registry/customresource/tableconvertor`.

use federation_schema::decode::time::Instant;
use federation_schema::structural::columns::{Cell, Column};
use serde_json::{Value, json};

use super::row::{UNKNOWN, human, seconds_between};
use super::{Extra, Include, carried, extra_column};

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

/// The `columnDefinitions`.
pub fn columns(columns: &[Column], extra: Option<Extra>) -> Vec<Value> {
    let mut all = vec![json!({"name": "Name", "type": "string", "format": "name", "description": NAME, "priority": 0})];
    all.extend(columns.iter().map(|column| {
        let Column { name, ty, format, description, priority, .. } = column;
        json!({"name": name, "type": ty, "format": format, "description": description, "priority": priority})
    }));
    if let Some(extra) = extra {
        all.insert(extra_at(columns), extra_column(extra));
    }
    all
}

/// The row of an object; `extra` is the value of the added column, if there is one.
pub fn row(columns: &[Column], object: &Value, now: Instant, (extra, include): (Option<&str>, Include)) -> Value {
    let mut cells = vec![object.pointer("/metadata/name").cloned().unwrap_or_else(|| "".into())];
    cells.extend(columns.iter().map(|column| match column.cell(object) {
        Cell::Json(value) => value,
        Cell::Age(None) => UNKNOWN.into(),
        Cell::Age(Some(time)) => human(seconds_between(time, now)).into(),
    }));
    if let Some(extra) = extra {
        let shown = if extra.is_empty() { "<none>" } else { extra };
        cells.insert(extra_at(columns), shown.into());
    }
    json!({"cells": cells, "object": carried(object, include)})
}

/// Added columns stand before the age, or behind the last one that is always shown.
fn extra_at(columns: &[Column]) -> usize {
    let age = columns.iter().position(|column| column.name == "Age");
    1 + age.unwrap_or_else(|| columns.iter().take_while(|column| column.priority == 0).count())
}
