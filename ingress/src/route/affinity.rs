//! Sessions: a cookie that leads a client back to its endpoint, whichever replica of the gateway it meets.
//!
//! The cookie holds hashes that are only ever compared with the endpoints of the route's own backend: it names no address,
//! survives restarts, and cannot lead anywhere else. Pure; time is passed in.

use std::fmt::Write;

use http::HeaderMap;
use http::header::HeaderValue;

use crate::route::balance::key::cookie;
use crate::route::balance::scramble;
use crate::route::endpoint::Endpoint;

const DEFAULT_NAME: &str = "INGRESSCOOKIE";

/// How sessions of a route stay where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affinity {
    mode: Mode,
    name: Box<str>,
    /// `; Path=/; HttpOnly` and whatever else is the same in every answer.
    attributes: Box<str>,
    secure: Option<bool>,
    /// Seconds until the date in `Expires`.
    expires: Option<i64>,
    change_on_failure: bool,
}

/// What becomes of sessions when endpoints are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Few of them move, so that new endpoints get their share.
    #[default]
    Balanced,
    /// They stay until their endpoint goes.
    Persistent,
}

/// The annotations `affinity-mode` and `session-cookie-*`, each as it was written.
#[derive(Debug, Clone, Copy, Default)]
pub struct CookieSettings<'a> {
    pub mode: Option<&'a str>,
    pub name: Option<&'a str>,
    pub path: Option<&'a str>,
    pub domain: Option<&'a str>,
    pub samesite: Option<&'a str>,
    pub secure: Option<bool>,
    pub expires: Option<i64>,
    pub max_age: Option<i64>,
    pub change_on_failure: bool,
}

/// A setting that makes no cookie.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AffinityError {
    #[error("affinity-mode: {0:?} is neither balanced nor persistent")]
    Mode(String),
    #[error("session-cookie-name: {0:?} is no cookie name")]
    Name(String),
    #[error("session-cookie-path: {0:?} cannot stand in a cookie")]
    Path(String),
    #[error("session-cookie-domain: {0:?} is no domain")]
    Domain(String),
    #[error("session-cookie-samesite: {0:?} is none of None, Lax, Strict")]
    SameSite(String),
}

/// What a client's cookie says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticket {
    /// This endpoint.
    Endpoint(u128),
    /// Whoever this key belongs to among the endpoints of a cluster's zone.
    Near { key: u64, place: u32 },
}

impl Affinity {
    /// Checks the settings and prepares what all cookies have in common.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn new(settings: CookieSettings<'_>) -> Result<Self, AffinityError> {
        let mode = match settings.mode {
            None | Some("balanced") => Mode::Balanced,
            Some("persistent") => Mode::Persistent,
            Some(other) => return Err(AffinityError::Mode(other.to_owned())),
        };
        let name = settings.name.unwrap_or(DEFAULT_NAME);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(AffinityError::Name(name.to_owned()));
        }
        let path = settings.path.unwrap_or("/");
        if !path.starts_with('/') || !path.bytes().all(|b| matches!(b, b' '..=b'~') && b != b';') {
            return Err(AffinityError::Path(path.to_owned()));
        }
        let mut attributes = format!("; Path={path}");
        if let Some(domain) = settings.domain {
            let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
            if domain.is_empty() || !domain.bytes().all(sound) {
                return Err(AffinityError::Domain(domain.to_owned()));
            }
            attributes = format!("{attributes}; Domain={domain}");
        }
        if let Some(seconds) = settings.max_age {
            attributes = format!("{attributes}; Max-Age={seconds}");
        }
        if let Some(site) = settings.samesite {
            let known = ["None", "Lax", "Strict"].into_iter().find(|known| known.eq_ignore_ascii_case(site));
            let known = known.ok_or_else(|| AffinityError::SameSite(site.to_owned()))?;
            attributes = format!("{attributes}; SameSite={known}");
        }
        attributes.push_str("; HttpOnly");
        Ok(Self {
            mode,
            name: name.into(),
            attributes: attributes.into(),
            secure: settings.secure,
            expires: settings.expires,
            change_on_failure: settings.change_on_failure,
        })
    }

    /// What the client's cookie says; nothing for one that is not ours.
    #[must_use]
    pub fn read(&self, headers: &HeaderMap) -> Option<Ticket> {
        let text = std::str::from_utf8(cookie(headers, &self.name)?).ok()?;
        match text.split_once('.') {
            None if text.len() == 32 => u128::from_str_radix(digits(text)?, 16).ok().map(Ticket::Endpoint),
            Some((key, place)) if key.len() == 16 && place.len() == 8 => Some(Ticket::Near {
                key: u64::from_str_radix(digits(key)?, 16).ok()?,
                place: u32::from_str_radix(digits(place)?, 16).ok()?,
            }),
            _ => None,
        }
    }

    /// The key of a session that begins, from a number that no other session has.
    #[must_use]
    pub const fn fresh_key(&self, number: u64) -> Option<u64> {
        match self.mode {
            Mode::Balanced => Some(scramble(number)),
            Mode::Persistent => None,
        }
    }

    /// The ticket to hand out after `endpoint` has answered, or none if the client has the right one.
    ///
    /// `key` is that of a session that begins; `failed` says that the session's own endpoint could not answer.
    #[must_use]
    pub fn renew(&self, had: Option<Ticket>, key: Option<u64>, endpoint: &Endpoint, failed: bool) -> Option<Ticket> {
        if had == Some(Ticket::Endpoint(endpoint.name)) {
            return None;
        }
        let right = had.is_some_and(|ticket| ticket.leads_to(endpoint));
        if (right && !failed) || (had.is_some() && failed && !self.change_on_failure) {
            return None;
        }
        Some(match (key, had) {
            // After a failure only the endpoint's own name is sure to lead there again.
            (Some(key), _) if !failed => Ticket::Near { key, place: endpoint.place },
            (None, Some(Ticket::Near { key, .. })) if !failed => Ticket::Near { key, place: endpoint.place },
            _ => Ticket::Endpoint(endpoint.name),
        })
    }

    /// The value of `Set-Cookie` for `ticket`, at `now` in seconds since 1970.
    #[must_use]
    pub fn cookie(&self, ticket: Ticket, tls: bool, now: i64) -> HeaderValue {
        let mut text = format!("{}={ticket}", self.name);
        if let Some(seconds) = self.expires
            && let Ok(at) = jiff::Timestamp::from_second(now.saturating_add(seconds))
        {
            write!(text, "; Expires={}", at.strftime("%a, %d %b %Y %H:%M:%S GMT")).expect("a String takes everything");
        }
        text.push_str(&self.attributes);
        if self.secure.unwrap_or(tls) {
            text.push_str("; Secure");
        }
        HeaderValue::from_str(&text).expect("the settings were checked for bytes that a header cannot hold")
    }
}

impl Ticket {
    /// Whether `endpoint` is one that the ticket may lead to.
    #[must_use]
    pub fn leads_to(self, endpoint: &Endpoint) -> bool {
        match self {
            Self::Endpoint(name) => name == endpoint.name,
            Self::Near { place, .. } => place == endpoint.place,
        }
    }
}

impl std::fmt::Display for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Endpoint(name) => write!(f, "{name:032x}"),
            Self::Near { key, place } => write!(f, "{key:016x}.{place:08x}"),
        }
    }
}

/// Digits only: the parsers of numbers would also take a sign.
fn digits(text: &str) -> Option<&str> {
    text.bytes().all(|b| b.is_ascii_hexdigit()).then_some(text)
}

/// RFC 9110 §5.6.2, which cookie names are made of.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{COOKIE, HeaderValue};

    use super::{Affinity, AffinityError, CookieSettings, Ticket};

    fn affinity(settings: CookieSettings<'_>) -> Affinity {
        Affinity::new(settings).expect("good settings")
    }

    fn read(affinity: &Affinity, cookie: &str) -> Option<Ticket> {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(cookie).expect("a value"));
        affinity.read(&headers)
    }

    #[test]
    fn cookies_are_written_as_set_and_read_back() {
        let plain = affinity(CookieSettings::default());
        let near = Ticket::Near { key: 7, place: 9 };
        assert_eq!(plain.cookie(near, false, 0), "INGRESSCOOKIE=0000000000000007.00000009; Path=/; HttpOnly");
        assert_eq!(plain.cookie(near, true, 0), "INGRESSCOOKIE=0000000000000007.00000009; Path=/; HttpOnly; Secure");
        let full = affinity(CookieSettings {
            mode: Some("persistent"),
            name: Some("route"),
            path: Some("/app"),
            domain: Some("example.com"),
            samesite: Some("strict"),
            secure: Some(false),
            expires: Some(172_800),
            max_age: Some(3600),
            change_on_failure: true,
        });
        let text = full.cookie(Ticket::Endpoint(255), true, 0);
        assert_eq!(
            text,
            "route=000000000000000000000000000000ff; Expires=Sat, 03 Jan 1970 00:00:00 GMT; Path=/app; \
             Domain=example.com; Max-Age=3600; SameSite=Strict; HttpOnly"
        );
        for ticket in [near, Ticket::Endpoint(u128::MAX), Ticket::Near { key: u64::MAX, place: u32::MAX }] {
            assert_eq!(read(&plain, &format!("a=b; INGRESSCOOKIE={ticket}; c=d")), Some(ticket));
            assert_eq!(read(&full, &format!("route={ticket}")), Some(ticket), "either mode reads both");
            assert_eq!(read(&full, &format!("route2={ticket}; INGRESSCOOKIE={ticket}")), None);
        }
        for strange in ["", "x", "10.0.0.1:80", "+0000000000000000000000000000001", "000000000000000g.00000001"] {
            assert_eq!(read(&plain, &format!("INGRESSCOOKIE={strange}")), None, "{strange}");
        }
    }

    #[test]
    fn settings_that_make_no_cookie_are_refused_by_name() {
        let refused = |settings| Affinity::new(settings).expect_err("bad settings");
        let none = CookieSettings::default();
        for (settings, wanted) in [
            (CookieSettings { mode: Some("sticky"), ..none }, AffinityError::Mode("sticky".into())),
            (CookieSettings { name: Some("a b"), ..none }, AffinityError::Name("a b".into())),
            (CookieSettings { name: Some(""), ..none }, AffinityError::Name(String::new())),
            (CookieSettings { path: Some("/a;b"), ..none }, AffinityError::Path("/a;b".into())),
            (CookieSettings { path: Some("/a\r\nX: y"), ..none }, AffinityError::Path("/a\r\nX: y".into())),
            (CookieSettings { domain: Some("a; b"), ..none }, AffinityError::Domain("a; b".into())),
            (CookieSettings { samesite: Some("lazy"), ..none }, AffinityError::SameSite("lazy".into())),
        ] {
            assert_eq!(refused(settings), wanted);
        }
    }
}
