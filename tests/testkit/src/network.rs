//! Pod networks of this machine: no two federations at once may have the same, also not in different processes.
//!
//! A lease is a locked file; it ends with its process, however that ends.

use std::fs::{File, TryLockError};

use crate::federation::MEMBERS_MAX;

/// Second octets that are given out: above those of `fedgate up`.
const FIRST: u8 = 120;
const BLOCKS: u8 = (255 - FIRST) / MEMBERS_MAX;

/// The networks 127.N.0.0/16 from `first` on, for [`MEMBERS_MAX`] members.
pub struct Lease {
    pub first: u8,
    _held: File,
}

/// Takes free networks.
///
/// # Panics
/// Where all are taken, or no lock file can be made.
#[must_use]
pub fn lease() -> Lease {
    let dir = std::env::temp_dir().join("fedgate-testkit");
    std::fs::create_dir_all(&dir).expect("the temporary directory can be written");
    for block in 0..BLOCKS {
        let file = File::create(dir.join(format!("network-{block}.lock"))).expect("a lock file can be made");
        match file.try_lock() {
            Ok(()) => return Lease { first: FIRST + block * MEMBERS_MAX, _held: file },
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => panic!("cannot lock in {}: {e}", dir.display()),
        }
    }
    panic!("{BLOCKS} federations run on this machine already");
}
