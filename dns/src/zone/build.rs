//! From services and endpoints to a zone. Pure: the same inputs give the same zone.
//!
//! Source: Kubernetes DNS 1.1.0 and the multi-cluster services KEP-1645 (`clusterset.local`, 1.0.0). There
//! is no clusterset IP: a service's name answers with its ready endpoints in all clusters, so that SRV
//! tells the endpoints' port.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use federation_types::endpoint::{Clusters, Endpoint, Port, Slice};
use federation_types::name::ClusterName;
use federation_types::text;
use serde_json::Value;

use super::{Node, Nodes, Other, Srv, Zone, ZoneOptions};
use crate::name::Name;
use crate::wire::rtype;

/// TTL of what never changes, in seconds. Source: KEP-1645, `dns-version`.
const VERSION_TTL: u32 = 28_800;
/// Version of the multi-cluster DNS specification that the zone follows.
const VERSION: &[u8] = b"\x051.0.0";

/// A service of the hub, as far as its name goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub namespace: String,
    pub name: String,
    /// `clusterIP: None`: its endpoints have names of their own.
    pub headless: bool,
}

impl Service {
    /// Reads a Service; none where it is an alias for an outside name, which is never exported.
    #[must_use]
    pub fn read(object: &Value) -> Option<Self> {
        if text::str_at(object, &["spec", "type"]) == "ExternalName" || text::name(object).is_empty() {
            return None;
        }
        Some(Self {
            namespace: text::namespace(object).to_owned(),
            name: text::name(object).to_owned(),
            headless: text::str_at(object, &["spec", "clusterIP"]) == "None",
        })
    }
}

/// Builds the zone. `serial` numbers it: higher for later zones.
#[must_use]
pub fn build<'s>(
    options: &ZoneOptions,
    services: impl IntoIterator<Item = &'s Service>,
    clusters: &Clusters,
    serial: u32,
) -> Zone {
    let origin = Name::parse(&options.origin).unwrap_or_else(|| Name::parse("clusterset.local").expect("a short name"));
    let unheard = clusters.values().any(|seen| !seen.complete && seen.slices.is_empty());
    let mut builder = Builder { options, origin, nodes: Nodes::default(), unheard };
    let soa = builder.apex(serial);
    let slices = by_service(clusters);
    for service in services {
        let own = slices.get(&(service.namespace.as_str(), service.name.as_str()));
        builder.service(service, own.map_or(&[], Vec::as_slice));
    }
    Zone {
        origin: builder.origin,
        ttl: options.ttl,
        max_addresses: options.max_addresses.max(1),
        soa: soa.into(),
        ready: true,
        stale: clusters.values().any(|seen| !seen.complete),
        nodes: builder.nodes,
    }
}

/// A slice and whether its cluster is heard of.
type Heard<'c> = (&'c Slice, bool);

fn by_service(clusters: &Clusters) -> HashMap<(&str, &str), Vec<Heard<'_>>> {
    let mut slices: HashMap<_, Vec<_>> = HashMap::new();
    for seen in clusters.values() {
        for slice in &seen.slices {
            slices.entry((slice.namespace.as_str(), slice.service.as_str())).or_default().push((slice, seen.complete));
        }
    }
    slices
}

struct Builder<'o> {
    options: &'o ZoneOptions,
    origin: Name,
    nodes: Nodes,
    /// Of some cluster nothing was ever seen.
    unheard: bool,
}

/// An endpoint that is told, with where it is.
struct Ready<'c> {
    member: &'c ClusterName,
    endpoint: &'c Endpoint,
    addresses: Vec<IpAddr>,
    ports: &'c [Port],
    complete: bool,
}

impl Builder<'_> {
    fn name<'l>(&self, labels: impl IntoIterator<Item = &'l str>) -> Option<Name> {
        Name::below(labels, self.origin.wire())
    }

    /// The names that always exist; returns the data of the SOA record.
    fn apex(&mut self, serial: u32) -> Vec<u8> {
        let server = self.name(["ns", "dns"]).unwrap_or_else(|| self.origin.clone());
        let mut soa = server.wire().to_vec();
        soa.extend_from_slice(self.name(["hostmaster"]).unwrap_or_else(|| self.origin.clone()).wire());
        // Refresh, retry and expiry are for secondaries; the last is how long an absence is believed.
        for number in [serial, 7200, 1800, 86_400, self.options.ttl] {
            soa.extend_from_slice(&number.to_be_bytes());
        }
        let record = |rtype, ttl, data: &[u8]| Other { rtype, ttl, data: data.into() };
        let ttl = self.options.ttl;
        let apex = [record(rtype::SOA, ttl, &soa), record(rtype::NS, ttl, server.wire())];
        self.nodes.insert(self.origin.clone(), Node { other: apex.into(), ..Node::default() });
        let (a, aaaa) = families(self.options.servers.iter().copied());
        self.nodes.insert(server, Node { a: a.into(), aaaa: aaaa.into(), ..Node::default() });
        let version = [record(rtype::TXT, VERSION_TTL, VERSION)];
        for (labels, other) in [(&["dns-version"][..], Some(version)), (&["dns"], None), (&["svc"], None)] {
            if let Some(name) = self.name(labels.iter().copied()) {
                let other: Box<[Other]> = other.map_or_else(Box::default, Into::into);
                self.nodes.insert(name, Node { other, ..Node::default() });
            }
        }
        soa
    }

    fn service(&mut self, service: &Service, slices: &[Heard<'_>]) {
        let (namespace, name) = (service.namespace.as_str(), service.name.as_str());
        let Some(parent) = self.name([namespace, "svc"]) else { return };
        // The namespace exists with its first service, whether or not that has endpoints.
        self.nodes.entry(parent).or_default();
        let ready: Vec<_> = slices.iter().flat_map(|heard| self.ready(*heard)).collect();
        let Some(own) = self.name([name, namespace, "svc"]) else { return };
        if ready.is_empty() {
            if self.unheard {
                self.nodes.insert(own, Node { unknown: true, ..Node::default() });
            }
            return;
        }
        let stale = ready.iter().any(|ready| !ready.complete);
        let (a, aaaa) = families(mixed(&ready));
        let hosts = if service.headless { self.hosts(&own, &ready) } else { Vec::new() };
        let mut all = BTreeSet::new();
        for ((protocol, port), srv) in srv(&own, &ready, &hosts) {
            let (protocol, port) = (format!("_{protocol}"), format!("_{port}"));
            if port.len() > 1
                && let (Some(above), Some(name)) =
                    (Name::below([&*protocol], own.wire()), Name::below([&*port, &*protocol], own.wire()))
            {
                self.nodes.entry(above).or_default();
                let records: Vec<_> = srv.iter().cloned().collect();
                self.nodes.insert(name, Node { srv: records.into(), stale, ..Node::default() });
            }
            all.extend(srv);
        }
        let all: Vec<_> = all.into_iter().collect();
        self.nodes.insert(own, Node { a: a.into(), aaaa: aaaa.into(), srv: all.into(), stale, ..Node::default() });
    }

    /// The endpoints of a slice that are told.
    fn ready<'c>(&self, (slice, complete): Heard<'c>) -> impl Iterator<Item = Ready<'c>> {
        slice.endpoints.iter().filter(|endpoint| endpoint.ready).filter_map(move |endpoint| {
            let addresses: Vec<_> =
                endpoint.addresses.iter().copied().filter(|address| self.allows(*address)).collect();
            let (member, ports) = (&slice.cluster, slice.ports.as_slice());
            (!addresses.is_empty()).then_some(Ready { member, endpoint, addresses, ports, complete })
        })
    }

    /// Whether an address may be told: a member must not be able to point clients at themselves or at us.
    fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let special = match address {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.is_multicast() || v4.octets()[0] == 0,
            IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified(),
        };
        !special
            && (self.options.allow_loopback || !address.is_loopback())
            && !self.options.own_addresses.iter().any(|own| own.to_canonical() == address)
    }

    /// Names of a headless service's endpoints, `<host>.<cluster>.<service>…`; one for each of `ready`.
    fn hosts(&mut self, own: &Name, ready: &[Ready<'_>]) -> Vec<Option<Name>> {
        let mut addresses: BTreeMap<Name, (Vec<IpAddr>, bool)> = BTreeMap::new();
        let mut hosts = Vec::with_capacity(ready.len());
        for ready in ready {
            let member = ready.member.as_str();
            let dashed = dashed(ready.addresses[0]);
            let host = ready.endpoint.hostname.as_deref().unwrap_or(&dashed);
            let name = Name::below([host, member], own.wire());
            if let Some(name) = &name {
                let (known, stale) = addresses.entry(name.clone()).or_default();
                known.extend(&ready.addresses);
                *stale |= !ready.complete;
                let above = Name::below([member], own.wire()).expect("a shorter name than the one above");
                self.nodes.entry(above).or_default();
            }
            hosts.push(name);
        }
        for (name, (addresses, stale)) in addresses {
            let (a, aaaa) = families(addresses);
            self.nodes.insert(name, Node { a: a.into(), aaaa: aaaa.into(), stale, ..Node::default() });
        }
        hosts
    }
}

/// SRV records by protocol and port name: of the service's own name, or of each endpoint's if it has one.
fn srv(own: &Name, ready: &[Ready<'_>], hosts: &[Option<Name>]) -> BTreeMap<(String, String), BTreeSet<Srv>> {
    let mut records: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (index, ready) in ready.iter().enumerate() {
        let target = match hosts.get(index) {
            None => own,
            Some(Some(host)) => host,
            // The endpoint's own name would be too long: it is reached by the service's name only.
            Some(None) => continue,
        };
        for port in ready.ports {
            let key = (port.protocol.to_ascii_lowercase(), port.name.to_ascii_lowercase());
            records.entry(key).or_default().insert(Srv { port: port.number, target: target.clone() });
        }
    }
    records
}

/// Every address once, clusters taking turns, so that any stretch of them is spread over all clusters.
fn mixed(ready: &[Ready<'_>]) -> Vec<IpAddr> {
    let mut clusters: BTreeMap<&ClusterName, BTreeSet<IpAddr>> = BTreeMap::new();
    for ready in ready {
        clusters.entry(ready.member).or_default().extend(&ready.addresses);
    }
    let mut turns: Vec<_> = clusters.into_values().map(BTreeSet::into_iter).collect();
    let mut seen = BTreeSet::new();
    let mut mixed = Vec::new();
    while !turns.is_empty() {
        turns.retain_mut(|addresses| {
            let next = addresses.next();
            mixed.extend(next.filter(|address| seen.insert(*address)));
            next.is_some()
        });
    }
    mixed
}

fn families(addresses: impl IntoIterator<Item = IpAddr>) -> (Vec<Ipv4Addr>, Vec<Ipv6Addr>) {
    let (mut a, mut aaaa) = (Vec::new(), Vec::new());
    for address in addresses {
        match address.to_canonical() {
            IpAddr::V4(v4) if !a.contains(&v4) => a.push(v4),
            IpAddr::V6(v6) if !aaaa.contains(&v6) => aaaa.push(v6),
            _ => {}
        }
    }
    (a, aaaa)
}

/// The host name of an endpoint that has none: its address with dashes. Source: CoreDNS, kubernetes plugin.
fn dashed(address: IpAddr) -> String {
    let mut dashed = address.to_canonical().to_string().replace(['.', ':'], "-");
    if dashed.ends_with('-') {
        dashed.push('0');
    }
    if dashed.starts_with('-') {
        dashed.insert(0, '0');
    }
    dashed
}
