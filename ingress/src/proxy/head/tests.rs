//! Tables for heads: what is refused, what is taken off, what is added.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, StatusCode, Version};

use super::{Peer, inspect, rewrite_request, rewrite_response};
use crate::config::HeadRules;

fn parts(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn peer(trusted: bool) -> Peer {
    let range = if trusted { "192.0.2.0/24" } else { "198.51.100.0/24" };
    Peer::new([192, 0, 2, 7].into(), 7080, false, &vec![range.parse().expect("a range")].into())
}

fn rewritten(headers: &[(&str, &str)], trusted: bool) -> HeaderMap {
    let mut parts = parts("GET", "/", headers);
    let upgrade = inspect(&mut parts, &HeadRules::default()).ok().and_then(|inspected| inspected.upgrade);
    rewrite_request(&mut parts, &peer(trusted), &HeadRules::default(), upgrade, || HeaderValue::from_static("fresh"));
    parts.headers
}

fn get<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).map_or("", |value| value.to_str().expect("text"))
}

/// Ingress: 3, 9, 10, 12
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
        let refusal =
            inspect(&mut parts(method, target, &headers), &HeadRules::default()).err().map(|refusal| refusal.status);
        assert_eq!(refusal, Some(wanted), "{method} {target} {headers:?}");
    }
}

/// Ingress: 9, 10, 12
#[test]
fn an_absolute_target_takes_the_place_of_the_host_field() {
    let mut absolute = parts("GET", "http://A.example:80?q=1", &[("host", "b")]);
    let inspected = inspect(&mut absolute, &HeadRules::default()).expect("fine");
    assert_eq!(inspected.host.as_str(), "a.example");
    assert_eq!(absolute.uri.to_string(), "/?q=1");
    assert_eq!(get(&absolute.headers, "host"), "A.example:80");
    assert!(inspect(&mut parts("GET", "http://u@a/", &[("host", "a")]), &HeadRules::default()).is_err());
    let mut old = parts("GET", "/", &[]);
    old.version = Version::HTTP_10;
    assert_eq!(inspect(&mut old, &HeadRules::default()).expect("fine").host.as_str(), "");
    assert!(inspect(&mut parts("OPTIONS", "*", &[("host", "a")]), &HeadRules::default()).is_ok());
}

/// Ingress: 26, 27, 33, 34
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

/// Ingress: 31, 32
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
        (
            true,
            [
                "6.6.6.6, 192.0.2.7",
                "https",
                "evil",
                "7080",
                "6.6.6.6",
                "for=6.6.6.6, for=192.0.2.7;host=\"h:7080\";proto=http",
                "mine",
            ],
        ),
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
    assert!(inspect(&mut old, &HeadRules::default()).expect("fine").upgrade.is_none());
    assert_eq!(old.method, Method::GET);
}

/// Ingress: 26, 30
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
            ("etag", "e"),
        ],
    )
    .headers;
    rewrite_response(&mut headers, &HeadRules::default(), None);
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["etag", "server"]);
    let mut own = parts("GET", "/", &[("server", "theirs")]).headers;
    rewrite_response(&mut own, &HeadRules::default(), Some(HeaderValue::from_static("websocket")));
    assert_eq!(
        (get(&own, "server"), get(&own, "connection"), get(&own, "upgrade")),
        ("theirs", "upgrade", "websocket")
    );
}

/// Ingress: 32
#[test]
fn the_client_is_the_nearest_hop_that_no_trusted_proxy_is() {
    let peer = |proxies: &[&str]| {
        let proxies: Vec<_> = proxies.iter().map(|range| range.parse().expect("a range")).collect();
        Peer::new([192, 0, 2, 7].into(), 80, false, &proxies.into())
    };
    let (one, two) = (["192.0.2.0/24"], ["192.0.2.0/24", "10.0.0.0/8"]);
    for (proxies, chain, wanted) in [
        (&[][..], vec!["1.1.1.1"], "192.0.2.7"),
        (&one[..], vec![], "192.0.2.7"),
        (&one[..], vec!["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
        (&one[..], vec!["6.6.6.6", "1.1.1.1"], "1.1.1.1"),
        (&one[..], vec!["6.6.6.6, 10.0.0.1"], "10.0.0.1"),
        (&two[..], vec!["6.6.6.6, 1.1.1.1, 10.0.0.2 ,10.0.0.1"], "1.1.1.1"),
        (&two[..], vec!["6.6.6.6, 1.1.1.1", "10.0.0.1"], "1.1.1.1"),
        (&two[..], vec!["10.0.0.2, 10.0.0.1"], "10.0.0.2"),
        (&two[..], vec!["1.1.1.1, unknown, 10.0.0.1"], "10.0.0.1"),
        (&one[..], vec![""], "192.0.2.7"),
        (&one[..], vec!["1.1.1.1:1234"], "1.1.1.1"),
        (&one[..], vec!["[2001:db8::1]:80"], "2001:db8::1"),
        (&one[..], vec!["[2001:db8::1]"], "2001:db8::1"),
        (&one[..], vec!["2001:db8::1"], "2001:db8::1"),
        (&one[..], vec!["::ffff:1.1.1.1"], "1.1.1.1"),
    ] {
        let fields: Vec<_> = chain.iter().map(|value| ("x-forwarded-for", *value)).collect();
        let sent = parts("GET", "/", &fields);
        assert_eq!(peer(proxies).client(&sent.headers).to_string(), wanted, "{proxies:?} {chain:?}");
    }
    let sent = [("host", "h"), ("x-forwarded-for", "6.6.6.6, 1.1.1.1"), ("x-forwarded-for", "2.2.2.2")];
    let headers = rewritten(&sent, true);
    assert_eq!(get(&headers, "x-real-ip"), "2.2.2.2", "what the client says of itself is passed by");
    assert_eq!(get(&headers, "x-forwarded-for"), "6.6.6.6, 1.1.1.1, 2.2.2.2, 192.0.2.7");
}

/// Ingress: 31, 32, 33
#[test]
fn further_fields_are_a_matter_of_the_rules() {
    let rules = HeadRules {
        underscores: true,
        trace: true,
        forwarded: true,
        via: Some(HeaderValue::from_static("gate-1")),
        server: None,
        target_bytes: 20,
        ..HeadRules::default()
    };
    let with = |address: &str, sent: &[(&str, &str)]| {
        let mut parts = parts("GET", "/", sent);
        inspect(&mut parts, &rules).map(|_| ()).expect("fine");
        let peer = Peer::new(address.parse().expect("an address"), 443, true, &Vec::new().into());
        rewrite_request(&mut parts, &peer, &rules, None, || HeaderValue::from_static("fresh"));
        parts.headers
    };
    let headers = with("2001:db8::7", &[("host", "h:1"), ("forwarded", "for=6.6.6.6"), ("x_y", "z"), ("via", "1.0 a")]);
    assert_eq!(get(&headers, "forwarded"), "for=\"[2001:db8::7]\";host=\"h:1\";proto=https");
    assert_eq!((get(&headers, "x_y"), get(&headers, "via")), ("z", "1.0 a, 1.1 gate-1"));
    let headers = with("192.0.2.7", &[("host", ""), ("x-forwarded-prefix", "/evil"), ("x-forwarded-ssl", "on")]);
    assert_eq!(get(&headers, "forwarded"), "for=192.0.2.7;proto=https");
    assert!(!headers.contains_key("x-forwarded-prefix") && !headers.contains_key("x-forwarded-ssl"));
    let seen = |method, target, sent: &[(&str, &str)]| {
        let mut parts = parts(method, target, sent);
        inspect(&mut parts, &rules).map(|_| parts).map_err(|refusal| refusal.status)
    };
    let host = ("host", "h");
    assert_eq!(seen("GET", "/", &[host, ("via", "1.1 a, 2.0 GATE-1 (x)")]).err(), Some(StatusCode::LOOP_DETECTED));
    assert_eq!(seen("GET", "/a?b234567890123456789", &[host]).err(), Some(StatusCode::URI_TOO_LONG));
    assert!(seen("TRACE", "/", &[host]).is_ok());
}

/// Ingress: 30
#[test]
fn max_forwards_is_counted_down_where_it_means_something() {
    let seen = |method, left| {
        let mut parts = parts(method, "/", &[("host", "h"), ("max-forwards", left)]);
        let refusal = inspect(&mut parts, &HeadRules::default()).err().map(|refusal| refusal.status);
        refusal.ok_or_else(|| get(&parts.headers, "max-forwards").to_owned())
    };
    assert_eq!(seen("OPTIONS", "2"), Err("1".to_owned()));
    assert_eq!(seen("OPTIONS", "0"), Ok(StatusCode::OK));
    assert_eq!(seen("OPTIONS", "x"), Ok(StatusCode::BAD_REQUEST));
    assert_eq!(seen("GET", "0"), Err("0".to_owned()));
}

/// Ingress: 31
#[test]
fn trace_context_passes_as_it_came() {
    let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let sent = [("host", "h"), ("traceparent", context), ("tracestate", "a=1"), ("tracestate", "b=2")];
    let headers = rewritten(&sent, false);
    assert_eq!(get(&headers, "traceparent"), context);
    assert_eq!(headers.get_all("tracestate").iter().count(), 2);
}
