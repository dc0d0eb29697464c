//! Tables for heads: what is refused, what is taken off, what is added.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, StatusCode, Version};

use super::{Peer, inspect, rewrite_request, rewrite_response};

fn parts(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn peer(trusted: bool) -> Peer {
    Peer {
        address: [192, 0, 2, 7].into(),
        address_value: HeaderValue::from_static("192.0.2.7"),
        port_value: HeaderValue::from_static("7080"),
        scheme: HeaderValue::from_static("http"),
        trusted,
    }
}

fn rewritten(headers: &[(&str, &str)], trusted: bool) -> HeaderMap {
    let mut parts = parts("GET", "/", headers);
    let upgrade = inspect(&mut parts).ok().and_then(|inspected| inspected.upgrade);
    rewrite_request(&mut parts, &peer(trusted), upgrade, || HeaderValue::from_static("fresh"));
    parts.headers
}

fn get<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).map_or("", |value| value.to_str().expect("text"))
}

#[test]
fn requests_that_no_endpoint_may_see_are_refused() {
    let host = ("host", "h");
    for (method, target, headers, wanted) in [
        ("GET", "/", vec![], StatusCode::BAD_REQUEST),
        ("GET", "/", vec![host, host], StatusCode::BAD_REQUEST),
        ("GET", "/", vec![("host", "a@b")], StatusCode::BAD_REQUEST),
        ("GET", "/", vec![("host", "a:0")], StatusCode::BAD_REQUEST),
        ("GET", "/", vec![("host", "a:70000")], StatusCode::BAD_REQUEST),
        ("GET", "/", vec![("host", "a/b")], StatusCode::BAD_REQUEST),
        ("GET", "/a/../b", vec![host], StatusCode::BAD_REQUEST),
        ("GET", "/a/%2e%2e/b", vec![host], StatusCode::BAD_REQUEST),
        ("GET", "/%00", vec![host], StatusCode::BAD_REQUEST),
        ("GET", "*", vec![host], StatusCode::BAD_REQUEST),
        ("POST", "/", vec![host, ("transfer-encoding", "gzip, chunked")], StatusCode::BAD_REQUEST),
        ("POST", "/", vec![host, ("transfer-encoding", "chunked, chunked")], StatusCode::BAD_REQUEST),
        (
            "POST",
            "/",
            vec![host, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            StatusCode::BAD_REQUEST,
        ),
        ("POST", "/", vec![host, ("expect", "200-maybe")], StatusCode::EXPECTATION_FAILED),
        ("TRACE", "/", vec![host], StatusCode::METHOD_NOT_ALLOWED),
        ("CONNECT", "h:80", vec![host], StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let refusal = inspect(&mut parts(method, target, &headers)).err().map(|refusal| refusal.status);
        assert_eq!(refusal, Some(wanted), "{method} {target} {headers:?}");
    }
}

#[test]
fn an_absolute_target_takes_the_place_of_the_host_field() {
    let mut absolute = parts("GET", "http://A.example:80?q=1", &[("host", "b")]);
    let inspected = inspect(&mut absolute).expect("fine");
    assert_eq!(inspected.host.as_str(), "a.example");
    assert_eq!(absolute.uri.to_string(), "/?q=1");
    assert_eq!(get(&absolute.headers, "host"), "A.example:80");
    assert!(inspect(&mut parts("GET", "http://u@a/", &[("host", "a")])).is_err());
    let mut old = parts("GET", "/", &[]);
    old.version = Version::HTTP_10;
    assert_eq!(inspect(&mut old).expect("fine").host.as_str(), "");
    assert!(inspect(&mut parts("OPTIONS", "*", &[("host", "a")])).is_ok());
}

#[test]
fn hop_by_hop_fields_and_what_connection_names_are_taken_off() {
    let headers = rewritten(
        &[
            ("host", "h"),
            ("connection", "close, X-Private, host, X-Forwarded-For, content-length"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("proxy", "http://evil"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("x_forwarded_for", "6.6.6.6"),
            ("expect", "100-continue"),
            ("accept", "*/*"),
        ],
        false,
    );
    let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    for name in [
        "connection",
        "x-private",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "proxy",
        "te",
        "upgrade",
        "x_forwarded_for",
        "expect",
    ] {
        assert!(!names.contains(&name), "{name} in {names:?}");
    }
    assert_eq!((get(&headers, "host"), get(&headers, "accept")), ("h", "*/*"));
    assert_eq!(get(&headers, "x-forwarded-for"), "192.0.2.7");
}

#[test]
fn forwarding_fields_are_ours_unless_the_peer_is_trusted() {
    let sent = [
        ("host", "h:7080"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil"),
        ("x-real-ip", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6"),
        ("x-request-id", "mine"),
    ];
    for (trusted, wanted) in [
        (false, ["192.0.2.7", "http", "h:7080", "7080", "192.0.2.7", "", "mine"]),
        (true, ["6.6.6.6, 192.0.2.7", "https", "evil", "7080", "6.6.6.6", "for=6.6.6.6", "mine"]),
    ] {
        let headers = rewritten(&sent, trusted);
        let names = [
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-real-ip",
            "forwarded",
            "x-request-id",
        ];
        assert_eq!(names.map(|name| get(&headers, name)), wanted, "trusted: {trusted}");
    }
    for id in ["", "with space", &"x".repeat(129)] {
        assert_eq!(get(&rewritten(&[("host", "h"), ("x-request-id", id)], false), "x-request-id"), "fresh");
    }
}

#[test]
fn an_upgrade_needs_both_fields_and_trailers_pass() {
    let upgraded = rewritten(&[("host", "h"), ("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")], false);
    assert_eq!((get(&upgraded, "connection"), get(&upgraded, "upgrade")), ("upgrade", "websocket"));
    let alone = rewritten(&[("host", "h"), ("upgrade", "websocket")], false);
    assert_eq!((get(&alone, "connection"), get(&alone, "upgrade")), ("", ""));
    let trailers = rewritten(&[("host", "h"), ("te", "gzip;q=0.5, Trailers")], false);
    assert_eq!((get(&trailers, "te"), get(&trailers, "connection")), ("trailers", "te"));
    let mut old = parts("GET", "/", &[("host", "h"), ("connection", "upgrade"), ("upgrade", "websocket")]);
    old.version = Version::HTTP_10;
    assert!(inspect(&mut old).expect("fine").upgrade.is_none());
    assert_eq!(old.method, Method::GET);
}

#[test]
fn answers_lose_hop_by_hop_fields_and_get_a_server() {
    let mut headers = parts(
        "GET",
        "/",
        &[
            ("connection", "x-hop, close"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("keep-alive", "x"),
            ("content-length", "3"),
        ],
    )
    .headers;
    rewrite_response(&mut headers, &HeaderValue::from_static("fedgate"), None);
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "server"]);
    let mut own = parts("GET", "/", &[("server", "theirs")]).headers;
    rewrite_response(&mut own, &HeaderValue::from_static("fedgate"), Some(HeaderValue::from_static("websocket")));
    assert_eq!(
        (get(&own, "server"), get(&own, "connection"), get(&own, "upgrade")),
        ("theirs", "upgrade", "websocket")
    );
}
