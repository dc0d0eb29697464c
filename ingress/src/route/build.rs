//! Snapshot → route table: which Ingresses are ours, what each rule means, who wins a conflict, what is wrong.
//!
//! Pure; the table before is read only for identities (endpoint health, turns, parsed certificates).

mod bearer;
mod canaries;
mod extauth;
mod mirror;
mod mutual;
mod names;
mod pages;
mod parameters;
mod passthrough;
mod patterns;
mod tls;
mod upkeeps;
mod users;
mod wiring;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use federation_types::label;

use crate::annotation::{self, Finding, Reading, TlsWish};
use crate::route::backend::Backend;
use crate::route::canary::CanaryRule;
use crate::route::cert::{Certs, Taken};
use crate::route::delivery::Delivery;
use crate::route::endpoint::EndpointKey;
use crate::route::extauth::External;
use crate::route::external::{ExternalNames, NAME_UNTOLD, outside as outside_cluster};
use crate::route::path::{HostRoutes, normal};
use crate::route::policy::Policy;
use crate::route::pool::{Identities, Locality, SliceIndex, routable};
use crate::route::upkeep::Upkeep;
use crate::route::wire::{UpstreamTls, Wires};
use crate::route::{ErrorPages, Mirror, Problem, ProblemKind, Route, RouteTable, Subject};
use crate::snapshot::{BackendRef, IngressClass, IngressObject, Named, PortRef, RulePath, ServiceObject, Snapshot};
use canaries::{Place, Waiting};
use mutual::MutualHosts;
use upkeeps::{Unheard, Upkeeps};

/// Why a route is closed whose backend is none that can be asked.
const UNSUPPORTED: &str = "unsupported backend";
/// The value of the annotation `kubernetes.io/ingress.class` that means us.
const LEGACY_CLASS: &str = "fedgate";
/// Fields that name a Service beside the one that answers.
const MIRRORED: &str = "metadata.annotations[mirror-target]";
const ASKED: &str = "metadata.annotations[auth-url]";
const PAGED: &str = "metadata.annotations[default-backend]";

/// What the composition root decides about building.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// Only the playground's members live on loopback addresses.
    pub allow_loopback: bool,
    /// Addresses that are ours: endpoints there would be loops.
    pub own_addresses: Vec<IpAddr>,
    pub locality: Option<Locality>,
    /// What routes say about picking endpoints where their Ingress says nothing.
    pub delivery: Delivery,
    /// How endpoints are looked after where nothing else is said.
    pub upkeep: Upkeep,
    /// The Secret whose certificate is served where no other fits.
    pub default_certificate: Option<Named>,
    /// What Services of type ExternalName may stand for.
    pub external_names: ExternalNames,
}

impl BuildOptions {
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        let loopback = self.allow_loopback && address.is_loopback();
        (routable(address) || loopback) && !self.own_addresses.contains(&address)
    }
}

/// Which IngressClasses are ours.
pub struct Classes<'s> {
    ours: HashSet<&'s str>,
    default_is_ours: bool,
}

impl<'s> Classes<'s> {
    /// Reads the classes of a snapshot.
    #[must_use]
    pub fn new(classes: &'s [IngressClass]) -> Self {
        let ours = || classes.iter().filter(|class| class.controller == label::INGRESS_CONTROLLER);
        Self { ours: ours().map(|class| class.name.as_str()).collect(), default_is_ours: ours().any(|c| c.default) }
    }

    /// Whether we serve this Ingress: by class, by the annotation of old, or as the default.
    #[must_use]
    pub fn serves(&self, ingress: &IngressObject) -> bool {
        match (&ingress.legacy_class, &ingress.class) {
            (_, Some(class)) => self.ours.contains(class.as_str()),
            (Some(legacy), None) => legacy == LEGACY_CLASS,
            (None, None) => self.default_is_ours,
        }
    }
}

/// Compiles a snapshot; nothing in it can make this fail, what is wrong is among the table's problems.
#[must_use]
pub fn build(snapshot: &Snapshot, before: Option<&RouteTable>, options: &BuildOptions) -> RouteTable {
    let classes = Classes::new(&snapshot.classes);
    let mut ingresses: Vec<&IngressObject> =
        snapshot.ingresses.iter().map(|ingress| &**ingress).filter(|ingress| classes.serves(ingress)).collect();
    // The oldest wins, then the name: that order decides every conflict below.
    ingresses.sort_by(|a, b| (&a.created, &a.key).cmp(&(&b.created, &b.key)));
    let read = |ingress: &'_ IngressObject| {
        annotation::read_within(&parameters::with_defaults(snapshot, ingress), &ingress.key.namespace)
    };
    let read: Vec<(&IngressObject, Reading)> = ingresses.iter().map(|ingress| (*ingress, read(ingress))).collect();
    let plain = Arc::default();
    let (upkeeps, unheard) = Upkeeps::read(&ingresses);
    let (mutuals, unbelieved) = MutualHosts::read(&read, snapshot, before);
    let mut builder = Builder {
        upkeeps,
        snapshot,
        options,
        before,
        index: SliceIndex::new(&snapshot.clusters, &snapshot.own_slices),
        patterned: patterns::patterned_hosts(&read),
        mutuals,
        ids: Identities {
            before: before.map(|table| &table.endpoints),
            now: HashMap::new(),
            next_id: before.map_or(0, |table| table.next_id),
        },
        table: RouteTable {
            wires: Wires::following(before.map(|table| &table.wires)),
            last_number: before.map_or(0, |table| table.last_number),
            ..RouteTable::default()
        },
        aliases: Vec::new(),
        improper: Vec::new(),
        canaries: BTreeMap::new(),
        policy: Arc::clone(&plain),
        endpoint_tls: None,
        delivery: options.delivery.clone(),
        asks_for_patterns: false,
        extauth: None,
        pages: None,
        mirror: None,
        plain,
    };
    builder.table.any.mutual = builder.mutuals.of("");
    builder.default_certificate();
    builder.table.problems = parameters::problems(snapshot);
    for Unheard { ingress, message } in unheard {
        builder.problem(ingress, ProblemKind::Annotation, message);
    }
    for (ingress, (kind, message)) in unbelieved {
        builder.problem(ingress, kind, message);
    }
    // Canaries first: they wait for the path that they name.
    let (canaries, others): (Vec<_>, Vec<_>) = read.into_iter().partition(|(_, reading)| reading.canary.is_some());
    for (ingress, reading) in canaries.into_iter().chain(others) {
        builder.ingress(ingress, reading);
    }
    builder.finish()
}

struct Builder<'s> {
    snapshot: &'s Snapshot,
    options: &'s BuildOptions,
    before: Option<&'s RouteTable>,
    index: SliceIndex<'s>,
    upkeeps: Upkeeps,
    /// Hosts whose paths are patterns, with the namespace that has them first: only its own Ingresses ask for that.
    patterned: HashMap<&'s str, &'s str>,
    mutuals: MutualHosts<'s>,
    ids: Identities<'s>,
    table: RouteTable,
    /// Further names, and the hosts that they stand for.
    aliases: Vec<(String, String)>,
    /// Names that lead to another host, that one, and whose rule it is.
    improper: Vec<(String, String, Named)>,
    /// Who wants requests of which host, kind of path and path, the oldest first; those that nobody has asked for yet.
    canaries: BTreeMap<Place<'s>, Vec<Waiting<'s>>>,
    /// Of the Ingress that is being read.
    policy: Arc<Policy>,
    delivery: Delivery,
    /// Of the same, and whether the name is its own.
    endpoint_tls: Option<(UpstreamTls, bool)>,
    asks_for_patterns: bool,
    extauth: Option<Arc<External>>,
    pages: Option<Arc<ErrorPages>>,
    mirror: Option<Arc<Mirror>>,
    /// Of every Ingress that asks for nothing.
    plain: Arc<Policy>,
}

impl<'s> Builder<'s> {
    fn ingress(&mut self, ingress: &'s IngressObject, reading: Reading) {
        self.table.accepted.insert(ingress.key.clone());
        if let Some(rule) = self.asked(ingress, reading) {
            return self.canary(ingress, &rule);
        }
        self.passthrough(ingress);
        for (number, rule) in ingress.rules.iter().enumerate() {
            if !host_is_sound(&rule.host) {
                let message = format!(
                    "spec.rules[{number}].host: {:?} is no host name, exact or with one leading \"*.\"",
                    rule.host
                );
                self.problem(ingress, ProblemKind::HostInvalid, message);
                continue;
            }
            for (position, path) in rule.paths.iter().enumerate() {
                let field = format!("spec.rules[{number}].http.paths[{position}]");
                self.path(ingress, &rule.host, path, &field);
            }
        }
        self.default_backend(ingress);
        self.tls(ingress);
    }

    /// Takes in what its annotations ask for; says whether it is a canary.
    fn asked(&mut self, ingress: &IngressObject, reading: Reading) -> Option<CanaryRule> {
        let Reading { mut policy, aliases, www, patterned, delivery, users, endpoints, .. } = reading;
        let Reading { errors, extauth, bearer, mirror, mutual, canary, findings, .. } = reading;
        self.findings(ingress, findings);
        self.names(ingress, www, aliases);
        self.policy = Arc::clone(&self.plain);
        (self.endpoint_tls, self.extauth, self.pages, self.mirror) = (None, None, None, None);
        self.asks_for_patterns = patterned;
        self.delivery = delivery.over(&self.options.delivery);
        if canary.is_some() {
            // Its requests meet the rules of the Ingress that has its path.
            self.mutual(ingress, mutual.as_ref());
            return canary;
        }
        if let Some(wish) = users {
            policy.users = self.users(ingress, wish);
            if policy.users.is_none() {
                policy.closed = Some("the users of this route are not known");
            }
        }
        if let Some(wish) = bearer {
            policy.bearer = self.bearer(ingress, wish);
            if policy.bearer.is_none() {
                policy.closed = Some("the keys of this route's tokens are not known");
            }
        }
        if let Some(wish) = extauth {
            self.extauth = self.extauth(ingress, wish);
            if self.extauth.is_none() {
                policy.closed = Some("the authentication service is not ours to ask");
            }
        }
        if self.mutual(ingress, mutual.as_ref()) {
            policy.closed = Some("what is asked of clients on this host is said by others");
        }
        if endpoints != TlsWish::default() {
            self.endpoint_tls = self.endpoint_tls(ingress, &endpoints).map(|tls| (tls, endpoints.name.is_some()));
            if self.endpoint_tls.is_none() {
                policy.closed = Some("how to speak to the endpoints of this route is not known");
            }
        }
        if policy != *self.plain {
            self.policy = Arc::new(policy);
        }
        if let Some(errors) = errors {
            self.pages = Some(self.pages(ingress, errors));
        }
        self.mirror = mirror.and_then(|wish| self.mirror(ingress, wish));
        None
    }

    /// Says what is wrong with the annotations of an Ingress: once what is the same of several.
    fn findings(&mut self, ingress: &IngressObject, findings: Vec<Finding>) {
        let mut same = BTreeMap::<String, Vec<String>>::new();
        for Finding { name, message, .. } in findings {
            same.entry(message).or_default().push(name);
        }
        for (message, names) in same {
            let message = format!("metadata.annotations[{}]: {message}", names.join(", "));
            self.problem(ingress, ProblemKind::Annotation, message);
        }
    }

    /// Keeps the further names of an Ingress' hosts until all of its rules are known.
    fn names(&mut self, ingress: &IngressObject, www: bool, aliases: Vec<String>) {
        for host in ingress.rules.iter().map(|rule| &rule.host).filter(|host| !host.is_empty()) {
            if www && !host.starts_with("*.") {
                let other = host.strip_prefix("www.").map_or_else(|| format!("www.{host}"), str::to_owned);
                self.improper.push((other, host.clone(), ingress.key.clone()));
            }
            self.aliases.extend(aliases.iter().map(|alias| (alias.clone(), host.clone())));
        }
    }

    fn path(&mut self, ingress: &IngressObject, host: &'s str, path: &'s RulePath, field: &str) {
        let pattern = match self.pattern_of(ingress, host, path) {
            Ok(pattern) => pattern,
            Err(error) => {
                let message = format!("{field}.path: {:?}: {error}; it is not served", path.path);
                self.problem(ingress, ProblemKind::PathInvalid, message);
                return self.close(ingress, host, &path.path);
            }
        };
        let route = self.route(ingress, &path.backend, &format!("{field}.backend"));
        let route = Route { canaries: self.canaries_of((host, path), &ingress.key), ..route }.sealed();
        let older = match pattern {
            Some(pattern) => self.host(host).add_pattern(pattern, route),
            None => {
                // Compared with what requests are brought into; what has no such form can never be asked for.
                let normal = normal(&path.path).ok().flatten();
                self.host(host).add(path.kind, normal.as_deref().unwrap_or(&path.path), route)
            }
        };
        if let Some(older) = older.filter(|older| older.ingress != ingress.key) {
            let message =
                format!("{field}: {host}{} already belongs to the older Ingress {}", path.path, older.ingress);
            self.problem(ingress, ProblemKind::PathTaken, message);
        }
    }

    /// Serves what the rules of this Ingress leave over; without rules, everything that no other Ingress claims.
    fn default_backend(&mut self, ingress: &IngressObject) {
        let Some(backend) = &ingress.default_backend else { return };
        let route = self.route(ingress, backend, "spec.defaultBackend").sealed();
        let mut hosts: Vec<&str> = ingress.rules.iter().map(|rule| rule.host.as_str()).collect();
        hosts.retain(|host| host_is_sound(host));
        if hosts.is_empty() {
            hosts.push("");
        }
        for host in hosts {
            let older = self.host(host).fallback.get_or_insert_with(|| route.clone()).ingress.clone();
            if older != ingress.key {
                let message = match host {
                    "" => {
                        format!("spec.defaultBackend: what no rule claims already belongs to the older Ingress {older}")
                    }
                    host => {
                        format!("spec.defaultBackend: the rest of {host} already belongs to the older Ingress {older}")
                    }
                };
                self.problem(ingress, ProblemKind::PathTaken, message);
            }
        }
    }

    fn tls(&mut self, ingress: &IngressObject) {
        let snapshot = self.snapshot;
        for (number, block) in ingress.tls.iter().enumerate().filter(|(_, block)| !block.secret.is_empty()) {
            let key = Named { namespace: ingress.key.namespace.clone(), name: block.secret.as_str().into() };
            let Some(secret) = snapshot.secrets.get(&key) else {
                let message = format!(
                    "spec.tls[{number}].secretName: there is no Secret {key} with tls.crt and tls.key, the default certificate is served"
                );
                self.problem(ingress, ProblemKind::SecretMissing, message);
                continue;
            };
            // Without hosts the Secret is for those that the rules name, as with ingress-nginx.
            let named = block.hosts.iter().map(String::as_str);
            let ruled = ingress.rules.iter().map(|rule| rule.host.as_str()).filter(|_| block.hosts.is_empty());
            let hosts = named.chain(ruled).filter(|host| !host.is_empty());
            let before: Option<&Certs> = self.before.map(|table| &table.certs);
            match self.table.certs.add((&key, secret), hosts, before) {
                Ok(taken) => taken.into_iter().for_each(|Taken { host, secret }| {
                    let message =
                        format!("spec.tls[{number}]: {host} already has the certificate of the Secret {secret}, by an older claim");
                    self.problem(ingress, ProblemKind::HostTaken, message);
                }),
                Err(error) => {
                    let message = format!("spec.tls[{number}].secretName: Secret {key}: {error}");
                    self.problem(ingress, ProblemKind::SecretInvalid, message);
                }
            }
        }
    }

    /// A route with everything that the Ingress asks for which is being read.
    fn route(&mut self, ingress: &IngressObject, backend: &BackendRef, field: &str) -> Route {
        let wiring = self.wiring(ingress, backend, field);
        let backend = match backend {
            BackendRef::Service { name, port } => self.service(ingress, name, port, field),
            BackendRef::Resource { kind, name } => {
                let message = format!("{field}.resource: {kind} {name:?} is not supported, only services are");
                self.problem(ingress, ProblemKind::BackendUnsupported, message);
                Arc::new(Backend::faulty(format!("{}/{kind}/{name}", ingress.key.namespace).into(), UNSUPPORTED))
            }
        };
        let (delivery, policy) = (self.delivery.clone(), Arc::clone(&self.policy));
        let number = self.number(&ingress.key, &backend.name);
        let (extauth, pages, mirror) = (self.extauth.clone(), self.pages.clone(), self.mirror.clone());
        Route { wiring, delivery, policy, extauth, pages, mirror, ..Route::plain(ingress.key.clone(), backend, number) }
    }

    /// The number under which requests of this Ingress for this backend are counted.
    fn number(&mut self, ingress: &Named, backend: &Arc<str>) -> u32 {
        let key = (ingress.clone(), backend.clone());
        if let Some(known) = self.table.numbers.get(&key) {
            return *known;
        }
        let number = self.before.and_then(|table| table.numbers.get(&key)).copied().unwrap_or_else(|| {
            self.table.last_number += 1;
            self.table.last_number
        });
        self.table.numbers.insert(key, number);
        self.table.numbered.insert(number);
        number
    }

    fn service(&mut self, ingress: &IngressObject, name: &str, port: &PortRef, field: &str) -> Arc<Backend> {
        let key = Named { namespace: ingress.key.namespace.clone(), name: name.into() };
        self.service_at(ingress, key, port, field)
    }

    fn service_at(&mut self, ingress: &IngressObject, key: Named, port: &PortRef, field: &str) -> Arc<Backend> {
        let label = backend_name(&key, port);
        let snapshot = self.snapshot;
        let found = snapshot.services.get(&key);
        if let Some(outside) = found.and_then(|service| service.external_name.as_deref()) {
            return self.external(ingress, (outside, port), &label, field);
        }
        let fault = match found.map(|service| (service, service_port(service, port))) {
            None => Some((ProblemKind::ServiceMissing, "service missing", format!("there is no Service {key}"))),
            Some((_, None)) => Some((
                ProblemKind::PortMissing,
                "port missing",
                format!("Service {key} has no such TCP port ({label})"),
            )),
            Some((_, Some(_))) => None,
        };
        if let Some((kind, reason, message)) = fault {
            self.problem(ingress, kind, format!("{field}.service: {message}; {}", without(field)));
            let faulty = || Arc::new(Backend::faulty(label.clone(), reason));
            return self.table.backends.entry(label.clone()).or_insert_with(faulty).clone();
        }
        if let Some(known) = self.table.backends.get(&label) {
            return known.clone();
        }
        let port = found.and_then(|service| service_port(service, port)).expect("its absence is a fault above");
        let tiers = self.index.tiers(&key, port, &mut self.ids, self.options);
        if let Some(address) = self.index.left_out(&key, port, self.options) {
            let message = format!(
                "{field}.service: endpoints of Service {key} are left out whose address is of this machine or its link, such as {address}"
            );
            self.problem(ingress, ProblemKind::EndpointsLeftOut, message);
        }
        let before = self.before.and_then(|table| table.backends.get(&label)).map(|backend| &**backend);
        let upkeep = self.upkeeps.of(&label, &self.options.upkeep);
        let backend = Arc::new(Backend::new(label.clone(), upkeep, tiers).following(before));
        self.table.backends.insert(label, backend.clone());
        backend
    }

    /// A name outside, by the addresses that it has at this moment.
    fn external(
        &mut self,
        ingress: &IngressObject,
        (outside, port): (&str, &PortRef),
        label: &Arc<str>,
        field: &str,
    ) -> Arc<Backend> {
        let fault = match (self.options.external_names.allowed(outside), port) {
            (None, PortRef::Number(_)) if self.options.external_names.may_allow(outside) => {
                Err((NAME_UNTOLD, format!("the Service is the name {outside:?} outside: {NAME_UNTOLD}; if not,")))
            }
            (None, _) => {
                Err((UNSUPPORTED, format!("the Service is the name {outside:?} outside, which is not allowed;")))
            }
            (_, PortRef::Name(name)) => {
                Err((UNSUPPORTED, format!("the Service is a name outside and has no port {name:?}, only numbers;")))
            }
            (Some(name), PortRef::Number(number)) => Ok((name, *number)),
        };
        let (name, number) = match fault {
            Ok(found) => found,
            Err((reason, message)) => {
                let message = format!("{field}.service: {message} {}", without(field));
                self.problem(ingress, ProblemKind::BackendUnsupported, message);
                let faulty = || Arc::new(Backend::faulty(label.clone(), reason));
                return self.table.backends.entry(label.clone()).or_insert_with(faulty).clone();
            }
        };
        if let Some(known) = self.table.backends.get(label) {
            return known.clone();
        }
        let addresses = self.snapshot.external.get(&name).map_or(&[][..], Vec::as_slice);
        let admitted = addresses.iter().filter(|address| self.options.admits(**address));
        let keys = admitted.map(|address| EndpointKey {
            cluster: outside_cluster(),
            address: SocketAddr::new(*address, number),
            pod: None,
        });
        let tier: Vec<_> = keys.map(|key| self.ids.named(key)).collect();
        if tier.is_empty() && !addresses.is_empty() {
            let message = format!("{field}.service: {name} has no address that may be routed to, only {addresses:?}");
            self.problem(ingress, ProblemKind::BackendUnsupported, message);
        }
        let before = self.before.and_then(|table| table.backends.get(label)).map(|backend| &**backend);
        let backend = Backend::new(label.clone(), self.options.upkeep.clone(), vec![tier]).following(before);
        self.table.backends.entry(label.clone()).insert_entry(Arc::new(backend)).get().clone()
    }

    fn host(&mut self, host: &str) -> &mut HostRoutes {
        let fresh = || HostRoutes::of(self.mutuals.of(host));
        match host.strip_prefix("*.") {
            Some(rest) => self.table.wildcard.entry(rest.into()).or_insert_with(fresh),
            None if host.is_empty() => &mut self.table.any,
            None => self.table.exact.entry(host.into()).or_insert_with(fresh),
        }
    }

    fn problem(&mut self, ingress: &IngressObject, kind: ProblemKind, message: String) {
        self.table.problems.push(Problem {
            of: Subject::Ingress,
            on: ingress.key.clone(),
            uid: ingress.uid.clone(),
            kind,
            message,
        });
    }

    fn default_certificate(&mut self) {
        let Some(key) = &self.options.default_certificate else { return };
        let before = self.before.map(|table| &table.certs);
        self.table.default_fault = match self.snapshot.secrets.get(key) {
            None => Some(format!("there is no Secret {key} with tls.crt and tls.key")),
            Some(secret) => {
                let fault = self.table.certs.set_default((key, secret), before).err();
                fault.map(|fault| format!("Secret {key}: {fault}"))
            }
        };
    }

    fn finish(mut self) -> RouteTable {
        self.lonely_canaries();
        self.proper_hosts();
        self.name_aliases();
        let mut table = self.table;
        table.mutuals = self.mutuals.known();
        table.live = self.ids.now.values().map(|endpoint| endpoint.id).collect();
        table.endpoints = self.ids.now;
        table.next_id = self.ids.next_id;
        table
    }
}

/// What comes of a Service that cannot be reached, by the field that names it.
fn without(field: &str) -> &'static str {
    match field {
        MIRRORED => "no copies are sent, and requests go on as they are",
        ASKED => "requests that need its word are answered with 500",
        PAGED => "errors are answered as they are",
        _ => "its requests are answered with 503",
    }
}

/// A backend's name.
pub(super) fn backend_name(service: &Named, port: &PortRef) -> Arc<str> {
    match port {
        PortRef::Number(number) => format!("{service}:{number}").into(),
        PortRef::Name(name) => format!("{service}:{name}").into(),
    }
}

fn service_port<'s>(service: &'s ServiceObject, port: &PortRef) -> Option<&'s crate::snapshot::ServicePort> {
    service.ports.iter().filter(|candidate| candidate.protocol == "TCP").find(|candidate| match port {
        PortRef::Number(number) => candidate.number == *number,
        PortRef::Name(name) => !name.is_empty() && candidate.name == *name,
    })
}

/// Empty, a name, or `*.` and a name.
fn host_is_sound(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    host.is_empty()
        || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')))
}

#[cfg(test)]
mod tests;
