//! The L7 data plane: listeners, TLS and SNI, route table, balancing, forwarding.
//!
//! # The life of a request
//! accept (`listen`) → worker (`worker`) → TLS by SNI (`tls`) → inspect the head (`proxy::head`) → route (`route`)
//! → pick an endpoint (`route::backend`) → exchange over a kept or a new connection, elsewhere if the first refuses
//! (`proxy::upstream`) → stream the answer back (`proxy::body`) → count it and perhaps leave a line for the log's writer (`metrics`, `access`),
//! and one for the collector of traces (`trace`).
//!
//! HTTP/1.1 with a small body, and HTTP/2 without one, on a route that asks for nothing take a short way instead (`express`): the same
//! route, endpoint, log and metrics; what needs a decision, and what failed, is handed to the way above.
//!
//! A tunnel (an upgrade, or TLS that passes through) between plain sockets leaves the worker's runtime for a loop of its own
//! (`proxy::tunnel::carrier`); its task only waits for its end.
//!
//! # How routes get here
//! [`Watcher`] follows the hub, [`build`] compiles a [`Snapshot`] into a [`RouteTable`], which is swapped
//! as a whole; a request loads it once.
//!
//! # Invariants
//! - Never talks to a member's API server and holds no member credentials.
//! - A worker's requests share nothing with other workers but the route table and endpoint health.
//! - An absence of endpoints is believed only of clusters that said they are complete; the last snapshot goes on.
//! - No text templates: what a user writes into an Ingress is compared, or is the plain value of a field; it is never run.

mod access;
mod alarm;
pub mod annotation;
mod announce;
mod check;
mod clock;
pub mod config;
mod crowd;
pub mod explain;
mod express;
pub mod failure;
mod filter;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod import;
mod listen;
pub mod metrics;
mod peer;
mod proxy;
pub mod publish;
mod refusal;
pub mod route;
pub mod secret;
mod serve;
pub mod snapshot;
mod sniff;
mod stall;
mod stream;
mod tls;
pub mod trace;
mod turn;
pub mod watch;
mod worker;

pub use access::LogError;
pub use config::{
    AccessLog, BodyRate, HeadRules, IngressConfig, Limits, Listen, LogFormat, LogTarget, Network, Timeouts,
};
pub use metrics::Metrics;
pub use publish::publish;
pub use route::{Balance, BuildOptions, Entry, ExternalNameError, ExternalNames, Locality, Problem, RouteTable, build};
pub use secret::NamedSecrets;
pub use serve::{Running, StartError, start};
pub use snapshot::Snapshot;
pub use watch::{Outcome, WatchConfig, Watcher};
