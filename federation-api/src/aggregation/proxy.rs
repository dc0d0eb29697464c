//! A request handed on to the server that answers for its group version, as the user that we know it is from.
//!
//! Streams and upgrades go through; redirects are not followed and no credential of the user travels. What goes wrong
//! here is answered as plain text. Source: k8s.io/kube-aggregator `pkg/apiserver/handler_proxy.go`,
//! k8s.io/apimachinery `pkg/util/proxy/upgradeaware.go`.

use std::sync::Arc;
use std::time::Duration;

use auth::UserInfo;
use bytes::Bytes;
use futures_util::Stream;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::service::Remote;
use crate::answer;
use crate::body::{Body, BrokenOff, RequestBody};
use crate::error::ApiError;
use crate::hook::{Line, Outgoing};
use crate::limit::{Place, REQUEST_TIMEOUT};
use crate::server::Server;
use crate::tunnel::{Tunnel, without_tokens};

/// How long discovery may take: clients wait for all of it.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);
const REDIRECTED: &str = "the backend attempted to redirect this request, which is not permitted";
const USER: HeaderName = HeaderName::from_static("x-remote-user");
const UID: HeaderName = HeaderName::from_static("x-remote-uid");
const GROUP: HeaderName = HeaderName::from_static("x-remote-group");
const EXTRA: &str = "x-remote-extra-";
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Headers that are about one connection, not about what goes over it.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What a connection may be switched to. Over another protocol a user could send requests of his own, which the other
/// server would take for ours: it knows this connection by our certificate.
const TUNNELS: [&str; 2] = ["websocket", "SPDY/3.1"];

/// A request that was authenticated and authorized.
pub(crate) struct Forward {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    /// The path as it was authorized.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) user: Arc<UserInfo>,
    pub(crate) peer: Option<std::net::IpAddr>,
    pub(crate) upgrade: Option<OnUpgrade>,
    pub(crate) body: RequestBody,
    /// The place of a stream that stays open; a request without one has to come to an end.
    pub(crate) place: Option<Place>,
    pub(crate) is_stream: bool,
}

/// Whether a request asks for a protocol that its connection may be switched to.
pub(crate) fn is_tunnel(headers: &HeaderMap) -> bool {
    let mut asked = headers.get_all(header::UPGRADE).iter();
    let known =
        |value: &HeaderValue| TUNNELS.iter().any(|known| value.as_bytes().eq_ignore_ascii_case(known.as_bytes()));
    asked.next().is_some_and(known) && asked.next().is_none()
}

/// Hands the request on and the answer back.
///
/// # Errors
/// 504 where the server does not begin to answer within the time of a request.
pub(crate) async fn forward(server: &Arc<Server>, remote: &Remote, asked: Forward) -> Result<Response<Body>, ApiError> {
    if !remote.available {
        return Ok(refuse(StatusCode::SERVICE_UNAVAILABLE, "service unavailable"));
    }
    if is_discovery(&asked.path) {
        let ends = Instant::now() + DISCOVERY_TIMEOUT;
        let late = || refuse(StatusCode::SERVICE_UNAVAILABLE, "context deadline exceeded");
        return Ok(exchange(server, remote, asked, ends).await.unwrap_or_else(late));
    }
    let ends = Instant::now() + REQUEST_TIMEOUT;
    let late = || ApiError::Timeout("request did not complete within the allotted timeout".to_owned());
    exchange(server, remote, asked, ends).await.ok_or_else(late)
}

/// One exchange; none where it does not begin in time.
async fn exchange(server: &Arc<Server>, remote: &Remote, asked: Forward, ends: Instant) -> Option<Response<Body>> {
    let Forward { method, uri, path, headers, user, peer, mut upgrade, body, place, is_stream } = asked;
    let wants = headers.get(header::UPGRADE).cloned().filter(|_| upgrade.is_some());
    let Ok(target) = target(&path, uri.query()) else {
        return Some(refuse(StatusCode::BAD_REQUEST, "the path cannot be handed on"));
    };
    let mut request = Request::new(Outgoing::new(body.into_inner()));
    *request.method_mut() = method;
    *request.uri_mut() = target.into();
    *request.headers_mut() = outgoing(headers, wants.as_ref());
    if !introduce(&user, request.headers_mut()) {
        return Some(refuse(StatusCode::INTERNAL_SERVER_ERROR, "the name of the user cannot be handed on"));
    }
    forwarded_for(peer, request.headers_mut());
    let exchange = server.hooks.exchange(server, &remote.destination, request);
    let (response, line) = match tokio::time::timeout_at(ends, exchange).await {
        Ok(Ok(exchanged)) => exchanged,
        Ok(Err(reason)) => {
            tracing::debug!(name = %remote.name, %reason, "an aggregated API server does not answer");
            return Some(refuse(StatusCode::SERVICE_UNAVAILABLE, &unreachable(&reason)));
        }
        Err(_) => return None,
    };
    let code = response.status();
    if code == StatusCode::SWITCHING_PROTOCOLS {
        let offer = wants.zip(upgrade.take());
        return Some(switch(server, remote, (response, offer), (line, place)));
    }
    if wants.is_some() && code.as_u16() < 400 {
        let why = format!("invalid upgrade response: status code {}", code.as_u16());
        return Some(refuse(StatusCode::SERVICE_UNAVAILABLE, &why));
    }
    let to = response.headers().get(header::LOCATION).filter(|to| !to.is_empty() && code.is_redirection());
    if to.is_some_and(|to| !is_newer_document(&path, to)) {
        return Some(refuse(StatusCode::BAD_GATEWAY, REDIRECTED));
    }
    let (mut parts, body) = response.into_parts();
    drop_hop_by_hop(&mut parts.headers);
    let until = (!is_stream).then_some(ends);
    let chunks = chunks(Arc::clone(server), remote.clone(), (body, line), until);
    Some(Response::from_parts(parts, Body::fallible(chunks).holding(place)))
}

/// Whether a redirect leads to the same OpenAPI document under the hash that it has by now.
fn is_newer_document(path: &str, to: &HeaderValue) -> bool {
    let rest = to.to_str().ok().and_then(|to| to.strip_prefix(path));
    path.starts_with("/openapi/v3/") && rest.is_some_and(|rest| rest.starts_with("?hash="))
}

/// `/apis/GROUP/VERSION` and nothing below.
fn is_discovery(path: &str) -> bool {
    path.trim_matches('/').split('/').count() == 3
}

/// Upstream's text where there is no endpoint to hand a request to.
fn unreachable(reason: &str) -> String {
    let unresolved = ["service ", "no service port ", "no endpoints available "];
    if unresolved.iter().any(|start| reason.starts_with(start)) {
        "service unavailable".to_owned()
    } else {
        format!("error trying to reach service: {reason}")
    }
}

fn refuse(code: StatusCode, text: &str) -> Response<Body> {
    let mut response = answer::text(code, format!("{text}\n"));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The path as it was authorized, written anew: what is authorized is what is asked for.
fn target(path: &str, query: Option<&str>) -> Result<PathAndQuery, http::uri::InvalidUri> {
    let mut out = String::with_capacity(path.len() + query.map_or(0, |query| query.len() + 1));
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'-' | b'_' | b'.' | b'~' | b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    if let Some(query) = query {
        out.push('?');
        out.push_str(query);
    }
    PathAndQuery::try_from(out)
}

/// The headers that travel: nothing about the connection, and nothing that could pass for a credential.
fn outgoing(mut headers: HeaderMap, upgrade: Option<&HeaderValue>) -> HeaderMap {
    drop_hop_by_hop(&mut headers);
    headers.remove(header::AUTHORIZATION);
    headers.remove(header::HOST);
    let forged = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("x-remote-") || name.starts_with("impersonate-")
    };
    let forged: Vec<HeaderName> = headers.keys().filter(|name| forged(name)).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
    if let header::Entry::Occupied(offered) = headers.entry(header::SEC_WEBSOCKET_PROTOCOL) {
        let (name, values) = offered.remove_entry_mult();
        let kept: Vec<HeaderValue> = values.filter_map(|value| without_tokens(&value)).collect();
        for value in kept {
            headers.append(name.clone(), value);
        }
    }
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
    headers
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in listed.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Says who asks; false where his name is one that no header can hold as it is.
pub(super) fn introduce(user: &UserInfo, headers: &mut HeaderMap) -> bool {
    // Readers take spaces off the ends: the name would become another's.
    let word = |value: &str| HeaderValue::from_bytes(value.as_bytes()).ok().filter(|_| value.trim() == value);
    let Some(name) = word(&user.name) else { return false };
    headers.insert(USER, name);
    let mut add = |name: &HeaderName, value: &str| match word(value) {
        Some(value) => {
            headers.append(name.clone(), value);
        }
        None => tracing::debug!(%name, "a part of an identity cannot be handed on and is left out"),
    };
    if !user.uid.is_empty() {
        add(&UID, &user.uid);
    }
    user.groups.iter().for_each(|group| add(&GROUP, group));
    for (key, values) in &user.extra {
        let Ok(name) = HeaderName::try_from(format!("{EXTRA}{}", escaped(key))) else { continue };
        values.iter().for_each(|value| add(&name, value));
    }
    true
}

/// A key as a part of a header's name: what no name may hold is written in hexadecimal.
fn escaped(key: &str) -> String {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte);
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        if legal(byte) { out.push(char::from(byte)) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
}

fn forwarded_for(peer: Option<std::net::IpAddr>, headers: &mut HeaderMap) {
    let Some(peer) = peer else { return };
    let before: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let chain = before.into_iter().map(str::to_owned).chain([peer.to_string()]).collect::<Vec<_>>().join(", ");
    if let Ok(chain) = HeaderValue::try_from(chain) {
        headers.insert(FORWARDED_FOR, chain);
    }
}

/// Joins both connections, where that is what was asked for.
fn switch(
    server: &Server,
    remote: &Remote,
    (response, offer): (Response<Incoming>, Option<(HeaderValue, OnUpgrade)>),
    held: (Line, Option<Place>),
) -> Response<Body> {
    let to = response.headers().get(header::UPGRADE).cloned();
    let accepted =
        offer.filter(|(asked, _)| to.as_ref().is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(asked.as_bytes())));
    let Some((_, downstream)) = accepted else {
        let why = "the backend switched protocols without having been asked to";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = response.headers().clone();
    drop_hop_by_hop(answer.headers_mut());
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Some(to) = to {
        answer.headers_mut().insert(header::UPGRADE, to);
    }
    let closed: CancellationToken = server.draining.clone();
    let tunnel = Tunnel { downstream, upstream: hyper::upgrade::on(response), closed };
    tokio::spawn(tunnel.run(remote.name.clone(), held));
    answer
}

/// The answer's body as it comes; its connection is kept once all of it is read. What does not come to its end, or not in
/// time, breaks off here too.
fn chunks(
    server: Arc<Server>,
    remote: Remote,
    (body, line): (Incoming, Line),
    until: Option<Instant>,
) -> impl Stream<Item = Result<Bytes, BrokenOff>> + Send {
    let draining = server.draining.clone();
    let late = async move {
        match until {
            Some(until) => {
                tokio::time::sleep_until(until).await;
                Some(Err(BrokenOff))
            }
            None => {
                draining.cancelled_owned().await;
                None
            }
        }
    };
    let state = (body, Box::pin(late), line);
    futures_util::stream::unfold(Some(state), move |state| {
        let (server, remote) = (Arc::clone(&server), remote.clone());
        async move {
            let (mut body, mut late, line) = state?;
            let next = tokio::select! {
                cut = &mut late => return cut.map(|cut| (cut, None)),
                next = body.frame() => next,
            };
            match next {
                Some(Ok(frame)) => {
                    let bytes = frame.into_data().unwrap_or_else(|_trailers| Bytes::new());
                    if !body.is_end_stream() {
                        return Some((Ok(bytes), Some((body, late, line))));
                    }
                    // Nobody asks for more where the length was said.
                    server.hooks.keep(&remote.destination, line);
                    Some((Ok(bytes), None))
                }
                Some(Err(error)) => {
                    tracing::debug!(name = %remote.name, %error, "an aggregated API server broke off its answer");
                    Some((Err(BrokenOff), None))
                }
                None => {
                    server.hooks.keep(&remote.destination, line);
                    None
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use auth::UserInfo;
    use http::{HeaderMap, HeaderName, HeaderValue, header};

    use super::{introduce, is_newer_document, is_tunnel, outgoing, target};

    /// Protocol: G1, SR6
    #[test]
    fn only_our_word_for_the_user_travels() {
        let mut sent = HeaderMap::new();
        for (name, value) in [
            ("accept", "application/json"),
            ("authorization", "Bearer secret"),
            ("x-remote-user", "secret"),
            ("x-remote-group", "secret"),
            ("x-remote-uid", "secret"),
            ("x-remote-extra-scopes", "secret"),
            ("impersonate-user", "secret"),
            ("impersonate-extra-a", "secret"),
            ("connection", "keep-alive, x-mine"),
            ("x-mine", "secret"),
            ("te", "trailers"),
            ("http2-settings", "secret"),
            ("transfer-encoding", "chunked"),
            ("proxy-authorization", "secret"),
            ("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.secret, v5.channel.k8s.io"),
            ("host", "hub"),
        ] {
            sent.append(name, HeaderValue::from_static(value));
        }
        let mut user = UserInfo::new("Jane", ["a", "b"]);
        user.uid = "u-1".to_owned();
        user.extra.insert("example.com/scope%".to_owned(), vec!["x".to_owned(), "y".to_owned()]);
        let mut out = outgoing(sent.clone(), None);
        assert!(introduce(&user, &mut out));
        for bad in [" root", "root ", "a\nb"] {
            assert!(!introduce(&UserInfo::new(bad, ["a"]), &mut HeaderMap::new()), "{bad:?}");
        }
        let text = |name: &str| -> Vec<String> {
            let name: HeaderName = name.parse().expect("a name");
            out.get_all(name).iter().map(|value| value.to_str().expect("text").to_owned()).collect()
        };
        assert_eq!(text("x-remote-user"), ["Jane"]);
        assert_eq!(text("x-remote-uid"), ["u-1"]);
        assert_eq!(text("x-remote-group"), ["a", "b"]);
        assert_eq!(text("x-remote-extra-example.com%2fscope%25"), ["x", "y"]);
        assert_eq!(text("sec-websocket-protocol"), ["v5.channel.k8s.io"]);
        assert_eq!(text("accept"), ["application/json"]);
        assert!(out.values().all(|value| !value.to_str().expect("text").contains("secret")), "{out:?}");
        for gone in ["host", "connection", "te", "transfer-encoding", "upgrade"] {
            assert!(text(gone).is_empty(), "{gone}");
        }
        let upgraded = outgoing(sent, Some(&HeaderValue::from_static("websocket")));
        assert_eq!(upgraded[header::UPGRADE], "websocket");
    }

    /// Protocol: G1, SR3
    #[test]
    fn a_connection_becomes_nothing_that_requests_go_over() {
        for (asked, tunnel) in [
            (&["websocket"][..], true),
            (&["WebSocket"], true),
            (&["SPDY/3.1"], true),
            (&["h2c"], false),
            (&["websocket, h2c"], false),
            (&["websocket", "h2c"], false),
            (&["TLS/1.0"], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for one in asked {
                headers.append(header::UPGRADE, HeaderValue::from_static(one));
            }
            assert_eq!(is_tunnel(&headers), tunnel, "{asked:?}");
        }
    }

    /// Protocol: G1
    #[test]
    fn the_path_that_was_authorized_is_the_one_that_is_asked() {
        for (path, query, want) in [
            ("/apis/g/v1/namespaces/a/xs", None, "/apis/g/v1/namespaces/a/xs"),
            ("/apis/g/v1/a b?#", Some("x=%20"), "/apis/g/v1/a%20b%3F%23?x=%20"),
            ("/apis/g/v1/%2e", Some(""), "/apis/g/v1/%252e?"),
        ] {
            assert_eq!(target(path, query).expect("a path").as_str(), want);
        }
    }

    /// Protocol: G1, O2
    #[test]
    fn only_a_stale_hash_is_redirected() {
        let document = "/openapi/v3/apis/g/v1";
        for (path, to, safe) in [
            (document, "/openapi/v3/apis/g/v1?hash=A", true),
            (document, "/openapi/v3/apis/g/v1/x?hash=A", false),
            (document, "//evil/openapi/v3/apis/g/v1?hash=A", false),
            (document, "https://evil/?hash=A", false),
            ("/apis/g/v1", "/apis/g/v1?hash=A", false),
        ] {
            assert_eq!(is_newer_document(path, &HeaderValue::from_static(to)), safe, "{to}");
        }
    }
}
