//! A federation in a directory of its own: simulated members, a hub that knows them, and callers of each.
//!
//! The same parts as in `fedgate up`, put together so that the hub alone can end and start again.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use federation_types::ClusterName;
use fedgate::config::{DefaultPlacement, ServeConfig, ServeFlags};
use fedgate::playground_dir::{Addresses, Dir};
use fedgate::register::{Registration, register, wait_ready};
use fedgate::up::{JoinedMember, Simulations, simulate};
use fedgate::{demo, kubeconfig};
use member_cluster::{AddressPolicy, Connector, Target};
use playground::Fault;
use playground::gate::Gate;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::hub::{HubProcess, runtime};
use crate::kubectl::Kubectl;
use crate::network::{Lease, lease};
use crate::wait::{SOON, eventually};
use crate::{dns, web, wire};

/// Most members of one federation.
pub const MEMBERS_MAX: u8 = 3;

/// What a federation is made of.
pub struct FederationConfig {
    /// At most [`MEMBERS_MAX`]; named east, west, north.
    pub members: u8,
    pub default_placement: DefaultPlacement,
    /// Whether the objects of `up --demo` are applied.
    pub demo: bool,
}

/// A running federation.
pub struct Federation {
    hub: Option<HubProcess>,
    kubectl: Kubectl,
    serve: ServeConfig,
    dir: Dir,
    members: BTreeMap<String, Member>,
    stop: CancellationToken,
    ground: Option<Runtime>,
    _home: TempDir,
    _network: Lease,
}

/// One simulated member.
pub struct Member {
    pub name: ClusterName,
    /// An administrator of the member, through its TLS address and so through its gate.
    pub kubectl: Kubectl,
    /// The same past the gate: sees the member also while it fails.
    pub inside: Kubectl,
    /// Where and as whom the hub reaches it.
    pub target: Target,
    gate: Gate,
}

impl Default for FederationConfig {
    fn default() -> Self {
        Self { members: MEMBERS_MAX, default_placement: DefaultPlacement::All, demo: false }
    }
}

impl Federation {
    /// Starts everything; all members are Ready.
    ///
    /// # Panics
    /// Where a part does not start.
    pub async fn start(config: FederationConfig) -> Self {
        assert!(config.members <= MEMBERS_MAX, "{MEMBERS_MAX} members at most");
        let home = TempDir::with_prefix("fedgate-").expect("a temporary directory");
        let dir = Dir::make(home.path()).expect("the directory is there");
        let (network, ground, stop) = (lease(), runtime("members"), CancellationToken::new());
        let (count, first_network, at, hold) = (config.members, network.first, dir.clone(), stop.clone());
        let started = ground.spawn(async move {
            let mut tasks = JoinSet::new();
            let joined = simulate(&Simulations { count, first_network, dir: &at }, &mut tasks, &hold).await;
            tasks.detach_all();
            joined
        });
        let joined = started.await.expect("no member panics").expect("all members start");
        let members: BTreeMap<String, Member> =
            joined.into_iter().map(Member::new).map(|m| (m.name.to_string(), m)).collect();
        let mut serve = serve(&dir, config.default_placement);
        let hub = HubProcess::start(serve.clone()).await.expect("the hub starts");
        fix_ports(&mut serve, hub.server().addresses());
        let kubectl = Kubectl::new(kubeconfig::hub(Some(&dir.kubeconfig())).expect("a kubeconfig was written"));
        let started = Self {
            hub: Some(hub),
            kubectl,
            serve,
            dir,
            members,
            stop,
            ground: Some(ground),
            _home: home,
            _network: network,
        };
        for member in started.members.values() {
            started.register(member.name.as_str(), &member.target).await;
        }
        started.ready().await;
        if config.demo {
            demo::apply(&started.kubectl.caller).await.expect("the demo is applied");
        }
        started
    }

    /// An administrator of the hub, over TLS.
    #[must_use]
    pub fn hub(&self) -> &Kubectl {
        &self.kubectl
    }

    /// The member of this name.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn member(&self, name: &str) -> &Member {
        &self.members[name]
    }

    /// All members.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Where the hub listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        self.hub.as_ref().expect("it runs until it is stopped").server().addresses()
    }

    /// Requests to the hub's API in any form, as administrator.
    #[must_use]
    pub fn wire(&self) -> wire::Wire {
        wire::Wire::new(self.kubectl.caller.connection().clone())
    }

    /// The same without an identity.
    #[must_use]
    pub fn anonymous(&self) -> wire::Wire {
        let pem = std::fs::read_to_string(self.dir.path().join("pki").join("ca.crt")).expect("the hub's authority");
        wire::Wire::anonymous(&self.addresses().api, &pem)
    }

    /// GET through the ingress, over a connection of its own.
    ///
    /// # Errors
    /// Where there is no answer within [`web::WITHIN`].
    pub async fn get(&self, host: &str, path: &str) -> Result<web::Reply, String> {
        web::get(&self.addresses().ingress, host, path).await
    }

    /// Asks the DNS for addresses (type A).
    ///
    /// # Errors
    /// Where there is no answer, or not one of DNS.
    pub async fn resolve(&self, name: &str) -> Result<dns::Reply, String> {
        dns::ask(&self.addresses().dns, name).await
    }

    /// Registers a cluster at the hub, as `fedgate cluster add` does after its checks.
    ///
    /// # Panics
    /// Where the hub refuses.
    pub async fn register(&self, name: &str, target: &Target) {
        let registration = Registration {
            name: ClusterName::new(name).expect("a name for a cluster"),
            target: target.clone(),
            labels: BTreeMap::new(),
            region: String::new(),
            zones: Vec::new(),
        };
        register(&self.kubectl.caller, &registration).await.expect("the hub takes the cluster");
    }

    /// Waits until all members are Ready.
    ///
    /// # Panics
    /// Where one is not in time.
    pub async fn ready(&self) {
        for member in self.members.values() {
            wait_ready(&self.kubectl.caller, &member.name, SOON).await.expect("the member is Ready");
        }
    }

    /// Where the hub's administrator has a kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.kubeconfig()
    }

    /// Ends the hub as SIGTERM does; members and their pods go on.
    ///
    /// # Panics
    /// Where it does not end.
    pub async fn stop_hub(&mut self) {
        self.hub.take().expect("it runs").drain().await;
    }

    /// Starts the hub again, at the same addresses.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start_hub(&mut self) {
        self.start_again().await;
    }

    /// Ends the hub as SIGTERM does and starts it again at the same addresses.
    ///
    /// # Panics
    /// Where it does not end or start.
    pub async fn restart(&mut self) {
        self.stop_hub().await;
        self.start_again().await;
    }

    /// Ends the hub wherever it stands and starts it again at the same addresses.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn kill_and_start(&mut self) {
        self.hub.take().expect("it runs").kill();
        self.start_again().await;
    }

    async fn start_again(&mut self) {
        let config = &self.serve;
        let start = async || HubProcess::start(config.clone()).await.map_err(|e| e.to_string());
        self.hub = Some(eventually("the hub starts again", SOON, start).await);
        self.kubectl = Kubectl::new(kubeconfig::hub(Some(&self.dir.kubeconfig())).expect("a kubeconfig is there"));
    }

    /// Ends everything in order.
    ///
    /// # Panics
    /// Where the hub does not end.
    pub async fn stop(mut self) {
        self.hub.take().expect("it runs").drain().await;
    }
}

impl Drop for Federation {
    fn drop(&mut self) {
        self.hub = None;
        self.stop.cancel();
        if let Some(ground) = self.ground.take() {
            ground.shutdown_background();
        }
    }
}

impl Member {
    fn new(joined: JoinedMember) -> Self {
        let JoinedMember { member, target } = joined;
        let outside = Connector::direct(AddressPolicy::AllowLoopback).connect(&member.admin);
        let kubectl = Kubectl::new(outside.expect("a member's own address and certificate are good"));
        Self { name: member.name, kubectl, inside: Kubectl::new(member.api), target, gate: member.gate }
    }

    /// Sets what is wrong with it; [`Fault::None`] heals.
    pub fn set(&self, fault: Fault) {
        self.gate.set(fault);
    }

    /// How many requests have changed something in it, by `verb resource`.
    ///
    /// # Panics
    /// Where it does not say.
    pub async fn writes(&self) -> BTreeMap<String, u64> {
        let metrics = self.inside.caller.get_path("/metrics").await.expect("a member counts its requests");
        let mut writes = BTreeMap::new();
        for line in metrics.as_str().expect("metrics are text").lines() {
            let Some(labels) = line.strip_prefix("apiserver_request_total{") else { continue };
            let value = |key: &str| {
                let (_, rest) = labels.split_once(&format!("{key}=\"")).expect("every series has all labels");
                rest.split_once('"').expect("labels are quoted").0
            };
            let (verb, resource) = (value("verb"), value("resource"));
            // Questions are asked with POST, too.
            if matches!(verb, "GET" | "LIST" | "WATCH" | "other") || resource.ends_with("reviews") {
                continue;
            }
            let count = line.rsplit_once(' ').and_then(|(_, n)| n.parse::<u64>().ok()).expect("a count");
            *writes.entry(format!("{verb} {resource}")).or_default() += count;
        }
        writes
    }
}

/// The configuration of `up`, with ports that the system picks.
fn serve(dir: &Dir, default_placement: DefaultPlacement) -> ServeConfig {
    let any = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let flags = ServeFlags {
        data_dir: Some(dir.path().to_owned()),
        api_addr: any,
        ingress_addr: any,
        ingress_tls_addr: any,
        dns_addr: any,
        admin_addr: any,
        ingress_workers: Some(1),
        default_placement: Some(default_placement),
        ..ServeFlags::default()
    };
    let mut serve = flags.resolve(Ipv4Addr::LOCALHOST).expect("the flags make sense");
    serve.playground = true;
    serve
}

/// A hub that starts again is found where it was.
fn fix_ports(serve: &mut ServeConfig, at: &Addresses) {
    let parsed = |text: &str| text.parse::<SocketAddr>().expect("a bound address");
    serve.api_addr = parsed(&at.api);
    serve.ingress_addr = parsed(&at.ingress);
    serve.ingress_tls_addr = parsed(&at.ingress_tls);
    serve.dns_addr = parsed(&at.dns);
    serve.admin_addr = parsed(&at.admin);
}

/// Longest time for a failed member's traffic to move.
pub const MOVED_WITHIN: Duration = Duration::from_secs(3);
