//! Asks the servers behind remote APIServices how they are and what they serve, and writes the condition Available.
//!
//! One task a server of ours, level-triggered; one that hangs delays no other. Nobody is asked where there is no remote
//! APIService. Source: k8s.io/kube-aggregator `pkg/controllers/status/remote`, `pkg/apiserver/handler_discovery.go`.

mod ask;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Weak};
use std::time::Duration;

use auth::UserInfo;
use federation_types::Gvr;
use hub_client::error::ApiError;
use hub_client::{Hub, WriteOptions};
use serde_json::Value;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use super::condition::{self, Condition};
use super::service::Remote;
use super::{GROUP, PLURAL, STORAGE};
use crate::cache::{Entry, ResourceCache, Scope, Watcher};
use crate::hook::slices;
use crate::server::Server;
use crate::service::Api;

/// How often a server is asked that is well.
const AGAIN: Duration = Duration::from_secs(30);
/// How soon one is asked again that is not; twice as long every time, up to [`AGAIN`].
const RETRY: Duration = Duration::from_millis(200);
/// How long the task sleeps at most: it has to notice that its own server is gone.
const IDLE: Duration = Duration::from_secs(60);
/// Changes that come closer together are looked at together.
const QUIET: Duration = Duration::from_millis(50);
/// Servers that are asked at once.
const AT_ONCE: usize = 16;

/// What is remembered of one APIService.
struct Watched {
    /// What it, its Service and its endpoints were when it was last asked.
    seen: u64,
    due: Instant,
    failures: u32,
    /// Who asks it now.
    asking: Option<Id>,
}

/// What followed from asking one server.
struct Asked {
    /// What was to be seen when it was asked, where that came to an end.
    seen: Option<u64>,
    well: bool,
}

/// Keeps the conditions of remote APIServices until the server is gone.
pub(crate) async fn run(server: Weak<Server>) {
    let Some(strong) = server.upgrade() else { return };
    let sources = [STORAGE, "core/services", "discovery.k8s.io/endpointslices"].map(|name| strong.cache.resource(name));
    let draining = strong.draining.clone();
    drop(strong);
    let mut watched: BTreeMap<String, Watched> = BTreeMap::new();
    let mut asking: JoinSet<Asked> = JoinSet::new();
    let mut follow = sources.each_ref().map(watch);
    loop {
        let Some(strong) = server.upgrade() else { return };
        let due = look(&strong, &mut watched, &mut asking);
        drop(strong);
        let [services, endpoints, slices] = &mut follow;
        let any = !watched.is_empty();
        tokio::select! {
            () = services.changed() => {}
            () = endpoints.changed(), if any => {}
            () = slices.changed(), if any => {}
            Some(ended) = asking.join_next_with_id() => match ended {
                Ok((task, asked)) => settle(&mut watched, task, asked),
                Err(error) => {
                    tracing::error!(%error, "asking an aggregated API server failed");
                    settle(&mut watched, error.id(), Asked { seen: None, well: false });
                }
            },
            () = tokio::time::sleep_until(due) => {}
            () = draining.cancelled() => return,
        }
        tokio::time::sleep(QUIET).await;
        follow.iter_mut().for_each(Follow::skip);
    }
}

/// Follows a resource without looking at what changes.
struct Follow {
    cache: Arc<ResourceCache>,
    watcher: Option<Watcher>,
}

fn watch(cache: &Arc<ResourceCache>) -> Follow {
    Follow { cache: Arc::clone(cache), watcher: cache.watch(Scope::All, cache.revision()).ok() }
}

impl Follow {
    /// Waits for a change.
    async fn changed(&mut self) {
        if let Some(watcher) = &mut self.watcher
            && watcher.next().await.is_ok()
        {
            return;
        }
        self.watcher = self.cache.watch(Scope::All, self.cache.revision()).ok();
    }

    /// Forgets what has changed until now.
    fn skip(&mut self) {
        self.watcher = self.cache.watch(Scope::All, self.cache.revision()).ok();
    }
}

/// Begins to ask whoever is due; says when the next one is.
fn look(server: &Arc<Server>, watched: &mut BTreeMap<String, Watched>, asking: &mut JoinSet<Asked>) -> Instant {
    let (now, routes) = (Instant::now(), server.aggregation.routes());
    let names: Vec<&str> = routes.iter().map(|remote| remote.name.as_str()).collect();
    watched.retain(|name, _| {
        let stays = names.contains(&name.as_str());
        if !stays {
            server.aggregation.learn(name, None);
        }
        stays
    });
    let mut next = now + IDLE;
    for remote in routes.iter() {
        let seen = fingerprint(server, remote);
        let new = Watched { seen, due: now, failures: 0, asking: None };
        let known = watched.entry(remote.name.clone()).or_insert(new);
        if known.seen != seen {
            (known.seen, known.due, known.failures) = (seen, now, 0);
        }
        if known.asking.is_some() {
            continue;
        }
        if known.due > now || asking.len() >= AT_ONCE {
            next = next.min(known.due.max(now + QUIET));
            continue;
        }
        let (server, remote) = (Arc::clone(server), Arc::clone(remote));
        let task = asking.spawn(async move {
            let well = keep(&server, &remote).await;
            Asked { seen: Some(seen), well }
        });
        known.asking = Some(task.id());
    }
    next
}

fn settle(watched: &mut BTreeMap<String, Watched>, task: Id, asked: Asked) {
    // What is gone by now is missed by nobody.
    let Some(known) = watched.values_mut().find(|known| known.asking == Some(task)) else { return };
    known.asking = None;
    if asked.seen.is_some_and(|seen| seen != known.seen) {
        // Something has changed meanwhile: it is due already.
        return;
    }
    known.failures = if asked.well { 0 } else { known.failures.saturating_add(1) };
    let wait = if asked.well { AGAIN } else { (RETRY * 2_u32.pow(known.failures.min(8) - 1)).min(AGAIN) };
    known.due = Instant::now() + wait;
}

/// What an answer may depend on, beside the server itself.
fn fingerprint(server: &Server, remote: &Remote) -> u64 {
    let mut hasher = DefaultHasher::new();
    let object = server.cache.resource(STORAGE).get(&remote.name);
    object.as_ref().and_then(|entry| entry.field(&["spec"])).hash(&mut hasher);
    object.as_ref().and_then(|entry| entry.field(&["metadata", "uid"])).hash(&mut hasher);
    let (namespace, name) = &remote.service;
    service(server, namespace, name).map(|entry| entry.rev()).hash(&mut hasher);
    slices(server, namespace, name).iter().for_each(|entry| entry.rev().hash(&mut hasher));
    hasher.finish()
}

fn service(server: &Server, namespace: &str, name: &str) -> Option<Arc<Entry>> {
    server.cache.resource("core/services").get(&format!("{namespace}/{name}"))
}

/// Asks one server, writes down how it is and remembers what it serves; says whether all is well.
async fn keep(server: &Arc<Server>, remote: &Remote) -> bool {
    let (namespace, name) = &remote.service;
    let found = service(server, namespace, name).map(|entry| entry.value());
    let endpoints: Vec<Value> = slices(server, namespace, name).iter().map(|entry| entry.value()).collect();
    let condition = match condition::obstacle(remote, found.as_ref(), &endpoints) {
        Some(obstacle) => obstacle,
        None => Condition::of_probe(ask::probe(server, remote).await),
    };
    let known = server.aggregation.known.load().get(&remote.name).cloned();
    let documents = if condition.status { ask::documents(server, remote).await } else { Err(String::new()) };
    // Schemas of new resources are published a little later than the resources.
    let complete = documents.as_ref().is_ok_and(|documents| documents.openapi.is_some());
    if let Err(reason) = &documents
        && condition.status
    {
        tracing::debug!(name = %remote.name, %reason, "an aggregated API server does not say what it serves");
    }
    let documents = documents.unwrap_or_else(|_| known.unwrap_or_default().stale());
    if server.aggregation.routes().iter().any(|known| known.name == remote.name) {
        server.aggregation.learn(&remote.name, Some(documents));
    }
    match write(server, remote, &condition).await {
        Ok(()) => condition.status && complete,
        Err(error) if error.is_conflict() || error.is_not_found() => false,
        Err(error) => {
            tracing::warn!(%error, name = %remote.name, "the condition of an APIService cannot be written");
            false
        }
    }
}

async fn write(server: &Arc<Server>, remote: &Remote, condition: &Condition) -> Result<(), ApiError> {
    let Some(entry) = server.cache.resource(STORAGE).get(&remote.name) else { return Ok(()) };
    let mut object = entry.value();
    // It may be another one by now: that is asked in its own time.
    let current = Remote::read(&object).is_some_and(|current| current.destination == remote.destination);
    if !current || !condition::set(&mut object, condition, &server.timestamp()) {
        return Ok(());
    }
    let api = Api::of(Arc::clone(server));
    let user = UserInfo::new("system:apiserver", ["system:masters"]);
    let hub = Hub::new(kube::Client::new(api.in_process(user), "default"));
    let how = WriteOptions { subresource: "status", field_manager: "kube-apiserver", force: false, dry_run: false };
    hub.replace(&Gvr::new(&format!("{GROUP}/v1"), PLURAL), &object, &how).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{AGAIN, Asked, Watched, settle};

    /// Protocol: G1
    #[tokio::test]
    async fn a_server_that_fails_is_asked_less_and_less_often() {
        let task = tokio::spawn(async {}).id();
        let new = Watched { seen: 1, due: Instant::now(), failures: 0, asking: Some(task) };
        let mut watched = BTreeMap::from([("a".to_owned(), new)]);
        let mut settled = |seen: Option<u64>, well: bool| {
            watched.get_mut("a").expect("known").asking = Some(task);
            settle(&mut watched, task, Asked { seen, well });
            let known = &watched["a"];
            assert_eq!(known.asking, None);
            (known.due, known.failures)
        };
        let mut last = Duration::ZERO;
        for n in 1..=12 {
            let (due, failures) = settled(if n == 3 { None } else { Some(1) }, false);
            let wait = due.saturating_duration_since(Instant::now());
            assert_eq!(failures, n);
            assert!(wait <= AGAIN && (n > 8 || wait > last), "{n}: {wait:?}");
            last = wait;
        }
        let (due, failures) = settled(Some(1), true);
        assert_eq!(failures, 0);
        assert_eq!(settled(Some(2), false), (due, 0), "what has changed meanwhile is due when that says so");
    }
}
