//! The open redb database, shared by the committer and the readers, and what happens when it fails.
//! It must not know what a transaction is.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{DatabaseError, ReadOnlyTable, ReadableDatabase, StorageBackend as _};
use tokio::sync::watch;

use super::backend::{Backend, Faults};
use super::layout::{CUR, FORMAT, LOG, META, STATE, State};
use super::ring::Ring;
use crate::contract::{Rev, StoreError, WatchBatch};

/// How long a failed file waits for reads in flight before it is given up. Reads are short.
const DRAIN: Duration = Duration::from_secs(10);

/// A database and the way to open it again.
pub(super) struct Database {
    place: Place,
    redb: redb::Database,
}

#[derive(Clone)]
enum Place {
    Memory,
    File { path: PathBuf, cache_bytes: usize, faults: Arc<Faults> },
}

impl Database {
    pub(super) fn memory(cache_bytes: usize) -> Result<Self, StoreError> {
        let redb = redb::Database::builder()
            .set_cache_size(cache_bytes)
            .create_with_backend(InMemoryBackend::new())
            .map_err(|error| open_error(Path::new("memory"), error))?;
        Ok(Self { place: Place::Memory, redb })
    }

    pub(super) fn file(path: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        let place = Place::File { path: path.to_owned(), cache_bytes, faults: Arc::default() };
        let redb = match path.try_exists() {
            Ok(false) => place.create()?,
            _ => None,
        };
        Ok(Self { redb: redb.map_or_else(|| place.open(), Ok)?, place })
    }

    /// On a disk of the test's own.
    #[cfg(test)]
    pub(super) fn custom(backend: impl redb::StorageBackend) -> Self {
        let redb = redb::Database::builder().create_with_backend(backend).expect("the disk opens");
        Self { place: Place::Memory, redb }
    }

    pub(super) fn in_memory(&self) -> bool {
        matches!(self.place, Place::Memory)
    }
}

impl Place {
    /// Opens a file that is there: one that has vanished is an error, never an empty store.
    fn open(&self) -> Result<redb::Database, StoreError> {
        let Place::File { path, .. } = self else {
            return Err(StoreError::Broken { detail: "memory cannot be opened again".to_owned() });
        };
        let file = OpenOptions::new().read(true).write(true).open(path);
        self.database(self.locked(file)?)
    }

    /// Makes the file under another name and gives it its own when it is whole: redb does not open one whose making
    /// was cut off. None where somebody else was faster.
    fn create(&self) -> Result<Option<redb::Database>, StoreError> {
        let Place::File { path, .. } = self else { return Ok(None) };
        let failed = |error: std::io::Error| open_error(path, error.into());
        let mut unborn = path.as_os_str().to_owned();
        unborn.push(".new");
        let unborn = PathBuf::from(unborn);
        let backend = self.locked(private_file(&unborn))?;
        // Only who holds the lock may rename, so from here on it is there or it is ours to make.
        if path.try_exists().map_err(failed)? {
            return Ok(None);
        }
        backend.set_len(0).map_err(failed)?;
        let redb = self.database(backend)?;
        std::fs::rename(&unborn, path).map_err(failed)?;
        // The file's own name must survive a crash too.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|directory| directory.sync_all()).map_err(failed)?;
        Ok(Some(redb))
    }

    fn locked(&self, file: std::io::Result<File>) -> Result<Backend, StoreError> {
        let Place::File { path, faults, .. } = self else {
            return Err(StoreError::Broken { detail: "memory has no file".to_owned() });
        };
        let file = file.map_err(|error| open_error(path, error.into()))?;
        let file = FileBackend::new(file).map_err(|error| open_error(path, error))?;
        Ok(Backend { file, faults: Arc::clone(faults) })
    }

    fn database(&self, backend: Backend) -> Result<redb::Database, StoreError> {
        let Place::File { path, cache_bytes, .. } = self else {
            return Err(StoreError::Broken { detail: "memory has no file".to_owned() });
        };
        redb::Database::builder()
            .set_cache_size(*cache_bytes)
            .create_with_backend(backend)
            .map_err(|error| open_error(path, error))
    }
}

/// Opens or creates a file that only its owner can read: it holds secrets.
fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn open_error(path: &Path, error: DatabaseError) -> StoreError {
    let path = path.display().to_string();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => StoreError::Locked { path },
        other => StoreError::Open { path, detail: other.to_string() },
    }
}

/// What the committer, the readers and the watchers share.
pub(super) struct Shared {
    place: Place,
    /// The open database, or why there is none. Guards nothing but the swap of the two.
    redb: Mutex<Result<Arc<redb::Database>, StoreError>>,
    /// The newest revisions. Held for pushes and for copying a few references.
    pub(super) ring: Mutex<Ring>,
    /// The newest durable revision.
    pub(super) committed: watch::Sender<Rev>,
}

/// One consistent view of the database.
pub(super) struct Tables {
    pub(super) cur: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub(super) log: ReadOnlyTable<(u64, u32), &'static [u8]>,
    pub(super) state: State,
}

impl Shared {
    pub(super) fn new(database: Database, last: Rev, ring_bytes: usize) -> Self {
        Self {
            place: database.place,
            redb: Mutex::new(Ok(Arc::new(database.redb))),
            ring: Mutex::new(Ring::new(last, ring_bytes)),
            committed: watch::Sender::new(last),
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Result<Arc<redb::Database>, StoreError>> {
        self.redb.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn handle(&self) -> Result<Arc<redb::Database>, StoreError> {
        self.slot().clone()
    }

    /// Whether the store answers at all.
    pub(super) fn ready(&self) -> Result<(), StoreError> {
        self.slot().as_ref().map(|_| ()).map_err(Clone::clone)
    }

    /// Runs `work` on a consistent view, off the async threads unless everything is in memory.
    pub(super) async fn read<T, W>(self: &Arc<Self>, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Tables) -> Result<T, StoreError> + Send + 'static,
    {
        if matches!(self.place, Place::Memory) {
            return self.read_here(work);
        }
        let shared = Arc::clone(self);
        tokio::task::spawn_blocking(move || shared.read_here(work))
            .await
            .map_err(|error| StoreError::Io { detail: error.to_string() })?
    }

    fn read_here<T>(&self, work: impl FnOnce(&Tables) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let redb = self.handle()?;
        let view = redb.begin_read().map_err(io)?;
        let meta = view.open_table(META).map_err(io)?;
        let state =
            read_state(&meta)?.ok_or_else(|| StoreError::Broken { detail: "the counters are missing".to_owned() })?;
        let tables = Tables { cur: view.open_table(CUR).map_err(io)?, log: view.open_table(LOG).map_err(io)?, state };
        work(&tables)
    }

    /// Makes durable revisions visible to watchers, then to everybody who asks for the newest.
    pub(super) fn publish(&self, batches: Vec<WatchBatch>) {
        let Some(last) = batches.last().map(|batch| batch.rev) else { return };
        {
            let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            batches.into_iter().for_each(|batch| ring.push(batch));
        }
        self.committed.send_replace(last);
    }

    /// After a recovery: whatever the file says is what happened.
    pub(super) fn resume(&self, last: Rev) {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).reset(last);
        self.committed.send_replace(last);
    }

    /// Ends everything; readers in flight finish first.
    pub(super) fn close(&self) {
        self.shut(StoreError::Closed);
        // Wakes watchers, so that they end instead of waiting for a revision that will not come.
        self.committed.send_modify(|_| ());
    }

    fn shut(&self, why: StoreError) -> bool {
        let old = std::mem::replace(&mut *self.slot(), Err(why));
        let Ok(redb) = old else { return true };
        let in_flight = Arc::downgrade(&redb);
        drop(redb);
        let since = Instant::now();
        while in_flight.strong_count() > 0 {
            if since.elapsed() > DRAIN {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// After a failed write. A refused write (disk full) is repaired by opening the file again,
    /// which goes back to the last durable batch. A failed sync is final: the kernel may have
    /// dropped what it could not write, and later syncs would not say so.
    pub(super) fn recover(&self, cause: &StoreError) -> Result<Arc<redb::Database>, StoreError> {
        let Place::File { faults, .. } = &self.place else {
            return self.break_down(cause.to_string());
        };
        if faults.sync_failed() {
            return self.break_down(cause.to_string());
        }
        if !self.shut(cause.clone()) {
            return self.break_down("reads in flight do not end".to_owned());
        }
        let redb = self.place.open().map_err(|error| StoreError::Io { detail: error.to_string() })?;
        let redb = Arc::new(redb);
        *self.slot() = Ok(Arc::clone(&redb));
        Ok(redb)
    }

    fn break_down<T>(&self, detail: String) -> Result<T, StoreError> {
        let broken = StoreError::Broken { detail };
        *self.slot() = Err(broken.clone());
        self.committed.send_modify(|_| ());
        Err(broken)
    }

    #[cfg(test)]
    pub(super) fn faults(&self) -> &Faults {
        match &self.place {
            Place::File { faults, .. } => faults,
            Place::Memory => panic!("memory has no faults"),
        }
    }
}

/// The counters, if the file has any yet.
pub(super) fn read_state(
    meta: &impl redb::ReadableTable<&'static str, &'static [u8]>,
) -> Result<Option<State>, StoreError> {
    let Some(record) = meta.get(STATE).map_err(io)? else { return Ok(None) };
    match State::decode(record.value())? {
        (_, Some(state)) => Ok(Some(state)),
        (found, None) => Err(StoreError::Format { path: "the store".to_owned(), found, supported: FORMAT }),
    }
}

/// What redb says, in the store's words.
pub(super) fn io(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Io { detail: error.into().to_string() }
}
