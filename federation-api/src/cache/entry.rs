//! One object as the cache keeps it: a key, its revisions, and one buffer that is at once its JSON and its watch frame.
//!
//! Nothing is parsed that no one asks for: labels and fields are read out of the bytes on demand.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use crate::json;

/// What an event tells, as it is written on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Added,
    Modified,
    Deleted,
}

/// An object at one revision. Its buffer reads `{"type":"ADDED","object":` JSON `}` newline.
#[derive(Debug)]
pub struct Entry {
    key: Box<str>,
    rev: u64,
    stored: u64,
    frame: Bytes,
    kind: EventKind,
    /// Where, within the JSON, the part behind `apiVersion` and `kind` begins.
    rest: u32,
    /// The same object as another version shows it, with the number of that version: made by who asked last.
    seen: ArcSwapOption<(u64, Arc<Entry>)>,
}

impl EventKind {
    /// `ADDED`, `MODIFIED` or `DELETED`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }

    pub(crate) fn prefix(self) -> &'static [u8] {
        match self {
            Self::Added => br#"{"type":"ADDED","object":"#,
            Self::Modified => br#"{"type":"MODIFIED","object":"#,
            Self::Deleted => br#"{"type":"DELETED","object":"#,
        }
    }
}

/// What follows the object in a frame.
pub(crate) const FRAME_END: &[u8] = b"}\n";

impl Entry {
    /// Builds an entry from `raw`: the object's JSON, best canonical, **without** metadata.resourceVersion.
    ///
    /// `stored` is the store's revision of it (0 where it is not stored), `rev` the one that clients see.
    #[must_use]
    pub fn new(kind: EventKind, key: &str, raw: &[u8], rev: u64, stored: u64) -> Self {
        let prefix = kind.prefix();
        let mut frame = Vec::with_capacity(prefix.len() + raw.len() + FRAME_END.len() + 44);
        frame.extend_from_slice(prefix);
        splice_revision(&mut frame, raw, rev);
        frame.extend_from_slice(FRAME_END);
        frame.shrink_to_fit();
        let rest = rest_offset(&frame[prefix.len()..]);
        Self { key: key.into(), rev, stored, frame: Bytes::from(frame), kind, rest, seen: ArcSwapOption::empty() }
    }

    /// The object as the version of that number shows it, if that was asked for last.
    pub(crate) fn seen_as(&self, stamp: u64) -> Option<Arc<Self>> {
        let seen = self.seen.load();
        seen.as_ref().filter(|seen| seen.0 == stamp).map(|seen| Arc::clone(&seen.1))
    }

    /// Remembers how the version of that number shows the object.
    pub(crate) fn see(&self, stamp: u64, seen: Arc<Self>) {
        self.seen.store(Some(Arc::new((stamp, seen))));
    }

    /// Whether the JSON says that this is its `apiVersion`; false where it is not canonical.
    pub(crate) fn is_of(&self, api_version: &str) -> bool {
        let rest = self.bytes().strip_prefix(br#"{"apiVersion":""#);
        let rest = rest.and_then(|rest| rest.strip_prefix(api_version.as_bytes()));
        rest.is_some_and(|rest| rest.starts_with(b"\""))
    }

    /// The same object as the event of its deletion at `rev`.
    #[must_use]
    pub fn tombstone(&self, rev: u64, stored: u64) -> Self {
        Self::new(EventKind::Deleted, &self.key, &self.without_revision(), rev, stored)
    }

    /// `namespace/name`, or `name` where the kind has no namespaces.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Empty for cluster-scoped kinds.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.key.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        self.key.split_once('/').map_or(&*self.key, |(_, name)| name)
    }

    /// The resourceVersion that clients see.
    #[must_use]
    pub fn rev(&self) -> u64 {
        self.rev
    }

    /// The store's revision, for compare-and-swap; 0 where the object is not stored.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// The object's JSON, resourceVersion included.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.frame.slice(self.kind.prefix().len()..self.frame.len() - FRAME_END.len())
    }

    /// As [`Entry::json`], borrowed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.frame[self.kind.prefix().len()..self.frame.len() - FRAME_END.len()]
    }

    /// What follows `apiVersion` and `kind` in the JSON, up to and with the closing brace; for list
    /// items that carry no type. `None` where the JSON is not canonical.
    #[must_use]
    pub fn untyped(&self) -> Option<&[u8]> {
        (self.rest > 0).then(|| &self.bytes()[self.rest as usize..])
    }

    /// The frame of this entry's own event; shared, not copied.
    #[must_use]
    pub fn frame(&self) -> Bytes {
        self.frame.clone()
    }

    /// What this entry's own frame says.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// Appends a frame of another kind to `out`.
    pub fn write_frame(&self, kind: EventKind, out: &mut Vec<u8>) {
        out.extend_from_slice(kind.prefix());
        out.extend_from_slice(self.bytes());
        out.extend_from_slice(FRAME_END);
    }

    /// The raw JSON of one field.
    #[must_use]
    pub fn field(&self, path: &[&str]) -> Option<&[u8]> {
        json::find(self.bytes(), path)
    }

    /// One field that is a string.
    #[must_use]
    pub fn text(&self, path: &[&str]) -> Option<String> {
        json::find_str(self.bytes(), path)
    }

    /// The object as a tree; costs a parse.
    ///
    /// # Panics
    /// Never for what this server wrote: it is valid JSON.
    #[must_use]
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_slice(self.bytes()).expect("the cache holds valid JSON")
    }

    /// Bytes that this entry keeps alive.
    #[must_use]
    pub fn size(&self) -> usize {
        self.frame.len() + self.key.len() + std::mem::size_of::<Self>()
    }

    pub(crate) fn without_revision(&self) -> Vec<u8> {
        let json = self.bytes();
        let mut out = Vec::with_capacity(json.len());
        let written = revision_text(self.rev);
        match metadata_start(json) {
            Some(at) if json[at..].starts_with(written.as_bytes()) => {
                let mut tail = at + written.len();
                if json.get(tail) == Some(&b',') {
                    tail += 1;
                }
                out.extend_from_slice(&json[..at]);
                out.extend_from_slice(&json[tail..]);
            }
            _ => out.extend_from_slice(json),
        }
        out
    }
}

fn revision_text(rev: u64) -> String {
    format!("\"resourceVersion\":\"{rev}\"")
}

/// Writes `raw` with `rev` as the first field of its metadata.
pub(crate) fn splice_revision(out: &mut Vec<u8>, raw: &[u8], rev: u64) {
    let Some(at) = metadata_start(raw) else {
        out.extend_from_slice(raw);
        return;
    };
    out.extend_from_slice(&raw[..at]);
    out.extend_from_slice(revision_text(rev).as_bytes());
    if raw.get(at) != Some(&b'}') {
        out.push(b',');
    }
    out.extend_from_slice(&raw[at..]);
}

/// Just behind the brace that opens the metadata.
fn metadata_start(json: &[u8]) -> Option<usize> {
    let metadata = json::member(json, 0..json.len(), "metadata")?;
    (json.get(metadata.start) == Some(&b'{')).then_some(metadata.start + 1)
}

fn rest_offset(json: &[u8]) -> u32 {
    let all = 0..json.len();
    let canonical = json.starts_with(br#"{"apiVersion":""#);
    let kind = if canonical { json::member(json, all, "kind") } else { None };
    match kind {
        Some(kind) if json.get(kind.end) == Some(&b',') => u32::try_from(kind.end + 1).unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, EventKind};

    #[test]
    fn one_buffer_is_json_and_frame() {
        let raw = br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"metadata":"{"}}"#;
        let entry = Entry::new(EventKind::Added, "ns/x", raw, 7, 7);
        let json = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"resourceVersion":"7","name":"x"},"data":{"metadata":"{"}}"#;
        assert_eq!(entry.bytes(), json.as_bytes());
        assert_eq!(entry.frame(), format!("{{\"type\":\"ADDED\",\"object\":{json}}}\n"));
        assert_eq!(entry.untyped().map(|b| &b[..11]), Some(&br#""metadata":"#[..]));
        assert_eq!((entry.namespace(), entry.name()), ("ns", "x"));

        let gone = entry.tombstone(9, 9);
        assert_eq!(gone.text(&["metadata", "resourceVersion"]).as_deref(), Some("9"));
        assert_eq!(gone.text(&["metadata", "name"]).as_deref(), Some("x"));
        assert!(gone.frame().starts_with(b"{\"type\":\"DELETED\""));
    }

    #[test]
    fn empty_metadata_stays_valid() {
        let entry = Entry::new(EventKind::Modified, "x", br#"{"metadata":{}}"#, 3, 3);
        assert_eq!(entry.bytes(), br#"{"metadata":{"resourceVersion":"3"}}"#);
        assert_eq!(entry.tombstone(4, 4).bytes(), br#"{"metadata":{"resourceVersion":"4"}}"#);
        assert_eq!(entry.untyped(), None);
    }
}
