//! Garbage collection: deletes what none of its owners holds any more, and lets owners go in the order they asked for.
//!
//! Watches the metadata of every stored object. Nothing is deleted on the word of the graph: an owner's absence is
//! looked up live, a kind that is not served or a member's object that cannot be seen now holds its dependents.

mod complaint;
mod graph;
mod plan;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use federation_types::text::{annotation, list_at, name, str_at, uid};
use federation_types::{ClusterName, Gvr, label};
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use hub_client::{
    At, Collection, DeleteOptions, Hub, Queue, ReconcileError, Reflection, Reflector, WriteOptions, drive,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::STORED;
use super::resources::{Discovered, Resource};
use graph::{Graph, Node, Owner, Uid};
use plan::{FOREGROUND, ORPHAN, OwnerState, Step};

/// Objects reconciled at once.
const WIDTH: usize = 8;
/// How often new kinds are looked for.
const DISCOVERY: Duration = Duration::from_secs(30);
/// How long after a definition changed new kinds are looked for: more changes often follow.
const SETTLE: Duration = Duration::from_millis(300);
/// Verbs of resources that take part.
const VERBS: &[&str] = &["delete", "list", "watch"];
/// How long to wait for what cannot be seen now.
const HOLD: Duration = Duration::from_secs(10);
/// How long to wait for a binding, which is written as soon as its controller runs.
const UNRECORDED: Duration = Duration::from_millis(200);

/// Everything that a reconcile needs; shared by all of them.
struct Collector {
    hub: Hub,
    graph: Arc<Mutex<Graph>>,
    queue: Queue<Uid>,
    /// Told when a definition of a custom kind has changed.
    redefined: Arc<Notify>,
    /// Guards the last discovery; replaced as a whole.
    discovered: Mutex<Arc<Discovered>>,
    /// How bindings have recorded that dependents are treated, with the uid of their template; `None` where nothing is
    /// placed.
    recorded: Option<Reflection<(Uid, String)>>,
}

pub(super) async fn run(hub: Hub, places: bool, stop: CancellationToken) {
    let bindings = places.then(|| bindings_of(&hub));
    let collector = Collector {
        recorded: bindings.as_ref().map(Reflector::reflection),
        hub,
        graph: Arc::default(),
        queue: Queue::new(),
        redefined: Arc::default(),
        discovered: Mutex::default(),
    };
    let watch_bindings = async {
        if let Some(bindings) = bindings {
            bindings.run(stop.clone()).await;
        }
    };
    let reconcile = |uid: Uid| {
        let collector = &collector;
        async move { collector.reconcile(&uid).await }
    };
    tokio::join!(
        watch_bindings,
        collector.watch_all(&stop),
        drive("collect", collector.queue.clone(), WIDTH, reconcile, stop.clone()),
    );
}

fn bindings_of(hub: &Hub) -> Reflector<(Uid, String)> {
    let gvr = Gvr::new(label::API_VERSION, "placementbindings");
    Reflector::new(hub.clone(), Collection::all(gvr), |binding| {
        let template = str_at(&binding, &["spec", "template", "uid"]);
        Some((template.into(), annotation(&binding, label::CASCADE).unwrap_or("").to_owned()))
    })
}

impl Collector {
    /// Watches every resource that takes part, also those that come later, until `stop`.
    async fn watch_all(&self, stop: &CancellationToken) {
        let mut watches: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        let mut known: BTreeMap<Gvr, CancellationToken> = BTreeMap::new();
        let mut tick = tokio::time::interval(DISCOVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = watches.next(), if !watches.is_empty() => {}
                () = self.redefined.notified() => tick.reset_after(SETTLE),
                _ = tick.tick() => match Discovered::read(&self.hub).await {
                    Ok(discovered) => {
                        let mut synced = Vec::new();
                        for resource in discovered.with_verbs(VERBS).filter(|resource| takes_part(resource)) {
                            if let Entry::Vacant(unwatched) = known.entry(resource.gvr.clone()) {
                                let reflector = self.reflector(resource);
                                synced.push(reflector.reflection());
                                let token = unwatched.insert(stop.child_token()).clone();
                                watches.push(Box::pin(reflector.run(token)));
                            }
                        }
                        if discovered.failures.is_empty() {
                            forget_gone(&mut known, &discovered);
                        }
                        *self.discovered.lock() = Arc::new(discovered);
                        watches.push(Box::pin(self.judge_when_read(synced)));
                    }
                    Err(error) => tracing::warn!(%error, "discovery failed"),
                },
            }
        }
        while watches.next().await.is_some() {}
    }

    /// Once these are read, looks at every object that may have lost an owner; before, most owners are just unread.
    async fn judge_when_read(&self, reflections: Vec<Reflection<Node>>) {
        join_all(reflections.iter().map(Reflection::synced)).await;
        let suspects = self.graph.lock().suspects();
        for uid in suspects {
            self.queue.add(uid);
        }
    }

    fn reflector(&self, resource: &Resource) -> Reflector<Node> {
        let redefined = (resource.gvr.resource == "customresourcedefinitions").then(|| self.redefined.clone());
        let (gvr, graph, queue) = (Arc::new(resource.gvr.clone()), self.graph.clone(), self.queue.clone());
        let stored = Collection::all(resource.gvr.clone()).labelled(STORED);
        let project = move |object: Value| Node::of(&gvr, &object);
        Reflector::new(self.hub.clone(), stored, project).on_change(move |change| {
            if let Some(redefined) = &redefined {
                redefined.notify_one();
            }
            let touched = {
                let mut graph = graph.lock();
                let mut touched = Vec::new();
                // The same name may have come back as another object.
                if let Some(old) = change.old.filter(|old| change.new.is_none_or(|new| new.uid != old.uid)) {
                    touched.extend(graph.remove(&old.uid));
                }
                touched.extend(change.new.into_iter().flat_map(|new| graph.put(new.clone())));
                touched
            };
            for uid in touched {
                queue.add(uid);
            }
        })
    }

    async fn reconcile(&self, uid: &Uid) -> Result<(), ReconcileError> {
        let Some(node) = self.graph.lock().get(uid) else { return Ok(()) };
        if node.deleting && !node.orphan && !node.foreground {
            return Ok(());
        }
        let Some(latest) = self.latest(&node).await? else { return Ok(()) };
        if latest["metadata"]["deletionTimestamp"].is_null() {
            return self.judge(&node, &latest).await;
        }
        let has = |finalizer: &str| list_at(&latest, &["metadata", "finalizers"]).any(|own| own == finalizer);
        if has(ORPHAN) {
            self.may_release(uid, "Orphan")?;
            self.orphan_dependents(uid).await?;
            self.patch(&node, &plan::without_finalizer(&latest, ORPHAN)).await
        } else if has(FOREGROUND) {
            self.may_release(uid, "Foreground")?;
            self.follow_dependents(&node, &latest).await
        } else {
            Ok(())
        }
    }

    /// An object that lives: does any owner hold it?
    async fn judge(&self, node: &Node, latest: &Value) -> Result<(), ReconcileError> {
        let mut states = Vec::new();
        for owner in graph::owners(latest) {
            let state = self.owner_state(node, &owner).await?;
            states.push((owner.uid, state));
        }
        let dependents = self.graph.lock().dependents(&node.uid);
        let any_foreground = dependents.iter().any(|dependent| dependent.foreground);
        let steps = plan::dependent(latest, &states, (!dependents.is_empty()).then_some(any_foreground));
        let mut version = str_at(latest, &["metadata", "resourceVersion"]);
        for step in steps {
            match step {
                Step::Hold(why) => return Err(ReconcileError::Wait(HOLD, why)),
                Step::Patch(patch) => {
                    self.patch(node, &patch).await?;
                    // The version is another one now; the uid still holds.
                    version = "";
                }
                Step::Delete(propagation) => {
                    tracing::info!(resource = %node.gvr, namespace = node.namespace, name = node.name, propagation, "no owner is left");
                    let how = DeleteOptions { uid: &node.uid, resource_version: version, propagation, grace: None };
                    self.hub.delete(node.at(), &how).await?;
                }
            }
        }
        Ok(())
    }

    async fn owner_state(&self, node: &Node, owner: &Owner) -> Result<OwnerState, ReconcileError> {
        let discovered = self.discovered.lock().clone();
        let group = federation_types::key::split_api_version(&owner.api_version).0;
        let Some(resource) = discovered.of_kind(group, &owner.kind) else {
            return Ok(OwnerState::Unseen(format!("{} {} is not served", owner.api_version, owner.kind)));
        };
        if resource.namespaced && node.namespace.is_empty() {
            complaint::wrong_namespace(&self.hub, node, &discovered.kind_of(&node.gvr), owner).await;
            let why = format!("its owner {} {} is in a namespace, which it is not", owner.kind, owner.name);
            return Ok(OwnerState::Unseen(why));
        }
        let namespace = if resource.namespaced { node.namespace.as_str() } else { "" };
        let found = self.hub.get(&resource.gvr, namespace, &owner.name).await?;
        let elsewhere = self.graph.lock().get(&owner.uid).is_some_and(|owner| owner.namespace != namespace);
        if elsewhere && resource.namespaced {
            complaint::wrong_namespace(&self.hub, node, &discovered.kind_of(&node.gvr), owner).await;
        }
        match found.filter(|found| uid(found) == &*owner.uid) {
            Some(found) => Ok(plan::living(&found)),
            None if self.may_be_mirrored(owner).await? => {
                Ok(OwnerState::Unseen(format!("its owner {} {} is a member's", owner.kind, owner.name)))
            }
            None => Ok(OwnerState::Absent),
        }
    }

    /// Whether an owner's name is that of a member's object, whose absence here proves nothing.
    async fn may_be_mirrored(&self, owner: &Owner) -> Result<bool, ReconcileError> {
        let Some((_, cluster)) = ClusterName::split_suffix(&owner.name).filter(|_| self.recorded.is_some()) else {
            return Ok(false);
        };
        let clusters = Gvr::new(label::API_VERSION, "clusters");
        Ok(self.hub.get(&clusters, "", cluster.as_str()).await?.is_some())
    }

    /// Whether the binding of a template has recorded how it goes; without a binding, always.
    fn may_release(&self, uid: &Uid, cascade: &str) -> Result<(), ReconcileError> {
        let Some(recorded) = &self.recorded else { return Ok(()) };
        let wait = |why: &str| Err(ReconcileError::Wait(UNRECORDED, why.to_owned()));
        if !recorded.state().synced {
            return wait("the bindings are not read yet");
        }
        match recorded.all().iter().find(|(_, binding)| binding.0 == *uid) {
            Some((_, binding)) if binding.1 != cascade => {
                wait("the binding has not recorded yet how dependents are treated")
            }
            _ => Ok(()),
        }
    }

    async fn orphan_dependents(&self, uid: &Uid) -> Result<(), ReconcileError> {
        let dependents = self.graph.lock().dependents(uid);
        for dependent in dependents {
            if let Some(latest) = self.latest(&dependent).await? {
                self.patch(&dependent, &plan::without_owners(&latest, std::slice::from_ref(uid))).await?;
            }
        }
        Ok(())
    }

    async fn follow_dependents(&self, node: &Node, latest: &Value) -> Result<(), ReconcileError> {
        let blocking: Vec<_> = {
            let graph = self.graph.lock();
            graph.dependents(&node.uid).into_iter().filter(|dependent| dependent.is_blocking(&node.uid)).collect()
        };
        if blocking.is_empty() {
            return self.patch(node, &plan::without_finalizer(latest, FOREGROUND)).await;
        }
        for dependent in blocking.iter().filter(|dependent| !dependent.deleting) {
            self.queue.add(dependent.uid.clone());
        }
        // The last of them brings this owner back.
        Ok(())
    }

    /// The object as it is now; `None` when it is gone or another one has its name.
    async fn latest(&self, node: &Node) -> Result<Option<Value>, ReconcileError> {
        let found = self.hub.get(&node.gvr, &node.namespace, &node.name).await?;
        Ok(found.filter(|found| uid(found) == &*node.uid && name(found) == node.name))
    }

    async fn patch(&self, node: &Node, patch: &Value) -> Result<(), ReconcileError> {
        if *patch == json!({}) {
            return Ok(());
        }
        match self.hub.merge_patch(node.at(), patch, &WriteOptions::default()).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Node {
    fn at(&self) -> At<'_> {
        At::new(&self.gvr, &self.namespace, &self.name)
    }
}

/// Stops watching kinds that are not served any more.
fn forget_gone(known: &mut BTreeMap<Gvr, CancellationToken>, discovered: &Discovered) {
    known.retain(|gvr, token| {
        let served = discovered.with_verbs(VERBS).any(|resource| resource.gvr == *gvr);
        if !served {
            token.cancel();
        }
        served
    });
}

/// Events end by themselves and own nothing.
fn takes_part(resource: &Resource) -> bool {
    resource.gvr.resource != "events"
}
