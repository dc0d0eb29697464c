//! The past: how long pages and watches can go on from it, and in which wrapping a watch comes.

use std::io::Read as _;

use auth::UserInfo;
use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use tower::Service;

use crate::hub::{CONFIG_MAPS, Hub, PATIENCE, names, rev};

async fn stocked(count: usize) -> Hub {
    let hub = Hub::start().await;
    for at in 0..count {
        hub.config_map(&format!("c{at}")).await;
    }
    hub
}

/// Protocol: L4, L5, L6
#[tokio::test]
async fn a_token_ends_with_the_second_compaction_and_brings_one_that_goes_on() {
    let hub = stocked(5).await;
    let first = hub.get(&format!("{CONFIG_MAPS}?limit=2")).await.expect(200);
    let token = first["metadata"]["continue"].as_str().expect("a token");
    let next = format!("{CONFIG_MAPS}?limit=2&continue={token}");
    hub.api.compact().await;
    hub.get(&next).await.expect(200);
    hub.api.compact().await;
    let expired = hub.get(&next).await.expect(410);
    assert_eq!(expired["reason"], "Expired");
    assert!(
        expired["message"].as_str().expect("text").starts_with("The provided continue parameter is too old"),
        "{expired}"
    );
    let restart = expired["metadata"]["continue"].as_str().expect("a token");
    let second = hub.get(&format!("{CONFIG_MAPS}?limit=2&continue={restart}")).await.expect(200);
    assert_eq!(names(&second), ["c2", "c3"]);
    assert_eq!(second["metadata"]["remainingItemCount"], 1);
    assert_ne!(rev(&second), rev(&first), "the rest is told as it is now");
    let exact = format!("{CONFIG_MAPS}?resourceVersion={}&resourceVersionMatch=Exact", rev(&first));
    assert_eq!(hub.get(&exact).await.refused(410).0, "Expired");
    // A watch is served from the ring, however old.
    let mut watch = hub.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", rev(&first))).await;
    hub.config_map("late").await;
    assert_eq!(watch.told(1).await, ["ADDED late"]);
}

/// Protocol: L5
#[tokio::test]
async fn a_token_is_good_for_its_user_and_list_alone() {
    let hub = stocked(3).await;
    let first = hub.get(&format!("{CONFIG_MAPS}?limit=1")).await.expect(200);
    let token = first["metadata"]["continue"].as_str().expect("a token");
    let other = hub.api.in_process(UserInfo::new("other", ["system:masters"]));
    let path = format!("{CONFIG_MAPS}?limit=1&continue={token}");
    let reply = hub.send_as(&other, Method::GET, &path, (&[], Bytes::new())).await;
    assert_eq!(reply.refused(400).0, "BadRequest");
    for list in ["/api/v1/namespaces/default/secrets", "/api/v1/configmaps", "/api/v1/namespaces/other/configmaps"] {
        assert_eq!(hub.get(&format!("{list}?limit=1&continue={token}")).await.refused(400).0, "BadRequest", "{list}");
    }
    hub.get(&path).await.expect(200);
}

/// Protocol: L1, L2, W6
#[tokio::test]
async fn numbers_are_read_as_upstream_reads_them() {
    let hub = stocked(2).await;
    assert_eq!(names(&hub.get(&format!("{CONFIG_MAPS}?limit=-1")).await.expect(200)).len(), 2);
    for (query, code, message) in [
        ("limit=9223372036854775808", 400, "strconv.ParseInt: parsing \"9223372036854775808\": value out of range"),
        ("limit=x", 400, "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("watch=1&timeoutSeconds=x", 400, "strconv.ParseInt: parsing \"x\": invalid syntax"),
        (
            "resourceVersion=x",
            400,
            "invalid resource version: resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
        (
            "watch=1&resourceVersion=x",
            500,
            "resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
    ] {
        assert_eq!(hub.get(&format!("{CONFIG_MAPS}?{query}")).await.refused(code).1, message, "{query}");
    }
    hub.get(&format!("{CONFIG_MAPS}/c0?resourceVersion=x")).await.refused(500);
}

/// Protocol: W9
#[tokio::test]
async fn a_watch_list_is_compressed_frame_by_frame() {
    let hub = stocked(2).await;
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let request = Request::builder().uri(format!("{CONFIG_MAPS}?{query}")).header("accept-encoding", "gzip");
    let request = request.body(Full::<Bytes>::default()).expect("a request");
    let mut admin = hub.api.in_process(UserInfo::new("admin", ["system:masters"]));
    let response = admin.call(request).await.expect("infallible");
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let mut body = response.into_body();
    let mut told = Vec::new();
    while told.len() < 4 {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("in time").expect("a frame");
        let frame = frame.expect("infallible").into_data().expect("data");
        // Each frame is a whole member: what was flushed can be read without what follows.
        let mut text = String::new();
        flate2::read::GzDecoder::new(&frame[..]).read_to_string(&mut text).expect("a gzip member");
        let kinds = text.lines().map(|line| {
            let event: Value = serde_json::from_str(line).expect("an event");
            event["type"].as_str().expect("a type").to_owned()
        });
        told.extend(kinds);
        if told.len() == 3 {
            hub.config_map("late").await;
        }
    }
    assert_eq!(told, ["ADDED", "ADDED", "BOOKMARK", "ADDED"]);
}

/// Protocol: W1
#[tokio::test]
async fn a_watch_over_a_web_socket_tells_one_event_a_message() {
    let hub = stocked(2).await;
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let service = TowerToHyperService::new(hub.api.in_process(UserInfo::new("admin", ["system:masters"])));
    let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service);
    tokio::spawn(serving.with_upgrades());
    let url = format!("ws://localhost{CONFIG_MAPS}?watch=1&timeoutSeconds=3");
    let (mut socket, answer) = tokio_tungstenite::client_async(url, ours).await.expect("a handshake");
    assert_eq!(answer.status(), 101);
    let mut told = Vec::new();
    loop {
        let said = tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time");
        let Some(Ok(Message::Text(text))) = said else { break };
        let event: Value = serde_json::from_str(&text).expect("one event");
        told.push(event["object"]["metadata"]["name"].as_str().expect("a name").to_owned());
        if told.len() == 2 {
            hub.config_map("late").await;
        }
    }
    assert_eq!(told, ["c0", "c1", "late"], "and the end of the watch is the end of the socket");
}
