//! Which change wakes which reconcile: the edges between watches and queues, in one place.
//!
//! Only adds keys; what a change means is for the reconciles to find out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use federation_types::{Override, PlacementBinding, label};
use hub_client::{Collection, Queue, Reflector};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::history;
use crate::kinds::{Kind, discover};
use crate::namespaces::{self, Leaving};
use crate::propagate::Fleet;
use crate::resolve::Policied;
use crate::schedule::{FOLLOWS, Policy};
use crate::world::{ClusterSeen, NamespaceSeen, TemplateKey, TemplateSeen, World, dependency_key};

/// Between looks at the hub's discovery while nothing says that it changed.
const REDISCOVER: Duration = Duration::from_secs(60);
/// Before one more look after something said so: it may have said so before the discovery did.
const REDISCOVER_ASKED: Duration = Duration::from_secs(1);
/// What the watch of a kind may still tell when the kind is not served any more.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Before a failed discovery is tried again.
const REDISCOVER_FAILED: Duration = Duration::from_millis(500);

/// The controllers' queues.
#[derive(Clone)]
pub(crate) struct Queues {
    pub bind: Queue<TemplateKey>,
    pub record: Queue<String>,
    pub aggregate: Queue<String>,
    pub history: Queue<TemplateKey>,
    pub namespaces: Queue<Leaving>,
    pub orphans: Queue<String>,
    pub resolve: Queue<Policied>,
}

/// What every edge needs.
#[derive(Clone)]
pub(crate) struct Wires {
    pub world: Arc<World>,
    pub queues: Queues,
    pub fleet: Arc<Fleet>,
}

impl Wires {
    pub(crate) fn clusters(&self, reflector: Reflector<ClusterSeen>) -> Reflector<ClusterSeen> {
        let wires = self.clone();
        reflector.on_change(move |change| {
            let same = matches!((change.old, change.new), (Some(old), Some(new)) if !new.differs(old));
            if same {
                return;
            }
            wires.rebind(None);
            for (policy, _) in wires.world.placements.all().into_iter().chain(wires.world.cluster_placements.all()) {
                wires.queues.resolve.add(policy);
            }
            let name = &change.key.1;
            wires.fleet.wake_all(name);
            for (_, binding) in wires.world.bindings.all() {
                if binding.spec.clusters.iter().any(|row| row.name == *name) {
                    wires.queues.record.add(binding.metadata.name.clone());
                    wires.queues.aggregate.add(binding.metadata.name.clone());
                }
            }
        })
    }

    pub(crate) fn policies(&self, reflector: Reflector<Policy>) -> Reflector<Policy> {
        let wires = self.clone();
        reflector.on_change(move |change| {
            let (namespace, name) = change.key;
            wires.queues.resolve.add(change.key.clone());
            // Our own condition on it changes nothing.
            if change.old == change.new {
                return;
            }
            wires.rebind((!namespace.is_empty()).then_some(namespace.as_str()));
            // Suspension is read where copies are written.
            for (_, binding) in wires.world.bindings.all() {
                if binding.spec.placement.as_ref().is_some_and(|p| p.name == *name) {
                    wires.wake(&binding);
                }
            }
        })
    }

    pub(crate) fn overrides(&self, reflector: Reflector<Override>) -> Reflector<Override> {
        let wires = self.clone();
        reflector.on_change(move |change| {
            let namespace = &change.key.0;
            wires.rebind((!namespace.is_empty()).then_some(namespace.as_str()));
        })
    }

    pub(crate) fn namespaces(&self, reflector: Reflector<NamespaceSeen>) -> Reflector<NamespaceSeen> {
        let wires = self.clone();
        reflector.on_change(move |change| {
            if change.old.map(|o| &o.annotations) != change.new.map(|n| &n.annotations) {
                wires.rebind(Some(&change.key.1));
            }
            if let Some(leaving) = change.new.filter(|n| n.deleting) {
                wires.queues.namespaces.add((change.key.1.clone(), leaving.uid.clone()));
            }
        })
    }

    pub(crate) fn bindings(&self, reflector: Reflector<PlacementBinding>) -> Reflector<PlacementBinding> {
        let wires = self.clone();
        reflector.on_change(move |change| {
            let (old, new) = (change.old.map(|b| &**b), change.new.map(|b| &**b));
            let name = &change.key.1;
            wires.world.bound(name, old, new);
            wires.queues.aggregate.add(name.clone());
            let Some(binding) = new.or(old) else { return };
            if new.is_none() {
                wires.world.departed.lock().remove(&binding.spec.template.uid);
            }
            let spec_changed = old.map(|b| &b.spec) != new.map(|b| &b.spec);
            if spec_changed {
                wires.wake(binding);
                wires.queues.record.add(name.clone());
            }
            // With its binding a namespace's withdrawal is over.
            let over = new.is_none() && namespaces::of(&binding.spec.template).is_some();
            if !over && (spec_changed || progress(old) != progress(new)) {
                wires.rebind_template(binding);
            }
        })
    }

    fn templates(
        &self,
        kind: &Kind,
        reflector: Reflector<TemplateSeen>,
        rediscover: Arc<Notify>,
    ) -> Reflector<TemplateSeen> {
        let (wires, kind) = (self.clone(), kind.clone());
        reflector.on_change(move |change| {
            let (namespace, name) = change.key.clone();
            let key = TemplateKey { gvr: kind.gvr.clone(), namespace, name };
            let (old, new) = (change.old.map(|t| &**t), change.new.map(|t| &**t));
            // Also where its status alone has changed: that is when the kind begins to be served.
            if kind.kind == "CustomResourceDefinition" {
                rediscover.notify_one();
            }
            if let (Some(old), None) = (old, new) {
                for binding in wires.world.depart(&kind.gvk(), &key, &old.uid) {
                    wires.queues.orphans.add(binding);
                }
            }
            for needed in wires.world.needs(&key, old, new) {
                wires.queues.bind.add(needed);
            }
            if new.is_some() && history::has_revisions(&kind.gvr.group, &kind.kind) {
                wires.queues.history.add(key.clone());
            }
            if old == new {
                return;
            }
            for (scaled, of) in [old, new].into_iter().flatten().filter_map(|seen| seen.scales.clone()) {
                if let Some(target) = wires.world.kind("apps/v1", &scaled) {
                    wires.queues.bind.add(TemplateKey { gvr: target.gvr, namespace: key.namespace.clone(), name: of });
                }
            }
            wires.queues.bind.add(key);
        })
    }

    /// Follows the kinds that the hub serves: a kind that vanishes is watched no more, and its bindings hold.
    pub(crate) async fn kinds(self, tasks: TaskTracker, stop: CancellationToken) {
        let rediscover = Arc::new(Notify::new());
        let mut watching: BTreeMap<Kind, CancellationToken> = BTreeMap::new();
        let mut asked = false;
        loop {
            let wait = match discover(&self.world.hub).await {
                Ok(kinds) => {
                    watching.retain(|kind, token| {
                        let served = kinds.contains(kind);
                        if !served {
                            tasks.spawn(last_words(token.clone()));
                            self.world.templates.write().remove(kind);
                        }
                        served
                    });
                    for kind in kinds {
                        if let Entry::Vacant(unwatched) = watching.entry(kind) {
                            let token = stop.child_token();
                            self.follow(unwatched.key(), &tasks, (rediscover.clone(), token.clone()));
                            unwatched.insert(token);
                        }
                    }
                    if !self.world.discovered.swap(true, Ordering::AcqRel) {
                        tasks.spawn(self.clone().followers(stop.clone()));
                    }
                    self.unserved();
                    if asked { REDISCOVER_ASKED } else { REDISCOVER }
                }
                Err(error) => {
                    tracing::debug!(error = %error, "the hub's discovery failed");
                    REDISCOVER_FAILED
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = rediscover.notified() => asked = true,
                () = tokio::time::sleep(wait) => asked = false,
            }
        }
    }

    /// Looks at every binding of a kind that is not served.
    fn unserved(&self) {
        for ((_, name), binding) in self.world.bindings.all() {
            let template = &binding.spec.template;
            if namespaces::of(template).is_none() && self.world.kind(&template.api_version, &template.kind).is_none() {
                self.queues.orphans.add(name);
            }
        }
    }

    /// Looks at everything that follows pods again, once all pods' templates have been read: some may be gone.
    async fn followers(self, stop: CancellationToken) {
        let all: Vec<_> = self.world.templates.read().values().cloned().collect();
        let read = async {
            for seen in all {
                // A kind that is watched no more has nobody who needs anything.
                seen.synced().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = read => {}
        }
        for (_, binding) in self.world.bindings.all() {
            if binding.spec.placement.as_ref().is_some_and(|p| p.kind == FOLLOWS) {
                self.rebind_template(&binding);
            }
        }
    }

    fn follow(&self, kind: &Kind, tasks: &TaskTracker, (rediscover, token): (Arc<Notify>, CancellationToken)) {
        // What members run shows at the hub under a label; it is no template.
        let of = Collection::all(kind.gvr.clone()).labelled(format!("!{}", label::CLUSTER));
        let reflector = Reflector::new(self.world.hub.clone(), of, |object| Some(TemplateSeen::of(&object)));
        self.world.templates.write().insert(kind.clone(), reflector.reflection());
        tasks.spawn(self.templates(kind, reflector, rediscover).run(token));
        // Bindings of a kind that is served again go on.
        for (_, binding) in self.world.bindings.all() {
            if binding.spec.template.kind == kind.kind {
                self.wake(&binding);
                self.rebind_template(&binding);
            }
        }
    }

    fn rebind(&self, namespace: Option<&str>) {
        for key in self.world.keys(namespace) {
            self.queues.bind.add(key);
        }
    }

    /// Looks again at a binding's template, and at what its pods need.
    fn rebind_template(&self, binding: &PlacementBinding) {
        let template = &binding.spec.template;
        if let Some(leaving) = namespaces::of(template) {
            self.queues.namespaces.add(leaving);
            return;
        }
        let Some(kind) = self.world.kind(&template.api_version, &template.kind) else {
            self.queues.orphans.add(binding.metadata.name.clone());
            return;
        };
        let key = TemplateKey { gvr: kind.gvr, namespace: template.namespace.clone(), name: template.name.clone() };
        for dependency in self.world.template(&key).iter().flat_map(|seen| &seen.dependencies) {
            if let Some(needed) = dependency_key(dependency, &key.namespace) {
                self.queues.bind.add(needed);
            }
        }
        self.queues.bind.add(key);
    }

    fn wake(&self, binding: &PlacementBinding) {
        self.fleet.wake(&binding.metadata.name, binding.spec.clusters.iter().map(|row| row.name.clone()));
    }
}

/// Ends a watch of a kind that is not served any more, once it has told of the objects that went before.
async fn last_words(watch: CancellationToken) {
    tokio::select! {
        () = watch.cancelled() => {}
        () = tokio::time::sleep(LAST_WORDS) => watch.cancel(),
    }
}

/// What of a binding's status decisions depend on.
fn progress(binding: Option<&PlacementBinding>) -> Vec<(String, federation_types::binding::Phase, bool)> {
    let status = binding.and_then(|b| b.status.as_ref());
    let available = status.is_some_and(|s| federation_types::condition::holds(&s.conditions, "Available"));
    status.iter().flat_map(|s| &s.clusters).map(|row| (row.name.clone(), row.phase, available)).collect()
}
