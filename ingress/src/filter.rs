//! What a request meets between its route and its endpoint: answers of ours instead of an endpoint's, and what is changed.
//!
//! In the order of ingress-nginx's phases: rewrite, limits, access. Each is a pure function of the policy and the head.

mod access;
mod answer;
mod cors;
pub mod rate;
mod redirect;
pub mod rewrite;

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use tokio::sync::Semaphore;

use crate::clock;
use crate::peer::Peer;
use crate::refusal::Refusal;
use crate::route::basic::{BasicAuth, Standing};
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
    pub table: &'a RouteTable,
}

/// Passwords that are proved at once, whoever shows them: a flood of wrong ones leaves cores to requests.
static PROOFS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));
/// Requests that wait for the proof of a password; more are sent away.
const WAITING_MAX: usize = 64;
static WAITING: AtomicUsize = AtomicUsize::new(0);

const BUSY: Refusal =
    Refusal { status: StatusCode::SERVICE_UNAVAILABLE, reason: "too many passwords are being proved", close: false };

/// One that waits, until it is dropped.
struct Waits;

impl Waits {
    fn begin() -> Option<Self> {
        let waits = Self;
        (WAITING.fetch_add(1, Ordering::Relaxed) < WAITING_MAX).then_some(waits)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that may go on.
pub struct Admitted {
    pub open: Option<Open>,
    /// It has to show who it is.
    pub proves: bool,
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
    if let Some(why) = policy.closed {
        return Err(Refusal { status: StatusCode::SERVICE_UNAVAILABLE, reason: why, close: false }.into());
    }
    redirect::to_proper_host(arrived)?;
    redirect::app_root(arrived)?;
    cors::preflight(arrived)?;
    redirect::elsewhere(arrived)?;
    redirect::to_https(arrived)?;
    let remote = arrived.remote();
    let open = match &policy.limits {
        Some(limits) => limiter.admit((limits, &arrived.route.ingress), remote, clock::now())?,
        None => None,
    };
    let listed = policy.access.allowed.is_some() || !policy.access.denied.is_empty();
    let access = access::check(&policy.access, remote);
    let proves = policy.users.is_some() || arrived.route.extauth.is_some();
    if !(policy.satisfied_by_any && proves && listed) {
        access?;
        return Ok(Admitted { open, proves });
    }
    Ok(Admitted { open, proves: access.is_err() })
}

/// Lets in who shows the password of a user.
///
/// # Errors
/// 401.
pub async fn prove(users: &Arc<BasicAuth>, authorization: Option<&HeaderValue>) -> Result<(), Stop> {
    let right = match users.judge(authorization) {
        Standing::Right => true,
        Standing::Wrong => false,
        Standing::Open(credentials) => {
            let _waits = Waits::begin().ok_or(BUSY)?;
            // One of each list at a time, so that nobody's passwords keep everybody else's waiting.
            let own = Arc::clone(users.turn()).acquire_owned().await;
            let turn = Arc::clone(&PROOFS).acquire_owned().await;
            let users = Arc::clone(users);
            // A password that is stored well takes a tenth of a second: no worker can wait for that. The turns go along,
            // since a client that leaves does not end the work.
            let prove = move || {
                let right = users.prove(&credentials);
                drop((own, turn));
                right
            };
            tokio::task::spawn_blocking(prove).await.unwrap_or(false)
        }
    };
    if right {
        return Ok(());
    }
    let challenge = (WWW_AUTHENTICATE, users.challenge().clone());
    Err(Stop::Reply(Reply::new(StatusCode::UNAUTHORIZED, "no user with this password", [challenge])))
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
}

impl Arrived<'_> {
    /// The address of the client, as far as it is believed: what the nearest trusted proxy says, or the peer.
    fn remote(&self) -> IpAddr {
        self.peer.client(&self.parts.headers)
    }

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
