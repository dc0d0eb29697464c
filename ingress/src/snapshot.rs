//! What the route table is built from: Ingresses, classes, Services, Secrets and mirrored endpoints, reduced to the fields that routing reads.
//!
//! Knows the shapes of Kubernetes objects; must not know sockets, caches or who watches.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use federation_types::endpoint::{self, Clusters, Seen, Slice};
use federation_types::{label, text};
use serde_json::Value;

use crate::annotation;

/// An EndpointSlice that routes can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SliceObject {
    Mirrored(Seen),
    /// Written at the hub itself, as for a Service without a selector.
    Own(Slice),
}

impl SliceObject {
    /// Reads an EndpointSlice as the API server answers it; none that is somebody else's.
    #[must_use]
    pub fn read(object: &Value) -> Option<Self> {
        match endpoint::read(object) {
            Seen::Foreign => endpoint::read_own(object, &crate::route::outside()).map(Self::Own),
            seen => Some(Self::Mirrored(seen)),
        }
    }
}

/// Name of a namespaced object, ordered by namespace, then name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Named {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Named {
    /// The name `namespace/name`.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    fn of(object: &Value) -> Self {
        Self::new(text::namespace(object), text::name(object))
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Everything one build of the route table sees.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub ingresses: Vec<Arc<IngressObject>>,
    pub classes: Vec<IngressClass>,
    pub services: BTreeMap<Named, Arc<ServiceObject>>,
    /// Mirrored endpoints, with what must be carried over already in it.
    pub clusters: Clusters,
    /// Slices that were written at the hub itself.
    pub own_slices: Vec<Slice>,
    pub secrets: BTreeMap<Named, Arc<TlsSecret>>,
    /// What Secrets that annotations name hold beside certificates.
    pub user_lists: BTreeMap<Named, Arc<UserList>>,
    /// Addresses of the names outside that are allowed and resolved.
    pub external: BTreeMap<Box<str>, Vec<IpAddr>>,
    /// Parameters of classes by namespace (empty for the cluster's) and name; `None` while nobody has said which there are.
    pub parameters: Option<BTreeMap<Named, Arc<ParametersObject>>>,
}

impl Snapshot {
    /// The names outside that Ingresses of our class lead to, and that are allowed.
    #[must_use]
    pub fn wanted_names(&self, allowed: &crate::route::ExternalNames) -> BTreeSet<Box<str>> {
        let outside = self.services.values().filter(|service| service.external_name.is_some());
        let outside: BTreeMap<&Named, Box<str>> = outside
            .filter_map(|service| Some((&service.key, allowed.allowed(service.external_name.as_deref()?)?)))
            .collect();
        if outside.is_empty() {
            return BTreeSet::new();
        }
        let classes = crate::route::Classes::new(&self.classes);
        let ours = self.ingresses.iter().filter(|ingress| classes.serves(ingress));
        let led_to = ours.flat_map(|ingress| {
            let paths = ingress.rules.iter().flat_map(|rule| &rule.paths).map(|path| &path.backend);
            let names = paths.chain(&ingress.default_backend).filter_map(|backend| match backend {
                BackendRef::Service { name, .. } => Some(name.as_str()),
                BackendRef::Resource { .. } => None,
            });
            names.map(|name| Named { namespace: ingress.key.namespace.clone(), name: name.into() })
        });
        led_to.filter_map(|key| outside.get(&key).cloned()).collect()
    }

    /// The Secrets that Ingresses of our class name, for TLS or in annotations, and no others.
    #[must_use]
    pub fn wanted_secrets(&self) -> BTreeSet<Named> {
        let classes = crate::route::Classes::new(&self.classes);
        let ours = self.ingresses.iter().filter(|ingress| classes.serves(ingress));
        ours.flat_map(|ingress| {
            let own = |name: &str| Named { namespace: ingress.key.namespace.clone(), name: name.into() };
            let secrets = ingress.tls.iter().map(|tls| tls.secret.as_str()).filter(|secret| !secret.is_empty());
            let named = annotation::secrets(&ingress.annotations, &ingress.key.namespace);
            secrets.map(own).chain(named.map(own)).collect::<Vec<_>>()
        })
        .collect()
    }
}

/// A `networking.k8s.io/v1` Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressObject {
    pub key: Named,
    pub uid: String,
    /// RFC 3339 in UTC, so that text order is time order.
    pub created: String,
    pub class: Option<String>,
    pub legacy_class: Option<String>,
    /// Those that are about routing, by name without prefix.
    pub annotations: BTreeMap<String, String>,
    pub default_backend: Option<BackendRef>,
    pub tls: Vec<TlsBlock>,
    pub rules: Vec<Rule>,
    /// `status.loadBalancer.ingress` as it stands.
    pub published: Vec<Value>,
}

/// One entry of `spec.tls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsBlock {
    pub hosts: Vec<String>,
    pub secret: String,
}

/// One entry of `spec.rules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Lower case; empty for every host.
    pub host: String,
    pub paths: Vec<RulePath>,
}

/// One entry of `http.paths`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePath {
    pub path: String,
    pub kind: PathKind,
    pub backend: BackendRef,
}

/// `pathType`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathKind {
    Exact,
    /// By elements.
    Prefix,
    /// `ImplementationSpecific`: a prefix of text, as with ingress-nginx.
    Text,
}

/// Where a rule sends its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendRef {
    Service {
        name: String,
        port: PortRef,
    },
    /// `backend.resource`, which nothing of ours serves.
    Resource {
        kind: String,
        name: String,
    },
}

/// A service port by number or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortRef {
    Number(u16),
    Name(String),
}

/// An IngressClass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IngressClass {
    pub name: String,
    pub uid: String,
    pub controller: String,
    pub default: bool,
    pub parameters: Option<ParametersRef>,
}

/// `spec.parameters` of an IngressClass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParametersRef {
    pub group: String,
    pub kind: String,
    /// The namespace is empty where the scope is the cluster.
    pub key: Named,
}

/// IngressParameters or ClusterIngressParameters: what annotations say that an Ingress of the class does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParametersObject {
    /// The namespace is empty where the scope is the cluster.
    pub key: Named,
    pub uid: String,
    /// By name without prefix.
    pub defaults: BTreeMap<String, String>,
}

/// A Service, reduced to its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceObject {
    pub key: Named,
    /// The name outside that a Service of type ExternalName stands for.
    pub external_name: Option<String>,
    /// Annotation `fedgate.dev/proxy-protocol`.
    pub proxy_protocol: Option<String>,
    /// Ingresses of other namespaces may ask it whether a request may pass.
    pub answers_for_all: bool,
    pub ports: Vec<ServicePort>,
}

/// One entry of a Service's `spec.ports`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    pub name: String,
    pub number: u16,
    pub protocol: String,
    /// `appProtocol`
    pub app_protocol: String,
}

/// A Secret of type `kubernetes.io/tls`; its `Debug` never shows the key.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsSecret {
    pub certificate: Vec<u8>,
    pub private_key: Vec<u8>,
}

/// The keys of a Secret but for those of a certificate; its `Debug` never shows the values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserList(pub BTreeMap<String, Vec<u8>>);

/// A Secret as far as routes can use it.
#[derive(Debug, Clone, Default)]
pub struct SecretObject {
    pub tls: Option<Arc<TlsSecret>>,
    pub users: Option<Arc<UserList>>,
}

impl fmt::Debug for UserList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserList").field("keys", &self.0.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for TlsSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSecret").field("certificate_bytes", &self.certificate.len()).finish_non_exhaustive()
    }
}

fn annotations(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    let all = text::at(object, &["metadata", "annotations"]).and_then(Value::as_object).into_iter().flatten();
    all.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

impl IngressObject {
    /// How many paths it has.
    #[must_use]
    pub fn paths(&self) -> usize {
        self.rules.iter().map(|rule| rule.paths.len()).sum()
    }

    /// Reads an Ingress as the API server answers it.
    #[must_use]
    pub fn read(object: &Value) -> Self {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let string = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            key: Named::of(object),
            uid: text::uid(object).to_owned(),
            created: text::str_at(object, &["metadata", "creationTimestamp"]).to_owned(),
            class: spec.get("ingressClassName").and_then(string),
            legacy_class: text::annotation(object, "kubernetes.io/ingress.class").map(str::to_owned),
            annotations: annotation::of_routing(annotations(object)),
            default_backend: spec.get("defaultBackend").and_then(backend),
            tls: text::list_at(spec, &["tls"]).map(tls_block).collect(),
            rules: text::list_at(spec, &["rules"]).map(rule).collect(),
            published: text::list_at(object, &["status", "loadBalancer", "ingress"]).cloned().collect(),
        }
    }
}

fn tls_block(block: &Value) -> TlsBlock {
    let hosts = text::list_at(block, &["hosts"]).filter_map(Value::as_str);
    TlsBlock {
        hosts: hosts.map(str::to_ascii_lowercase).collect(),
        secret: text::str_at(block, &["secretName"]).to_owned(),
    }
}

fn rule(rule: &Value) -> Rule {
    let path = |entry: &Value| {
        let kind = match text::str_at(entry, &["pathType"]) {
            "Exact" => PathKind::Exact,
            "ImplementationSpecific" => PathKind::Text,
            _ => PathKind::Prefix,
        };
        let path = match text::str_at(entry, &["path"]) {
            "" => "/",
            path => path,
        };
        Some(RulePath { path: path.to_owned(), kind, backend: entry.get("backend").and_then(backend)? })
    };
    Rule {
        host: text::str_at(rule, &["host"]).to_ascii_lowercase(),
        paths: text::list_at(rule, &["http", "paths"]).filter_map(path).collect(),
    }
}

fn backend(backend: &Value) -> Option<BackendRef> {
    if let Some(service) = backend.get("service") {
        let number = text::int_at(service, &["port", "number"]).and_then(|n| u16::try_from(n).ok());
        let port = match number {
            Some(number) if number != 0 => PortRef::Number(number),
            _ => PortRef::Name(text::str_at(service, &["port", "name"]).to_owned()),
        };
        return Some(BackendRef::Service { name: text::str_at(service, &["name"]).to_owned(), port });
    }
    let resource = backend.get("resource")?;
    Some(BackendRef::Resource {
        kind: text::str_at(resource, &["kind"]).to_owned(),
        name: text::str_at(resource, &["name"]).to_owned(),
    })
}

impl IngressClass {
    /// Reads an IngressClass as the API server answers it.
    #[must_use]
    pub fn read(object: &Value) -> Self {
        Self {
            name: text::name(object).to_owned(),
            uid: text::uid(object).to_owned(),
            controller: text::str_at(object, &["spec", "controller"]).to_owned(),
            default: text::annotation(object, "ingressclass.kubernetes.io/is-default-class") == Some("true"),
            parameters: text::at(object, &["spec", "parameters"]).filter(|given| given.is_object()).map(parameters),
        }
    }
}

fn parameters(given: &Value) -> ParametersRef {
    let namespace = match text::str_at(given, &["scope"]) {
        "Namespace" => text::str_at(given, &["namespace"]),
        _ => "",
    };
    ParametersRef {
        group: text::str_at(given, &["apiGroup"]).to_owned(),
        kind: text::str_at(given, &["kind"]).to_owned(),
        key: Named::new(namespace, text::str_at(given, &["name"])),
    }
}

impl ParametersObject {
    /// Reads parameters as the API server answers them.
    #[must_use]
    pub fn read(object: &Value) -> Self {
        let defaults = text::at(object, &["spec", "defaults"]).and_then(Value::as_object).into_iter().flatten();
        let defaults = defaults.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        Self { key: Named::of(object), uid: text::uid(object).to_owned(), defaults: defaults.collect() }
    }
}

impl ServiceObject {
    /// A Service of which nothing else is known.
    #[must_use]
    pub fn bare(key: Named) -> Self {
        Self { key, external_name: None, proxy_protocol: None, answers_for_all: false, ports: Vec::new() }
    }

    /// Reads a Service as the API server answers it.
    #[must_use]
    pub fn read(object: &Value) -> Self {
        let port = |port: &Value| {
            let number = u16::try_from(text::int_at(port, &["port"])?).ok()?;
            let protocol = match text::str_at(port, &["protocol"]) {
                "" => "TCP",
                named => named,
            };
            Some(ServicePort {
                name: text::str_at(port, &["name"]).to_owned(),
                number,
                protocol: protocol.to_owned(),
                app_protocol: text::str_at(port, &["appProtocol"]).to_owned(),
            })
        };
        Self {
            key: Named::of(object),
            external_name: (text::str_at(object, &["spec", "type"]) == "ExternalName")
                .then(|| text::str_at(object, &["spec", "externalName"]).to_owned()),
            proxy_protocol: text::annotation(object, label::PROXY_PROTOCOL).map(str::to_owned),
            answers_for_all: text::annotation(object, label::AUTH_SERVICE) == Some("true"),
            ports: text::list_at(object, &["spec", "ports"]).filter_map(port).collect(),
        }
    }
}
