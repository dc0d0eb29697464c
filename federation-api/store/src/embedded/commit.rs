//! The committer: the only writer. A batch of transactions becomes one durable redb commit, each
//! transaction a revision of its own. It must not know how transactions get here (see `writer`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redb::{ReadableTable, Table, WriteTransaction};
use tracing::{error, info, warn};

use super::database::{Database, Shared, io, read_state};
use super::layout::{CUR, LOG, META, STATE, State, decode_cur, encode_cur, encode_entry, encode_open, entry_time};
use super::options::{Durability, History, Options};
use crate::contract::{Cond, Event, Kv, Op, Rev, StoreError, TxnError, WatchBatch};

/// Old log records removed with every batch, beside as many as the batch adds: keeps a commit short.
const PRUNE_STEP: u64 = 64;

/// A validated transaction.
pub(super) struct Txn {
    pub(super) conds: Vec<(Bytes, Cond)>,
    pub(super) ops: Vec<Op>,
    /// Keys and values together.
    pub(super) bytes: usize,
}

pub(super) struct Committer {
    shared: Arc<Shared>,
    options: Options,
    state: State,
    /// Since when there is something that is not yet on disk (relaxed durability only).
    dirty: Option<Instant>,
}

impl Committer {
    /// Reads the counters, and goes on from `max(last + 1, microseconds since 1970)`.
    pub(super) fn open(database: Database, options: Options) -> Result<(Self, Arc<Shared>), StoreError> {
        let shared = Arc::new(Shared::new(database, 0, options.ring_bytes));
        let state = start(&shared, &options)?;
        shared.resume(state.last);
        info!(revision = state.last, log_entries = state.log_entries, log_bytes = state.log_bytes, "store open");
        Ok((Self { shared: Arc::clone(&shared), options, state, dirty: None }, shared))
    }

    /// Commits a batch; one result a transaction, in order.
    pub(super) fn commit(&mut self, batch: &[Txn]) -> Vec<Result<Rev, TxnError>> {
        match self.heal().and_then(|()| self.try_commit(batch)) {
            Ok(results) => results,
            Err(cause) => {
                let cause = self.fail(cause);
                batch.iter().map(|_| Err(TxnError::Store(cause.clone()))).collect()
            }
        }
    }

    fn try_commit(&mut self, batch: &[Txn]) -> Result<Vec<Result<Rev, TxnError>>, StoreError> {
        let redb = self.shared.handle()?;
        let relaxed = self.may_wait();
        let write = begin(&redb, relaxed)?;
        let at_ms = self.options.clock.micros() / 1000;
        let mut next = self.state;
        let mut told = Vec::with_capacity(batch.len());
        let mut results = Vec::with_capacity(batch.len());
        {
            let mut tables = Tables::open(&write)?;
            for txn in batch {
                results.push(tables.apply(txn, &mut next, &mut told, at_ms)?);
            }
            if !told.is_empty() {
                tables.prune(&mut next, &self.options.history, self.state.last, at_ms)?;
                tables.save(&next)?;
            }
        }
        if told.is_empty() {
            write.abort().map_err(io)?;
            return Ok(results);
        }
        write.commit().map_err(io)?;
        self.dirty = if relaxed { self.dirty.or_else(|| Some(Instant::now())) } else { None };
        self.state = next;
        self.shared.publish(told);
        Ok(results)
    }

    /// Whether the next commit may stay in memory for a while.
    fn may_wait(&self) -> bool {
        match self.options.durability {
            Durability::Immediate => false,
            Durability::Relaxed { flush_every } => self.dirty.is_none_or(|since| since.elapsed() < flush_every),
        }
    }

    /// Forgets history before `to`.
    pub(super) fn compact(&mut self, to: Rev) -> Result<(), StoreError> {
        self.heal().and_then(|()| self.try_compact(to)).map_err(|cause| match cause {
            StoreError::Future { .. } => cause,
            cause => self.fail(cause),
        })
    }

    fn try_compact(&mut self, to: Rev) -> Result<(), StoreError> {
        if to > self.state.last {
            return Err(StoreError::Future { asked: to, current: self.state.last });
        }
        if to <= self.state.compacted {
            return Ok(());
        }
        let redb = self.shared.handle()?;
        let write = begin(&redb, false)?;
        let mut next = State { compacted: to, ..self.state };
        {
            let mut tables = Tables::open(&write)?;
            let (mut entries, mut bytes) = (0, 0);
            tables
                .log
                .retain_in(..=(to, u32::MAX), |_, record| {
                    entries += 1;
                    bytes += record.len() as u64;
                    false
                })
                .map_err(io)?;
            next.log_entries = next.log_entries.saturating_sub(entries);
            next.log_bytes = next.log_bytes.saturating_sub(bytes);
            tables.save(&next)?;
        }
        write.commit().map_err(io)?;
        self.state = next;
        Ok(())
    }

    /// Puts on disk what relaxed durability has only in memory.
    pub(super) fn flush(&mut self) {
        if self.dirty.is_none() {
            return;
        }
        let flushed = self.shared.handle().and_then(|redb| {
            let write = redb.begin_write().map_err(io)?;
            write.commit().map_err(io)
        });
        match flushed {
            Ok(()) => self.dirty = None,
            Err(cause) => {
                self.fail(cause);
            }
        }
    }

    /// Nothing was asked for a while: does what is due.
    pub(super) fn tick(&mut self) {
        if self.is_down() {
            if let Err(cause) = self.heal() {
                warn!(error = %cause, "store cannot be opened again yet");
            }
        } else {
            self.flush();
        }
    }

    /// How often `flush` is due, if ever.
    pub(super) fn flush_every(&self) -> Option<Duration> {
        match self.options.durability {
            Durability::Immediate => None,
            Durability::Relaxed { flush_every } => Some(flush_every),
        }
    }

    /// Whether the file is waiting to be opened again.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.shared.ready(), Err(StoreError::Io { .. }))
    }

    /// Opens the file again if an earlier batch failed on it.
    pub(super) fn heal(&mut self) -> Result<(), StoreError> {
        match self.shared.ready() {
            Err(cause @ StoreError::Io { .. }) => self.reopen(&cause),
            other => other,
        }
    }

    fn fail(&mut self, cause: StoreError) -> StoreError {
        if matches!(cause, StoreError::Closed | StoreError::Broken { .. }) {
            return cause;
        }
        error!(error = %cause, "store write failed");
        match self.reopen(&cause) {
            Ok(()) => cause,
            Err(StoreError::Broken { detail }) => StoreError::Broken { detail },
            Err(again) => {
                warn!(error = %again, "store cannot be opened again yet");
                cause
            }
        }
    }

    /// The failed batch may or may not be on disk: the counters in the file decide.
    fn reopen(&mut self, cause: &StoreError) -> Result<(), StoreError> {
        let redb = self.shared.recover(cause)?;
        let view = redb::ReadableDatabase::begin_read(&*redb).map_err(io)?;
        let meta = view.open_table(META).map_err(io)?;
        let found =
            read_state(&meta)?.ok_or_else(|| StoreError::Broken { detail: "the counters are missing".to_owned() })?;
        self.dirty = None;
        self.state = found;
        self.shared.resume(found.last);
        info!(revision = found.last, "store open again");
        Ok(())
    }
}

fn begin(redb: &redb::Database, relaxed: bool) -> Result<WriteTransaction, StoreError> {
    let mut write = redb.begin_write().map_err(io)?;
    if relaxed {
        write.set_durability(redb::Durability::None).map_err(io)?;
    }
    Ok(write)
}

/// Creates the tables, checks the format, and takes the revision that this life starts from.
fn start(shared: &Shared, options: &Options) -> Result<State, StoreError> {
    let redb = shared.handle()?;
    let write = redb.begin_write().map_err(io)?;
    let now = options.clock.micros();
    let state = {
        let mut tables = Tables::open(&write)?;
        let mut state = read_state(&tables.meta)?.unwrap_or_default();
        state.last = state.last.saturating_add(1).max(now.saturating_sub(1));
        let record = encode_open(now / 1000);
        tables.log.insert((state.last, 0), record.as_slice()).map_err(io)?;
        state.log_entries += 1;
        state.log_bytes += record.len() as u64;
        tables.save(&state)?;
        state
    };
    write.commit().map_err(io)?;
    Ok(state)
}

/// The tables of one write.
struct Tables<'t> {
    cur: Table<'t, &'static [u8], &'static [u8]>,
    log: Table<'t, (u64, u32), &'static [u8]>,
    meta: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Tables<'t> {
    fn open(write: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            cur: write.open_table(CUR).map_err(io)?,
            log: write.open_table(LOG).map_err(io)?,
            meta: write.open_table(META).map_err(io)?,
        })
    }

    fn current(&self, key: &[u8]) -> Result<Option<Kv>, StoreError> {
        let record = self.cur.get(key).map_err(io)?;
        record.map(|record| decode_cur(key, record.value())).transpose()
    }

    /// One transaction on top of the ones before it in the batch.
    fn apply(
        &mut self,
        txn: &Txn,
        next: &mut State,
        told: &mut Vec<WatchBatch>,
        at_ms: u64,
    ) -> Result<Result<Rev, TxnError>, StoreError> {
        let mut known: Vec<(&Bytes, Option<Kv>)> = Vec::with_capacity(txn.conds.len());
        for (key, cond) in &txn.conds {
            let current = self.current(key)?;
            if !holds(*cond, current.as_ref()) {
                return Ok(Err(TxnError::Failed { key: key.clone(), current }));
            }
            known.push((key, current));
        }
        let rev = next.last + 1;
        let mut events = Vec::with_capacity(txn.ops.len());
        for op in &txn.ops {
            let prev = match known.iter().position(|(key, _)| *key == op.key()) {
                Some(at) => known.swap_remove(at).1,
                None => self.current(op.key())?,
            };
            if let Some(event) = self.change(op, prev, rev)? {
                let record = encode_entry(at_ms, &event);
                let index = u32::try_from(events.len()).expect("a transaction has at most MAX_TXN_OPS operations");
                self.log.insert((rev, index), record.as_slice()).map_err(io)?;
                next.log_entries += 1;
                next.log_bytes += record.len() as u64;
                events.push(event);
            }
        }
        if events.is_empty() {
            return Ok(Ok(next.last));
        }
        next.last = rev;
        told.push(WatchBatch { rev, events });
        Ok(Ok(rev))
    }

    fn change(&mut self, op: &Op, prev: Option<Kv>, rev: Rev) -> Result<Option<Event>, StoreError> {
        match op {
            Op::Put { key, val } => {
                let create_rev = prev.as_ref().map_or(rev, |prev| prev.create_rev);
                let kv = Kv { key: key.clone(), val: val.clone(), mod_rev: rev, create_rev };
                self.cur.insert(key.as_ref(), encode_cur(&kv).as_slice()).map_err(io)?;
                Ok(Some(Event::Put { kv, prev }))
            }
            Op::Del { key } => {
                let Some(prev) = prev else { return Ok(None) };
                self.cur.remove(key.as_ref()).map_err(io)?;
                Ok(Some(Event::Del { key: key.clone(), rev, prev }))
            }
        }
    }

    /// Removes the oldest whole revisions while a limit of the history is exceeded, but never any
    /// after `keep_after`, and not more than a few times what the batch added.
    fn prune(&mut self, next: &mut State, limits: &History, keep_after: Rev, now_ms: u64) -> Result<(), StoreError> {
        let added = next.last - keep_after;
        let mut budget = PRUNE_STEP.saturating_add(added.saturating_mul(2));
        let max_age_ms = u64::try_from(limits.max_age.as_millis()).unwrap_or(u64::MAX);
        let mut pruning = None;
        while let Some((rev, length, at_ms)) = self.oldest()? {
            let over = next.log_entries > limits.max_entries
                || next.log_bytes > limits.max_bytes
                || at_ms.saturating_add(max_age_ms) < now_ms;
            if pruning != Some(rev) && (rev > keep_after || !over || budget == 0) {
                break;
            }
            self.log.pop_first().map_err(io)?;
            next.log_entries -= 1;
            next.log_bytes -= length;
            next.compacted = rev;
            pruning = Some(rev);
            budget = budget.saturating_sub(1);
        }
        Ok(())
    }

    /// Revision, length and time of the oldest log record.
    fn oldest(&self) -> Result<Option<(Rev, u64, u64)>, StoreError> {
        let Some((key, record)) = self.log.first().map_err(io)? else { return Ok(None) };
        let record = record.value();
        Ok(Some((key.value().0, record.len() as u64, entry_time(record)?)))
    }

    fn save(&mut self, state: &State) -> Result<(), StoreError> {
        self.meta.insert(STATE, state.encode().as_slice()).map_err(io)?;
        Ok(())
    }
}

fn holds(cond: Cond, current: Option<&Kv>) -> bool {
    match cond {
        Cond::Any => true,
        Cond::Absent => current.is_none(),
        Cond::ModRev(rev) => current.is_some_and(|kv| kv.mod_rev == rev),
    }
}
