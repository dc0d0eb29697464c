//! Tokens that clients show: who gets in, what the endpoint hears, what is closed where keys are missing.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ingress::snapshot::{Named, UserList};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::fixture::{Answer, Gate, ask, snapshot};
use crate::nginx::Recorder;
use crate::policies::with;

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

pub fn key() -> Ed25519KeyPair {
    let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    Ed25519KeyPair::from_pkcs8(made.as_ref()).expect("a key")
}

pub fn token(by: &Ed25519KeyPair, change: &Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let mut claims =
        json!({"iss": "https://issuer.example", "aud": "shop", "exp": now + 600, "sub": "ann", "level": 3});
    for (name, value) in change.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    let signed = format!("{}.{}", encoded(&json!({"alg": "EdDSA", "kid": "k"})), encoded(&claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(by.sign(signed.as_bytes())))
}

pub const ASKED: [(&str, &str); 4] = [
    ("auth-jwt-secret", "keys"),
    ("auth-jwt-issuer", "https://issuer.example"),
    ("auth-jwt-audiences", "shop, store"),
    ("auth-jwt-headers", "X-User=sub,X-Level=level,X-Odd=odd"),
];

fn gate(main: &Recorder, annotations: &[(&str, &str)], set: Option<&str>) -> Gate {
    let mut all = with(snapshot(&[main.address]), annotations);
    if let Some(set) = set {
        let keys = [("jwks.json".to_owned(), set.as_bytes().to_vec())];
        all.user_lists.insert(Named::new("n", "keys"), Arc::new(UserList(keys.into())));
    }
    Gate::start(&all, |_| ())
}

async fn send(gate: &Gate, fields: &str) -> Answer {
    ask(gate.http, &format!("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{fields}\r\n")).await
}

/// Ingress: 83
#[tokio::test]
async fn tokens_are_asked_for_and_told() {
    let main = Recorder::start().await;
    let (ours, theirs) = (key(), key());
    let x = URL_SAFE_NO_PAD.encode(ours.public_key().as_ref());
    let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x}]}).to_string();
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let good = token(&ours, &json!({}));
    let unsigned = format!("{}.{}.", encoded(&json!({"alg": "none"})), good.split('.').nth(1).expect("claims"));
    let secured = gate(&main, &ASKED, Some(&set));
    for (fields, status, challenge) in [
        (String::new(), 401, "www-authenticate: bearer\r\n"),
        ("Authorization: Basic YTpi\r\n".to_owned(), 401, "www-authenticate: bearer\r\n"),
        (bearer(&good), 200, ""),
        (bearer(&good).replace("Bearer", "bEARER"), 200, ""),
        (bearer(&token(&theirs, &json!({}))), 401, "www-authenticate: bearer error=\"invalid_token\"\r\n"),
        (bearer(&token(&ours, &json!({"aud": "other"}))), 401, "error=\"invalid_token\""),
        (bearer(&token(&ours, &json!({"exp": 1}))), 401, "error=\"invalid_token\""),
        (bearer(&unsigned), 401, "error=\"invalid_token\""),
        (bearer("nonsense"), 401, "error=\"invalid_token\""),
        (format!("{}{}", bearer(&good), bearer(&good)), 401, "www-authenticate: bearer\r\n"),
    ] {
        let answer = send(&secured, &fields).await;
        assert_eq!(answer.status, status, "{fields}");
        assert!(format!("{}\r\n", answer.head).contains(challenge), "{fields} {answer:?}");
        assert_eq!(main.take().len(), usize::from(status == 200), "{fields}");
    }
    let lies = "X-User: root\r\nX-Level: 9\r\nX-Odd: 1\r\nConnection: x-user\r\n";
    let odd = token(&ours, &json!({"odd": "a\r\nX-User: root"}));
    assert_eq!(send(&secured, &format!("{lies}{}", bearer(&odd))).await.status, 200);
    let seen = main.take().pop().expect("a request");
    assert_eq!((&*seen.headers["x-user"], &*seen.headers["x-level"], seen.headers.get("x-odd")), ("ann", "3", None));
    // An address is enough where that is said; what clients say of themselves is still not passed on.
    let any = [&ASKED[..], &[("satisfy", "any"), ("whitelist-source-range", "127.0.0.1")]].concat();
    let open = gate(&main, &any, Some(&set));
    assert_eq!(send(&open, lies).await.status, 200);
    assert_eq!(main.take().pop().expect("a request").headers.get("x-user"), None);
    let far = [&ASKED[..], &[("satisfy", "any"), ("whitelist-source-range", "10.0.0.0/8")]].concat();
    let far = gate(&main, &far, Some(&set));
    assert_eq!((send(&far, "").await.status, send(&far, &bearer(&good)).await.status), (401, 200));
}

/// Ingress: 83, 74
#[tokio::test]
async fn nobody_is_let_in_where_it_is_not_clear_whose_tokens_count() {
    let main = Recorder::start().await;
    let without = |name: &str| ASKED.into_iter().filter(|(known, _)| *known != name).collect::<Vec<_>>();
    let shared = r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#;
    for (annotations, set) in [
        (ASKED.to_vec(), None),
        (ASKED.to_vec(), Some("nonsense")),
        (ASKED.to_vec(), Some(shared)),
        (without("auth-jwt-secret"), None),
        (without("auth-jwt-issuer"), None),
        (without("auth-jwt-audiences"), None),
        ([ASKED.to_vec(), vec![("auth-jwt-leeway", "86400")]].concat(), None),
        ([without("auth-jwt-secret"), vec![("auth-jwt-secret", "m/keys")]].concat(), None),
    ] {
        let gate = gate(&main, &annotations, set);
        assert_eq!(send(&gate, "").await.status, 503, "{annotations:?} {set:?}");
        let told = gate.routes.load().problems().iter().any(|problem| problem.message.contains("auth-jwt-"));
        assert!(told, "{annotations:?} {set:?}");
    }
}

/// Ingress: 85
#[tokio::test]
async fn what_a_service_said_holds_for_who_says_the_same() {
    let main = Recorder::start().await;
    let cached = |duration: &str| {
        let given = [
            ("auth-url", "http://web.n.svc/check"),
            ("auth-cache-key", "$remote_user$cookie_session"),
            ("auth-cache-duration", duration),
            ("auth-response-headers", "X-User"),
        ];
        // One worker, since each remembers for itself.
        Gate::start(&with(snapshot(&[main.address]), &given), |config| config.workers = 1)
    };
    let asked = || main.take().iter().filter(|seen| seen.line == "GET /check").count();
    let gate = cached("200 1h, 401 403 1h");
    for (fields, status, questions) in [
        ("x-check: 200\r\nx-bare: 1\r\nAuthorization: Bearer a\r\n", 200, 1),
        ("x-check: 401\r\nx-bare: 1\r\nAuthorization: Bearer a\r\n", 200, 0),
        ("x-check: 401\r\nx-bare: 1\r\nAuthorization: Bearer b\r\n", 401, 1),
        ("x-check: 200\r\nx-bare: 1\r\nAuthorization: Bearer b\r\n", 401, 0),
        ("x-check: 403\r\nx-bare: 1\r\nCookie: session=a\r\n", 403, 1),
        ("x-check: 200\r\nx-bare: 1\r\nCookie: session=a\r\n", 403, 0),
        ("x-check: 500\r\nx-bare: 1\r\nCookie: session=b\r\n", 500, 1),
        ("x-check: 200\r\nx-bare: 1\r\nCookie: session=b\r\n", 200, 1),
        // Nothing is said: everybody who says nothing would be the same.
        ("x-check: 200\r\nx-bare: 1\r\n", 200, 1),
        ("x-check: 401\r\nx-bare: 1\r\n", 401, 1),
        // It gives a cookie: that is for this client alone.
        ("x-check: 200\r\nCookie: session=c\r\n", 200, 1),
        ("x-check: 401\r\nCookie: session=c\r\n", 401, 1),
    ] {
        assert_eq!((send(&gate, fields).await.status, asked()), (status, questions), "{fields}");
    }
    let elsewhere = "GET /admin HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nx-check: 403\r\nAuthorization: Bearer a\r\n\r\n";
    assert_eq!((ask(gate.http, elsewhere).await.status, asked()), (403, 1), "another path is another question");
    let changing = |check: &str| {
        format!(
            "DELETE / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nx-check: {check}\r\nx-bare: 1\r\nAuthorization: Bearer a\r\n\r\n"
        )
    };
    for (check, questions) in [("403", 1), ("200", 0)] {
        let answer = ask(gate.http, &changing(check)).await;
        assert_eq!((answer.status, asked()), (403, questions), "another method is another question");
    }
    send(&gate, "Authorization: Bearer a\r\nX-User: root\r\n").await;
    assert_eq!(main.take().pop().expect("a request").headers["x-user"], "alice");
    let short = cached("200 1ms");
    for check in ["200", "401"] {
        let fields = format!("x-check: {check}\r\nx-bare: 1\r\nAuthorization: Bearer z\r\n");
        assert_eq!(send(&short, &fields).await.status.to_string(), check);
        let began = std::time::Instant::now();
        while began.elapsed() < std::time::Duration::from_millis(5) {
            tokio::task::yield_now().await;
        }
    }
}
