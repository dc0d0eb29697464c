//! Annotations about a service that has to allow requests first.
//!
//! Source: ingress-nginx `internal/ingress/annotations/authreq`.

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Uri};

use super::ExternalWish;
use super::read::Reader;
use super::snippet::told_name;
use crate::route::balance::{HashKey, KeyError};
use crate::route::extauth::{CacheRule, ExternalAuth, SignIn, Validity};

/// Longest time for which an answer is believed.
const CACHE_MAX: Duration = Duration::from_secs(86_400);
/// Longest name of a Service or a namespace.
const LABEL_MAX: usize = 63;
/// What is believed for how long where nothing is said.
const CACHE_USUAL: &str = "200 202 401 5m";

pub(super) fn wish(reader: &mut Reader<'_>) -> Option<ExternalWish> {
    let (service, port, tls, target, host) = reader.parsed("auth-url", service)?;
    // Nothing that changes anything: the question is whether a request may pass.
    let methods = [("GET", Method::GET), ("HEAD", Method::HEAD), ("POST", Method::POST)];
    let method = reader.one_of("auth-method", &[0, 1, 2].map(|at| (methods[at].0, at))).map(|at| methods[at].1.clone());
    let names = reader.parsed("auth-response-headers", |text| told_names(text).ok());
    let param = reader.token("auth-signin-redirect-param");
    let signin = reader.parsed("auth-signin", |text| SignIn::read(text, param.as_deref().unwrap_or("rd")));
    if signin.is_none() && reader.text("auth-signin").is_some() {
        reader.wrong("auth-signin-redirect-param", "a name of visible signs");
    }
    let wanted = reader.header("auth-request-redirect");
    let always_cookie = reader.flag("auth-always-set-cookie").unwrap_or(false);
    let cache = cache(reader);
    let copied = names.unwrap_or_default();
    let rules = ExternalAuth { method, target, host, copied, signin, always_cookie, wanted, cache };
    Some(ExternalWish { service, port, tls, rules: Arc::new(rules) })
}

/// Whose answers are kept; without times as there, five minutes for 200, 202 and 401.
fn cache(reader: &mut Reader<'_>) -> Option<CacheRule> {
    // A user is known by what it is derived from.
    let key = reader.parsed("auth-cache-key", |text| cache_key(text).ok())?;
    if reader.is_odd("auth-cache-duration") {
        return None;
    }
    Some(CacheRule { key, valid: durations(reader.text("auth-cache-duration").unwrap_or(CACHE_USUAL))? })
}

pub(super) fn cache_key(text: &str) -> Result<HashKey, KeyError> {
    text.replace("$remote_user", "$http_authorization").parse()
}

pub(super) fn told_names(text: &str) -> Result<Box<[HeaderName]>, String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(told_name).collect()
}

pub(super) fn durations(text: &str) -> Option<Validity> {
    let mut all = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (codes, time) = entry.rsplit_once(' ').unwrap_or(("200 301 302", entry));
        let digits = time.bytes().take_while(u8::is_ascii_digit).count();
        let count: u64 = time[..digits].parse().ok()?;
        let time = match &time[digits..] {
            "ms" => Duration::from_millis(count),
            "s" => Duration::from_secs(count),
            "m" => Duration::from_secs(count.checked_mul(60)?),
            "h" => Duration::from_secs(count.checked_mul(3600)?),
            "d" => Duration::from_secs(count.checked_mul(86_400)?),
            _ => return None,
        };
        for code in codes.split_ascii_whitespace() {
            let status = match code {
                "any" => None,
                code => Some(code.parse().ok().filter(|status| (100..600).contains(status))?),
            };
            all.push((status, time.min(CACHE_MAX)));
        }
    }
    (!all.is_empty()).then(|| all.into())
}

pub(super) type Place = ((String, String), u16, bool, PathAndQuery, HeaderValue);

/// `http://NAME.NAMESPACE.svc[.cluster.local|.clusterset.local][:PORT]/path`
pub(super) fn service(url: &str) -> Option<Place> {
    let uri: Uri = url.parse().ok().filter(|_| !url.contains('$'))?;
    let tls = match uri.scheme_str()? {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let mut labels = authority.host().split('.');
    let (name, namespace) = (labels.next()?, labels.next()?);
    let rest: Vec<&str> = labels.collect();
    let known = matches!(rest.as_slice(), ["svc"] | ["svc", "cluster" | "clusterset", "local"]);
    // As the API names Services and namespaces: what is no name of DNS is none of theirs (RFC 1123 §2.1).
    let sound = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        inner && (1..=LABEL_MAX).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    if !known || !sound(name) || !sound(namespace) {
        return None;
    }
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let target = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let host = HeaderValue::from_str(authority.as_str()).ok()?;
    Some(((name.to_ascii_lowercase(), namespace.to_ascii_lowercase()), port, tls, target, host))
}
