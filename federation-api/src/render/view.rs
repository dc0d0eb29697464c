//! The rows that a Table shows of objects of one kind, the column that we add included.

use std::sync::Arc;

use federation_schema::decode::time::Instant;
use federation_types::label;
use serde_json::{Value, json};

use crate::cache::{Clock, Entry};
use crate::call::Call;
use crate::error::ApiError;
use crate::kinds::CustomKind;
use crate::object;
use crate::server::Server;
use crate::wire::table::{Extra, Include, Layout, custom, layout};

/// How objects of the request's kind become rows.
#[derive(Clone)]
pub(crate) struct TableView {
    columns: Columns,
    include: Include,
    extra: Option<Extra>,
    server: Arc<Server>,
}

/// Where the columns stand.
#[derive(Clone)]
enum Columns {
    Known(&'static Layout),
    Custom(CustomKind),
}

impl TableView {
    /// # Errors
    /// 400 where `includeObject` is none that there is.
    pub(crate) fn new(call: &Call) -> Result<Self, ApiError> {
        let asked = call.query.get("includeObject").unwrap_or("");
        let include = Include::parse(asked).ok_or_else(|| {
            ApiError::BadRequest(format!(
                "unrecognized includeObject value: {asked:?}, must be one of: \"None\", \"Metadata\", \"Object\""
            ))
        })?;
        let kind = &call.kind;
        let probe = json!({
            "apiVersion": kind.api_version(), "kind": kind.kind,
            "metadata": {"name": "probe", "namespace": "default"},
        });
        let mirrored = matches!(call.cache.clock(), Clock::Own { .. });
        let extra = if mirrored {
            Some(Extra::Cluster)
        } else {
            call.server.placement.clusters_cell(&probe).map(|_| Extra::Clusters)
        };
        let columns = match kind.custom() {
            Some(custom) => Columns::Custom(custom.clone()),
            None => Columns::Known(layout(&kind.group, &kind.kind)),
        };
        Ok(Self { columns, include, extra, server: Arc::clone(&call.server) })
    }

    pub(crate) fn columns(&self) -> Vec<Value> {
        match &self.columns {
            Columns::Known(layout) => layout.columns(self.extra),
            Columns::Custom(of) => custom::columns(&of.version().columns, self.extra),
        }
    }

    pub(crate) fn row(&self, object: &Value) -> Value {
        let placed = || self.server.placement.clusters_cell(object).unwrap_or_default();
        let extra = self.extra.map(|extra| match extra {
            Extra::Clusters => placed(),
            Extra::Cluster => object
                .pointer("/metadata/labels")
                .and_then(|labels| labels.get(label::CLUSTER))
                .and_then(Value::as_str)
                .map_or_else(placed, str::to_owned),
        });
        match &self.columns {
            Columns::Known(layout) => layout.row(object, self.now(), extra.as_deref(), self.include),
            Columns::Custom(of) => {
                custom::row(&of.version().columns, object, self.now(), (extra.as_deref(), self.include))
            }
        }
    }

    /// The row of a bookmark: no cells that mean anything, only the metadata.
    pub(crate) fn bookmark(&self, object: &Value) -> Value {
        let mut stub = object.clone();
        object::set_meta(&mut stub, "creationTimestamp", Value::Null);
        self.row(&stub)
    }

    fn now(&self) -> Instant {
        Instant::from_seconds((self.server.now)().as_second())
    }
}

/// An object with nothing but its metadata: the rest of the bytes is not parsed.
pub(crate) fn metadata_of(entry: &Entry) -> Value {
    let metadata = entry.field(&["metadata"]).and_then(|raw| serde_json::from_slice::<Value>(raw).ok());
    json!({"metadata": metadata.unwrap_or_else(|| json!({}))})
}
