//! The one thread that writes the log: takes what the workers left and writes many lines at once.
//!
//! It may be as slow as whoever reads the log; nobody waits for it but the end of the process, and that not for long.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Journal, Shared};
use crate::config::LogTarget;

/// How long lines gather before they are written: 50 writes a second at most, unless there is much to write.
const GATHER: Duration = Duration::from_millis(20);
/// How often it is looked whether the file was renamed away.
const LOOKED: Duration = Duration::from_secs(1);
/// Pause where a reader with a socket or pipe that does not block is slow.
const BLOCKED: Duration = Duration::from_millis(5);
/// How long the end of the process waits for the last lines.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("cannot write the access log to {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot write the access log to the standard output: {0}")]
    Stdout(#[source] io::Error),
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// A log that is being written; dropped, it ends with the lines that are there.
#[derive(Debug)]
pub struct LogWriter {
    shared: Arc<Shared>,
    ended: Option<oneshot::Receiver<()>>,
}

/// Where lines go.
struct Output {
    file: File,
    named: Option<Named>,
    /// A line was begun and not finished.
    torn: bool,
    failing: bool,
}

/// A file that may be renamed under our feet.
struct Named {
    path: PathBuf,
    is: (u64, u64),
    looked: Instant,
}

impl LogWriter {
    /// Opens the target and starts the thread.
    pub(super) fn start(
        target: &LogTarget,
        journals: Vec<Arc<Journal>>,
        shared: Arc<Shared>,
    ) -> Result<Self, LogError> {
        let output = Output::open(target)?;
        let (farewell, ended) = oneshot::channel();
        let told = shared.clone();
        let run = move || {
            run(output, &journals, &told);
            if farewell.send(()).is_err() {
                tracing::debug!("nobody waits for the end of the access log");
            }
        };
        let thread = thread::Builder::new().name("ingress-log".to_owned()).spawn(run).map_err(LogError::Thread)?;
        shared.writer.set(thread.thread().clone()).expect("it is started once");
        Ok(Self { shared, ended: Some(ended) })
    }

    /// What opens the file anew, for who renamed it.
    pub fn reopener(&self) -> impl Fn() + Send + Sync + 'static {
        let shared = self.shared.clone();
        move || {
            shared.reopen.store(true, Ordering::Relaxed);
            shared.wake();
        }
    }

    /// Waits for the last lines, but not for a reader that does not read.
    pub async fn end(mut self) {
        self.finish();
        let Some(ended) = self.ended.take() else { return };
        if tokio::time::timeout(FAREWELL, ended).await.is_err() {
            tracing::warn!("the last lines of the access log are lost, nobody reads them");
        }
    }

    fn finish(&self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.shared.wake();
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.finish();
    }
}

fn run(mut output: Output, journals: &[Arc<Journal>], shared: &Shared) {
    let mut taken = Vec::new();
    loop {
        // Read before the lines: what is appended before the end is written.
        let ended = shared.ended.load(Ordering::SeqCst);
        if shared.reopen.swap(false, Ordering::Relaxed) {
            output.reopen();
        }
        let mut any = false;
        for journal in journals {
            journal.take(&mut taken);
            any |= !taken.is_empty();
            let lost = output.write(&taken);
            shared.lost.fetch_add(lost, Ordering::Relaxed);
            taken.clear();
        }
        match (ended, any) {
            (true, _) => return,
            (false, true) => thread::park_timeout(GATHER),
            (false, false) => {
                shared.asleep.store(true, Ordering::SeqCst);
                // Whoever appended before it could see this is seen here, through the lock of the lines.
                if journals.iter().all(|journal| journal.is_empty()) && !shared.ended.load(Ordering::SeqCst) {
                    thread::park();
                }
                shared.asleep.store(false, Ordering::Relaxed);
            }
        }
    }
}

impl Output {
    fn open(target: &LogTarget) -> Result<Self, LogError> {
        let (file, named) = match target {
            LogTarget::File(path) => {
                let failed = |source| LogError::Open { path: path.clone(), source };
                let file = append_to(path).map_err(failed)?;
                let is = identity(&file.metadata().map_err(failed)?);
                (file, Some(Named { path: path.clone(), is, looked: Instant::now() }))
            }
            // Past the standard library's own buffer and lock.
            _ => (File::from(io::stdout().as_fd().try_clone_to_owned().map_err(LogError::Stdout)?), None),
        };
        Ok(Self { file, named, torn: false, failing: false })
    }

    /// Writes whole lines; gives how many were lost.
    fn write(&mut self, lines: &[u8]) -> u64 {
        if lines.is_empty() {
            return 0;
        }
        if self.named.as_mut().is_some_and(Named::was_renamed) {
            self.reopen();
        }
        let mut rest = lines;
        let end = self.end_torn().and_then(|()| self.write_all(&mut rest));
        match end {
            Ok(()) if self.failing => {
                self.failing = false;
                tracing::info!("the access log is written again");
            }
            Ok(()) => {}
            Err(error) => {
                self.torn |= rest.len() < lines.len() && !lines[..lines.len() - rest.len()].ends_with(b"\n");
                if !self.failing {
                    self.failing = true;
                    tracing::error!(%error, "the access log cannot be written");
                }
            }
        }
        memchr::memchr_iter(b'\n', rest).count() as u64
    }

    /// Ends a line whose rest was lost.
    fn end_torn(&mut self) -> io::Result<()> {
        if self.torn {
            self.write_all(&mut b"\n".as_slice())?;
            self.torn = false;
        }
        Ok(())
    }

    fn write_all(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => *rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(BLOCKED),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens the file under its name; the old one stays if that fails.
    fn reopen(&mut self) {
        let Some(named) = &mut self.named else { return };
        let opened = append_to(&named.path).and_then(|file| Ok((identity(&file.metadata()?), file)));
        match opened {
            Ok((is, file)) => (named.is, self.file, self.torn) = (is, file, false),
            Err(error) => tracing::error!(%error, path = %named.path.display(), "the access log cannot be opened anew"),
        }
    }
}

impl Named {
    /// Whether another file, or none, has the name now; looked up now and then.
    fn was_renamed(&mut self) -> bool {
        if self.looked.elapsed() < LOOKED {
            return false;
        }
        self.looked = Instant::now();
        std::fs::metadata(&self.path).map_or(true, |found| identity(&found) != self.is)
    }
}

/// Readable for its owner and group alone: it names people's addresses.
fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
