//! Following the hub: Services and mirrored EndpointSlices in, a new zone out, the last one on disk.
//! Fails static: without the hub the last zone goes on, also after a restart.

mod kept;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use federation_types::endpoint::{self, Clusters, Seen};
use federation_types::key::Gvr;
use federation_types::{ClusterName, label};
use hub_client::{Collection, Hub, Reflection, Reflector};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::zone::{Service, Zone, ZoneOptions, build};

/// How long changes are gathered before a zone is built: a rollout is many changes at once.
const GATHER: Duration = Duration::from_millis(20);
/// How often at most the zone's inputs are written to disk.
const KEEP_EVERY: Duration = Duration::from_secs(2);

/// How to follow the hub.
#[derive(Debug, Clone, Default)]
pub struct FollowOptions {
    pub zone: ZoneOptions,
    /// File for the last inputs; none keeps them in memory only.
    pub snapshot: Option<PathBuf>,
}

/// What a zone is built from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Inputs {
    pub(crate) services: BTreeMap<(String, String), Arc<Service>>,
    pub(crate) clusters: Clusters,
}

/// Keeps `zones` current until `shutdown`.
pub async fn follow(hub: Hub, options: FollowOptions, zones: Arc<ArcSwap<Zone>>, shutdown: CancellationToken) {
    let mut feed = Feed::start(options, &zones);
    let (seen, tasks) = Seeing::start(&hub, &shutdown);
    let (mut services, mut slices, mut members) =
        (seen.services.changes(), seen.slices.changes(), seen.members.changes());
    loop {
        let due = feed.keep_at;
        let changed = tokio::select! {
            () = shutdown.cancelled() => break,
            changed = services.changed() => changed.is_ok(),
            changed = slices.changed() => changed.is_ok(),
            changed = members.changed() => changed.is_ok(),
            () = sleep_until(due), if due.is_some() => { feed.keep().await; continue; }
        };
        if !changed {
            break;
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(GATHER) => {}
        }
        [&mut services, &mut slices, &mut members].into_iter().for_each(tokio::sync::watch::Receiver::mark_unchanged);
        feed.take(&seen, &zones);
    }
    feed.keep().await;
    for task in tasks {
        if let Err(error) = task.await {
            warn!(%error, "following the hub ended badly");
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// What the hub shows at this moment.
struct Seeing {
    services: Reflection<Service>,
    slices: Reflection<Seen>,
    /// Names of the member clusters: endpoints of one that was removed are not carried over.
    members: Reflection<()>,
}

impl Seeing {
    fn start(hub: &Hub, shutdown: &CancellationToken) -> (Self, [JoinHandle<()>; 3]) {
        let all = |api_version, resource| Collection::all(Gvr::new(api_version, resource));
        let services = Reflector::new(hub.clone(), all("v1", "services"), |object| Service::read(&object));
        let slices = Reflector::new(hub.clone(), all("discovery.k8s.io/v1", "endpointslices"), |object| {
            match endpoint::read(&object) {
                Seen::Foreign => None,
                seen => Some(seen),
            }
        });
        let members = Reflector::new(hub.clone(), all(label::API_VERSION, "clusters"), |_| Some(()));
        let seen = Self { services: services.reflection(), slices: slices.reflection(), members: members.reflection() };
        let tasks = [
            tokio::spawn(services.run(shutdown.clone())),
            tokio::spawn(slices.run(shutdown.clone())),
            tokio::spawn(members.run(shutdown.clone())),
        ];
        (seen, tasks)
    }

    /// Everything at once, each with whether it has been listed in full.
    fn now(&self) -> Now {
        Now {
            services_synced: self.services.state().synced,
            slices_synced: self.slices.state().synced,
            members: self
                .members
                .state()
                .synced
                .then(|| self.members.all().into_iter().map(|(key, _)| key.1).collect()),
            services: self.services.all().into_iter().collect(),
            slices: self.slices.all().into_iter().map(|(_, seen)| seen).collect(),
        }
    }
}

/// A moment of what the hub shows.
#[derive(Debug, Clone, Default)]
struct Now {
    services: BTreeMap<(String, String), Arc<Service>>,
    services_synced: bool,
    slices: Vec<Arc<Seen>>,
    slices_synced: bool,
    /// None until the members have been listed.
    members: Option<BTreeSet<String>>,
}

struct Feed {
    options: FollowOptions,
    inputs: Inputs,
    /// When the inputs are to be written, if they have changed since.
    keep_at: Option<Instant>,
}

impl Feed {
    /// Begins with what the last life has kept.
    fn start(options: FollowOptions, zones: &ArcSwap<Zone>) -> Self {
        let kept = options.snapshot.as_deref().and_then(kept::load);
        let mut feed = Self { options, inputs: Inputs::default(), keep_at: None };
        match kept {
            Some(inputs) => {
                feed.inputs = inputs;
                feed.publish(zones);
                info!(
                    services = feed.inputs.services.len(),
                    "DNS answers from the last snapshot until the hub is heard"
                );
            }
            None => zones.store(Arc::new(Zone::unknown(&feed.options.zone))),
        }
        feed
    }

    /// Builds a new zone if the hub shows something new.
    fn take(&mut self, seen: &Seeing, zones: &ArcSwap<Zone>) {
        let now = seen.now();
        let known = now.services_synced && now.slices_synced;
        let next = merge(&self.inputs, now);
        let ready = zones.load().is_ready();
        let changed = next != self.inputs;
        self.inputs = next;
        if ready && changed || !ready && known {
            self.publish(zones);
            self.keep_at.get_or_insert_with(|| Instant::now() + KEEP_EVERY);
        }
    }

    fn publish(&self, zones: &ArcSwap<Zone>) {
        let zone = build(
            &self.options.zone,
            self.inputs.services.values().map(|service| &**service),
            &self.inputs.clusters,
            serial(),
        );
        zones.store(Arc::new(zone));
    }

    /// Writes the inputs if they have changed since they were written.
    async fn keep(&mut self) {
        let Some(path) = self.options.snapshot.clone().filter(|_| self.keep_at.take().is_some()) else { return };
        let inputs = self.inputs.clone();
        let kept = tokio::task::spawn_blocking(move || kept::save(&path, &inputs)).await;
        if let Err(error) = kept.unwrap_or_else(|panic| Err(panic.to_string())) {
            warn!(%error, "the DNS snapshot is not on disk");
        }
    }
}

/// What is believed now: an absence only of what has been listed in full.
fn merge(before: &Inputs, now: Now) -> Inputs {
    let mut clusters = Clusters::new();
    for seen in &now.slices {
        match &**seen {
            Seen::Slice(slice) => clusters.entry(slice.cluster.clone()).or_default().slices.push(slice.clone()),
            Seen::Marker(name) => clusters.entry(name.clone()).or_default().complete = true,
            Seen::Foreign => {}
        }
    }
    if !now.slices_synced {
        clusters.values_mut().for_each(|seen| seen.complete = false);
    }
    let mut clusters = endpoint::carry_over(&before.clusters, clusters);
    if let Some(members) = &now.members {
        clusters.retain(|name, _| members.contains(name.as_str()));
        // A member that nothing was ever seen of is there all the same: its absences are unknown.
        for name in members.iter().filter_map(|name| ClusterName::new(name).ok()) {
            clusters.entry(name).or_default();
        }
    }
    let mut services = now.services;
    if !now.services_synced {
        for (key, service) in &before.services {
            services.entry(key.clone()).or_insert_with(|| Arc::clone(service));
        }
    }
    Inputs { services, clusters }
}

/// Seconds since 1970: rises from zone to zone as a serial must, if not by one.
fn serial() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    // Wraps in 2106, as serials may (RFC 1982).
    since.as_secs() as u32
}
