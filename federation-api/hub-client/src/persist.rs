//! A snapshot of objects on disk, so that a data plane serves its last state after a restart without the hub.
//!
//! Whole files only: written beside and renamed, so that a reader never sees half of one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::RngExt as _;
use serde_json::Value;

/// Nobody writes one file for longer: what is older was left by a process that ended in between.
const STALE: Duration = Duration::from_secs(60);

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
/// Several processes may write the same one at a time; the last to finish stays.
///
/// # Errors
/// If the file cannot be written; the old one then still stands.
pub fn save(path: &Path, snapshot: &Value) -> Result<(), PersistError> {
    let io = |source| PersistError::Io { path: path.display().to_string(), source };
    sweep(path);
    let beside = path.with_extension(format!("{:08x}.new", rand::rng().random::<u32>()));
    let bytes = serde_json::to_vec(snapshot)
        .map_err(|source| PersistError::Format { path: path.display().to_string(), source })?;
    let written = write(&beside, &bytes).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        remove(&beside);
    }
    written.map_err(io)
}

/// A new file, which nobody else writes to.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Removes what ended processes left beside `path`; younger files may be another process's.
fn sweep(path: &Path) {
    for beside in left_beside(path) {
        let modified = std::fs::metadata(&beside).and_then(|metadata| metadata.modified());
        if modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age >= STALE)) {
            remove(&beside);
        }
    }
}

/// Half-written files of this snapshot: `NAME.01234567.new`, and `NAME.new` of earlier versions.
fn left_beside(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(stem)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str())) else {
        return Vec::new();
    };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let is_ours = |name: &str| {
        let rest = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(".new"));
        rest.is_some_and(|rest| match rest.strip_prefix('.') {
            Some(suffix) => suffix.len() == 8 && suffix.bytes().all(|byte| byte.is_ascii_hexdigit()),
            None => rest.is_empty(),
        })
    };
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_str().is_some_and(is_ours)).map(|entry| entry.path()).collect()
}

fn remove(beside: &Path) {
    if let Err(error) = std::fs::remove_file(beside)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::debug!(%error, path = %beside.display(), "a half-written snapshot stays");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::SystemTime;

    use serde_json::json;

    use super::{PersistError, STALE, load, save};

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

    #[test]
    fn writers_do_not_meet_and_what_they_leave_half_written_goes() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ingress.snapshot");
        let large = "x".repeat(1 << 16);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (path, large) = (&path, &large);
                scope.spawn(move || (0..8).for_each(|_| save(path, &json!([writer, large])).expect("written")));
            }
        });
        assert_eq!(load(&path).expect("whole").expect("there")[1], json!(large));
        let old = SystemTime::now() - STALE;
        for (name, modified) in [
            ("ingress.new", old),
            ("ingress.0123abcd.new", old),
            ("ingress.4567abcd.new", SystemTime::now()),
            ("ingress.mine.new", old),
            ("dns.0123abcd.new", old),
        ] {
            let file = std::fs::File::create(dir.path().join(name)).expect("made");
            file.set_modified(modified).expect("set");
        }
        save(&path, &json!([])).expect("written");
        let left = std::fs::read_dir(dir.path()).expect("read").map(|entry| entry.expect("read").file_name());
        let left: BTreeSet<_> = left.map(|name| name.into_string().expect("text")).collect();
        let expected = ["dns.0123abcd.new", "ingress.4567abcd.new", "ingress.mine.new", "ingress.snapshot"];
        assert_eq!(left, expected.map(str::to_owned).into());
    }
}
