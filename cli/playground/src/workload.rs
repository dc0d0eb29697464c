//! What a controller manager does, as far as a playground needs it: from workloads to pods to endpoints.
//!
//! Each controller is a pure `plan` over objects just read, and one commit of its actions.

mod commit;
mod daemonset;
mod deployment;
mod endpoints;
mod job;
mod pod;
mod replicaset;
mod statefulset;

use federation_types::{Gvr, text};
use hub_client::{Caller, Change, Collection, Queue, ReconcileError, Reflector, drive};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::commit::{Action, commit};

/// Reconciles that a controller runs at once.
const WIDTH: usize = 8;

/// One kind of workload and how it is reconciled.
struct Kind {
    name: &'static str,
    api_version: &'static str,
    kind: &'static str,
    resource: &'static str,
    /// What the kind owns: `None` reads by selector instead.
    owns: Owns,
    plan: fn(&Value, &[Value]) -> Vec<Action>,
}

/// Which objects a plan reads beside its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owns {
    Pods,
    ReplicaSets,
    /// The pods that a service selects, and its slices.
    Selected,
}

const KINDS: [Kind; 6] = [
    Kind {
        name: "deployment",
        api_version: "apps/v1",
        kind: "Deployment",
        resource: "deployments",
        owns: Owns::ReplicaSets,
        plan: deployment::plan,
    },
    Kind {
        name: "replicaset",
        api_version: "apps/v1",
        kind: "ReplicaSet",
        resource: "replicasets",
        owns: Owns::Pods,
        plan: replicaset::plan,
    },
    Kind {
        name: "statefulset",
        api_version: "apps/v1",
        kind: "StatefulSet",
        resource: "statefulsets",
        owns: Owns::Pods,
        plan: statefulset::plan,
    },
    Kind {
        name: "daemonset",
        api_version: "apps/v1",
        kind: "DaemonSet",
        resource: "daemonsets",
        owns: Owns::Pods,
        plan: daemonset::plan,
    },
    Kind { name: "job", api_version: "batch/v1", kind: "Job", resource: "jobs", owns: Owns::Pods, plan: job::plan },
    Kind {
        name: "endpointslice",
        api_version: "v1",
        kind: "Service",
        resource: "services",
        owns: Owns::Selected,
        plan: endpoints::plan,
    },
];

type Keys = Queue<(String, String)>;

/// Runs all workload controllers against `api` until `stop`.
pub async fn run(api: Caller, stop: CancellationToken) {
    let queues: [Keys; KINDS.len()] = std::array::from_fn(|_| Keys::new());
    let mut tasks = JoinSet::new();
    for (kind, queue) in KINDS.iter().zip(&queues) {
        let own = queue.clone();
        let of = Collection::all(Gvr::new(kind.api_version, kind.resource));
        let owners = queues.clone();
        let reflector = Reflector::new(api.clone(), of, Some).on_change(move |change: Change<'_, Value>| {
            own.add(change.key.clone());
            wake_owner(&owners, &change);
        });
        tasks.spawn(reflector.run(stop.clone()));
        let (api, queue) = (api.clone(), queue.clone());
        tasks.spawn(drive(kind.name, queue, WIDTH, move |key| reconcile(api.clone(), kind, key), stop.clone()));
    }
    let owners = queues.clone();
    let services = Reflector::new(api.clone(), Collection::all(Gvr::new("v1", "services")), |_| Some(()));
    let known = services.reflection();
    let pods = Reflector::new(api.clone(), Collection::all(Gvr::new("v1", "pods")), Some).on_change(
        move |change: Change<'_, Value>| {
            wake_owner(&owners, &change);
            for (key, _) in known.all().into_iter().filter(|(key, _)| key.0 == change.key.0) {
                owners[KINDS.len() - 1].add(key);
            }
        },
    );
    tasks.spawn(services.run(stop.clone()));
    tasks.spawn(pods.run(stop.clone()));
    while tasks.join_next().await.is_some() {}
}

fn wake_owner(queues: &[Keys; KINDS.len()], change: &Change<'_, Value>) {
    for object in [change.old, change.new].into_iter().flatten() {
        if let Some((kind, name)) = pod::controller_of(object)
            && let Some(at) = KINDS.iter().position(|k| k.kind == kind)
        {
            queues[at].add((change.key.0.clone(), name.to_owned()));
        }
    }
}

async fn reconcile(api: Caller, kind: &Kind, (namespace, name): (String, String)) -> Result<(), ReconcileError> {
    let gvr = Gvr::new(kind.api_version, kind.resource);
    let Some(mut object) = api.get(&gvr, &namespace, &name).await? else { return Ok(()) };
    if !text::str_at(&object, &["metadata", "deletionTimestamp"]).is_empty() {
        return Ok(());
    }
    object["apiVersion"] = kind.api_version.into();
    object["kind"] = kind.kind.into();
    let others = match kind.owns {
        Owns::Pods => owned(&api, &Gvr::new("v1", "pods"), &object).await?,
        Owns::ReplicaSets => owned(&api, &Gvr::new("apps/v1", "replicasets"), &object).await?,
        Owns::Selected => endpoints::inputs(&api, &object).await?,
    };
    commit(&api, &gvr, &object, (kind.plan)(&object, &others)).await
}

async fn owned(api: &Caller, gvr: &Gvr, owner: &Value) -> Result<Vec<Value>, ReconcileError> {
    let all = api.list(&Collection::all(gvr.clone()).within(text::namespace(owner))).await?.items;
    Ok(all.into_iter().filter(|object| pod::is_controlled_by(object, text::uid(owner))).collect())
}
