//! Counters of the data plane: one shard a worker, so that no request touches a line of memory that another core writes.
//!
//! Knows names and text format; must not know who serves them.

pub mod book;

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::failure::{CAUSES, Cause};
use crate::route::RouteTable;
use book::Books;

/// Upper bounds of the duration histogram, in microseconds.
const BUCKETS: [u64; 12] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000];

/// One event that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Connection,
    TlsFailed,
    ConnectFailed,
    ConnectTimeout,
    ResponseTimeout,
    UpstreamClosed,
    Retry,
    Ejection,
    Reused,
    Tunnel,
    Refused,
    Copy,
    CopyDropped,
}

const COUNTS: [(Count, &str, &str); 13] = [
    (Count::Connection, "connections_total", "Downstream connections accepted."),
    (Count::TlsFailed, "tls_handshake_failures_total", "TLS handshakes that did not end."),
    (Count::ConnectFailed, "upstream_connect_failures_total", "Connects that an endpoint refused."),
    (Count::ConnectTimeout, "upstream_connect_timeouts_total", "Connects that an endpoint did not answer in time."),
    (Count::ResponseTimeout, "upstream_response_timeouts_total", "Answers that did not begin in time."),
    (Count::UpstreamClosed, "upstream_closed_total", "Upstream connections lost before the answer began."),
    (Count::Retry, "retries_total", "Requests sent again to another endpoint."),
    (Count::Ejection, "ejections_total", "Endpoints kept out for a while after a connect error."),
    (Count::Reused, "upstream_reuses_total", "Requests sent over a kept upstream connection."),
    (Count::Tunnel, "tunnels_total", "Connections upgraded to another protocol."),
    (Count::Refused, "refused_requests_total", "Requests that no backend may see: malformed, too big, ambiguous."),
    (Count::Copy, "mirror_copies_total", "Copies of requests begun for mirrors."),
    (
        Count::CopyDropped,
        "mirror_copies_dropped_total",
        "Copies left out: too many to that mirror, or of all, were under way.",
    ),
];

/// All shards.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    shards: Vec<Arc<Shard>>,
    /// Lines of the access log that were dropped; rarely touched.
    lost_lines: Arc<AtomicU64>,
    /// Traced requests whose spans were dropped.
    lost_spans: Arc<AtomicU64>,
}

/// One worker's counters.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Shard {
    counts: [AtomicU64; COUNTS.len()],
    /// By the first digit of the status.
    statuses: [AtomicU64; 6],
    durations: [AtomicU64; BUCKETS.len() + 1],
    duration_sum: AtomicU64,
    opened: AtomicU64,
    closed: AtomicU64,
    failures: [AtomicU64; CAUSES.len()],
    pub(crate) books: Books,
}

/// A downstream connection that is open.
#[derive(Debug)]
pub struct Connected(Arc<Shard>);

impl Drop for Connected {
    fn drop(&mut self) {
        bump(&self.0.closed, 1);
    }
}

impl Shard {
    /// Counts one event.
    pub fn count(&self, what: Count) {
        bump(&self.counts[what as usize], 1);
    }

    /// Counts one answered request.
    pub fn answered(&self, status: http::StatusCode, took: Duration) {
        bump(&self.statuses[usize::from(status.as_u16() / 100).min(5)], 1);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|bound| micros <= *bound).unwrap_or(BUCKETS.len());
        bump(&self.durations[bucket], 1);
        bump(&self.duration_sum, micros);
    }

    /// Counts one failure of an endpoint.
    pub fn failed(&self, cause: Cause) {
        bump(&self.failures[cause as usize], 1);
    }

    /// A downstream connection began; it ends with what is given back, however that comes.
    #[must_use]
    pub fn opened(self: &Arc<Self>) -> Connected {
        bump(&self.opened, 1);
        self.count(Count::Connection);
        Connected(self.clone())
    }

    /// What was counted so far.
    #[must_use]
    pub fn get(&self, what: Count) -> u64 {
        self.counts[what as usize].load(Ordering::Relaxed)
    }
}

/// Only the shard's own worker writes, so a load and a store do, without a locked instruction.
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

impl Metrics {
    /// Shards for `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { shards: (0..workers).map(|_| Arc::default()).collect(), ..Self::default() }
    }

    pub(crate) fn shard(&self, worker: usize) -> Arc<Shard> {
        self.shards[worker].clone()
    }

    pub(crate) fn lost_lines_counter(&self) -> Arc<AtomicU64> {
        self.lost_lines.clone()
    }

    pub(crate) fn lost_spans_counter(&self) -> Arc<AtomicU64> {
        self.lost_spans.clone()
    }

    /// Lines of the access log that nobody took in time.
    #[must_use]
    pub fn lost_lines(&self) -> u64 {
        self.lost_lines.load(Ordering::Relaxed)
    }

    /// The sum of a counter over all workers.
    #[must_use]
    pub fn get(&self, what: Count) -> u64 {
        self.shards.iter().map(|shard| shard.get(what)).sum()
    }

    /// The sum of one kind of failure over all workers.
    #[must_use]
    pub fn failures(&self, cause: Cause) -> u64 {
        self.sum(|shard| &shard.failures[cause as usize])
    }

    /// Downstream connections that are open now.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        self.sum(|shard| &shard.opened).saturating_sub(self.sum(|shard| &shard.closed))
    }

    /// Appends everything in Prometheus' text format.
    pub fn render(&self, to: &mut String) {
        for (count, name, help) in COUNTS {
            family(to, name, "counter", help);
            line(to, format_args!("fedgate_ingress_{name} {}", self.get(count)));
        }
        family(to, "access_log_dropped_total", "counter", "Lines of the access log that its reader was too slow for.");
        line(to, format_args!("fedgate_ingress_access_log_dropped_total {}", self.lost_lines()));
        family(to, "trace_spans_dropped_total", "counter", "Traced requests whose spans no collector took in time.");
        let lost = self.lost_spans.load(Ordering::Relaxed);
        line(to, format_args!("fedgate_ingress_trace_spans_dropped_total {lost}"));
        family(to, "upstream_failures_total", "counter", "What went wrong with endpoints, retried or not.");
        for (cause, word) in CAUSES {
            let sum = self.failures(cause);
            line(to, format_args!("fedgate_ingress_upstream_failures_total{{reason=\"{word}\"}} {sum}"));
        }
        family(to, "open_connections", "gauge", "Downstream connections that are open.");
        line(to, format_args!("fedgate_ingress_open_connections {}", self.open_connections()));
        family(to, "requests_total", "counter", "Answers by class of status.");
        for class in 1..=5 {
            let sum = self.sum(|shard| &shard.statuses[class]);
            line(to, format_args!("fedgate_ingress_requests_total{{code=\"{class}xx\"}} {sum}"));
        }
        let name = "request_duration_seconds";
        family(to, name, "histogram", "From the request's head to the answer's head.");
        let mut below = 0;
        for (index, bound) in BUCKETS.iter().enumerate() {
            below += self.sum(|shard| &shard.durations[index]);
            #[allow(clippy::cast_precision_loss)] // bounds are small
            let seconds = *bound as f64 / 1e6;
            line(to, format_args!("fedgate_ingress_{name}_bucket{{le=\"{seconds}\"}} {below}"));
        }
        below += self.sum(|shard| &shard.durations[BUCKETS.len()]);
        line(to, format_args!("fedgate_ingress_{name}_bucket{{le=\"+Inf\"}} {below}"));
        let micros = self.sum(|shard| &shard.duration_sum);
        line(to, format_args!("fedgate_ingress_{name}_sum {}.{:06}", micros / 1_000_000, micros % 1_000_000));
        line(to, format_args!("fedgate_ingress_{name}_count {below}"));
    }

    /// Appends what each Ingress of `table` was asked, in Prometheus' text format.
    pub fn render_routes(&self, table: &RouteTable, to: &mut String) {
        book::render(self.shards.iter().map(|shard| &shard.books), table, to);
    }

    fn sum(&self, counter: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.shards.iter().map(|shard| counter(shard).load(Ordering::Relaxed)).sum()
    }
}

fn family(to: &mut String, name: &str, kind: &str, help: &str) {
    line(to, format_args!("# HELP fedgate_ingress_{name} {help}"));
    line(to, format_args!("# TYPE fedgate_ingress_{name} {kind}"));
}

fn line(to: &mut String, text: std::fmt::Arguments<'_>) {
    to.write_fmt(text).expect("writing to a String cannot fail");
    to.push('\n');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{COUNTS, Count, Metrics};

    #[test]
    fn counters_sum_over_shards_and_buckets_are_cumulative() {
        let metrics = Metrics::new(2);
        metrics.shard(0).count(Count::Retry);
        metrics.shard(1).count(Count::Retry);
        metrics.shard(0).answered(http::StatusCode::OK, Duration::from_micros(700));
        metrics.shard(1).answered(http::StatusCode::BAD_GATEWAY, Duration::from_secs(60));
        let mut text = String::new();
        metrics.render(&mut text);
        for wanted in [
            "fedgate_ingress_retries_total 2\n",
            "fedgate_ingress_requests_total{code=\"2xx\"} 1\n",
            "fedgate_ingress_requests_total{code=\"5xx\"} 1\n",
            "fedgate_ingress_request_duration_seconds_bucket{le=\"0.0005\"} 0\n",
            "fedgate_ingress_request_duration_seconds_bucket{le=\"0.001\"} 1\n",
            "fedgate_ingress_request_duration_seconds_bucket{le=\"+Inf\"} 2\n",
            "fedgate_ingress_request_duration_seconds_sum 60.000700\n",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert!(COUNTS.iter().enumerate().all(|(index, (count, ..))| *count as usize == index));
    }
}
