//! Who is on the other side of a downstream connection, and whose requests it brings.
//!
//! Made once a connection; knows heads, no routes and no sockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::announce::Ends;
use crate::clock;
use crate::config::Network;
use crate::route::mutual::{Mutual, Verdict};

pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The port of HTTPS, and whether redirects name it where nobody asks for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpsPort {
    pub number: u16,
    pub named: bool,
}

impl Default for HttpsPort {
    fn default() -> Self {
        Self { number: 443, named: false }
    }
}

/// How long a verdict on a certificate is believed: authorities, lists and time go on while a connection stays.
const JUDGED: Duration = Duration::from_secs(10);

/// What a client has shown of itself in its handshake.
#[derive(Default)]
pub struct Presented {
    /// It was asked.
    pub asked: bool,
    /// Its own certificate comes first; that it has the key is proved.
    pub chain: Vec<CertificateDer<'static>>,
    /// Guards the last verdict; held for a comparison or a clone.
    judged: Mutex<Option<Judged>>,
}

struct Judged {
    by: Arc<Mutual>,
    verdict: Arc<Verdict>,
    /// As the clock counts.
    until: u64,
}

/// Who is on the other side of a downstream connection, as header values made once per connection.
pub struct Peer {
    pub address: IpAddr,
    pub address_value: HeaderValue,
    pub port_value: HeaderValue,
    pub scheme: HeaderValue,
    /// The name that it asked for in the TLS handshake, lower case.
    pub server_name: Option<Box<str>>,
    /// Of the same handshake, where hosts ask for certificates.
    pub presented: Option<Presented>,
    /// The client's connection, for endpoints that are told of it.
    pub ends: Option<Ends>,
    /// Its own `X-Forwarded-*` are believed.
    pub trusted: bool,
    /// What its answers say of HTTPS where they do not say it themselves.
    pub promise: Option<HeaderValue>,
    /// Where HTTPS is.
    pub https: HttpsPort,
    /// When its connection was accepted.
    pub since: Instant,
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
            presented: None,
            ends: None,
            trusted: proxies.iter().any(|network| network.holds(address)),
            promise: None,
            https: HttpsPort::default(),
            since: Instant::now(),
            proxies: proxies.clone(),
            switched: AtomicBool::new(false),
        }
    }

    /// Promises HTTPS in an answer that says nothing of it.
    #[inline]
    pub fn promise(&self, headers: &mut HeaderMap) {
        if let Some(promise) = &self.promise {
            headers.entry(STRICT_TRANSPORT_SECURITY).or_insert_with(|| promise.clone());
        }
    }

    /// What comes of its certificate by these rules.
    #[must_use]
    pub fn judged(&self, rules: &Arc<Mutual>) -> Arc<Verdict> {
        let Some(presented) = &self.presented else { return Arc::new(rules.judge(&[], UnixTime::now())) };
        presented.judge(rules)
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

impl Presented {
    /// What was shown, or that nothing was, to somebody who had `asked` for it.
    #[must_use]
    pub fn new(asked: bool, chain: Vec<CertificateDer<'static>>) -> Self {
        Self { asked, chain, judged: Mutex::default() }
    }

    fn judge(&self, rules: &Arc<Mutual>) -> Arc<Verdict> {
        let now = clock::now();
        if let Some(Judged { by, verdict, until }) = &*self.judged.lock()
            && Arc::ptr_eq(by, rules)
            && now < *until
        {
            return Arc::clone(verdict);
        }
        let time = UnixTime::now();
        let verdict = Arc::new(rules.judge(&self.chain, time));
        let left = Duration::from_secs(verdict.until.saturating_sub(time.as_secs())).min(JUDGED);
        let until = now.saturating_add(u64::try_from(left.as_millis()).unwrap_or(0));
        *self.judged.lock() = Some(Judged { by: Arc::clone(rules), verdict: Arc::clone(&verdict), until });
        verdict
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
