//! The server's own metrics, under upstream's names, as Prometheus text.
//!
//! Labels are bounded: resources that do not exist share one series.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;

use crate::request::RequestInfo;

/// Upper bounds of the duration histogram, in seconds.
const BUCKETS_S: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// Series of request counts at most; later ones are counted under `other`.
const MAX_SERIES: usize = 5_000;

/// Counters of one server.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Guards the series; held for one addition or one rendering.
    requests: Mutex<BTreeMap<Series, Counts>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

#[derive(Debug, Default)]
struct Counts {
    by_code: BTreeMap<u16, u64>,
    buckets: [u64; BUCKETS_S.len()],
    count: u64,
    sum_s: f64,
}

impl Metrics {
    /// Counts one answered request.
    pub(crate) fn observe(&self, info: &RequestInfo, known: bool, code: StatusCode, took: Duration) {
        let mut requests = self.requests.lock();
        let mut series = Series::of(info, known);
        if requests.len() >= MAX_SERIES && !requests.contains_key(&series) {
            series = Series::other();
        }
        let counts = requests.entry(series).or_default();
        *counts.by_code.entry(code.as_u16()).or_default() += 1;
        if info.verb != "watch" {
            let took_s = took.as_secs_f64();
            for (at, bound) in BUCKETS_S.iter().enumerate() {
                counts.buckets[at] += u64::from(took_s <= *bound);
            }
            counts.count += 1;
            counts.sum_s += took_s;
        }
    }

    /// The text of `/metrics`; sizes are (storage name, objects), loads (reading, writing, watching).
    pub(crate) fn render(&self, sizes: &[(String, usize)], loads: (usize, usize, usize)) -> String {
        let mut out = String::from(
            "# HELP apiserver_request_total Counter of apiserver requests broken out for each verb, group, version, resource, scope and code.\n# TYPE apiserver_request_total counter\n",
        );
        let requests = self.requests.lock();
        for (series, counts) in requests.iter() {
            for (code, count) in &counts.by_code {
                line(&mut out, format_args!("apiserver_request_total{{code=\"{code}\",{series}}} {count}"));
            }
        }
        out.push_str("# HELP apiserver_request_duration_seconds Response latency distribution in seconds.\n# TYPE apiserver_request_duration_seconds histogram\n");
        for (series, counts) in requests.iter().filter(|(_, counts)| counts.count > 0) {
            for (bound, count) in BUCKETS_S.iter().zip(counts.buckets) {
                line(
                    &mut out,
                    format_args!("apiserver_request_duration_seconds_bucket{{{series},le=\"{bound}\"}} {count}"),
                );
            }
            let Counts { count, sum_s, .. } = counts;
            line(&mut out, format_args!("apiserver_request_duration_seconds_bucket{{{series},le=\"+Inf\"}} {count}"));
            line(&mut out, format_args!("apiserver_request_duration_seconds_sum{{{series}}} {sum_s}"));
            line(&mut out, format_args!("apiserver_request_duration_seconds_count{{{series}}} {count}"));
        }
        drop(requests);
        out.push_str("# HELP apiserver_storage_objects Number of stored objects at the time of last check split by kind.\n# TYPE apiserver_storage_objects gauge\n");
        for (name, count) in sizes {
            let (group, resource) = name.split_once('/').unwrap_or(("", name));
            let dotted = if group == "core" { resource.to_owned() } else { format!("{resource}.{group}") };
            line(&mut out, format_args!("apiserver_storage_objects{{resource=\"{dotted}\"}} {count}"));
        }
        out.push_str("# HELP apiserver_current_inflight_requests Number of currently used inflight request limit of this apiserver.\n# TYPE apiserver_current_inflight_requests gauge\n");
        line(&mut out, format_args!("apiserver_current_inflight_requests{{request_kind=\"readOnly\"}} {}", loads.0));
        line(&mut out, format_args!("apiserver_current_inflight_requests{{request_kind=\"mutating\"}} {}", loads.1));
        out.push_str("# HELP apiserver_longrunning_requests Gauge of all active long-running apiserver requests.\n# TYPE apiserver_longrunning_requests gauge\n");
        line(&mut out, format_args!("apiserver_longrunning_requests{{verb=\"WATCH\"}} {}", loads.2));
        out
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a String takes any text");
}

impl Series {
    fn of(info: &RequestInfo, known: bool) -> Self {
        if !known {
            return Self::other();
        }
        if !info.is_resource {
            return Self { verb: "GET".to_owned(), ..Self::other() };
        }
        let scope = match (info.namespace.is_empty(), info.name.is_empty()) {
            (_, false) => "resource",
            (false, true) => "namespace",
            (true, true) => "cluster",
        };
        Self {
            verb: info.verb.to_ascii_uppercase(),
            group: info.group.clone(),
            version: info.version.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            scope,
        }
    }

    fn other() -> Self {
        Self {
            verb: "other".to_owned(),
            group: String::new(),
            version: String::new(),
            resource: String::new(),
            subresource: String::new(),
            scope: "",
        }
    }
}

impl std::fmt::Display for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { verb, group, version, resource, subresource, scope } = self;
        write!(
            f,
            "group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\""
        )
    }
}
