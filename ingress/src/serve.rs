//! Starts the data plane: sockets first, so that a busy port is an error and not a surprise, then threads.
//!
//! Owns threads and their end; requests are the worker's.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::access::{self, LogError, LogWriter, Opened};
use crate::check;
use crate::config::{IngressConfig, Listen, Network};
use crate::crowd::Crowd;
use crate::explain::Insight;
use crate::filter::rate::Limiter;
use crate::listen::{self, Lane, Listener, Seats};
use crate::metrics::Metrics;
use crate::peer::HttpsPort;
use crate::proxy::{Proxy, Shared};
use crate::route::RouteTable;
use crate::tls::{self, TlsError};
use crate::trace::{self, Exporter, TraceConfig, Traces};
use crate::turn;
use crate::worker::Worker;

/// Why the data plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {source}")]
    Bind { address: String, source: io::Error },
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A data plane that serves.
#[derive(Debug)]
pub struct Running {
    /// Bound addresses in the order of the configuration, with the ports that were picked.
    pub http: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    pub metrics: Metrics,
    /// What explanations of requests go by.
    pub insight: Insight,
    /// The sockets for http, then those for https, if they are to be shared; whoever holds them keeps them open.
    pub shared: Vec<TcpListener>,
    log: Option<LogWriter>,
    exporter: Option<Exporter>,
    threads: Vec<oneshot::Receiver<()>>,
}

impl Running {
    /// Waits until every thread has drained and ended, which `shutdown` sets off.
    pub async fn join(self) {
        for thread in self.threads {
            if thread.await.is_err() {
                tracing::error!("an ingress thread ended without its farewell");
            }
        }
        if let Some(log) = self.log {
            log.end().await;
        }
        if let Some(exporter) = self.exporter {
            exporter.end().await;
        }
    }

    /// What opens the access log anew, if it is a file that something renames.
    #[must_use]
    pub fn log_reopener(&self) -> Option<impl Fn() + Send + Sync + 'static> {
        self.log.as_ref().map(LogWriter::reopener)
    }
}

/// Binds, starts the workers and serves `routes` until `shutdown`.
///
/// # Errors
/// [`StartError`]; nothing is left running then.
pub fn start(
    config: IngressConfig,
    routes: Arc<ArcSwap<RouteTable>>,
    shutdown: CancellationToken,
) -> Result<Running, StartError> {
    let mut listeners = bind_all(config.http, false)?;
    let http = listeners.iter().map(|listener| listener.address).collect();
    let secure = bind_all(config.https, true)?;
    let https: Vec<SocketAddr> = secure.iter().map(|listener| listener.address).collect();
    let number = https.first().map_or(443, SocketAddr::port);
    let https_port = HttpsPort { number, named: config.heads.redirect_port };
    let tls = (!secure.is_empty()).then(|| tls::handshakes(routes.clone())).transpose()?;
    listeners.extend(secure);
    let shared = if config.share { shared(&listeners)? } else { Vec::new() };

    let workers = match config.workers {
        0 => thread::available_parallelism().map_or(1, usize::from),
        count => count,
    };
    let metrics = Metrics::new(workers);
    let (traces, exporter) = config.traces.map(|traces| export(traces, &metrics)).transpose()?.unzip();
    let Opened { journals, writer: log } =
        access::open(&config.access_log, traces.as_ref(), workers, metrics.lost_lines_counter())?;
    let freed = Arc::new(Notify::new());
    let trusted: Arc<[Network]> = config.trusted_proxies.into();
    let limiter = Arc::new(Limiter::default());
    let insight = Insight::new((config.limits.clone(), config.heads.clone()), trusted.clone(), limiter.clone());
    let (mut lanes, mut threads) = (Vec::new(), Vec::new());
    for number in 0..workers {
        let (sender, accepted) = mpsc::unbounded_channel();
        lanes.push(Lane { seats: Arc::new(Seats::new(freed.clone())), sender });
        let worker = Worker {
            proxy: Arc::new(Proxy::new(Shared {
                table: routes.clone(),
                shard: metrics.shard(number),
                limits: config.limits.clone(),
                timeouts: config.timeouts.clone(),
                heads: config.heads.clone(),
                journal: journals.get(number).cloned(),
                limiter: Arc::clone(&limiter),
            })),
            tls: tls.clone(),
            trusted: trusted.clone(),
            https: https_port,
            drain: shutdown.clone(),
        };
        threads.push(spawn(format!("ingress-{number}"), move |runtime| runtime.block_on(worker.run(accepted)))?);
    }
    let doors = Doors {
        listeners,
        lanes: lanes.into(),
        limit: config.limits.connections,
        crowd: Crowd::new(config.limits.connections_per_address, trusted),
        routes,
        hold: config.hold,
        shutdown,
    };
    threads.push(spawn("ingress-accept".to_owned(), move |runtime| runtime.block_on(doors.open()))?);
    Ok(Running { http, https, metrics, insight, shared, log, exporter, threads })
}

/// Where connections come in.
struct Doors {
    listeners: Vec<Listener>,
    /// Their senders live here alone: the end of this is what tells the workers to drain.
    lanes: Arc<[Lane]>,
    limit: usize,
    crowd: Arc<Crowd>,
    routes: Arc<ArcSwap<RouteTable>>,
    hold: Option<CancellationToken>,
    shutdown: CancellationToken,
}

impl Doors {
    /// Accepts until the shutdown, and checks endpoints meanwhile.
    async fn open(self) {
        let Self { listeners, lanes, limit, crowd, routes, hold, shutdown } = self;
        if let Some(hold) = hold
            && shutdown.run_until_cancelled(hold.cancelled()).await.is_none()
        {
            return;
        }
        let accept =
            |listener| tokio::spawn(listen::accept(listener, lanes.clone(), limit, crowd.clone(), shutdown.clone()));
        let acceptors: Vec<_> = listeners.into_iter().map(accept).collect();
        tokio::spawn(check::run(routes, shutdown.clone()));
        shutdown.cancelled().await;
        for acceptor in acceptors {
            if let Err(error) = acceptor.await {
                tracing::error!(%error, "an acceptor ended badly");
            }
        }
    }
}

/// Starts the thread that takes spans to their collector.
fn export(traces: TraceConfig, metrics: &Metrics) -> Result<(Arc<Traces>, Exporter), StartError> {
    let (begin, spans) = Traces::new(traces.ratio, metrics.lost_spans_counter());
    let (ends, lost) = (CancellationToken::new(), metrics.lost_spans_counter());
    let delivery = trace::run(traces.collector, spans, lost, ends.clone());
    let ended = spawn("ingress-traces".to_owned(), move |runtime| runtime.block_on(delivery))?;
    Ok((begin, Exporter::new(ends, ended)))
}

fn shared(listeners: &[Listener]) -> Result<Vec<TcpListener>, StartError> {
    let shared = |listener: &Listener| {
        let address = listener.address.to_string();
        listener.socket.try_clone().map_err(|source| StartError::Bind { address, source })
    };
    listeners.iter().map(shared).collect()
}

fn bind_all(addresses: Vec<Listen>, tls: bool) -> Result<Vec<Listener>, StartError> {
    let bind = |listen: Listen| {
        let address = listen.to_string();
        listen::bind(listen, tls).map_err(|source| StartError::Bind { address, source })
    };
    addresses.into_iter().map(bind).collect()
}

fn spawn(name: String, body: impl FnOnce(Runtime) + Send + 'static) -> Result<oneshot::Receiver<()>, StartError> {
    let runtime =
        Builder::new_current_thread().enable_all().on_thread_park(turn::passed).build().map_err(StartError::Thread)?;
    let (farewell, ended) = oneshot::channel();
    let run = move || {
        body(runtime);
        if farewell.send(()).is_err() {
            tracing::debug!("nobody waits for an ingress thread");
        }
    };
    thread::Builder::new().name(name).spawn(run).map_err(StartError::Thread)?;
    Ok(ended)
}
