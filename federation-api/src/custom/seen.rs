//! Stored objects of a custom kind as a request sees them: in its version, by the schema of now.
//!
//! What was stored in that version since the definition became what it is needs no look: its bytes go out as they are.
//! Everything else is made once and kept beside the stored entry.

use std::sync::Arc;

use federation_schema::structural::meta::Malformed;
use serde_json::Value;

use super::convert;
use super::definition::{Shared, Version};
use crate::cache::{Entry, Event};
use crate::error::ApiError;
use crate::kinds::{CustomKind, Kind};
use crate::server::Server;
use crate::{json, object};

/// One entry as a request for this kind sees it.
///
/// # Errors
/// 500 where it cannot be converted.
pub(crate) async fn entry(server: &Server, kind: &Kind, entry: Arc<Entry>) -> Result<Arc<Entry>, ApiError> {
    match kind.custom() {
        None => Ok(entry),
        Some(custom) => {
            let mut seen = custom_entries(server, custom, vec![entry]).await?;
            Ok(seen.pop().expect("as many as were given"))
        }
    }
}

/// Entries as a request for this kind sees them, in the same order.
///
/// # Errors
/// As [`entry`].
pub(crate) async fn entries(
    server: &Server,
    kind: &Kind,
    entries: Vec<Arc<Entry>>,
) -> Result<Vec<Arc<Entry>>, ApiError> {
    match kind.custom() {
        None => Ok(entries),
        Some(custom) => custom_entries(server, custom, entries).await,
    }
}

/// Events as a watch of this kind sees them.
///
/// # Errors
/// As [`entry`].
pub(crate) async fn events(server: &Server, kind: &Kind, events: Vec<Arc<Event>>) -> Result<Vec<Arc<Event>>, ApiError> {
    let Some(custom) = kind.custom() else { return Ok(events) };
    let both = |event: &Arc<Event>| std::iter::once(event.object.clone()).chain(event.old.clone()).collect::<Vec<_>>();
    let all: Vec<Arc<Entry>> = events.iter().flat_map(both).collect();
    let mut seen = custom_entries(server, custom, all).await?.into_iter();
    let mut shown = Vec::with_capacity(events.len());
    for event in events {
        let object = seen.next().expect("as many as were given");
        let old = event.old.as_ref().map(|_| seen.next().expect("as many as were given"));
        let same = Arc::ptr_eq(&object, &event.object)
            && old.as_ref().zip(event.old.as_ref()).is_none_or(|(new, old)| Arc::ptr_eq(new, old));
        shown.push(if same { event } else { Arc::new(Event::new(event.kind, object, old)) });
    }
    Ok(shown)
}

async fn custom_entries(
    server: &Server,
    custom: &CustomKind,
    mut entries: Vec<Arc<Entry>>,
) -> Result<Vec<Arc<Entry>>, ApiError> {
    let (shared, version) = (&*custom.definition.shared, custom.version());
    let mut waiting = Vec::new();
    let mut values = Vec::new();
    for (at, entry) in entries.iter_mut().enumerate() {
        if is_current(shared, version, entry) {
            continue;
        }
        if let Some(known) = entry.seen_as(version.stamp) {
            *entry = known;
            continue;
        }
        values.push(normal(shared, entry)?);
        waiting.push(at);
    }
    if waiting.is_empty() {
        return Ok(entries);
    }
    let converted = convert_others(server, shared, version, values).await?;
    for (at, value) in waiting.into_iter().zip(converted) {
        let entry = &mut entries[at];
        let raw = json::ordered(&value, json::Owned::ByText);
        let seen = Arc::new(Entry::new(entry.kind(), entry.key(), &raw, entry.rev(), entry.stored()));
        entry.see(version.stamp, Arc::clone(&seen));
        *entry = seen;
    }
    Ok(entries)
}

/// Converts what is of another version; what is of this one is only kept in its place.
async fn convert_others(
    server: &Server,
    shared: &Shared,
    version: &Version,
    mut values: Vec<Value>,
) -> Result<Vec<Value>, ApiError> {
    let is_other = |value: &Value| value["apiVersion"] != *version.api_version;
    let places: Vec<usize> = (0..values.len()).filter(|at| is_other(&values[*at])).collect();
    if places.is_empty() {
        return Ok(values);
    }
    let others = places.iter().map(|at| values[*at].take()).collect();
    for (at, value) in places.iter().zip(convert::convert(server, shared, version, others).await?) {
        values[*at] = value;
    }
    Ok(values)
}

/// Whether the stored bytes are what is seen.
fn is_current(shared: &Shared, version: &Version, entry: &Entry) -> bool {
    entry.stored() > shared.since && entry.is_of(&version.api_version)
}

/// The stored object, pruned and defaulted by the schema of the version that it is stored in.
fn normal(shared: &Shared, entry: &Entry) -> Result<Value, ApiError> {
    let mut value = entry.value();
    object::set_meta(&mut value, "resourceVersion", Value::Null);
    let of = value["apiVersion"].as_str().unwrap_or("");
    let Some(version) = shared.version(of) else {
        return Err(ApiError::Plain(format!("request to convert CR from an invalid group/version: {of}")));
    };
    version.shape.coerce(&mut value, Malformed::Drop).map_err(ApiError::Plain)?;
    version.shape.default(&mut value);
    Ok(value)
}
