//! Tables: what `kubectl get` shows, computed from an object and the time.
//!
//! Which cells a kind has stands in [`layouts`]; everything else gets its name and the time it was made. Source:
//! `k8s.io/kubernetes` pkg/printers/internalversion/printers.go, whose cells are repeated to the letter.

use federation_schema::decode::time::Instant;
use serde_json::{Map, Value, json};

use super::negotiate::MetaVersion;
use row::Row;

mod autoscale;
mod core;
pub mod custom;
mod eviction;
mod layouts;
mod network;
mod node;
mod ours;
mod pod;
mod policy;
mod row;
mod schedule;
mod storage;
mod workload;

/// The columns of a kind and how their cells are computed.
#[derive(Debug)]
pub struct Layout {
    group: &'static str,
    kind: &'static str,
    /// Columns separated by `|`: `Name:TYPE`, then `*` for wide ones and `#` for names; the type is string if not said.
    columns: &'static str,
    cells: fn(&Row<'_>) -> Vec<Value>,
}

/// A column that the server adds: the clusters of a template, the cluster of a mirrored object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    Clusters,
    Cluster,
}

/// How much of the object a row carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Include {
    None,
    #[default]
    Metadata,
    Object,
}

const DEFAULT: Layout = Layout { group: "", kind: "", columns: "Name#|Created At:date", cells: row::default_cells };

/// The layout of a kind; all versions of a kind share it.
pub fn layout(group: &str, kind: &str) -> &'static Layout {
    layouts::ALL.iter().find(|layout| layout.group == group && layout.kind == kind).unwrap_or(&DEFAULT)
}

impl Layout {
    /// The `columnDefinitions`.
    pub fn columns(&self, extra: Option<Extra>) -> Vec<Value> {
        let mut columns: Vec<Value> = self.columns.split('|').map(column).collect();
        if let Some(extra) = extra {
            columns.insert(self.extra_at(), extra_column(extra));
        }
        columns
    }

    /// The cells of an object, in the order of [`Self::columns`]; `extra` is the value of the added column, if there is one.
    pub fn cells(&self, object: &Value, now: Instant, extra: Option<&str>) -> Vec<Value> {
        let mut cells = (self.cells)(&Row { object, now });
        debug_assert_eq!(cells.len(), self.columns.split('|').count(), "{}", self.kind);
        if let Some(extra) = extra {
            let extra = if extra.is_empty() { "<none>" } else { extra };
            cells.insert(self.extra_at(), extra.into());
        }
        cells
    }

    /// A row: its cells, what it says about a finished object, and the object as far as it was asked for.
    pub fn row(&self, object: &Value, now: Instant, extra: Option<&str>, include: Include) -> Value {
        let mut row = Map::new();
        row.insert("cells".to_owned(), self.cells(object, now, extra).into());
        let conditions = pod::row_conditions(self.kind, object);
        if !conditions.is_empty() {
            row.insert("conditions".to_owned(), conditions.into());
        }
        row.insert("object".to_owned(), carried(object, include));
        row.into()
    }

    /// Added columns stand before the age, or behind the last one that is always shown.
    fn extra_at(&self) -> usize {
        let shown = |column: &str| !column.contains('*');
        let age = self.columns.split('|').position(|column| column.starts_with("Age"));
        age.unwrap_or_else(|| self.columns.split('|').filter(|column| shown(column)).count())
    }
}

impl Include {
    /// Reads `includeObject`; none for anything that upstream refuses too.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Metadata" => Some(Self::Metadata),
            "None" => Some(Self::None),
            "Object" => Some(Self::Object),
            _ => None,
        }
    }
}

/// A whole Table; `columns` stays empty in all but the first event of a watch.
pub fn table(version: MetaVersion, metadata: &Value, columns: &[Value], rows: &[Value]) -> Value {
    json!({
        "kind": "Table",
        "apiVersion": version.api_version(),
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows,
    })
}

/// `PartialObjectMetadata`: an object's metadata and nothing else.
pub fn partial(version: MetaVersion, object: &Value) -> Value {
    let metadata = object.get("metadata").cloned().unwrap_or_else(|| json!({}));
    json!({"kind": "PartialObjectMetadata", "apiVersion": version.api_version(), "metadata": metadata})
}

fn extra_column(extra: Extra) -> Value {
    let (name, description) = match extra {
        Extra::Clusters => ("Clusters", "The member clusters that run this, with their replicas."),
        Extra::Cluster => ("Cluster", "The member cluster that this was seen in."),
    };
    definition(name, ("string", "", 0), description)
}

/// The object as far as a row carries it.
fn carried(object: &Value, include: Include) -> Value {
    match include {
        Include::None => Value::Null,
        Include::Metadata => partial(MetaVersion::V1, object),
        Include::Object => object.clone(),
    }
}

fn column(spec: &str) -> Value {
    let bare = spec.trim_end_matches(['*', '#']);
    let marks = &spec[bare.len()..];
    let (name, kind) = bare.split_once(':').unwrap_or((bare, "string"));
    let format = if marks.contains('#') { "name" } else { "" };
    definition(name, (kind, format, u8::from(marks.contains('*'))), "")
}

fn definition(name: &str, (kind, format, priority): (&str, &str, u8), description: &str) -> Value {
    json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority})
}

#[cfg(test)]
mod tests;
