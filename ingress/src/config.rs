//! What the composition root decides about the data plane: addresses, limits, timeouts, whom to trust.
//!
//! Plain values with reasons for their defaults; reads no flags and no files.

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use tokio_util::sync::CancellationToken;

use crate::route::BuildOptions;
use crate::trace::TraceConfig;

/// Where a listener gets its socket from.
#[derive(Debug)]
pub enum Listen {
    /// Bound by the data plane; port 0 picks a free one.
    Address(SocketAddr),
    /// Bound by somebody else and handed over, already listening.
    Socket(TcpListener),
    /// Trusted peers begin each connection with a PROXY header, version 1 or 2; from others nothing of the kind is believed.
    Announced(Box<Listen>),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Socket(_) => f.write_str("a socket that was handed over"),
            Self::Announced(listen) => listen.fmt(f),
        }
    }
}

/// Everything [`crate::start`] needs to know.
#[derive(Debug, Default)]
pub struct IngressConfig {
    pub http: Vec<Listen>,
    pub https: Vec<Listen>,
    /// Threads with a runtime of their own; 0 means one per core.
    pub workers: usize,
    /// Addresses written into `status.loadBalancer` of our Ingresses: IP addresses or host names.
    pub publish_addresses: Vec<String>,
    /// Peers whose `X-Forwarded-*` is believed and extended; everybody else's is replaced.
    pub trusted_proxies: Vec<Network>,
    pub access_log: AccessLog,
    /// `None` traces nothing; traces of clients pass.
    pub traces: Option<TraceConfig>,
    pub build: BuildOptions,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub heads: HeadRules,
    /// Nothing is accepted before this is cancelled: connections wait in the sockets.
    pub hold: Option<CancellationToken>,
    /// [`crate::Running::shared`] gets the sockets, too, for another process.
    pub share: bool,
}

/// Which requests leave a line, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    pub target: LogTarget,
    pub format: LogFormat,
    /// One request in this many; 0 is none.
    pub every: u32,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { target: LogTarget::Off, format: LogFormat::Json, every: 1 }
    }
}

/// Where the access log goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LogTarget {
    #[default]
    Off,
    Stdout,
    /// Appended to; opened anew once it was renamed away.
    File(PathBuf),
}

/// How a line of the access log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object.
    #[default]
    Json,
    /// As nginx and Apache write it.
    Combined,
}

/// What heads may say, and what is said in them, beyond what HTTP itself decides.
#[derive(Debug, Clone)]
pub struct HeadRules {
    /// Bytes of a request target; more is a 414.
    pub target_bytes: usize,
    /// Names with `_` pass. Servers of the CGI family read `_` as `-`, so they could pass for fields of ours.
    pub underscores: bool,
    /// TRACE is forwarded; otherwise it is a 405.
    pub trace: bool,
    /// `Forwarded` (RFC 7239) is sent beside `X-Forwarded-*`.
    pub forwarded: bool,
    /// Our name in `Via`; a request that already bears it goes in circles and is a 508. `None` sends no `Via`.
    pub via: Option<HeaderValue>,
    /// `Server` of answers that bring none.
    pub server: Option<HeaderValue>,
    /// `Strict-Transport-Security` of answers that bring none, over TLS, of hosts with a certificate of their own.
    pub hsts: Option<HeaderValue>,
    /// Redirects to HTTPS name the port of the TLS listener, also where their Ingress does not ask for that.
    pub redirect_port: bool,
}

impl Default for HeadRules {
    fn default() -> Self {
        Self {
            target_bytes: 32 * 1024,
            underscores: false,
            trace: false,
            forwarded: false,
            via: None,
            server: Some(HeaderValue::from_static("fedgate")),
            hsts: Some(HeaderValue::from_static("max-age=31536000; includeSubDomains")),
            redirect_port: false,
        }
    }
}

/// Bounds on what one peer can make us hold.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a request's or answer's head; more is a 431 or a 502.
    pub head_bytes: usize,
    /// Fields of a request's head; more is a 431.
    pub head_fields: usize,
    /// Bytes of a request body; more is a 413. `None` streams without end, since nothing is buffered.
    pub body_bytes: Option<u64>,
    /// Open downstream connections of one worker; more wait in the accept queue.
    pub connections: usize,
    /// Open downstream connections of one address (IPv6: of one /64), trusted proxies excepted; further ones are closed.
    pub connections_per_address: Option<usize>,
    /// How fast a request body must come on average. `None` lets it take its time, as long as it moves.
    pub body_rate: Option<BodyRate>,
    /// Endpoints tried for one request, the first included.
    pub attempts: usize,
    /// Idle upstream connections kept per endpoint and worker.
    pub idle_per_endpoint: usize,
}

/// A pace below which a sender means to hold a connection rather than to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyRate {
    pub bytes_per_second: u64,
    /// From when on it counts.
    pub after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            head_fields: 100,
            body_bytes: None,
            connections: 16 * 1024,
            // Half of what one worker holds: nobody can take all places alone.
            connections_per_address: Some(8 * 1024),
            body_rate: None,
            attempts: 5,
            idle_per_endpoint: 256,
        }
    }
}

/// How long each side may keep us waiting.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// From the first wait for a request to the end of its head; so also the keep-alive time downstream.
    pub head: Duration,
    /// Age at which a client's connection takes no further request: clients spread anew over replicas that came later.
    pub connection: Duration,
    /// TLS handshake with a client.
    pub handshake: Duration,
    /// TCP connect to an endpoint: short, since another endpoint can answer.
    pub connect: Duration,
    /// Bytes that an endpoint's machine does not acknowledge, where the request cannot be sent elsewhere, and in tunnels:
    /// a member that vanished takes its connections along.
    pub unacknowledged: Duration,
    /// From the request being handed over to the head of the answer.
    pub response: Duration,
    /// Between two pieces of a body, and for a write that does not move, in either direction.
    pub idle: Duration,
    /// Between two pieces of an upgraded connection.
    pub tunnel: Duration,
    /// Unused upstream connections: below the shortest common server keep-alive (5 s).
    pub keep_alive: Duration,
    /// Requests and tunnels in flight at shutdown.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(60),
            connection: Duration::from_secs(3600),
            handshake: Duration::from_secs(10),
            connect: Duration::from_secs(1),
            unacknowledged: Duration::from_secs(3),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            tunnel: Duration::from_secs(3600),
            keep_alive: Duration::from_secs(4),
            drain: Duration::from_secs(30),
        }
    }
}

/// An address range in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: u128,
    mask: u128,
    v4: bool,
}

/// A text that is no address range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address range such as 10.0.0.0/8 or fd00::/8")]
pub struct NetworkError(String);

impl Network {
    /// Whether the range holds `address`; IPv4 in IPv6 form counts as IPv4.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        let (bits, v4) = bits(address.to_canonical());
        v4 == self.v4 && bits & self.mask == self.base
    }
}

impl std::str::FromStr for Network {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError(text.to_owned());
        let (address, length) = text.split_once('/').ok_or_else(wrong)?;
        let (base, v4) = bits(address.parse().map_err(|_| wrong())?);
        let width = if v4 { 32 } else { 128 };
        let length: u32 = length.parse().ok().filter(|length| *length <= width).ok_or_else(wrong)?;
        let whole = if v4 { u128::from(u32::MAX) } else { u128::MAX };
        let mask = whole & !whole.checked_shr(length).unwrap_or(0);
        Ok(Self { base: base & mask, mask, v4 })
    }
}

fn bits(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), true),
        IpAddr::V6(v6) => (u128::from(v6), false),
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn ranges_hold_what_they_say() {
        for (range, address, wanted) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.1.2.3/8", "10.0.0.0", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("127.0.0.1/32", "127.0.0.1", true),
            ("127.0.0.1/32", "127.0.0.2", false),
            ("fd00::/8", "fdff::1", true),
            ("::/0", "::1", true),
            ("::1/128", "::1", true),
            ("::1/128", "::2", false),
        ] {
            let network: Network = range.parse().expect(range);
            assert_eq!(network.holds(address.parse().expect(address)), wanted, "{range} {address}");
        }
        for bad in ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/-1", "::/129", ""] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
