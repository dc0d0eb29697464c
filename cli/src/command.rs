//! The user's commands: what there is, and how each ends.
//!
//! One command a file; this one only dispatches.

pub mod cluster;
pub mod explain;
pub mod ingress;
pub mod playground;
pub mod route;
pub mod serve;
pub mod version;
pub mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// Many Kubernetes clusters behind one endpoint.
#[derive(Debug, Parser)]
#[command(
    name = "fedgate",
    version,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Kubeconfig of the federation control plane (default: $KUBECONFIG, then ~/.kube/config)
    #[arg(long, global = true, value_name = "FILE", env = "FEDGATE_KUBECONFIG")]
    pub hub: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a playground: hub, three simulated members, ingress and DNS in one process, on loopback
    Up(Box<playground::Up>),
    /// Stop the playground and take its context out of the kubeconfig
    Down(playground::Down),
    /// Run the server; where no address is given it listens on every address of this machine
    Serve(Box<crate::config::ServeFlags>),
    /// Register, list and remove member clusters
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// Say where a template runs, and why there
    Why(why::Why),
    /// Which host and path goes where, and what becomes of a request
    #[command(subcommand)]
    Route(route::Route),
    /// Look at Ingresses before they are brought here
    #[command(subcommand)]
    Ingress(ingress::Ingress),
    /// Make a simulated member fail, or heal it
    Sim(playground::Sim),
    /// Say what an error code means
    Explain(explain::Explain),
    /// Print the version
    Version,
}

/// Runs a command to its end.
#[must_use]
pub fn main(cli: &Cli) -> ExitCode {
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit())
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Up(up) => playground::up(up),
        Command::Down(down) => playground::down(down),
        Command::Serve(flags) => serve::serve(flags),
        Command::Cluster(command) => block_on(cluster::run(command, cli.hub.as_deref())),
        Command::Why(why) => block_on(why::why(why, cli.hub.as_deref())),
        Command::Route(command) => block_on(route::run(command, cli.hub.as_deref())),
        Command::Ingress(command) => ingress::run(command),
        Command::Sim(sim) => block_on(playground::sim(sim)),
        Command::Explain(explain) => explain::explain(explain),
        Command::Version => version::version(),
    }
}

/// Runs a short command; servers build their own runtime.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::local("cannot start", e))?;
    runtime.block_on(async {
        tokio::select! {
            done = work => done,
            _ = tokio::signal::ctrl_c() => Err(Failure::new("FG-CLI-003", "interrupted")),
        }
    })
}

/// Writes to standard output; a closed pipe (`| head`) is no error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::local("cannot write the answer", e)),
        _ => Ok(()),
    }
}
