//! Keeps the route table current: follows the hub, builds, swaps; keeps the last snapshot on disk and starts from it.
//!
//! Fails static: what the hub has not said completely changes nothing. Writes nothing to the hub, that is `publish`.

mod disk;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use federation_types::endpoint::{Clusters, Seen, Slice, carry_over};
use federation_types::{ClusterName, Gvr, label, text};
use hub_client::{Collection, Hub, Reflection, Reflector};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::route::{BuildOptions, Problem, ProblemKind, RouteTable, build};
use crate::snapshot::{
    IngressClass, IngressObject, Named, ParametersObject, SecretObject, ServiceObject, SliceObject, Snapshot,
};

pub(crate) use disk::secret;
use names::Names;

/// Changes that arrive within this time become one build.
const BUILD_PAUSE: Duration = Duration::from_millis(10);
/// Shortest time between two writes of the snapshot on disk.
const SAVE_PAUSE: Duration = Duration::from_secs(5);

/// What the composition root decides about following the hub.
#[derive(Debug, Clone, Default)]
pub struct WatchConfig {
    pub build: BuildOptions,
    /// Where the last snapshot is kept for a start without the hub; it holds private keys.
    pub snapshot: Option<PathBuf>,
    /// Once another process has taken over and keeps the snapshot.
    pub handed_over: CancellationToken,
}

/// What the last build came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The hub has answered for Ingresses, Services and endpoints since the start; before that, routes are those of the disk.
    pub synced: bool,
    /// There are routes: those that the hub has said, or those of the disk.
    pub serving: bool,
    /// The hub has said everything that routes need, certificates too.
    pub complete: bool,
    pub ingresses: Vec<Arc<IngressObject>>,
    pub accepted: BTreeSet<Named>,
    pub problems: Vec<Problem>,
}

/// Follows the hub; built first, so that others can listen, then [`run`](Watcher::run) as a task.
pub struct Watcher {
    hub: Hub,
    routes: Arc<ArcSwap<RouteTable>>,
    config: WatchConfig,
    outcome: watch::Sender<Outcome>,
}

/// Everything that is followed.
struct Followed {
    ingresses: Reflection<IngressObject>,
    classes: Reflection<IngressClass>,
    services: Reflection<ServiceObject>,
    slices: Reflection<SliceObject>,
    members: Reflection<ClusterName>,
    secrets: BTreeMap<Named, FollowedSecret>,
    default_certificate: Option<Named>,
    /// Of namespaces and of the cluster, once a class of ours names any.
    parameters: Option<[Reflection<ParametersObject>; 2]>,
}

struct FollowedSecret {
    reflection: Reflection<SecretObject>,
    stop: CancellationToken,
}

/// The tasks of one run, and how they say that something moved.
struct Tasks {
    hub: Hub,
    set: JoinSet<()>,
    moved: Arc<Notify>,
    stop: CancellationToken,
}

impl Watcher {
    /// A watcher that will keep `routes` current.
    #[must_use]
    pub fn new(hub: Hub, routes: Arc<ArcSwap<RouteTable>>, config: WatchConfig) -> Self {
        Self { hub, routes, config, outcome: watch::Sender::default() }
    }

    /// What each build comes to.
    #[must_use]
    pub fn outcomes(&self) -> watch::Receiver<Outcome> {
        self.outcome.subscribe()
    }

    /// Follows the hub until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut known = self.start_from_disk();
        let mut tasks = Tasks { hub: self.hub.clone(), set: JoinSet::new(), moved: Arc::default(), stop: stop.clone() };
        let mut followed = Followed::start(&mut tasks, self.config.build.default_certificate.clone());
        let (names, resolving) = Names::start(tasks.moved.clone(), stop.clone());
        tasks.set.spawn(resolving);
        let mut saved = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tasks.moved.notified() => {}
            }
            tokio::time::sleep(BUILD_PAUSE).await;
            let Some(mut now) = followed.snapshot(&known) else { continue };
            now.parameters = followed.parameters(&now, &mut tasks).or_else(|| known.parameters.clone());
            now.external = names.of(now.wanted_names(&self.config.build.external_names));
            let waiting = followed.secrets(&mut now, &known, &mut tasks);
            self.swap(&now, followed.endpoints_synced(), &waiting);
            known = now;
            if saved.elapsed() >= SAVE_PAUSE {
                self.save(&known).await;
                saved = Instant::now();
            } else {
                tasks.later(SAVE_PAUSE);
            }
        }
        self.save(&known).await;
        tasks.set.shutdown().await;
    }

    /// The last snapshot, already served; an unreadable one is reported and left alone.
    fn start_from_disk(&self) -> Snapshot {
        let Some(path) = &self.config.snapshot else { return Snapshot::default() };
        match hub_client::persist::load(path) {
            Ok(Some(kept)) => {
                let known = disk::read(&kept);
                let table = build(&known, None, &self.config.build);
                tracing::info!(ingresses = known.ingresses.len(), "serving the snapshot on disk until the hub answers");
                self.routes.store(Arc::new(table));
                self.outcome.send_modify(|outcome| outcome.serving = true);
                known
            }
            Ok(None) => Snapshot::default(),
            Err(error) => {
                tracing::warn!(%error, "the snapshot on disk cannot be used");
                Snapshot::default()
            }
        }
    }

    fn swap(&self, now: &Snapshot, synced: bool, waiting: &BTreeSet<Named>) {
        let before = self.routes.load_full();
        let table = build(now, Some(&before), &self.config.build);
        if waiting.is_empty()
            && let Some(fault) = table.default_certificate_fault()
            && before.default_certificate_fault() != Some(fault)
        {
            tracing::warn!(fault, "the default certificate cannot be used");
        }
        // Told here, too: who writes Events may be another gateway, which has these endpoints.
        let left_out = |table: &RouteTable| {
            table.problems().iter().filter(|it| it.kind == ProblemKind::EndpointsLeftOut).cloned().collect::<Vec<_>>()
        };
        let known = left_out(&before);
        for problem in left_out(&table).iter().filter(|problem| !known.contains(problem)) {
            tracing::warn!(%problem, "endpoints are left out");
        }
        // A Secret that was not answered yet is not missing.
        let certain = |problem: &&Problem| problem.kind != ProblemKind::SecretMissing || waiting.is_empty();
        let serving = synced || self.outcome.borrow().serving;
        let outcome = Outcome {
            synced,
            serving,
            complete: synced && waiting.is_empty(),
            ingresses: now.ingresses.clone(),
            accepted: table.accepted().clone(),
            problems: table.problems().iter().filter(certain).cloned().collect(),
        };
        // First served, then told.
        self.routes.store(Arc::new(table));
        self.outcome.send_replace(outcome);
    }

    async fn save(&self, known: &Snapshot) {
        let Some(path) = self.config.snapshot.clone() else { return };
        if self.config.handed_over.is_cancelled() {
            return;
        }
        let kept = disk::write(known);
        let written = tokio::task::spawn_blocking(move || hub_client::persist::save(&path, &kept)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the snapshot could not be kept on disk"),
            Err(error) => tracing::error!(%error, "keeping the snapshot on disk panicked"),
        }
    }
}

impl Tasks {
    fn follow<T: Send + Sync + 'static>(
        &mut self,
        of: Collection,
        stop: CancellationToken,
        project: impl Fn(&Value) -> Option<T> + Send + Sync + 'static,
    ) -> Reflection<T> {
        let reflector = Reflector::new(self.hub.clone(), of, move |object| project(&object));
        let reflection = reflector.reflection();
        let (mut changes, moved) = (reflection.changes(), self.moved.clone());
        self.set.spawn(async move {
            // Ends with the reflector, which holds the other end.
            while changes.changed().await.is_ok() {
                moved.notify_one();
            }
        });
        self.set.spawn(reflector.run(stop));
        reflection
    }

    /// Wants another look after `pause`.
    fn later(&mut self, pause: Duration) {
        while self.set.try_join_next().is_some() {}
        let moved = self.moved.clone();
        self.set.spawn(async move {
            tokio::time::sleep(pause).await;
            moved.notify_one();
        });
    }
}

impl Followed {
    fn start(tasks: &mut Tasks, default_certificate: Option<Named>) -> Self {
        let all = |api_version: &str, resource: &str| Collection::all(Gvr::new(api_version, resource));
        let stop = tasks.stop.clone();
        let networking = "networking.k8s.io/v1";
        Self {
            ingresses: tasks.follow(all(networking, "ingresses"), stop.clone(), |o| Some(IngressObject::read(o))),
            classes: tasks.follow(all(networking, "ingressclasses"), stop.clone(), |o| Some(IngressClass::read(o))),
            services: tasks.follow(all("v1", "services"), stop.clone(), |o| Some(ServiceObject::read(o))),
            slices: tasks.follow(all("discovery.k8s.io/v1", "endpointslices"), stop.clone(), SliceObject::read),
            members: tasks
                .follow(all("fedgate.dev/v1alpha1", "clusters"), stop, |o| ClusterName::new(text::name(o)).ok()),
            secrets: BTreeMap::new(),
            default_certificate,
            parameters: None,
        }
    }

    /// The parameters of classes that there are, if a class of ours names any and the hub has said which there are.
    fn parameters(&mut self, now: &Snapshot, tasks: &mut Tasks) -> Option<BTreeMap<Named, Arc<ParametersObject>>> {
        let ours = |class: &&IngressClass| class.controller == label::INGRESS_CONTROLLER;
        if !now.classes.iter().filter(ours).any(|class| class.parameters.is_some()) {
            return None;
        }
        let followed = self.parameters.get_or_insert_with(|| {
            ["ingressparameters", "clusteringressparameters"].map(|resource| {
                let all = Collection::all(Gvr::new("fedgate.dev/v1alpha1", resource));
                tasks.follow(all, tasks.stop.clone(), |o| Some(ParametersObject::read(o)))
            })
        });
        let synced = followed.iter().all(|reflection| reflection.state().synced);
        let known = || followed.iter().flat_map(Reflection::all).map(|(_, one)| (one.key.clone(), one)).collect();
        synced.then(known)
    }

    /// Everything but Secrets, once the hub has said all of it; endpoints of clusters that are not complete are `known`'s.
    fn snapshot(&self, known: &Snapshot) -> Option<Snapshot> {
        let synced = self.ingresses.state().synced && self.classes.state().synced && self.services.state().synced;
        if !synced {
            return None;
        }
        let (clusters, own_slices) = self.endpoints(known);
        Some(Snapshot {
            ingresses: self.ingresses.all().into_iter().map(|(_, ingress)| ingress).collect(),
            classes: self.classes.all().into_iter().map(|(_, class)| (*class).clone()).collect(),
            services: self.services.all().into_iter().map(|(_, service)| (service.key.clone(), service)).collect(),
            clusters,
            own_slices,
            secrets: BTreeMap::new(),
            user_lists: BTreeMap::new(),
            external: BTreeMap::new(),
            parameters: None,
        })
    }

    /// What members say of endpoints, and what was written at the hub.
    fn endpoints(&self, known: &Snapshot) -> (Clusters, Vec<Slice>) {
        let (mut now, mut own) = (Clusters::new(), Vec::new());
        // A list that is half read may show a marker without its slices.
        if self.slices.state().synced {
            for (_, seen) in self.slices.all() {
                match &*seen {
                    SliceObject::Own(slice) => own.push(slice.clone()),
                    SliceObject::Mirrored(Seen::Slice(slice)) => {
                        now.entry(slice.cluster.clone()).or_default().slices.push(slice.clone());
                    }
                    SliceObject::Mirrored(Seen::Marker(cluster)) => {
                        now.entry(cluster.clone()).or_default().complete = true;
                    }
                    SliceObject::Mirrored(Seen::Foreign) => {}
                }
            }
        } else {
            own.clone_from(&known.own_slices);
        }
        let mut clusters = carry_over(&known.clusters, now);
        if self.members.state().synced {
            // That a cluster is no member any more is said by the store, not by an absence in a ring.
            clusters.retain(|name, _| self.members.get("", name.as_str()).is_some());
        }
        (clusters, own)
    }

    fn endpoints_synced(&self) -> bool {
        self.slices.state().synced && self.members.state().synced
    }

    /// Follows exactly the Secrets that are named; gives those that the hub has not answered yet.
    fn secrets(&mut self, now: &mut Snapshot, known: &Snapshot, tasks: &mut Tasks) -> BTreeSet<Named> {
        let mut wanted = now.wanted_secrets();
        wanted.extend(self.default_certificate.clone());
        self.secrets.retain(|key, followed| {
            let keep = wanted.contains(key);
            if !keep {
                followed.stop.cancel();
            }
            keep
        });
        let mut waiting = BTreeSet::new();
        for key in wanted {
            let followed = self.secrets.entry(key.clone()).or_insert_with(|| {
                let of = Collection::all(Gvr::new("v1", "secrets"))
                    .within(&*key.namespace)
                    .with_fields(format!("metadata.name={}", key.name));
                let stop = tasks.stop.child_token();
                FollowedSecret { reflection: tasks.follow(of, stop.clone(), |object| Some(disk::secret(object))), stop }
            });
            let SecretObject { tls, users } = if followed.reflection.state().synced {
                followed.reflection.get(&key.namespace, &key.name).map_or_else(Default::default, |it| (*it).clone())
            } else {
                waiting.insert(key.clone());
                SecretObject { tls: known.secrets.get(&key).cloned(), users: known.user_lists.get(&key).cloned() }
            };
            now.user_lists.extend(users.map(|users| (key.clone(), users)));
            now.secrets.extend(tls.map(|tls| (key, tls)));
        }
        waiting
    }
}
