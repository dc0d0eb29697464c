//! Reading: one key, a page of keys now or in the recent past, a stretch of the log.
//! Works on one consistent view; it must not know how the view came about.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::database::{Tables, io};
use super::layout::{decode_cur, decode_entry, entry_key};
use crate::contract::{Event, Kv, Page, Rev, Snapshot, StoreError, WatchBatch};

/// Keys that have changed since the revision asked for, as they were then (none: absent then).
type Then = BTreeMap<Bytes, Option<Kv>>;

pub(super) fn get(tables: &Tables, key: &[u8]) -> Result<(Option<Kv>, Rev), StoreError> {
    let record = tables.cur.get(key).map_err(io)?;
    let kv = record.map(|record| decode_cur(key, record.value())).transpose()?;
    Ok((kv, tables.state.last))
}

pub(super) fn snapshot(tables: &Tables, prefix: &[u8], at: Option<Rev>, page: &Page) -> Result<Snapshot, StoreError> {
    let rev = at.unwrap_or(tables.state.last);
    known(tables, rev)?;
    let range = (start(prefix, page), end(prefix));
    let then = if rev < tables.state.last { then(tables, rev, &range)? } else { Then::new() };
    let mut then = then.into_iter().peekable();
    let mut kvs = Vec::new();
    let limit = page.limit.unwrap_or(usize::MAX);
    let bounds = (range.0.as_ref().map(Bytes::as_ref), range.1.as_ref().map(Bytes::as_ref));
    if is_empty(&range) || limit == 0 {
        return Ok(Snapshot { kvs, rev, more: limit == 0 && !is_empty(&range) });
    }
    for record in tables.cur.range::<&[u8]>(bounds).map_err(io)? {
        let (key, record) = record.map_err(io)?;
        let key = key.value();
        while let Some((_, kv)) = then.next_if(|(changed, _)| changed.as_ref() < key) {
            kvs.extend(kv);
        }
        match then.next_if(|(changed, _)| changed.as_ref() == key) {
            Some((_, kv)) => kvs.extend(kv),
            None => kvs.push(decode_cur(key, record.value())?),
        }
        if kvs.len() > limit {
            break;
        }
    }
    if kvs.len() <= limit {
        kvs.extend(then.filter_map(|(_, kv)| kv));
    }
    let more = kvs.len() > limit;
    kvs.truncate(limit);
    Ok(Snapshot { kvs, rev, more })
}

/// Whether `rev` is a moment that this store remembers.
pub(super) fn known(tables: &Tables, rev: Rev) -> Result<(), StoreError> {
    let state = &tables.state;
    if rev > state.last {
        return Err(StoreError::Future { asked: rev, current: state.last });
    }
    if rev < state.compacted {
        return Err(StoreError::Compacted { oldest: state.compacted });
    }
    if rev == state.last || rev == state.compacted {
        return Ok(());
    }
    // Between two known revisions lie only numbers that never were: they come from another life.
    match tables.log.range((rev, 0)..).map_err(io)?.next().transpose().map_err(io)? {
        Some((key, _)) if key.value().0 == rev => Ok(()),
        Some((key, _)) => Err(StoreError::Compacted { oldest: key.value().0 }),
        None => Err(StoreError::Compacted { oldest: state.last }),
    }
}

/// Undoes the log back to `rev`, for the keys in `range`.
fn then(tables: &Tables, rev: Rev, range: &(Bound<Bytes>, Bound<Bytes>)) -> Result<Then, StoreError> {
    let mut then = Then::new();
    for record in tables.log.range((rev + 1, 0)..).map_err(io)? {
        let (at, record) = record.map_err(io)?;
        let (at, record) = (at.value().0, record.value());
        let key = entry_key(record)?;
        if !std::ops::RangeBounds::<[u8]>::contains(
            &(range.0.as_ref().map(Bytes::as_ref), range.1.as_ref().map(Bytes::as_ref)),
            key,
        ) || then.contains_key(key)
        {
            continue;
        }
        match decode_entry(at, record)? {
            Some(Event::Put { kv, prev }) => then.insert(kv.key, prev),
            Some(Event::Del { key, prev, .. }) => then.insert(key, Some(prev)),
            None => None,
        };
    }
    Ok(then)
}

/// The revisions after `from` below `prefix`, until about `max_bytes` of log have been read; and the
/// revision up to which that is everything.
pub(super) fn log(
    tables: &Tables,
    prefix: &[u8],
    from: Rev,
    max_bytes: usize,
) -> Result<(Vec<WatchBatch>, Rev), StoreError> {
    if from < tables.state.compacted {
        return Err(StoreError::Compacted { oldest: tables.state.compacted });
    }
    let mut batches: Vec<WatchBatch> = Vec::new();
    let (mut bytes, mut seen) = (0, from);
    for record in tables.log.range((from.saturating_add(1), 0)..).map_err(io)? {
        let (at, record) = record.map_err(io)?;
        let (rev, record) = (at.value().0, record.value());
        if rev != seen && bytes > max_bytes {
            return Ok((batches, seen));
        }
        seen = rev;
        bytes += record.len();
        if !entry_key(record)?.starts_with(prefix) {
            continue;
        }
        let Some(event) = decode_entry(rev, record)? else { continue };
        match batches.last_mut() {
            Some(batch) if batch.rev == rev => batch.events.push(event),
            _ => batches.push(WatchBatch { rev, events: vec![event] }),
        }
    }
    Ok((batches, tables.state.last.max(from)))
}

fn start(prefix: &[u8], page: &Page) -> Bound<Bytes> {
    match &page.start_after {
        Some(after) if after.as_ref() >= prefix => Bound::Excluded(after.clone()),
        _ => Bound::Included(Bytes::copy_from_slice(prefix)),
    }
}

/// The first key after every key with `prefix`.
fn end(prefix: &[u8]) -> Bound<Bytes> {
    let Some(last) = prefix.iter().rposition(|byte| *byte != u8::MAX) else { return Bound::Unbounded };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Bound::Excluded(end.into())
}

fn is_empty(range: &(Bound<Bytes>, Bound<Bytes>)) -> bool {
    let (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to)) = range else { return false };
    from >= to
}
