//! Records in a file, one a line; the file is turned over when it is large.
//!
//! One thread of its own: a slow disk holds up nobody but those who have to wait for their record.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::Waiting;

/// Where the log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    Stdout,
    File(PathBuf),
}

/// `--audit-log-*`.
#[derive(Debug, Clone)]
pub struct LogConfig {
    pub target: LogTarget,
    /// The file is turned over before it is larger than so many bytes.
    pub max_bytes: u64,
    /// Old files that are kept; 0 keeps all.
    pub max_backups: usize,
    /// Days that old files are kept; 0 for ever.
    pub max_age_days: u32,
}

/// The open end of the log.
struct Log {
    config: LogConfig,
    out: Out,
    written: u64,
}

enum Out {
    Stdout,
    File(File),
}

/// Opens the log and writes what comes until nobody can send any more.
///
/// # Errors
/// Where the file cannot be opened.
pub(super) fn spawn(
    config: LogConfig,
    mut queue: mpsc::Receiver<Waiting>,
    failed: Arc<AtomicU64>,
) -> std::io::Result<()> {
    let mut log = Log::open(config)?;
    std::thread::Builder::new().name("audit-log".to_owned()).spawn(move || {
        while let Some(waiting) = queue.blocking_recv() {
            if let Err(error) = log.write(&waiting.line) {
                failed.fetch_add(1, Relaxed);
                tracing::error!(%error, "an audit record could not be written");
            }
        }
    })?;
    Ok(())
}

impl Log {
    fn open(config: LogConfig) -> std::io::Result<Self> {
        let (out, written) = match &config.target {
            LogTarget::Stdout => (Out::Stdout, 0),
            LogTarget::File(path) => {
                let file = append(path)?;
                let written = file.metadata()?.len();
                (Out::File(file), written)
            }
        };
        Ok(Self { config, out, written })
    }

    fn write(&mut self, line: &[u8]) -> std::io::Result<()> {
        let more = line.len() as u64;
        if self.written > 0 && self.written + more > self.config.max_bytes {
            self.turn_over()?;
        }
        match &mut self.out {
            Out::Stdout => std::io::stdout().lock().write_all(line)?,
            Out::File(file) => file.write_all(line)?,
        }
        self.written += more;
        Ok(())
    }

    /// `audit.log` becomes `audit-TIME.log`, and old ones go.
    fn turn_over(&mut self) -> std::io::Result<()> {
        let LogTarget::File(path) = &self.config.target else { return Ok(()) };
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S.%6f").to_string();
        let (stem, extension) = parts(path);
        std::fs::rename(path, path.with_file_name(format!("{stem}-{time}{extension}")))?;
        self.out = Out::File(append(path)?);
        self.written = 0;
        self.remove_old(path)
    }

    fn remove_old(&self, path: &Path) -> std::io::Result<()> {
        let (stem, extension) = parts(path);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut old: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let found = entry?.path();
            let name = found.file_name().and_then(|name| name.to_str()).unwrap_or("");
            let time = name.strip_prefix(&format!("{stem}-")).and_then(|rest| rest.strip_suffix(extension.as_str()));
            // Only what this log has made: a name that begins with a year.
            if time.is_some_and(|time| time.len() == 26 && time.starts_with("20")) {
                old.push(found);
            }
        }
        // The time in the name orders them; the newest first.
        old.sort_unstable_by(|a, b| b.cmp(a));
        let max_age = Duration::from_secs(u64::from(self.config.max_age_days) * 86_400);
        let (backups, now) = (self.config.max_backups, SystemTime::now());
        for (at, file) in old.iter().enumerate() {
            let age = file.metadata()?.modified().ok().and_then(|then| now.duration_since(then).ok());
            let aged = !max_age.is_zero() && age.is_some_and(|age| age > max_age);
            if aged || (backups > 0 && at >= backups) {
                std::fs::remove_file(file)?;
            }
        }
        Ok(())
    }
}

/// Appends to a file that nobody else may read.
fn append(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn parts(path: &Path) -> (String, String) {
    let text =
        |part: Option<&std::ffi::OsStr>| part.map_or_else(String::new, |part| part.to_string_lossy().into_owned());
    let extension = text(path.extension());
    (text(path.file_stem()), if extension.is_empty() { extension } else { format!(".{extension}") })
}

#[cfg(test)]
mod tests {
    use super::{Log, LogConfig, LogTarget};

    #[test]
    fn a_large_log_is_turned_over_and_old_ones_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit.log");
        std::fs::write(dir.path().join("audit-mine.log"), "stays").expect("written");
        let target = LogTarget::File(path.clone());
        let mut log = Log::open(LogConfig { target, max_bytes: 10, max_backups: 2, max_age_days: 1 }).expect("opened");
        for at in 0..8 {
            log.write(format!("line {at}\n").as_bytes()).expect("written");
        }
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "line 7\n");
        let mut names: Vec<String> = std::fs::read_dir(dir.path())
            .expect("there")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names.len(), 4, "two old ones, the new one, and what is none of ours: {names:?}");
        assert!(names.contains(&"audit-mine.log".to_owned()));
    }
}
