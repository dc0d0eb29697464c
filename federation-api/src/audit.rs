//! The audit log: which requests are recorded, how much of each, and where the records go.
//!
//! Records never hold a credential: no header, no token of a review or of a service account. What waits to be written is
//! bounded in bytes. Source: k8s.io/apiserver `pkg/audit`, `pkg/endpoints/filters/audit.go`.

mod event;
mod log;
mod policy;
mod webhook;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

pub use log::{LogConfig, LogTarget};
pub use policy::{Policy, PolicyError};

pub(crate) use event::{Head, Record, Stage};
pub(crate) use policy::{Asked, Level};

/// Bytes of records that may wait for each backend.
pub const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;
/// Records that may wait for each backend; upstream's buffer.
pub const MAX_WAITING: usize = 10_000;
/// Larger records lose their objects.
pub const MAX_EVENT_BYTES: usize = 8 * 1024 * 1024;
/// The unit in which waiting bytes are counted.
const GRAIN_BYTES: usize = 1024;

/// The audit log of one server; give it to [`Builder::audit`](crate::Builder::audit).
pub struct Audit {
    policy: Policy,
    backends: Vec<Backend>,
    recorded: AtomicU64,
    levels: [AtomicU64; 4],
}

struct Backend {
    name: &'static str,
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    /// Whether requests wait for room instead of going on without a record.
    waits: bool,
    failed: Arc<AtomicU64>,
}

/// A record on its way, with the room that it takes.
struct Waiting {
    line: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Audit {
    /// A log that records what `policy` says, nowhere yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, backends: Vec::new(), recorded: AtomicU64::new(0), levels: Default::default() }
    }

    /// Writes records to a file or to the standard output, one JSON object a line. Requests wait where it is slow.
    ///
    /// # Errors
    /// Where the file cannot be opened.
    pub fn with_log(mut self, config: LogConfig) -> std::io::Result<Self> {
        let (backend, queue) = Backend::new("log", true);
        log::spawn(config, queue, Arc::clone(&backend.failed))?;
        self.backends.push(backend);
        Ok(self)
    }

    /// Sends records to a webhook in batches. Where it does not keep up they are dropped and counted.
    ///
    /// `path` is that of the webhook's URL. Must be called within a Tokio runtime.
    #[must_use]
    pub fn with_webhook(mut self, receiver: kube::Client, path: String) -> Self {
        let (backend, queue) = Backend::new("webhook", false);
        tokio::spawn(webhook::run(receiver, path, queue, Arc::clone(&backend.failed)));
        self.backends.push(backend);
        self
    }

    /// How a request is recorded; counts it.
    pub(crate) fn judge(&self, asked: &Asked<'_>) -> policy::Verdict {
        let verdict = self.policy.judge(asked);
        self.levels[verdict.level as usize].fetch_add(1, Relaxed);
        verdict
    }

    /// Hands a record to every backend, waiting where they have no room.
    async fn put(&self, line: Bytes) {
        self.recorded.fetch_add(1, Relaxed);
        for backend in &self.backends {
            backend.put(line.clone()).await;
        }
    }

    /// As [`Audit::put`], for those who cannot wait: what finds no room is dropped and counted.
    fn put_now(&self, line: &Bytes) {
        self.recorded.fetch_add(1, Relaxed);
        for backend in &self.backends {
            backend.put_now(line.clone());
        }
    }

    /// Appends the metrics.
    pub(crate) fn render(&self, out: &mut String) {
        use std::fmt::Write as _;
        let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("a String takes any text");
        line(format_args!(
            "# HELP apiserver_audit_event_total [ALPHA] Counter of audit events generated and sent to the audit backend."
        ));
        line(format_args!("# TYPE apiserver_audit_event_total counter"));
        line(format_args!("apiserver_audit_event_total {}", self.recorded.load(Relaxed)));
        line(format_args!(
            "# HELP apiserver_audit_level_total [ALPHA] Counter of policy levels for audit events (1 per request)."
        ));
        line(format_args!("# TYPE apiserver_audit_level_total counter"));
        for level in [Level::None, Level::Metadata, Level::Request, Level::RequestResponse] {
            let count = self.levels[level as usize].load(Relaxed);
            line(format_args!("apiserver_audit_level_total{{level=\"{}\"}} {count}", level.as_str()));
        }
        line(format_args!(
            "# HELP apiserver_audit_error_total [ALPHA] Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error."
        ));
        line(format_args!("# TYPE apiserver_audit_error_total counter"));
        for backend in &self.backends {
            let count = backend.failed.load(Relaxed);
            line(format_args!("apiserver_audit_error_total{{plugin=\"{}\"}} {count}", backend.name));
        }
    }
}

impl Backend {
    fn new(name: &'static str, waits: bool) -> (Self, mpsc::Receiver<Waiting>) {
        let (queue, receiver) = mpsc::channel(MAX_WAITING);
        let room = Arc::new(Semaphore::new(MAX_WAITING_BYTES / GRAIN_BYTES));
        (Self { name, queue, room, waits, failed: Arc::default() }, receiver)
    }

    async fn put(&self, line: Bytes) {
        if !self.waits {
            self.put_now(line);
            return;
        }
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(grains(&line)).await else { return };
        if self.queue.send(Waiting { line, _room: room }).await.is_err() {
            self.failed.fetch_add(1, Relaxed);
        }
    }

    fn put_now(&self, line: Bytes) {
        let room = Arc::clone(&self.room).try_acquire_many_owned(grains(&line));
        let sent = room.is_ok_and(|room| self.queue.try_send(Waiting { line, _room: room }).is_ok());
        if !sent {
            self.failed.fetch_add(1, Relaxed);
        }
    }
}

/// How much room a record takes; never more than there is.
fn grains(line: &Bytes) -> u32 {
    u32::try_from((line.len() / GRAIN_BYTES + 1).min(MAX_WAITING_BYTES / GRAIN_BYTES)).unwrap_or(u32::MAX)
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.backends.iter().map(|backend| backend.name).collect();
        f.debug_struct("Audit").field("backends", &names).finish_non_exhaustive()
    }
}
