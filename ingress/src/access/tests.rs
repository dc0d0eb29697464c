//! Lines as text, and a queue that is full.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use federation_types::ClusterName;
use http::{HeaderValue, Request, StatusCode};
use serde_json::Value;

use super::{Journal, PAGE, Shared};
use crate::config::{AccessLog, LogFormat, LogTarget, Network};
use crate::peer::Peer;
use crate::route::EndpointKey;
use crate::snapshot::Named;

fn journal(format: LogFormat, every: u32) -> Arc<Journal> {
    let shared = Shared {
        asleep: false.into(),
        ended: false.into(),
        reopen: false.into(),
        writer: std::sync::OnceLock::new(),
        lost: Arc::new(AtomicU64::new(0)),
    };
    Arc::new(Journal::new(&AccessLog { target: LogTarget::Stdout, format, every }, Arc::new(shared)))
}

fn peer() -> Peer {
    Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80, false, &Vec::new().into())
}

fn taken(journal: &Journal) -> Vec<u8> {
    let mut lines = Vec::new();
    journal.take(&mut lines);
    lines
}

fn request(host: &[u8], agent: &[u8]) -> Request<()> {
    let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes).expect("a value");
    Request::builder()
        .uri("/a%0Ab?token=hush")
        .header("host", value(host))
        .header("user-agent", value(agent))
        .header("referer", "https://x/y?token=hush#hush")
        .body(())
        .expect("a request")
}

/// Ingress: 77
#[test]
fn whatever_a_client_says_is_one_json_object_on_one_line() {
    let journal = journal(LogFormat::Json, 1);
    for (agent, wanted) in [
        (&b"plain"[..], "plain"),
        (b"\"},{\"status\":200", "\"},{\"status\":200"),
        (b"back\\slash\ttab", "back\\slash\ttab"),
        ("h\u{f6}r".as_bytes(), "h\u{f6}r"),
        (b"\xf6\xff", "\u{f6}\u{ff}"),
        ("\u{2028}".as_bytes(), "\u{2028}"),
    ] {
        let mut line = journal.begin(Instant::now(), &peer(), &mut request(b"h", agent)).expect("a line");
        line.status = StatusCode::OK;
        line.routed(&Named::new("shop", "web"), "shop/web:80");
        let cluster = ClusterName::new("east").expect("a name");
        line.tried(2, &EndpointKey { cluster, address: SocketAddr::from(([10, 0, 200, 1], 8080)), pod: None });
        line.identified(b"id\"\\x");
        drop(line);
        let text = String::from_utf8(taken(&journal)).expect("text");
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.contains("hush"), "{text}");
        let read: Value = serde_json::from_str(&text).expect("JSON");
        for (key, wanted) in [
            ("user_agent", wanted),
            ("client", "127.0.0.1"),
            ("path", "/a%0Ab"),
            ("host", "h"),
            ("method", "GET"),
            ("protocol", "HTTP/1.1"),
            ("scheme", "http"),
            ("ingress", "shop/web"),
            ("backend", "shop/web:80"),
            ("endpoint", "10.0.200.1:8080"),
            ("cluster", "east"),
            ("request_id", "id\"\\x"),
        ] {
            assert_eq!(read[key], wanted, "{key}");
        }
        assert_eq!((&read["status"], &read["attempts"]), (&200.into(), &2.into()));
        assert!(read["time"].as_str().is_some_and(|time| time.parse::<jiff::Timestamp>().is_ok()), "{text}");
    }
}

/// Ingress: 77
#[test]
fn a_users_name_is_one_field_of_the_line_whatever_is_in_it() {
    for (user, combined, read) in [
        (None, "-", None),
        (Some("ann"), "ann", Some("ann")),
        (Some("ann [b] \"c\"\\"), r"ann\x20[b]\x20\x22c\x22\x5C", Some("ann [b] \"c\"\\")),
        (Some("a\r\nb\u{f6}"), r"a\x0D\x0Ab\xC3\xB6", Some("a\r\nb\u{f6}")),
    ] {
        for format in [LogFormat::Combined, LogFormat::Json] {
            let journal = journal(format, 1);
            let mut line = journal.begin(Instant::now(), &peer(), &mut request(b"h", b"a")).expect("a line");
            user.iter().for_each(|user| line.known_as(user));
            drop(line);
            // The memory of the line before is the next one's; its user is not.
            drop(journal.begin(Instant::now(), &peer(), &mut request(b"h", b"a")));
            let text = String::from_utf8(taken(&journal)).expect("text");
            let (first, second) = text.trim_end().split_once('\n').expect("two lines");
            if format == LogFormat::Combined {
                assert!(first.starts_with(&format!("127.0.0.1 - {combined} [")), "{first}");
                assert!(second.starts_with("127.0.0.1 - - ["), "{second}");
            } else {
                let value = |line: &str| serde_json::from_str::<Value>(line).expect("JSON").get("user").cloned();
                assert_eq!((value(first), value(second)), (read.map(Value::from), None));
            }
        }
    }
}

/// Ingress: 77
#[test]
fn the_combined_format_is_nginxs() {
    let journal = journal(LogFormat::Combined, 1);
    let mut line = journal.begin(Instant::now(), &peer(), &mut request(b"h", b"a \"b\" \xff\\")).expect("a line");
    (line.status, line.bytes) = (StatusCode::NOT_FOUND, 153);
    drop(line);
    let mut bare = Request::builder().uri("/").body(()).expect("a request");
    drop(journal.begin(Instant::now(), &peer(), &mut bare));
    let text = String::from_utf8(taken(&journal)).expect("text");
    let (first, second) = text.trim_end().split_once('\n').expect("two lines");
    let (start, rest) = first.split_once('[').expect("a time");
    let (time, rest) = rest.split_once(']').expect("a time");
    assert_eq!(start, "127.0.0.1 - - ");
    assert!(time.len() == 26 && time.ends_with(" +0000") && time.as_bytes()[2] == b'/', "{time}");
    assert_eq!(rest, r#" "GET /a%0Ab HTTP/1.1" 404 153 "https://x/y" "a \x22b\x22 \xFF\x5C""#);
    assert!(second.ends_with(r#" "GET / HTTP/1.1" 499 0 "-" "-""#), "{second}");
}

#[test]
fn who_is_asked_for_by_a_trusted_proxy_is_named() {
    let journal = journal(LogFormat::Json, 1);
    let proxies: Vec<Network> = vec!["127.0.0.0/8".parse().expect("a range")];
    let peer = Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80, false, &proxies.into());
    let mut asked = Request::builder().uri("/").header("x-forwarded-for", "2001:db8::7").body(()).expect("a request");
    drop(journal.begin(Instant::now(), &peer, &mut asked));
    let text = String::from_utf8(taken(&journal)).expect("text");
    assert!(text.contains(r#""client":"2001:db8::7""#), "{text}");
}

#[test]
fn one_in_so_many_is_written_and_none_that_is_unlogged() {
    let journal = journal(LogFormat::Json, 3);
    let begin = || journal.begin(Instant::now(), &peer(), &mut request(b"h", b"a"));
    let lines: Vec<_> = (0..9).filter_map(|_| begin()).collect();
    assert_eq!(lines.len(), 3);
    drop(lines);
    assert_eq!(memchr::memchr_iter(b'\n', &taken(&journal)).count(), 3);
    assert!(begin().expect("the next").unlogged().is_none());
    assert!(journal.is_empty());
}

/// Ingress: 77
#[test]
fn a_full_queue_drops_lines_and_counts_them() {
    let journal = journal(LogFormat::Json, 1);
    let agent = [b'a'; 2000];
    for _ in 0..1000 {
        drop(journal.begin(Instant::now(), &peer(), &mut request(b"h", &agent)));
    }
    let lost = journal.shared.lost.load(Ordering::Relaxed);
    let lines = taken(&journal);
    assert!(lines.len() < PAGE + 4096, "{}", lines.len());
    assert!(lost > 0 && lost + memchr::memchr_iter(b'\n', &lines).count() as u64 == 1000, "{lost}");
    drop(journal.begin(Instant::now(), &peer(), &mut request(b"h", b"a")));
    assert!(!journal.is_empty(), "there is room again");
}
