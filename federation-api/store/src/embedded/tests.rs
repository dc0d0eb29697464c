//! The embedded store on disks that fail: full, broken, and cut off from power.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redb::{BackendError, StorageBackend};

use super::database::Database;
use super::{Options, RedbStore};
use crate::contract::{Op, Page, Rev, Store, StoreError, TxnError};

fn put(name: &str, val: &str) -> Vec<Op> {
    vec![Op::Put { key: Bytes::copy_from_slice(name.as_bytes()), val: Bytes::copy_from_slice(val.as_bytes()) }]
}

/// Tries until the store takes it; it opens the file again by itself.
async fn insist(store: &RedbStore, ops: Vec<Op>) -> Rev {
    let patiently = async {
        loop {
            match store.txn(Vec::new(), ops.clone()).await {
                Ok(rev) => return rev,
                Err(TxnError::Store(StoreError::Io { .. })) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), patiently).await.expect("the store recovers")
}

#[tokio::test]
async fn a_full_disk_fails_writes_and_heals() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("db");
    let store = RedbStore::open(&path, Options::default()).expect("opens");
    let mut last = 0;
    for round in 0..5 {
        let kept = store.txn(Vec::new(), put("/kept", &round.to_string())).await.expect("room again");
        assert!(kept > last);
        store.shared.faults().refuse_writes();
        for _ in 0..3 {
            let refused = store.txn(Vec::new(), put("/lost", "1")).await;
            assert!(matches!(refused, Err(TxnError::Store(StoreError::Io { .. }))), "{refused:?}");
        }
        store.shared.faults().heal();
        last = insist(&store, put("/after", &round.to_string())).await;
        assert!(last > kept);
        assert_eq!(store.get(b"/lost").await.expect("reads").0, None);
        assert_eq!(store.get(b"/kept").await.expect("reads").0.expect("kept").mod_rev, kept);
        store.verify().await.expect("whole");
    }
    drop(store);
    let store = RedbStore::open(&path, Options::default()).expect("opens");
    assert_eq!(store.get(b"/after").await.expect("reads").0.expect("there").mod_rev, last);
}

#[tokio::test]
async fn a_full_disk_heals_without_a_write() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = RedbStore::open(dir.path().join("db"), Options::default()).expect("opens");
    let kept = store.txn(Vec::new(), put("/kept", "1")).await.expect("room");
    store.shared.faults().refuse_writes();
    assert!(store.txn(Vec::new(), put("/lost", "1")).await.is_err());
    store.shared.faults().heal();
    let patiently = async {
        loop {
            match store.get(b"/kept").await {
                Ok((kv, _)) => return kv.expect("kept").mod_rev,
                Err(StoreError::Io { .. }) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), patiently).await.expect("recovers"), kept);
}

#[tokio::test]
async fn a_failed_sync_is_final() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("db");
    let store = RedbStore::open(&path, Options::default()).expect("opens");
    let kept = store.txn(Vec::new(), put("/kept", "1")).await.expect("works");
    store.shared.faults().refuse_syncs();
    assert!(store.txn(Vec::new(), put("/a", "1")).await.is_err());
    store.shared.faults().heal();
    let refused = store.txn(Vec::new(), put("/a", "1")).await;
    assert!(matches!(refused, Err(TxnError::Store(StoreError::Broken { .. }))), "{refused:?}");
    assert!(matches!(store.current().await, Err(StoreError::Broken { .. })), "readiness can see it");
    assert!(matches!(store.get(b"/kept").await, Err(StoreError::Broken { .. })));
    drop(store);
    let store = RedbStore::open(&path, Options::default()).expect("opens");
    assert_eq!(store.get(b"/kept").await.expect("reads").0.expect("kept").mod_rev, kept);
}

/// A disk that remembers every operation, so that the power can be cut between any two afterwards.
#[derive(Debug, Clone, Default)]
struct Tape {
    disk: Arc<Mutex<Vec<u8>>>,
    steps: Arc<Mutex<Vec<Step>>>,
}

#[derive(Debug, Clone)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

impl Step {
    fn apply(&self, disk: &mut Vec<u8>) {
        match self {
            Step::Write(offset, bytes) => {
                let offset = *offset as usize;
                let end = offset + bytes.len();
                disk.resize(disk.len().max(end), 0);
                disk[offset..end].copy_from_slice(bytes);
            }
            Step::SetLen(length) => disk.resize(*length as usize, 0),
            Step::Sync => {}
        }
    }
}

impl Tape {
    fn with(disk: Vec<u8>) -> Self {
        Self { disk: Arc::new(Mutex::new(disk)), ..Self::default() }
    }

    fn step(&self, step: Step) {
        step.apply(&mut self.disk.lock().expect("no panics"));
        self.steps.lock().expect("no panics").push(step);
    }

    fn length(&self) -> usize {
        self.steps.lock().expect("no panics").len()
    }

    /// The disk after a power cut before step `cut`: what was synced, and of the rest any part.
    fn cut(&self, cut: usize, rng: &mut StdRng) -> Vec<u8> {
        let steps = self.steps.lock().expect("no panics");
        let synced = steps[..cut].iter().rposition(|step| matches!(step, Step::Sync)).map_or(0, |at| at + 1);
        let mut disk = Vec::new();
        steps[..synced].iter().for_each(|step| step.apply(&mut disk));
        for step in &steps[synced..cut] {
            // A file's length is metadata: journaled, so in order; writes reach the disk in any order.
            if matches!(step, Step::SetLen(_)) || rng.random_bool(0.5) {
                step.apply(&mut disk);
            }
        }
        disk
    }
}

impl StorageBackend for Tape {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().expect("no panics").len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.disk.lock().expect("no panics");
        let from = disk.get(offset as usize..offset as usize + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step(Step::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step(Step::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(Step::Write(offset, data.to_vec()));
        Ok(())
    }

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }
}

type Contents = BTreeMap<Bytes, (Bytes, Rev)>;

async fn contents(store: &RedbStore) -> Contents {
    let all = store.snapshot(b"", None, Page::default()).await.expect("reads");
    all.kvs.into_iter().map(|kv| (kv.key, (kv.val, kv.mod_rev))).collect()
}

#[tokio::test]
async fn every_acknowledged_write_survives_a_power_cut() {
    let seed = 20;
    let mut rng = StdRng::seed_from_u64(seed);
    let tape = Tape::default();
    let store = RedbStore::start(Database::custom(tape.clone()), Options::default()).expect("opens");
    // After this many steps of the disk, this much was acknowledged.
    let mut acknowledged = vec![(tape.length(), contents(&store).await)];
    for n in 0..120 {
        let slot = rng.random_range(0..12);
        let ops = match rng.random_ratio(1, 5) {
            true => vec![Op::Del { key: Bytes::from(format!("/{slot}")) }],
            false => put(&format!("/{slot}"), &format!("{n}{}", "x".repeat(rng.random_range(0..6000)))),
        };
        store.txn(Vec::new(), ops).await.expect("works");
        acknowledged.push((tape.length(), contents(&store).await));
    }
    for _ in 0..250 {
        let cut = rng.random_range(acknowledged[0].0..=tape.length());
        let disk = tape.cut(cut, &mut rng);
        let store =
            RedbStore::start(Database::custom(Tape::with(disk)), Options::default()).expect("opens after a power cut");
        store.verify().await.expect("whole");
        let found = contents(&store).await;
        let at = acknowledged.partition_point(|(steps, _)| *steps <= cut) - 1;
        let next = acknowledged.get(at + 1);
        assert!(
            found == acknowledged[at].1 || next.is_some_and(|(_, next)| found == *next),
            "seed {seed}: cut before step {cut}: neither the last acknowledged state nor the one under way"
        );
    }
}

#[test]
fn a_new_store_gets_its_name_when_it_is_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("db");
    std::fs::write(dir.path().join("db.new"), vec![0; 4096]).expect("what a process left that was killed");
    let opening = std::thread::spawn({
        let path = path.clone();
        move || RedbStore::open(path, Options::default()).map(drop)
    });
    let first = loop {
        match std::fs::read(&path) {
            Ok(bytes) => break bytes,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
        }
    };
    assert!(first.starts_with(b"redb"), "{} bytes without the mark of a database", first.len());
    opening.join().expect("opens").expect("opens");
    assert!(!dir.path().join("db.new").exists());
    RedbStore::open(&path, Options::default()).expect("opens again");
}

#[test]
fn a_path_that_cannot_be_a_store_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("db");
    std::fs::create_dir(&path).expect("a directory in its place");
    let refused = RedbStore::open(&path, Options::default()).map(drop).expect_err("refused").to_string();
    assert!(refused.contains("db"), "{refused}");
}
