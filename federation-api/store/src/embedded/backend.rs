//! The file below redb: remembers whether it was a write or a sync that failed, since what was not
//! synced may be lost without a further error, whereas a refused write (disk full) can be repeated.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

const NONE: u8 = 0;
const WRITE: u8 = 1;
const SYNC: u8 = 2;

/// What the file refused so far, and (in tests) what it shall refuse.
#[derive(Debug, Default)]
pub(super) struct Faults {
    seen: AtomicU8,
    inject: AtomicU8,
}

impl Faults {
    pub(super) fn sync_failed(&self) -> bool {
        self.seen.load(Ordering::Acquire) == SYNC
    }

    /// Every write is refused as if the disk were full, until `heal`.
    #[cfg(test)]
    pub(super) fn refuse_writes(&self) {
        self.inject.store(WRITE, Ordering::Release);
    }

    /// Every sync fails, until `heal`.
    #[cfg(test)]
    pub(super) fn refuse_syncs(&self) {
        self.inject.store(SYNC, Ordering::Release);
    }

    #[cfg(test)]
    pub(super) fn heal(&self) {
        self.inject.store(NONE, Ordering::Release);
    }

    fn check(&self, kind: u8) -> io::Result<()> {
        match self.inject.load(Ordering::Acquire) == kind && kind != NONE {
            true if kind == WRITE => Err(io::ErrorKind::StorageFull.into()),
            true => Err(io::Error::other("injected: sync failed")),
            false => Ok(()),
        }
    }

    fn note<T>(&self, kind: u8, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.seen.fetch_max(kind, Ordering::AcqRel);
        }
        result
    }
}

#[derive(Debug)]
pub(super) struct Backend {
    pub(super) file: FileBackend,
    pub(super) faults: Arc<Faults>,
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.faults.note(WRITE, self.faults.check(WRITE).and_then(|()| self.file.set_len(len)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.note(SYNC, self.faults.check(SYNC).and_then(|()| self.file.sync_data()))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.faults.note(WRITE, self.faults.check(WRITE).and_then(|()| self.file.write(offset, data)))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
