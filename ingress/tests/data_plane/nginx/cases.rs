//! The table: annotations, the configuration that ingress-nginx makes of them, requests.

/// Whether both are to do the same.
#[derive(Debug)]
pub enum How {
    Same,
    /// By which annotation, if by one, and the statuses of nginx and of ours.
    Differs(&'static str, (u16, u16)),
}

use How::{Differs, Same};

/// One Ingress for `a.example`.
pub struct Case {
    pub name: &'static str,
    pub annotations: &'static [(&'static str, &'static str)],
    pub paths: &'static [(&'static str, &'static str)],
    /// `USUAL` stands for what is in every location, `RATE` for a zone of one request a second.
    pub nginx: &'static str,
    /// Fields of answers, lower case.
    pub told: &'static [&'static str],
    /// Fields of what the endpoint gets.
    pub seen: &'static [&'static str],
    /// A request line without version, fields, and after an empty line a body.
    pub requests: &'static [(&'static str, How)],
}

/// `secret` three times, and a user whose password is in a form that only nginx knows.
pub const USERS: &str = "apr:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/
sha:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=
plain:{PLAIN}secret
";

const ROOT: &[(&str, &str)] = &[("/", "Prefix")];
const PLAIN: &str = "location / { USUAL proxy_pass http://up; }";
const FORWARDED: &[&str] = &[
    "host",
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "content-length",
    "transfer-encoding",
    "cookie",
    "proxy",
    "x_under",
    "x-twice",
];
const NONE: Case =
    Case { name: "", annotations: &[], paths: ROOT, nginx: PLAIN, told: &["location"], seen: &["host"], requests: &[] };

/// The request as it goes over the wire.
pub fn whole(request: &str) -> String {
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let (line, fields) = head.split_once('\n').unwrap_or((head, ""));
    let mut text = format!("{line} HTTP/1.1\r\n");
    if !fields.to_ascii_lowercase().contains("host:") {
        text += "Host: a.example:PORT\r\n";
    }
    for field in fields.lines() {
        text += &format!("{field}\r\n");
    }
    text += "Connection: close\r\n\r\n";
    text + &body.replace('\n', "\r\n")
}

pub const CASES: &[Case] = &[
    Case {
        name: "nothing asked",
        seen: FORWARDED,
        told: &["location", "x-none"],
        requests: &[
            ("GET /", Same),
            ("GET /a/b?c=%2f&d=+%20&&=", Same),
            ("GET /a?", Same),
            ("GET /%E4%zz", Same),
            ("GET /a%2Fb/%7Euser;v=1", Same),
            ("HEAD /a", Same),
            ("PURGE /a", Same),
            ("POST /a\nContent-Length: 3\n\nabc", Same),
            ("GET /a\nX-Forwarded-For: 10.0.0.1\nX-Forwarded-Proto: https\nX-Real-IP: 10.0.0.1\nProxy: x", Same),
            ("GET /a\nX_Under: 1\nX-Twice: 1\nX-Twice: 2\nCookie: a=1; b=2", Same),
            ("GET /a\nHost: A.Example", Same),
            ("GET /a/../b", Differs("", (200, 400))),
            ("GET /a\nHost: a..example:x", Same),
            ("GET /a\nHost: a.example\nHost: b.example", Same),
            ("GET http://a.example/b?c", Differs("", (200, 200))),
            ("GET /a\nx-answer: 404", Same),
            ("GET /a\nx-answer: 500", Same),
            ("POST /a\nContent-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n", Same),
            ("POST /a\nContent-Length: +3\n\nabc", Same),
            ("POST /a\nTransfer-Encoding: gzip, chunked\n\n0\n\n", Differs("", (501, 400))),
            ("GET /a\nx-answer: 302\nx-location: http://b.example/", Same),
        ],
        ..NONE
    },
    Case {
        name: "prefixes and exact paths",
        paths: &[("/foo", "Prefix"), ("/bar", "Exact"), ("/Case", "Prefix")],
        nginx: "location /foo/ { USUAL proxy_pass http://up; } location = /foo { USUAL proxy_pass http://up; }
            location = /bar { USUAL proxy_pass http://up; } location /Case/ { USUAL proxy_pass http://up; }
            location / { return 404; }",
        requests: &[
            ("GET /foo", Same),
            ("GET /foo/", Same),
            ("GET /foo/x", Same),
            ("GET /foobar", Same),
            ("GET /bar", Same),
            ("GET /bar/", Same),
            ("GET /%66oo/x", Same),
            ("GET //foo/x", Same),
            ("GET /case/x", Same),
            ("GET /", Same),
        ],
        ..NONE
    },
    Case {
        name: "a rewrite with groups",
        annotations: &[("rewrite-target", "/$2"), ("x-forwarded-prefix", "/api")],
        paths: &[("/api(/|$)(.*)", "ImplementationSpecific")],
        nginx: r#"location ~* "^/api(/|$)(.*)" { USUAL proxy_set_header X-Forwarded-Prefix "/api";
            rewrite "(?i)/api(/|$)(.*)" /$2 break; proxy_pass http://up; }
            location / { return 404; }"#,
        seen: &["host", "x-forwarded-prefix"],
        requests: &[
            ("GET /api", Same),
            ("GET /api/", Same),
            ("GET /api/v1/x?q=1&r=%2f", Same),
            ("GET /API/x", Same),
            ("GET /apix", Same),
            ("GET /api/a%20b", Same),
            ("GET /api/a%3Fb", Same),
            ("GET /api//b", Same),
            ("GET /x", Same),
        ],
        ..NONE
    },
    Case {
        name: "patterns, the longest first",
        annotations: &[("use-regex", "true")],
        paths: &[("/items/[0-9]+", "ImplementationSpecific"), ("/items/", "ImplementationSpecific")],
        nginx: r#"location ~* "^/items/[0-9]+" { USUAL proxy_pass http://up; }
            location ~* "^/items/" { USUAL proxy_pass http://up; } location / { return 404; }"#,
        requests: &[
            ("GET /items/7", Same),
            ("GET /items/7/more", Same),
            ("GET /ITEMS/x", Same),
            ("GET /items", Same),
            ("GET /x/items/7", Same),
        ],
        ..NONE
    },
    Case {
        name: "app-root",
        annotations: &[("app-root", "/shop")],
        nginx: "if ($uri = /) { return 302 $scheme://$http_host/shop; } location / { USUAL proxy_pass http://up; }",
        requests: &[("GET /", Same), ("GET /?a=1", Same), ("GET /x", Same), ("POST /\nContent-Length: 2\n\nab", Same)],
        ..NONE
    },
    Case {
        name: "a permanent redirect",
        annotations: &[("permanent-redirect", "https://b.example/x")],
        nginx: "location / { return 301 https://b.example/x; }",
        requests: &[("GET /", Same), ("GET /y?z", Same), ("HEAD /", Same)],
        ..NONE
    },
    Case {
        name: "a temporal redirect with a code",
        annotations: &[("temporal-redirect", "https://b.example"), ("temporal-redirect-code", "307")],
        nginx: "location / { return 307 https://b.example; }",
        requests: &[("GET /", Same), ("PUT /y\nContent-Length: 2\n\nab", Same)],
        ..NONE
    },
    Case {
        name: "to HTTPS",
        annotations: &[("force-ssl-redirect", "true")],
        nginx: "location / { return 308 https://$host$request_uri; }",
        requests: &[("GET /x?y=%2f", Same), ("GET /", Differs("", (308, 308)))],
        ..NONE
    },
    Case {
        name: "body sizes",
        annotations: &[("proxy-body-size", "5")],
        nginx: "location / { USUAL client_max_body_size 5; proxy_pass http://up; }",
        seen: &["host"],
        requests: &[
            ("POST /\nContent-Length: 5\n\nabcde", Same),
            ("POST /\nContent-Length: 6\n\nabcdef", Same),
            ("POST /\nTransfer-Encoding: chunked\n\n6\nabcdef\n0\n\n", Same),
            ("POST /\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n", Same),
        ],
        ..NONE
    },
    Case {
        name: "addresses that are allowed",
        annotations: &[("whitelist-source-range", "10.0.0.0/8,127.0.0.2")],
        nginx: "location / { USUAL allow 10.0.0.0/8; allow 127.0.0.2; deny all; proxy_pass http://up; }",
        requests: &[("GET /", Same), ("GET /\nX-Forwarded-For: 10.0.0.1", Same)],
        ..NONE
    },
    Case {
        name: "addresses that are denied",
        annotations: &[("denylist-source-range", "127.0.0.0/8")],
        nginx: "location / { USUAL deny 127.0.0.0/8; proxy_pass http://up; }",
        requests: &[("GET /", Same)],
        ..NONE
    },
    Case {
        name: "passwords",
        annotations: &[("auth-type", "basic"), ("auth-secret", "users"), ("auth-realm", "Who are you")],
        nginx: r#"location / { USUAL auth_basic "Who are you"; auth_basic_user_file users;
            proxy_set_header Authorization ""; proxy_pass http://up; }"#,
        told: &["www-authenticate"],
        seen: &["authorization"],
        requests: &[
            ("GET /", Same),
            ("GET /\nAuthorization: Basic YXByOnNlY3JldA==", Same),
            ("GET /\nAuthorization: basic c2hhOnNlY3JldA==", Same),
            ("GET /\nAuthorization: Basic c2hhOndyb25n", Same),
            ("GET /\nAuthorization: Basic bm9ib2R5OnNlY3JldA==", Same),
            ("GET /\nAuthorization: Basic !!!", Same),
            ("GET /\nAuthorization: Basic YXBy", Same),
            ("GET /\nAuthorization: Bearer YXByOnNlY3JldA==", Same),
            ("GET /\nAuthorization: Basic cGxhaW46c2VjcmV0", Differs("auth-secret", (200, 401))),
        ],
        ..NONE
    },
    Case {
        name: "a password or an address",
        annotations: &[
            ("auth-type", "basic"),
            ("auth-secret", "users"),
            ("satisfy", "any"),
            ("whitelist-source-range", "127.0.0.1"),
        ],
        nginx: r#"location / { USUAL satisfy any; allow 127.0.0.1; deny all; auth_basic "Authentication Required";
            auth_basic_user_file users; proxy_set_header Authorization ""; proxy_pass http://up; }"#,
        requests: &[("GET /", Same), ("GET /\nAuthorization: Basic c2hhOndyb25n", Same)],
        ..NONE
    },
    Case {
        name: "a service that is asked",
        annotations: &[("auth-url", "http://web.n.svc/check"), ("auth-response-headers", "X-User")],
        nginx: "location = /_auth { internal; proxy_pass_request_body off; proxy_set_header Content-Length \"\";
            proxy_set_header Host web.n.svc; proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
            proxy_set_header X-Original-Method $request_method; proxy_set_header X-Sent-From nginx-ingress-controller;
            proxy_set_header X-Auth-Request-Redirect $request_uri; proxy_set_header X-Forwarded-For $remote_addr;
            proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_pass http://up/check; }
            location / { USUAL auth_request /_auth; auth_request_set $user $upstream_http_x_user;
            auth_request_set $cookie $upstream_http_set_cookie; add_header Set-Cookie $cookie;
            proxy_set_header X-User $user; proxy_pass http://up; }",
        told: &["www-authenticate", "set-cookie", "location"],
        seen: &[
            "host",
            "x-user",
            "x-original-url",
            "x-original-method",
            "x-sent-from",
            "x-auth-request-redirect",
            "content-length",
            "cookie",
        ],
        requests: &[
            ("GET /x?y=1\nCookie: a=b", Same),
            ("GET /x\nx-check: 204", Same),
            ("GET /x\nx-check: 401", Same),
            ("GET /x\nx-check: 403", Same),
            ("GET /x\nx-check: 500", Same),
            ("GET /x\nx-check: 302", Same),
            ("GET /x\nx-check: 404", Same),
            ("GET /x\nX-User: mallory", Differs("auth-response-headers", (200, 200))),
            ("GET /x\nx-answer: 500", Same),
            ("POST /x\nContent-Length: 3\n\nabc", Same),
        ],
        ..NONE
    },
    Case {
        name: "a service that is asked, and where to sign in",
        annotations: &[("auth-url", "http://web.n.svc/check"), ("auth-signin", "https://in.example/start")],
        nginx: "location = /_auth { internal; proxy_pass_request_body off; proxy_set_header Content-Length \"\";
            proxy_set_header Host web.n.svc; proxy_http_version 1.1; proxy_set_header Connection \"\";
            proxy_pass http://up/check; }
            location @in { internal; return 302 https://in.example/start?rd=$scheme://$http_host%2Fx; }
            location / { USUAL auth_request /_auth; error_page 401 = @in; proxy_pass http://up; }",
        told: &["location", "www-authenticate"],
        requests: &[
            ("GET /x\nx-check: 401", Differs("auth-signin", (302, 302))),
            ("GET /x\nx-check: 403", Same),
            ("GET /x\nx-answer: 401", Same),
        ],
        ..NONE
    },
    Case {
        name: "error pages of another service",
        annotations: &[("custom-http-errors", "404,503"), ("default-backend", "web")],
        nginx: "location @custom { internal; proxy_set_header X-Code 404; proxy_set_header X-Format $http_accept;
            proxy_set_header X-Original-URI $request_uri; proxy_set_header X-Namespace n;
            proxy_set_header X-Ingress-Name i; proxy_set_header X-Service-Name web; proxy_set_header X-Service-Port 80;
            proxy_set_header Host $http_host; proxy_http_version 1.1; proxy_set_header Connection \"\";
            proxy_set_header x-answer \"\"; proxy_method GET; proxy_pass_request_body off;
            proxy_set_header Content-Length \"\"; rewrite (.*) / break; proxy_pass http://up; }
            location / { USUAL proxy_intercept_errors on; error_page 404 = @custom; proxy_pass http://up; }",
        seen: &[
            "host",
            "x-code",
            "x-format",
            "x-original-uri",
            "x-namespace",
            "x-ingress-name",
            "x-service-name",
            "x-service-port",
        ],
        requests: &[
            ("GET /x?y\nAccept: text/html\nx-answer: 404", Same),
            ("GET /x\nx-answer: 400", Same),
            ("GET /x", Same),
        ],
        ..NONE
    },
    Case {
        name: "redirects of the endpoint",
        annotations: &[("proxy-redirect-from", "http://in.example/"), ("proxy-redirect-to", "https://a.example/")],
        nginx: "location / { USUAL proxy_redirect http://in.example/ https://a.example/; proxy_pass http://up; }",
        told: &["location", "refresh"],
        requests: &[
            ("GET /\nx-answer: 302\nx-location: http://in.example/x?y", Same),
            ("GET /\nx-answer: 302\nx-location: http://other.example/x", Same),
            ("GET /\nx-refresh: 5; url=http://in.example/x", Same),
        ],
        ..NONE
    },
    Case {
        name: "cookies of the endpoint",
        annotations: &[("proxy-cookie-domain", "in.example a.example"), ("proxy-cookie-path", "/in /out")],
        nginx: "location / { USUAL proxy_cookie_domain in.example a.example; proxy_cookie_path /in /out;
            proxy_pass http://up; }",
        told: &["set-cookie"],
        requests: &[
            ("GET /\nx-cookie: a=1; Path=/in/x; Domain=in.example; HttpOnly", Same),
            ("GET /\nx-cookie: a=1; path=/; domain=.in.example", Same),
            ("GET /\nx-cookie: a=1", Same),
            ("GET /\nx-cookie: a=1; Domain=other.example; Secure", Same),
        ],
        ..NONE
    },
    Case {
        name: "another Host for the endpoint",
        annotations: &[("upstream-vhost", "in.example")],
        nginx: "location / { USUAL proxy_pass http://up; proxy_set_header Host in.example; }",
        seen: &["x-forwarded-host", "x-real-ip"],
        requests: &[("GET /", Same)],
        ..NONE
    },
    Case {
        name: "an endpoint that does not answer",
        annotations: &[("proxy-read-timeout", "1"), ("proxy-next-upstream", "off")],
        nginx: "location / { USUAL proxy_read_timeout 1s; proxy_next_upstream off; proxy_pass http://up; }",
        requests: &[("GET /\nx-hang: 1", Same), ("GET /", Same)],
        ..NONE
    },
    Case {
        name: "cross-origin requests",
        annotations: &[("enable-cors", "true"), ("cors-allow-origin", "https://b.example")],
        nginx: r#"location / { USUAL
            set $cors ""; if ($http_origin ~* ((https://b\.example)$)) { set $cors "true"; }
            if ($request_method = OPTIONS) { set $cors "${cors}options"; }
            if ($cors = "trueoptions") {
                add_header Access-Control-Allow-Origin $http_origin;
                add_header Access-Control-Allow-Credentials true;
                add_header Access-Control-Allow-Methods "GET, PUT, POST, DELETE, PATCH, OPTIONS";
                add_header Access-Control-Max-Age 1728000; return 204; }
            if ($cors = "true") {
                add_header Access-Control-Allow-Origin $http_origin always;
                add_header Access-Control-Allow-Credentials true always;
                add_header Access-Control-Allow-Methods "GET, PUT, POST, DELETE, PATCH, OPTIONS" always;
                add_header Access-Control-Max-Age 1728000 always; proxy_pass http://up; }
            proxy_pass http://up; }"#,
        told: &[
            "access-control-allow-origin",
            "access-control-allow-credentials",
            "access-control-allow-methods",
            "access-control-max-age",
        ],
        requests: &[
            ("GET /\nOrigin: https://b.example", Same),
            ("GET /\nOrigin: https://c.example", Same),
            ("GET /", Same),
            ("OPTIONS /\nOrigin: https://b.example\nAccess-Control-Request-Method: PUT", Same),
            ("OPTIONS /\nOrigin: https://c.example\nAccess-Control-Request-Method: PUT", Same),
        ],
        ..NONE
    },
    Case {
        name: "plain values of a snippet",
        annotations: &[(
            "configuration-snippet",
            r#"add_header X-Some "1; \"2\""; add_header 'X-All' 3 always;
            proxy_set_header X-Team shop; proxy_set_header X-Secret "";"#,
        )],
        nginx: r#"location / { USUAL proxy_pass http://up; add_header X-Some "1; \"2\""; add_header 'X-All' 3 always;
            proxy_set_header X-Team shop; proxy_set_header X-Secret ""; }"#,
        told: &["x-some", "x-all"],
        seen: &["x-team", "x-secret"],
        requests: &[
            ("GET /\nX-Team: x\nX-Secret: 1", Same),
            ("GET /\nx-answer: 404", Same),
            ("GET /\nx-answer: 201", Same),
            ("GET /\nx-answer: 302\nx-location: http://b.example/", Same),
        ],
        ..NONE
    },
    Case {
        name: "further names",
        annotations: &[("server-alias", "b.example,*.c.example")],
        nginx: "server_name b.example *.c.example; location / { USUAL proxy_pass http://up; }",
        requests: &[
            ("GET /\nHost: b.example", Same),
            ("GET /\nHost: x.c.example:80", Same),
            ("GET /\nHost: x.y.c.example", Differs("server-alias", (200, 404))),
        ],
        ..NONE
    },
    Case {
        name: "with and without www",
        annotations: &[("from-to-www-redirect", "true")],
        nginx: "if ($host = www.a.example) { return 308 $scheme://a.example$request_uri; }
            location / { USUAL proxy_pass http://up; }",
        requests: &[("GET /x?y", Same), ("GET /x?y=%2f\nHost: www.a.example", Same)],
        ..NONE
    },
    Case {
        name: "one request a second",
        annotations: &[("limit-rps", "1"), ("limit-burst-multiplier", "1")],
        nginx: "location / { USUAL limit_req zone=RATE burst=1 nodelay; proxy_pass http://up; }",
        requests: &[("GET /1", Same), ("GET /2", Same), ("GET /3", Differs("limit-rps", (503, 429)))],
        ..NONE
    },
];
