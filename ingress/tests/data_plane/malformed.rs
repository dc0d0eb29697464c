//! HTTP/2 requests that a translation into HTTP/1.1 could turn into something else.

use crate::fixture::{Gate, Upstream};
use crate::frames::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Raw, SETTINGS, field, request};

type Fields<'f> = Vec<(&'f str, &'f str)>;

const SOUND: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "h")];

fn with(more: &[(&'static str, &'static str)]) -> Fields<'static> {
    SOUND.iter().chain(more).copied().collect()
}

fn but(name: &str, value: Option<&'static str>) -> Fields<'static> {
    let change = |(known, old): &(&'static str, &'static str)| match value {
        _ if *known != name => Some((*known, *old)),
        Some(value) => Some((*known, value)),
        None => None,
    };
    SOUND.iter().filter_map(change).collect()
}

/// Whether the request was refused: by an error of the stream or the connection, or by an answer 400.
async fn refused(gate: &Gate, fields: &Fields<'_>) -> bool {
    let mut raw = Raw::connect(gate.http).await;
    raw.until(SETTINGS).await.expect("settings");
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    assert!(raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &block).await);
    match raw.next_of(&[HEADERS, RST_STREAM, GOAWAY]).await {
        // `:status: 400` is in the static table.
        Some(answer) if answer.kind == HEADERS => answer.payload.first() == Some(&0x8c),
        _ => true,
    }
}

/// Ingress: 23
#[tokio::test]
async fn malformed_heads_never_reach_an_endpoint() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    assert!(!refused(&gate, &with(&[("x-a", "b"), ("te", "trailers"), ("host", "h")])).await);
    let sound = up.seen();
    for fields in [
        with(&[("x", "a\r\nb: c")]),
        with(&[("x", "a\nb")]),
        with(&[("x", "a\0b")]),
        with(&[("X-Up", "a")]),
        with(&[("", "a")]),
        with(&[("x y", "a")]),
        with(&[("x:", "a")]),
        with(&[("connection", "close")]),
        with(&[("keep-alive", "5")]),
        with(&[("proxy-connection", "keep-alive")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("upgrade", "websocket")]),
        with(&[("te", "gzip")]),
        with(&[("te", "trailers, gzip")]),
        with(&[("host", "other")]),
        with(&[("host", "h"), ("host", "h")]),
        with(&[(":path", "/")]),
        with(&[(":method", "GET")]),
        with(&[(":authority", "h")]),
        with(&[(":unknown", "a")]),
        with(&[(":status", "200")]),
        with(&[("x", "a"), (":path", "/")]),
        with(&[("content-length", "5")]),
        with(&[("content-length", "0"), ("content-length", "5")]),
        but(":path", None),
        but(":path", Some("")),
        but(":path", Some("a")),
        but(":path", Some("*")),
        but(":path", Some("/a b")),
        but(":path", Some("/a\r\nx: y")),
        but(":path", Some("http://other/")),
        but(":path", Some("/../a")),
        but(":method", None),
        but(":method", Some("")),
        but(":method", Some("GET / HTTP/1.1\r\nx: y")),
        but(":scheme", None),
        but(":authority", Some("h/a")),
        but(":authority", Some("user@h")),
        but(":authority", Some("h:99999")),
        but(":authority", Some("a b")),
        but(":authority", None),
    ] {
        assert!(refused(&gate, &fields).await, "{fields:?}");
    }
    assert_eq!(up.seen(), sound, "no endpoint saw any of it");
    // The library cuts a fragment off before anybody sees it: routes and endpoints get the same path.
    let mut raw = Raw::connect(gate.http).await;
    let block: Vec<u8> = but(":path", Some("/a#b?c")).iter().flat_map(|(name, value)| field(name, value)).collect();
    assert!(raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &block).await);
    let body = String::from_utf8(raw.until(DATA).await.expect("an answer").payload).expect("text");
    assert!(body.contains("\"target\":\"/a\""), "{body}");
}

/// Ingress: 24
#[tokio::test]
async fn a_length_that_is_not_the_bodys_breaks_the_stream() {
    let up = Upstream::start("one").await;
    let gate = Gate::to(&[up.address]);
    let mut raw = Raw::connect(gate.http).await;
    raw.until(SETTINGS).await.expect("settings");
    for (stream, length, pieces) in [(1, "5", &["abc"][..]), (3, "5", &["abc", "def"]), (5, "2", &["a", "bc"])] {
        let block = [request("POST"), field("content-length", length)].concat();
        assert!(raw.send(HEADERS, END_HEADERS, stream, &block).await);
        for (number, piece) in pieces.iter().enumerate() {
            let last = if number + 1 == pieces.len() { END_STREAM } else { 0 };
            assert!(raw.send(DATA, last, stream, piece.as_bytes()).await);
        }
        let answer = raw.next_of(&[HEADERS, RST_STREAM, GOAWAY]).await.expect("a verdict");
        assert!(answer.kind != HEADERS || answer.payload.first() == Some(&0x8c), "{length} {pieces:?}: {answer:?}");
    }
    assert_eq!(up.seen(), 0, "no endpoint took them for whole");
    let block = [request("POST"), field("content-length", "5")].concat();
    assert!(raw.send(HEADERS, END_HEADERS, 7, &block).await);
    assert!(raw.send(DATA, END_STREAM, 7, b"hello").await);
    let answer = raw.next_of(&[HEADERS]).await.expect("an answer");
    assert_eq!((answer.stream, answer.payload.first()), (7, Some(&0x88)), "the connection goes on");
}
