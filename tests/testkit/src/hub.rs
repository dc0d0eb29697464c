//! The hub as a process of its own would be: on a runtime of its own, which can be drained or killed.
//!
//! Knows no members; those go on whatever happens here.

use std::time::Duration;

use fedgate::config::ServeConfig;
use fedgate::failure::Failure;
use fedgate::serve::Server;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

/// How long a hub may take to end when it is told to.
const DRAINED_WITHIN: Duration = Duration::from_secs(20);

/// A running hub.
pub struct HubProcess {
    server: Option<Server>,
    runtime: Option<Runtime>,
    stop: CancellationToken,
}

impl HubProcess {
    /// Starts the server and says that it is ready.
    ///
    /// # Errors
    /// The server's own; among them that the last one still holds the store.
    pub async fn start(config: ServeConfig) -> Result<Self, Failure> {
        let stop = CancellationToken::new();
        let mut hub = Self { server: None, runtime: Some(runtime("hub")), stop: stop.clone() };
        let on = hub.runtime.as_ref().expect("it was just made");
        let started = on.spawn(Server::start(config, stop)).await;
        hub.server = Some(started.expect("the server does not panic")?);
        Ok(hub)
    }

    /// The server itself.
    #[must_use]
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("it is taken only when it ends")
    }

    /// Stops it as SIGTERM does, and waits for its end.
    ///
    /// # Panics
    /// Where a part fails, or does not end.
    pub async fn drain(mut self) {
        self.stop.cancel();
        let mut server = self.server.take().expect("it ends once");
        let runtime = self.runtime.as_ref().expect("it ends once");
        let ended = runtime.spawn(async move { server.drained().await });
        let ended = tokio::time::timeout(DRAINED_WITHIN, ended).await.expect("the hub ends when it is told to");
        ended.expect("no part panics").expect("no part fails");
    }

    /// Ends it wherever it stands: nothing is finished, nothing is said.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for HubProcess {
    fn drop(&mut self) {
        self.server = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        // For the threads that are not the runtime's.
        self.stop.cancel();
    }
}

/// A runtime with threads of its own.
///
/// # Panics
/// Where the machine has no threads left.
#[must_use]
pub fn runtime(name: &str) -> Runtime {
    Builder::new_multi_thread().worker_threads(2).thread_name(name).enable_all().build().expect("threads are to be had")
}
