//! Logs through the hub, and connections that go on without HTTP.

use std::time::Duration;

use auth::UserInfo;
use bytes::Bytes;
use federation_api::InProcess;
use federation_types::label;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use member_cluster::join::Permissions;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::Service as _;

use crate::house::{House, Member, PODS, chunk};

async fn get(caller: &InProcess, path: &str) -> http::Response<federation_api::Body> {
    let request = Request::get(path).body(Full::<Bytes>::default()).expect("a request");
    tokio::time::timeout(Duration::from_secs(10), caller.clone().call(request))
        .await
        .expect("in time")
        .expect("infallible")
}

/// Protocol: SR2
#[tokio::test]
async fn a_followed_log_is_told_as_it_grows() {
    let house = House::east().await;
    let east = house.member("east");
    east.pod("web", &json!({})).await;
    house.shows(PODS, "web.east").await;
    let admin = house.hub.api.in_process(UserInfo::new("admin", ["system:masters"]));
    let asked = "log?follow=true&container=app&tailLines=3&sinceTime=2026-01-01T00%3A00%3A00Z";
    let response = get(&admin, &format!("{PODS}/web.east/{asked}")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers()["content-type"].to_str().expect("text").starts_with("text/plain"));
    let mut body = response.into_body();
    assert_eq!(chunk(&mut body).await.as_deref(), Some("line 0\n"));
    east.line.log_lines(3);
    assert_eq!(chunk(&mut body).await.as_deref(), Some("line 1\n"));
    assert_eq!(chunk(&mut body).await.as_deref(), Some("line 2\n"));
    let seen = east.line.asked().into_iter().find(|asked| asked.path.contains("/log")).expect("it was asked for");
    assert_eq!(seen.path, format!("{PODS}/web/{asked}"));
    assert!(!seen.headers.contains("authorization") && seen.acting_as.is_empty(), "{seen:?}");
    // A member that is removed is not read any longer.
    house.hub.delete(&format!("{}/east", crate::house::CLUSTERS)).await.expect(200);
    assert_eq!(chunk(&mut body).await, None);
}

/// Protocol: SR2
#[tokio::test]
async fn logs_of_a_template_come_from_the_member_that_runs_it() {
    let house = House::east().await;
    house.member("east").line.log_lines(2);
    house.bound_pod("solo", "east").await;
    let text = house.hub.get(&format!("{PODS}/solo/log")).await;
    assert_eq!((text.code, &text.body[..]), (StatusCode::OK, &b"line 0\nline 1\n"[..]));
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "free"},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]}});
    house.hub.post(PODS, &pod).await.expect(201);
    let (_, message) = house.hub.get(&format!("{PODS}/free/log")).await.refused(400);
    assert!(message.contains("cluster"), "{message}");
}

#[tokio::test]
async fn what_the_member_says_of_a_log_is_told_in_the_hubs_words() {
    let house = House::east().await;
    house.hub.get(&format!("{PODS}/absent/log")).await.refused(404);
    // The member itself has no logs: it is a simulated one.
    let (reason, message) = house.hub.get(&format!("{PODS}/none.east/log")).await.refused(405);
    assert_eq!(reason, "MethodNotAllowed");
    assert!(message.starts_with("in the member cluster \"east\": "), "{message}");
    house.member("east").line.cut();
    let (_, message) = house.hub.get(&format!("{PODS}/none.east/log")).await.refused(503);
    assert!(message.contains("\"east\""), "{message}");
    let nobody = house.hub.api.in_process(UserInfo::new("nobody", ["system:authenticated"]));
    assert_eq!(get(&nobody, &format!("{PODS}/none.east/log")).await.status(), StatusCode::FORBIDDEN);
}

/// Protocol: SR3, SR4, SR6
#[tokio::test]
async fn an_upgrade_becomes_a_tunnel_in_the_executors_name() {
    let house = House::east().await;
    let admin = house.hub.api.in_process(UserInfo::new("admin", ["system:masters"]));
    let (near, far) = tokio::io::duplex(4096);
    let server = hyper::server::conn::http1::Builder::new();
    tokio::spawn(server.serve_connection(TokioIo::new(far), TowerToHyperService::new(admin)).with_upgrades());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(near)).await.expect("a handshake");
    tokio::spawn(connection.with_upgrades());
    let asked = format!("{PODS}/web.east/exec?command=sh&command=-c&stdin=true");
    let request = Request::get(&asked)
        .header("host", "hub")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-key", "a2V5")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0")
        .header("cookie", "c2VjcmV0")
        .body(Full::<Bytes>::default())
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["upgrade"], "websocket");
    assert_eq!(response.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
    let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.expect("an upgrade"));
    let mut heard = [0; 5];
    tunnel.write_all(b"hello").await.expect("written");
    tunnel.read_exact(&mut heard).await.expect("an echo");
    assert_eq!(&heard, b"hello");
    tunnel.shutdown().await.expect("an end");
    assert_eq!(tunnel.read(&mut heard).await.expect("the other end"), 0);

    let seen = house.member("east").line.asked().into_iter().find(|asked| asked.path.contains("/exec"));
    let seen = seen.expect("it was asked for");
    assert_eq!(seen.path, asked.replace("web.east", "web"));
    assert_eq!(seen.acting_as, label::DEFAULT_EXECUTOR);
    assert!(!seen.headers.contains("c2VjcmV0"), "{}", seen.headers);
}

/// Protocol: SR5
#[tokio::test]
async fn exec_needs_an_upgrade_and_the_right_to_create() {
    let house = House::with([("east", Member::start(Permissions::Apply).await)]).await;
    house.ready("east").await;
    let path = format!("{PODS}/web.east/exec?command=sh&command=-c");
    let (_, message) = house.hub.send(Method::POST, &path, &[], "").await.refused(400);
    assert!(message.contains("Upgrade"), "{message}");
    let reader = house.hub.api.in_process(UserInfo::new("nobody", ["system:authenticated"]));
    let response = get(&reader, &path).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let bytes = response.into_body().collect().await.expect("infallible").to_bytes();
    let message = String::from_utf8_lossy(&bytes).into_owned();
    assert!(message.contains("cannot create resource"), "{message}");
}
