//! The edge: sockets in, sockets out, around the pure `answer`.
//! Knows transports and limits; must not know what is in a zone.

mod tcp;
mod udp;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::answer::{Transport, Turn};
use crate::config::{DnsConfig, DnsError};
use crate::metrics::Metrics;
use crate::zone::Zone;

/// What an address may queue while its thread is busy, in bytes: some thousand queries.
const UDP_BUFFER: usize = 1024 * 1024;
/// What TCP may queue before it is accepted.
const BACKLOG: i32 = 1024;
/// How often port 0 is tried again when the port that TCP got is taken for UDP.
const PORT_ATTEMPTS: usize = 32;
/// How long one client sees the same part of a long list, in seconds: two lookups of one connect.
const PART_SECONDS: u64 = 5;

/// Open listeners that do not answer yet.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<(TcpListener, Vec<UdpSocket>)>,
    addresses: Vec<SocketAddr>,
    config: DnsConfig,
    metrics: Metrics,
    shards: Vec<(Arc<crate::metrics::Shard>, Vec<Arc<crate::metrics::Shard>>)>,
}

/// Opens every listener of `config`.
///
/// # Errors
/// `Bind` names the address that cannot be had.
pub fn bind(config: DnsConfig) -> Result<Bound, DnsError> {
    if config.listen.is_empty() {
        return Err(DnsError::NoAddress);
    }
    let mut bound =
        Bound { sockets: Vec::new(), addresses: Vec::new(), config, metrics: Metrics::default(), shards: Vec::new() };
    for address in bound.config.listen.clone() {
        let (address, tcp, udp) = bind_both(address, bound.config.udp_threads.max(1))?;
        let shards = udp.iter().map(|_| bound.metrics.shard(Transport::Udp)).collect();
        bound.shards.push((bound.metrics.shard(Transport::Tcp), shards));
        bound.addresses.push(address);
        bound.sockets.push((tcp, udp));
    }
    Ok(bound)
}

/// Binds and answers until `shutdown`; see [`Bound::serve`].
///
/// # Errors
/// As [`bind`] and [`Bound::serve`].
pub async fn serve(config: DnsConfig, zones: Arc<ArcSwap<Zone>>, shutdown: CancellationToken) -> Result<(), DnsError> {
    bind(config)?.serve(zones, shutdown).await
}

impl Bound {
    /// The addresses, in the order of the configuration, with the ports that were picked.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The counters of everything that these listeners will answer.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Answers from the newest zone until `shutdown`; then closes the sockets.
    ///
    /// # Errors
    /// When a listener ends by itself: serving goes down as a whole rather than in part.
    pub async fn serve(self, zones: Arc<ArcSwap<Zone>>, shutdown: CancellationToken) -> Result<(), DnsError> {
        let turns = Turns::new();
        let mut tasks = JoinSet::new();
        for (((tcp, udp), (tcp_shard, udp_shards)), address) in
            self.sockets.into_iter().zip(self.shards).zip(self.addresses)
        {
            info!(%address, threads = udp.len(), "DNS listening");
            let listener = tokio::net::TcpListener::from_std(tcp).map_err(|source| DnsError::Bind {
                address,
                transport: "TCP",
                source,
            })?;
            let seat = tcp::Seat {
                zones: Arc::clone(&zones),
                turns: turns.clone(),
                shard: tcp_shard,
                limits: self.config.tcp,
            };
            tasks.spawn(tcp::serve(listener, seat, shutdown.clone()));
            for (socket, shard) in udp.into_iter().zip(udp_shards) {
                let seat = udp::Seat { zones: Arc::clone(&zones), turns: turns.clone(), shard };
                tasks.spawn(udp::serve(socket, seat, shutdown.clone()));
            }
        }
        let mut result = Ok(());
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.unwrap_or_else(|panic| Err(DnsError::Ended(panic.to_string())));
            if ended.is_err() && result.is_ok() {
                result = ended;
            }
            shutdown.cancel();
        }
        result
    }
}

/// TCP and UDP on one address, with the same port.
fn bind_both(address: SocketAddr, threads: usize) -> Result<(SocketAddr, TcpListener, Vec<UdpSocket>), DnsError> {
    let attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
    let mut failed = None;
    for _ in 0..attempts {
        let bind = |transport, source| DnsError::Bind { address, transport, source };
        let tcp = bind_tcp(address).map_err(|source| bind("TCP", source))?;
        let local = tcp.local_addr().map_err(|source| bind("TCP", source))?;
        match (0..threads).map(|_| bind_udp(local, threads > 1)).collect() {
            Ok(udp) => return Ok((local, tcp, udp)),
            Err(source) => failed = Some(bind("UDP", source)),
        }
    }
    Err(failed.unwrap_or(DnsError::NoAddress))
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_udp(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Only among our own threads: otherwise a second process could take a share of the queries.
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_recv_buffer_size(UDP_BUFFER)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Where the turns of answers come from: the client's address and the time.
#[derive(Clone)]
struct Turns {
    keys: RandomState,
    since: Instant,
}

impl Turns {
    fn new() -> Self {
        Self { keys: RandomState::new(), since: Instant::now() }
    }

    /// `first` is the caller's own running number.
    fn next(&self, asker: IpAddr, first: u32) -> Turn {
        let mut hasher = self.keys.build_hasher();
        match asker {
            IpAddr::V4(v4) => hasher.write_u32(v4.to_bits()),
            IpAddr::V6(v6) => hasher.write_u128(v6.to_bits()),
        }
        hasher.write_u64(self.since.elapsed().as_secs() / PART_SECONDS);
        Turn { part: (hasher.finish() >> 32) as u32, first }
    }
}
