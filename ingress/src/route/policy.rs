//! What an Ingress asks for beyond "this host and path go to that service": compiled once, read by each request of its routes.
//!
//! Values only. Annotations become a [`Policy`] in `annotation`, requests meet it in `filter`.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

use crate::config::Network;
use crate::route::basic::BasicAuth;
use crate::route::bearer::Bearer;

/// The rules of one Ingress.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Why nothing is let through: a rule that guards could not be read.
    pub closed: Option<&'static str>,
    /// Where `/` sends to.
    pub app_root: Option<HeaderValue>,
    /// Every request is sent elsewhere.
    pub redirect: Option<Redirect>,
    pub https: Https,
    /// The host that requests belong to instead of this one.
    pub proper_host: Option<Box<str>>,
    pub cors: Option<Box<Cors>>,
    pub access: Access,
    /// Who comes from an allowed address needs no password, and the other way round.
    pub satisfied_by_any: bool,
    pub users: Option<Arc<BasicAuth>>,
    pub bearer: Option<Arc<Bearer>>,
    pub limits: Option<Box<RateLimits>>,
    /// The `Host` that endpoints see.
    pub upstream_host: Option<HeaderValue>,
    /// `X-Forwarded-Prefix`
    pub forwarded_prefix: Option<HeaderValue>,
    /// The path that endpoints see.
    pub rewrite: Option<Rewrite>,
    pub bodies: BodyLimit,
    pub waits: Waits,
    /// As the Service says, where the Ingress does not.
    pub protocol: Option<Protocol>,
    /// TLS for the hosts of the Ingress is ended by the endpoints.
    pub passthrough: bool,
    /// Whether requests may get an access line.
    pub logged: bool,
    /// Its requests may be traced.
    pub traced: bool,
    /// Changes of the heads of answers.
    pub answers: Option<Box<AnswerRules>>,
    /// Changes of what endpoints see.
    pub requests: Option<Box<RequestRules>>,
    /// `Connection` towards endpoints.
    pub connection: Option<HeaderValue>,
    /// How fast answers go out.
    pub rate: Option<AnswerRate>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            closed: None,
            app_root: None,
            redirect: None,
            https: Https::default(),
            proper_host: None,
            cors: None,
            access: Access::default(),
            satisfied_by_any: false,
            users: None,
            bearer: None,
            limits: None,
            upstream_host: None,
            forwarded_prefix: None,
            rewrite: None,
            bodies: BodyLimit::default(),
            waits: Waits::default(),
            protocol: None,
            passthrough: false,
            logged: true,
            traced: true,
            answers: None,
            requests: None,
            connection: None,
            rate: None,
        }
    }
}

impl Policy {
    /// Whether requests and their answers pass as they are, but for those that belong to HTTPS or are too large.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let Self {
            closed,
            app_root,
            redirect,
            https: _,
            proper_host,
            cors,
            access,
            satisfied_by_any: _,
            users,
            bearer,
            limits,
            upstream_host,
            forwarded_prefix,
            rewrite,
            bodies: _,
            waits,
            protocol: _,
            passthrough,
            logged: _,
            traced: _,
            answers,
            requests,
            connection,
            rate,
        } = self;
        let open = closed.is_none() && users.is_none() && bearer.is_none() && limits.is_none() && access.is_open();
        let here = app_root.is_none() && redirect.is_none() && proper_host.is_none() && !passthrough;
        let asked = upstream_host.is_none() && forwarded_prefix.is_none() && rewrite.is_none();
        let told = cors.is_none() && answers.is_none() && rate.is_none();
        open && here && asked && told && requests.is_none() && connection.is_none() && waits.connect.is_none()
    }

    /// Whether it keeps somebody out.
    #[must_use]
    pub fn guards(&self) -> bool {
        self.closed.is_some() || self.users.is_some() || self.bearer.is_some() || self.access != Access::default()
    }
}

/// What is answered instead of being forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    pub status: StatusCode,
    pub to: HeaderValue,
}

/// Whether plain requests are sent to HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Https {
    pub when: WhenHttps,
    /// A trailing slash of the path stays.
    pub keeps_slash: bool,
    /// The place that they are sent to has its port.
    pub names_port: bool,
}

impl Default for Https {
    fn default() -> Self {
        Self { when: WhenHttps::Certified, keeps_slash: false, names_port: false }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenHttps {
    Never,
    /// Where there is a certificate for the host.
    Certified,
    Always,
}

/// Cross-origin rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    pub origins: Origins,
    pub methods: HeaderValue,
    pub headers: HeaderValue,
    pub exposed: Option<HeaderValue>,
    pub credentials: bool,
    pub max_age: HeaderValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    Any,
    Listed(Box<[Origin]>),
}

/// An origin that may ask, such as `https://*.example.com:8443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Exact(Box<str>),
    /// One label stands between the two.
    Within {
        scheme: Box<str>,
        rest: Box<str>,
    },
}

/// Who may come, by the address of the client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    pub denied: Box<[Network]>,
    /// Everybody where there is no list.
    pub allowed: Option<Box<[Network]>>,
}

impl Access {
    /// Whether everybody may come.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.denied.is_empty() && self.allowed.is_none()
    }
}

/// How much one client may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimits {
    /// Requests a second and a minute, each with how many may come at once.
    pub second: Option<Rate>,
    pub minute: Option<Rate>,
    /// Requests in flight.
    pub open: Option<u32>,
    /// Clients that are not counted.
    pub exempt: Box<[Network]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub burst: u32,
}

/// What takes the path's place; `$1` to `$9` stand for groups of the path's pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite(pub Box<[Piece]>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Text(Box<str>),
    Group(usize),
}

/// How large request bodies may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BodyLimit {
    /// As the listener has it.
    #[default]
    Listener,
    None,
    Bytes(u64),
}

impl BodyLimit {
    /// Bytes of a body at most, where the listener takes so many.
    #[must_use]
    pub const fn of(self, listener: Option<u64>) -> Option<u64> {
        match self {
            Self::Listener => listener,
            Self::None => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

/// Where these are set they take the place of the listener's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waits {
    pub connect: Option<Duration>,
    /// Between two pieces of the answer, and for its head.
    pub read: Option<Duration>,
    /// Between two pieces of the request.
    pub send: Option<Duration>,
}

/// What endpoints speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Https,
    Grpc,
    Grpcs,
    /// As the client came.
    Auto,
}

/// What is changed in the heads of answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerRules {
    pub set: Vec<(HeaderName, HeaderValue)>,
    pub unset: Vec<HeaderName>,
    pub added: Vec<Added>,
    /// Prefixes of `Location` and `Refresh`.
    pub location: Option<(Box<str>, Box<str>)>,
    /// `Domain` and `Path` of cookies, each from what to what.
    pub cookie_domain: Option<(Box<str>, Box<str>)>,
    pub cookie_path: Option<(Box<str>, Box<str>)>,
}

/// A field that comes beside others of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    pub name: HeaderName,
    pub value: HeaderValue,
    /// Also to errors.
    pub always: bool,
}

/// What is changed in the heads of requests, after everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestRules {
    pub set: Vec<(HeaderName, HeaderValue)>,
    pub unset: Vec<HeaderName>,
}

/// How fast one answer goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerRate {
    pub bytes_per_second: u64,
    /// Bytes that go out as fast as they can.
    pub after: u64,
}
