//! What members run, as the hub shows it: pods, nodes and slices in memory rings fed by member watches, never stored.
//!
//! One feed a member and resource; one member's silence touches no other's objects. A member that does not answer keeps
//! what it had: nothing here believes an absence that was not listed. Beside the feeds stands the health loop.

mod capacity;
mod feed;
pub(crate) mod forward;
mod health;
mod identity;
pub(crate) mod owner;
mod rename;
pub(crate) mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use federation_types::{ClusterName, Gvr, endpoint};
use hub_client::{Collection, Hub, follow};
use member_cluster::{Member, Members};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::capacity::Tally;
use self::feed::Feed;
use crate::service::Api;

/// A resource of members that shows at the hub.
pub struct Mirrored {
    pub group: &'static str,
    pub version: &'static str,
    pub resource: &'static str,
    kind: rename::Kind,
}

/// What is mirrored; each gets a ring with a clock of its own.
pub const MIRRORED: &[Mirrored] = &[
    Mirrored { group: "", version: "v1", resource: "nodes", kind: rename::Kind::Node },
    Mirrored { group: "", version: "v1", resource: "pods", kind: rename::Kind::Pod },
    Mirrored {
        group: "discovery.k8s.io",
        version: "v1",
        resource: "endpointslices",
        kind: rename::Kind::EndpointSlice,
    },
];

impl Mirrored {
    fn collection(&self) -> Collection {
        Collection::all(Gvr {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            resource: self.resource.to_owned(),
        })
    }
}

/// What the feeds of one member have in common.
pub(crate) struct Seen {
    pub(crate) tally: Tally,
    /// One bit a resource of [`MIRRORED`]: its first list is complete.
    pub(crate) complete: std::sync::atomic::AtomicU32,
    pub(crate) progress: tokio::sync::Notify,
}

impl Seen {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            tally: Tally::default(),
            complete: std::sync::atomic::AtomicU32::new(0),
            progress: tokio::sync::Notify::new(),
        })
    }

    /// Whether all resources of the member have been listed once.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete.load(std::sync::atomic::Ordering::Acquire).count_ones() as usize == MIRRORED.len()
    }

    fn completed(&self, index: usize) {
        self.complete.fetch_or(1 << index, std::sync::atomic::Ordering::AcqRel);
        self.progress.notify_waiters();
    }
}

/// Mirrors every member into `api`'s rings and writes the status of Clusters through `hub`, until `stop`.
///
/// From now on `api` reaches the members for requests about their objects, too.
pub async fn run(api: Api, members: Members, hub: Hub, stop: CancellationToken) {
    api.server().reach.introduce(members.clone());
    let mut changes = members.changes();
    let mut shown = BTreeSet::new();
    let mut running: BTreeMap<ClusterName, (Arc<Member>, CancellationToken)> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let status = health::Statuses::new(hub.clone());
    tasks.spawn(status.clone().follow(members.clone(), stop.clone()));
    loop {
        changes.mark_unchanged();
        let now: BTreeMap<ClusterName, Arc<Member>> =
            members.all().into_iter().map(|member| (member.name.clone(), member)).collect();
        running.retain(|name, (member, end)| {
            let stays = now.get(name).is_some_and(|current| Arc::ptr_eq(current, member));
            if !stays {
                end.cancel();
            }
            stays
        });
        // Also those whose connection had ended before they were removed: no task of theirs is left to do it.
        shown.retain(|name: &ClusterName| {
            let stays = members.is_registered(name.as_str()) || running.contains_key(name);
            if !stays {
                forget(&api, name);
            }
            stays
        });
        for (name, member) in now {
            shown.insert(name.clone());
            running.entry(name).or_insert_with(|| {
                let end = stop.child_token();
                tasks.spawn(mirror(api.clone(), member.clone(), members.clone(), status.clone(), end.clone()));
                (member, end)
            });
        }
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = tasks.join_next() => if let Err(e) = ended { tracing::error!(error = %e, "a mirror failed") },
            changed = changes.changed() => if changed.is_err() { break },
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// One member until `end`; what it showed goes only when the member is no longer registered.
async fn mirror(api: Api, member: Arc<Member>, members: Members, status: health::Statuses, end: CancellationToken) {
    let seen = Seen::new();
    let feeds: Vec<Feed> = MIRRORED
        .iter()
        .enumerate()
        .map(|(index, mirrored)| Feed {
            cluster: member.name.clone(),
            ring: api.resource_cache(mirrored.group, mirrored.resource),
            kind: mirrored.kind,
            index,
            seen: seen.clone(),
        })
        .collect();
    let collections: Vec<Collection> = MIRRORED.iter().map(Mirrored::collection).collect();
    {
        let follow_all = futures_util::future::join_all(
            feeds.iter().zip(&collections).map(|(feed, of)| follow(&member.reader, of, feed)),
        );
        let mark = mark(&api, &member.name, &seen);
        let health = health::watch(&member, &seen, &status);
        tokio::select! {
            () = end.cancelled() => {}
            _ = follow_all => {}
            () = mark => {}
            () = health => {}
        }
    }
    if !members.is_registered(member.name.as_str()) {
        forget(&api, &member.name);
    }
}

/// Takes everything of a cluster out, the marker first: from then on nobody believes an absence.
fn forget(api: &Api, name: &ClusterName) {
    let slices = api.resource_cache("discovery.k8s.io", "endpointslices");
    slices.remove(&marker_key(name), 0);
    for mirrored in MIRRORED {
        feed::clear(&api.resource_cache(mirrored.group, mirrored.resource), name);
    }
}

/// Puts the completeness marker into the slices' ring behind the cluster's last initial slice.
async fn mark(api: &Api, name: &ClusterName, seen: &Seen) {
    loop {
        let progress = seen.progress.notified();
        let slices = MIRRORED.len() - 1;
        if seen.complete.load(std::sync::atomic::Ordering::Acquire) & (1 << slices) != 0 {
            break;
        }
        progress.await;
    }
    let slices = api.resource_cache("discovery.k8s.io", "endpointslices");
    let mut marker = endpoint::marker(name);
    identity::stamp(&mut marker, name);
    slices.put(&marker_key(name), marker.to_string().as_bytes(), 0);
    std::future::pending::<()>().await;
}

fn marker_key(name: &ClusterName) -> String {
    format!("{}/{}", federation_types::label::SYSTEM_NAMESPACE, endpoint::marker_name(name))
}
