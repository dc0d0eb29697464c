//! `fedgate cluster add`: read the context, probe, show the plan, create what the hub needs, register, wait.
//!
//! Nothing is written, in the member or at the hub, before the probe has succeeded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use federation_types::{ClusterName, Gvr, text};
use hub_client::Hub;
use member_cluster::join::{self, Permissions, Probe};
use member_cluster::kubeconfig::{Context, Kubeconfig};
use member_cluster::{AddressPolicy, Connector, Credentials, Target};

use super::{confirm, duration};
use crate::failure::Failure;
use crate::kubeconfig::default_path;
use crate::register::{Registration, check_identity, register, wait_ready};

/// Arguments of `cluster add`.
#[derive(Debug, Args)]
pub struct Add {
    /// The member's name: lower case letters, digits and dashes
    pub name: String,
    /// Context of the cluster in the kubeconfig (default: its current one)
    #[arg(long, value_name = "CTX")]
    pub context: Option<String>,
    /// Kubeconfig with an administrator's rights in the cluster (default: $KUBECONFIG, then ~/.kube/config)
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Address under which the hub reaches the cluster, where it is not the kubeconfig's
    #[arg(long, value_name = "URL")]
    pub server_address: Option<String>,
    /// Label of the member (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    pub label: Vec<(String, String)>,
    /// Region of the member
    #[arg(long, default_value = "")]
    pub region: String,
    /// Zone of the member (repeatable)
    #[arg(long)]
    pub zone: Vec<String>,
    /// What the hub may do there
    #[arg(long, value_enum, default_value = "apply")]
    pub permissions: Rights,
    /// Show what would be created and end
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// How long to wait for the member to be Ready; 0 does not wait
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub wait: Duration,
}

/// `--permissions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rights {
    Read,
    Apply,
    Admin,
}

impl From<Rights> for Permissions {
    fn from(rights: Rights) -> Self {
        match rights {
            Rights::Read => Self::Read,
            Rights::Apply => Self::Apply,
            Rights::Admin => Self::Admin,
        }
    }
}

/// Makes a cluster a member.
///
/// # Errors
/// FG-CLU codes, see their explanations.
pub async fn add(add: &Add, hub: &Hub) -> Result<(), Failure> {
    let name = ClusterName::new(&add.name).map_err(|e| Failure::new("FG-CLI-001", e.to_string()))?;
    let context = context(add)?;
    let mut target = target(add, &context);
    let policy = policy(&target);
    let admin = Connector::direct(policy).connect(&target).map_err(|e| unusable(&e))?;
    let probe = join::probe(&admin).await.map_err(|e| no_answer(&target, &e))?;
    progress(&format!("{} answers: Kubernetes {}, UID {}", target.server, probe.version, probe.uid));
    not_the_hub(hub, &probe.uid, &context.name).await?;
    check_identity(hub, &name, &probe.uid).await?;
    for line in plan(add, &probe) {
        progress(&line);
    }
    if add.dry_run {
        return super::super::print(&format!("cluster/{name} would be added\n"));
    }
    confirm(&format!("Apply to {}?", context.name), add.yes)?;
    let credentials = join::join(&admin, add.permissions.into())
        .await
        .map_err(|e| Failure::new("FG-CLU-004", format!("{} refuses what the hub needs", context.name)).because(e))?;
    accepted(&target, &credentials, policy).await?;
    target.credentials = credentials;
    let labels: BTreeMap<_, _> = add.label.iter().cloned().collect();
    let registration =
        Registration { name: name.clone(), target, labels, region: add.region.clone(), zones: add.zone.clone() };
    register(hub, &registration).await.map_err(|e| Failure::hub("cannot register the cluster", &e))?;
    if !add.wait.is_zero() {
        wait_ready(hub, &name, add.wait).await?;
        progress("the member is Ready");
    }
    super::super::print(&format!("cluster/{name} added\n"))
}

fn context(add: &Add) -> Result<Context, Failure> {
    let path = add
        .kubeconfig
        .clone()
        .or_else(default_path)
        .ok_or_else(|| Failure::new("FG-CLU-006", "no kubeconfig").fix("give --kubeconfig FILE"))?;
    let failed = |cause: String| Failure::new("FG-CLU-006", format!("cannot use {}", path.display())).because(cause);
    let source = std::fs::read_to_string(&path).map_err(|e| failed(e.to_string()))?;
    let config = Kubeconfig::parse(&source).map_err(|e| failed(e.to_string()))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    config
        .resolve(add.context.as_deref().unwrap_or_default(), dir)
        .map_err(|e| failed(e.to_string()).fix(format!("choose one with --context: {}", config.contexts().join(", "))))
}

fn target(add: &Add, context: &Context) -> Target {
    Target {
        server: add.server_address.clone().unwrap_or_else(|| context.server.clone()),
        ca: context.ca.clone(),
        credentials: context.credentials.clone(),
    }
}

/// A member on this machine's loopback is fine for a playground, so the probe may go there; the server decides
/// for itself and says so in a condition.
fn policy(target: &Target) -> AddressPolicy {
    let allowed = |policy| member_cluster::address::check(&target.server, policy).is_ok();
    if allowed(AddressPolicy::AllowLoopback) && !allowed(AddressPolicy::Public) {
        let fix = "only `fedgate up` connects to those; for any other hub give --server-address";
        progress(&format!("{} is a loopback address: {fix}", target.server));
    }
    AddressPolicy::AllowLoopback
}

async fn accepted(target: &Target, credentials: &Credentials, policy: AddressPolicy) -> Result<(), Failure> {
    let as_hub = Target { credentials: credentials.clone(), ..target.clone() };
    let hub_in_member = Connector::direct(policy).connect(&as_hub).map_err(|e| unusable(&e))?;
    join::probe(&hub_in_member).await.map(|_| ()).map_err(|e| {
        Failure::new("FG-CLU-004", "the member does not accept the credentials that it just issued").because(e)
    })
}

/// After `fedgate up` the current context is the hub's; a federation is no member of itself.
async fn not_the_hub(hub: &Hub, uid: &str, context: &str) -> Result<(), Failure> {
    let own = match hub.get(&Gvr::new("v1", "namespaces"), "", "kube-system").await {
        Ok(own) => own,
        // Who registers members need not read namespaces.
        Err(e) if e.code() == 403 => return Ok(()),
        Err(e) => return Err(Failure::hub("cannot read who the hub is", &e)),
    };
    if own.is_some_and(|namespace| text::str_at(&namespace, &["metadata", "uid"]) == uid) {
        return Err(Failure::new("FG-CLU-008", format!("context {context:?} is the federation control plane itself"))
            .fix("choose the cluster's context with --context"));
    }
    Ok(())
}

fn plan(add: &Add, probe: &Probe) -> Vec<String> {
    let mut lines = vec![format!("plan for the cluster with UID {}:", probe.uid)];
    lines.extend(join::objects(add.permissions.into()).iter().map(|(_, object)| {
        let namespace = text::namespace(object);
        let at = if namespace.is_empty() { String::new() } else { format!(" in {namespace}") };
        format!("  apply {} {}{at}", text::str_at(object, &["kind"]), text::name(object))
    }));
    lines
}

fn no_answer(target: &Target, error: &hub_client::ApiError) -> Failure {
    if matches!(error.code(), 401 | 403) {
        return Failure::new("FG-CLU-004", format!("{} does not let this user in", target.server)).because(error);
    }
    Failure::new("FG-CLU-001", format!("no answer from {}", target.server))
        .because(error)
        .fix("give an address that the hub reaches with --server-address https://HOST:PORT")
}

fn unusable(error: &member_cluster::ConnectError) -> Failure {
    Failure::new("FG-CLU-006", "the cluster's address or credentials cannot be used").because(error)
}

fn progress(line: &str) {
    eprintln!("  {line}");
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not KEY=VALUE")),
    }
}
