//! `fedgate serve`: the server, until SIGTERM or Ctrl-C.

use std::io::IsTerminal as _;
use std::net::Ipv4Addr;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::ServeFlags;
use crate::failure::Failure;
use crate::serve::Server;

/// Runs the server.
///
/// # Errors
/// FG-CLI where the configuration makes no sense, FG-HUB-003 where a part cannot start.
pub fn serve(flags: &ServeFlags) -> Result<(), Failure> {
    let config = flags.clone().resolve(Ipv4Addr::UNSPECIFIED)?;
    init_tracing();
    let runtime = runtime()?;
    runtime.block_on(async {
        let stop = stop_on_signal()?;
        let mut server = Server::start(config, stop).await?;
        server.announce_ready()?;
        server.drained().await
    })
}

/// The control plane's runtime; the ingress has threads of its own.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    raise_descriptors();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::local("cannot start threads", e))
}

/// As many descriptors as this process may have: shells start with few, and each connection takes one.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Cancelled at the first SIGTERM or Ctrl-C; the second ends the process.
pub(crate) fn stop_on_signal() -> Result<CancellationToken, Failure> {
    let stop = CancellationToken::new();
    let failed = |e| Failure::local("cannot listen for signals", e);
    let mut term = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let token = stop.clone();
    tokio::spawn(async move {
        for round in 0.. {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
            if round > 0 {
                std::process::exit(130);
            }
            token.cancel();
        }
    });
    Ok(stop)
}

/// Log lines on standard error; `RUST_LOG` chooses which.
pub(crate) fn init_tracing() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|e| {
        if std::env::var_os("RUST_LOG").is_some() {
            eprintln!("RUST_LOG is not understood, \"info\" is used: {e}");
        }
        tracing_subscriber::EnvFilter::new("info")
    });
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let ready = log.try_init();
    if let Err(e) = ready {
        eprintln!("logging was set up already: {e}");
    }
}
