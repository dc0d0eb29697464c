//! What each Ingress was asked, under the names that dashboards of ingress-nginx know.
//!
//! One set of books a worker; labels are Ingresses, Services, methods and statuses, never hosts, paths or clients.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use parking_lot::Mutex;

use super::Shard;
use crate::access::GONE;
use crate::route::RouteTable;

/// Upper bounds of durations in milliseconds: those of Prometheus' clients, which ingress-nginx has too.
const BOUNDS: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
/// Methods that are told apart; the rest is `other`.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other"];

/// The books of one worker, by the number of a route's Ingress and Service.
#[derive(Debug, Default)]
pub struct Books {
    /// Only the worker writes; who renders looks in between two requests.
    pages: Mutex<HashMap<u32, Page>>,
}

#[derive(Debug, Clone, Default)]
struct Page {
    /// By status and method; a handful each.
    answers: Vec<((u16, u8), u64)>,
    durations: [u64; BOUNDS.len() + 1],
    micros: u64,
}

/// A request that is counted when its answer has ended.
#[derive(Debug)]
pub struct Tally {
    pub status: StatusCode,
    /// Absent if somebody else counts the request.
    shard: Option<Arc<Shard>>,
    route: u32,
    began: Instant,
    method: u8,
}

impl Tally {
    /// Counts for a route from `began` on: as of a client that has gone, until there is an answer.
    #[must_use]
    pub fn new(shard: Arc<Shard>, route: u32, began: Instant, method: &Method) -> Self {
        let known = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(METHODS.len() - 1);
        let method = u8::try_from(known).expect("there are few methods");
        Self { status: GONE, shard: Some(shard), route, began, method }
    }

    /// Somebody else counts the request.
    pub fn forget(mut self) {
        self.shard = None;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(shard) = &self.shard {
            shard.books.enter(self.route, (self.status.as_u16(), self.method), self.began.elapsed());
        }
    }
}

impl Books {
    fn enter(&self, route: u32, answer: (u16, u8), took: Duration) {
        let mut pages = self.pages.lock();
        let page = pages.entry(route).or_default();
        page.answered(answer, 1);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| micros <= bound * 1_000).unwrap_or(BOUNDS.len());
        page.durations[bucket] += 1;
        page.micros = page.micros.saturating_add(micros);
    }

    /// Forgets routes that are gone.
    pub fn sweep(&self, table: &RouteTable) {
        self.pages.lock().retain(|route, _| table.is_numbered(*route));
    }
}

impl Page {
    fn answered(&mut self, answer: (u16, u8), times: u64) {
        match self.answers.iter_mut().find(|(known, _)| *known == answer) {
            Some((_, count)) => *count += times,
            None => self.answers.push((answer, times)),
        }
    }

    fn add(&mut self, other: &Self) {
        other.answers.iter().for_each(|(answer, count)| self.answered(*answer, *count));
        self.durations.iter_mut().zip(&other.durations).for_each(|(sum, count)| *sum += count);
        self.micros = self.micros.saturating_add(other.micros);
    }
}

/// Appends the books of all workers in Prometheus' text format.
pub fn render<'b>(books: impl Iterator<Item = &'b Books>, table: &RouteTable, to: &mut String) {
    let mut sums: BTreeMap<u32, Page> = BTreeMap::new();
    for book in books {
        for (route, page) in book.pages.lock().iter() {
            sums.entry(*route).or_default().add(page);
        }
    }
    let mut named: BTreeMap<String, Page> = BTreeMap::new();
    for (route, ingress, backend) in table.numbered() {
        let Some(page) = sums.remove(&route) else { continue };
        let (name, namespace, service) = (&ingress.name, &ingress.namespace, service(backend));
        let labels = format!("ingress=\"{name}\",namespace=\"{namespace}\",service=\"{service}\"");
        // Several ports of one Service are one there.
        named.entry(labels).or_default().add(&page);
    }
    let named: Vec<(String, Page)> = named.into_iter().collect();
    if !named.is_empty() {
        written(write_requests(&named, to));
        written(write_durations(&named, to));
    }
}

/// The name of a Service as ingress-nginx has it in this label: without its namespace and port.
fn service(backend: &str) -> &str {
    let name = backend.split_once('/').map_or(backend, |(_, name)| name);
    name.split_once(':').map_or(name, |(name, _)| name)
}

fn written(result: std::fmt::Result) {
    result.expect("writing to a String cannot fail");
}

fn write_requests(named: &[(String, Page)], to: &mut String) -> std::fmt::Result {
    let name = "nginx_ingress_controller_requests";
    writeln!(to, "# HELP {name} Answers by Ingress, Service, method and status.\n# TYPE {name} counter")?;
    for (labels, page) in named {
        for ((status, method), count) in &page.answers {
            let method = METHODS[usize::from(*method)];
            writeln!(to, "{name}{{{labels},method=\"{method}\",status=\"{status}\"}} {count}")?;
        }
    }
    Ok(())
}

fn write_durations(named: &[(String, Page)], to: &mut String) -> std::fmt::Result {
    let name = "nginx_ingress_controller_request_duration_seconds";
    writeln!(to, "# HELP {name} From the request's head to the end of the answer.\n# TYPE {name} histogram")?;
    for (labels, page) in named {
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(&page.durations) {
            below += count;
            #[allow(clippy::cast_precision_loss)] // bounds are small
            let seconds = *bound as f64 / 1e3;
            writeln!(to, "{name}_bucket{{{labels},le=\"{seconds}\"}} {below}")?;
        }
        below += page.durations[BOUNDS.len()];
        let (whole, rest) = (page.micros / 1_000_000, page.micros % 1_000_000);
        writeln!(to, "{name}_bucket{{{labels},le=\"+Inf\"}} {below}")?;
        writeln!(to, "{name}_sum{{{labels}}} {whole}.{rest:06}\n{name}_count{{{labels}}} {below}")?;
    }
    Ok(())
}
