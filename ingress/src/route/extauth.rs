//! Requests that another service has to allow first: what it is asked, and where clients go that it does not know.
//!
//! Values only. Source: ingress-nginx `internal/ingress/annotations/authreq`, nginx' `auth_request`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::route::Route;
use crate::route::balance::HashKey;

/// What is asked of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAuth {
    pub method: Option<Method>,
    pub target: PathAndQuery,
    /// The `Host` of the question.
    pub host: HeaderValue,
    /// Fields of its answer that endpoints get; clients cannot set them.
    pub copied: Box<[HeaderName]>,
    pub signin: Option<SignIn>,
    /// Its cookies are handed on whatever the endpoint answers.
    pub always_cookie: bool,
    /// What it is told that the client wants, instead of the client's own target.
    pub wanted: Option<HeaderValue>,
    /// Whose answers hold for how long.
    pub cache: Option<CacheRule>,
}

/// How long answers hold.
pub type Validity = Box<[(Option<u16>, Duration)]>;

/// For which requests an answer holds that one of them got, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheRule {
    pub key: HashKey,
    /// By status; none is every status that is not named.
    pub valid: Validity,
}

impl CacheRule {
    /// How long an answer of this status holds.
    #[must_use]
    pub fn holds(&self, status: u16) -> Option<Duration> {
        let of = |wanted: Option<u16>| self.valid.iter().find(|(known, _)| *known == wanted).map(|(_, time)| *time);
        of(Some(status)).or_else(|| of(None))
    }
}

/// Questions of a route, and who answers them.
#[derive(Debug)]
pub struct External {
    pub rules: Arc<ExternalAuth>,
    pub route: Route,
}

/// Where clients are sent to sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn(Box<[Part]>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Scheme,
    Host,
    Authority,
    Target,
    EscapedTarget,
}

/// The request that is not let in yet.
#[derive(Debug, Clone, Copy)]
pub struct Stopped<'r> {
    pub scheme: &'r str,
    /// Lower case, without the port.
    pub host: &'r str,
    /// As the client named it.
    pub authority: &'r str,
    pub target: &'r str,
}

impl SignIn {
    /// Reads an http or https URL, or a path, with variables; `param` tells it where the client wanted to go.
    #[must_use]
    pub fn read(text: &str, param: &str) -> Option<Self> {
        let begins = ["http://", "https://", "$scheme://", "/"].iter().any(|start| text.starts_with(start));
        let sound = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        if !begins || !sound(text) || !sound(param) || param.is_empty() {
            return None;
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let tells = query.split('&').any(|pair| pair.split('=').next() == Some(param));
        let more = match (tells, query.is_empty()) {
            (true, _) => String::new(),
            (false, true) => format!("?{param}=$scheme://$http_host$escaped_request_uri"),
            (false, false) => format!("&{param}=$scheme://$http_host$escaped_request_uri"),
        };
        let whole = if query.is_empty() { format!("{base}{more}") } else { format!("{text}{more}") };
        let mut parts = Vec::new();
        for (number, piece) in whole.split('$').enumerate() {
            if number == 0 {
                parts.push(Part::Text(piece.into()));
                continue;
            }
            let end = piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(piece.len());
            parts.push(match &piece[..end] {
                "scheme" | "pass_access_scheme" => Part::Scheme,
                "host" => Part::Host,
                "http_host" | "best_http_host" => Part::Authority,
                "request_uri" => Part::Target,
                "escaped_request_uri" => Part::EscapedTarget,
                _ => return None,
            });
            parts.push(Part::Text(piece[end..].into()));
        }
        Some(Self(parts.into()))
    }

    /// The place for one client.
    #[must_use]
    pub fn place(&self, of: Stopped<'_>) -> Option<HeaderValue> {
        let mut place = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => place.push_str(text),
                Part::Scheme => place.push_str(of.scheme),
                Part::Host => place.push_str(of.host),
                Part::Authority => place.push_str(of.authority),
                Part::Target => place.push_str(of.target),
                Part::EscapedTarget => write!(place, "{}", utf8_percent_encode(of.target, NON_ALPHANUMERIC)).ok()?,
            }
        }
        HeaderValue::from_str(&place).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{SignIn, Stopped};

    #[test]
    fn clients_are_sent_to_sign_in_and_back() {
        let stopped =
            Stopped { scheme: "https", host: "a.example", authority: "A.example:8443", target: "/x?y=1&z=%2f" };
        let back = "https://A.example:8443%2Fx%3Fy%3D1%26z%3D%252f";
        for (text, param, wanted) in [
            ("https://sign.example/in", "rd", Some(format!("https://sign.example/in?rd={back}"))),
            ("https://sign.example/in?a=b", "to", Some(format!("https://sign.example/in?a=b&to={back}"))),
            (
                "https://$host/in?rd=$escaped_request_uri",
                "rd",
                Some("https://a.example/in?rd=%2Fx%3Fy%3D1%26z%3D%252f".into()),
            ),
            ("/in", "rd", Some(format!("/in?rd={back}"))),
            ("https://sign.example/$remote_user", "rd", None),
            ("javascript:alert(1)", "rd", None),
            ("https://sign.example/\"", "rd", None),
            ("https://sign.example/", "r d", None),
        ] {
            let place = SignIn::read(text, param).and_then(|signin| signin.place(stopped));
            assert_eq!(place.as_ref().and_then(|place| place.to_str().ok()), wanted.as_deref(), "{text}");
        }
    }
}
