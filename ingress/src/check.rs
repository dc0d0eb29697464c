//! Active checks: one task asks every endpoint of a backend that wants it, whatever the number of workers and routes.
//!
//! Speaks as requests do, over connections of its own; marks endpoints, picks none.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Method, Request};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::Timeouts;
use crate::proxy::body::RequestBody;
use crate::proxy::upstream::{Pool, Target};
use crate::route::{Backend, Endpoint, HealthCheck, RouteTable, Wire};

/// How often it is looked whose turn it is.
const TICK: Duration = Duration::from_millis(100);
/// Checks on their way at once; more wait for the next tick.
const AT_ONCE: usize = 64;
/// Bytes of an answer's head.
const HEAD_BYTES: usize = 16 * 1024;

/// What is known of one endpoint's checks.
struct Record {
    endpoint: Arc<Endpoint>,
    due: u64,
    running: bool,
    passes: u32,
    fails: u32,
}

/// One check on its way.
struct Task {
    backend: Arc<Backend>,
    endpoint: Arc<Endpoint>,
    wire: Arc<Wire>,
    check: Arc<HealthCheck>,
}

/// Checks until `stop`.
pub async fn run(table: Arc<ArcSwap<RouteTable>>, stop: CancellationToken) {
    let mut records = HashMap::<u64, Record>::new();
    let mut running = JoinSet::new();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(done) = running.join_next() => match done {
                Ok((task, well)) => note(&mut records, &task, well),
                Err(error) => tracing::error!(%error, "a health check broke"),
            },
            _ = tick.tick() => {
                for task in due(&table.load(), &mut records, AT_ONCE.saturating_sub(running.len())) {
                    running.spawn(async move {
                        let well = passes(&task).await;
                        (task, well)
                    });
                }
            }
        }
    }
}

/// Whose turn it is, at most `room`; forgets endpoints that are gone or checked no more.
fn due(table: &RouteTable, records: &mut HashMap<u64, Record>, room: usize) -> Vec<Task> {
    let now = clock::now();
    let (mut tasks, mut seen) = (Vec::new(), HashSet::new());
    for route in table.routes() {
        let Some(check) = &route.backend.upkeep.check else { continue };
        for endpoint in route.backend.endpoints() {
            if !seen.insert(endpoint.id) {
                continue;
            }
            // The first checks are spread over the interval.
            let first = || {
                let due = now.saturating_add(spread(endpoint.id, check.interval));
                Record { endpoint: endpoint.clone(), due, running: false, passes: 0, fails: 0 }
            };
            let record = records.entry(endpoint.id).or_insert_with(first);
            if record.running || record.due > now || tasks.len() >= room {
                continue;
            }
            (record.running, record.due) = (true, now.saturating_add(millis(check.interval)));
            let wire = route.wiring.wire(&HeaderValue::from_static("http")).clone();
            let (backend, endpoint, check) = (route.backend.clone(), endpoint.clone(), check.clone());
            tasks.push(Task { backend, endpoint, wire, check });
        }
    }
    records.retain(|id, record| {
        let stays = record.running || seen.contains(id);
        if !stays {
            // Nobody asks it any more, so nobody would ever find it well.
            record.endpoint.checked(true, now);
        }
        stays
    });
    tasks
}

fn note(records: &mut HashMap<u64, Record>, task: &Task, well: bool) {
    let Some(record) = records.get_mut(&task.endpoint.id) else { return };
    record.running = false;
    (record.passes, record.fails) = if well { (record.passes + 1, 0) } else { (0, record.fails + 1) };
    let now = clock::now();
    if well && record.passes >= task.check.passes {
        task.endpoint.checked(true, now);
    } else if !well && record.fails >= task.check.fails {
        task.endpoint.checked(false, now);
    }
    task.backend.judge_checks(now);
}

/// Whether the endpoint answers 2xx or 3xx in time.
async fn passes(task: &Task) -> bool {
    let Task { endpoint, wire, check, .. } = task;
    let timeouts = Timeouts { connect: check.timeout, ..Timeouts::default() };
    let ask = async {
        let pool = Arc::new(Pool::new(0, Duration::ZERO, HEAD_BYTES));
        let target = Target { endpoint, wire, ends: None };
        let mut lease = pool.connect(target, &timeouts).await.map_err(|error| error.to_string())?;
        let answer = lease.exchange(question(endpoint, check)).await;
        answer.map(|answer| answer.status()).map_err(|_| "no answer".to_owned())
    };
    let verdict = tokio::time::timeout(check.timeout, ask).await.unwrap_or_else(|_| Err("too late".to_owned()));
    let well = verdict.as_ref().is_ok_and(|status| status.is_success() || status.is_redirection());
    if !well {
        let (address, member) = (endpoint.key.address, &endpoint.key.cluster);
        tracing::debug!(backend = &*task.backend.name, %address, %member, ?verdict, "a health check failed");
    }
    well
}

fn question(endpoint: &Endpoint, check: &HealthCheck) -> Request<RequestBody> {
    let mut request = Request::new(RequestBody::none());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = check.path.clone();
    let host = check.host.clone().unwrap_or_else(|| {
        HeaderValue::from_str(&endpoint.key.address.to_string()).expect("an address is a header value")
    });
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("fedgate-check"));
    request
}

fn spread(id: u64, interval: Duration) -> u64 {
    id.wrapping_mul(0x9e37_79b9_7f4a_7c15) % millis(interval).max(1)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
