//! What a request meets between its route and its endpoint: answers of ours instead of an endpoint's, and what is changed.
//!
//! In the order of ingress-nginx's phases: rewrite, limits, access. Pure, but for what `rate` counts and `password` waits for.

mod access;
mod answer;
pub mod bearer;
mod cors;
pub mod mutual;
pub mod password;
pub mod rate;
mod redirect;
pub mod rewrite;

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use crate::clock;
use crate::peer::Peer;
use crate::refusal::Refusal;
use crate::route::mutual::Mutual;
use crate::route::policy::Policy;
use crate::route::{Found, Route, RouteTable};
use rate::{Limiter, Open};

pub use access::refuses;
pub use answer::rewrite as rewrite_answer;

/// A request that has its route.
pub struct Arrived<'a> {
    pub parts: &'a Parts,
    /// As routes are looked up.
    pub host: &'a str,
    pub peer: &'a Peer,
    pub route: &'a Route,
    /// What its host asks of clients.
    pub mutual: Option<&'a Arc<Mutual>>,
    pub table: &'a RouteTable,
}

/// A request that may go on.
pub struct Admitted {
    pub open: Option<Open>,
    /// It has to show who it is.
    pub proves: bool,
    /// What came of its client's certificate, where one is asked for.
    pub shown: mutual::Shown,
}

/// Why a request goes no further.
pub enum Stop {
    Refusal(Refusal),
    Reply(Box<Reply>),
}

/// An answer of a policy.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// For the access line.
    pub reason: &'static str,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl Reply {
    pub fn new<const N: usize>(
        status: StatusCode,
        reason: &'static str,
        headers: [(HeaderName, HeaderValue); N],
    ) -> Box<Self> {
        Box::new(Self { status, headers: headers.into_iter().collect(), reason })
    }
}

/// Lets a request pass, or answers it.
///
/// # Errors
/// The answer.
pub fn admit(arrived: &Arrived<'_>, limiter: &Arc<Limiter>) -> Result<Admitted, Stop> {
    let policy = &*arrived.route.policy;
    let shown = mutual::over_tls(arrived)?;
    if let Some(why) = policy.closed {
        return Err(Refusal { status: StatusCode::SERVICE_UNAVAILABLE, reason: why, close: false }.into());
    }
    redirect::to_proper_host(arrived)?;
    redirect::app_root(arrived)?;
    cors::preflight(arrived)?;
    redirect::elsewhere(arrived)?;
    redirect::to_https(arrived)?;
    let shown = mutual::without_tls(arrived, shown)?;
    let remote = arrived.remote();
    let open = match &policy.limits {
        Some(limits) => limiter.admit((limits, &arrived.route.ingress), remote, clock::now())?,
        None => None,
    };
    let listed = policy.access.allowed.is_some() || !policy.access.denied.is_empty();
    let access = access::check(&policy.access, remote);
    let proves = policy.users.is_some() || policy.bearer.is_some() || arrived.route.extauth.is_some();
    if !(policy.satisfied_by_any && proves && listed) {
        access?;
        return Ok(Admitted { open, proves, shown });
    }
    Ok(Admitted { open, proves: access.is_err(), shown })
}

/// Whether a request of `peer` for `host` may have to come over HTTPS instead.
#[must_use]
pub fn sends_to_https(policy: &Policy, table: &RouteTable, (peer, host): (&Peer, &str)) -> bool {
    peer.scheme == "http" && redirect::belongs_to_https(&policy.https, table, host)
}

/// The target that the endpoint sees, where the policy has another one than was asked for.
///
/// # Errors
/// 400 where the path makes none.
pub fn rewritten(found: &Found<'_>, path: &str, query: Option<&str>) -> Result<Option<PathAndQuery>, Refusal> {
    let Some(rewrite) = &found.route.policy.rewrite else { return Ok(None) };
    let Some(groups) = found.groups(path) else { return Ok(None) };
    rewrite::target(rewrite, &groups, query).map(Some)
}

/// Changes what the endpoint gets to see.
pub fn rewrite_request(policy: &Policy, parts: &mut Parts, target: Option<PathAndQuery>) {
    if let Some(target) = target {
        parts.uri = Uri::from(target);
    }
    if policy.users.is_some() {
        // The password was for us.
        parts.headers.remove(http::header::AUTHORIZATION);
    }
    if let Some(host) = &policy.upstream_host {
        parts.headers.insert(http::header::HOST, host.clone());
    }
    if let Some(prefix) = &policy.forwarded_prefix {
        parts.headers.insert("x-forwarded-prefix", prefix.clone());
    }
    if let Some(connection) = policy.connection.as_ref().filter(|_| !parts.headers.contains_key(http::header::UPGRADE))
    {
        parts.headers.insert(http::header::CONNECTION, connection.clone());
    }
    if let Some(rules) = &policy.requests {
        for name in &rules.unset {
            parts.headers.remove(name);
        }
        for (name, value) in &rules.set {
            parts.headers.insert(name, value.clone());
        }
    }
}

impl<'a> Arrived<'a> {
    /// A request, as it came, and where it leads.
    pub fn new(found: &Found<'a>, (parts, host): (&'a Parts, &'a str), peer: &'a Peer, table: &'a RouteTable) -> Self {
        Self { parts, host, peer, route: found.route, mutual: found.mutual, table }
    }

    /// The address of the client, as far as it is believed: what the nearest trusted proxy says, or the peer.
    fn remote(&self) -> IpAddr {
        self.peer.client(&self.parts.headers)
    }

    /// Whether the client came over plain HTTP.
    fn plain(&self) -> bool {
        is_plain(self.parts, self.peer)
    }
}

/// Whether the client came over plain HTTP, as far as a trusted proxy in front of us says.
pub fn is_plain(parts: &Parts, peer: &Peer) -> bool {
    let told = parts.headers.get("x-forwarded-proto").filter(|_| peer.trusted);
    match told {
        Some(scheme) => scheme.as_bytes().eq_ignore_ascii_case(b"http"),
        None => peer.scheme.as_bytes() == b"http",
    }
}
