//! Reads the whole file and compares its parts. For tests, and for operators who doubt.

use std::collections::HashMap;

use bytes::Bytes;
use redb::ReadableTable;

use super::database::{Tables, io};
use super::layout::{decode_cur, decode_entry};
use crate::contract::{Event, Kv, Rev, StoreError, printable};

/// What a verification has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    pub keys: u64,
    pub log_entries: u64,
    pub last: Rev,
    pub compacted: Rev,
}

pub(super) fn verify(tables: &Tables) -> Result<Verified, StoreError> {
    let state = &tables.state;
    let newest = verify_log(tables)?;
    let mut keys = 0;
    for record in tables.cur.iter().map_err(io)? {
        let (key, record) = record.map_err(io)?;
        let kv = decode_cur(key.value(), record.value())?;
        if kv.create_rev > kv.mod_rev || kv.mod_rev > state.last {
            return broken(format!("key {} has impossible revisions", printable(&kv.key)));
        }
        match newest.get(&kv.key) {
            Some(Some(logged)) if *logged != kv => {
                return broken(format!("key {} is not as its log says", printable(&kv.key)));
            }
            Some(None) => return broken(format!("key {} is there but its log says removed", printable(&kv.key))),
            None if kv.mod_rev > state.compacted => return broken(format!("key {} has no log", printable(&kv.key))),
            _ => {}
        }
        keys += 1;
    }
    for (key, logged) in &newest {
        if logged.is_some() && tables.cur.get(key.as_ref()).map_err(io)?.is_none() {
            return broken(format!("key {} is logged but missing", printable(key)));
        }
    }
    Ok(Verified { keys, log_entries: state.log_entries, last: state.last, compacted: state.compacted })
}

/// Replays the log; returns how it leaves every key that it mentions.
fn verify_log(tables: &Tables) -> Result<HashMap<Bytes, Option<Kv>>, StoreError> {
    let state = &tables.state;
    let mut newest: HashMap<Bytes, Option<Kv>> = HashMap::new();
    let (mut entries, mut bytes) = (0, 0);
    for record in tables.log.iter().map_err(io)? {
        let (at, record) = record.map_err(io)?;
        let (rev, record) = (at.value().0, record.value());
        entries += 1;
        bytes += record.len() as u64;
        if rev > state.last || rev <= state.compacted && state.compacted != 0 {
            return broken(format!("log has revision {rev} outside of {} to {}", state.compacted, state.last));
        }
        let (key, prev, next) = match decode_entry(rev, record)? {
            None => continue,
            Some(Event::Put { kv, prev }) => (kv.key.clone(), prev, Some(kv)),
            Some(Event::Del { key, prev, .. }) => (key, Some(prev), None),
        };
        if newest.get(&key).is_some_and(|before| *before != prev) {
            return broken(format!("the log of key {} has a gap before revision {rev}", printable(&key)));
        }
        newest.insert(key, next);
    }
    if (entries, bytes) != (state.log_entries, state.log_bytes) {
        return broken(format!(
            "log has {entries} entries, {bytes} bytes; counted {} and {}",
            state.log_entries, state.log_bytes
        ));
    }
    Ok(newest)
}

fn broken<T>(detail: String) -> Result<T, StoreError> {
    Err(StoreError::Broken { detail })
}
