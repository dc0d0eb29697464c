//! How records look in the file: tables, and the bytes of `cur`, `log` and `meta` records.
//! Numbers are little-endian. Changing any of this changes `FORMAT`.

use bytes::Bytes;
use redb::TableDefinition;

use crate::contract::{Event, Kv, Rev, StoreError};

/// Generation of the layout; written once, checked at every open.
pub(super) const FORMAT: u32 = 1;

/// key → mod_rev, create_rev, value.
pub(super) const CUR: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("cur");
/// (revision, index in the transaction) → what happened to one key.
pub(super) const LOG: TableDefinition<'static, (u64, u32), &[u8]> = TableDefinition::new("log");
/// "state" → `State`.
pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const STATE: &str = "state";

const PUT: u8 = 0;
const DEL: u8 = 1;
const OPEN: u8 = 2;

/// The counters, written with every batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct State {
    /// The newest revision.
    pub(super) last: Rev,
    /// History can be read from this revision on.
    pub(super) compacted: Rev,
    pub(super) log_entries: u64,
    pub(super) log_bytes: u64,
}

impl State {
    pub(super) fn encode(&self) -> [u8; 36] {
        let mut out = [0; 36];
        out[..4].copy_from_slice(&FORMAT.to_le_bytes());
        for (slot, number) in [self.last, self.compacted, self.log_entries, self.log_bytes].into_iter().enumerate() {
            out[4 + slot * 8..12 + slot * 8].copy_from_slice(&number.to_le_bytes());
        }
        out
    }

    /// The format number and, if it is ours, the counters.
    pub(super) fn decode(bytes: &[u8]) -> Result<(u32, Option<Self>), StoreError> {
        let mut cut = Cut(bytes);
        let format = cut.u32()?;
        if format != FORMAT {
            return Ok((format, None));
        }
        let state = Self { last: cut.u64()?, compacted: cut.u64()?, log_entries: cut.u64()?, log_bytes: cut.u64()? };
        Ok((format, Some(state)))
    }
}

pub(super) fn encode_cur(kv: &Kv) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + kv.val.len());
    out.extend_from_slice(&kv.mod_rev.to_le_bytes());
    out.extend_from_slice(&kv.create_rev.to_le_bytes());
    out.extend_from_slice(&kv.val);
    out
}

pub(super) fn decode_cur(key: &[u8], record: &[u8]) -> Result<Kv, StoreError> {
    let mut cut = Cut(record);
    let (mod_rev, create_rev) = (cut.u64()?, cut.u64()?);
    Ok(Kv { key: Bytes::copy_from_slice(key), val: Bytes::copy_from_slice(cut.0), mod_rev, create_rev })
}

/// The log record of an open: the revision that the store went on from, with no event.
///
/// Revisions jump at an open. The record tells a revision that readers may have seen from one that
/// never was (a number from a later life of a file that has been restored from a backup).
pub(super) fn encode_open(at_ms: u64) -> Vec<u8> {
    let mut out = at_ms.to_le_bytes().to_vec();
    out.push(OPEN);
    put_bytes(&mut out, &[]);
    out
}

pub(super) fn encode_entry(at_ms: u64, event: &Event) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + event.bytes());
    out.extend_from_slice(&at_ms.to_le_bytes());
    let (kind, key, prev) = match event {
        Event::Put { kv, prev } => (PUT, &kv.key, prev.as_ref()),
        Event::Del { key, prev, .. } => (DEL, key, Some(prev)),
    };
    out.push(kind);
    put_bytes(&mut out, key);
    out.push(u8::from(prev.is_some()));
    if let Some(prev) = prev {
        out.extend_from_slice(&prev.mod_rev.to_le_bytes());
        out.extend_from_slice(&prev.create_rev.to_le_bytes());
        put_bytes(&mut out, &prev.val);
    }
    if let Event::Put { kv, .. } = event {
        out.extend_from_slice(&kv.create_rev.to_le_bytes());
        out.extend_from_slice(&kv.val);
    }
    out
}

/// The time of a log record, without the rest.
pub(super) fn entry_time(record: &[u8]) -> Result<u64, StoreError> {
    Cut(record).u64()
}

/// The key of a log record, without the rest; empty for an open.
pub(super) fn entry_key(record: &[u8]) -> Result<&[u8], StoreError> {
    let mut cut = Cut(record);
    cut.u64()?;
    cut.u8()?;
    cut.bytes()
}

/// What a log record says; none for an open.
pub(super) fn decode_entry(rev: Rev, record: &[u8]) -> Result<Option<Event>, StoreError> {
    let mut cut = Cut(record);
    cut.u64()?;
    let kind = cut.u8()?;
    let key = Bytes::copy_from_slice(cut.bytes()?);
    if kind == OPEN {
        return Ok(None);
    }
    let prev = match cut.u8()? {
        0 => None,
        _ => {
            let (mod_rev, create_rev) = (cut.u64()?, cut.u64()?);
            Some(Kv { key: key.clone(), mod_rev, create_rev, val: Bytes::copy_from_slice(cut.bytes()?) })
        }
    };
    match (kind, prev) {
        (PUT, prev) => {
            let create_rev = cut.u64()?;
            let kv = Kv { key, val: Bytes::copy_from_slice(cut.0), mod_rev: rev, create_rev };
            Ok(Some(Event::Put { kv, prev }))
        }
        (DEL, Some(prev)) => Ok(Some(Event::Del { key, rev, prev })),
        _ => Err(malformed()),
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("keys and values are bounded far below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

fn malformed() -> StoreError {
    StoreError::Broken { detail: "a record in the file is malformed".to_owned() }
}

/// The rest of a record that is being read.
struct Cut<'a>(&'a [u8]);

impl<'a> Cut<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], StoreError> {
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, StoreError> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32, StoreError> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| malformed())?))
    }

    fn u64(&mut self) -> Result<u64, StoreError> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| malformed())?))
    }

    fn bytes(&mut self) -> Result<&'a [u8], StoreError> {
        let length = self.u32()? as usize;
        self.take(length)
    }
}
