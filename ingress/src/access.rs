//! The access log: one line a finished request, handed to a queue that nobody waits for.
//!
//! Text fields are written with escapes; bodies, queries and credentials never appear. Knows lines and their queue; must
//! not know sockets, nor who reads the log.

mod text;
mod writer;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant, SystemTime};

use http::header::{HOST, REFERER, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use parking_lot::Mutex;

use crate::config::{AccessLog, LogFormat, LogTarget};
use crate::peer::Peer;
use crate::route::EndpointKey;
use crate::snapshot::Named;
use crate::trace::{Span, Traces};
pub use text::Asked;
pub(crate) use text::number;
use text::{Stamp, combined, json};
pub use writer::{LogError, LogWriter};

/// Bytes of lines that wait for the writer, of one worker: what 3,000 requests leave behind.
const PAGE: usize = 1024 * 1024;
/// From here on the writer is woken before its time.
const PRESSING: usize = PAGE / 2;
/// Requests of one thread whose memory is kept for others.
const SPARES: usize = 512;
/// Bytes that a request's memory may have grown to, to be kept.
const SPARE_BYTES: usize = 4096;
/// Bytes of one field of a client's that are written, before escapes; the rest is cut.
const FIELD: usize = 2048;
/// How long the clock on the wall is taken from the monotonic one.
const ANCHORED: Duration = Duration::from_secs(1);

/// A request whose answer has not ended; its line is written when this is dropped.
pub struct Line(Option<Box<Fields>>);

/// What is known of a request.
pub struct Fields {
    journal: Arc<Journal>,
    began: Instant,
    /// What was known at its beginning, as the format has it.
    asked: Vec<u8>,
    /// Where `asked` is cut, for a format that puts something in between.
    cuts: [usize; 2],
    route: String,
    id: Vec<u8>,
    user: Vec<u8>,
    cluster: String,
    endpoint: Option<SocketAddr>,
    pub attempts: usize,
    pub status: StatusCode,
    /// What went wrong last: a word of [`crate::failure`], or why we answered ourselves.
    pub reason: &'static str,
    pub bytes: u64,
    /// The answer did not come through whole.
    pub broken: bool,
    /// It is written down, and not only traced.
    logged: bool,
    span: Option<Box<Span>>,
    trace: Option<u128>,
}

/// The lines of one worker that nobody has written yet.
pub struct Journal {
    format: LogFormat,
    every: u32,
    seen: AtomicU32,
    /// Guards the lines: the worker appends, the writer takes all of them at once and writes without the lock.
    page: Mutex<Page>,
    shared: Arc<Shared>,
    /// Somebody writes the lines down.
    written: bool,
    traces: Option<Arc<Traces>>,
}

struct Page {
    bytes: Vec<u8>,
    stamp: Stamp,
    anchor: (Instant, SystemTime),
}

/// What the workers tell the writer.
#[derive(Debug)]
struct Shared {
    /// The writer waits to be woken.
    asleep: AtomicBool,
    ended: AtomicBool,
    /// The file shall be opened anew.
    reopen: AtomicBool,
    writer: std::sync::OnceLock<Thread>,
    /// Lines that were dropped.
    lost: Arc<AtomicU64>,
}

thread_local! {
    /// Memory of ended requests, for new ones.
    #[allow(clippy::vec_box)] // the box is what is kept
    static SPARE: RefCell<Vec<Box<Fields>>> = const { RefCell::new(Vec::new()) };
}

/// A log that takes lines.
pub struct Opened {
    /// One a worker.
    pub journals: Vec<Arc<Journal>>,
    pub writer: Option<LogWriter>,
}

/// Opens the log for this many workers and starts its writer; `lost` counts what does not get there.
///
/// # Errors
/// [`LogError`] if the file cannot be opened or the thread not be started.
pub fn open(
    log: &AccessLog,
    traces: Option<&Arc<Traces>>,
    workers: usize,
    lost: Arc<AtomicU64>,
) -> Result<Opened, LogError> {
    let written = log.every != 0 && log.target != LogTarget::Off;
    if !written && traces.is_none() {
        return Ok(Opened { journals: Vec::new(), writer: None });
    }
    let shared = Arc::new(Shared {
        asleep: AtomicBool::new(false),
        ended: AtomicBool::new(false),
        reopen: AtomicBool::new(false),
        writer: std::sync::OnceLock::new(),
        lost,
    });
    let journal = |_| Arc::new(Journal { written, traces: traces.cloned(), ..Journal::new(log, shared.clone()) });
    let journals: Vec<_> = (0..workers).map(journal).collect();
    let writer = written.then(|| LogWriter::start(&log.target, journals.clone(), shared)).transpose()?;
    Ok(Opened { journals, writer })
}

impl Line {
    /// Its request is not logged; only what is traced is of further use then.
    pub fn unlogged(mut self) -> Option<Self> {
        self.logged = false;
        self.span.is_some().then_some(self)
    }
}

impl Deref for Line {
    type Target = Fields;
    fn deref(&self) -> &Fields {
        self.0.as_deref().expect("only its end takes the fields out of a line")
    }
}

impl DerefMut for Line {
    fn deref_mut(&mut self) -> &mut Fields {
        self.0.as_deref_mut().expect("only its end takes the fields out of a line")
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(mut fields) = self.0.take() {
            if let Some(span) = fields.span.take() {
                span.end(fields.status, fields.reason);
            }
            if fields.logged {
                fields.journal.append(&fields);
            }
            fields.keep();
        }
    }
}

impl Fields {
    fn new(journal: Arc<Journal>, began: Instant) -> Box<Self> {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        let mut fields = spare.unwrap_or_else(|| {
            Box::new(Self {
                journal: journal.clone(),
                began,
                asked: Vec::new(),
                cuts: [0; 2],
                route: String::new(),
                id: Vec::new(),
                user: Vec::new(),
                cluster: String::new(),
                endpoint: None,
                attempts: 0,
                status: GONE,
                reason: "",
                bytes: 0,
                broken: false,
                logged: true,
                span: None,
                trace: None,
            })
        });
        if !Arc::ptr_eq(&fields.journal, &journal) {
            fields.journal = journal;
        }
        fields.began = began;
        fields.asked.clear();
        fields.route.clear();
        fields.id.clear();
        fields.user.clear();
        fields.cluster.clear();
        (fields.endpoint, fields.attempts, fields.status) = (None, 0, GONE);
        (fields.reason, fields.bytes, fields.broken) = ("", 0, false);
        (fields.logged, fields.span, fields.trace) = (true, None, None);
        fields
    }

    /// Which rule it met, and whose endpoints it goes to.
    pub fn routed(&mut self, ingress: &Named, backend: &str) {
        if let Some(span) = &mut self.span {
            span.routed(ingress, backend);
        }
        if self.journal.format == LogFormat::Json {
            // Names of objects need no escapes.
            for piece in [",\"ingress\":\"", &ingress.namespace, "/", &ingress.name, "\",\"backend\":\"", backend, "\""]
            {
                self.route.push_str(piece);
            }
        }
    }

    /// Which endpoint was asked, and how many that makes.
    pub fn tried(&mut self, attempts: usize, endpoint: &EndpointKey) {
        self.attempts = attempts;
        self.endpoint = Some(endpoint.address);
        self.cluster.clear();
        self.cluster.push_str(endpoint.cluster.as_str());
    }

    /// Whether it is written down, and the span of its request.
    pub fn carries(&mut self, logged: bool, span: Option<Box<Span>>) {
        (self.logged, self.trace) = (logged, span.as_ref().map(|span| span.trace()));
        self.span = span;
    }

    /// Its request is not traced.
    pub fn untraced(&mut self) {
        (self.span, self.trace) = (None, None);
    }

    /// The endpoint that was named last gets the request; what it is told of its trace, if there is one.
    pub fn asks(&mut self, endpoint: &EndpointKey) -> Option<HeaderValue> {
        let attempts = self.attempts;
        self.span.as_mut().map(|span| span.asks(attempts, endpoint))
    }

    /// Whether its request is traced.
    pub fn is_traced(&self) -> bool {
        self.span.is_some()
    }

    /// It has answered.
    pub fn heard(&mut self, status: StatusCode) {
        if let Some(span) = &mut self.span {
            span.heard(status);
        }
    }

    /// It has not, or it is worth a word how.
    pub fn failed(&mut self, word: &'static str) {
        self.reason = word;
        if let Some(span) = &mut self.span {
            span.failed(word);
        }
    }

    /// Under which id the endpoint sees it.
    pub fn identified(&mut self, id: &[u8]) {
        self.id.clear();
        self.id.extend_from_slice(id);
    }

    /// Whose request it is, as far as its route asks: who is named last.
    pub fn known_as(&mut self, user: &str) {
        self.user.clear();
        self.user.extend_from_slice(cut(user.as_bytes()));
    }

    /// Keeps the memory for another request of this thread.
    fn keep(self: Box<Self>) {
        if self.asked.capacity() <= SPARE_BYTES {
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < SPARES {
                    spare.push(self);
                }
            });
        }
    }
}

/// The status that nginx gives a client that did not wait for its answer.
pub const GONE: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => panic!("499 is a status"),
};

impl Journal {
    fn new(log: &AccessLog, shared: Arc<Shared>) -> Self {
        let page =
            Page { bytes: Vec::new(), stamp: Stamp::new(log.format), anchor: (Instant::now(), SystemTime::now()) };
        Self {
            format: log.format,
            every: log.every,
            seen: AtomicU32::new(0),
            page: Mutex::new(page),
            shared,
            written: true,
            traces: None,
        }
    }

    /// The line of a request, unless it is one of those that are passed over; its trace begins, if it has one.
    pub fn begin<B>(self: &Arc<Self>, began: Instant, peer: &Peer, request: &mut Request<B>) -> Option<Line> {
        let logged = self.samples();
        let span = self.traces.as_ref().and_then(|traces| traces.begin(began, peer, request));
        if !logged && span.is_none() {
            return None;
        }
        let mut line = self.line_of(began, peer, request);
        line.carries(logged, span);
        Some(line)
    }

    /// The same for a request whose trace has begun before.
    pub fn resume<B>(self: &Arc<Self>, began: Instant, peer: &Peer, (request, span): (&Request<B>, Box<Span>)) -> Line {
        let mut line = self.line_of(began, peer, request);
        line.carries(self.samples(), Some(span));
        line
    }

    /// Where requests find out whether they are traced, if they may be.
    pub fn tracing(&self) -> Option<&Arc<Traces>> {
        self.traces.as_ref()
    }

    fn line_of<B>(self: &Arc<Self>, began: Instant, peer: &Peer, request: &Request<B>) -> Line {
        let headers = request.headers();
        let field = |name| headers.get(name).map_or(&b""[..], |value: &HeaderValue| cut(value.as_bytes()));
        let host = match headers.get(HOST) {
            Some(host) => host.as_bytes(),
            None => request.uri().host().unwrap_or("").as_bytes(),
        };
        let asked = Asked {
            address: peer.client(headers),
            address_text: (!peer.trusted).then(|| peer.address_value.as_bytes()),
            scheme: peer.scheme.as_bytes(),
            version: request.version(),
            method: cut(request.method().as_str().as_bytes()),
            host: cut(host),
            // Without the query, which may hold secrets.
            path: cut(request.uri().path().as_bytes()),
            agent: field(USER_AGENT),
            referer: field(REFERER),
        };
        self.line(began, &asked)
    }

    /// Whether the next request gets a line.
    pub fn samples(&self) -> bool {
        if !self.written || self.every <= 1 {
            return self.written;
        }
        // Only the journal's own worker counts.
        let seen = self.seen.load(Ordering::Relaxed);
        self.seen.store(seen.wrapping_add(1), Ordering::Relaxed);
        seen.is_multiple_of(self.every)
    }

    /// The line of a request that says this.
    pub fn line(self: &Arc<Self>, began: Instant, asked: &Asked<'_>) -> Line {
        let mut fields = Fields::new(self.clone(), began);
        match self.format {
            LogFormat::Json => json::asked(&mut fields.asked, asked),
            LogFormat::Combined => fields.cuts = combined::asked(&mut fields.asked, asked),
        }
        Line(Some(fields))
    }

    /// Puts the line of a finished request with the others; without room it is lost.
    fn append(&self, fields: &Fields) {
        let now = Instant::now();
        let mut page = self.page.lock();
        let Page { bytes, stamp, anchor } = &mut *page;
        let before = bytes.len();
        if before >= PAGE {
            drop(page);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if now.saturating_duration_since(anchor.0) > ANCHORED {
            *anchor = (now, SystemTime::now());
        }
        stamp.set(anchor.1 + now.saturating_duration_since(anchor.0));
        match self.format {
            LogFormat::Json => json::line(bytes, stamp, fields, now),
            LogFormat::Combined => combined::line(bytes, stamp, fields),
        }
        let after = bytes.len();
        drop(page);
        let pressing = before < PRESSING && after >= PRESSING;
        if pressing || self.shared.asleep.load(Ordering::Relaxed) {
            self.shared.wake();
        }
    }

    /// Takes all lines, for memory that is empty.
    fn take(&self, empty: &mut Vec<u8>) {
        std::mem::swap(&mut self.page.lock().bytes, empty);
    }

    fn is_empty(&self) -> bool {
        self.page.lock().bytes.is_empty()
    }
}

impl Shared {
    fn wake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }
}

/// As much of a field as is written.
pub fn cut(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(FIELD)]
}

#[cfg(test)]
mod tests;
