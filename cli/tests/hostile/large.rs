//! Bodies and answers that are too large, and too many of them.

use serde_json::json;

use crate::endpoint::{ADMIN, Endpoint, FLOODER, SCHEDULER};
use crate::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, block, frame, preface};
use crate::line::{Line, code, request};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Largest body that is taken, in bytes.
const MAX_BODY: usize = 3 * 1024 * 1024;
/// What one body may cost, in KiB.
const ONE_BODY_KIB: u64 = 4 * 1024;

/// A body one byte too large, in chunks.
fn chunked() -> Vec<u8> {
    let mut bytes = request("POST", MAPS, ADMIN, "transfer-encoding: chunked").into_bytes();
    let chunk = [format!("{:x}\r\n", 64 * 1024).as_bytes(), &[b' '; 64 * 1024], b"\r\n"].concat();
    bytes.extend(chunk.repeat(MAX_BODY / (64 * 1024)));
    bytes.extend(b"1\r\n \r\n0\r\n\r\n");
    bytes
}

/// A body one byte too large whose length is told.
fn told() -> Vec<u8> {
    let mut bytes = request("POST", MAPS, ADMIN, &format!("content-length: {}", MAX_BODY + 1)).into_bytes();
    bytes.resize(bytes.len() + MAX_BODY + 1, b' ');
    bytes
}

/// Protocol: F1
#[test]
fn a_body_that_is_too_large_costs_no_more_than_one_that_fits() {
    let endpoint = Endpoint::start();
    let refused = |line: &mut Line, bytes: &[u8]| {
        line.send(bytes);
        assert_eq!(line.answer(), Some(413));
    };
    let attack = |endpoint: &Endpoint, bytes: &[u8]| {
        for _ in 0..5 {
            let mut line = endpoint.connect("http/1.1");
            refused(&mut line, bytes);
            // The connection is as good as new.
            assert_eq!(line.ask("GET", "/livez", (ADMIN, b"")), 200);
        }
    };
    // Buffers that a first body needs stay.
    for (what, bytes) in [("with a length", told()), ("in chunks", chunked())] {
        attack(&endpoint, &bytes);
        let grown = endpoint.growth_kib(|endpoint| attack(endpoint, &bytes));
        eprintln!("{what}: {grown} KiB");
        assert!(grown <= ONE_BODY_KIB, "{what}: {grown} KiB");
    }
    endpoint.serves();
}

/// Bodies of HTTP/2 that never end, many on one connection: windows bound them.
///
/// Protocol: F1
#[test]
fn bodies_that_never_end_are_bounded_together() {
    const STREAMS: u32 = 200;
    const BOUND_KIB: u64 = 40 * 1024;
    let endpoint = Endpoint::start();
    endpoint.serves();
    let grown = endpoint.growth_kib(|endpoint| {
        let mut line = endpoint.connect("h2");
        let mut bytes = preface();
        let block = block("POST", MAPS, ADMIN);
        for n in 0..STREAMS {
            bytes.extend(frame(HEADERS, END_HEADERS, 2 * n + 1, &block));
        }
        for n in 0..STREAMS {
            bytes.extend(frame(DATA, 0, 2 * n + 1, &[b' '; 16 * 1024]));
        }
        line.send(&bytes);
        endpoint.serves();
        // It ends before it is whole.
        line.send(&frame(DATA, END_STREAM, 1, b"x"));
    });
    eprintln!("bodies without an end: {grown} KiB");
    assert!(grown <= BOUND_KIB, "{grown} KiB");
    endpoint.serves();
}

/// Somebody asks for large lists, many at a time, and reads none: he waits for himself and is refused, a leader is
/// elected all the same, and memory does not grow with what he asks for.
///
/// Protocol: F1, F2
#[test]
fn lists_that_nobody_reads_hold_up_their_own_flow() {
    const LISTS: usize = 500;
    const BOUND_KIB: u64 = 100 * 1024;
    let endpoint = Endpoint::start();
    for n in 0..30 {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("large-{n}")},
            "data": {"key": "x".repeat(1_000_000)}});
        endpoint.post(MAPS, &body);
    }
    let grown = endpoint.growth_kib(|endpoint| {
        let mut lines: Vec<Line> = (0..LISTS).map(|_| endpoint.connect("http/1.1")).collect();
        for line in &mut lines {
            line.send(request("GET", MAPS, FLOODER, "accept: application/json").as_bytes());
        }
        elect(endpoint);
        let codes: Vec<u16> = lines.iter_mut().map(|line| line.head().map_or(0, |head| code(&head))).collect();
        let (served, refused) = (count(&codes, 200), count(&codes, 429));
        eprintln!("{served} lists begun, {refused} refused");
        assert_eq!(served + refused, LISTS, "{codes:?}");
        assert!(served > 0 && refused > LISTS / 2, "{served} {refused}");
        elect(endpoint);
    });
    eprintln!("lists: {grown} KiB");
    assert!(grown <= BOUND_KIB, "{grown} KiB");
    // Who hangs up gives his places back.
    assert_eq!(endpoint.ask(FLOODER, "/api/v1/namespaces/default"), 200);
}

fn count(codes: &[u16], code: u16) -> usize {
    codes.iter().filter(|own| **own == code).count()
}

/// What a leader election asks for.
fn elect(endpoint: &Endpoint) {
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler";
    assert_eq!(endpoint.ask(SCHEDULER, leases), 404, "there is none yet");
    endpoint.serves();
}
