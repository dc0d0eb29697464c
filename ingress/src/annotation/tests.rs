//! Tables: what values come to, and what is said of those that cannot be read.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;

use super::table::{self, Verdict};
use super::{Reading, Weight, judge, of_routing, read};
use crate::route::policy::{BodyLimit, Origin, Origins, Piece, Policy, Rate, WhenHttps};
use crate::route::{Retries, Upkeep};

fn reading(given: &[(&str, &str)]) -> Reading {
    read(&given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

#[test]
fn nothing_asked_is_the_default() {
    assert_eq!(reading(&[]), Reading::default());
    assert_eq!(Policy::default().https.when, WhenHttps::Certified);
}

#[test]
fn ours_wins_over_nginx_and_others_are_not_for_us() {
    let given = [
        ("nginx.ingress.kubernetes.io/app-root", "/a"),
        ("ingress.fedgate.dev/app-root", "/b"),
        ("nginx.ingress.kubernetes.io/limit-rps", "5"),
        ("example.com/app-root", "/c"),
    ];
    let both: BTreeMap<_, _> = of_routing(given.into_iter());
    assert_eq!(both, BTreeMap::from([("app-root".into(), "/b".into()), ("limit-rps".into(), "5".into())]));
    let reversed = of_routing(given.into_iter().rev());
    assert_eq!(both, reversed, "whatever their order");
}

#[test]
fn every_annotation_that_works_is_read_and_no_other() {
    // A value that fits nowhere: whoever reads it says so.
    for row in table::all() {
        let told = reading(&[(row.name, "\u{7f}(")]);
        let said = told.findings.iter().find(|finding| finding.name == row.name);
        match row.verdict {
            Verdict::Ignored(_) => assert_eq!(said, None, "{}", row.name),
            Verdict::Refused(_) => assert!(said.is_some_and(|it| it.message.contains("not supported")), "{}", row.name),
            Verdict::Works | Verdict::Differs(_) => {
                let message = &said.expect(row.name).message;
                assert!(message.starts_with("\"\\u{7f}(\"") && message.len() > 12, "{}: {message}", row.name);
            }
        }
        let weight = if row.guards { Weight::Closes } else { Weight::Lost };
        assert!(said.is_none_or(|said| said.weight == weight), "{}", row.name);
        assert_eq!(told.policy.closed.is_some(), row.guards, "{}", row.name);
    }
    assert!(reading(&[("colour", "red")]).findings[0].message.contains("no annotation that is known"));
}

#[test]
fn redirects() {
    let permanent = reading(&[("permanent-redirect", "https://a.example/x?y=1")]).policy.redirect.expect("one");
    assert_eq!(
        (permanent.status, permanent.to.as_bytes()),
        (StatusCode::MOVED_PERMANENTLY, &b"https://a.example/x?y=1"[..])
    );
    let both = [
        ("permanent-redirect", "https://a.example"),
        ("temporal-redirect", "http://b.example"),
        ("temporal-redirect-code", "307"),
    ];
    let temporal = reading(&both).policy.redirect.expect("one");
    assert_eq!(
        (temporal.status, temporal.to.as_bytes()),
        (StatusCode::TEMPORARY_REDIRECT, &b"http://b.example"[..]),
        "it wins"
    );
    for odd in ["javascript:alert(1)", "/x", "https://$host/", "https://a\nb", "ftp://a.example"] {
        let told = reading(&[("permanent-redirect", odd)]);
        assert!(told.policy.redirect.is_none() && told.findings.len() == 1, "{odd:?}");
    }
    let code = reading(&[("permanent-redirect", "https://a.example"), ("permanent-redirect-code", "200")]);
    assert_eq!(code.policy.redirect.expect("one").status, StatusCode::MOVED_PERMANENTLY, "as upstream");
    for (given, when) in [
        (&[("ssl-redirect", "false")][..], WhenHttps::Never),
        (&[("ssl-redirect", "F"), ("force-ssl-redirect", "1")][..], WhenHttps::Always),
        (&[("ssl-redirect", "maybe")][..], WhenHttps::Certified),
    ] {
        assert_eq!(reading(given).policy.https.when, when, "{given:?}");
    }
    assert!(reading(&[("app-root", "x")]).policy.app_root.is_none());
}

/// Ingress: 74
#[test]
fn bad_values_are_told_with_what_is_wanted_and_count_as_absent() {
    for (name, value, wanted) in [
        ("permanent-redirect-code", "999", "\"999\" is not a whole number from 300 to 308"),
        ("temporal-redirect-code", "abc", "\"abc\" is not a whole number from 300 to 307"),
        ("session-cookie-samesite", "Foo", "\"Foo\" is not one of None, Lax, Strict"),
        ("session-cookie-path", "x", "\"x\": session-cookie-path: \"x\" cannot stand in a cookie"),
        ("affinity", "ip", "\"ip\" is not cookie, which is all that is known here"),
        ("cors-max-age", "-1", "\"-1\" is not a whole number from 0 on"),
        ("cors-allow-credentials", "yes", "\"yes\" is not true or false"),
        ("canary-weight", "10%", "\"10%\" is not a whole number from 0 on"),
        ("auth-cache-duration", "often", "\"often\" is not a list such as 200 202 10m, 401 30s"),
        ("upstream-hash-by-subset-size", "0", "\"0\" is not a whole number from 1 on"),
        ("health-check-interval", "soon", "\"soon\" is not a number of seconds, up to a year of them"),
        (
            "proxy-read-timeout",
            "18446744073709551615",
            "\"18446744073709551615\" is not a number of seconds, up to a year of them",
        ),
        ("replay-body-size", "2m", "\"2m\" is not a size such as 512, 8k or 1m, of at most 1048576 bytes"),
    ] {
        // Whether or not anything reads it: what it belongs to may be said tomorrow.
        let told = reading(&[(name, value)]);
        let [finding] = &told.findings[..] else { panic!("{name}: {:?}", told.findings) };
        assert_eq!((finding.name.as_str(), finding.message.as_str()), (name, wanted));
        assert_eq!(Reading { findings: Vec::new(), ..told }, Reading::default(), "{name}");
        let judged = judge(&[(name.to_owned(), value.to_owned())].into(), "n");
        assert_eq!((judged[0].verdict, judged[0].why.as_str(), judged[0].closes), ("refused", wanted, false));
    }
    let long = reading(&[("app-root", &format!("/{}", "x".repeat(9000)))]);
    assert!(long.findings[0].message.contains("longer than the 8192 bytes"), "{:?}", long.findings);
    let others = reading(&[("affinity", "cookie"), ("session-cookie-samesite", "Foo"), ("session-cookie-name", "s")]);
    assert!(others.delivery.affinity.is_some(), "one bad value of several loses no other");
    let empty = [("whitelist-source-range", " "), ("auth-secret", "users"), ("proxy-body-size", "")];
    let told = reading(&empty).findings;
    let told: Vec<_> = told.iter().map(|it| (it.name.as_str(), it.weight, it.message.as_str())).collect();
    let wanted = [
        ("whitelist-source-range", Weight::Nothing, "is empty and keeps nobody out"),
        ("auth-secret", Weight::Nothing, "is nothing without auth-type: nobody is asked for a password"),
    ];
    assert_eq!(told, wanted);
}

/// Ingress: 74
#[test]
fn what_a_canary_passes_over_is_told() {
    let told = reading(&[
        ("canary", "true"),
        ("canary-weight", "10"),
        ("affinity", "cookie"),
        ("upstream-hash-by", "$host"),
        ("auth-type", "basic"),
        ("auth-secret", "users"),
        ("proxy-buffering", "off"),
        ("whitelist-source-range", "10.0.0.0/8"),
    ]);
    let names: Vec<_> = told.findings.iter().map(|it| (it.name.as_str(), it.weight)).collect();
    let passed = |name| (name, Weight::Nothing);
    assert_eq!(names, [passed("auth-secret"), passed("auth-type"), passed("whitelist-source-range")]);
    assert!(told.findings[0].message.contains("not followed on a canary"), "{:?}", told.findings);
}

/// Ingress: 74
#[test]
fn a_weight_beyond_its_total_is_told_and_followed_as_far_as_it_goes() {
    let beyond = "150 counts as 100, which is all that canary-weight-total has: every request";
    for (annotations, told) in [
        (&[("canary-weight", "100")][..], None),
        (&[("canary-weight", "150"), ("canary-weight-total", "1000")], None),
        (&[("canary-weight", "150")], Some(beyond)),
        (&[("canary-weight", "150"), ("canary-weight-total", "100")], Some(beyond)),
        (&[("canary-weight", "150"), ("canary-weight-total", "none")], Some(beyond)),
    ] {
        let all = [&[("canary", "true")], annotations].concat();
        let reading = reading(&all);
        let found = reading.findings.iter().find(|found| found.name == "canary-weight");
        assert_eq!(found.map(|found| (found.weight, found.message.as_str())), told.map(|told| (Weight::Cut, told)));
        let rule = reading.canary.expect("it is one");
        assert_eq!(rule.wish().starts_with("100 of 100"), rule.total == 100, "{annotations:?}");
        let owned = all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let judged = judge(&owned, "n").into_iter().find(|judged| judged.name == "canary-weight").expect("judged");
        assert_eq!((judged.verdict, judged.why.as_str()), ("works", told.unwrap_or_default()), "{annotations:?}");
    }
    assert!(reading(&[("canary-weight", "150")]).findings.is_empty(), "it is no canary, and has no weight");
}

#[test]
fn sizes_and_times() {
    for (given, want) in [
        ("0", BodyLimit::None),
        ("512", BodyLimit::Bytes(512)),
        ("8k", BodyLimit::Bytes(8 << 10)),
        ("1M", BodyLimit::Bytes(1 << 20)),
        ("2g", BodyLimit::Bytes(2 << 30)),
        ("-1", BodyLimit::Listener),
        ("1e9", BodyLimit::Listener),
        ("99999999999999999999g", BodyLimit::Listener),
    ] {
        assert_eq!(reading(&[("proxy-body-size", given)]).policy.bodies, want, "{given}");
    }
    for (given, want) in [("5", Some(5)), ("30s", Some(30)), ("0", None), ("1.5", None), ("x", None)] {
        let read = reading(&[("proxy-read-timeout", given)]).policy.waits.read;
        assert_eq!(read, want.map(Duration::from_secs), "{given}");
    }
}

#[test]
fn rewrites_have_groups() {
    let pieces = |target: &str| super::group_rewrite(target).map(|rewrite| rewrite.0.into_vec());
    let text = |text: &str| Piece::Text(text.into());
    assert_eq!(pieces("/$2"), Some(vec![text("/"), Piece::Group(2)]));
    assert_eq!(pieces("/a/$1/b$10"), Some(vec![text("/a/"), Piece::Group(1), text("/b"), Piece::Group(1), text("0")]));
    for odd in ["x", "/$", "/$0", "/$host", "/a b", "/a\"b", "/a;b", "/\u{e4}"] {
        assert_eq!(pieces(odd), None, "{odd:?}");
    }
}

#[test]
fn origins_and_their_wildcards() {
    let cors =
        |origin: &str| reading(&[("enable-cors", "true"), ("cors-allow-origin", origin)]).policy.cors.expect("enabled");
    assert_eq!(cors("https://a.example, *").origins, Origins::Any);
    let listed = |origin: &str| match cors(origin).origins {
        Origins::Listed(all) => all.into_vec(),
        Origins::Any => panic!("{origin} is not any"),
    };
    assert_eq!(
        listed("https://A.example:8443,https://*.b.example,null"),
        [
            Origin::Exact("https://a.example:8443".into()),
            Origin::Within { scheme: "https".into(), rest: "b.example".into() },
            Origin::Exact("null".into()),
        ]
    );
    assert_eq!(listed("a.example,https://,https://*,https://a*b,http://a/b"), [], "nothing else is an origin");
    assert!(reading(&[("cors-allow-origin", "https://a.example")]).policy.cors.is_none(), "not enabled");
}

/// Ingress: 74, 83
#[test]
fn fields_that_frame_and_route_are_not_told_by_services_and_tokens() {
    let named = |field: &str| {
        reading(&[
            ("auth-jwt-secret", "keys"),
            ("auth-jwt-issuer", "https://issuer.example"),
            ("auth-jwt-audiences", "shop"),
            ("auth-jwt-headers", &format!("X-User=sub, {field}=sub")),
            ("auth-url", "http://a.b.svc/"),
            ("auth-response-headers", &format!("X-Groups, {field}")),
        ])
    };
    for field in [
        "Connection",
        "Content-Length",
        "CONTENT-ENCODING",
        "Expect",
        "hOST",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "transfer-encoding",
        "Upgrade",
    ] {
        let told = named(field);
        assert!(told.policy.closed.is_some(), "{field}");
        for name in ["auth-jwt-headers", "auth-response-headers"] {
            let said = told.findings.iter().find(|finding| finding.name == name).expect(field);
            assert!(said.message.contains(&field.to_lowercase()), "{name}: {}", said.message);
        }
        let alone = reading(&[("auth-url", "http://a.b.svc/"), ("auth-response-headers", field)]);
        assert!(alone.policy.closed.is_some() && alone.findings.len() == 1, "{field}");
    }
    // Of the connection no token speaks; a service may, which is asked about each request.
    for field in ["X-Forwarded-For", "x-real-ip", "Forwarded", "SSL-Client-Verify"] {
        let told = named(field);
        let said: Vec<&str> = told.findings.iter().map(|finding| &*finding.name).collect();
        assert_eq!((told.policy.closed.is_some(), &*said), (true, &["auth-jwt-headers"][..]), "{field}");
    }
    assert_eq!(named("X-Forwarded-User").policy.closed, None);
    let fine = named("X-Hosted");
    assert_eq!((fine.policy.closed, fine.findings.len()), (None, 0));
    assert_eq!(fine.bearer.expect("tokens").headers[1].0, "x-hosted");
    assert_eq!(fine.extauth.expect("a service").rules.copied[1], "x-hosted");
}

#[test]
fn guards_that_cannot_be_read_close_the_route() {
    let fine = reading(&[("whitelist-source-range", "10.0.0.0/8, 192.168.1.7,fd00::/8")]);
    assert_eq!(fine.policy.access.allowed.expect("a list").len(), 3);
    for (name, value) in [
        ("whitelist-source-range", "10.0.0.0/33"),
        ("denylist-source-range", "everybody"),
        ("auth-snippet", "x"),
        ("configuration-snippet", "deny all;"),
    ] {
        let told = reading(&[(name, value)]);
        assert!(told.policy.closed.is_some() && told.findings.len() == 1, "{name}");
    }
    let limits = reading(&[("limit-rps", "10"), ("limit-whitelist", "10.0.0.1")]).policy.limits.expect("limits");
    assert_eq!((limits.second, limits.exempt.len()), (Some(Rate { count: 10, burst: 50 }), 1));
    assert!(reading(&[("limit-rps", "0")]).policy.limits.is_none());
}

/// Ingress: 66, 68
#[test]
fn what_is_said_about_services() {
    let usual = Upkeep::default();
    let read = |given: &[(&str, &str)]| {
        let told = reading(given);
        (told.upkeep.over(&usual), told.findings.into_iter().map(|finding| finding.name).collect::<Vec<_>>())
    };
    assert_eq!(read(&[("app-root", "/x")]), (usual.clone(), vec![]));
    let (upkeep, wrong) = read(&[
        ("health-check-path", "/healthz?x=1"),
        ("health-check-interval", "5"),
        ("health-check-fails", "2"),
        ("max-requests", "100"),
        ("max-waiting", "10"),
        ("slow-start", "30"),
        ("eject-errors", "0"),
        ("eject-percent", "25"),
    ]);
    let check = upkeep.check.expect("a check");
    assert_eq!((check.path.to_string().as_str(), check.interval.as_secs(), check.fails), ("/healthz?x=1", 5, 2));
    let circuit = upkeep.circuit.expect("a limit");
    assert_eq!((circuit.requests, circuit.queue, circuit.patience.as_secs()), (100, 10, 1));
    assert_eq!((upkeep.slow_start, upkeep.ejection.errors, upkeep.ejection.percent), (30_000, 0, 25));
    assert!(wrong.is_empty(), "{wrong:?}");
    for (name, value) in
        [("health-check-path", "healthz"), ("max-requests", "0"), ("eject-percent", "101"), ("replay-body-size", "2m")]
    {
        assert_eq!(read(&[(name, value)]), (usual.clone(), vec![name.to_owned()]));
    }
    let slow = [("health-check-path", "/"), ("health-check-interval", "1"), ("health-check-timeout", "2")];
    assert_eq!(read(&slow), (usual.clone(), vec!["health-check-timeout".to_owned()]));
    let kept = reading(&[("replay-body-size", "64k")]).delivery.retries.expect("a policy");
    assert_eq!(kept, Retries::default().replaying(64 * 1024));
}
