//! The contract between the API server and whatever keeps its bytes: the `Store` trait and its words.
//! It must not know how anything is kept; embedded and remote stores answer to the same tests.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use thiserror::Error;

/// A revision: one transaction of the whole store. Rises, never repeats; gaps are allowed.
pub type Rev = u64;

/// Longest key, in bytes: far above any path of names, small enough to live in a tree page.
pub const MAX_KEY_BYTES: usize = 4 * 1024;
/// Most operations in one transaction, so that one caller cannot hold up the commit path.
pub const MAX_TXN_OPS: usize = 1024;
/// Most bytes (keys and values) in one transaction; bounds what queues in memory.
pub const MAX_TXN_BYTES: usize = 16 * 1024 * 1024;

/// What must hold for a key before a transaction may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cond {
    /// The key does not exist.
    Absent,
    /// The key exists and was last changed by exactly this revision.
    ModRev(Rev),
    /// Anything: states an interest without a demand, so that callers need no second code path.
    Any,
}

/// One change of one key. A key appears at most once in a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Create or replace.
    Put { key: Bytes, val: Bytes },
    /// Remove; removing what is absent changes nothing and makes no event.
    Del { key: Bytes },
}

impl Op {
    /// The key that this operation changes.
    pub fn key(&self) -> &Bytes {
        match self {
            Op::Put { key, .. } | Op::Del { key } => key,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Op::Put { key, val } => key.len() + val.len(),
            Op::Del { key } => key.len(),
        }
    }
}

/// A key, its value, and the revisions that made and last changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kv {
    pub key: Bytes,
    pub val: Bytes,
    pub mod_rev: Rev,
    pub create_rev: Rev,
}

/// What one transaction did to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Created (`prev` is none) or replaced.
    Put { kv: Kv, prev: Option<Kv> },
    /// Removed by revision `rev`; `prev` is what was there.
    Del { key: Bytes, rev: Rev, prev: Kv },
}

impl Event {
    /// The key that changed.
    pub fn key(&self) -> &Bytes {
        match self {
            Event::Put { kv, .. } => &kv.key,
            Event::Del { key, .. } => key,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let of = |kv: &Kv| kv.key.len() + kv.val.len();
        match self {
            Event::Put { kv, prev } => of(kv) + prev.as_ref().map_or(0, of),
            Event::Del { prev, .. } => of(prev),
        }
    }
}

/// One revision, as a watcher sees it: its events below the watched prefix, in the transaction's order.
///
/// Without events it is progress: the watcher has seen everything up to and including `rev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchBatch {
    pub rev: Rev,
    pub events: Vec<Event>,
}

/// Which part of a snapshot to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Only keys after this one.
    pub start_after: Option<Bytes>,
    /// At most this many keys; none means all.
    pub limit: Option<usize>,
}

/// Keys below a prefix, in byte order, as they were at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub kvs: Vec<Kv>,
    /// The revision that this is true for.
    pub rev: Rev,
    /// Whether there are keys after the last one of this page.
    pub more: bool,
}

/// Why the store could not answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    #[error("{path} is in use by another process (its file lock is held)")]
    Locked { path: String },
    #[error("cannot open {path}: {detail}")]
    Open { path: String, detail: String },
    #[error("{path} has store format {found}; this version reads format {supported}")]
    Format { path: String, found: u32, supported: u32 },
    #[error("key of {length} bytes; a key has 1 to {MAX_KEY_BYTES} bytes")]
    KeyLength { length: usize },
    #[error("value of {length} bytes exceeds the limit of {limit} bytes")]
    ValueTooLarge { length: usize, limit: usize },
    #[error(
        "transaction of {ops} operations and {bytes} bytes exceeds the limit of {MAX_TXN_OPS} operations or {MAX_TXN_BYTES} bytes"
    )]
    TxnTooLarge { ops: usize, bytes: usize },
    #[error("key {key} is changed twice in one transaction")]
    DuplicateKey { key: String },
    #[error("revision is compacted; the oldest that can be read is {oldest}")]
    Compacted { oldest: Rev },
    #[error("revision {asked} is in the future; the store is at {current}")]
    Future { asked: Rev, current: Rev },
    /// The disk refused. A write that ended so was not acknowledged; whether it happened is known
    /// after the next successful read.
    #[error("store input/output failed: {detail}")]
    Io { detail: String },
    /// Nothing more is accepted until the process opens the store anew.
    #[error("store is broken and must be reopened: {detail}")]
    Broken { detail: String },
    #[error("store is closed")]
    Closed,
}

/// Why a transaction did not happen.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TxnError {
    /// A condition did not hold; `current` is the key as it was then.
    #[error("condition on key {} does not hold", printable(.key))]
    Failed { key: Bytes, current: Option<Kv> },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a watch ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WatchError {
    /// History after the cursor is gone: read a snapshot, then watch from its revision.
    #[error("revision is compacted; a watch can resume from {oldest} at the earliest")]
    Compacted { oldest: Rev },
    #[error(transparent)]
    Store(StoreError),
}

/// What a watch yields. After an error it ends.
pub type WatchStream = BoxStream<'static, Result<WatchBatch, WatchError>>;

/// Ordered keys to bytes with revisions. See the crate's page for what is promised.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The key's newest value, and the revision of the store at that moment.
    async fn get(&self, key: &[u8]) -> Result<(Option<Kv>, Rev), StoreError>;

    /// The keys below `prefix`, in byte order, as of revision `at` or now.
    ///
    /// # Errors
    /// `Compacted` when history does not reach back to `at`, `Future` when it has not happened yet.
    async fn snapshot(&self, prefix: &[u8], at: Option<Rev>, page: Page) -> Result<Snapshot, StoreError>;

    /// All of `ops`, durably, as one revision, if all of `conds` hold; otherwise nothing.
    ///
    /// Returns the revision of the change, or the store's current one if nothing changed (no
    /// operations, or only removals of absent keys).
    ///
    /// # Cancel safety
    /// Dropping the future does not take the transaction back: it may or may not happen.
    async fn txn(&self, conds: Vec<(Bytes, Cond)>, ops: Vec<Op>) -> Result<Rev, TxnError>;

    /// Everything that happens below `prefix` after revision `from`: first what has happened, then
    /// what happens. Revisions without a matching event are told as progress, several as one.
    fn watch(&self, prefix: &[u8], from: Rev) -> WatchStream;

    /// The newest durable revision; linearizable with acknowledged transactions.
    async fn current(&self) -> Result<Rev, StoreError>;

    /// The revision from which on history can be read.
    async fn oldest(&self) -> Result<Rev, StoreError>;

    /// Forgets history before `to`: afterwards snapshots and watches can start at `to` or later.
    async fn compact(&self, to: Rev) -> Result<(), StoreError>;
}

pub(crate) fn printable(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// Refuses what no store accepts, before it costs anything; returns the transaction's size in bytes.
pub(crate) fn validate(conds: &[(Bytes, Cond)], ops: &[Op], max_value: usize) -> Result<usize, StoreError> {
    for key in conds.iter().map(|(key, _)| key).chain(ops.iter().map(Op::key)) {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(StoreError::KeyLength { length: key.len() });
        }
    }
    for op in ops {
        if let Op::Put { val, .. } = op
            && val.len() > max_value
        {
            return Err(StoreError::ValueTooLarge { length: val.len(), limit: max_value });
        }
    }
    let bytes = ops.iter().map(Op::bytes).sum::<usize>() + conds.iter().map(|(key, _)| key.len()).sum::<usize>();
    if ops.len() + conds.len() > 2 * MAX_TXN_OPS || ops.len() > MAX_TXN_OPS || bytes > MAX_TXN_BYTES {
        return Err(StoreError::TxnTooLarge { ops: ops.len(), bytes });
    }
    let mut seen = std::collections::HashSet::with_capacity(if ops.len() > 1 { ops.len() } else { 0 });
    if ops.len() > 1
        && let Some(twice) = ops.iter().find(|op| !seen.insert(op.key()))
    {
        return Err(StoreError::DuplicateKey { key: printable(twice.key()) });
    }
    Ok(bytes)
}
