//! HTTPS: what is promised of it in answers, where it is looked for, and what endpoints are told of it.

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ingress::snapshot::IngressObject;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Answer, Gate, Upstream, ask, backend, scripted, snapshot};
use crate::secure::{connect, secret, secured};

const PROMISE: &str = "\r\nstrict-transport-security: max-age=31536000; includesubdomains\r\n";

async fn over_tls(gate: &Gate, name: &str, request: &str) -> Answer {
    let (mut stream, _) = connect(gate, name, &["http/1.1"]).await;
    stream.write_all(format!("{request}\r\nHost: {name}\r\nConnection: close\r\n\r\n").as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    Answer::parse(&text)
}

/// Ingress: 30
#[tokio::test]
async fn https_is_promised_for_hosts_with_a_certificate_and_over_tls_alone() {
    let up = Upstream::start("one").await;
    let (certificate, _) = secret();
    let tls = json!([{"hosts": ["a.example", "only.example"], "secretName": "a"}]);
    let snapshot = secured(&up, &tls, &[("a", &certificate)]);
    let gate = Gate::start(&snapshot, |_| ());
    for (name, request, promised) in [
        // The short way, the general one, and answers of ours.
        ("a.example", "GET / HTTP/1.1", true),
        ("a.example", "GET / HTTP/1.1\r\nTE: trailers", true),
        ("only.example", "GET /elsewhere HTTP/1.1", true),
        ("a.example", "TRACE / HTTP/1.1", true),
        ("other.example", "GET / HTTP/1.1", false),
    ] {
        let answer = over_tls(&gate, name, request).await;
        assert_eq!(answer.head.matches(PROMISE).count(), usize::from(promised), "{name} {request}: {}", answer.head);
    }
    let plain = ask(gate.http, "GET / HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n").await;
    assert!(!plain.head.contains("strict-transport"), "{}", plain.head);
    let (stream, _) = connect(&gate, "a.example", &["h2"]).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
    tokio::spawn(connection);
    let request = Request::get("https://a.example/").body(Empty::<Bytes>::new()).expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000; includeSubDomains");
    let silent = Gate::start(&snapshot, |config| config.heads.hsts = None);
    assert!(!over_tls(&silent, "a.example", "GET / HTTP/1.1").await.head.contains("strict-transport"));
}

/// Ingress: 30
#[tokio::test]
async fn what_an_endpoint_promises_stays() {
    let own = scripted(|mut stream, _, _| async move {
        let answer = b"HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=0\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.expect("written");
    })
    .await;
    let (certificate, _) = secret();
    let mut given = snapshot(&[own]);
    let tls = json!({"metadata": {"namespace": "n", "name": "tls"}, "spec": {"ingressClassName": "fedgate",
        "tls": [{"hosts": ["a.example"], "secretName": "a"}]}});
    given.ingresses.push(std::sync::Arc::new(IngressObject::read(&tls)));
    given.secrets.insert(ingress::snapshot::Named::new("n", "a"), certificate);
    let gate = Gate::start(&given, |_| ());
    for request in ["GET / HTTP/1.1", "GET / HTTP/1.1\r\nTE: trailers"] {
        let answer = over_tls(&gate, "a.example", request).await;
        assert!(answer.head.contains("\r\nstrict-transport-security: max-age=0\r\n"), "{}", answer.head);
        assert_eq!(answer.head.matches("strict-transport").count(), 1);
    }
}

/// Ingress: 31, 32
#[tokio::test]
async fn endpoints_hear_the_scheme_under_all_of_its_names() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let trusting = Gate::start(&snapshot(&[up.address]), |config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    });
    let forged = "X-Scheme: https\r\nX-Forwarded-Scheme: https\r\n";
    for (gate, more, wanted) in [
        (&gate, "", "http"),
        (&gate, "TE: trailers\r\n", "http"),
        (&gate, forged, "http"),
        (&gate, "X-Forwarded-Proto: https\r\n", "http"),
        (&trusting, forged, "http"),
        (&trusting, "X-Forwarded-Proto: https\r\n", "https"),
    ] {
        let answer = ask(gate.http, &format!("GET / HTTP/1.1\r\nHost: a\r\n{more}Connection: close\r\n\r\n")).await;
        let seen = answer.json();
        for name in ["x-forwarded-proto", "x-forwarded-scheme", "x-scheme"] {
            assert_eq!(seen["headers"][name], wanted, "{name} after {more:?}");
        }
    }
}

/// Ingress: 31
#[tokio::test]
async fn redirects_to_https_name_its_port_where_that_is_asked_for() {
    let up = Upstream::start("one").await;
    let mut given = snapshot(&[up.address]);
    for (number, host, annotations) in [
        (1, "usual.example", json!({})),
        (2, "named.example", json!({"nginx.ingress.kubernetes.io/use-port-in-redirects": "true"})),
    ] {
        let mut object = json!({
            "metadata": {"namespace": "n", "name": format!("i{number}"), "annotations": annotations},
            "spec": {"ingressClassName": "fedgate", "rules": [
                {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend("web")}]}}]},
        });
        object["metadata"]["annotations"]["nginx.ingress.kubernetes.io/force-ssl-redirect"] = json!("true");
        given.ingresses.push(std::sync::Arc::new(IngressObject::read(&object)));
    }
    let gate = Gate::start(&given, |_| ());
    let always = Gate::start(&given, |config| config.heads.redirect_port = true);
    let port = |gate: &Gate| format!(":{}", gate.https.port());
    for (gate, host, port) in [
        (&gate, "usual.example", String::new()),
        (&gate, "named.example", port(&gate)),
        (&always, "usual.example", port(&always)),
    ] {
        let answer =
            ask(gate.http, &format!("GET /x?y HTTP/1.1\r\nHost: {host}:80\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(answer.status, 308);
        let wanted = format!("\r\nlocation: https://{host}{port}/x?y\r\n");
        assert!(answer.head.contains(&wanted), "{wanted:?} {}", answer.head);
    }
}
