//! Who is on the other side of a downstream connection, and whose requests it brings.
//!
//! Made once a connection; knows heads, no routes and no sockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::announce::Ends;
use crate::config::Network;

pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who is on the other side of a downstream connection, as header values made once per connection.
pub struct Peer {
    pub address: IpAddr,
    pub address_value: HeaderValue,
    pub port_value: HeaderValue,
    pub scheme: HeaderValue,
    /// The name that it asked for in the TLS handshake, lower case.
    pub server_name: Option<Box<str>>,
    /// The client's connection, for endpoints that are told of it.
    pub ends: Option<Ends>,
    /// Its own `X-Forwarded-*` are believed.
    pub trusted: bool,
    proxies: Arc<[Network]>,
    /// It speaks another protocol now.
    switched: AtomicBool,
}

impl Peer {
    /// The peer at `address`, on our `port`; believed if one of `proxies` holds it.
    #[must_use]
    pub fn new(address: IpAddr, port: u16, tls: bool, proxies: &Arc<[Network]>) -> Self {
        let address = address.to_canonical();
        let text = |text: String| HeaderValue::from_str(&text).expect("addresses and ports are header values");
        Self {
            address,
            address_value: text(address.to_string()),
            port_value: text(port.to_string()),
            scheme: HeaderValue::from_static(if tls { "https" } else { "http" }),
            server_name: None,
            ends: None,
            trusted: proxies.iter().any(|network| network.holds(address)),
            proxies: proxies.clone(),
            switched: AtomicBool::new(false),
        }
    }

    /// The connection is a tunnel from here on.
    pub fn switch(&self) {
        self.switched.store(true, Ordering::Relaxed);
    }

    /// Whether the connection is a tunnel.
    #[must_use]
    pub fn has_switched(&self) -> bool {
        self.switched.load(Ordering::Relaxed)
    }

    /// Who sent a request: the peer, or the nearest one before it that no trusted proxy speaks for.
    ///
    /// Walks `X-Forwarded-For` from the right, since whatever stands left of an untrusted hop is that hop's word.
    #[must_use]
    pub fn client(&self, headers: &HeaderMap) -> IpAddr {
        let mut found = self.address;
        if !self.trusted {
            return found;
        }
        for field in headers.get_all(X_FORWARDED_FOR).iter().rev() {
            for hop in field.as_bytes().rsplit(|byte| *byte == b',') {
                let Some(address) = hop_address(hop) else { return found };
                found = address;
                if !self.proxies.iter().any(|network| network.holds(address)) {
                    return found;
                }
            }
        }
        found
    }
}

/// An address as proxies write it: bare, in brackets, with a port.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address: Option<IpAddr> = text.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    address.or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}
