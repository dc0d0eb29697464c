//! What the data plane would do with a request, told step by step by the code that does it; nothing is sent.
//!
//! Sees routes as they are compiled from the hub; what requests have taught a running gateway (ejections, rates) is not in it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use federation_types::endpoint::group;
use federation_types::{Gvr, text};
use http::request::Parts;
use hub_client::{ApiError, Caller, Collection, Hub};

use crate::config::{HeadRules, Network};
use crate::filter::rate::Limiter;
use crate::filter::{self, Arrived, Stop};
use crate::peer::Peer;
use crate::proxy::head;
use crate::route::canary::Prospects;
use crate::route::{BuildOptions, Route, RouteTable, build};
use crate::snapshot::{
    IngressClass, IngressObject, Named, ParametersObject, SecretObject, ServiceObject, SliceObject, Snapshot,
    TlsSecret, UserList,
};

use crate::watch::secret;

/// Group and version of our own kinds.
const OURS: &str = "fedgate.dev/v1alpha1";
/// The key of RFC 8037 appendix A.2: of which kind the keys are makes no difference here.
const KEYS: &str =
    r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// A request that is not sent.
pub struct Question {
    pub parts: Parts,
    /// Whose request it is.
    pub remote: IpAddr,
    pub tls: bool,
    pub port: u16,
}

/// One step and what comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub name: &'static str,
    pub outcome: String,
}

/// What a caller sees of the things that routes are built from.
pub struct Seen {
    pub snapshot: Snapshot,
    /// Secrets that this caller may not read; they are taken for sound.
    pub unread: BTreeSet<Named>,
    /// Members are on this machine, as a playground's: their endpoints are, too.
    pub on_loopback: bool,
}

impl Seen {
    /// The routes, as a gateway beside the hub has them.
    #[must_use]
    pub fn routes(&self) -> RouteTable {
        build(&self.snapshot, None, &BuildOptions { allow_loopback: self.on_loopback, ..BuildOptions::default() })
    }
}

/// Reads what routes are built from.
///
/// # Errors
/// If the hub does not answer, or does not let this caller list one of the kinds.
pub async fn snapshot(hub: &Hub) -> Result<Seen, ApiError> {
    let networking = "networking.k8s.io/v1";
    let ingresses = list(hub, networking, "ingresses").await?;
    let classes = list(hub, networking, "ingressclasses").await?;
    let services = list(hub, "v1", "services").await?;
    let slices = list(hub, "discovery.k8s.io/v1", "endpointslices").await?;
    let services = services.iter().map(|object| Arc::new(ServiceObject::read(object)));
    let own = |object| match SliceObject::read(object)? {
        SliceObject::Own(slice) => Some(slice),
        SliceObject::Mirrored(_) => None,
    };
    let mut snapshot = Snapshot {
        ingresses: ingresses.iter().map(|object| Arc::new(IngressObject::read(object))).collect(),
        classes: classes.iter().map(IngressClass::read).collect(),
        services: services.map(|service| (service.key.clone(), service)).collect(),
        clusters: group(&slices),
        own_slices: slices.iter().filter_map(own).collect(),
        ..Snapshot::default()
    };
    if snapshot.classes.iter().any(|class| class.parameters.is_some()) {
        let mut all = list(hub, OURS, "ingressparameters").await?;
        all.extend(list(hub, OURS, "clusteringressparameters").await?);
        let read = all.iter().map(|object| Arc::new(ParametersObject::read(object)));
        snapshot.parameters = Some(read.map(|one| (one.key.clone(), one)).collect());
    }
    let members = match list(hub, OURS, "clusters").await {
        // Who may not see members is no playground's administrator.
        Err(error) if error.code() == 403 => Vec::new(),
        members => members?,
    };
    let on_loopback = members.iter().any(|member| is_loopback(text::str_at(member, &["spec", "server"])));
    let unread = secrets(hub, &mut snapshot).await?;
    stand_in(&mut snapshot, &unread);
    Ok(Seen { snapshot, unread, on_loopback })
}

/// Whether an API server is on this machine.
fn is_loopback(server: &str) -> bool {
    let host = server.parse::<http::Uri>().ok().and_then(|server| server.host().map(str::to_owned));
    host.is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

/// Reads the Secrets that Ingresses name; gives those that this caller may not.
async fn secrets(hub: &Hub, snapshot: &mut Snapshot) -> Result<BTreeSet<Named>, ApiError> {
    let gvr = Gvr::new("v1", "secrets");
    let (mut unread, mut shut) = (BTreeSet::new(), BTreeSet::new());
    for key in snapshot.wanted_secrets() {
        if shut.contains(&key.namespace) {
            unread.insert(key);
            continue;
        }
        match hub.get(&gvr, &key.namespace, &key.name).await {
            Ok(object) => {
                let SecretObject { tls, users } = object.map_or_else(SecretObject::default, |object| secret(&object));
                snapshot.secrets.extend(tls.map(|tls| (key.clone(), tls)));
                snapshot.user_lists.extend(users.map(|users| (key, users)));
            }
            Err(error) if error.code() == 403 => {
                shut.insert(key.namespace.clone());
                unread.insert(key);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(unread)
}

/// Puts something in the place of Secrets, so that routes redirect and ask for passwords as they will.
pub(crate) fn stand_in(snapshot: &mut Snapshot, wanted: &BTreeSet<Named>) {
    if wanted.is_empty() {
        return;
    }
    let Ok(made) = rcgen::generate_simple_self_signed(["fedgate.invalid".to_owned()]) else { return };
    let (certificate, private_key) = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
    let rest = [
        ("auth".to_owned(), Vec::new()),
        ("ca.crt".to_owned(), certificate.clone()),
        ("jwks.json".to_owned(), KEYS.into()),
    ];
    let rest = Arc::new(UserList(rest.into()));
    snapshot.user_lists.extend(wanted.iter().map(|key| (key.clone(), rest.clone())));
    let tls = Arc::new(TlsSecret { certificate, private_key });
    snapshot.secrets.extend(wanted.iter().map(|key| (key.clone(), tls.clone())));
}

async fn list(hub: &Caller, api_version: &str, resource: &str) -> Result<Vec<serde_json::Value>, ApiError> {
    Ok(hub.list(&Collection::all(Gvr::new(api_version, resource))).await?.items)
}

/// The Ingress that a request goes by, whatever comes of it there.
#[must_use]
pub fn owner(table: &RouteTable, question: Question) -> Option<Named> {
    let Question { mut parts, .. } = question;
    let inspected = head::inspect(&mut parts, &HeadRules::default()).ok()?;
    let path = inspected.path.as_deref().unwrap_or_else(|| parts.uri.path());
    table.locate(inspected.host.as_str(), path).map(|found| found.route.ingress.clone())
}

/// What becomes of a request.
#[must_use]
pub fn explain(table: &RouteTable, question: Question) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut tell = |name, outcome: String| steps.push(Step { name, outcome });
    let Question { mut parts, remote, tls, port } = question;
    let peer = Peer::new(remote, port, tls, &Arc::<[Network]>::default());
    let inspected = match head::inspect(&mut parts, &HeadRules::default()) {
        Ok(inspected) => inspected,
        Err(refusal) => {
            tell("request", format!("refused with {}: {}", refusal.status, refusal.reason));
            return steps;
        }
    };
    let (host, path) = (inspected.host.as_str().to_owned(), inspected.path);
    let path = path.as_deref().unwrap_or_else(|| parts.uri.path()).to_owned();
    tell("request", format!("{} {host}{path} from {remote} over {}", parts.method, if tls { "HTTPS" } else { "HTTP" }));
    let Some(found) = table.locate(&host, &path) else {
        tell("route", "none: the answer is 404".to_owned());
        return steps;
    };
    let entry = table.entries().into_iter().filter(|entry| Arc::ptr_eq(entry.route, found.route)).min_by_key(|entry| {
        // The same default backend stands in several places.
        (entry.host != host, entry.host.len())
    });
    let place = entry.map_or(String::new(), |entry| format!(", {} {}{}", entry.kind, entry.host, entry.path));
    tell("route", format!("Ingress {}{place}", found.route.ingress));
    for problem in table.problems().iter().filter(|problem| problem.is_of(&found.route.ingress)) {
        tell("problem", problem.message.clone());
    }
    let arrived = Arrived::new(&found, (&parts, &host), &peer, table);
    match filter::admit(&arrived, &Arc::new(Limiter::default())) {
        Err(stop) => {
            tell("answer", stopped(&stop));
            return steps;
        }
        Ok(admitted) if admitted.proves => {
            if found.route.policy.users.is_some() {
                tell("password", "asked for; 401 without a right one".to_owned());
            }
            if found.route.policy.bearer.is_some() {
                tell("token", "asked for; 401 without a good one".to_owned());
            }
            if let Some(external) = &found.route.extauth {
                tell("service", format!("{} is asked first", external.route.backend.name));
            }
        }
        Ok(_) => {}
    }
    match filter::rewritten(&found, &path, parts.uri.query()) {
        Ok(Some(target)) => tell("rewrite", target.to_string()),
        Ok(None) => {}
        Err(refusal) => {
            tell("rewrite", format!("refused with {}: {}", refusal.status, refusal.reason));
            return steps;
        }
    }
    taken(found.route, &parts, &mut steps);
    steps
}

/// What becomes of requests for a route that ask for nothing special.
#[must_use]
pub fn state(route: &Route) -> String {
    match (route.policy.closed, route.backend.fault) {
        (Some(why), _) | (None, Some(why)) => format!("503: {why}"),
        (None, None) if route.policy.redirect.is_some() => "redirect".to_owned(),
        (None, None) if route.backend.endpoints().is_empty() => "503: no endpoint is ready".to_owned(),
        (None, None) => "open".to_owned(),
    }
}

/// Whose endpoints the request goes to.
fn taken(route: &Arc<Route>, parts: &Parts, steps: &mut Vec<Step>) {
    let mut taker = route;
    let mut tell = |outcome| steps.push(Step { name: "canary", outcome });
    match route.canaries.prospects(&parts.headers) {
        Prospects::Taken(canary) => {
            tell(format!("Ingress {} takes it, as the request asks for it", canary.ingress));
            taker = canary;
        }
        Prospects::Drawn(all) => {
            for (percent, canary) in all {
                let backend = &canary.backend.name;
                tell(format!("Ingress {} takes {percent} % of such requests to {backend}", canary.ingress));
            }
        }
    }
    steps.extend(backend(taker));
}

fn stopped(stop: &Stop) -> String {
    match stop {
        Stop::Refusal(refusal) => format!("{}: {}", refusal.status, refusal.reason),
        Stop::Reply(reply) => {
            let to = reply.headers.get(http::header::LOCATION).and_then(|to| to.to_str().ok());
            format!("{} ({}){}", reply.status, reply.reason, to.map_or(String::new(), |to| format!(", to {to}")))
        }
    }
}

fn backend(route: &Route) -> Vec<Step> {
    let told = match (route.backend.fault, route.backend.endpoints().len()) {
        (Some(fault), _) => format!("{}: {fault}, the answer is 503", route.backend.name),
        (None, 0) => format!("{}: no endpoint is ready, the answer is 503", route.backend.name),
        (None, count) => format!("{}, {count} endpoints", route.backend.name),
    };
    let mut steps = vec![Step { name: "backend", outcome: told }];
    steps.extend(route.delivery.shares.as_ref().map(|shares| Step { name: "shares", outcome: shares.to_string() }));
    steps.extend(route.backend.endpoints().iter().map(|endpoint| {
        let pod = endpoint.key.pod.as_deref().map_or(String::new(), |pod| format!(", pod {pod}"));
        let zone = endpoint.zone.as_deref().map_or(String::new(), |zone| format!(", zone {zone}"));
        Step { name: "endpoint", outcome: format!("{} in {}{zone}{pod}", endpoint.key.address, endpoint.key.cluster) }
    }));
    steps
}
