//! Requests explained: the gate says of each what it then does, and only to those who may read its Ingress.

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
    Question { parts, remote: [127, 0, 0, 1].into(), tls: false, port: 80, body: None }
}

async fn told(gate: &Gate, question: Question) -> Vec<Step> {
    explain(&gate.routes.load(), question, Sight::Inside(&gate.running.insight)).await
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

/// A hub that knows `reader` and `stranger`, of whom one may read Ingress n/i alone.
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
            let asked = (&spec["user"], &spec["resourceAttributes"]["name"]);
            json!({"allowed": asked == (&json!("reader"), &json!("i")) || spec["user"] == "chief"})
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
    for (token, host, wanted) in [
        ("stranger", "any", "stranger may not get Ingress n/i"),
        ("reader", "a.example", "reader may not get Ingress n/annotated"),
        ("reader", "any/%zz", "reader may not get all Ingresses"),
    ] {
        let denied = ask(token, host).await.expect_err("may not");
        assert!(denied.to_string().starts_with(wanted), "{denied}");
    }
    assert!(ask("chief", "a.example").await.is_ok());
}
