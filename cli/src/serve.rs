//! The composition root: builds the parts, wires them, spawns them, drains them.
//!
//! ```text
//! store → Api ─ in process ─→ controllers, mirror + health, placement, ingress watch, dns watch
//!          └── TLS listener ─→ kubectl, other processes of ours
//! ```
//! Every part is a caller of the API with an account of its own. A process without the role `api` reaches the hub over
//! TLS and is otherwise the same. Nothing here decides anything about objects.

mod audit;
mod handover;
mod hub;
mod network;
mod planes;

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use federation_api::Api;
use hub_client::Hub;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::config::{Role, ServeConfig};
use crate::failure::Failure;
use crate::identity::Identity;
use crate::kubeconfig::{self, Access};
use crate::playground_dir::{Addresses, Dir, dialled};

/// A running server.
pub struct Server {
    dir: Dir,
    addresses: Addresses,
    tasks: JoinSet<Result<(), Failure>>,
    stop: CancellationToken,
    /// Where this process holds the API.
    local: Option<Local>,
    hub: Hub,
}

/// The API in this process, and who may administer it.
pub(crate) struct Local {
    pub(crate) api: Api,
    pub(crate) identity: Identity,
    /// Placement's answers inside requests.
    pub(crate) view: Arc<placement::View>,
    /// The Secrets that the ingress may read.
    pub(crate) tls_secrets: Arc<ingress::NamedSecrets>,
}

/// The stop of the parts: what asks whether to send us more hears of it at once, they go on until that has been noticed.
fn later(stop: &CancellationToken, delay: Duration, tasks: &mut JoinSet<Result<(), Failure>>) -> CancellationToken {
    let parts = if delay.is_zero() { stop.clone() } else { CancellationToken::new() };
    let (asked, last) = (stop.clone(), parts.clone());
    tasks.spawn(async move {
        asked.cancelled().await;
        last.run_until_cancelled(tokio::time::sleep(delay)).await;
        last.cancel();
        Ok(())
    });
    parts
}

impl Server {
    /// Starts all parts that `config` names; returns when they listen.
    ///
    /// # Errors
    /// FG-HUB-003 or FG-CLI-002 of the first part that cannot start; the others are stopped.
    pub async fn start(config: ServeConfig, stop: CancellationToken) -> Result<Self, Failure> {
        let dir = Dir::make(&config.data_dir)?;
        let mut tasks = JoinSet::new();
        let parts = later(&stop, config.shutdown_delay, &mut tasks);
        let mut addresses = Addresses::default();
        let local = match config.runs(Role::Api) {
            true => Some(hub::open(&config).await?),
            false => None,
        };
        let mut taken = handover::take(&dir, &config).await?;
        // Not before the store is ours, or without one the addresses: another server's answer to "where" stays.
        if taken.is_none() && !config.is_ingress_alone() {
            dir.not_ready()?;
        }
        let callers = planes::Callers::new(local.as_ref(), &config)?;
        if let Some(local) = &local {
            let bound = hub::start(local, &config, &mut tasks, &parts).await?;
            addresses.api = dialled(bound);
            write_kubeconfig(&dir, local, &addresses.api)?;
        }
        if config.runs(Role::Placement) || local.is_some() {
            planes::members(&callers, local.as_ref(), &config, &mut tasks, &parts).await?;
        }
        let mut shared = Vec::new();
        let mut report = planes::Report::new(local.as_ref().map(|l| l.api.clone()), stop.clone());
        if config.runs(Role::Ingress) {
            let doors = taken.as_mut().map(handover::Taken::doors).unwrap_or_default();
            let opened = planes::ingress(&callers, (&config, doors), &mut report, &mut tasks, &parts)?;
            if taken.is_none() && config.is_ingress_alone() {
                dir.not_ready()?;
            }
            (addresses.ingress, addresses.ingress_tls) = (dialled(opened.http), dialled(opened.https));
            shared = opened.shared;
        }
        if config.runs(Role::Dns) {
            addresses.dns = dialled(planes::dns(&callers, &config, &mut report, &mut tasks, &parts)?);
        }
        let (routes, handed_over) = (report.routes.clone(), report.handed_over.clone());
        let failed = |e| {
            Failure::local(format!("cannot listen on {}", config.admin_addr), e)
                .fix("give another --admin-addr, or end what listens there")
        };
        let socket = match taken.as_mut().and_then(handover::Taken::admin) {
            Some(socket) => socket,
            None => TcpListener::bind(config.admin_addr).map_err(failed)?,
        };
        shared.push(socket.try_clone().map_err(failed)?);
        let (bound, run) = admin::listen(socket, Arc::new(report), parts.clone()).map_err(failed)?;
        addresses.admin = dialled(bound);
        if let (Some(taken), Some(routes)) = (taken, routes) {
            taken.finish(routes).await?;
        }
        // Until here whoever asks on the same socket is answered by the process that serves.
        tasks.spawn(async move {
            run.await;
            Ok(())
        });
        if config.is_ingress_alone() {
            let ends = handover::Ends { handed_over, stop: stop.clone(), parts };
            tasks.spawn(handover::offer(dir.hand_over(), shared, ends));
        }
        Ok(Self { dir, addresses, tasks, stop, hub: callers.administrator(), local })
    }

    /// Writes `endpoints.json`: everything is ready.
    ///
    /// # Errors
    /// FG-CLI-002 where the file cannot be written.
    pub fn announce_ready(&self) -> Result<(), Failure> {
        self.dir.ready(&self.addresses)?;
        tracing::info!(api = %self.addresses.api, ingress = %self.addresses.ingress, dns = %self.addresses.dns, "ready");
        Ok(())
    }

    /// Where everything listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// A caller with an administrator's rights (in a process without the API: with the kubeconfig's).
    #[must_use]
    pub fn administrator(&self) -> Hub {
        self.hub.clone()
    }

    /// Adds the context `fedgate` to the user's kubeconfig and remembers where.
    ///
    /// # Errors
    /// FG-CLI-002 where a file cannot be written.
    pub fn merge_kubeconfig(&self, path: &Path, dir: &Dir) -> Result<std::path::PathBuf, Failure> {
        if let Some(local) = &self.local {
            let server = format!("https://{}", self.addresses.api);
            kubeconfig::merge(path, &access(local, &server))?;
            std::fs::write(dir.merged(), path.to_string_lossy().as_bytes())
                .map_err(|e| Failure::local("cannot remember the kubeconfig", e))?;
        }
        Ok(path.to_owned())
    }

    /// Waits for the stop, or for the first part that fails, and then for all parts to end.
    ///
    /// # Errors
    /// The first part's failure.
    pub async fn drained(&mut self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            let ended = ended.unwrap_or_else(|e| Err(Failure::new("FG-HUB-003", "a part panicked").because(e)));
            if let Err(failure) = ended
                && outcome.is_ok()
            {
                tracing::error!(error = %failure, "a part failed, the server stops");
                outcome = Err(failure);
                self.stop.cancel();
            }
        }
        outcome
    }
}

fn access<'a>(local: &'a Local, server: &'a str) -> Access<'a> {
    Access {
        server,
        ca_pem: local.identity.authority.certificate_pem(),
        certificate_pem: &local.identity.admin.certificate_pem,
        key_pem: local.identity.admin.key_pem.expose(),
    }
}

fn write_kubeconfig(dir: &Dir, local: &Local, api: &str) -> Result<(), Failure> {
    let server = format!("https://{api}");
    kubeconfig::write(&dir.kubeconfig(), &kubeconfig::document(&access(local, &server)))
}
