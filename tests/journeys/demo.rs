//! The first minutes: the demo runs in all members, is reached over HTTP, found in DNS, and seen in one list.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use testkit::wait::{SOON, holds};
use testkit::{Federation, FederationConfig, eventually, same};

use crate::shop;

#[tokio::test]
async fn the_demo_runs_everywhere_and_is_reached() {
    let federation = Federation::start(FederationConfig { demo: true, ..FederationConfig::default() }).await;
    let hub = federation.hub();
    eventually("6 replicas become 2+2+2", SOON, async || shop::ready_in_each(&federation, "web", 2).await).await;
    let template = eventually("the rollout ends", SOON, async || shop::rolled_out(hub, "web", 6).await).await;
    assert_eq!(template["spec"]["replicas"], 6);
    pods_are_in_one_list(&federation).await;
    let mut reached = BTreeSet::new();
    eventually("the ingress reaches all members", SOON, async || {
        let reply = federation.get("web.localhost", "/").await?;
        same("code", reply.code, 200)?;
        reached.insert(reply.header("x-cluster").to_owned());
        same("members", reached.len(), 3)
    })
    .await;
    let unknown = federation.get("nobody.localhost", "/").await.expect("an answer");
    assert_eq!(unknown.code, 404);
    dns_answers_with_all_pods(&federation).await;
    federation.stop().await;
}

async fn pods_are_in_one_list(federation: &Federation) {
    let hub = federation.hub();
    eventually("pods of all members are seen", SOON, async || {
        let pods = hub.list("pods", "app=web").await?;
        let names: Vec<&str> = pods.iter().filter_map(|p| p["metadata"]["name"].as_str()).collect();
        for member in shop::MEMBERS {
            let suffix = format!(".{member}");
            same(member, names.iter().filter(|n| n.ends_with(&suffix)).count(), 2)?;
        }
        same("pods", names.len(), 6)
    })
    .await;
}

async fn dns_answers_with_all_pods(federation: &Federation) {
    let name = "web.default.svc.clusterset.local";
    eventually("DNS answers with all ready endpoints", SOON, async || {
        let pods = federation.hub().list("pods", "app=web").await?;
        let mut addresses: Vec<Ipv4Addr> =
            pods.iter().filter_map(|p| p["status"]["podIP"].as_str()?.parse().ok()).collect();
        addresses.sort_unstable();
        let reply = federation.resolve(name).await?;
        holds(reply.code == 0 && reply.addresses == addresses, || format!("{reply:?}, not {addresses:?}"))
    })
    .await;
    let unknown = federation.resolve("nobody.default.svc.clusterset.local").await.expect("an answer");
    assert_eq!((unknown.code, unknown.addresses.len()), (3, 0));
}
