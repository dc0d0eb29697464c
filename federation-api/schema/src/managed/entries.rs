//! The entries of `metadata.managedFields`: reading, identity, order, the cap, and writing.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::set::FieldSet;
use super::{ANCIENT, MAX_UPDATE_ENTRIES, Write};

/// How an entry came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    Apply,
    Update,
}

/// One owner and its fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'a> {
    pub manager: Cow<'a, str>,
    pub operation: Operation,
    pub api_version: Cow<'a, str>,
    /// RFC 3339; absent if the request said none.
    pub time: Option<Cow<'a, str>>,
    /// Empty for the main resource.
    pub subresource: Cow<'a, str>,
    pub set: FieldSet<'a>,
}

impl<'a> Entry<'a> {
    pub(crate) fn of(write: &Write<'a>, operation: Operation, set: FieldSet<'a>) -> Self {
        Entry {
            manager: Cow::Borrowed(write.manager()),
            operation,
            api_version: Cow::Borrowed(write.api_version),
            time: Some(Cow::Borrowed(write.now)),
            subresource: Cow::Borrowed(write.subresource),
            set,
        }
    }

    /// Manager, operation, subresource and, for updates, version.
    pub(crate) fn same_identity(&self, other: &Entry<'_>) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    pub(crate) fn identity(&self) -> (&str, Operation, &str, &str) {
        (&self.manager, self.operation, &self.api_version, &self.subresource)
    }

    /// As conflicts name it.
    pub(crate) fn describe(&self) -> String {
        let mut text = crate::field::quote::go_quote(&self.manager);
        if !self.subresource.is_empty() {
            text.push_str(" with subresource ");
            text.push_str(&crate::field::quote::go_quote(&self.subresource));
        }
        if self.operation == Operation::Update {
            text.push_str(" using ");
            text.push_str(&self.api_version);
        }
        text
    }

    fn order(&self) -> (Operation, &str, &str, &str, &str) {
        let time = self.time.as_deref().unwrap_or("");
        (self.operation, time, &self.manager, &self.api_version, &self.subresource)
    }
}

/// Reads `metadata.managedFields`; null is empty.
///
/// # Errors
/// What is wrong with an entry; texts as upstream's.
pub fn decode(entries: &Value) -> Result<Vec<Entry<'_>>, String> {
    let list = match entries {
        Value::Null => return Ok(Vec::new()),
        Value::Array(list) => list,
        _ => return Err("managedFields must be a list".to_owned()),
    };
    let mut decoded: Vec<Entry<'_>> = Vec::with_capacity(list.len());
    for (i, item) in list.iter().enumerate() {
        let entry = decode_entry(i, item)?;
        match decoded.iter_mut().find(|old| old.same_identity(&entry)) {
            Some(old) => *old = entry,
            None => decoded.push(entry),
        }
    }
    Ok(decoded)
}

fn decode_entry(i: usize, item: &Value) -> Result<Entry<'_>, String> {
    let Value::Object(map) = item else {
        return Err(format!("managed fields entry {i} is no object"));
    };
    let text = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or("");
    let operation = match text("operation") {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err("operation must be `Apply` or `Update`".to_owned()),
    };
    if text("apiVersion").is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    match text("fieldsType") {
        "FieldsV1" => {}
        "" => return Err(format!("missing fieldsType in managed fields entry {i}")),
        other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {i}")),
    }
    let fields = map.get("fieldsV1").unwrap_or(&Value::Null);
    Ok(Entry {
        manager: Cow::Borrowed(text("manager")),
        operation,
        api_version: Cow::Borrowed(text("apiVersion")),
        time: map.get("time").and_then(Value::as_str).map(Cow::Borrowed),
        subresource: Cow::Borrowed(text("subresource")),
        set: FieldSet::decode(fields).map_err(|e| format!("error decoding set in managed fields entry {i}: {e}"))?,
    })
}

/// Writes the entries in upstream's order: operation, time, manager, version, subresource.
pub fn encode(entries: &[Entry<'_>]) -> Value {
    let mut sorted: Vec<&Entry<'_>> = entries.iter().collect();
    sorted.sort_by(|a, b| a.order().cmp(&b.order()));
    Value::Array(sorted.into_iter().map(encode_entry).collect())
}

fn encode_entry(entry: &Entry<'_>) -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    let operation = match entry.operation {
        Operation::Apply => "Apply",
        Operation::Update => "Update",
    };
    let mut map = Map::new();
    map.insert("apiVersion".to_owned(), text(&entry.api_version));
    map.insert("fieldsType".to_owned(), text("FieldsV1"));
    map.insert("fieldsV1".to_owned(), entry.set.encode());
    if !entry.manager.is_empty() {
        map.insert("manager".to_owned(), text(&entry.manager));
    }
    map.insert("operation".to_owned(), text(operation));
    if !entry.subresource.is_empty() {
        map.insert("subresource".to_owned(), text(&entry.subresource));
    }
    if let Some(time) = &entry.time {
        map.insert("time".to_owned(), text(time));
    }
    Value::Object(map)
}

/// Merges the oldest Update entries of each version into one, until few enough are left.
pub(crate) fn cap(entries: &mut Vec<Entry<'_>>) {
    let mut count = entries.iter().filter(|entry| entry.operation == Operation::Update).count();
    if count <= MAX_UPDATE_ENTRIES {
        return;
    }
    entries.sort_by(|a, b| a.order().cmp(&b.order()));
    let first = entries.partition_point(|entry| entry.operation == Operation::Apply);
    let updates = entries.split_off(first);
    let mut kept: Vec<Entry<'_>> = Vec::with_capacity(updates.len());
    // The first entry of a version becomes the bucket as soon as there is a second.
    for entry in updates {
        let bucket = kept.iter_mut().find(|old| old.api_version == entry.api_version);
        match bucket {
            Some(bucket) if count > MAX_UPDATE_ENTRIES => {
                bucket.manager = Cow::Borrowed(ANCIENT);
                bucket.subresource = Cow::Borrowed("");
                bucket.set = bucket.set.union(&entry.set);
                bucket.time = entry.time;
                count -= 1;
            }
            _ => kept.push(entry),
        }
    }
    entries.append(&mut kept);
}
