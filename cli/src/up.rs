//! The playground: simulated members or kubeconfig contexts around the same server that `serve` runs.
//!
//! Everything is on this machine's loopback; this is the one composition in which that is allowed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use federation_types::ClusterName;
use member_cluster::{AddressPolicy, Connector, Target, join};
use playground::{FIRST_NETWORK, SimulatedMember, Simulation};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::ServeConfig;
use crate::failure::Failure;
use crate::playground_dir::{Addresses, Claim, Dir};
use crate::register::{Registration, register, wait_ready};
use crate::serve::Server;
use crate::{demo, kubeconfig};

/// Names of simulated members, in order; more get numbers.
const NAMES: [&str; 3] = ["east", "west", "north"];
/// Most simulated members: their pods share one loopback network.
const SIMULATED_MAX: u8 = 100;
/// How long a member may take to be Ready.
const MEMBER_WITHIN: Duration = Duration::from_secs(20);
/// How long the demo's pods may take; after that the playground is ready without them.
const DEMO_WITHIN: Duration = Duration::from_secs(10);

/// `--members`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembersFlag {
    Simulated(u8),
    Contexts(Vec<String>),
}

/// What a playground is made of.
pub struct UpConfig {
    pub dir: Dir,
    pub members: MembersFlag,
    pub demo: bool,
    pub fresh: bool,
    /// Kubeconfig that gets our context.
    pub merge_into: Option<PathBuf>,
    pub serve: ServeConfig,
}

/// Which simulated members to start.
pub struct Simulations<'a> {
    pub count: u8,
    /// See [`Simulation::network`]: the first member's.
    pub first_network: u8,
    pub dir: &'a Dir,
}

/// A simulated member that lets the hub in.
pub struct JoinedMember {
    pub member: SimulatedMember,
    /// Where and as whom the hub reaches it.
    pub target: Target,
}

/// A running playground.
pub struct Playground {
    dir: Dir,
    /// Nobody else may touch the directory while this one runs.
    _claim: Claim,
    server: Server,
    members: JoinSet<()>,
    flag: MembersFlag,
    merged: Option<PathBuf>,
    took: Duration,
}

impl FromStr for MembersFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("sim", count)) => match count.parse::<u8>() {
                Ok(count) if (1..=SIMULATED_MAX).contains(&count) => Ok(Self::Simulated(count)),
                _ => Err(format!("sim:N takes 1 to {SIMULATED_MAX}")),
            },
            Some(("kubeconfig", list)) => {
                let names: Vec<String> = list.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect();
                if names.is_empty() { Err("kubeconfig: needs a context".to_owned()) } else { Ok(Self::Contexts(names)) }
            }
            Some(("kind", _)) => Err("kind: needs Docker and is not supported yet; use kubeconfig:CTX,CTX".to_owned()),
            _ => Err("want sim:N or kubeconfig:CTX,CTX".to_owned()),
        }
    }
}

impl Playground {
    /// Starts everything and returns when it is ready: members Ready, the demo (if any) applied.
    ///
    /// # Errors
    /// FG-UP-001 where one runs here already, FG-HUB-003 where a part cannot start.
    pub async fn start(config: UpConfig, stop: CancellationToken) -> Result<Self, Failure> {
        let begun = Instant::now();
        let UpConfig { dir, members, demo, fresh, merge_into, serve } = config;
        let claim = dir.claim()?;
        dir.not_ready()?;
        if fresh {
            forget(&dir)?;
        }
        let mut tasks = JoinSet::new();
        let server = Server::start(serve, stop.clone()).await?;
        let pid = std::process::id().to_string();
        std::fs::write(dir.pid(), pid).map_err(|e| Failure::local("cannot write the process id", e))?;
        let targets = match &members {
            MembersFlag::Simulated(count) => {
                let wanted = Simulations { count: *count, first_network: FIRST_NETWORK, dir: &dir };
                let joined = simulate(&wanted, &mut tasks, &stop).await?;
                joined.into_iter().map(|joined| (joined.member.name, joined.target)).collect()
            }
            MembersFlag::Contexts(names) => contexts(names).await?,
        };
        let hub = server.administrator();
        for (name, target) in targets {
            let registration = Registration {
                name: name.clone(),
                target,
                labels: BTreeMap::new(),
                region: String::new(),
                zones: Vec::new(),
            };
            register(&hub, &registration).await.map_err(|e| Failure::hub(&format!("cannot register {name}"), &e))?;
        }
        for name in member_names(&members)? {
            wait_ready(&hub, &name, MEMBER_WITHIN).await?;
        }
        if demo {
            let failed = |e| Failure::hub("cannot apply the demo", &e);
            demo::apply(&hub).await.map_err(failed)?;
            if !demo::ready(&hub, DEMO_WITHIN).await.map_err(failed)? {
                tracing::warn!("the demo's pods are not all Ready yet");
            }
        }
        let merged = match merge_into {
            Some(path) => Some(server.merge_kubeconfig(&path, &dir)?),
            None => None,
        };
        server.announce_ready()?;
        Ok(Self { dir, _claim: claim, server, members: tasks, flag: members, merged, took: begun.elapsed() })
    }

    /// Where everything listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        self.server.addresses()
    }

    /// Who the members are.
    #[must_use]
    pub fn members(&self) -> &MembersFlag {
        &self.flag
    }

    /// Time from start to ready.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Whether the user's kubeconfig has our context.
    #[must_use]
    pub fn merged(&self) -> bool {
        self.merged.is_some()
    }

    #[must_use]
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Waits for the stop and then for everything to end.
    ///
    /// # Errors
    /// If a part failed, or the user's kubeconfig could not be put back.
    pub async fn drained(mut self) -> Result<(), Failure> {
        let outcome = self.server.drained().await;
        while self.members.join_next().await.is_some() {}
        if let Some(path) = &self.merged {
            kubeconfig::remove(path)?;
        }
        for left in [self.dir.merged(), self.dir.pid(), self.dir.endpoints()] {
            if let Err(e) = std::fs::remove_file(&left)
                && e.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(path = %left.display(), error = %e, "cannot be removed");
            }
        }
        outcome
    }
}

/// Removes state that a former playground left; keys go with it.
fn forget(dir: &Dir) -> Result<(), Failure> {
    let failed = |path: &Path, e: std::io::Error| Failure::local(format!("cannot remove {}", path.display()), e);
    for (path, is_dir) in [
        (dir.path().join("fedgate.redb"), false),
        (dir.path().join("members"), true),
        (dir.path().join("pki"), true),
        (dir.path().join("dns.snapshot"), false),
        (dir.path().join("ingress.snapshot"), false),
    ] {
        let outcome = if is_dir { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match outcome {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(&path, e)),
            _ => {}
        }
    }
    Ok(())
}

fn member_names(members: &MembersFlag) -> Result<Vec<ClusterName>, Failure> {
    let texts: Vec<String> = match members {
        MembersFlag::Simulated(count) => (0..usize::from(*count)).map(simulated_name).collect(),
        MembersFlag::Contexts(names) => names.iter().map(|n| context_name(n)).collect(),
    };
    texts.iter().map(|t| ClusterName::new(t).map_err(|e| Failure::new("FG-CLI-001", e.to_string()))).collect()
}

fn simulated_name(index: usize) -> String {
    NAMES.get(index).map_or_else(|| format!("member-{}", index + 1), |name| (*name).to_owned())
}

/// A context's name as a cluster name: what is not allowed becomes a dash.
fn context_name(context: &str) -> String {
    let lower = context.to_ascii_lowercase();
    let mapped: String = lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    mapped.trim_matches('-').chars().take(federation_types::name::LABEL_MAX).collect()
}

/// Starts the simulated members, lets the hub into each, and opens the door for `fedgate sim`.
///
/// # Errors
/// FG-HUB-003 names the member that cannot start.
pub async fn simulate(
    wanted: &Simulations<'_>,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<Vec<JoinedMember>, Failure> {
    let failed = |name: &ClusterName, cause: &dyn std::fmt::Display| {
        Failure::new("FG-HUB-003", format!("simulated member {name} cannot start")).because(cause)
    };
    let mut joined = Vec::new();
    let mut gates = BTreeMap::new();
    for (index, name) in (0..wanted.count).zip(member_names(&MembersFlag::Simulated(wanted.count))?) {
        let (network, dir) = (wanted.first_network + index, wanted.dir.member(name.as_str()));
        let simulation = Simulation { name: name.clone(), index, network, dir };
        let member = SimulatedMember::start(simulation, tasks, stop)
            .await
            .map_err(|e| failed(&name, &hub_client::error::chain(&e)))?;
        let credentials =
            join::join_simulated(&member.api).await.map_err(|e| failed(&name, &hub_client::error::chain(&e)))?;
        gates.insert(name.to_string(), member.gate.clone());
        let target = Target { credentials, ..member.admin.clone() };
        joined.push(JoinedMember { member, target });
    }
    let (socket, hold) = (wanted.dir.control(), stop.clone());
    tasks.spawn(async move {
        if let Err(e) = playground::control::serve(&socket, gates, hold).await {
            tracing::warn!(path = %socket.display(), error = %e, "`fedgate sim` will not work");
        }
    });
    Ok(joined)
}

async fn contexts(names: &[String]) -> Result<Vec<(ClusterName, Target)>, Failure> {
    let path =
        kubeconfig::default_path().ok_or_else(|| Failure::new("FG-CLU-006", "no kubeconfig").fix("set $KUBECONFIG"))?;
    let failed = |cause: String| Failure::new("FG-CLU-006", format!("cannot use {}", path.display())).because(cause);
    let source = std::fs::read_to_string(&path).map_err(|e| failed(e.to_string()))?;
    let config = member_cluster::kubeconfig::Kubeconfig::parse(&source).map_err(|e| failed(e.to_string()))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut targets = Vec::new();
    for context_name in names {
        let name = self::context_name(context_name);
        let name = ClusterName::new(&name).map_err(|e| failed(e.to_string()))?;
        let context = config.resolve(context_name, dir).map_err(|e| failed(e.to_string()))?;
        let admin = Target { server: context.server, ca: context.ca, credentials: context.credentials };
        let caller = Connector::direct(AddressPolicy::AllowLoopback).connect(&admin);
        let caller = caller.map_err(|e| failed(e.to_string()))?;
        let credentials = join::join(&caller, join::Permissions::default())
            .await
            .map_err(|e| Failure::new("FG-CLU-004", format!("{name} refuses what the hub needs")).because(e))?;
        targets.push((name, Target { credentials, ..admin }));
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::{MembersFlag, context_name};

    #[test]
    fn members_are_counted_or_named() {
        assert_eq!("sim:3".parse(), Ok(MembersFlag::Simulated(3)));
        assert_eq!("kubeconfig:a,b".parse(), Ok(MembersFlag::Contexts(vec!["a".to_owned(), "b".to_owned()])));
        for bad in ["", "sim:", "sim:0", "sim:101", "sim:x", "kind:3", "kubeconfig:", "x:1"] {
            assert!(bad.parse::<MembersFlag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn context_names_become_labels() {
        assert_eq!(context_name("arn:aws:eks:eu-1:X/prod"), "arn-aws-eks-eu-1-x-prod");
        assert_eq!(context_name("kind-east"), "kind-east");
    }
}
