//! WATCH: a cursor into the ring, turned into frames.
//!
//! A watcher owns no queue. Errors after the start go into the stream as ERROR events, as clients expect.
//! Source: k8s.io/apiserver `pkg/endpoints/handlers/watch.go`, `pkg/storage/cacher/cacher.go`.

mod socket;
mod squeeze;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use rand::RngExt;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::body::Body;
use crate::cache::{Clock, Entry, Event, EventKind, Expired, Past, ResourceCache, Snapshot, Watcher};
use crate::call::Call;
use crate::custom::seen;
use crate::error::{ApiError, Status};
use crate::filter::Filter;
use crate::kinds::Kind;
use crate::limit::Place;
use crate::render::{FrameStyle, watch_style};
use crate::request::options::ListOptions;
use crate::server::Server;
use crate::wire::document::accepts_gzip;

/// Shortest and longest life of a watch that names no `timeoutSeconds`.
const DEFAULT_LIFE_S: std::ops::Range<u64> = 1_800..3_600;
/// Longest life that a client may ask for.
const MAX_LIFE_S: u64 = 24 * 3_600;
/// Time between bookmarks.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// A last bookmark goes out so long before the end.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// Frames are gathered into chunks of about this size.
const CHUNK_BYTES: usize = 64 * 1024;
/// Frames from this size on go out as they are kept instead of being copied into a chunk.
const SHARED_BYTES: usize = 16 * 1024;
/// Objects of a custom kind that are told at once.
const CONVERTED_AT_ONCE: usize = 200;
/// How long a watch waits for a revision that has not happened yet before it starts without it.
const FUTURE_WAIT: Duration = Duration::from_secs(3);

/// Answers a WATCH; `place` is given back when the stream ends.
///
/// # Errors
/// 400 and 422 for bad options. Everything later goes into the stream.
pub(crate) async fn watch(call: &mut Call, place: Option<Place>) -> Result<Response<Body>, ApiError> {
    if !call.kind.has_verb("watch") {
        return Err(ApiError::MethodNotAllowed {
            action: "watch".to_owned(),
            resource: crate::kind::qualified(&call.kind),
        });
    }
    let options = ListOptions::for_watch(&call.query)?;
    let filter = Filter::new(call, &options)?;
    let from = options.revision()?;
    let style = watch_style(call)?;
    let upgrade = if socket::is_asked_for(&call.headers) { call.upgrade.take() } else { None };
    let gzip = options.send_initial_events == Some(true) && upgrade.is_none() && accepts_gzip(&call.headers);
    let content_type = HeaderValue::from_str(&style.content_type()).expect("media types are visible ASCII");
    let life_s = options.timeout_s.unwrap_or_else(|| rand::rng().random_range(DEFAULT_LIFE_S));
    let stream = Stream {
        server: Arc::clone(&call.server),
        cache: Arc::clone(&call.cache),
        storage: call.storage(),
        kind: call.kind.clone(),
        start: Start::of(&options, from),
        bookmarks: options.allow_bookmarks.then(|| Bookmarks::new(life_s)),
        told: call.server.metrics.watch_events(&call.info),
        filter,
        style,
        gzip,
        deadline: Instant::now() + Duration::from_secs(life_s.min(MAX_LIFE_S)),
        alarm: Box::pin(sleep_until(Instant::now())),
        end: Box::pin(end(Arc::clone(&call.server), call.kind.clone())),
        _place: place,
    };
    // Opened before the answer: what happens from now on is an event, not a part of the state.
    let step = match stream.open().await {
        Ok(step) => step,
        Err(error) => Step::Failed(error),
    };
    let mut response = match upgrade {
        Some(upgrade) => socket::accept(&call.headers, upgrade, stream.run(step))?,
        None => Response::new(Body::stream(stream.run(step))),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    if gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    Ok(response)
}

/// Where the stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// With the state of now, or of any time.
    State { latest: bool },
    /// With the state of now, not older than that, and a mark at its end.
    MarkedState { at_least: Option<u64>, latest: bool },
    /// With what happens after that revision.
    After(u64),
    /// With what happens from now on.
    Now,
}

struct Stream {
    server: Arc<Server>,
    cache: Arc<ResourceCache>,
    storage: String,
    kind: Kind,
    start: Start,
    filter: Filter,
    style: FrameStyle,
    /// Counts what this watch tells.
    told: Arc<AtomicU64>,
    /// Whether every chunk goes out as a gzip member.
    gzip: bool,
    bookmarks: Option<Bookmarks>,
    deadline: Instant,
    /// When to look up although nothing happens. Kept from event to event: to register anew costs more than an event.
    alarm: Pin<Box<Sleep>>,
    /// Ready when nobody is told anything any more; kept for the same reason.
    end: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    _place: Option<Place>,
}

/// When the next bookmark is due.
struct Bookmarks {
    next: Instant,
    last: Option<Instant>,
}

enum Step {
    /// The state is being told, from this key on; then the watcher goes on.
    State {
        snapshot: Arc<Snapshot>,
        rev: u64,
        start: String,
        watcher: Box<Watcher>,
    },
    /// What the ring has forgotten is being told from the store's log; then the watcher goes on.
    Past {
        past: Past,
        watcher: Box<Watcher>,
    },
    Going(Box<Watcher>),
    Failed(ApiError),
    End,
}

impl Start {
    fn of(options: &ListOptions, from: Option<u64>) -> Self {
        let latest = options.resource_version.is_empty();
        match (options.send_initial_events, from) {
            (Some(true), at_least) => Self::MarkedState { at_least, latest },
            (_, Some(rev)) => Self::After(rev),
            (Some(false), None) => Self::Now,
            (None, None) => Self::State { latest },
        }
    }
}

impl Bookmarks {
    fn new(life_s: u64) -> Self {
        let now = Instant::now();
        let end = now + Duration::from_secs(life_s.min(MAX_LIFE_S));
        Self { next: now + BOOKMARK_EVERY, last: end.checked_sub(BOOKMARK_BEFORE_END).filter(|at| *at > now) }
    }

    fn due(&self) -> Instant {
        self.last.map_or(self.next, |last| last.min(self.next))
    }

    fn sent(&mut self, now: Instant) {
        self.next = now + BOOKMARK_EVERY;
        self.last = self.last.filter(|last| *last > now);
    }
}

impl Stream {
    fn run(self, step: Step) -> impl futures_util::Stream<Item = Bytes> + Send {
        let state = (self, step, VecDeque::<Bytes>::new());
        futures_util::stream::unfold(state, |(mut stream, mut step, mut ready)| async move {
            loop {
                if let Some(chunk) = ready.pop_front() {
                    let chunk = stream.packed(chunk);
                    return Some((chunk, (stream, step, ready)));
                }
                step = match step {
                    Step::State { snapshot, rev, start, watcher } => {
                        let told = match stream.kind.custom() {
                            None => Ok(stream.tell(&snapshot, rev, &start)),
                            Some(_) => stream.tell_custom(&snapshot, rev, &start).await,
                        };
                        match told {
                            Ok((chunk, next)) => {
                                ready.extend(chunk);
                                match next {
                                    Some(start) => Step::State { snapshot, rev, start, watcher },
                                    None => Step::Going(watcher),
                                }
                            }
                            Err(error) => Step::Failed(error),
                        }
                    }
                    Step::Past { mut past, watcher } => match past.next().await {
                        Ok(Some(mut events)) => {
                            events.retain(|event| stream.filter.scope.covers(event.object.key()));
                            match stream.show(events, &mut ready).await {
                                Ok(()) => Step::Past { past, watcher },
                                Err(error) => Step::Failed(error),
                            }
                        }
                        Ok(None) => Step::Going(watcher),
                        Err(gone) => Step::Failed(ApiError::too_old(gone.asked, gone.oldest)),
                    },
                    Step::Going(watcher) => stream.go_on(watcher, &mut ready).await,
                    Step::Failed(error) => {
                        ready.push_back(error_frame(&error));
                        Step::End
                    }
                    Step::End => return None,
                };
            }
        })
    }

    /// Takes the state where that is asked for, and opens the cursor behind it.
    async fn open(&self) -> Result<Step, ApiError> {
        let expired = |gone: Expired| ApiError::too_old(gone.asked, gone.oldest);
        let scope = self.filter.scope.clone();
        let after = |rev| self.cache.watch(scope.clone(), rev).map(Box::new).map_err(expired);
        match self.start {
            Start::After(rev) => {
                if rev > self.cache.revision() {
                    self.wait_for(rev).await;
                }
                return match after(rev) {
                    Err(_) if matches!(self.cache.clock(), Clock::Store(_)) => {
                        let floor = self.cache.floor();
                        let past = self.server.cache.events(&self.storage, rev, floor);
                        Ok(Step::Past { past, watcher: after(floor)? })
                    }
                    opened => opened.map(Step::Going),
                };
            }
            Start::Now => {
                self.fresh().await?;
                return after(self.cache.revision()).map(Step::Going);
            }
            Start::State { latest: true } | Start::MarkedState { latest: true, .. } => self.fresh().await?,
            Start::MarkedState { at_least: Some(rev), .. } => {
                self.wait_for(rev).await;
                let current = self.cache.revision();
                if current < rev {
                    return Err(ApiError::FutureRevision { asked: rev, current });
                }
            }
            Start::State { latest: false } | Start::MarkedState { .. } => {}
        }
        let (snapshot, rev) = self.cache.latest();
        Ok(Step::State { snapshot, rev, start: String::new(), watcher: after(rev)? })
    }

    /// The next chunk of the state, and the key to go on from; none at its end.
    fn tell(&mut self, snapshot: &Snapshot, rev: u64, start: &str) -> (Option<Bytes>, Option<String>) {
        let mut chunk = Vec::new();
        for entry in snapshot.range(&self.filter.scope, start) {
            if !self.filter.selects(entry) {
                continue;
            }
            self.style.write(EventKind::Added, entry, &mut chunk);
            if chunk.len() >= CHUNK_BYTES {
                return (Some(chunk.into()), Some(format!("{}\0", entry.key())));
            }
        }
        self.end_state(rev, &mut chunk);
        ((!chunk.is_empty()).then(|| chunk.into()), None)
    }

    /// As [`Stream::tell`], of a custom kind: what is stored in another shape is shown in this one.
    async fn tell_custom(
        &mut self,
        snapshot: &Snapshot,
        rev: u64,
        start: &str,
    ) -> Result<(Option<Bytes>, Option<String>), ApiError> {
        let some: Vec<Arc<Entry>> =
            snapshot.range(&self.filter.scope, start).take(CONVERTED_AT_ONCE).cloned().collect();
        let next = (some.len() == CONVERTED_AT_ONCE).then(|| some.last().map(|last| format!("{}\0", last.key())));
        let mut chunk = Vec::new();
        for entry in seen::entries(&self.server, &self.kind, some).await? {
            if self.filter.selects(&entry) {
                self.style.write(EventKind::Added, &entry, &mut chunk);
            }
        }
        let next = next.flatten();
        if next.is_none() {
            self.end_state(rev, &mut chunk);
        }
        Ok(((!chunk.is_empty()).then(|| chunk.into()), next))
    }

    fn end_state(&mut self, rev: u64, chunk: &mut Vec<u8>) {
        if matches!(self.start, Start::MarkedState { .. }) && self.bookmarks.is_some() {
            self.style.write_bookmark(rev, true, chunk);
        }
    }

    /// Encodes events in the shape of the kind.
    async fn show(&mut self, events: Vec<Arc<Event>>, ready: &mut VecDeque<Bytes>) -> Result<(), ApiError> {
        let events = seen::events(&self.server, &self.kind, events).await?;
        self.encode(&events, ready);
        Ok(())
    }

    async fn go_on(&mut self, mut watcher: Box<Watcher>, ready: &mut VecDeque<Bytes>) -> Step {
        let due = self.bookmarks.as_ref().map(Bookmarks::due);
        let wake = due.map_or(self.deadline, |due| due.min(self.deadline));
        if self.alarm.deadline() != wake {
            self.alarm.as_mut().reset(wake);
        }
        let next = tokio::select! {
            biased;
            next = watcher.next() => Some(next),
            () = self.end.as_mut() => return Step::End,
            () = self.alarm.as_mut() => None,
        };
        match next {
            Some(Ok(events)) => match self.show(events, ready).await {
                Ok(()) => Step::Going(watcher),
                Err(error) => Step::Failed(error),
            },
            Some(Err(gone)) => {
                ready.push_back(error_frame(&ApiError::too_old(gone.asked, gone.oldest)));
                Step::End
            }
            None => {
                let now = Instant::now();
                if let Some(bookmarks) = self.bookmarks.as_mut().filter(|b| b.due() <= now) {
                    bookmarks.sent(now);
                    let mut frame = Vec::new();
                    self.style.write_bookmark(watcher.seen(), false, &mut frame);
                    ready.push_back(frame.into());
                }
                if now >= self.deadline { Step::End } else { Step::Going(watcher) }
            }
        }
    }

    /// The chunk as it goes out.
    fn packed(&self, chunk: Bytes) -> Bytes {
        if self.gzip { squeeze::squeeze(&chunk) } else { chunk }
    }

    fn encode(&mut self, events: &[Arc<Event>], ready: &mut VecDeque<Bytes>) {
        if let [event] = events
            && self.style.is_plain()
        {
            if let Some(kind) = self.seen_as(event) {
                self.told.fetch_add(1, Relaxed);
                ready.push_back(plain_frame(event, kind));
            }
            return;
        }
        let mut chunk = Vec::new();
        for event in events {
            let Some(kind) = self.seen_as(event) else { continue };
            self.told.fetch_add(1, Relaxed);
            // Large frames are shared, whoever else they go to.
            if self.style.is_plain() && event.object.bytes().len() >= SHARED_BYTES {
                if !chunk.is_empty() {
                    ready.push_back(std::mem::take(&mut chunk).into());
                }
                ready.push_back(plain_frame(event, kind));
                continue;
            }
            match (kind == event.kind, self.style.is_plain()) {
                (false, true) => chunk.extend_from_slice(&plain_frame(event, kind)),
                (_, _) if kind == EventKind::Deleted && event.kind != EventKind::Deleted => {
                    let old = event.old.as_ref().map(|old| old.tombstone(event.rev(), 0));
                    self.style.write(kind, old.as_ref().unwrap_or(&event.object), &mut chunk);
                }
                _ => self.style.write(kind, &event.object, &mut chunk),
            }
            if chunk.len() >= CHUNK_BYTES {
                ready.push_back(std::mem::take(&mut chunk).into());
            }
        }
        if !chunk.is_empty() {
            ready.push_back(chunk.into());
        }
    }

    /// What the event is to a watcher with this filter: entering and leaving a selection are ADDED and DELETED.
    fn seen_as(&self, event: &Event) -> Option<EventKind> {
        if self.filter.is_plain() {
            return Some(event.kind);
        }
        let selects = |entry: &Arc<Entry>| self.filter.selects(entry);
        let before = event.old.as_ref().is_some_and(selects);
        let after = event.kind != EventKind::Deleted && selects(&event.object);
        match (before, after) {
            (false, true) => Some(EventKind::Added),
            (true, true) => Some(EventKind::Modified),
            (true, false) => Some(EventKind::Deleted),
            (false, false) => None,
        }
    }

    async fn fresh(&self) -> Result<(), ApiError> {
        self.server.cache.fresh().await.map(|_| ()).map_err(|error| {
            tracing::error!(%error, "the store does not answer");
            ApiError::Unavailable { message: "the storage is not available".to_owned(), retry_after_s: 1 }
        })
    }

    async fn wait_for(&self, rev: u64) {
        if matches!(self.cache.clock(), Clock::Store(_)) {
            let reached = tokio::time::timeout(FUTURE_WAIT, self.server.cache.applied(rev)).await;
            if reached.is_err() {
                tracing::debug!(rev, "a watch starts at a revision of the future");
            }
        }
    }
}

/// Waits until the server stops, or the custom kind is no more, or another one.
async fn end(server: Arc<Server>, kind: Kind) {
    match kind.custom() {
        Some(custom) => tokio::select! {
            () = custom.definition.shared.ended.cancelled() => {}
            () = server.draining.cancelled() => {}
        },
        None => server.draining.cancelled().await,
    }
}

fn plain_frame(event: &Event, kind: EventKind) -> Bytes {
    if kind == event.kind {
        return event.object.frame();
    }
    if kind == EventKind::Deleted {
        return event.left_frame();
    }
    let mut frame = Vec::new();
    event.object.write_frame(kind, &mut frame);
    frame.into()
}

fn error_frame(error: &ApiError) -> Bytes {
    let status: Status = error.status();
    let mut frame = br#"{"type":"ERROR","object":"#.to_vec();
    frame.extend_from_slice(&status.to_json());
    frame.extend_from_slice(b"}\n");
    frame.into()
}
