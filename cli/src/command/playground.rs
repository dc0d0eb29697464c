//! `fedgate up`, `down` and `sim`: the playground's life.

use std::io::IsTerminal as _;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::PossibleValue;

use crate::config::{DefaultPlacement, Role, ServeFlags};
use crate::failure::Failure;
use crate::kubeconfig;
use crate::playground_dir::{Dir, quoted};
use crate::up::{MembersFlag, Playground, UpConfig};

/// How long `up --detach` waits for the playground to be ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long `down` waits for the process to end.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// What can happen to a simulated member, and its pods.
const FAULTS: [(&str, &str); 4] = [
    ("fail", "Connections are refused, standing ones are reset"),
    ("slow", "Every answer comes half a second late"),
    ("partition", "Packets vanish: connections hang"),
    ("heal", "All is well again"),
];

/// Arguments of `up`.
#[derive(Debug, Args)]
pub struct Up {
    /// Who the members are
    #[arg(long, value_name = "sim:N|kubeconfig:CTX,CTX", default_value = "sim:3")]
    pub members: MembersFlag,
    /// Apply a Deployment, a Service and an Ingress to look at
    #[arg(long)]
    pub demo: bool,
    /// Forget the state of the last playground
    #[arg(long)]
    pub fresh: bool,
    /// Go on in the background once everything is ready
    #[arg(long)]
    pub detach: bool,
    /// Directory of the playground (default: $XDG_STATE_HOME/fedgate/up)
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Kubeconfig that gets the context "fedgate" (default: $KUBECONFIG, then ~/.kube/config)
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Leave the kubeconfig alone
    #[arg(long, conflicts_with = "kubeconfig")]
    pub no_kubeconfig: bool,
    #[command(flatten)]
    pub serve: ServeFlags,
}

/// Arguments of `down`.
#[derive(Debug, Args)]
pub struct Down {
    /// Directory of the playground (default: $XDG_STATE_HOME/fedgate/up)
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Arguments of `sim`.
#[derive(Debug, Args)]
pub struct Sim {
    /// What happens
    #[arg(value_parser = FAULTS.map(|(fault, what)| PossibleValue::new(fault).help(what)))]
    pub fault: String,
    /// To which member
    pub member: String,
    /// Directory of the playground (default: $XDG_STATE_HOME/fedgate/up)
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Runs a playground until SIGTERM or Ctrl-C, or leaves it in the background.
///
/// # Errors
/// FG-UP and FG-HUB-003.
pub fn up(up: &Up) -> Result<(), Failure> {
    let config = config(up)?;
    if up.detach {
        return detach(&config.dir);
    }
    super::serve::init_tracing();
    super::serve::runtime()?.block_on(async {
        let stop = super::serve::stop_on_signal()?;
        let playground = Playground::start(config, stop).await?;
        welcome(&playground, up.demo)?;
        playground.drained().await
    })
}

fn config(up: &Up) -> Result<UpConfig, Failure> {
    let dir = Dir::of_playground(up.dir.as_deref())?;
    let dir = Dir::make(dir.path())?;
    let mut flags = up.serve.clone();
    flags.data_dir = flags.data_dir.or_else(|| Some(dir.path().to_owned()));
    flags.default_placement = flags.default_placement.or(Some(DefaultPlacement::All));
    flags.ingress_workers = flags.ingress_workers.or(Some(1));
    let mut serve = flags.resolve(Ipv4Addr::LOCALHOST)?;
    serve.playground = true;
    // A part of a playground has neither members nor a context: those are of the process with the API.
    let whole = serve.runs(Role::Api);
    let members = if whole { up.members.clone() } else { MembersFlag::Contexts(Vec::new()) };
    let path = || up.kubeconfig.clone().or_else(kubeconfig::default_path);
    let merge_into = (whole && !up.no_kubeconfig).then(path).flatten();
    Ok(UpConfig { dir, members, demo: up.demo, fresh: up.fresh, merge_into, serve })
}

/// Starts the same command again without `--detach`, in a session of its own, and waits until it is ready.
fn detach(dir: &Dir) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::local("cannot go into the background", e);
    drop(dir.claim()?);
    dir.not_ready()?;
    let log = std::fs::File::create(dir.log()).map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let arguments = std::env::args_os().skip(1).filter(|a| a != "--detach");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
    // A process group of its own: Ctrl-C in this terminal is not meant for it.
    command.process_group(0);
    let mut child = command.spawn().map_err(failed)?;
    let deadline = Instant::now() + READY_WITHIN;
    while !dir.endpoints().exists() {
        if let Some(status) = child.try_wait().map_err(failed)? {
            let log = std::fs::read_to_string(dir.log()).unwrap_or_else(|e| e.to_string());
            return Err(Failure::new("FG-HUB-003", format!("the playground ended: {status}")).because(log.trim()));
        }
        if Instant::now() >= deadline {
            return Err(Failure::new("FG-UP-003", "the playground is not ready").because(dir.log().display()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let (log, down) = (dir.log(), format!("{} down{}", program_name(), dir.flag()));
    super::print(&format!("playground ready, log in {}\n{down} stops it\n", log.display()))
}

fn welcome(playground: &Playground, demo: bool) -> Result<(), Failure> {
    let at = playground.addresses();
    if std::io::stderr().is_terminal() {
        eprintln!("ready in {:.1} s, Ctrl-C stops it\n", playground.took().as_secs_f64());
    }
    if at.api.is_empty() {
        let parts = [("ingress http://", &at.ingress), ("dns ", &at.dns)];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(_, address)| !address.is_empty())
            .map(|(what, address)| format!("{what}{address}"))
            .collect();
        return super::print(&format!("fedgate is ready: {}\n", parts.join(", ")));
    }
    let (_, dns_port) = at.dns.rsplit_once(':').unwrap_or(("", "53"));
    let select = if playground.merged() {
        String::new()
    } else {
        format!("  export KUBECONFIG={}\n", quoted(&playground.dir().kubeconfig()))
    };
    let (_, http_port) = at.ingress.rsplit_once(':').unwrap_or(("", "80"));
    let look = if demo {
        format!(
            "  curl http://web.localhost:{http_port}/\n  \
             dig +short @127.0.0.1 -p {dns_port} web.default.svc.clusterset.local\n"
        )
    } else {
        "  kubectl create deployment web --image=demo/web:1 --port=8080 --replicas=6\n".to_owned()
    };
    let break_one = match &playground.members() {
        MembersFlag::Simulated(_) => format!("  {} sim fail east{}\n", program_name(), playground.dir().flag()),
        MembersFlag::Contexts(_) => String::new(),
    };
    super::print(&format!(
        "fedgate is ready: https://{}\n\nTry:\n{select}  kubectl get clusters,deploy,pods\n{look}{break_one}",
        at.api
    ))
}

/// As the user called us, so that a hint can be typed as it stands.
fn program_name() -> String {
    std::env::args().next().unwrap_or_else(|| "fedgate".to_owned())
}

/// Stops the playground and takes its context out of the kubeconfig.
///
/// # Errors
/// FG-UP-002 where none runs.
pub fn down(down: &Down) -> Result<(), Failure> {
    let dir = Dir::of_playground(down.dir.as_deref())?;
    let pid = std::fs::read_to_string(dir.pid()).ok().and_then(|text| text.trim().parse::<i32>().ok());
    let running = pid.filter(|pid| is_fedgate(*pid));
    let Some(pid) = running else {
        clean(&dir)?;
        return Err(Failure::new("FG-UP-002", format!("no playground runs in {}", dir.path().display())));
    };
    let ended = Command::new("kill").arg("-TERM").arg(pid.to_string()).status();
    ended.map_err(|e| Failure::local("cannot stop the playground", e))?;
    let deadline = Instant::now() + GONE_WITHIN;
    while is_fedgate(pid) {
        if Instant::now() >= deadline {
            return Err(Failure::new("FG-UP-003", format!("process {pid} has not ended")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    clean(&dir)?;
    super::print("playground stopped\n")
}

fn clean(dir: &Dir) -> Result<(), Failure> {
    if let Ok(path) = std::fs::read_to_string(dir.merged()) {
        kubeconfig::remove(Path::new(path.trim()))?;
    }
    for left in [dir.merged(), dir.pid(), dir.endpoints(), dir.control()] {
        match std::fs::remove_file(&left) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::local(format!("cannot remove {}", left.display()), e));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether the process is one of ours and not somebody else's that got the number later.
fn is_fedgate(pid: i32) -> bool {
    let Ok(name) = std::fs::read_to_string(format!("/proc/{pid}/comm")) else { return false };
    let zombie = std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| s.contains(") Z "));
    name.trim().contains("fedgate") && !zombie
}

/// Sets a fault in the running playground.
///
/// # Errors
/// FG-UP-002 where none runs, FG-CLI-001 where it has no such member.
pub async fn sim(sim: &Sim) -> Result<(), Failure> {
    let dir = Dir::of_playground(sim.dir.as_deref())?;
    match playground::control::ask(&dir.control(), &sim.fault, &sim.member).await {
        Ok(done) => super::print(&format!("{done}\n")),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => Err(
            Failure::new("FG-UP-002", format!("no playground runs in {}", dir.path().display())).fix(match sim.dir {
                None => "fedgate up --demo; or --dir DIR, if one runs elsewhere".to_owned(),
                Some(_) => format!("fedgate up --demo{}", dir.flag()),
            }),
        ),
        Err(e) => Err(Failure::new("FG-CLI-001", e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Up, config};
    use crate::up::MembersFlag;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        up: Up,
    }

    #[test]
    fn a_part_of_a_playground_touches_neither_members_nor_contexts_and_takes_loopback() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = dir.path().to_str().expect("text");
        let read = |more: &[&str]| {
            let usual = ["up", "--dir", at, "--kubeconfig", "/nowhere"];
            let line = usual.iter().chain(more);
            config(&Line::try_parse_from(line).expect("a line").up).expect("a configuration")
        };
        let whole = read(&[]);
        assert_eq!((whole.members, whole.merge_into.is_some()), (MembersFlag::Simulated(3), true));
        let part = read(&["--role", "ingress", "--hub-kubeconfig", "/elsewhere"]);
        assert_eq!((part.members, part.merge_into), (MembersFlag::Contexts(Vec::new()), None));
        assert!(part.serve.playground, "its endpoints are on loopback");
    }
}
