//! Everything around the API server: each part a caller with an account of its own.
//!
//! In one process a part calls the service itself; in a process of its own it goes over TLS. The parts do not know.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use arc_swap::ArcSwap;
use auth::UserInfo;
use federation_api::Api;
use federation_types::{Gvr, label, text};
use hub_client::error::chain;
use hub_client::{Caller, Claim, Hub, lead};
use ingress::HeadRules;
use member_cluster::{AddressPolicy, Connector, Members};
use placement::schedule::DefaultPlacement;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Local, network};
use crate::config::{Role, ServeConfig};
use crate::failure::Failure;
use crate::kubeconfig;

type Tasks = JoinSet<Result<(), Failure>>;

/// Makes callers of the hub, whether it is in this process or not.
pub(super) enum Callers<'a> {
    InProcess(&'a Local),
    Remote(Hub),
}

impl<'a> Callers<'a> {
    pub(super) fn new(local: Option<&'a Local>, config: &ServeConfig) -> Result<Self, Failure> {
        match local {
            Some(local) => Ok(Self::InProcess(local)),
            None => kubeconfig::hub(config.hub_kubeconfig.as_deref())
                .map(Self::Remote)
                .map_err(|failure| failure.fix("give --hub-kubeconfig FILE, a kubeconfig that leads to the hub")),
        }
    }

    /// The caller of a component; remote ones are whoever the kubeconfig says.
    fn component(&self, name: &str) -> Hub {
        match self {
            Self::InProcess(local) => component(local, name),
            Self::Remote(hub) => hub.clone(),
        }
    }

    pub(super) fn administrator(&self) -> Hub {
        match self {
            Self::InProcess(local) => system(local),
            Self::Remote(hub) => hub.clone(),
        }
    }
}

/// A caller with every right, for what no role can grant: the first objects, and the playground's registrations.
pub(super) fn system(local: &Local) -> Hub {
    caller(&local.api, UserInfo::new("system:fedgate", [auth::PRIVILEGED_GROUP]))
}

/// A caller as the service account of a component.
pub(super) fn component(local: &Local, name: &str) -> Hub {
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{}", label::SYSTEM_NAMESPACE),
        auth::ALL_AUTHENTICATED.to_owned(),
    ];
    caller(&local.api, UserInfo::new(label::component_user(name), groups))
}

fn caller(api: &Api, user: UserInfo) -> Hub {
    Caller::new(kube::Client::new(api.in_process(user), "default"))
}

/// Members, their mirror and health (with the API), and placement.
pub(super) async fn members(
    callers: &Callers<'_>,
    local: Option<&Local>,
    config: &ServeConfig,
    tasks: &mut Tasks,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let members = Members::new(Connector::direct(address_policy(config)));
    let (registry, hub, hold) = (members.clone(), callers.component("mirror"), stop.clone());
    spawn(tasks, async move { registry.run(hub, hold).await });
    if let Some(local) = local {
        let (api, hub) = (local.api.clone(), callers.component("mirror"));
        spawn(tasks, federation_api::mirror::run(api, members.clone(), hub, stop.clone()));
        spawn(tasks, local.view.clone().follow(callers.component("placement"), stop.clone()));
    }
    if config.runs(Role::Placement) {
        let placement = placement::PlacementConfig {
            hub: callers.component("placement"),
            members,
            hub_uid: hub_uid(&callers.administrator()).await?,
            default_placement: default_placement(config),
            hub_range: network::never_travels(),
        };
        spawn(tasks, placement::run(placement, stop.clone()));
    }
    Ok(())
}

/// Where members and endpoints of Services may be.
pub(super) fn address_policy(config: &ServeConfig) -> AddressPolicy {
    if config.playground { AddressPolicy::AllowLoopback } else { AddressPolicy::Public }
}

/// UID of the hub's own kube-system namespace: what marks a member's object as this hub's.
async fn hub_uid(hub: &Hub) -> Result<String, Failure> {
    let found = hub.get(&Gvr::new("v1", "namespaces"), "", member_cluster::IDENTITY_NAMESPACE).await;
    let found = found.map_err(|e| Failure::hub("cannot read the hub's identity", &e))?;
    let uid = found.as_ref().map(text::uid).unwrap_or_default();
    if uid.is_empty() {
        return Err(Failure::new("FG-HUB-003", "the hub has no namespace kube-system"));
    }
    Ok(uid.to_owned())
}

fn default_placement(config: &ServeConfig) -> DefaultPlacement {
    match config.default_placement {
        crate::config::DefaultPlacement::None => DefaultPlacement::None,
        crate::config::DefaultPlacement::All => DefaultPlacement::All { divided: true },
    }
}

/// What the API asks of placement inside a request; knows something once it is followed.
pub(super) fn placement_view(config: &ServeConfig) -> Arc<placement::View> {
    placement::View::new(default_placement(config))
}

/// Sockets for the ingress, where another process had them, and when they may be used.
#[derive(Default)]
pub(super) struct Doors {
    pub(super) http: Option<TcpListener>,
    pub(super) https: Option<TcpListener>,
    pub(super) hold: Option<CancellationToken>,
}

/// An ingress that listens.
pub(super) struct Opened {
    pub(super) http: SocketAddr,
    pub(super) https: SocketAddr,
    /// The sockets once more, for another process; those for http first.
    pub(super) shared: Vec<TcpListener>,
}

/// The ingress: its data plane, what keeps its routes current, and the statuses; gives the bound addresses.
pub(super) fn ingress(
    callers: &Callers<'_>,
    (config, doors): (&ServeConfig, Doors),
    report: &mut Report,
    tasks: &mut Tasks,
    stop: &CancellationToken,
) -> Result<Opened, Failure> {
    let build = ingress::BuildOptions {
        allow_loopback: config.playground,
        default_certificate: config.ingress.default_certificate.clone(),
        external_names: config.ingress.external_names.clone(),
        ..ingress::BuildOptions::default()
    };
    let routes = Arc::new(ArcSwap::from_pointee(ingress::RouteTable::default()));
    let kept = ingress::WatchConfig {
        build: build.clone(),
        snapshot: Some(snapshot(config, "ingress")),
        handed_over: report.handed_over.clone(),
    };
    let hub = callers.component("ingress");
    let watcher = ingress::Watcher::new(hub.clone(), routes.clone(), kept);
    let settings = ingress::IngressConfig {
        http: vec![config.ingress.listen(config.ingress_addr, doors.http)],
        https: vec![config.ingress.listen(config.ingress_tls_addr, doors.https)],
        workers: config.ingress_workers,
        publish_addresses: published(config),
        trusted_proxies: config.ingress.trusted_proxies.clone(),
        access_log: config.ingress.access_log.clone(),
        traces: config.ingress.traces.clone(),
        build,
        limits: config.ingress.limits.clone(),
        timeouts: config.ingress.timeouts.clone(),
        heads: HeadRules {
            // Browsers do not look for HTTPS where a playground has it.
            redirect_port: config.ingress.heads.redirect_port || config.playground,
            ..config.ingress.heads.clone()
        },
        hold: doors.hold,
        share: config.is_ingress_alone(),
    };
    let addresses = settings.publish_addresses.clone();
    let (counted, explained) = (routes.clone(), routes.clone());
    let mut running = ingress::start(settings, routes, stop.clone())
        .map_err(|e| Failure::new("FG-HUB-003", "the ingress cannot start").because(chain(&e)))?;
    let opened = Opened { http: running.http[0], https: running.https[0], shared: std::mem::take(&mut running.shared) };
    if matches!(config.ingress.access_log.target, ingress::LogTarget::File(_))
        && let Some(reopen) = running.log_reopener()
    {
        tasks.spawn(reopen_on_hangup(reopen, stop.clone()));
    }
    report.desk = Some(Arc::new(ingress::explain::Desk::new(hub.clone(), explained, running.insight.clone())));
    let metrics = running.metrics.clone();
    report.metrics.push(Box::new(move |text| {
        metrics.render(text);
        metrics.render_routes(&counted.load(), text);
    }));
    let (outcomes, leader) = (watcher.outcomes(), hub.clone());
    report.routes = Some(outcomes.clone());
    let publish = move |hold| ingress::publish(hub.clone(), outcomes.clone(), addresses.clone(), hold);
    spawn(tasks, lead(leader, leadership(config, "ingress-status"), stop.clone(), publish));
    spawn(tasks, watcher.run(stop.clone()));
    spawn(tasks, running.join());
    Ok(opened)
}

/// Opens the access log anew at each SIGHUP, as who turns logs over expects; it would end the process otherwise.
async fn reopen_on_hangup(reopen: impl Fn() + Send, stop: CancellationToken) -> Result<(), Failure> {
    let mut hangup = signal(SignalKind::hangup()).map_err(|e| Failure::local("cannot listen for signals", e))?;
    while let Some(Some(())) = stop.run_until_cancelled(hangup.recv()).await {
        reopen();
    }
    Ok(())
}

/// DNS: its sockets and what keeps its zone current; gives the bound address.
pub(super) fn dns(
    callers: &Callers<'_>,
    config: &ServeConfig,
    report: &mut Report,
    tasks: &mut Tasks,
    stop: &CancellationToken,
) -> Result<SocketAddr, Failure> {
    let failed = |e: dns::DnsError| Failure::new("FG-HUB-003", "DNS cannot start").because(chain(&e));
    let mut options = dns::FollowOptions { snapshot: Some(snapshot(config, "dns")), ..dns::FollowOptions::default() };
    options.zone.allow_loopback = config.playground;
    let zones = Arc::new(ArcSwap::from_pointee(dns::Zone::unknown(&options.zone)));
    let bound = dns::bind(dns::DnsConfig::new(vec![config.dns_addr])).map_err(failed)?;
    let address = bound.addresses()[0];
    let metrics = bound.metrics();
    report.metrics.push(Box::new(move |text| metrics.render(text)));
    spawn(tasks, dns::follow(callers.component("dns"), options, zones.clone(), stop.clone()));
    let hold = stop.clone();
    tasks.spawn(async move {
        bound.serve(zones, hold).await.map_err(|e| Failure::new("FG-HUB-003", "DNS ended").because(chain(&e)))
    });
    Ok(address)
}

/// What one process of several does. The one with the API comes back under the same name, since there is but one.
fn leadership(config: &ServeConfig, name: &str) -> Claim {
    let holder = if config.runs(Role::Api) {
        "hub".to_owned()
    } else {
        let machine = rustix::system::uname();
        format!("{}-{}", machine.nodename().to_string_lossy(), std::process::id())
    };
    Claim { namespace: label::SYSTEM_NAMESPACE.to_owned(), name: name.to_owned(), holder }
}

/// Where a data plane keeps its last snapshot.
fn snapshot(config: &ServeConfig, plane: &str) -> std::path::PathBuf {
    config.data_dir.join(format!("{plane}.snapshot"))
}

/// What Ingresses get as `status.loadBalancer`: what the flags say, else the address that is listened on.
fn published(config: &ServeConfig) -> Vec<String> {
    if !config.ingress_publish.is_empty() || config.ingress_addr.ip().is_unspecified() {
        return config.ingress_publish.clone();
    }
    vec![config.ingress_addr.ip().to_string()]
}

fn spawn(tasks: &mut Tasks, part: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(async move {
        part.await;
        Ok(())
    });
}

/// Appends a part's metrics to a text.
type Render = Box<dyn Fn(&mut String) + Send + Sync>;

/// Metrics and readiness of all parts of this process.
pub(super) struct Report {
    api: Option<Api>,
    pub(super) metrics: Vec<Render>,
    /// What the ingress serves, where it runs here.
    pub(super) routes: Option<watch::Receiver<ingress::watch::Outcome>>,
    /// Who explains what it does with requests.
    pub(super) desk: Option<Arc<ingress::explain::Desk>>,
    /// Another process has taken over.
    pub(super) handed_over: CancellationToken,
    stop: CancellationToken,
}

impl Report {
    pub(super) fn new(api: Option<Api>, stop: CancellationToken) -> Self {
        Self { api, metrics: Vec::new(), routes: None, desk: None, handed_over: CancellationToken::new(), stop }
    }
}

impl crate::admin::Report for Report {
    fn metrics(&self) -> String {
        let mut text = self.api.as_ref().map(Api::metrics).unwrap_or_default();
        self.metrics.iter().for_each(|more| more(&mut text));
        text
    }

    fn desk(&self) -> Option<Arc<ingress::explain::Desk>> {
        self.desk.clone()
    }

    fn not_ready(&self) -> Vec<String> {
        let mut parts = self.api.as_ref().map(Api::not_ready).unwrap_or_default();
        if self.routes.as_ref().is_some_and(|routes| !routes.borrow().serving) {
            parts.push("ingress".to_owned());
        }
        if self.stop.is_cancelled() {
            parts.push("shutdown".to_owned());
        }
        parts
    }
}
