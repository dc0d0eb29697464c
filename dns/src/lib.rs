//! The DNS data plane: names of services of all clusters, answered from one immutable zone.
//!
//! # The life of a query
//! packet → `wire::Query` (every malformed byte is refused here) → [`answer`] looks the name up in the
//! [`Zone`] and writes the answer → packet. UDP has a thread a socket, TCP a task a connection.
//!
//! # How names get here
//! [`follow`] watches the hub, [`build`] makes a [`Zone`] of what it sees, which is swapped as a whole.
//!
//! # Invariants
//! - Never talks to a member's API server and holds no member credentials.
//! - [`build`] and [`answer`] are pure: no clock, no randomness, no I/O.
//! - An absence of endpoints is believed only of clusters that said they are complete; before anything
//!   is known the answer is SERVFAIL, never "no such name".
//! - What is not a query is not answered; no answer is longer than 1232 bytes over UDP.
#![forbid(unsafe_code)]

mod answer;
mod config;
mod follow;
mod metrics;
mod name;
mod server;
mod wire;
mod zone;

pub use answer::{Transport, Turn, answer};
pub use config::{DnsConfig, DnsError, TcpLimits};
pub use follow::{FollowOptions, follow};
pub use metrics::Metrics;
pub use server::{Bound, bind, serve};
pub use wire::Rcode;
pub use zone::{Service, Zone, ZoneOptions, build};
