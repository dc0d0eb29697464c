//! Puts the controllers together and runs them until they are told to stop.
//!
//! Builds nothing that outlives the call; knows no flags.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use federation_types::Gvr;
use hub_client::{Collection, Hub, Queue, Reflector, drive};
use member_cluster::Members;
use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::leave::{self, Leaving};
use crate::propagate::{DRAIN, Fleet, record};
use crate::render::IpRange;
use crate::schedule::DefaultPlacement;
use crate::wire::{Queues, Wires};
use crate::world::{ClusterSeen, NamespaceSeen, World, all_of, binding, policy};
use crate::{aggregate, bind, history, namespaces, orphans, resolve};

/// Reconciles at once, per controller: each is a few calls to the hub, which may be another process.
const WIDTH: usize = 8;

/// What placement needs from whoever composes it.
pub struct PlacementConfig {
    pub hub: Hub,
    pub members: Members,
    /// UID of the hub: part of every mark of ours in members.
    pub hub_uid: String,
    pub default_placement: DefaultPlacement,
    /// Addresses that the hub gives to Services on its own: they never travel.
    pub hub_range: IpRange,
}

/// Runs all controllers until `stop`; `members` has to be run by the caller.
///
/// # Cancel safety
/// Dropping it ends every task; nothing is left half-written, since each step is one request.
pub async fn run(config: PlacementConfig, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let ending = stop.child_token();
    let _cancel_on_drop = ending.clone().drop_guard();
    let wires = watch(config, &tasks, &ending);
    tokio::select! {
        () = controllers(&wires, &tasks, &ending) => {}
        () = stop.cancelled() => {}
    }
    ending.cancel();
    tasks.close();
    if tokio::time::timeout(DRAIN + DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!("placement did not come to rest in time");
    }
}

/// Begins to follow everything that decisions and manifests depend on.
fn watch(config: PlacementConfig, tasks: &TaskTracker, ending: &CancellationToken) -> Wires {
    let hub = &config.hub;
    let clusters = Reflector::new(hub.clone(), all_of("clusters"), ClusterSeen::of);
    let placements = Reflector::new(hub.clone(), all_of("placements"), policy);
    let wide_placements = Reflector::new(hub.clone(), all_of("clusterplacements"), policy);
    let overrides = Reflector::new(hub.clone(), all_of("overrides"), |o| serde_json::from_value(o).ok());
    let wide_overrides = Reflector::new(hub.clone(), all_of("clusteroverrides"), |o| serde_json::from_value(o).ok());
    let namespaces =
        Reflector::new(hub.clone(), Collection::all(Gvr::new("v1", "namespaces")), |o| Some(NamespaceSeen::of(&o)));
    let bindings = Reflector::new(hub.clone(), all_of("placementbindings"), binding);
    let world = Arc::new(World {
        hub: config.hub.clone(),
        hub_uid: config.hub_uid,
        hub_range: config.hub_range,
        default: config.default_placement,
        clusters: clusters.reflection(),
        placements: placements.reflection(),
        cluster_placements: wide_placements.reflection(),
        overrides: overrides.reflection(),
        cluster_overrides: wide_overrides.reflection(),
        namespaces: namespaces.reflection(),
        bindings: bindings.reflection(),
        departed: Mutex::default(),
        templates: RwLock::default(),
        discovered: AtomicBool::new(false),
        index: Mutex::default(),
        rights: Mutex::default(),
    });
    let queues = Queues::default();
    let leaving = Leaving { hub: world.hub.clone(), members: config.members.clone(), hub_uid: world.hub_uid.clone() };
    tasks.spawn(leave::run(leaving, ending.clone()));
    let fleet = Fleet::new(world.clone(), config.members, queues.record.clone());
    let wires = Wires { world, queues, fleet };
    tasks.spawn(wires.clusters(clusters).run(ending.clone()));
    tasks.spawn(wires.policies(placements).run(ending.clone()));
    tasks.spawn(wires.policies(wide_placements).run(ending.clone()));
    tasks.spawn(wires.overrides(overrides).run(ending.clone()));
    tasks.spawn(wires.overrides(wide_overrides).run(ending.clone()));
    tasks.spawn(wires.namespaces(namespaces).run(ending.clone()));
    tasks.spawn(wires.bindings(bindings).run(ending.clone()));
    wires
}

async fn controllers(wires: &Wires, tasks: &TaskTracker, ending: &CancellationToken) {
    let Wires { world, queues, fleet } = wires.clone();
    // Decisions over half of the facts would be wrong ones.
    if !world.synced().await {
        return;
    }
    tasks.spawn(wires.clone().kinds(tasks.clone(), ending.clone()));
    tasks.spawn(fleet.clone().run(ending.clone()));
    let bind = |key| bind::reconcile(world.clone(), key);
    let history = |key| history::reconcile(world.clone(), key);
    let aggregate = |name| aggregate::reconcile(world.clone(), name);
    let leave = |leaving| namespaces::reconcile(world.clone(), leaving);
    let orphan = |name| orphans::reconcile(world.clone(), name);
    let resolve = |policy| resolve::reconcile(world.clone(), policy);
    let record = |name| record(fleet.clone(), name);
    tokio::join!(
        drive("schedule", queues.bind, WIDTH, bind, ending.clone()),
        drive("record", queues.record, WIDTH, record, ending.clone()),
        drive("aggregate", queues.aggregate, WIDTH, aggregate, ending.clone()),
        drive("history", queues.history, WIDTH, history, ending.clone()),
        drive("resolve", queues.resolve, WIDTH, resolve, ending.clone()),
        drive("namespaces", queues.namespaces, WIDTH, leave, ending.clone()),
        drive("orphans", queues.orphans, WIDTH, orphan, ending.clone()),
    );
}

/// A queue of its own for every controller.
impl Default for Queues {
    fn default() -> Self {
        Self {
            bind: Queue::new(),
            record: Queue::new(),
            aggregate: Queue::new(),
            history: Queue::new(),
            namespaces: Queue::new(),
            orphans: Queue::new(),
            resolve: Queue::new(),
        }
    }
}
