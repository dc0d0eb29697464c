//! What a server says of its own health, check by check.
//!
//! Reasons are for the log alone: the paths are open to everybody. Source: k8s.io/apiserver `pkg/server/healthz/healthz.go`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use federation_store::{Cond, Op};
use http::{Response, StatusCode};
use parking_lot::Mutex;

use crate::answer;
use crate::body::Body;
use crate::error::ApiError;
use crate::request::query::Query;
use crate::server::Server;

/// How long the store may take to answer a check; upstream's `--etcd-healthcheck-timeout`.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// Written to find out whether a store that refused a write takes writes again.
const PROBE: &str = "/fedgate/probe";

/// What is remembered between checks.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Whether the last write was refused by the store (a full disk, say).
    write_failed: AtomicBool,
    /// Guards the list; added to while the process starts.
    hooks: Mutex<Vec<(&'static str, Arc<AtomicBool>)>>,
    /// Guards the outcomes; held for one addition or one rendering.
    outcomes: Mutex<BTreeMap<(String, &'static str), Outcomes>>,
}

/// Work that has to be done before the server is ready; not done until [`PostStart::finished`].
#[derive(Debug)]
pub struct PostStart(Arc<AtomicBool>);

#[derive(Debug, Default)]
struct Outcomes {
    healthy: bool,
    passed: u64,
    failed: u64,
}

/// What one check says; the reason of a failure is for the log.
struct Check {
    name: String,
    failure: Option<String>,
}

impl PostStart {
    /// The work is done.
    pub fn finished(&self) {
        self.0.store(true, Relaxed);
    }
}

impl Health {
    /// A check `poststarthook/NAME` that fails until the work is done.
    pub(crate) fn post_start(&self, name: &'static str) -> PostStart {
        let done = Arc::new(AtomicBool::new(false));
        self.hooks.lock().push((name, Arc::clone(&done)));
        PostStart(done)
    }

    /// The store has taken or refused a write.
    pub(crate) fn wrote(&self, taken: bool) {
        if self.write_failed.load(Relaxed) == taken {
            self.write_failed.store(!taken, Relaxed);
        }
    }

    fn record(&self, root: &'static str, check: &Check) {
        let mut outcomes = self.outcomes.lock();
        let outcome = outcomes.entry((check.name.clone(), root)).or_default();
        outcome.healthy = check.failure.is_none();
        *(if outcome.healthy { &mut outcome.passed } else { &mut outcome.failed }) += 1;
    }

    /// The text of `/metrics/slis`.
    pub(crate) fn slis(&self) -> String {
        let outcomes = self.outcomes.lock();
        let mut out = String::from(
            "# HELP kubernetes_healthcheck [STABLE] This metric records the result of a single healthcheck.\n# TYPE kubernetes_healthcheck gauge\n",
        );
        for ((name, root), outcome) in outcomes.iter() {
            let healthy = u8::from(outcome.healthy);
            writeln!(out, "kubernetes_healthcheck{{name=\"{name}\",type=\"{root}\"}} {healthy}").expect("memory");
        }
        out.push_str("# HELP kubernetes_healthchecks_total [STABLE] This metric records the results of all healthcheck.\n# TYPE kubernetes_healthchecks_total counter\n");
        for ((name, root), outcome) in outcomes.iter() {
            for (status, count) in [("error", outcome.failed), ("success", outcome.passed)] {
                let labels = format!("name=\"{name}\",status=\"{status}\",type=\"{root}\"");
                writeln!(out, "kubernetes_healthchecks_total{{{labels}}} {count}").expect("memory");
            }
        }
        out
    }
}

/// Answers `/healthz`, `/livez` and `/readyz`, and with `only` a single check of theirs.
///
/// # Errors
/// 404 for a check that there is not.
pub(crate) async fn answer(
    server: &Server,
    root: &str,
    only: Option<&str>,
    query: &Query,
) -> Result<Response<Body>, ApiError> {
    let root = match root {
        "readyz" => "readyz",
        "livez" => "livez",
        _ => "healthz",
    };
    let checks = checks(server, root).await;
    if let Some(only) = only {
        let check = checks.iter().find(|check| check.name == only).ok_or(ApiError::NoSuchPage)?;
        return Ok(match &check.failure {
            None => answer::text(StatusCode::OK, "ok"),
            Some(_) => {
                answer::text(StatusCode::INTERNAL_SERVER_ERROR, "internal server error: reason withheld\n".to_owned())
            }
        });
    }
    let excluded: Vec<&str> = query.all("exclude").collect();
    let failed: Vec<&Check> =
        checks.iter().filter(|c| c.failure.is_some() && !excluded.contains(&c.name.as_str())).collect();
    for check in &failed {
        tracing::warn!(check = check.name, reason = check.failure, "{root} check failed");
    }
    checks.iter().for_each(|check| server.health.record(root, check));
    if failed.is_empty() && query.get("verbose").is_none() {
        return Ok(answer::text(StatusCode::OK, "ok"));
    }
    let code = if failed.is_empty() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    Ok(answer::text(code, report(root, &checks, &excluded)))
}

/// Names of the checks that keep the server from being ready.
pub(crate) async fn not_ready(server: &Server) -> Vec<String> {
    let failed = checks(server, "readyz").await.into_iter().filter(|check| check.failure.is_some());
    failed.map(|check| check.name).collect()
}

async fn checks(server: &Server, root: &str) -> Vec<Check> {
    let check = |name: &str, failure: Option<String>| Check { name: name.to_owned(), failure };
    let unless = |ok: bool, why: &str| (!ok).then(|| why.to_owned());
    let store = store(server).await;
    let mut checks = vec![check("ping", None), check("log", None), check("etcd", store.clone())];
    if root == "readyz" {
        checks.push(check("etcd-readiness", store));
    }
    checks
        .push(check("informer-sync", unless(server.cache.is_following(), "the watch cache does not follow the store")));
    for (name, done) in server.health.hooks.lock().iter() {
        checks.push(check(&format!("poststarthook/{name}"), unless(done.load(Relaxed), "not finished")));
    }
    if root == "readyz" {
        checks.push(check("shutdown", unless(!server.is_draining(), "process is shutting down")));
    }
    checks
}

/// Why the store cannot be used; after a refused write it has to take one again.
async fn store(server: &Server) -> Option<String> {
    let look = async {
        server.store.current().await.map_err(|error| error.to_string())?;
        if server.health.write_failed.load(Relaxed) {
            let key = Bytes::from_static(PROBE.as_bytes());
            let op = Op::Put { key: key.clone(), val: Bytes::from(server.timestamp()) };
            server.store.txn(vec![(key, Cond::Any)], vec![op]).await.map_err(|error| error.to_string())?;
            server.health.wrote(true);
        }
        Ok::<(), String>(())
    };
    match tokio::time::timeout(STORE_TIMEOUT, look).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(_) => Some(format!("the store did not answer within {} s", STORE_TIMEOUT.as_secs())),
    }
}

fn report(root: &str, checks: &[Check], excluded: &[&str]) -> String {
    let mut out = String::new();
    for Check { name, failure } in checks {
        out.push_str(&match (excluded.contains(&name.as_str()), failure) {
            (true, _) => format!("[+]{name} excluded: ok\n"),
            (false, None) => format!("[+]{name} ok\n"),
            (false, Some(_)) => format!("[-]{name} failed: reason withheld\n"),
        });
    }
    let mut unknown: Vec<&str> =
        excluded.iter().filter(|name| checks.iter().all(|check| check.name != **name)).copied().collect();
    unknown.sort_unstable();
    unknown.dedup();
    if !unknown.is_empty() {
        let list: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
        out.push_str(&format!("warn: some health checks cannot be excluded: no matches for {}\n", list.join(",")));
    }
    let passed = checks.iter().all(|check| check.failure.is_none() || excluded.contains(&check.name.as_str()));
    out.push_str(&format!("{root} check {}\n", if passed { "passed" } else { "failed" }));
    out
}
