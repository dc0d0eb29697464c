//! The server's own metrics, under upstream's names, as Prometheus text.
//!
//! Labels are bounded: resources that do not exist share one series.

mod histogram;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;
use parking_lot::{Mutex, RwLock};

pub(crate) use self::histogram::{Histogram, line};
use crate::request::RequestInfo;

/// Upper bounds of the duration histogram, in seconds.
const BUCKETS_S: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// Series of request counts at most; later ones are counted under `other`.
const MAX_SERIES: usize = 5_000;

/// Counters of one server.
#[derive(Debug)]
pub(crate) struct Metrics {
    seed: std::hash::RandomState,
    /// Guards the map; what is counted often is counted under a shared lock.
    requests: RwLock<HashMap<u64, Arc<Counts>>>,
    /// Guards the map; its counters are shared with the watches.
    watches: Mutex<BTreeMap<(String, String, String), Arc<AtomicU64>>>,
    store_writes: Histogram<{ BUCKETS_S.len() }>,
}

/// What a request is counted under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

/// Requests of one series with one code.
#[derive(Debug)]
struct Counts {
    series: Series,
    code: u16,
    count: AtomicU64,
    took: Histogram<{ BUCKETS_S.len() }>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            seed: std::hash::RandomState::default(),
            requests: RwLock::default(),
            watches: Mutex::default(),
            store_writes: Histogram::new(&BUCKETS_S),
        }
    }
}

impl Metrics {
    /// Counts one answered request.
    pub(crate) fn observe(&self, info: &RequestInfo, known: bool, code: StatusCode, took: Duration) {
        let key = self.key(info, known, code);
        let found = self.requests.read().get(&key).cloned();
        let counts = found.unwrap_or_else(|| self.series(key, info, known, code));
        counts.count.fetch_add(1, Relaxed);
        if info.verb != "watch" {
            counts.took.observe(took);
        }
    }

    /// Counts one write of the store.
    pub(crate) fn observe_store_write(&self, took: Duration) {
        self.store_writes.observe(took);
    }

    /// The counter of events that watches of a resource were told.
    pub(crate) fn watch_events(&self, info: &RequestInfo) -> Arc<AtomicU64> {
        let key = (info.group.clone(), info.version.clone(), info.resource.clone());
        Arc::clone(self.watches.lock().entry(key).or_default())
    }

    /// Without an allocation: this is on every request's path.
    fn key(&self, info: &RequestInfo, known: bool, code: StatusCode) -> u64 {
        let mut hasher = self.seed.build_hasher();
        hasher.write_u16(code.as_u16());
        if known && info.is_resource {
            for part in [&info.verb, &info.group, &info.version, &info.resource, &info.subresource] {
                hasher.write(part.as_bytes());
                hasher.write_u8(0xff);
            }
            hasher.write(scope(info).as_bytes());
        } else {
            hasher.write_u8(u8::from(known));
        }
        hasher.finish()
    }

    fn series(&self, key: u64, info: &RequestInfo, known: bool, code: StatusCode) -> Arc<Counts> {
        let mut requests = self.requests.write();
        let full = requests.len() >= MAX_SERIES;
        let (key, series) =
            if full { (u64::from(code.as_u16()), Series::other()) } else { (key, Series::of(info, known)) };
        let counts = requests.entry(key).or_insert_with(|| {
            let (count, took) = (AtomicU64::new(0), Histogram::new(&BUCKETS_S));
            Arc::new(Counts { series, code: code.as_u16(), count, took })
        });
        Arc::clone(counts)
    }

    /// The text of `/metrics`; sizes are (storage name, objects), loads (reading, writing, watching).
    pub(crate) fn render(&self, sizes: &[(String, usize)], loads: (usize, usize, usize)) -> String {
        let mut out = String::from(
            "# HELP apiserver_request_total Counter of apiserver requests broken out for each verb, group, version, resource, scope and code.\n# TYPE apiserver_request_total counter\n",
        );
        let mut all: Vec<Arc<Counts>> = self.requests.read().values().cloned().collect();
        all.sort_by(|a, b| (&a.series, a.code).cmp(&(&b.series, b.code)));
        for counts in &all {
            let Counts { series, code, count, .. } = &**counts;
            let count = count.load(Relaxed);
            line(&mut out, format_args!("apiserver_request_total{{code=\"{code}\",{series}}} {count}"));
        }
        out.push_str("# HELP apiserver_request_duration_seconds Response latency distribution in seconds.\n# TYPE apiserver_request_duration_seconds histogram\n");
        for same in all.chunk_by(|a, b| a.series == b.series) {
            let timed: Vec<&Histogram<_>> = same.iter().map(|counts| &counts.took).collect();
            if timed.iter().any(|took| took.count() > 0) {
                let labels = same[0].series.to_string();
                Histogram::render(&timed, "apiserver_request_duration_seconds", &labels, &mut out);
            }
        }
        out.push_str("# HELP etcd_request_duration_seconds Etcd request latency in seconds for each operation and object type.\n# TYPE etcd_request_duration_seconds histogram\n");
        let labels = "operation=\"update\",type=\"all\"";
        Histogram::render(&[&self.store_writes], "etcd_request_duration_seconds", labels, &mut out);
        out.push_str("# HELP apiserver_watch_events_total Number of events sent in watch clients.\n# TYPE apiserver_watch_events_total counter\n");
        for ((group, version, resource), count) in self.watches.lock().iter() {
            let labels = format!("group=\"{group}\",resource=\"{resource}\",version=\"{version}\"");
            line(&mut out, format_args!("apiserver_watch_events_total{{{labels}}} {}", count.load(Relaxed)));
        }
        render_loads(sizes, loads, &mut out);
        out
    }
}

fn render_loads(sizes: &[(String, usize)], loads: (usize, usize, usize), out: &mut String) {
    out.push_str("# HELP apiserver_storage_objects Number of stored objects at the time of last check split by kind.\n# TYPE apiserver_storage_objects gauge\n");
    for (name, count) in sizes {
        let (group, resource) = name.split_once('/').unwrap_or(("", name));
        let dotted = if group == "core" { resource.to_owned() } else { format!("{resource}.{group}") };
        line(out, format_args!("apiserver_storage_objects{{resource=\"{dotted}\"}} {count}"));
    }
    out.push_str("# HELP apiserver_current_inflight_requests Number of currently used inflight request limit of this apiserver.\n# TYPE apiserver_current_inflight_requests gauge\n");
    line(out, format_args!("apiserver_current_inflight_requests{{request_kind=\"readOnly\"}} {}", loads.0));
    line(out, format_args!("apiserver_current_inflight_requests{{request_kind=\"mutating\"}} {}", loads.1));
    out.push_str("# HELP apiserver_longrunning_requests Gauge of all active long-running apiserver requests.\n# TYPE apiserver_longrunning_requests gauge\n");
    line(out, format_args!("apiserver_longrunning_requests{{verb=\"WATCH\"}} {}", loads.2));
}

fn scope(info: &RequestInfo) -> &'static str {
    match (info.namespace.is_empty(), info.name.is_empty()) {
        (_, false) => "resource",
        (false, true) => "namespace",
        (true, true) => "cluster",
    }
}

impl Series {
    fn of(info: &RequestInfo, known: bool) -> Self {
        if !known {
            return Self::other();
        }
        if !info.is_resource {
            return Self { verb: "GET".to_owned(), ..Self::other() };
        }
        Self {
            verb: info.verb.to_ascii_uppercase(),
            group: info.group.clone(),
            version: info.version.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            scope: scope(info),
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
