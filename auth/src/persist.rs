//! Private keys on disk: readable by their owner only, and whole or not there at all.
//!
//! Knows files and modes, and nothing of what is in them.

use crate::x509::X509Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Longest key or certificate file that is read; a bundle of some hundred certificates fits.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The text of a file; `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<String>, X509Error> {
    let failed = |error| X509Error::Read(path.to_owned(), error);
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
            return Err(failed(io::Error::new(ErrorKind::FileTooLarge, "longer than 1 MiB")));
        }
        Ok(_) => {}
    }
    fs::read_to_string(path).map(Some).map_err(failed)
}

/// Puts `content` at `path` with mode 0600: a reader sees the old file or the new one, also after a crash.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), X509Error> {
    replace(path, content).map_err(|error| X509Error::Write(path.to_owned(), error))
}

/// Gives a file another name in its directory; after a crash it has one of the two.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), X509Error> {
    fs::rename(from, to).and_then(|()| sync_directory(to)).map_err(|error| X509Error::Write(to.to_owned(), error))
}

fn sync_directory(of: &Path) -> io::Result<()> {
    let dir = of.parent().ok_or_else(|| io::Error::other("a file needs a directory"))?;
    File::open(dir)?.sync_all()
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::other("a file needs a directory"))?;
    fs::create_dir_all(dir)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    // A leftover of a crash may have been made with other rights; the mode only counts for a file that is created.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_directory(path)
}

#[cfg(test)]
mod tests {
    use super::{read, write};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_are_private_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep").join("ca.key");
        assert!(read(&path).unwrap().is_none());
        write(&path, b"one").unwrap();
        std::fs::write(dir.path().join("deep").join("ca.key.new"), "torn").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("two"));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, vec![b'x'; 2 << 20]).unwrap();
        assert!(read(&path).is_err());
    }
}
