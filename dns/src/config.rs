//! What can be chosen about the listeners, and why they may fail.

use std::net::SocketAddr;
use std::time::Duration;

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct DnsConfig {
    /// Each is opened for UDP and for TCP; port 0 picks one that is free for both. On a machine with
    /// several addresses name each of them: an answer leaves from the address of its socket.
    pub listen: Vec<SocketAddr>,
    /// UDP sockets (and threads) an address. The kernel spreads clients over them.
    pub udp_threads: usize,
    pub tcp: TcpLimits,
}

impl DnsConfig {
    /// One thread an address, default limits.
    #[must_use]
    pub fn new(listen: Vec<SocketAddr>) -> Self {
        Self { listen, udp_threads: 1, tcp: TcpLimits::default() }
    }
}

/// What TCP clients may cost.
#[derive(Debug, Clone, Copy)]
pub struct TcpLimits {
    /// Connections at once; more wait in the kernel's queue. Default 512, each about 10 kB.
    pub connections: usize,
    /// Connections of one address at once; more are closed. Default 64.
    pub per_address: usize,
    /// How long a connection may say nothing. Default 10 s (RFC 7766 §6.2.3: few seconds).
    pub idle: Duration,
    /// Queries on one connection, then it is closed. Default 10,000.
    pub queries: u32,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self { connections: 512, per_address: 64, idle: Duration::from_secs(10), queries: 10_000 }
    }
}

/// Why DNS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error("no address to listen on")]
    NoAddress,
    #[error("cannot listen on {address} ({transport}): {source}")]
    Bind { address: SocketAddr, transport: &'static str, source: std::io::Error },
    #[error("cannot start a DNS thread: {0}")]
    Thread(std::io::Error),
    #[error("a DNS listener ended: {0}")]
    Ended(String),
}
