//! One simulated member: API server, controllers, node and pods, with a state of its own under a directory.
//!
//! To the hub it is a cluster like any other: it is joined and reached through its TLS address alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auth::service_account::{ServiceAccountKey, TokenError};
use auth::x509::{CertificateAuthority, ClientCertificates, ServingCertificate, ServingNames, server_config};
use auth::{AuthenticatorChain, UserInfo};
use federation_api::controller::Controllers;
use federation_api::controller::bootstrap::{self, Bootstrap};
use federation_api::{Api, ServiceRange, StoreConfig};
use federation_types::{ClusterName, Gvr};
use hub_client::{ApiError, Caller, WriteOptions};
use jiff::Timestamp;
use member_cluster::{AddressPolicy, Credentials, Target};
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::gate::{Fault, Gate};
use crate::pods::{Machine, MachineConfig};
use crate::workload;

/// Certificates of a playground live this long; it makes new ones at each start.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// Second octet of the pod addresses of a playground's first member; each further member has the next one.
pub const FIRST_NETWORK: u8 = 20;

/// What is particular to a member.
pub struct Simulation {
    pub name: ClusterName,
    /// Number among the members: chooses the network of the Services.
    pub index: u8,
    /// Second octet of the pods' addresses, 127.N.0.0/16: two members of one machine never share it.
    pub network: u8,
    /// Keeps the member's store and authority.
    pub dir: PathBuf,
}

/// A running member.
pub struct SimulatedMember {
    pub name: ClusterName,
    /// Where and as whom an administrator of the member reaches it.
    pub admin: Target,
    pub gate: Gate,
    /// An administrator's connection in the process.
    pub api: Caller,
}

/// Why a member cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("its certificates: {0}")]
    Certificates(#[from] auth::x509::X509Error),
    #[error("its token key: {0}")]
    Key(#[from] TokenError),
    #[error("its API server: {0}")]
    Open(#[from] federation_api::OpenError),
    #[error("its first objects: {0}")]
    Bootstrap(#[from] ApiError),
}

impl SimulatedMember {
    /// Starts a member; its tasks join `tasks` and end at `stop`.
    ///
    /// # Errors
    /// [`SimulationError`] names the part that failed.
    pub async fn start(
        simulation: Simulation,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<Self, SimulationError> {
        let Simulation { name, index, network, dir } = simulation;
        std::fs::create_dir_all(&dir)?;
        let now = Timestamp::now();
        let authority = CertificateAuthority::open(&dir, "ca", now)?;
        let known = ClientCertificates::new(authority.certificate_pem())?;
        let chain = AuthenticatorChain::new(vec![Arc::new(known)], None);
        let services = Ipv4Addr::new(10, 100 + index % 100, 0, 0);
        let range = ServiceRange::new(services, 16).expect("a /16 has addresses");
        let service_cidr = range.cidr().to_owned();
        let key = ServiceAccountKey::open(&dir.join("service-account.key"))?;
        let builder = Api::builder().authenticators(chain).service_range(range).service_accounts(key);
        let builder = builder.endpoints(AddressPolicy::AllowLoopback);
        let api = builder.open(StoreConfig::Redb(dir.join("member.redb"))).await?;
        let root = UserInfo::new("system:admin", [auth::PRIVILEGED_GROUP]);
        let admin = Caller::new(kube::Client::new(api.in_process(root), "default"));
        let gate = Gate::default();
        let server = door(&api, &authority, &gate, stop, tasks).await?;
        let client_ca_pem = authority.certificate_pem().to_owned();
        let front_proxy_ca_pem = String::new();
        let first = Bootstrap { hub: false, client_ca_pem, front_proxy_ca_pem, address: server, service_cidr };
        bootstrap::ensure(&admin, &first).await?;
        node(&admin, &name).await?;
        let machine = Machine::new(MachineConfig {
            api: admin.clone(),
            gate: gate.clone(),
            cluster: name.to_string(),
            node: node_name(&name),
            network,
        });
        let (ends, hold) = (stop.clone(), stop.clone());
        tasks.spawn(async move { machine.run(ends).await });
        tasks.spawn(workload::run(admin.clone(), hold));
        let controllers = Controllers {
            system: admin.clone(),
            collector: admin.clone(),
            root_ca_pem: authority.certificate_pem().into(),
            places: false,
        };
        tasks.spawn(controllers.run(stop.clone()));
        let issued = authority.issue_client("member-admin", &[auth::PRIVILEGED_GROUP], LIFETIME, now)?;
        let credentials =
            Credentials::Certificate { chain: issued.certificate_pem.clone(), key: issued.key_pem.expose().to_owned() };
        let target =
            Target { server: format!("https://{server}"), ca: authority.certificate_pem().to_owned(), credentials };
        Ok(Self { name, admin: target, gate, api: admin })
    }

    /// Sets what is wrong with the member.
    pub fn set(&self, fault: Fault) {
        self.gate.set(fault);
    }
}

fn node_name(name: &ClusterName) -> String {
    format!("{name}-node")
}

/// Puts the API server behind the gate; the inner listener is reached through it only by those who know the port.
async fn door(
    api: &Api,
    authority: &CertificateAuthority,
    gate: &Gate,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<SocketAddr, SimulationError> {
    let names = ServingNames { dns: vec!["localhost".to_owned()], addresses: vec![Ipv4Addr::LOCALHOST.into()] };
    let issued = authority.issue_serving(&names, LIFETIME, Timestamp::now())?;
    let serving = ServingCertificate::from_pem(&issued.certificate_pem, issued.key_pem.expose())?;
    let tls = Arc::new(server_config(Arc::new(serving))?);
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let inner = TcpListener::bind(any).await?;
    let inside = inner.local_addr()?;
    tasks.spawn(federation_api::listen(api.clone(), inner, tls, stop.clone().cancelled_owned()));
    let pass = move |mut pipe: DuplexStream| async move {
        let outcome = match TcpStream::connect(inside).await {
            Ok(mut socket) => tokio::io::copy_bidirectional(&mut pipe, &mut socket).await.map(|_| ()),
            Err(e) => Err(e),
        };
        if let Err(e) = outcome {
            tracing::trace!(error = %e, "a connection to a simulated member ended");
        }
    };
    let (address, _) = gate.listen(any, pass, stop.clone()).await?;
    Ok(address)
}

async fn node(admin: &Caller, name: &ClusterName) -> Result<(), ApiError> {
    let gvr = Gvr::new("v1", "nodes");
    let how = WriteOptions { field_manager: "fedgate-playground", force: true, ..WriteOptions::default() };
    let node = node_name(name);
    let object = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": node, "labels": {"kubernetes.io/hostname": node, "kubernetes.io/os": "linux"}}});
    admin.apply(&gvr, &object, &how).await?;
    let amounts = json!({"cpu": "4", "memory": "8Gi", "pods": "110"});
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let status = json!({"status": {
        "capacity": amounts, "allocatable": amounts,
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": node}],
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "simulated",
            "lastHeartbeatTime": now, "lastTransitionTime": now}],
        "nodeInfo": {"kubeletVersion": "v1.37.0+fedgate", "osImage": "simulated", "kernelVersion": "",
            "containerRuntimeVersion": "fedgate://simulated", "architecture": "amd64", "operatingSystem": "linux",
            "machineID": "", "systemUUID": "", "bootID": "", "kubeProxyVersion": ""},
    }});
    let how = WriteOptions { subresource: "status", ..WriteOptions::default() };
    admin.merge_patch(hub_client::At::new(&gvr, "", &node), &status, &how).await?;
    Ok(())
}
