//! Request and answer heads: what is refused, what is taken off, what is added (RFC 9110 §7.6, RFC 9112 §3, §6).
//!
//! Works on heads alone; knows no sockets and no routes.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode, Uri, Version};
use hyper::ext::ReasonPhrase;

use crate::config::HeadRules;
use crate::peer::{Peer, X_FORWARDED_FOR};
use crate::refusal::Refusal;
use crate::route::{Host, normal_path};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The same for servers that look there; ingress-nginx sends all three.
const X_FORWARDED_SCHEME: HeaderName = HeaderName::from_static("x-forwarded-scheme");
const X_SCHEME: HeaderName = HeaderName::from_static("x-scheme");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");

/// Longest `X-Request-ID` that is taken over from a client.
pub const REQUEST_ID_MAX: usize = 128;

/// What inspection found out about a request.
pub struct Inspected {
    pub host: Host,
    /// The path that routes are found by, where it differs from the one that is forwarded.
    pub path: Option<Box<str>>,
    /// The protocol that the client wants to upgrade to.
    pub upgrade: Option<HeaderValue>,
}

const fn refuse(status: StatusCode, reason: &'static str) -> Refusal {
    Refusal { status, reason, close: true }
}

/// Checks a request's head beyond what the parser did, and brings its target into origin form.
///
/// # Errors
/// A [`Refusal`] with the status to answer and why.
pub fn inspect(parts: &mut Parts, rules: &HeadRules) -> Result<Inspected, Refusal> {
    match parts.method {
        Method::CONNECT => return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not served")),
        Method::TRACE if !rules.trace => return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "TRACE is not served")),
        Method::TRACE | Method::OPTIONS => last_hop(&mut parts.headers)?,
        _ => {}
    }
    if parts.uri.path_and_query().is_some_and(|target| target.as_str().len() > rules.target_bytes) {
        return Err(refuse(StatusCode::URI_TOO_LONG, "the request target is too long"));
    }
    let host = host(parts)?;
    let path = parts.uri.path();
    let asterisk = path == "*" && parts.method == Method::OPTIONS;
    if !path.starts_with('/') && !asterisk {
        return Err(refuse(StatusCode::BAD_REQUEST, "the request target is no path"));
    }
    let path = normal_path(path).map_err(|reason| refuse(StatusCode::BAD_REQUEST, reason))?;
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
    if let Some(name) = &rules.via
        && has_passed(&parts.headers, name)
    {
        return Err(refuse(StatusCode::LOOP_DETECTED, "the request has been here before"));
    }
    let upgrade = match parts.headers.get(header::UPGRADE) {
        Some(wanted)
            if parts.version == Version::HTTP_11 && names(&parts.headers, "upgrade") && !speaks_http(wanted) =>
        {
            Some(wanted.clone())
        }
        _ => None,
    };
    Ok(Inspected { host, path, upgrade })
}

/// Counts `Max-Forwards` down; at its end the answer is ours (RFC 9110 §7.6.2).
fn last_hop(headers: &mut HeaderMap) -> Result<(), Refusal> {
    let Some(left) = headers.get(header::MAX_FORWARDS) else { return Ok(()) };
    let left = left.to_str().ok().and_then(|left| left.parse::<u32>().ok());
    let left = left.ok_or_else(|| refuse(StatusCode::BAD_REQUEST, "Max-Forwards is no number"))?;
    let Some(left) = left.checked_sub(1) else {
        return Err(Refusal { status: StatusCode::OK, reason: "this is the last hop", close: false });
    };
    headers.insert(header::MAX_FORWARDS, HeaderValue::from(left));
    Ok(())
}

/// Whether `Via` says that a request went through the proxy of this name.
fn has_passed(headers: &HeaderMap, name: &HeaderValue) -> bool {
    headers.get_all(header::VIA).iter().any(|via| {
        via.as_bytes().split(|byte| *byte == b',').any(|hop| {
            hop.trim_ascii()
                .split(|byte| *byte == b' ')
                .nth(1)
                .is_some_and(|by| by.eq_ignore_ascii_case(name.as_bytes()))
        })
    })
}

/// The host decides routes, so there must be exactly one; an absolute target's authority takes its place.
fn host(parts: &mut Parts) -> Result<Host, Refusal> {
    let bad = |_| refuse(StatusCode::BAD_REQUEST, "the host is malformed");
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(refuse(StatusCode::BAD_REQUEST, "there is more than one Host field"));
    }
    if first.is_none() && parts.version >= Version::HTTP_11 && parts.uri.authority().is_none() {
        return Err(refuse(StatusCode::BAD_REQUEST, "there is no Host field"));
    }
    if let Some(value) = first {
        let host = Host::parse(value.as_bytes()).map_err(bad)?;
        let Some(authority) = parts.uri.authority() else { return Ok(host) };
        // Over HTTP/1.1 the target wins (RFC 9112 §3.2.2); over HTTP/2 there is nothing to win (RFC 9113 §8.3.1).
        if parts.version == Version::HTTP_2 && !value.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) {
            return Err(refuse(StatusCode::BAD_REQUEST, "Host and :authority differ"));
        }
    }
    let Some(authority) = parts.uri.authority() else { return Ok(Host::none()) };
    if !matches!(parts.uri.scheme_str(), Some("http" | "https")) {
        return Err(refuse(StatusCode::BAD_REQUEST, "the request target is neither a path nor an http URI"));
    }
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
    rules: &HeadRules,
    upgrade: Option<HeaderValue>,
    request_id: impl FnOnce() -> HeaderValue,
) {
    let headers = &mut parts.headers;
    let trailers = headers.contains_key(header::TE) && accepts_trailers(headers);
    take_off(headers, |name| {
        is_hop_by_hop(name)
            || (!rules.underscores && memchr::memchr(b'_', name.as_bytes()).is_some())
            || (!peer.trusted && is_forwarding(name))
    });
    forwarded(headers, peer, rules);
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
    if let Some(name) = &rules.via {
        passed(headers, parts.version, name);
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

fn forwarded(headers: &mut HeaderMap, peer: &Peer, rules: &HeadRules) {
    if rules.forwarded || headers.contains_key(header::FORWARDED) {
        let element = forwarded_element(headers, peer);
        append(headers, header::FORWARDED, element.as_bytes());
    }
    if peer.trusted {
        if headers.contains_key(X_FORWARDED_FOR) {
            let address = peer.client(headers).to_string();
            headers.insert(X_REAL_IP, HeaderValue::from_str(&address).expect("an address is a header value"));
        }
        append(headers, X_FORWARDED_FOR, peer.address_value.as_bytes());
    } else {
        headers.insert(X_FORWARDED_FOR, peer.address_value.clone());
    }
    if !headers.contains_key(X_REAL_IP) {
        headers.insert(X_REAL_IP, peer.address_value.clone());
    }
    let scheme = headers.get(X_FORWARDED_PROTO).unwrap_or(&peer.scheme).clone();
    headers.insert(X_FORWARDED_SCHEME, scheme.clone());
    headers.insert(X_SCHEME, scheme.clone());
    headers.insert(X_FORWARDED_PROTO, scheme);
    if !headers.contains_key(X_FORWARDED_PORT) {
        headers.insert(X_FORWARDED_PORT, peer.port_value.clone());
    }
    if !headers.contains_key(X_FORWARDED_HOST)
        && let Some(host) = headers.get(header::HOST).cloned()
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// This hop in the words of RFC 7239 §4: addresses with colons are in brackets and quoted.
fn forwarded_element(headers: &HeaderMap, peer: &Peer) -> String {
    let node = match peer.address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    let proto = peer.scheme.to_str().expect("a scheme of ours is text");
    // A host that was inspected has no character that would need an escape.
    match headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty()) {
        Some(host) => format!("for={node};host=\"{host}\";proto={proto}"),
        None => format!("for={node};proto={proto}"),
    }
}

/// Makes one list of a field's values and `last`.
fn append(headers: &mut HeaderMap, name: HeaderName, last: &[u8]) {
    let mut all = Vec::new();
    for value in headers.get_all(&name) {
        all.extend_from_slice(value.as_bytes());
        all.extend_from_slice(b", ");
    }
    all.extend_from_slice(last);
    let list = HeaderValue::from_maybe_shared(Bytes::from(all)).expect("a list of header values is one");
    headers.insert(name, list);
}

/// Adds this hop to `Via` (RFC 9110 §7.6.3).
fn passed(headers: &mut HeaderMap, version: Version, name: &HeaderValue) {
    let version: &[u8] = match version {
        Version::HTTP_2 => b"2.0 ",
        Version::HTTP_10 => b"1.0 ",
        _ => b"1.1 ",
    };
    append(headers, header::VIA, &[version, name.as_bytes()].concat());
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(header::TE).iter().any(|value| {
        value.as_bytes().split(|b| *b == b',').any(|coding| {
            coding.split(|b| *b == b';').next().is_some_and(|c| c.trim_ascii().eq_ignore_ascii_case(b"trailers"))
        })
    })
}

/// Removes the fields whose names `doomed` says, and those that `Connection` names.
fn take_off(headers: &mut HeaderMap, doomed: impl Fn(&str) -> bool) {
    let mut few: [Option<HeaderName>; 8] = Default::default();
    let mut many = Vec::new();
    let mut slots = few.iter_mut();
    let mut doom = |name: HeaderName| match slots.next() {
        Some(slot) => *slot = Some(name),
        None => many.push(name),
    };
    for name in headers.keys() {
        if doomed(name.as_str()) {
            if *name == header::CONNECTION {
                nominated(headers, &mut doom);
            }
            doom(name.clone());
        }
    }
    for name in few.iter().flatten().chain(&many) {
        headers.remove(name);
    }
}

/// Fields of one hop (RFC 9110 §7.6.1), and `Proxy`, which servers of the CGI family take for their own setting.
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "upgrade"
            | "te"
            | "keep-alive"
            | "expect"
            | "proxy"
            | "proxy-connection"
            | "proxy-authorization"
            | "proxy-authenticate"
            | "http2-settings"
    )
}

/// Whether a client wants to go on in HTTP: requests in such a tunnel would pass by every rule of their paths.
fn speaks_http(upgrade: &HeaderValue) -> bool {
    let mut protocols = upgrade.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    protocols.any(|name| {
        let name = name.split(|byte| *byte == b'/').next().unwrap_or(name);
        name.eq_ignore_ascii_case(b"h2c") || name.eq_ignore_ascii_case(b"h2") || name.eq_ignore_ascii_case(b"http")
    })
}

/// Fields by which proxies say whom they speak for, and which certificate that client has shown.
pub fn is_forwarding(name: &str) -> bool {
    name.starts_with("x-forwarded-")
        || matches!(
            name,
            "forwarded"
                | "x-real-ip"
                | "x-scheme"
                | "ssl-client-cert"
                | "ssl-client-verify"
                | "ssl-client-subject-dn"
                | "ssl-client-issuer-dn"
        )
}

/// Framing, routing, forwarding and credentials are not for the other side to nominate.
pub fn may_be_nominated(name: &str) -> bool {
    !matches!(name, "host" | "content-length" | "transfer-encoding" | "authorization" | "cookie")
        && !is_forwarding(name)
}

fn nominated(headers: &HeaderMap, doom: &mut impl FnMut(HeaderName)) {
    for value in headers.get_all(header::CONNECTION) {
        for token in value.as_bytes().split(|b| *b == b',') {
            let token = token.trim_ascii();
            if token.eq_ignore_ascii_case(b"keep-alive") || token.eq_ignore_ascii_case(b"close") {
                continue;
            }
            if let Ok(name) = HeaderName::from_bytes(token)
                && may_be_nominated(name.as_str())
                && headers.contains_key(&name)
            {
                doom(name);
            }
        }
    }
}

/// Turns an endpoint's head into what the client gets.
pub fn rewrite_response(headers: &mut HeaderMap, rules: &HeadRules, upgrade: Option<HeaderValue>) {
    // How the body is framed on this side is decided here, not copied; chunks overrule a length (RFC 9112 §6.3).
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    take_off(headers, |name| is_hop_by_hop(name) || name == "transfer-encoding");
    if let Some(server) = &rules.server
        && !headers.contains_key(header::SERVER)
    {
        headers.insert(header::SERVER, server.clone());
    }
    if let Some(name) = &rules.via {
        passed(headers, Version::HTTP_11, name);
    }
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, UPGRADE);
        headers.insert(header::UPGRADE, protocol);
    }
}

/// Bytes of an answer's head, as one blank after each colon and no folding make it.
#[must_use]
pub fn answer_bytes<B>(response: &Response<B>) -> usize {
    const AROUND: usize = "HTTP/1.1 200 \r\n\r\n".len();
    let reason = match response.extensions().get::<ReasonPhrase>() {
        Some(reason) => reason.as_bytes().len(),
        None => response.status().canonical_reason().map_or(0, str::len),
    };
    let fields = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    AROUND + reason + fields.sum::<usize>()
}

#[cfg(test)]
mod tests;
