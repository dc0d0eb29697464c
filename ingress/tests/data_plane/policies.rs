//! Annotations at work: one Ingress with some of them, one request, what comes back and what the endpoint sees.

use ingress::snapshot::{IngressObject, Named, TlsSecret};
use ingress::{IngressConfig, Snapshot};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::fixture::{Answer, Gate, Upstream, ask, snapshot};

/// A gate with one more Ingress, for `a.example`, with these annotations.
fn gate(endpoint: &Upstream, annotations: &[(&str, &str)], tweak: impl FnOnce(&mut IngressConfig)) -> Gate {
    Gate::start(&with(snapshot(&[endpoint.address]), annotations), tweak)
}

pub fn with(mut snapshot: Snapshot, annotations: &[(&str, &str)]) -> Snapshot {
    let annotations: Value =
        annotations.iter().map(|(name, value)| (format!("nginx.ingress.kubernetes.io/{name}"), json!(value))).collect();
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let object = json!({
        "metadata": {"namespace": "n", "name": "annotated", "creationTimestamp": "2", "annotations": annotations},
        "spec": {"ingressClassName": "fedgate", "rules": [
            {"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}},
        ]},
    });
    snapshot.ingresses.push(Arc::new(IngressObject::read(&object)));
    snapshot
}

async fn send(gate: &Gate, request: &str) -> Answer {
    let (line, rest) = request.split_once('\n').unwrap_or((request, ""));
    let rest: String = rest.lines().map(|field| format!("{field}\r\n")).collect();
    ask(gate.http, &format!("{line} HTTP/1.1\r\nHost: a.example:7080\r\nConnection: close\r\n{rest}\r\n")).await
}

/// The value of a field in an answer's head.
fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
}

#[tokio::test]
async fn redirects_go_before_the_endpoint() {
    let endpoint = Upstream::start("web").await;
    for (annotations, request, status, location) in [
        (&[("permanent-redirect", "https://b.example/x")][..], "GET /any", 301, "https://b.example/x"),
        (
            &[("temporal-redirect", "https://b.example"), ("temporal-redirect-code", "307")],
            "GET /",
            307,
            "https://b.example",
        ),
        (&[("app-root", "/shop")], "GET /", 302, "http://a.example:7080/shop"),
        (&[("force-ssl-redirect", "true")], "GET /x?y=%2f", 308, "https://a.example/x?y=%2f"),
        (&[("force-ssl-redirect", "true")], "GET /x/", 308, "https://a.example/x"),
        (
            &[("force-ssl-redirect", "true"), ("preserve-trailing-slash", "true")],
            "GET /x/",
            308,
            "https://a.example/x/",
        ),
        // What is returned at once goes before what is redirected to HTTPS.
        (
            &[("force-ssl-redirect", "true"), ("permanent-redirect", "http://b.example")],
            "GET /",
            301,
            "http://b.example",
        ),
    ] {
        let gate = gate(&endpoint, annotations, |_| ());
        let answer = send(&gate, request).await;
        assert_eq!((answer.status, field(&answer, "location")), (status, Some(location)), "{annotations:?} {request}");
    }
    assert_eq!(endpoint.seen(), 0);
    let gate = gate(&endpoint, &[("app-root", "/shop"), ("ssl-redirect", "true")], |_| ());
    assert_eq!(send(&gate, "GET /other").await.status, 200, "only the root, and no certificate is for this host");
}

#[tokio::test]
async fn a_host_with_a_certificate_is_served_over_https_alone_unless_told() {
    let endpoint = Upstream::start("web").await;
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
    let secret = TlsSecret {
        certificate: made.cert.pem().into_bytes(),
        private_key: made.signing_key.serialize_pem().into_bytes(),
    };
    let secured = |annotations: &[(&str, &str)]| {
        let mut snapshot = with(snapshot(&[endpoint.address]), annotations);
        snapshot.secrets.insert(Named::new("n", "tls"), Arc::new(secret.clone()));
        let last = snapshot.ingresses.last_mut().expect("just put in");
        let tls = ingress::snapshot::TlsBlock { hosts: vec!["a.example".into()], secret: "tls".into() };
        Arc::make_mut(last).tls.push(tls);
        snapshot
    };
    let gate = Gate::start(&secured(&[]), |_| ());
    let answer = send(&gate, "GET /x").await;
    assert_eq!((answer.status, field(&answer, "location")), (308, Some("https://a.example/x")));
    let challenge = send(&gate, "GET /.well-known/acme-challenge/token").await;
    assert_eq!(challenge.status, 200, "authorities ask over plain HTTP");
    // Only a proxy that is trusted may say that the client came over HTTPS.
    assert_eq!(send(&gate, "GET /x\nX-Forwarded-Proto: https").await.status, 308);
    let trusting =
        Gate::start(&secured(&[]), |config| config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a range")]);
    assert_eq!(send(&trusting, "GET /x\nX-Forwarded-Proto: https").await.status, 200);
    let plain = Gate::start(&secured(&[("ssl-redirect", "false")]), |_| ());
    assert_eq!(send(&plain, "GET /x").await.status, 200);
}

#[tokio::test]
async fn addresses_decide_who_comes_in() {
    let endpoint = Upstream::start("web").await;
    for (annotations, status) in [
        (&[("whitelist-source-range", "127.0.0.0/8")][..], 200),
        (&[("whitelist-source-range", "10.0.0.0/8,::1")], 403),
        (&[("denylist-source-range", "127.0.0.1")], 403),
        (&[("whitelist-source-range", "127.0.0.0/8"), ("denylist-source-range", "127.0.0.1")], 403),
        // A list that cannot be read lets nobody in.
        (&[("whitelist-source-range", "everybody")], 503),
        (&[("configuration-snippet", "deny all;")], 503),
    ] {
        let gate = gate(&endpoint, annotations, |_| ());
        assert_eq!(send(&gate, "GET /").await.status, status, "{annotations:?}");
        assert_eq!(gate.get("/").await.status, 200, "other Ingresses go on");
    }
    // The client is who the trusted proxy says it is.
    let inner = gate(&endpoint, &[("whitelist-source-range", "203.0.113.7")], |config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a range")];
    });
    assert_eq!(send(&inner, "GET /\nX-Forwarded-For: 198.51.100.1, 203.0.113.7").await.status, 200);
    assert_eq!(send(&inner, "GET /\nX-Forwarded-For: 203.0.113.7, 198.51.100.1").await.status, 403);
}

#[tokio::test]
async fn a_client_may_ask_so_often_and_no_more() {
    let endpoint = Upstream::start("web").await;
    let limited = [("limit-rpm", "1"), ("limit-burst-multiplier", "2")];
    let gate = gate(&endpoint, &limited, |_| ());
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(send(&gate, "GET /").await);
    }
    let got: Vec<u16> = statuses.iter().map(|answer| answer.status).collect();
    assert_eq!(got, [200, 200, 200, 429], "one, and a burst of two");
    let wait: u32 = field(&statuses[3], "retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    let exempt = [("limit-rpm", "1"), ("limit-burst-multiplier", "1"), ("limit-whitelist", "127.0.0.1")];
    let open = self::gate(&endpoint, &exempt, |_| ());
    for _ in 0..5 {
        assert_eq!(send(&open, "GET /").await.status, 200);
    }
}

#[tokio::test]
async fn origins_are_told_what_they_may_read() {
    let endpoint = Upstream::start("web").await;
    let listed = [
        ("enable-cors", "true"),
        ("cors-allow-origin", "https://*.b.example, https://c.example"),
        ("cors-max-age", "60"),
    ];
    let gate = gate(&endpoint, &listed, |_| ());
    let preflight = send(&gate, "OPTIONS /\nOrigin: https://x.b.example\nAccess-Control-Request-Method: PUT").await;
    assert_eq!(preflight.status, 204);
    assert_eq!(field(&preflight, "access-control-allow-origin"), Some("https://x.b.example"));
    assert_eq!(field(&preflight, "access-control-allow-credentials"), Some("true"));
    assert_eq!(field(&preflight, "access-control-max-age"), Some("60"));
    assert_eq!(endpoint.seen(), 0, "a preflight is not for the endpoint");
    let answer = send(&gate, "GET /\nOrigin: https://c.example").await;
    assert_eq!((answer.status, field(&answer, "access-control-allow-origin")), (200, Some("https://c.example")));
    assert_eq!(field(&answer, "vary"), Some("origin"));
    for other in ["https://b.example", "https://x.y.b.example", "http://x.b.example", "https://xb.example", "null"] {
        let answer = send(&gate, &format!("GET /\nOrigin: {other}")).await;
        assert_eq!((answer.status, field(&answer, "access-control-allow-origin")), (200, None), "{other}");
    }
    let any = self::gate(&endpoint, &[("enable-cors", "true")], |_| ());
    let answer = send(&any, "GET /\nOrigin: https://z.example").await;
    assert_eq!(field(&answer, "access-control-allow-origin"), Some("*"));
    assert_eq!(field(&answer, "access-control-allow-credentials"), None, "never with a star");
}

/// Ingress: 14
#[tokio::test]
async fn endpoints_see_what_the_policy_says() {
    let endpoint = Upstream::start("web").await;
    let gate = gate(&endpoint, &[("upstream-vhost", "inner.example"), ("proxy-body-size", "4")], |_| ());
    let seen = send(&gate, "GET /").await.json();
    assert_eq!(seen["headers"]["host"], "inner.example");
    assert_eq!(seen["headers"]["x-forwarded-host"], "a.example:7080", "what the client asked for");
    assert_eq!(send(&gate, "POST /\nContent-Length: 5\n\n12345").await.status, 413);
    let chunked = ask(
        gate.http,
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    );
    assert_eq!(chunked.await.status, 413, "counted as it streams");
    assert_eq!(
        ask(gate.http, "POST / HTTP/1.1\r\nHost: any\r\nConnection: close\r\nContent-Length: 5\r\n\r\n12345")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn an_alias_stands_for_a_host_unless_a_rule_has_it() {
    let endpoint = Upstream::start("web").await;
    let gate = gate(&endpoint, &[("server-alias", "b.example, only.example"), ("app-root", "/in")], |_| ());
    let to = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert_eq!(ask(gate.http, &to("b.example")).await.status, 302);
    assert_eq!(ask(gate.http, &to("only.example")).await.status, 404, "that rule has no such path");
}

/// Ingress: 41
#[tokio::test]
async fn a_rewrite_changes_what_the_endpoint_sees() {
    let endpoint = Upstream::start("web").await;
    for (path, rewrite, asked, seen) in [
        ("/x(/|$)(.*)", "/$2", "/x/a/b?q=%2F", "/a/b?q=%2F"),
        ("/x(/|$)(.*)", "/$2", "/X", "/"),
        ("/x(/|$)(.*)", "/in/$2", "/x/a%20b%3Fc", "/in/a%20b%3Fc"),
        ("/x", "/y", "/x/whatever?q", "/y?q"),
    ] {
        let mut snapshot =
            with(snapshot(&[endpoint.address]), &[("rewrite-target", rewrite), ("x-forwarded-prefix", "/x")]);
        let last = Arc::make_mut(snapshot.ingresses.last_mut().expect("just put in"));
        last.rules[0].paths[0].path = path.to_owned();
        last.rules[0].paths[0].kind = ingress::snapshot::PathKind::Text;
        let gate = Gate::start(&snapshot, |_| ());
        let answer = send(&gate, &format!("GET {asked}")).await.json();
        assert_eq!(answer["target"], seen, "{path} {rewrite} {asked}");
        assert_eq!(answer["headers"]["x-forwarded-prefix"], "/x");
    }
}

#[tokio::test]
async fn canaries_take_the_requests_that_ask_for_them() {
    let (endpoint, next) = (Upstream::start("web").await, Upstream::start("next").await);
    let gate = |annotations: &[&[(&str, &str)]]| {
        let mut snapshot = with(snapshot(&[endpoint.address]), &[("upstream-vhost", "inner.example")]);
        add_service(&mut snapshot, "next", next.address);
        for (number, annotations) in annotations.iter().enumerate() {
            let all = [&[("canary", "true")], *annotations].concat();
            snapshot = with(snapshot, &all);
            let last = Arc::make_mut(snapshot.ingresses.last_mut().expect("just put in"));
            last.key = Named::new("n", &format!("canary-{number}"));
            last.rules[0].paths[0].backend = ingress::snapshot::BackendRef::Service {
                name: "next".into(),
                port: ingress::snapshot::PortRef::Number(80),
            };
        }
        Gate::start(&snapshot, |_| ())
    };
    let by_header = gate(&[&[("canary-by-header", "X-Next"), ("canary-weight", "100")]]);
    for (fields, name) in
        [("", "next"), ("\nX-Next: never", "web"), ("\nX-Next: always", "next"), ("\nX-Next: x", "next")]
    {
        let answer = send(&by_header, &format!("GET /{fields}")).await.json();
        assert_eq!(answer["name"], name, "{fields}");
        assert_eq!(answer["headers"]["host"], "inner.example", "the rules are those of the Ingress that has the path");
    }
    let two =
        gate(&[&[("canary-by-cookie", "beta")], &[("canary-by-header", "X-Next"), ("canary-by-header-value", "2")]]);
    for (fields, name) in
        [("", "web"), ("\nCookie: a=b; beta=always", "next"), ("\nX-Next: 2", "next"), ("\nX-Next: always", "web")]
    {
        assert_eq!(send(&two, &format!("GET /{fields}")).await.name(), name, "{fields}");
    }
    // One that nobody has the path of is served to nobody, and says so.
    let mut alone = snapshot(&[endpoint.address]);
    alone = with(alone, &[("canary", "true"), ("canary-weight", "100")]);
    let lonely = Gate::start(&alone, |_| ());
    let problems: Vec<String> = lonely.routes.load().problems().iter().map(ToString::to_string).collect();
    assert!(
        problems.iter().any(|text| text.contains("no other Ingress of this namespace has a.example/")),
        "{problems:?}"
    );
}

/// One more Service with one endpoint in a cluster of its own.
pub fn add_service(snapshot: &mut Snapshot, name: &str, address: std::net::SocketAddr) {
    use federation_types::endpoint::group;
    use federation_types::label;
    let object = json!({"metadata": {"namespace": "n", "name": name}, "spec": {"ports": [{"port": 80}]}});
    snapshot.services.insert(Named::new("n", name), Arc::new(ingress::snapshot::ServiceObject::read(&object)));
    let slice = json!({
        "metadata": {"namespace": "n", "name": format!("{name}-1.other"), "labels": {
            "kubernetes.io/service-name": name, label::CLUSTER: "other", label::HUB: "uid",
        }},
        "addressType": "IPv4",
        "ports": [{"port": address.port()}],
        "endpoints": [{"addresses": [address.ip().to_string()]}],
    });
    snapshot.clusters.extend(group(&[slice]));
}

#[tokio::test]
async fn users_show_a_password_that_endpoints_never_see() {
    let endpoint = Upstream::start("web").await;
    let gate = |annotations: &[(&str, &str)], secret: &str| {
        let mut snapshot = with(snapshot(&[endpoint.address]), annotations);
        let file = b"ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n".to_vec();
        let users = ingress::snapshot::UserList([("auth".to_owned(), file)].into());
        snapshot.user_lists.insert(Named::new("n", secret), Arc::new(users));
        Gate::start(&snapshot, |_| ())
    };
    let basic = [("auth-type", "basic"), ("auth-secret", "users"), ("auth-realm", "the shop")];
    let right = "GET /\nAuthorization: Basic YW5uOnBhc3N3b3Jk";
    let wrong = "GET /\nAuthorization: Basic YW5uOnNlY3JldA==";
    let closed = gate(&basic, "users");
    let asked = send(&closed, "GET /").await;
    assert_eq!((asked.status, field(&asked, "www-authenticate")), (401, Some("basic realm=\"the shop\"")));
    assert_eq!(send(&closed, wrong).await.status, 401);
    for _ in 0..2 {
        let seen = send(&closed, right).await.json();
        assert!(seen["headers"].get("authorization").is_none(), "{seen}");
    }
    for (annotations, request, status) in [
        (&[("auth-type", "basic"), ("auth-secret", "other")][..], right, 503),
        (&[("auth-type", "basic"), ("auth-secret", "m/users")], right, 503),
        (&[("auth-type", "basic")], right, 503),
        (&[("auth-type", "digest"), ("auth-secret", "users")], right, 503),
        (
            &[
                ("auth-type", "basic"),
                ("auth-secret", "n/users"),
                ("satisfy", "any"),
                ("whitelist-source-range", "127.0.0.1"),
            ],
            "GET /",
            200,
        ),
        (
            &[
                ("auth-type", "basic"),
                ("auth-secret", "users"),
                ("satisfy", "any"),
                ("whitelist-source-range", "10.0.0.1"),
            ],
            "GET /",
            401,
        ),
        (&[("auth-type", "basic"), ("auth-secret", "users"), ("satisfy", "any")], "GET /", 401),
        (&[("auth-type", "basic"), ("auth-secret", "users"), ("whitelist-source-range", "10.0.0.1")], right, 403),
    ] {
        let gate = gate(annotations, "users");
        assert_eq!(send(&gate, request).await.status, status, "{annotations:?}");
    }
}

/// Ingress: 78
#[tokio::test]
async fn each_ingress_is_counted_under_the_names_that_dashboards_know() {
    let endpoint = Upstream::start("web").await;
    let gate = gate(&endpoint, &[("denylist-source-range", "10.0.0.1")], |_| ());
    for method in ["GET", "GET", "POST", "BREW"] {
        assert_eq!(send(&gate, &format!("{method} /")).await.status, 200);
    }
    let render = || {
        let mut text = String::new();
        gate.running.metrics.render_routes(&gate.routes.load(), &mut text);
        text
    };
    let labels = "ingress=\"annotated\",namespace=\"n\",service=\"web\"";
    for (method, count) in [("GET", 2), ("POST", 1), ("other", 1)] {
        let line =
            format!("nginx_ingress_controller_requests{{{labels},method=\"{method}\",status=\"200\"}} {count}\n");
        let told = async {
            while !render().contains(&line) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(crate::fixture::PATIENCE, told).await.unwrap_or_else(|_| panic!("{line} in {}", render()));
    }
    assert!(render().contains(&format!("request_duration_seconds_count{{{labels}}} 4\n")), "{}", render());
    assert!(!render().contains("a.example"), "hosts are no labels: clients choose them");
    // What is gone is not told any more.
    gate.routes.store(Arc::new(ingress::build(
        &Snapshot::default(),
        Some(&gate.routes.load()),
        &crate::fixture::options(),
    )));
    assert_eq!(render(), "");
}

#[tokio::test]
async fn a_default_backend_speaks_of_errors_and_of_nobody_there() {
    let (failing, pages) =
        (crate::delivery::speaking(|_| crate::delivery::answering(404)).await, Upstream::start("pages").await);
    let with_pages = |endpoints: &[std::net::SocketAddr], annotations: &[(&str, &str)]| {
        let mut all = with(snapshot(endpoints), annotations);
        add_service(&mut all, "pages", pages.address);
        Gate::start(&all, |_| ())
    };
    let named = [("default-backend", "pages"), ("custom-http-errors", "404,503")];
    let answer = send(&with_pages(&[failing], &named), "POST /x?y=1\nAccept: text/html\nContent-Length: 0").await;
    assert_eq!(answer.status, 200, "the page's own status");
    let seen = answer.json();
    assert_eq!((&seen["name"], &seen["method"], &seen["target"]), (&json!("pages"), &json!("GET"), &json!("/?y=1")));
    for (name, value) in [
        ("x-code", "404"),
        ("x-format", "text/html"),
        ("x-original-uri", "/x?y=1"),
        ("x-namespace", "n"),
        ("x-ingress-name", "annotated"),
        ("x-service-name", "web"),
        ("x-service-port", "80"),
        ("host", "a.example:7080"),
    ] {
        assert_eq!(seen["headers"][name], value, "{name}");
    }
    let alone = with_pages(&[], &[("default-backend", "pages")]);
    assert_eq!(send(&alone, "GET /").await.json()["headers"]["x-code"], "503", "nobody is there");
    let other = with_pages(&[failing], &[("default-backend", "pages"), ("custom-http-errors", "500")]);
    assert_eq!(send(&other, "GET /").await.status, 404, "not asked about that one");
    let missing = with_pages(&[failing], &[("default-backend", "absent"), ("custom-http-errors", "404")]);
    assert_eq!(send(&missing, "GET /").await.status, 404, "who says nothing changes nothing");
}

/// An authentication service: `ok` in the cookie is allowed, `no` is refused, `odd` breaks, everybody else is unknown.
async fn authentication() -> (std::net::SocketAddr, Arc<std::sync::Mutex<Vec<String>>>) {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = seen.clone();
    let address = crate::delivery::speaking(move |head| {
        let lower = head.to_ascii_lowercase();
        let line = match lower {
            _ if lower.contains("session=ok") => "200 OK\r\nX-User: ann\r\nSet-Cookie: fresh=1",
            _ if lower.contains("session=no") => "403 Forbidden",
            _ if lower.contains("session=odd") => "302 Found\r\nLocation: /elsewhere",
            _ => "401 Unauthorized\r\nWWW-Authenticate: Bearer",
        };
        told.lock().expect("no panic").push(lower);
        format!("HTTP/1.1 {line}\r\nContent-Length: 2\r\n\r\nhi")
    })
    .await;
    (address, seen)
}

#[tokio::test]
async fn a_service_is_asked_whether_a_request_may_pass() {
    let endpoint = Upstream::start("web").await;
    let (service, asked) = authentication().await;
    let gate = |annotations: &[(&str, &str)]| {
        let mut all = with(snapshot(&[endpoint.address]), annotations);
        add_service(&mut all, "auth", service);
        Gate::start(&all, |_| ())
    };
    let url = ("auth-url", "http://auth.n.svc.cluster.local/check?a=b");
    let plain = gate(&[url, ("auth-response-headers", "X-User, X-Groups")]);
    let body = "POST /x?y=1\nCookie: session=ok\nX-User: eve\nX-Groups: admins\nX-Original-URL: http://evil/\nContent-Length: 4\n\nbody";
    let answer = send(&plain, body).await;
    let seen = answer.json();
    assert_eq!((&seen["headers"]["x-user"], &seen["length"]), (&json!("ann"), &json!(4)), "as the service says");
    assert!(seen["headers"].get("x-groups").is_none(), "what it does not say, nobody says: {seen}");
    assert_eq!(field(&answer, "set-cookie"), Some("fresh=1"));
    let question = asked.lock().expect("no panic").pop().expect("one question");
    for line in [
        "get /check?a=b http/1.1",
        "host: auth.n.svc.cluster.local",
        "x-original-url: http://a.example:7080/x?y=1",
        "x-original-method: post",
        "x-auth-request-redirect: /x?y=1",
        "cookie: session=ok",
    ] {
        assert!(question.contains(line), "{line} in {question}");
    }
    assert!(!question.contains("evil") && !question.contains("content-length: 4"), "{question}");
    let unknown = send(&plain, "GET /").await;
    assert_eq!((unknown.status, field(&unknown, "www-authenticate")), (401, Some("bearer")));
    assert_eq!(send(&plain, "GET /\nCookie: session=no").await.status, 403);
    assert_eq!(send(&plain, "GET /\nCookie: session=odd").await.status, 500, "neither yes nor no");
    let signin = gate(&[url, ("auth-signin", "https://sign.example/in")]);
    let sent = send(&signin, "GET /x").await;
    let place = "https://sign.example/in?rd=http://a.example:7080%2fx";
    assert_eq!((sent.status, field(&sent, "location")), (302, Some(place)));
    for closed in
        ["http://auth.example.com/", "http://127.0.0.1/", "http://auth.n.svc@127.0.0.1/", "http://$host/x", "auth"]
    {
        assert_eq!(send(&gate(&[("auth-url", closed)]), "GET /\nCookie: session=ok").await.status, 503, "{closed}");
    }
    let absent = gate(&[("auth-url", "http://nobody.n.svc/")]);
    assert_eq!(send(&absent, "GET /\nCookie: session=ok").await.status, 500, "who cannot be asked allows nothing");
    for (name, value, what) in [
        ("auth-url", "http://nobody.n.svc/", "requests that need its word are answered with 500"),
        ("mirror-target", "http://nobody.n.svc", "no copies are sent, and requests go on as they are"),
    ] {
        let told =
            gate(&[(name, value)]).routes.load().problems().iter().map(|it| it.message.clone()).collect::<Vec<_>>();
        let missing = format!("metadata.annotations[{name}].service: there is no Service n/nobody; {what}");
        assert_eq!(told.last(), Some(&missing));
    }
}

#[tokio::test]
async fn the_other_name_of_a_host_leads_to_it() {
    let endpoint = Upstream::start("web").await;
    let gate = gate(&endpoint, &[("from-to-www-redirect", "true")], |_| ());
    let request = "GET /x?y=1 HTTP/1.1\r\nHost: www.a.example:7080\r\nConnection: close\r\n\r\n";
    let answer = ask(gate.http, request).await;
    assert_eq!((answer.status, field(&answer, "location")), (308, Some("http://a.example:7080/x?y=1")));
    assert_eq!(send(&gate, "GET /x").await.status, 200);
}

/// A gate where one more Ingress of `namespace` has `path` of `a.example`, beside the guarded one of `n`.
fn beside(snapshot: Snapshot, namespace: &str, path: &str, annotations: &[(&str, &str)]) -> Snapshot {
    let mut snapshot = with(snapshot, annotations);
    let last = Arc::make_mut(snapshot.ingresses.last_mut().expect("just put in"));
    last.key = Named::new(namespace, "beside");
    last.created = "3".into();
    last.rules[0].paths[0].path = path.to_owned();
    last.rules[0].paths[0].kind = ingress::snapshot::PathKind::Text;
    snapshot
}

#[tokio::test]
async fn a_canary_is_behind_everything_that_guards_its_path() {
    let endpoint = Upstream::start("web").await;
    let (service, _) = authentication().await;
    let mut all = with(
        snapshot(&[endpoint.address]),
        &[("auth-url", "http://auth.n.svc/check"), ("auth-response-headers", "X-User")],
    );
    add_service(&mut all, "auth", service);
    for canary in
        [&[("canary", "true"), ("canary-by-header", "X-Next")][..], &[("canary", "true"), ("canary-weight", "100")]]
    {
        let mut all = beside(all.clone(), "n", "/", canary);
        Arc::make_mut(all.ingresses.last_mut().expect("just put in")).rules[0].paths[0].kind =
            ingress::snapshot::PathKind::Prefix;
        let gate = Gate::start(&all, |_| ());
        assert_eq!(send(&gate, "GET /\nX-Next: always").await.status, 401, "{canary:?}");
        let seen = send(&gate, "GET /\nX-Next: always\nX-User: eve\nCookie: session=ok").await.json();
        assert_eq!(seen["headers"]["x-user"], "ann");
    }
    // Another namespace takes nobody's requests.
    let mut stolen = beside(snapshot(&[endpoint.address]), "m", "/", &[("canary", "true"), ("canary-weight", "100")]);
    Arc::make_mut(stolen.ingresses.last_mut().expect("just put in")).rules[0].paths[0].kind =
        ingress::snapshot::PathKind::Prefix;
    let gate = Gate::start(&with(stolen, &[]), |_| ());
    assert_eq!(send(&gate, "GET /").await.status, 200);
    let problems: Vec<String> = gate.routes.load().problems().iter().map(ToString::to_string).collect();
    assert!(problems.iter().any(|text| text.contains("no other Ingress of this namespace")), "{problems:?}");
}

/// Ingress: 42, 74
#[tokio::test]
async fn what_cannot_be_a_pattern_is_closed_and_nobody_elses_host_gets_patterns() {
    let endpoint = Upstream::start("web").await;
    let open = with(snapshot(&[endpoint.address]), &[("use-regex", "true")]);
    let guarded =
        beside(open, "n", "/admin(?!/health)", &[("use-regex", "true"), ("whitelist-source-range", "10.0.0.0/8")]);
    let gate = Gate::start(&guarded, |_| ());
    assert_eq!(send(&gate, "GET /admin/keys").await.status, 503, "not by another route");
    assert_eq!(send(&gate, "GET /shop").await.status, 200);
    let plain = with(snapshot(&[endpoint.address]), &[]);
    let thief = beside(
        plain,
        "m",
        "/.*()()()()()()()()",
        &[("use-regex", "true"), ("permanent-redirect", "https://evil.example")],
    );
    let gate = Gate::start(&thief, |_| ());
    for path in ["/", "/login"] {
        assert_eq!(send(&gate, &format!("GET {path}")).await.status, 200, "the older namespace keeps its host");
    }
    // Where the owner has patterns, what others have there is compared as text.
    let owned = beside(
        with(snapshot(&[endpoint.address]), &[("use-regex", "true")]),
        "m",
        "/.*/.*/.*",
        &[("permanent-redirect", "https://evil.example")],
    );
    assert_eq!(send(&Gate::start(&owned, |_| ()), "GET /a/b/c").await.status, 200);
}

#[tokio::test]
async fn only_the_service_says_who_somebody_is() {
    let endpoint = Upstream::start("web").await;
    let (service, asked) = authentication().await;
    let gate = |annotations: &[(&str, &str)]| {
        let mut all = with(snapshot(&[endpoint.address]), annotations);
        add_service(&mut all, "auth", service);
        Gate::start(&all, |_| ())
    };
    let rules = [("auth-url", "http://auth.n.svc/check"), ("auth-response-headers", "X-User")];
    let asking = gate(&rules);
    let nominated = ask(
        asking.http,
        "GET / HTTP/1.1\r\nHost: a.example\r\nCookie: session=ok\r\nConnection: close, X-User\r\nX-User: eve\r\n\r\n",
    );
    assert_eq!(nominated.await.json()["headers"]["x-user"], "ann", "the client cannot take it off");
    let either = gate(&[&rules[..], &[("satisfy", "any"), ("whitelist-source-range", "127.0.0.1")]].concat());
    let before = asked.lock().expect("no panic").len();
    let seen = send(&either, "GET /\nX-User: eve").await.json();
    assert!(seen["headers"].get("x-user").is_none(), "who is not asked about is nobody: {seen}");
    assert_eq!(asked.lock().expect("no panic").len(), before);
    // A Service of another namespace has to be lent.
    let foreign = |lent: bool| {
        let mut all = with(snapshot(&[endpoint.address]), &[("auth-url", "http://auth.m.svc/check")]);
        add_service(&mut all, "auth", service);
        let mut object = (*all.services[&Named::new("n", "auth")]).clone();
        (object.key, object.answers_for_all) = (Named::new("m", "auth"), lent);
        all.services.insert(object.key.clone(), Arc::new(object));
        for seen in all.clusters.values_mut() {
            for slice in seen.slices.iter_mut().filter(|slice| slice.service == "auth") {
                slice.namespace = "m".into();
            }
        }
        Gate::start(&all, |_| ())
    };
    assert_eq!(send(&foreign(false), "GET /\nCookie: session=ok").await.status, 503);
    assert_eq!(send(&foreign(true), "GET /\nCookie: session=ok").await.status, 200);
}

/// Ingress: 53
#[tokio::test]
async fn no_tunnel_goes_on_in_http() {
    let endpoint = Upstream::start("web").await;
    let gate = gate(&endpoint, &[], |_| ());
    for protocol in ["h2c", "websocket, h2c", "HTTP/2.0", "TLS/1.0, http/1.1"] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade, close\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        );
        let seen = ask(gate.http, &request).await.json();
        let headers = &seen["headers"];
        assert!(headers.get("upgrade").is_none() && headers.get("http2-settings").is_none(), "{protocol}: {seen}");
    }
}

#[tokio::test]
async fn who_serves_nothing_has_no_names_and_what_is_wrong_is_told_once() {
    let endpoint = Upstream::start("web").await;
    let mut all = with(snapshot(&[endpoint.address]), &[]);
    Arc::make_mut(all.ingresses.last_mut().expect("just put in")).rules[0].host = "*.wild.example".into();
    let lonely = [("canary", "true"), ("server-alias", "other.wild.example"), ("from-to-www-redirect", "true")];
    let mut all = beside(all, "n", "/", &lonely);
    Arc::make_mut(all.ingresses.last_mut().expect("just put in")).rules[0].host = "some.wild.example".into();
    let gate = Gate::start(&all, |_| ());
    for host in ["some.wild.example", "other.wild.example"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(gate.http, &request).await.status, 200, "{host} is the wildcard's");
    }
    let mut asking = with(snapshot(&[endpoint.address]), &[("auth-url", "http://auth.m.svc/check")]);
    let last = Arc::make_mut(asking.ingresses.last_mut().expect("just put in"));
    let mut second = last.rules[0].paths[0].clone();
    second.path = "/second".into();
    last.rules[0].paths.push(second);
    let gate = Gate::start(&asking, |_| ());
    let told = gate.routes.load().problems().iter().filter(|problem| problem.message.contains("auth-url")).count();
    assert_eq!(told, 1, "however many paths there are");
    assert_eq!(send(&gate, "GET /second").await.status, 503);
}
