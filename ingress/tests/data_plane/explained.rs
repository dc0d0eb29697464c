//! Requests explained: the gate says of each what it then does, and only to those who may read its Ingress and Secrets.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use ingress::explain::{Denied, Desk, Question, Sight, Step, explain};
use ingress::snapshot::{Named, UserList};
use kube::client::Body;
use serde_json::{Value, json};

use crate::failures::closed;
use crate::fixture::{Gate, Upstream, ask, snapshot};
use crate::policies::with;

/// `bob` with the password `secret`.
const BOB: &str = "Authorization: Basic Ym9iOnNlY3JldA==";

fn question(url: &str, method: &str, fields: &[&str]) -> Question {
    let mut request = Request::builder().method(method).uri(url);
    for field in fields {
        let (name, value) = field.split_once(": ").expect("a field");
        request = request.header(name, value);
    }
    let (parts, ()) = request.body(()).expect("a request").into_parts();
    Question { parts, remote: [127, 0, 0, 1].into(), tls: url.starts_with("https:"), port: 80, body: None }
}

async fn told(gate: &Gate, question: Question) -> Vec<Step> {
    let readable = BTreeSet::from(["users", "keys"].map(|name| Named::new("n", name)));
    let sight = Sight::Inside { insight: &gate.running.insight, readable: &readable };
    explain(&gate.routes.load(), question, sight).await
}

fn outcome<'s>(steps: &'s [Step], name: &str) -> &'s str {
    steps.iter().find(|step| step.name == name).map_or("", |step| &step.outcome)
}

async fn status(gate: &Gate, method: &str, fields: &[&str]) -> u16 {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    ask(gate.http, &format!("{method} / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{fields}\r\n")).await.status
}

fn guarded(endpoint: &Upstream) -> Gate {
    let annotations = [
        ("auth-type", "basic"),
        ("auth-secret", "users"),
        ("limit-rpm", "2"),
        ("limit-burst-multiplier", "1"),
        ("proxy-body-size", "4"),
    ];
    let mut given = with(snapshot(&[endpoint.address]), &annotations);
    // {SHA} of `secret`.
    let users = [("auth".to_owned(), b"bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n".to_vec())];
    given.user_lists.insert(Named::new("n", "users"), Arc::new(UserList(users.into())));
    Gate::start(&given, |_| ())
}

/// Ingress: 38, 86
#[tokio::test]
async fn what_is_explained_is_what_happens() {
    let endpoint = Upstream::start("web").await;
    for (method, fields, wanted, step) in [
        ("GET", &[][..], 401, "password"),
        ("GET", &["Authorization: Basic Ym9iOndyb25n"][..], 401, "password"),
        ("PUT", &[BOB, "Content-Length: 5"][..], 413, "body"),
        ("GET", &[BOB][..], 200, "next"),
    ] {
        let gate = guarded(&endpoint);
        let steps = told(&gate, question("http://a.example/", method, fields)).await;
        assert_eq!(status(&gate, method, fields).await, wanted);
        let last = steps.iter().rfind(|one| one.name != "answer").expect("steps");
        assert_eq!(last.name, step, "{steps:?}");
        assert!(wanted == 200 || last.outcome.contains(&wanted.to_string()), "{steps:?}");
        assert!(outcome(&steps, "route").starts_with("Ingress n/annotated, "), "{steps:?}");
    }
    let gate = guarded(&endpoint);
    let none = told(&gate, question("http://broken.example/", "GET", &[])).await;
    assert!(outcome(&none, "backend").contains("the answer is 503"), "{none:?}");
    let odd = told(&gate, question("http://a.example/%zz", "GET", &[])).await;
    assert!(odd[0].outcome.contains("refused with 400"), "{odd:?}");
}

/// Ingress: 86
#[tokio::test]
async fn an_explanation_counts_for_nothing_and_knows_what_was_used_up() {
    let endpoint = Upstream::start("web").await;
    let gate = guarded(&endpoint);
    let asked = || question("http://a.example/", "GET", &[BOB]);
    for _ in 0..20 {
        assert!(outcome(&told(&gate, asked()).await, "limits").contains("this client is within"));
    }
    assert_eq!(endpoint.seen(), 0, "nothing is sent");
    while status(&gate, "GET", &[BOB]).await == 200 {}
    assert!(outcome(&told(&gate, asked()).await, "answer").contains("429"));
    let other = Question { remote: [10, 0, 0, 9].into(), ..asked() };
    assert!(outcome(&told(&gate, other).await, "limits").contains("this client is within"));
    let outside = explain(&gate.routes.load(), asked(), Sight::Outside { secrets: false }).await;
    assert!(outcome(&outside, "password").contains("only who reads the Secrets"), "{outside:?}");
    assert!(outcome(&outside, "limits").contains("only the gateway"), "{outside:?}");
    assert!(outcome(&outside, "next").contains("only the gateway"), "{outside:?}");
}

/// Ingress: 66, 86
#[tokio::test]
async fn an_explanation_says_who_is_left_out_and_who_is_next() {
    let endpoint = Upstream::start("web").await;
    let away = closed().await;
    let gate = Gate::to(&[away, endpoint.address]);
    for _ in 0..2 {
        assert_eq!(gate.get("/").await.status, 200);
    }
    for _ in 0..4 {
        let steps = told(&gate, question("http://any/", "GET", &[])).await;
        let of = |address: &str| steps.iter().find(|one| one.name == "endpoint" && one.outcome.starts_with(address));
        let (bad, good) = (of(&away.to_string()).expect("told"), of(&endpoint.address.to_string()).expect("told"));
        assert!(bad.outcome.contains("cannot be reached") && good.outcome.contains(": well"), "{steps:?}");
        assert!(outcome(&steps, "next").starts_with(&endpoint.address.to_string()), "{steps:?}");
        assert_eq!(outcome(&steps, "choice"), "in turn");
    }
}

/// Ingress: 86
#[tokio::test]
async fn explanations_take_no_turn_of_those_who_log_in() {
    let endpoint = Upstream::start("web").await;
    let annotations = [("auth-type", "basic"), ("auth-secret", "users")];
    let mut given = with(snapshot(&[endpoint.address]), &annotations);
    let users = format!("bob:{}\n", bcrypt::hash("secret", 4).expect("hashed")).into_bytes();
    given.user_lists.insert(Named::new("n", "users"), Arc::new(UserList([("auth".to_owned(), users)].into())));
    let gate = Arc::new(Gate::start(&given, |_| ()));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let gate = gate.clone();
        asking.spawn(async move {
            told(&gate, question("http://a.example/", "GET", &["Authorization: Basic Ym9iOndyb25n"])).await
        });
    }
    assert_eq!(status(&gate, "GET", &[BOB]).await, 200);
    while let Some(steps) = asking.join_next().await {
        let steps = steps.expect("explained");
        assert!(outcome(&steps, "password").starts_with("401"), "more than wait for a login are told: {steps:?}");
    }
}

/// Ingress: 86
#[tokio::test]
async fn passwords_and_tokens_are_judged_for_who_may_read_the_secret() {
    let endpoint = Upstream::start("web").await;
    let jwt = [("auth-jwt-secret", "keys"), ("auth-jwt-issuer", "i"), ("auth-jwt-audiences", "a")];
    let annotations = [&[("auth-type", "basic"), ("auth-secret", "users")][..], &jwt].concat();
    let mut given = with(snapshot(&[endpoint.address]), &annotations);
    let keys = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    for (name, key, value) in
        [("users", "auth", "bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"), ("keys", "jwks.json", keys)]
    {
        let held = [(key.to_owned(), value.as_bytes().to_vec())];
        given.user_lists.insert(Named::new("n", name), Arc::new(UserList(held.into())));
    }
    let gate = Gate::start(&given, |_| ());
    let hub = Hub::default();
    let desk = Desk::new(hub.connect(), gate.routes.clone(), gate.running.insight.clone());
    let wrong = "Authorization: Basic Ym9iOndyb25n";
    for (user, fields, password, token) in [
        ("chief", &[BOB][..], "it is right", "401"),
        ("chief", &[wrong][..], "401", "401"),
        ("keeper", &[BOB][..], "it is right", "shown, not judged"),
        ("keeper", &[wrong][..], "401", "shown, not judged"),
        ("viewer", &[BOB][..], "shown, not judged", "shown, not judged"),
        ("viewer", &[wrong][..], "shown, not judged", "shown, not judged"),
        ("viewer", &["Authorization: Bearer x"][..], "shown, not judged", "shown, not judged"),
        ("viewer", &[][..], "401", "401"),
    ] {
        let steps = desk.explain(user, question("http://a.example/", "GET", fields)).await.expect("may ask");
        let found = (outcome(&steps, "password"), outcome(&steps, "token"));
        assert!(found.0.starts_with(password) && found.1.starts_with(token), "{user} {fields:?}: {steps:?}");
    }
    let tried =
        async |fields| desk.explain("viewer", question("http://a.example/", "GET", fields)).await.expect("may ask");
    assert_eq!(tried(&[BOB]).await, tried(&[wrong]).await, "nothing tells a right one from a wrong one");
    let reviews = std::mem::take(&mut *hub.0.lock().expect("no panic"));
    let asked: BTreeSet<_> = reviews.iter().map(|review| review["spec"]["resourceAttributes"].to_string()).collect();
    for name in ["users", "keys"] {
        let attributes = json!({"verb": "get", "group": "", "resource": "secrets", "namespace": "n", "name": name});
        assert!(asked.contains(&attributes.to_string()), "{asked:?}");
    }
}

/// Ingress: 86
#[tokio::test]
async fn tls_that_is_not_ended_here_is_said_to_pass_through() {
    let endpoint = Upstream::start("web").await;
    let rules = [("ssl-passthrough", "true"), ("denylist-source-range", "10.0.0.0/8")];
    let gate = Gate::start(&with(snapshot(&[endpoint.address]), &rules), |_| ());
    for host in ["a.example", "A.Example", "a.example."] {
        let steps = told(&gate, question(&format!("https://{host}/x"), "GET", &["Host: any"])).await;
        let names: Vec<_> = steps.iter().map(|step| step.name).collect();
        assert_eq!(names, ["request", "route", "passthrough", "backend", "choice", "endpoint", "next"], "{steps:?}");
        assert!(outcome(&steps, "route").starts_with("Ingress n/annotated"), "{steps:?}");
        assert!(outcome(&steps, "passthrough").starts_with("its TLS goes to n/web:80 as it is"), "{steps:?}");
        assert!(outcome(&steps, "next").starts_with(&endpoint.address.to_string()), "{steps:?}");
    }
    let kept_out = Question { remote: [10, 0, 0, 9].into(), ..question("https://a.example/", "GET", &[]) };
    assert!(outcome(&told(&gate, kept_out).await, "answer").contains("the connection is closed"));
    for url in ["http://a.example/", "https://any/"] {
        assert_eq!(outcome(&told(&gate, question(url, "GET", &[])).await, "passthrough"), "", "{url}");
    }
    let hub = Hub::default();
    let desk = Desk::new(hub.connect(), gate.routes.clone(), gate.running.insight.clone());
    // The Host of a request that nobody reads leads nowhere.
    let asked = || question("https://a.example/", "GET", &["Host: any"]);
    assert!(matches!(desk.explain("reader", asked()).await, Err(Denied::Forbidden { .. })));
    assert!(desk.explain("viewer", asked()).await.is_ok());
}

/// A hub that knows everybody: `reader` may get Ingress n/i alone, `viewer` n/annotated, `keeper` its users, too.
#[derive(Clone, Default)]
struct Hub(Arc<Mutex<Vec<Value>>>);

impl Hub {
    fn connect(&self) -> hub_client::Hub {
        let hub = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| hub.clone().answer(request));
        hub_client::Hub::new(kube::Client::new(service, "default"))
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
        let body = request.into_body().collect().await.expect("a body").to_bytes();
        let review: Value = serde_json::from_slice(&body).expect("JSON");
        let status = if review["kind"] == "TokenReview" {
            match review["spec"]["token"].as_str().expect("a token") {
                "wrong" => json!({"authenticated": false, "error": "no"}),
                name => json!({"authenticated": true, "user": {
                    "username": name, "uid": "7", "groups": ["g"], "extra": {"k": ["v"]},
                }}),
            }
        } else {
            let spec = &review["spec"];
            let wanted = &spec["resourceAttributes"];
            let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
            let asked = (text(&spec["user"]), text(&wanted["resource"]), text(&wanted["name"]));
            let allowed = matches!(
                (asked.0.as_str(), asked.1.as_str(), asked.2.as_str()),
                ("chief", ..)
                    | ("reader", "ingresses", "i")
                    | ("viewer" | "keeper", "ingresses", "annotated")
                    | ("keeper", "secrets", "users")
            );
            json!({"allowed": allowed})
        };
        self.0.lock().expect("no panic").push(review);
        let answer = Response::builder().header("content-type", "application/json");
        Ok(answer.body(Full::from(json!({"status": status}).to_string())).expect("an answer"))
    }
}

/// Ingress: 86
#[tokio::test]
async fn only_who_may_read_the_ingress_is_told() {
    let endpoint = Upstream::start("web").await;
    let gate = Gate::start(&with(snapshot(&[endpoint.address]), &[]), |_| ());
    let hub = Hub::default();
    let desk = Desk::new(hub.connect(), gate.routes.clone(), gate.running.insight.clone());
    let ask =
        async |token: &str, host: &str| desk.explain(token, question(&format!("http://{host}/"), "GET", &[])).await;
    assert!(matches!(ask("wrong", "any").await, Err(Denied::Unknown)));
    assert_eq!(outcome(&ask("reader", "any").await.expect("may"), "route"), "Ingress n/i, Prefix */");
    let reviews = std::mem::take(&mut *hub.0.lock().expect("no panic"));
    assert_eq!(
        reviews.last().expect("asked")["spec"],
        json!({
            "user": "reader", "uid": "7", "groups": ["g"], "extra": {"k": ["v"]},
            "resourceAttributes": {
                "verb": "get", "group": "networking.k8s.io", "resource": "ingresses", "namespace": "n", "name": "i",
            },
        })
    );
    let mut told = BTreeSet::new();
    for (token, host) in [("stranger", "any"), ("stranger", "a.example"), ("stranger", "any/%zz")] {
        told.insert(ask(token, host).await.expect_err("may not").to_string());
    }
    assert_eq!(told.len(), 1, "neither which Ingress nor whether there is one: {told:?}");
    assert!(told.iter().all(|told| told.starts_with("stranger may not get") && !told.contains("n/")), "{told:?}");
    for host in ["a.example", "any/%zz"] {
        assert!(matches!(ask("reader", host).await, Err(Denied::Forbidden { .. })), "{host}");
    }
    assert!(ask("chief", "a.example").await.is_ok());
}
