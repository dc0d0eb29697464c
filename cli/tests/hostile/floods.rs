//! Floods of HTTP/2 frames and of pipelined requests.

use crate::endpoint::{ADMIN, Endpoint};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, NO_WINDOW, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    block, field, frame, preface,
};
use crate::line::{Line, request};

/// What a flood may cost, in KiB: buffers of one connection, and what an allocator keeps for itself.
const FLAT_KIB: u64 = 24 * 1024;

/// What it is, what is sent, and whether the server has to end the connection.
type Flood = (&'static str, fn() -> Vec<u8>, bool);

const FLOODS: &[Flood] = &[
    ("rapid reset", rapid_reset, false),
    ("made you reset", made_you_reset, true),
    ("continuation", continuation, true),
    ("empty data", empty_data, false),
    ("settings", settings, false),
    ("ping", ping, false),
];

/// The n-th stream that a client opens.
fn stream(n: u32) -> u32 {
    2 * n + 1
}

fn rapid_reset() -> Vec<u8> {
    let block = block("GET", "/api/v1/namespaces", ADMIN);
    let mut bytes = preface();
    for n in 0..100_000 {
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream(n), &block));
        bytes.extend(frame(RST_STREAM, 0, stream(n), &[0, 0, 0, 8]));
    }
    bytes
}

/// The server has to reset each stream by itself: a window grows by nothing.
fn made_you_reset() -> Vec<u8> {
    let block = block("POST", "/api/v1/namespaces", ADMIN);
    let mut bytes = preface();
    for n in 0..20_000 {
        bytes.extend(frame(HEADERS, END_HEADERS, stream(n), &block));
        bytes.extend(frame(WINDOW_UPDATE, 0, stream(n), &[0, 0, 0, 0]));
    }
    bytes
}

fn continuation() -> Vec<u8> {
    let mut bytes = preface();
    bytes.extend(frame(HEADERS, END_STREAM, 1, &block("GET", "/livez", ADMIN)));
    let more: Vec<u8> = (0..8).flat_map(|n| field(&format!("x-{n}"), &"x".repeat(100))).collect();
    for _ in 0..50_000 {
        bytes.extend(frame(CONTINUATION, 0, 1, &more));
    }
    bytes
}

/// Empty frames of a body, and then its end.
fn empty_data() -> Vec<u8> {
    let mut bytes = preface();
    bytes.extend(frame(HEADERS, END_HEADERS, 1, &block("POST", "/api/v1/namespaces", ADMIN)));
    for _ in 0..100_000 {
        bytes.extend(frame(DATA, 0, 1, &[]));
    }
    bytes.extend(frame(DATA, END_STREAM, 1, b"{}"));
    bytes
}

fn settings() -> Vec<u8> {
    let mut bytes = preface();
    for _ in 0..100_000 {
        bytes.extend(frame(SETTINGS, 0, 0, NO_WINDOW));
    }
    bytes
}

fn ping() -> Vec<u8> {
    let mut bytes = preface();
    for _ in 0..100_000 {
        bytes.extend(frame(PING, 0, 0, &[0; 8]));
    }
    bytes
}

/// A mark behind all that was sent: where the connection stands, it comes back.
const MARK: [u8; 8] = *b"themark.";

/// Whether the connection stands: a PING comes back, and no GOAWAY before it.
fn stands(line: &mut Line) -> bool {
    loop {
        let Some(head) = line.take(9) else { return false };
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some(payload) = line.take(length) else { return false };
        match head[3] {
            GOAWAY => return false,
            PING if payload == MARK => return true,
            _ => {}
        }
    }
}

/// Protocol: F1
#[test]
fn floods_of_frames_cost_nothing() {
    let endpoint = Endpoint::start();
    endpoint.serves();
    for (what, make, ends) in FLOODS {
        let mut bytes = make();
        bytes.extend(frame(PING, 0, 0, &MARK));
        let grown = endpoint.growth_kib(|endpoint| {
            let mut line = endpoint.connect("h2");
            line.send(&bytes);
            endpoint.serves();
            let stood = stands(&mut line);
            assert!(!(stood && *ends), "{what}: the connection has to end");
        });
        eprintln!("{what}: {grown} KiB");
        assert!(grown <= FLAT_KIB, "{what}: {grown} KiB");
        endpoint.serves();
    }
}

/// Who takes no answers for what he asks: nothing of them is kept but a piece each.
///
/// Protocol: F1
#[test]
fn answers_without_a_window_wait_outside_of_memory() {
    let endpoint = Endpoint::start();
    let maps = "/api/v1/namespaces/default/configmaps";
    let body = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"},
        "data": {"key": "x".repeat(1_000_000)}});
    endpoint.post(maps, &body);
    let block = block("GET", &format!("{maps}/large"), ADMIN);
    let grown = endpoint.growth_kib(|endpoint| {
        let mut line = endpoint.connect("h2");
        let mut bytes = preface();
        bytes.extend(frame(SETTINGS, 0, 0, NO_WINDOW));
        for n in 0..500 {
            bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream(n), &block));
        }
        bytes.extend(frame(PING, 0, 0, &MARK));
        line.send(&bytes);
        assert!(stands(&mut line), "nothing of it is wrong");
        // Every answer has begun: as many heads have come.
        endpoint.serves();
    });
    eprintln!("no window: {grown} KiB");
    assert!(grown <= 2 * FLAT_KIB, "{grown} KiB");
    endpoint.serves();
}

/// Protocol: F1
#[test]
fn pipelined_requests_are_answered_one_by_one() {
    const REQUESTS: usize = 10_000;
    let endpoint = Endpoint::start();
    endpoint.serves();
    let grown = endpoint.growth_kib(|endpoint| {
        let mut line = endpoint.connect("http/1.1");
        line.send(request("GET", "/livez", ADMIN, "x-n: 1").repeat(REQUESTS).as_bytes());
        endpoint.serves();
        for n in 0..REQUESTS {
            assert_eq!(line.answer(), Some(200), "answer {n}");
        }
    });
    eprintln!("pipelined: {grown} KiB");
    assert!(grown <= FLAT_KIB, "{grown} KiB");
}
