//! API priority and fairness: which flow a request belongs to, and when it may run.
//!
//! FlowSchemas and PriorityLevelConfigurations are compiled when a request finds that one changed; a request that finds
//! a seat takes no lock. Knows users and request infos, no verbs. Source: k8s.io/apiserver `pkg/util/flowcontrol`.

mod level;
mod metrics;
mod plan;
mod queues;
mod rule;
mod seats;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use auth::UserInfo;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

use crate::cache::{Cache, ResourceCache};
use crate::error::ApiError;
use crate::request::RequestInfo;
use level::{Refused, Ticket};
use plan::{Matched, Plan};

pub(crate) use seats::estimate;

/// Seats of all limited levels together: as many as upstream's two limits of requests in flight.
pub const SEATS: u32 = 600;
/// How long a request may wait for a seat; upstream's quarter of the request timeout.
pub const MAX_WAIT: Duration = Duration::from_secs(15);
/// What a refused client is told to wait.
const RETRY_AFTER_S: u32 = 1;

const SCHEMAS: &str = "flowcontrol.apiserver.k8s.io/flowschemas";
const LEVELS: &str = "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations";
static SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
static LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// Flow control of one server.
pub(crate) struct Flow {
    plan: ArcSwap<Plan>,
    schemas: Arc<ResourceCache>,
    levels: Arc<ResourceCache>,
    /// Held while compiling, so that two requests do not do it at once; never across an await.
    compiling: Mutex<()>,
    /// (reading, writing) requests that run.
    running: Arc<[AtomicI64; 2]>,
}

/// Under which objects a request was classified.
#[derive(Debug, Clone)]
pub(crate) struct Classified {
    schema: HeaderValue,
    level: HeaderValue,
}

/// The right to run; given back when dropped.
pub(crate) struct Seat {
    ticket: Ticket,
    running: Arc<[AtomicI64; 2]>,
    writes: bool,
    stats: Arc<metrics::Stats>,
    began: Instant,
}

impl Flow {
    pub(crate) fn new(cache: &Cache) -> Self {
        let (schemas, levels) = (cache.resource(SCHEMAS), cache.resource(LEVELS));
        let plan = Plan::compile(&schemas.snapshot(), &levels.snapshot(), None);
        Self {
            plan: ArcSwap::from_pointee(plan),
            schemas,
            levels,
            compiling: Mutex::new(()),
            running: Arc::new([AtomicI64::new(0), AtomicI64::new(0)]),
        }
    }

    /// The flow of a request; `Classified` goes into the answer's headers, whatever it is.
    pub(crate) fn classify(&self, user: &UserInfo, info: &RequestInfo) -> (Matched, Classified) {
        let matched = self.fresh().classify(user, info);
        let classified = Classified { schema: matched.schema.uid.clone(), level: matched.schema.level.uid.clone() };
        (matched, classified)
    }

    /// Waits for a seat; `ours` are callers who bound themselves and are never kept waiting.
    ///
    /// # Errors
    /// 429 where the queue is full, the level does not queue, or the wait was too long.
    ///
    /// # Cancel safety
    /// A dropped future gives its place up.
    pub(crate) async fn admit(&self, matched: Matched, seats: u32, class: Class) -> Result<Seat, ApiError> {
        let Matched { schema, flow } = matched;
        let stats = Arc::clone(&schema.stats);
        let began = Instant::now();
        let admitted = match schema.level.try_take(seats) {
            Some(ticket) => Ok(ticket),
            None if class.ours => Ok(schema.level.take_anyway(seats)),
            None => {
                let _waiting = stats.waiting();
                schema.level.wait(flow, seats, MAX_WAIT).await
            }
        };
        match admitted {
            Ok(ticket) => {
                stats.dispatched(began.elapsed());
                let running = Arc::clone(&self.running);
                running[usize::from(class.writes)].fetch_add(1, Relaxed);
                stats.begin(seats);
                Ok(Seat { ticket, running, writes: class.writes, stats, began: Instant::now() })
            }
            Err(refused) => {
                stats.rejected(refused);
                Err(ApiError::TooManyRequests {
                    message: "Too many requests, please try again later.".to_owned(),
                    retry_after_s: RETRY_AFTER_S,
                })
            }
        }
    }

    /// Seats that a request of this level may ask for at most.
    pub(crate) fn widest(matched: &Matched) -> u32 {
        matched.schema.level.widest()
    }

    /// (reading, writing) requests that run now.
    pub(crate) fn running(&self) -> (usize, usize) {
        let of = |at: usize| usize::try_from(self.running[at].load(Relaxed)).unwrap_or(0);
        (of(0), of(1))
    }

    /// Appends the metrics.
    pub(crate) fn render(&self, out: &mut String) {
        metrics::render(&self.fresh(), out);
    }

    fn fresh(&self) -> Arc<Plan> {
        let plan = self.plan.load();
        if plan.revs == (self.schemas.changed(), self.levels.changed()) {
            return arc_swap::Guard::into_inner(plan);
        }
        let _turn = self.compiling.lock();
        let before = self.plan.load_full();
        let (schemas, levels) = (self.schemas.snapshot(), self.levels.snapshot());
        if before.revs != (schemas.rev(), levels.rev()) {
            self.plan.store(Arc::new(Plan::compile(&schemas, &levels, Some(&before))));
        }
        self.plan.load_full()
    }
}

/// What kind of caller and request it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Class {
    /// A component of ours in this process.
    pub(crate) ours: bool,
    /// Whether the request writes.
    pub(crate) writes: bool,
}

impl Classified {
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(SCHEMA_UID.clone(), self.schema.clone());
        headers.insert(LEVEL_UID.clone(), self.level.clone());
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.running[usize::from(self.writes)].fetch_sub(1, Relaxed);
        self.stats.end(self.ticket.seats(), self.began.elapsed());
    }
}

impl Refused {
    /// As the metric names it.
    fn reason(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::TimeOut => "time-out",
            Self::ConcurrencyLimit => "concurrency-limit",
        }
    }
}

#[cfg(test)]
mod tests;
