//! The compiled route table: immutable, replaced as a whole, read once per request.
//!
//! Pure: no clock, no sockets, no hub. [`build`] makes it, the data plane only reads it.

pub mod affinity;
mod backend;
pub mod balance;
pub mod basic;
pub mod bearer;
mod budget;
mod build;
pub mod canary;
mod cert;
mod circuit;
mod delivery;
mod endpoint;
pub mod extauth;
mod external;
mod host;
mod mirror;
pub mod mutual;
mod passthrough;
mod path;
mod pattern;
pub mod policy;
mod pool;
mod retries;
mod shares;
mod short;
mod upkeep;
mod wire;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

pub use affinity::{Affinity, AffinityError, CookieSettings, Ticket};
pub use backend::{Backend, Wish};
pub use balance::{Balance, Way};
pub use build::{BuildOptions, Classes, build};
pub use cert::{CertError, Certs, parse as parse_certificate};
pub use circuit::{Circuit, Seat};
pub use delivery::{Delivery, Session};
pub use endpoint::{Endpoint, EndpointKey, InFlight, Mark, Standing};
pub use external::{ExternalNameError, ExternalNames, NAME_UNTOLD, outside};
pub use host::{Host, HostError};
pub use mirror::Mirror;
pub use passthrough::Passthrough;
pub use path::{Found, normal as normal_path};
pub use pattern::{Groups, Pattern, PatternError};
pub use pool::Locality;
pub use retries::{Retries, RetryError};
pub use shares::{Shares, SharesError};
pub use upkeep::{CheckError, EJECT_BASE_MS, EJECT_MAX_MS, Ejection, HealthCheck, Upkeep};
pub use wire::{
    Announce, TlsSetup, TlsVersions, UpstreamProtocol, UpstreamTls, Verify, Wire, WireError, WireSpec, Wires, Wiring,
};

use federation_types::label;

use crate::annotation::MutualWish;
use crate::snapshot::Named;
use basic::BasicAuth;
use canary::Canaries;
use extauth::External;
use mutual::Mutual;
use path::HostRoutes;
use policy::Policy;
use short::Short;

/// Where a request goes, and which Ingress says so.
#[derive(Debug)]
pub struct Route {
    pub ingress: Named,
    pub backend: Arc<Backend>,
    pub delivery: Delivery,
    /// How the backend's endpoints are spoken to.
    pub wiring: Wiring,
    pub policy: Arc<Policy>,
    /// Who takes some of its requests.
    pub canaries: Canaries,
    /// Whom to ask whether a request may pass.
    pub extauth: Option<Arc<External>>,
    /// Whom to ask what to say of errors.
    pub pages: Option<Arc<ErrorPages>>,
    /// Who gets copies of its requests.
    pub mirror: Option<Arc<Mirror>>,
    /// Of its Ingress and Service, for as long as both are there.
    pub number: u32,
    /// What [`Route::sealed`] has found.
    short: Short,
}

/// A default backend, and the statuses that it is asked about; it is also asked where a backend has no endpoints.
#[derive(Debug)]
pub struct ErrorPages {
    pub codes: Box<[u16]>,
    pub route: Arc<Route>,
}

/// All routes, endpoints and certificates of one moment.
#[derive(Debug, Default)]
pub struct RouteTable {
    exact: HashMap<Box<str>, HostRoutes>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<Box<str>, HostRoutes>,
    /// Rules without a host.
    any: HostRoutes,
    certs: Certs,
    passthrough: Passthrough,
    default_fault: Option<String>,
    wires: wire::Wires,
    backends: HashMap<Arc<str>, Arc<Backend>>,
    endpoints: HashMap<EndpointKey, Arc<Endpoint>>,
    live: HashSet<u64>,
    next_id: u64,
    /// Compiled once, used again by the next build.
    patterns: HashMap<Box<str>, Result<Arc<Pattern>, PatternError>>,
    /// By Secret, whether its keys are the users, and realm.
    users: HashMap<(Named, bool, String), Arc<BasicAuth>>,
    /// Hosts that ask clients for certificates, by namespace and wish.
    mutuals: HashMap<(Arc<str>, MutualWish), Arc<Mutual>>,
    /// Numbers of Ingresses and the backends that they lead to; never given twice.
    numbers: HashMap<(Named, Arc<str>), u32>,
    numbered: HashSet<u32>,
    last_number: u32,
    accepted: BTreeSet<Named>,
    problems: Vec<Problem>,
}

/// A route and where it is found.
#[derive(Debug, Clone)]
pub struct Entry<'t> {
    /// `*` for every host.
    pub host: String,
    /// `Exact`, `Prefix`, `text`, `pattern` or `rest`.
    pub kind: &'static str,
    pub path: &'t str,
    pub route: &'t Arc<Route>,
}

/// What is wrong with an Ingress, or with what its class says; it is served as far as it can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub of: Subject,
    /// Whose namespace is empty where the object has none.
    pub on: Named,
    pub uid: String,
    pub kind: ProblemKind,
    /// Names the field.
    pub message: String,
}

/// What a [`Problem`] is said of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    Ingress,
    Class,
    Parameters,
    ClusterParameters,
}

impl Subject {
    /// Its API version and kind.
    #[must_use]
    pub const fn api(self) -> (&'static str, &'static str) {
        match self {
            Self::Ingress => ("networking.k8s.io/v1", "Ingress"),
            Self::Class => ("networking.k8s.io/v1", "IngressClass"),
            Self::Parameters => (label::API_VERSION, "IngressParameters"),
            Self::ClusterParameters => (label::API_VERSION, "ClusterIngressParameters"),
        }
    }
}

/// The machine-readable half of a [`Problem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    ServiceMissing,
    PortMissing,
    BackendUnsupported,
    PathTaken,
    PathInvalid,
    HostTaken,
    ParametersUnsupported,
    ParametersMissing,
    SecretMissing,
    SecretInvalid,
    HostInvalid,
    Annotation,
    CanaryAlone,
    EndpointsLeftOut,
}

impl ProblemKind {
    /// The reason of the Event.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ServiceMissing => "ServiceNotFound",
            Self::PortMissing => "PortNotFound",
            Self::BackendUnsupported => "BackendUnsupported",
            Self::PathTaken => "PathConflict",
            Self::PathInvalid => "PathInvalid",
            Self::HostTaken => "HostConflict",
            Self::ParametersUnsupported => "ParametersUnsupported",
            Self::ParametersMissing => "ParametersNotFound",
            Self::SecretMissing => "SecretNotFound",
            Self::SecretInvalid => "SecretInvalid",
            Self::HostInvalid => "HostInvalid",
            Self::Annotation => "AnnotationNotFollowed",
            Self::CanaryAlone => "CanaryAlone",
            Self::EndpointsLeftOut => "EndpointsLeftOut",
        }
    }
}

impl Problem {
    /// Whether it is said of this Ingress.
    #[must_use]
    pub fn is_of(&self, ingress: &Named) -> bool {
        self.of == Subject::Ingress && self.on == *ingress
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, kind) = self.of.api();
        match &*self.on.namespace {
            "" => write!(f, "{kind} {}: {}", self.on.name, self.message),
            _ => write!(f, "{kind} {}: {}", self.on, self.message),
        }
    }
}

impl Route {
    /// A route that asks for nothing.
    #[must_use]
    pub fn plain(ingress: Named, backend: Arc<Backend>, number: u32) -> Self {
        Self {
            ingress,
            backend,
            delivery: Delivery::default(),
            wiring: Wire::plain().into(),
            policy: Arc::default(),
            canaries: Canaries::default(),
            extauth: None,
            pages: None,
            mirror: None,
            number,
            short: Short::default(),
        }
    }
}

impl RouteTable {
    /// The route of a request, or `None` for a 404.
    ///
    /// The most specific host decides alone, as with ingress-nginx: a path that it lacks is not looked for under a wildcard.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<&Arc<Route>> {
        self.locate(host, path).map(|found| found.route)
    }

    /// The same with the pattern by which the route was found.
    #[must_use]
    pub fn locate(&self, host: &str, path: &str) -> Option<Found<'_>> {
        let routes = self.host(host);
        let any = || self.any.fallback.as_ref().map(|route| Found::plain(route, self.any.mutual.as_ref()));
        routes.find(path).or_else(any)
    }

    fn host(&self, host: &str) -> &HostRoutes {
        let wildcard = || self.wildcard.get(host.split_once('.').filter(|(label, _)| !label.is_empty())?.1);
        self.exact.get(host).or_else(wildcard).unwrap_or(&self.any)
    }

    /// What is asked of clients on a host, by its name in lower case.
    #[must_use]
    pub fn mutual(&self, host: &str) -> Option<&Arc<Mutual>> {
        if self.mutuals.is_empty() {
            return None;
        }
        self.host(host.strip_suffix('.').unwrap_or(host)).mutual.as_ref()
    }

    /// Whether any host asks clients for certificates.
    #[must_use]
    pub fn is_mutual(&self) -> bool {
        !self.mutuals.is_empty()
    }

    /// Hosts whose TLS is not ended here.
    ///
    /// An exact host that has routes is not passed through by a wildcard.
    #[must_use]
    pub fn passthrough(&self, name: &str) -> Option<&Arc<Route>> {
        if self.passthrough.is_empty() {
            return None;
        }
        self.passthrough.find(name).filter(|_| self.passthrough.names(name) || !self.exact.contains_key(name))
    }

    /// Whether server names must be read before the handshake.
    #[must_use]
    pub fn passes_through(&self) -> bool {
        !self.passthrough.is_empty()
    }

    /// The Secret that these users are from.
    #[must_use]
    pub fn secret_of(&self, users: &Arc<BasicAuth>) -> Option<&Named> {
        self.users.iter().find(|(_, known)| Arc::ptr_eq(known, users)).map(|((secret, ..), _)| secret)
    }

    /// Certificates by server name.
    #[must_use]
    pub fn certs(&self) -> &Certs {
        &self.certs
    }

    /// Why the default certificate is not the one that the options name, or is an older one of it.
    #[must_use]
    pub fn default_certificate_fault(&self) -> Option<&str> {
        self.default_fault.as_deref()
    }

    /// Whether an endpoint of this id still gets requests.
    #[must_use]
    pub fn is_live(&self, endpoint: u64) -> bool {
        self.live.contains(&endpoint)
    }

    /// Whether an Ingress and Service still have this number.
    #[must_use]
    pub fn is_numbered(&self, route: u32) -> bool {
        self.numbered.contains(&route)
    }

    /// Number, Ingress and backend, sorted.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &Named, &str)> {
        let mut all: Vec<_> =
            self.numbers.iter().map(|((ingress, backend), number)| (*number, ingress, &**backend)).collect();
        all.sort_unstable_by(|a, b| (a.1, a.2).cmp(&(b.1, b.2)));
        all.into_iter()
    }

    /// Ingresses of our class.
    #[must_use]
    pub fn accepted(&self) -> &BTreeSet<Named> {
        &self.accepted
    }

    /// What is wrong with which Ingress.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// All routes with where they are found, by host and path; the rest of a host comes last, as `*`.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry<'_>> {
        let exact = self.exact.iter().map(|(host, routes)| (host.to_string(), routes));
        let wildcard = self.wildcard.iter().map(|(rest, routes)| (format!("*.{rest}"), routes));
        let hosts = exact.chain(wildcard).chain([("*".to_owned(), &self.any)]);
        let mut all: Vec<Entry<'_>> = hosts
            .flat_map(|(host, routes)| {
                let entry = move |(kind, path, route)| Entry { host: host.clone(), kind, path, route };
                routes.entries().map(entry)
            })
            .collect();
        all.sort_by(|a, b| {
            (&a.host, a.kind == "rest", a.path, a.kind).cmp(&(&b.host, b.kind == "rest", b.path, b.kind))
        });
        all
    }

    /// All routes, in no order.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.exact.values().chain(self.wildcard.values()).chain([&self.any]).flat_map(HostRoutes::routes)
    }

    /// How many things of the past and the present it holds: endpoints, backends, patterns, certificates.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.endpoints.len() + self.live.len() + self.backends.len() + self.patterns.len() + self.certs.parsed()
    }

    /// The backend `namespace/service:port`, if a route leads to it.
    #[must_use]
    pub fn backend(&self, name: &str) -> Option<&Arc<Backend>> {
        self.backends.get(name)
    }
}
