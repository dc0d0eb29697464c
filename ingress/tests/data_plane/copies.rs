//! Copies of requests for another service, answers that go out slowly, and fields of a snippet.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::fixture::{Gate, PATIENCE, ask, exchange, scripted, snapshot};
use crate::nginx::{Recorder, Seen};
use crate::policies::{add_service, with};

/// What arrives as a copy, sooner or later.
async fn copied(recorder: &Recorder) -> Seen {
    let began = Instant::now();
    loop {
        if let Some(seen) = recorder.take().pop() {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "no copy came");
        tokio::task::yield_now().await;
    }
}

fn to_host(line: &str, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{line} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{length}\r\n{body}")
}

/// Ingress: 81
#[tokio::test]
async fn requests_are_copied_as_the_endpoint_sees_them() {
    let (main, copy) = (Recorder::start().await, Recorder::start().await);
    let gate = |annotations: &[(&str, &str)]| {
        let mut all = with(snapshot(&[main.address]), annotations);
        add_service(&mut all, "copy", copy.address);
        Gate::start(&all, |_| ())
    };
    let target = ("mirror-target", "http://copy.n.svc.cluster.local$request_uri");
    for (annotations, request, line, body, host) in [
        (&[target][..], to_host("GET /x?y=%2f", ""), "GET /x?y=%2f", "", "copy.n.svc.cluster.local"),
        (&[target], to_host("POST /x", "abc"), "POST /x", "abc", "copy.n.svc.cluster.local"),
        (
            &[target, ("mirror-request-body", "off")],
            to_host("POST /x", "abc"),
            "POST /x",
            "",
            "copy.n.svc.cluster.local",
        ),
        (&[target, ("mirror-host", "other.example")], to_host("GET /", ""), "GET /", "", "other.example"),
        (&[target, ("upstream-vhost", "in.example")], to_host("GET /", ""), "GET /", "", "copy.n.svc.cluster.local"),
        (
            &[("mirror-target", "http://copy.n.svc/fixed?a=b")],
            to_host("GET /x", ""),
            "GET /fixed?a=b",
            "",
            "copy.n.svc",
        ),
        (
            &[("mirror-target", "http://copy.n.svc/base/$request_uri")],
            to_host("GET /x", ""),
            "GET /base/x",
            "",
            "copy.n.svc",
        ),
    ] {
        let gate = gate(annotations);
        let answer = ask(gate.http, &request).await;
        assert_eq!((answer.status, main.take().len()), (200, 1), "{annotations:?}");
        let seen = copied(&copy).await;
        assert_eq!((&*seen.line, &*seen.body, &*seen.headers["host"]), (line, body, host), "{annotations:?}");
        assert_eq!(seen.headers["x-forwarded-for"], "127.0.0.1");
    }
    let chunked = "POST /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    assert_eq!(ask(gate(&[target]).http, chunked).await.status, 200);
    assert_eq!(copied(&copy).await.body, "abc");
    // What is refused here is no request that anybody else should see; nor does a stranger get any.
    for annotations in [
        &[target, ("denylist-source-range", "127.0.0.1")][..],
        &[("mirror-target", "http://copy.m.svc$request_uri")],
        &[("mirror-target", "http://copy.n.svc/$host")],
        &[("mirror-target", "https://example.com$request_uri")],
    ] {
        let gate = gate(annotations);
        ask(gate.http, &to_host("GET /x", "")).await;
        gate.shutdown.cancel();
        assert_eq!(copy.take(), [], "{annotations:?}");
    }
}

/// Ingress: 81
#[tokio::test]
async fn nobody_waits_for_a_copy() {
    let main = Recorder::start().await;
    // It takes connections and reads nothing.
    let deaf = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
    for address in [deaf.local_addr().expect("bound"), nobody] {
        let mut all = with(snapshot(&[main.address]), &[("mirror-target", "http://copy.n.svc$request_uri")]);
        add_service(&mut all, "copy", address);
        let gate = Gate::start(&all, |_| ());
        let began = Instant::now();
        let body = "x".repeat(8 << 20);
        for request in [to_host("GET /", ""), to_host("POST /", &body)] {
            assert_eq!(ask(gate.http, &request).await.status, 200);
        }
        assert_eq!(main.take().last().map(|seen| seen.body.len()), Some(body.len()));
        assert!(began.elapsed() < PATIENCE / 2);
    }
}

/// Ingress: 81
#[tokio::test]
async fn a_mirror_that_never_answers_leaves_room_for_others() {
    let main = Recorder::start().await;
    let deaf = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let copy = Recorder::start().await;
    let gate = |address| {
        let mut all = with(snapshot(&[main.address]), &[("mirror-target", "http://copy.n.svc$request_uri")]);
        add_service(&mut all, "copy", address);
        Gate::start(&all, |config| config.timeouts.response = PATIENCE * 4)
    };
    let (slow, quick) = (gate(deaf.local_addr().expect("bound")), gate(copy.address));
    // More than all copies of the process together.
    for _ in 0..300 {
        assert_eq!(ask(slow.http, &to_host("GET /", "")).await.status, 200);
    }
    let mut text = String::new();
    slow.running.metrics.render(&mut text);
    assert!(text.contains("fedgate_ingress_mirror_copies_total 32\n"), "{text}");
    assert!(text.contains("fedgate_ingress_mirror_copies_dropped_total 268\n"), "{text}");
    assert_eq!(ask(quick.http, &to_host("GET /other", "")).await.status, 200);
    assert_eq!(copied(&copy).await.line, "GET /other");
}

/// Ingress: 54, 81
#[tokio::test]
async fn no_drain_waits_for_a_copy() {
    let main = Recorder::start().await;
    // It takes the copy and says nothing.
    let deaf = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut all = with(snapshot(&[main.address]), &[("mirror-target", "http://copy.n.svc$request_uri")]);
    add_service(&mut all, "copy", deaf.local_addr().expect("bound"));
    let gate = Gate::start(&all, |config| {
        (config.timeouts.drain, config.timeouts.response) = (PATIENCE * 4, PATIENCE * 4);
    });
    assert_eq!(ask(gate.http, &to_host("GET /", "")).await.status, 200);
    let (mut copy, _) = tokio::time::timeout(PATIENCE, deaf.accept()).await.expect("a copy").expect("accept");
    gate.shutdown.cancel();
    // The worker's end closes what it left open.
    let mut sent = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, copy.read_to_end(&mut sent)).await;
    assert!(ended.is_ok(), "the drain lasts");
}

/// Ingress: 81
#[tokio::test]
async fn answers_go_out_no_faster_than_their_route_says() {
    let body = "0123456789abcdef".repeat(4096);
    let sent = body.clone();
    let up = scripted(move |mut stream, _, _| {
        let sent = sent.clone();
        async move {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len());
            stream.write_all(head.as_bytes()).await.expect("written");
            // Whoever reads slowly may leave the rest.
            if stream.write_all(sent.as_bytes()).await.is_ok() {
                let mut rest = Vec::new();
                assert!(stream.read_to_end(&mut rest).await.is_ok() || rest.is_empty());
            }
        }
    })
    .await;
    for (annotations, least, most) in [
        (&[("limit-rate", "32")][..], 500, 15_000),
        (&[("limit-rate", "16"), ("limit-rate-after", "40")], 200, 15_000),
        (&[("limit-rate", "1"), ("limit-rate-after", "64")], 0, 15_000),
        (&[("limit-rate", "0")], 0, 15_000),
    ] {
        let gate = Gate::start(&with(snapshot(&[up]), annotations), |_| ());
        let began = Instant::now();
        let text = exchange(gate.http, to_host("GET /", "").as_bytes()).await;
        let took = began.elapsed();
        assert_eq!(text.split_once("\r\n\r\n").expect("an answer").1, body, "{annotations:?}");
        let within = Duration::from_millis(least)..Duration::from_millis(most);
        assert!(within.contains(&took), "{annotations:?} {took:?}");
    }
}

/// Ingress: 82
#[tokio::test]
async fn a_snippet_of_plain_values_changes_fields() {
    let main = Recorder::start().await;
    let snippet = "more_set_headers \"X-Frame-Options: DENY\" 'Server:';\nadd_header X-Some 1;\nadd_header X-All 2 always;\n\
        proxy_set_header X-Team shop; proxy_set_header X-Secret \"\";";
    let gate = Gate::start(&with(snapshot(&[main.address]), &[("configuration-snippet", snippet)]), |_| ());
    for (status, some) in [(200, true), (404, false)] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a.example\r\nX-Secret: 1\r\nX-Team: x\r\nx-answer: {status}\r\nConnection: close\r\n\r\n"
        );
        let answer = ask(gate.http, &request).await;
        assert_eq!(answer.status, status);
        assert!(answer.head.contains("x-frame-options: deny") && !answer.head.contains("server:"), "{answer:?}");
        assert!(answer.head.contains("x-all: 2") && answer.head.contains("x-some: 1") == some, "{answer:?}");
        let seen = main.take().pop().expect("a request");
        assert_eq!((seen.headers.get("x-secret"), &*seen.headers["x-team"]), (None, "shop"));
    }
    let told = |snippet: &str| {
        let gate = Gate::start(&with(snapshot(&[main.address]), &[("configuration-snippet", snippet)]), |_| ());
        gate.routes.load().problems().iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("\n")
    };
    assert!(told("more_set_headers \"X: 1\"; return 200;").contains("\"return\" is not supported"));
    for header in ["close", "keep-alive"] {
        let gate = Gate::start(&with(snapshot(&[main.address]), &[("connection-proxy-header", header)]), |_| ());
        assert_eq!(ask(gate.http, &to_host("GET /", "")).await.status, 200);
        assert_eq!(main.take().pop().expect("a request").headers["connection"], header);
    }
}
