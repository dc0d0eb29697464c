//! Request and answer heads: what is refused, what is taken off, what is added (RFC 9110 §7.6, RFC 9112 §3, §6).
//!
//! Works on heads alone; knows no sockets and no routes.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode, Uri, Version};

use crate::route::{Host, ambiguous};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY: HeaderName = HeaderName::from_static("proxy");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");

/// Longest `X-Request-ID` that is taken over from a client.
const REQUEST_ID_MAX: usize = 128;

/// A request that no endpoint may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub reason: &'static str,
    /// What follows on this connection is not to be believed.
    pub close: bool,
}

/// What inspection found out about a request.
pub struct Inspected {
    pub host: Host,
    /// The protocol that the client wants to upgrade to.
    pub upgrade: Option<HeaderValue>,
}

/// Who is on the other side of a downstream connection, as header values made once per connection.
pub struct Peer {
    pub address: std::net::IpAddr,
    pub address_value: HeaderValue,
    pub port_value: HeaderValue,
    pub scheme: HeaderValue,
    /// Its own `X-Forwarded-*` are believed.
    pub trusted: bool,
}

const fn refuse(status: StatusCode, reason: &'static str) -> Refusal {
    Refusal { status, reason, close: true }
}

/// Checks a request's head beyond what the parser did, and brings its target into origin form.
///
/// # Errors
/// A [`Refusal`] with the status to answer and why.
pub fn inspect(parts: &mut Parts) -> Result<Inspected, Refusal> {
    match parts.method {
        Method::CONNECT => return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not served")),
        Method::TRACE => return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "TRACE is not served")),
        _ => {}
    }
    let host = host(parts)?;
    let path = parts.uri.path();
    let asterisk = path == "*" && parts.method == Method::OPTIONS;
    if !path.starts_with('/') && !asterisk {
        return Err(refuse(StatusCode::BAD_REQUEST, "the request target is no path"));
    }
    if ambiguous(path) {
        return Err(refuse(StatusCode::BAD_REQUEST, "the path has dot segments or NUL"));
    }
    let mut codings = parts.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some() || !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(refuse(StatusCode::BAD_REQUEST, "only the transfer coding \"chunked\" is served"));
    }
    if let Some(expected) = parts.headers.get(header::EXPECT)
        && !expected.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(refuse(StatusCode::EXPECTATION_FAILED, "only Expect: 100-continue is served"));
    }
    let upgrade = match parts.headers.get(header::UPGRADE) {
        Some(wanted) if parts.version == Version::HTTP_11 && names(&parts.headers, "upgrade") => Some(wanted.clone()),
        _ => None,
    };
    Ok(Inspected { host, upgrade })
}

/// The host decides routes, so there must be exactly one; an absolute target's authority takes its place.
fn host(parts: &mut Parts) -> Result<Host, Refusal> {
    let bad = |_| refuse(StatusCode::BAD_REQUEST, "the host is malformed");
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(refuse(StatusCode::BAD_REQUEST, "there is more than one Host field"));
    }
    if first.is_none() && parts.version == Version::HTTP_11 && parts.uri.authority().is_none() {
        return Err(refuse(StatusCode::BAD_REQUEST, "there is no Host field"));
    }
    if let Some(value) = first {
        let host = Host::parse(value.as_bytes()).map_err(bad)?;
        if parts.uri.authority().is_none() {
            return Ok(host);
        }
    }
    let Some(authority) = parts.uri.authority() else { return Ok(Host::none()) };
    let host = Host::parse(authority.as_str().as_bytes()).map_err(bad)?;
    let value = HeaderValue::from_str(authority.as_str())
        .map_err(|_| refuse(StatusCode::BAD_REQUEST, "the host is malformed"))?;
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let target = if target.starts_with('?') { format!("/{target}") } else { target.to_owned() };
    parts.uri = Uri::from_maybe_shared(Bytes::from(target))
        .map_err(|_| refuse(StatusCode::BAD_REQUEST, "the request target is no path"))?;
    parts.headers.insert(header::HOST, value);
    Ok(host)
}

/// Whether `Connection` names `option`.
fn names(headers: &HeaderMap, option: &str) -> bool {
    let mut values = headers.get_all(header::CONNECTION).iter();
    values.any(|value| {
        value.as_bytes().split(|b| *b == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
    })
}

/// Turns a client's head into what the endpoint gets.
pub fn rewrite_request(
    parts: &mut Parts,
    peer: &Peer,
    upgrade: Option<HeaderValue>,
    request_id: impl FnOnce() -> HeaderValue,
) {
    let headers = &mut parts.headers;
    let trailers = headers.contains_key(header::TE) && accepts_trailers(headers);
    take_off(headers, &[]);
    if !peer.trusted {
        for name in
            [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, X_FORWARDED_PORT, header::FORWARDED, X_REAL_IP]
        {
            headers.remove(name);
        }
    }
    forwarded(headers, peer);
    let known = headers
        .get(X_REQUEST_ID)
        .is_some_and(|id| (1..=REQUEST_ID_MAX).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic));
    if !known {
        headers.insert(X_REQUEST_ID, request_id());
    }
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, UPGRADE);
        headers.insert(header::UPGRADE, protocol);
    }
    if trailers {
        headers.insert(header::TE, TRAILERS);
        let mut options = HeaderValue::from_static("te");
        if headers.contains_key(header::UPGRADE) {
            options = HeaderValue::from_static("te, upgrade");
        }
        headers.insert(header::CONNECTION, options);
    }
    if parts.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    if !headers.contains_key(header::HOST) {
        // Only HTTP/1.0 comes without; HTTP/1.1 servers insist (RFC 9112 §3.2).
        headers.insert(header::HOST, HeaderValue::from_static(""));
    }
    parts.version = Version::HTTP_11;
}

/// HTTP/2 clients may send cookies in several fields, HTTP/1.1 servers expect one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(_)) = (cookies.next(), cookies.next()) else { return };
    let mut all = first.as_bytes().to_vec();
    for cookie in headers.get_all(header::COOKIE).iter().skip(1) {
        all.extend_from_slice(b"; ");
        all.extend_from_slice(cookie.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(all)) {
        headers.insert(header::COOKIE, joined);
    }
}

fn forwarded(headers: &mut HeaderMap, peer: &Peer) {
    let chain = match headers.get(X_FORWARDED_FOR) {
        Some(before) => {
            let mut all = before.as_bytes().to_vec();
            all.extend_from_slice(b", ");
            all.extend_from_slice(peer.address_value.as_bytes());
            HeaderValue::from_maybe_shared(Bytes::from(all)).unwrap_or_else(|_| peer.address_value.clone())
        }
        None => peer.address_value.clone(),
    };
    headers.insert(X_FORWARDED_FOR, chain);
    if !headers.contains_key(X_REAL_IP) {
        headers.insert(X_REAL_IP, peer.address_value.clone());
    }
    if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, peer.scheme.clone());
    }
    if !headers.contains_key(X_FORWARDED_PORT) {
        headers.insert(X_FORWARDED_PORT, peer.port_value.clone());
    }
    if !headers.contains_key(X_FORWARDED_HOST)
        && let Some(host) = headers.get(header::HOST).cloned()
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(header::TE).iter().any(|value| {
        value.as_bytes().split(|b| *b == b',').any(|coding| {
            coding.split(|b| *b == b';').next().is_some_and(|c| c.trim_ascii().eq_ignore_ascii_case(b"trailers"))
        })
    })
}

/// Removes what belongs to one hop only: fields that `Connection` names, fixed hop-by-hop fields, and `also`.
///
/// Names with `_` go too: servers that read them as `-` would take them for fields of ours.
fn take_off(headers: &mut HeaderMap, also: &[HeaderName]) {
    let mut doomed: [Option<HeaderName>; 8] = Default::default();
    let mut many = Vec::new();
    let mut slots = doomed.iter_mut();
    let mut doom = |name: HeaderName| match slots.next() {
        Some(slot) => *slot = Some(name),
        None => many.push(name),
    };
    for name in headers.keys() {
        if is_hop_by_hop(name) || also.contains(name) {
            if *name == header::CONNECTION {
                nominated(headers, &mut doom);
            }
            doom(name.clone());
        }
    }
    for name in doomed.iter().flatten().chain(&many) {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::UPGRADE
        || *name == header::TE
        || *name == header::PROXY_AUTHORIZATION
        || *name == header::PROXY_AUTHENTICATE
        || *name == header::EXPECT
        || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
        || *name == PROXY
        || memchr::memchr(b'_', name.as_str().as_bytes()).is_some()
}

/// Framing and routing fields are not for the client to nominate.
fn nominated(headers: &HeaderMap, doom: &mut impl FnMut(HeaderName)) {
    for value in headers.get_all(header::CONNECTION) {
        for token in value.as_bytes().split(|b| *b == b',') {
            let token = token.trim_ascii();
            if token.eq_ignore_ascii_case(b"keep-alive") || token.eq_ignore_ascii_case(b"close") {
                continue;
            }
            if let Ok(name) = HeaderName::from_bytes(token)
                && !matches!(name, header::HOST | header::CONTENT_LENGTH | header::TRANSFER_ENCODING)
                && headers.contains_key(&name)
            {
                doom(name);
            }
        }
    }
}

/// Turns an endpoint's head into what the client gets.
pub fn rewrite_response(headers: &mut HeaderMap, server: &HeaderValue, upgrade: Option<HeaderValue>) {
    let hop =
        [header::CONNECTION, header::UPGRADE, KEEP_ALIVE, PROXY_CONNECTION, header::TE, header::PROXY_AUTHENTICATE];
    if headers.contains_key(header::CONNECTION) {
        let mut doomed = Vec::new();
        nominated(headers, &mut |name| doomed.push(name));
        for name in doomed {
            headers.remove(name);
        }
    }
    for name in &hop {
        headers.remove(name);
    }
    // How the body is framed on this side is decided here, not copied.
    headers.remove(header::TRANSFER_ENCODING);
    if !headers.contains_key(header::SERVER) {
        headers.insert(header::SERVER, server.clone());
    }
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, UPGRADE);
        headers.insert(header::UPGRADE, protocol);
    }
}

#[cfg(test)]
mod tests;
