//! Which requests are traced, and what they hand on.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use http::{Method, Request, StatusCode};

use super::context::{Context, TRACEPARENT, TRACESTATE};
use super::{METHOD, QUEUE, Traces};
use crate::peer::Peer;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0";

fn peer() -> Peer {
    Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80, false, &Vec::new().into())
}

fn request(parent: &str) -> Request<()> {
    let builder = Request::builder().uri("/a?token=hush").header("host", "h").header(TRACESTATE, "a=b");
    let builder = if parent.is_empty() { builder } else { builder.header(TRACEPARENT, parent) };
    builder.body(()).expect("a request")
}

/// Ingress: 31
#[tokio::test]
async fn callers_decide_for_their_traces_and_the_share_for_others() {
    for (ratio, parent, traced) in [
        (0.0, format!("{PARENT}1"), true),
        (1.0, format!("{PARENT}0"), false),
        (1.0, String::new(), true),
        (0.0, String::new(), false),
        (1.0, "nonsense".to_owned(), true),
        (0.0, "nonsense".to_owned(), false),
    ] {
        let (traces, _spans) = Traces::new(ratio, Arc::default());
        let mut request = request(&parent);
        let span = traces.begin(Instant::now(), &peer(), &mut request);
        assert_eq!(span.is_some(), traced, "{ratio} {parent}");
        let continued = parent.starts_with(PARENT);
        assert_eq!(request.headers().contains_key(TRACESTATE), continued, "{parent}");
        let told = Context::of(request.headers());
        match span {
            Some(span) => assert_eq!(span.context.parent.is_some(), continued),
            None if continued => assert_eq!(request.headers()[TRACEPARENT], parent, "left as it was"),
            None => assert!(told.is_some_and(|told| !told.sampled), "endpoints hear that it is not traced"),
        }
    }
}

#[test]
fn little_is_kept_of_a_long_method() {
    let (traces, _spans) = Traces::new(1.0, Arc::default());
    let long = "B".repeat(60_000);
    for (said, kept) in [("GET", "GET"), ("BREW", "BREW"), (&long, &long[..METHOD])] {
        let mut request = request("");
        *request.method_mut() = Method::from_bytes(said.as_bytes()).expect("a token");
        let span = traces.begin(Instant::now(), &peer(), &mut request).expect("all are traced");
        assert_eq!(span.asked.method.as_str(), kept);
        assert_eq!(request.method().as_str(), said, "the request itself goes on as it was");
    }
}

#[tokio::test]
async fn a_full_queue_drops_spans_and_counts_them() {
    let lost = Arc::default();
    let (traces, _spans) = Traces::new(1.0, Arc::clone(&lost));
    for _ in 0..QUEUE + 5 {
        let span = traces.begin(Instant::now(), &peer(), &mut request("")).expect("all are traced");
        span.end(StatusCode::OK, "");
    }
    assert_eq!(lost.load(std::sync::atomic::Ordering::Relaxed), 5);
}
