//! What flow control counts, under upstream's names.
//!
//! Labels are names of objects, which people bound.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::level::Refused;
use super::plan::Plan;
use crate::metrics::{Histogram, line};

/// Upper bounds of the histograms, in seconds.
const BUCKETS_S: [f64; 8] = [0.0, 0.005, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0];

/// Counters of one schema in one level.
#[derive(Debug)]
pub(crate) struct Stats {
    dispatched: AtomicU64,
    queue_full: AtomicU64,
    timed_out: AtomicU64,
    over_limit: AtomicU64,
    inqueue: AtomicI64,
    executing: AtomicI64,
    seats: AtomicI64,
    wait: Histogram<{ BUCKETS_S.len() }>,
    execution: Histogram<{ BUCKETS_S.len() }>,
}

/// A request that waits.
pub(super) struct InQueue<'a>(&'a Stats);

impl Default for Stats {
    fn default() -> Self {
        let (count, gauge) = (AtomicU64::default, AtomicI64::default);
        Self {
            dispatched: count(),
            queue_full: count(),
            timed_out: count(),
            over_limit: count(),
            inqueue: gauge(),
            executing: gauge(),
            seats: gauge(),
            wait: Histogram::new(&BUCKETS_S),
            execution: Histogram::new(&BUCKETS_S),
        }
    }
}

impl Stats {
    pub(super) fn waiting(&self) -> InQueue<'_> {
        self.inqueue.fetch_add(1, Relaxed);
        InQueue(self)
    }

    pub(super) fn dispatched(&self, waited: Duration) {
        self.dispatched.fetch_add(1, Relaxed);
        self.wait.observe(waited);
    }

    pub(super) fn rejected(&self, why: Refused) {
        let counter = match why {
            Refused::QueueFull => &self.queue_full,
            Refused::TimeOut => &self.timed_out,
            Refused::ConcurrencyLimit => &self.over_limit,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn begin(&self, seats: u32) {
        self.executing.fetch_add(1, Relaxed);
        self.seats.fetch_add(i64::from(seats), Relaxed);
    }

    pub(super) fn end(&self, seats: u32, took: Duration) {
        self.executing.fetch_sub(1, Relaxed);
        self.seats.fetch_sub(i64::from(seats), Relaxed);
        self.execution.observe(took);
    }
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        self.0.inqueue.fetch_sub(1, Relaxed);
    }
}

/// Appends everything.
pub(super) fn render(plan: &Plan, out: &mut String) {
    render_levels(plan, out);
    let labels: Vec<String> = plan
        .schemas
        .iter()
        .map(|schema| format!("flow_schema=\"{}\",priority_level=\"{}\"", schema.name, schema.level.name))
        .collect();
    let all = || plan.schemas.iter().zip(&labels);
    type Gauge = fn(&Stats) -> i64;
    let gauges: [(&str, &str, Gauge); 4] = [
        (
            "current_executing_requests",
            "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and Fairness subsystem",
            |s| s.executing.load(Relaxed),
        ),
        (
            "current_executing_seats",
            "Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem",
            |s| s.seats.load(Relaxed),
        ),
        (
            "current_inqueue_requests",
            "Number of requests currently pending in queues of the API Priority and Fairness subsystem",
            |s| s.inqueue.load(Relaxed),
        ),
        ("dispatched_requests_total", "Number of requests executed by API Priority and Fairness subsystem", |s| {
            i64::try_from(s.dispatched.load(Relaxed)).unwrap_or(i64::MAX)
        }),
    ];
    for (name, help, of) in gauges {
        head(out, name, help, if name.ends_with("_total") { "counter" } else { "gauge" });
        for (schema, labels) in all() {
            line(out, format_args!("apiserver_flowcontrol_{name}{{{labels}}} {}", of(&schema.stats)));
        }
    }
    render_outcomes(plan, &labels, out);
}

/// What became of requests, and how long that took.
fn render_outcomes(plan: &Plan, labels: &[String], out: &mut String) {
    let all = || plan.schemas.iter().zip(labels);
    head(
        out,
        "rejected_requests_total",
        "Number of requests rejected by API Priority and Fairness subsystem",
        "counter",
    );
    for (schema, labels) in all() {
        for why in [Refused::QueueFull, Refused::TimeOut, Refused::ConcurrencyLimit] {
            let count = match why {
                Refused::QueueFull => &schema.stats.queue_full,
                Refused::TimeOut => &schema.stats.timed_out,
                Refused::ConcurrencyLimit => &schema.stats.over_limit,
            };
            let (count, reason) = (count.load(Relaxed), why.reason());
            if count > 0 {
                line(
                    out,
                    format_args!(
                        "apiserver_flowcontrol_rejected_requests_total{{{labels},reason=\"{reason}\"}} {count}"
                    ),
                );
            }
        }
    }
    head(out, "request_wait_duration_seconds", "Length of time a request spent waiting in its queue", "histogram");
    for (schema, labels) in all() {
        let labels = format!("execute=\"true\",{labels}");
        Histogram::render(&[&schema.stats.wait], "apiserver_flowcontrol_request_wait_duration_seconds", &labels, out);
    }
    head(
        out,
        "request_execution_seconds",
        "Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request execution in the API Priority and Fairness subsystem",
        "histogram",
    );
    for (schema, labels) in all() {
        Histogram::render(&[&schema.stats.execution], "apiserver_flowcontrol_request_execution_seconds", labels, out);
    }
}

fn render_levels(plan: &Plan, out: &mut String) {
    type Limit = fn(u32, u32, u32) -> u32;
    let limits: [(&str, &str, Limit); 4] = [
        (
            "nominal_limit_seats",
            "Nominal number of execution seats configured for each priority level",
            |_, nominal, _| nominal,
        ),
        (
            "current_limit_seats",
            "current derived number of execution seats available to each priority level",
            |_, nominal, _| nominal,
        ),
        (
            "lower_limit_seats",
            "Configured lower bound on number of execution seats available to each priority level",
            |min, _, _| min,
        ),
        (
            "upper_limit_seats",
            "Configured upper bound on number of execution seats available to each priority level",
            |_, _, max| max,
        ),
    ];
    for (name, help, of) in limits {
        head(out, name, help, "gauge");
        for level in &plan.levels {
            let seats = level.limits.as_ref().map_or(0, |limits| of(limits.min, limits.nominal, limits.max));
            line(out, format_args!("apiserver_flowcontrol_{name}{{priority_level=\"{}\"}} {seats}", level.name));
        }
    }
    head(out, "demand_seats", "Seats in use and requests that wait, for each priority level", "gauge");
    for level in &plan.levels {
        let (executing, waiting) = level.load();
        line(
            out,
            format_args!(
                "apiserver_flowcontrol_demand_seats{{priority_level=\"{}\"}} {}",
                level.name,
                executing + waiting
            ),
        );
    }
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    line(out, format_args!("# HELP apiserver_flowcontrol_{name} [BETA] {help}"));
    line(out, format_args!("# TYPE apiserver_flowcontrol_{name} {kind}"));
}
