//! A snapshot of objects on disk, so that a data plane serves its last state after a restart without the hub.
//!
//! Whole files only: written beside and renamed, so that a reader never sees half of one.

use std::io::Write as _;
use std::path::Path;

use serde_json::Value;

/// Why a snapshot could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PersistError {
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
    #[error("{path} is no snapshot: {source}")]
    Format { path: String, source: serde_json::Error },
}

/// Reads a snapshot; `None` where there is no file.
///
/// # Errors
/// If the file is there and cannot be read as a snapshot.
pub fn load(path: &Path) -> Result<Option<Value>, PersistError> {
    let io = |source| PersistError::Io { path: path.display().to_string(), source };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|source| PersistError::Format { path: path.display().to_string(), source })
}

/// Writes a snapshot, readable by the owner only: it may hold private keys of routes.
///
/// # Errors
/// If the file cannot be written; the old one then still stands.
pub fn save(path: &Path, snapshot: &Value) -> Result<(), PersistError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let io = |source| PersistError::Io { path: path.display().to_string(), source };
    let beside = path.with_extension("new");
    let bytes = serde_json::to_vec(snapshot)
        .map_err(|source| PersistError::Format { path: path.display().to_string(), source })?;
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(io)?;
    file.write_all(&bytes).map_err(io)?;
    file.sync_all().map_err(io)?;
    std::fs::rename(&beside, path).map_err(io)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{PersistError, load, save};

    #[test]
    fn a_snapshot_comes_back_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("routes.json");
        assert!(load(&path).expect("no file is fine").is_none());
        save(&path, &json!({"a": [1]})).expect("written");
        assert_eq!(load(&path).expect("read"), Some(json!({"a": [1]})));
        std::fs::write(&path, b"{\"a\":").expect("written");
        assert!(matches!(load(&path), Err(PersistError::Format { .. })));
    }
}
