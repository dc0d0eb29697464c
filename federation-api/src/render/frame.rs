//! The frames of a watch in the format that its client accepts.
//!
//! Plain frames are those that the cache holds encoded; the others are made for each watcher.

use serde_json::{Value, json};

use super::view::{TableView, metadata_of};
use crate::cache::{Entry, EventKind};
use crate::convert;
use crate::kinds::Kind;
use crate::wire::negotiate::MetaVersion;
use crate::wire::table::{partial, table};

/// How the frames of one watch look.
pub(crate) struct FrameStyle(Style);

enum Style {
    Plain {
        kind: Kind,
    },
    Converted {
        kind: Kind,
        stored: Kind,
    },
    Partial {
        version: MetaVersion,
    },
    /// Columns go out with the first event alone.
    Table {
        version: MetaVersion,
        view: TableView,
        columns_sent: bool,
    },
}

impl FrameStyle {
    pub(crate) fn plain(kind: Kind) -> Self {
        Self(Style::Plain { kind })
    }

    /// Frames of a view.
    pub(crate) fn converted(kind: Kind, stored: Kind) -> Self {
        Self(Style::Converted { kind, stored })
    }

    pub(crate) fn partial(version: MetaVersion) -> Self {
        Self(Style::Partial { version })
    }

    pub(crate) fn table(version: MetaVersion, view: TableView) -> Self {
        Self(Style::Table { version, view, columns_sent: false })
    }

    /// Whether frames are those that the cache holds encoded.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.0, Style::Plain { .. })
    }

    pub(crate) fn content_type(&self) -> String {
        let with = |kind: &str, version: MetaVersion| {
            let version = version.api_version().rsplit('/').next().unwrap_or("v1");
            format!("application/json;as={kind};v={version};g=meta.k8s.io")
        };
        match &self.0 {
            Style::Plain { .. } | Style::Converted { .. } => "application/json".to_owned(),
            Style::Partial { version } => with("PartialObjectMetadata", *version),
            Style::Table { version, .. } => with("Table", *version),
        }
    }

    /// Appends the frame of one event.
    pub(crate) fn write(&mut self, kind: EventKind, entry: &Entry, out: &mut Vec<u8>) {
        match &mut self.0 {
            Style::Plain { .. } if kind == entry.kind() => out.extend_from_slice(&entry.frame()),
            Style::Plain { .. } => entry.write_frame(kind, out),
            Style::Converted { kind: of, stored } => {
                let mut object = entry.value();
                convert::from_stored(of, stored, &mut object);
                write(out, kind.as_str(), &object);
            }
            Style::Partial { version } => write(out, kind.as_str(), &partial(*version, &metadata_of(entry))),
            Style::Table { version, view, columns_sent } => {
                let columns = if *columns_sent { Vec::new() } else { view.columns() };
                *columns_sent = true;
                let metadata = json!({"resourceVersion": entry.rev().to_string()});
                let shown = table(*version, &metadata, &columns, &[view.row(&entry.value())]);
                write(out, kind.as_str(), &shown);
            }
        }
    }

    /// Appends a bookmark; `initial` marks the end of the initial events.
    pub(crate) fn write_bookmark(&mut self, rev: u64, initial: bool, out: &mut Vec<u8>) {
        let mut metadata = json!({"resourceVersion": rev.to_string()});
        if initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match &mut self.0 {
            Style::Plain { kind } | Style::Converted { kind, .. } => {
                json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata})
            }
            Style::Partial { version } => partial(*version, &json!({"metadata": metadata})),
            Style::Table { version, view, columns_sent } => {
                let columns = if *columns_sent { Vec::new() } else { view.columns() };
                *columns_sent = true;
                let list = json!({"resourceVersion": rev.to_string()});
                table(*version, &list, &columns, &[view.bookmark(&json!({"metadata": metadata}))])
            }
        };
        write(out, "BOOKMARK", &object);
    }
}

fn write(out: &mut Vec<u8>, kind: &str, object: &Value) {
    out.extend_from_slice(format!("{{\"type\":\"{kind}\",\"object\":").as_bytes());
    out.extend_from_slice(&crate::json::to_vec(object));
    out.extend_from_slice(b"}\n");
}
