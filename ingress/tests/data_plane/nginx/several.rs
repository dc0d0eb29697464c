//! What takes more than one endpoint, connection or kilobyte to see: retries, hashing, limits of connections and of heads.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use ingress::snapshot::IngressObject;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Nginx, Recorder, program};
use crate::fixture::{Gate, PATIENCE, backend, exchange, scripted, snapshot};

/// An Ingress for `a.example` in front of these endpoints, or of a Service without any.
fn gate(endpoints: &[SocketAddr], annotations: &[(&str, &str)], service: &str) -> Gate {
    let mut all = snapshot(endpoints);
    all.ingresses.clear();
    let annotations: Value =
        annotations.iter().map(|(name, value)| (format!("nginx.ingress.kubernetes.io/{name}"), json!(value))).collect();
    let object = json!({
        "metadata": {"namespace": "n", "name": "i", "creationTimestamp": "1", "annotations": annotations},
        "spec": {"ingressClassName": "fedgate", "rules": [
            {"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend(service)}]}},
        ]},
    });
    all.ingresses.push(Arc::new(IngressObject::read(&object)));
    Gate::start(&all, |_| ())
}

fn request(method: &str, target: &str, more: &str) -> String {
    let length = if method == "POST" { "Content-Length: 2\r\n" } else { "" };
    let body = if method == "POST" { "ab" } else { "" };
    format!("{method} {target} HTTP/1.1\r\nHost: a.example\r\n{more}{length}Connection: close\r\n\r\n{body}")
}

async fn status(to: SocketAddr, request: &str) -> u16 {
    exchange(to, request.as_bytes()).await.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// How an endpoint fails that is reached.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Refuses,
    Closes,
    Answers(u16),
}

/// What fails, for which method, under which annotations.
type Tries = (Fault, &'static str, Vec<(&'static str, &'static str)>);

async fn failing(fault: Fault) -> SocketAddr {
    match fault {
        Fault::Refuses => {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            listener.local_addr().expect("bound")
        }
        Fault::Closes => scripted(|stream, _, _| async move { drop(stream) }).await,
        Fault::Answers(status) => {
            scripted(move |mut stream, head, _| async move {
                if head.contains("ontent-") {
                    stream.read_exact(&mut [0; 2]).await.expect("a body");
                }
                let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(text.as_bytes()).await.expect("written");
            })
            .await
        }
    }
}

/// Ingress: 60, 61
#[tokio::test]
async fn the_same_failures_are_tried_again_elsewhere() {
    let Some(program) = program() else { return eprintln!("skipped: there is no nginx on this machine") };
    let good = Recorder::start().await;
    let asked = |words: &'static str| vec![("proxy-next-upstream", words)];
    // There every body is kept before it is sent, here only where that is asked for.
    let kept = |words: &'static str| vec![("proxy-next-upstream", words), ("replay-body-size", "1k")];
    let cases: Vec<Tries> = vec![
        (Fault::Refuses, "GET", vec![]),
        (Fault::Refuses, "POST", vec![]),
        (Fault::Refuses, "GET", asked("off")),
        (Fault::Refuses, "GET", vec![("proxy-next-upstream-tries", "1")]),
        (Fault::Closes, "GET", vec![]),
        (Fault::Closes, "POST", vec![]),
        (Fault::Closes, "POST", kept("error timeout non_idempotent")),
        (Fault::Closes, "GET", asked("http_503")),
        (Fault::Answers(503), "GET", vec![]),
        (Fault::Answers(503), "GET", asked("error timeout http_503")),
        (Fault::Answers(503), "POST", asked("error timeout http_503")),
        (Fault::Answers(503), "POST", kept("error timeout http_503 non_idempotent")),
        (Fault::Answers(404), "GET", asked("http_404")),
        (Fault::Answers(500), "GET", asked("http_502 http_503")),
    ];
    let (mut beside, mut servers, mut bad) = (String::new(), Vec::new(), Vec::new());
    for (number, (fault, _, annotations)) in cases.iter().enumerate() {
        let endpoint = failing(*fault).await;
        bad.push(endpoint);
        writeln!(
            beside,
            "upstream up{number} {{ server {endpoint} max_fails=0; server {} max_fails=0; }}",
            good.address
        )
        .expect("text");
        let of = |name: &str, usual: &str| {
            let given = annotations.iter().find(|(known, _)| *known == name);
            given.map_or_else(|| usual.to_owned(), |(_, value)| (*value).to_owned())
        };
        let (words, tries) = (of("proxy-next-upstream", "error timeout"), of("proxy-next-upstream-tries", "3"));
        servers.push(format!(
            "location / {{ proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_next_upstream {words};
                proxy_next_upstream_tries {tries}; proxy_pass http://up{number}; }}"
        ));
    }
    let nginx = Nginx::with(&program, &beside, &servers, &[]).await;
    let mut wrong = String::new();
    for (((fault, method, annotations), bad), port) in cases.iter().zip(bad).zip(&nginx.ports) {
        let gate = gate(&[bad, good.address], annotations, "web");
        let mut statuses = Vec::new();
        for to in [*port, gate.http] {
            // Both go through their endpoints in turn: some of four requests begin with the bad one.
            let mut all = BTreeSet::new();
            for _ in 0..4 {
                all.insert(status(to, &request(method, "/", "")).await);
            }
            statuses.push(all);
        }
        if statuses[0] != statuses[1] {
            writeln!(wrong, "{fault:?} {method} {annotations:?}: nginx {:?}, ours {:?}", statuses[0], statuses[1])
                .expect("text");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Ingress: 67
#[tokio::test]
async fn a_key_stays_with_its_endpoint_and_keys_are_spread() {
    let Some(program) = program() else { return eprintln!("skipped: there is no nginx on this machine") };
    let (one, two) = (Recorder::start().await, Recorder::start().await);
    let up = |name: &str, key: &str| {
        format!("upstream {name} {{ hash {key} consistent; server {}; server {}; }}\n", one.address, two.address)
    };
    let beside = up("field", "$http_x_key") + &up("target", "$request_uri") + &up("both", "$host$arg_k");
    let server = |name: &str| format!("location / {{ proxy_pass http://{name}; }}");
    let nginx = Nginx::with(&program, &beside, &["field", "target", "both"].map(server), &[]).await;
    for (key, port) in ["$http_x_key", "$request_uri", "$host$arg_k"].iter().zip(&nginx.ports) {
        let gate = gate(&[one.address, two.address], &[("upstream-hash-by", key)], "web");
        for to in [*port, gate.http] {
            let mut takers = [0; 2];
            for number in 0..24 {
                let asked = match *key {
                    "$http_x_key" => request("GET", "/", &format!("X-Key: {number}\r\n")),
                    "$request_uri" => request("GET", &format!("/{number}?x"), ""),
                    _ => request("GET", &format!("/?k={number}"), ""),
                };
                for _ in 0..3 {
                    assert_eq!(status(to, &asked).await, 200);
                }
                let seen = [one.take().len(), two.take().len()];
                assert!(seen == [3, 0] || seen == [0, 3], "{key} {number} at {to}: {seen:?}");
                takers[usize::from(seen[1] == 3)] += 1;
            }
            assert!(takers.iter().all(|taken| *taken > 0), "{key} at {to}: {takers:?}");
        }
    }
}

/// Ingress: 68
#[tokio::test]
async fn a_second_connection_is_refused_while_the_first_is_busy() {
    let Some(program) = program() else { return eprintln!("skipped: there is no nginx on this machine") };
    let endpoint = Recorder::start().await;
    let beside = format!(
        "limit_conn_zone $binary_remote_addr zone=open:1m; upstream up {{ server {}; keepalive 8; }}",
        endpoint.address
    );
    let server = "location / { USUAL limit_conn open 1; proxy_pass http://up; }".to_owned();
    let nginx = Nginx::with(&program, &beside, &[server], &[]).await;
    let gate = gate(&[endpoint.address], &[("limit-connections", "1")], "web");
    let mut told = Vec::new();
    for to in [nginx.ports[0], gate.http] {
        let mut busy = TcpStream::connect(to).await.expect("connect");
        busy.write_all(request("GET", "/", "x-hang: 1\r\n").as_bytes()).await.expect("written");
        let reached = async {
            while endpoint.take().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the endpoint has it");
        let second = status(to, &request("GET", "/", "")).await;
        drop(busy);
        let freed = async {
            while status(to, &request("GET", "/", "")).await != 200 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, freed).await.expect("it is let in once the other is gone");
        told.push(second);
        endpoint.take();
    }
    assert_eq!(told, [503, 429], "as the table has it");
}

/// Ingress: 14
#[tokio::test]
async fn heads_are_as_large_as_there_and_larger() {
    let Some(program) = program() else { return eprintln!("skipped: there is no nginx on this machine") };
    let wordy = scripted(|mut stream, head, _| async move {
        let count = head.split("x-want: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok()).unwrap_or(0);
        let text = format!(
            "HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "y".repeat(count)
        );
        stream.write_all(text.as_bytes()).await.expect("written");
    })
    .await;
    let nginx = Nginx::start(&program, wordy, &["location / { USUAL proxy_pass http://up; }".to_owned()], &[]).await;
    let gate = gate(&[wordy], &[], "web");
    let field = |bytes: usize| request("GET", "/", &format!("X-Long: {}\r\n", "x".repeat(bytes)));
    let target = |bytes: usize| request("GET", &format!("/{}", "x".repeat(bytes)), "");
    let answer = |bytes: usize| request("GET", "/", &format!("x-want: {bytes}\r\n"));
    for (what, asked, wanted) in [
        ("a field of 7 kB", field(7_000), [200, 200]),
        ("fields of 21 kB", request("GET", "/", &format!("X-Long: {}\r\n", "x".repeat(7_000)).repeat(3)), [200, 200]),
        ("a field of 20 kB", field(20_000), [400, 200]),
        ("a field of 70 kB", field(70_000), [400, 431]),
        ("a target of 7 kB", target(7_000), [200, 200]),
        ("a target of 20 kB", target(20_000), [414, 200]),
        ("a target of 40 kB", target(40_000), [414, 414]),
        ("an answer's field of 3 kB", answer(3_000), [200, 200]),
        ("an answer's field of 20 kB", answer(20_000), [502, 200]),
        ("an answer's field of 70 kB", answer(70_000), [502, 502]),
    ] {
        let told = [status(nginx.ports[0], &asked).await, status(gate.http, &asked).await];
        assert_eq!(told, wanted, "{what}: nginx, ours");
    }
}

/// Ingress: 38, 43
#[tokio::test]
async fn a_service_without_endpoints_and_a_default_backend() {
    let Some(program) = program() else { return eprintln!("skipped: there is no nginx on this machine") };
    let endpoint = Recorder::start().await;
    // ingress-nginx answers 503 by itself where nobody is left to ask, and asks the default backend where there is one.
    let asks = "location / { USUAL proxy_set_header X-Code 503; proxy_pass http://up; }".to_owned();
    let nginx = Nginx::start(&program, endpoint.address, &["location / { return 503; }".to_owned(), asks], &[]).await;
    for (annotations, port) in [
        (&[][..], nginx.ports[0]),
        (&[("default-backend", "empty")], nginx.ports[0]),
        (&[("default-backend", "empty"), ("custom-http-errors", "404,503")], nginx.ports[0]),
        (&[("default-backend", "absent")], nginx.ports[0]),
        (&[("default-backend", "web")], nginx.ports[1]),
    ] {
        let gate = gate(&[endpoint.address], annotations, "empty");
        let mut told = Vec::new();
        for to in [port, gate.http] {
            let status = status(to, &request("GET", "/x", "")).await;
            let codes: Vec<_> = endpoint.take().iter().map(|seen| seen.headers.get("x-code").cloned()).collect();
            told.push((status, codes));
        }
        assert_eq!(told[0], told[1], "{annotations:?}");
    }
}
