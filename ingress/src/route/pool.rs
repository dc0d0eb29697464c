//! One pool of endpoints per service port, over all clusters, from mirrored slices.
//!
//! Decides who may get requests at all (ready, draining, reachable addresses) and in which order; balancing is the backend's.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use federation_types::ClusterName;
use federation_types::endpoint::{Clusters, Endpoint as Pod, Slice};

use crate::route::build::BuildOptions;
use crate::route::endpoint::{Endpoint, EndpointKey};
use crate::snapshot::{Named, ServicePort};

/// Where this data plane runs; unknown means that all clusters serve in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locality {
    pub cluster: ClusterName,
    pub zone: Option<Arc<str>>,
}

/// Slices by service, over all clusters.
pub struct SliceIndex<'s> {
    slices: HashMap<(&'s str, &'s str), Vec<&'s Slice>>,
}

/// Gives every endpoint its lasting identity.
pub struct Identities<'t> {
    pub before: Option<&'t HashMap<EndpointKey, Arc<Endpoint>>>,
    pub now: HashMap<EndpointKey, Arc<Endpoint>>,
    pub next_id: u64,
}

struct Candidate<'s> {
    key: EndpointKey,
    zone: Option<&'s Arc<str>>,
}

impl<'s> SliceIndex<'s> {
    pub fn new(clusters: &'s Clusters, own: &'s [Slice]) -> Self {
        let mut slices = HashMap::<_, Vec<_>>::new();
        for slice in clusters.values().flat_map(|seen| &seen.slices).chain(own) {
            slices.entry((slice.namespace.as_str(), slice.service.as_str())).or_default().push(slice);
        }
        Self { slices }
    }

    /// The endpoints of a service port in preference tiers, interleaved over the clusters within each.
    pub fn tiers(
        &self,
        service: &Named,
        port: &ServicePort,
        ids: &mut Identities<'_>,
        options: &BuildOptions,
    ) -> Vec<Vec<Arc<Endpoint>>> {
        let empty = Vec::new();
        let slices = self.slices.get(&(&*service.namespace, &*service.name)).unwrap_or(&empty);
        let ready = candidates(slices, port, options, |pod| pod.ready && !pod.terminating);
        // Nobody is ready: pods that drain but still answer are better than a 503 (KEP-1669).
        let chosen = if ready.is_empty() {
            candidates(slices, port, options, |pod| (pod.serving || pod.ready) && pod.terminating)
        } else {
            ready
        };
        let mut tiers = vec![Vec::new(), Vec::new(), Vec::new()];
        for candidate in interleave(chosen) {
            let tier = tier(&candidate, options.locality.as_ref());
            tiers[tier].push(ids.endpoint(candidate));
        }
        tiers
    }
}

impl SliceIndex<'_> {
    /// An address of an endpoint that would get requests, if it were one that any may be sent to.
    pub fn left_out(&self, service: &Named, port: &ServicePort, options: &BuildOptions) -> Option<IpAddr> {
        let slices = self.slices.get(&(&*service.namespace, &*service.name))?;
        let named = |slice: &&&Slice| slice.ports.iter().any(|p| p.name == port.name && p.protocol == port.protocol);
        let pods = slices.iter().filter(named).flat_map(|slice| &slice.endpoints).filter(|pod| pod.ready);
        let addresses = pods.filter_map(|pod| pod.addresses.first()).copied();
        // The same whatever the order of slices is, so that it is told once.
        addresses.filter(|address| !options.admits(*address)).min()
    }
}

impl Identities<'_> {
    /// The endpoint of an address that no pod has.
    pub fn named(&mut self, key: EndpointKey) -> Arc<Endpoint> {
        self.endpoint(Candidate { key, zone: None })
    }

    fn endpoint(&mut self, candidate: Candidate<'_>) -> Arc<Endpoint> {
        if let Some(known) = self.now.get(&candidate.key) {
            return known.clone();
        }
        let kept = self.before.and_then(|before| before.get(&candidate.key)).cloned();
        let endpoint = kept.unwrap_or_else(|| {
            self.next_id += 1;
            Arc::new(Endpoint::new(self.next_id, candidate.key.clone(), candidate.zone.cloned()))
        });
        self.now.insert(candidate.key, endpoint.clone());
        endpoint
    }
}

fn candidates<'s>(
    slices: &[&'s Slice],
    port: &ServicePort,
    options: &BuildOptions,
    fits: impl Fn(&Pod) -> bool,
) -> BTreeMap<ClusterName, Vec<Candidate<'s>>> {
    let mut found = BTreeMap::<ClusterName, Vec<Candidate<'s>>>::new();
    // Duplicates over slices happen while a controller moves endpoints between them.
    let (mut known, mut older) = (HashSet::new(), HashSet::new());
    // A pod of both families is in two slices and is one endpoint.
    for family in [IpAddr::is_ipv4 as fn(&IpAddr) -> bool, IpAddr::is_ipv6] {
        for slice in slices {
            let Some(number) = slice.ports.iter().find(|p| p.name == port.name && p.protocol == port.protocol) else {
                continue;
            };
            for pod in slice.endpoints.iter().filter(|pod| fits(pod)) {
                let fit = |address: &&IpAddr| family(address) && options.admits(**address);
                let Some(address) = pod.addresses.first().filter(fit) else { continue };
                if address.is_ipv6() && pod.pod.as_ref().is_some_and(|name| older.contains(&(&slice.cluster, name))) {
                    continue;
                }
                if address.is_ipv4()
                    && let Some(name) = &pod.pod
                {
                    older.insert((&slice.cluster, name));
                }
                let key = EndpointKey {
                    cluster: slice.cluster.clone(),
                    address: SocketAddr::new(*address, number.number),
                    pod: pod.pod.clone(),
                };
                if known.insert(key.clone()) {
                    found.entry(slice.cluster.clone()).or_default().push(Candidate { key, zone: pod.zone.as_ref() });
                }
            }
        }
    }
    found
}

/// One of each cluster in turn, so that a round visits all clusters early; sorted, so that rebuilds agree.
fn interleave(clusters: BTreeMap<ClusterName, Vec<Candidate<'_>>>) -> Vec<Candidate<'_>> {
    let mut queues: Vec<_> = clusters
        .into_values()
        .map(|mut pods| {
            pods.sort_by(|a, b| (a.key.address, &a.key.pod).cmp(&(b.key.address, &b.key.pod)));
            pods.into_iter()
        })
        .collect();
    let mut order = Vec::new();
    loop {
        let before = order.len();
        order.extend(queues.iter_mut().filter_map(Iterator::next));
        if order.len() == before {
            return order;
        }
    }
}

/// Same zone, same cluster, elsewhere; zones of different clusters are different zones.
fn tier(candidate: &Candidate<'_>, locality: Option<&Locality>) -> usize {
    match locality {
        Some(here) if here.cluster == candidate.key.cluster => {
            let same_zone = here.zone.is_some() && here.zone.as_ref() == candidate.zone;
            usize::from(!same_zone)
        }
        Some(_) => 2,
        None => 0,
    }
}

/// Whether a pod could ever have this address: neither this machine nor its link (RFC 6890).
pub fn routable(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast()),
    }
}
