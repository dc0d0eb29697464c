//! A member fails: its traffic moves, nothing is deleted, the others go on; healed, it catches up.

use std::time::{Duration, Instant};

use playground::Fault;
use serde_json::json;
use testkit::federation::MOVED_WITHIN;
use testkit::objects::config_map;
use testkit::wait::{SOON, holds};
use testkit::{Federation, FederationConfig, eventually, same};

use crate::shop;

/// How long traffic is watched once it has moved.
const WATCHED: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_failed_member_is_routed_around_and_catches_up() {
    let federation = Federation::start(FederationConfig { demo: true, ..FederationConfig::default() }).await;
    let hub = federation.hub();
    eventually("the demo runs", SOON, async || shop::rolled_out(hub, "web", 6).await).await;
    eventually("the ingress answers", SOON, async || {
        same("code", federation.get("web.localhost", "/").await?.code, 200)
    })
    .await;
    let east = federation.member("east");
    let mut before = Vec::new();
    for member in federation.members() {
        before.push((shop::uids(member, "pods").await, shop::uids(member, "deployments").await));
    }
    east.set(Fault::Fail);
    traffic_moves(&federation).await;
    eventually("the failure is seen", SOON, async || {
        let cluster = hub.get("clusters", "east").await?;
        let ready = testkit::objects::condition(&cluster, "Ready").cloned().unwrap_or_default();
        holds(ready["status"] == "False" && ready["reason"] == "Unreachable", || ready.to_string())
    })
    .await;
    hub.apply(&config_map("news", "1")).await;
    let others = async || shop::is_in(&federation, "configmaps", "news", &["north", "west"]).await;
    eventually("the other members go on", SOON, others).await;
    hub.patch("deployments", "web", &json!({"metadata": {"labels": {"edition": "2"}}})).await;

    east.set(Fault::None);
    federation.ready().await;
    let all = async || shop::is_in(&federation, "configmaps", "news", &shop::MEMBERS).await;
    eventually("the healed member catches up", SOON, all).await;
    eventually("with the Deployment, too", SOON, async || {
        let copy = east.kubectl.get("deployments", "web").await?;
        same("label", copy["metadata"]["labels"]["edition"].as_str(), Some("2"))?;
        shop::rolled_out(hub, "web", 6).await
    })
    .await;
    let mut after = Vec::new();
    for member in federation.members() {
        after.push((shop::uids(member, "pods").await, shop::uids(member, "deployments").await));
    }
    assert_eq!(after, before, "nothing was deleted or restarted");
    federation.stop().await;
}

#[tokio::test]
async fn a_member_out_of_reach_blocks_no_restart_and_loses_nothing() {
    let mut federation = Federation::start(FederationConfig { demo: true, ..FederationConfig::default() }).await;
    federation.hub().apply(&config_map("old", "1")).await;
    eventually("everything runs", SOON, async || {
        shop::rolled_out(federation.hub(), "web", 6).await?;
        same("code", federation.get("web.localhost", "/").await?.code, 200)?;
        shop::is_in(&federation, "configmaps", "old", &shop::MEMBERS).await
    })
    .await;
    let pods = shop::uids(federation.member("west"), "pods").await;
    federation.member("west").set(Fault::Partition);
    federation.hub().delete("configmaps", "old").await;
    federation.restart().await;
    federation.hub().apply(&config_map("news", "1")).await;
    eventually("the others go on", SOON, async || {
        shop::is_in(&federation, "configmaps", "news", &["east", "north"]).await?;
        shop::is_in(&federation, "configmaps", "old", &["west"]).await
    })
    .await;

    federation.member("west").set(Fault::None);
    federation.ready().await;
    eventually("the member catches up", SOON, async || {
        shop::is_in(&federation, "configmaps", "news", &shop::MEMBERS).await?;
        shop::is_in(&federation, "configmaps", "old", &[]).await?;
        shop::rolled_out(federation.hub(), "web", 6).await
    })
    .await;
    assert_eq!(shop::uids(federation.member("west"), "pods").await, pods, "no pod was restarted");
    federation.stop().await;
}

/// Asks without a pause: no request fails once [`MOVED_WITHIN`] is over.
async fn traffic_moves(federation: &Federation) {
    let failed = Instant::now();
    let (mut asked, mut late) = (0, Vec::new());
    while failed.elapsed() < MOVED_WITHIN + WATCHED {
        let at = failed.elapsed();
        let reply = federation.get("web.localhost", "/").await;
        asked += 1;
        if at >= MOVED_WITHIN && !matches!(&reply, Ok(reply) if reply.code == 200) {
            late.push((at, reply));
        }
        tokio::task::yield_now().await;
    }
    assert!(late.is_empty(), "{} of {asked} failed late, the first: {:?}", late.len(), late[0]);
    assert!(asked > 20, "only {asked} requests in {:?}", failed.elapsed());
}
