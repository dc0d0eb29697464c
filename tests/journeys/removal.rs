//! The end of a membership: what runs in the cluster stays there, and is ours no more.

use testkit::objects::config_map;
use testkit::wait::{SOON, holds};
use testkit::{Federation, FederationConfig, eventually};

use crate::shop;

const MARKS: [&str; 2] = ["fedgate.dev/hub", "fedgate.dev/template-uid"];

#[tokio::test]
async fn a_removed_cluster_keeps_its_objects_without_our_labels() {
    let federation = Federation::start(FederationConfig { demo: true, ..FederationConfig::default() }).await;
    let hub = federation.hub();
    hub.apply(&config_map("settings", "1")).await;
    let copies = [("deployments", "web"), ("services", "web"), ("configmaps", "settings")];
    eventually("everything runs", SOON, async || {
        shop::rolled_out(hub, "web", 6).await?;
        for (resource, name) in copies {
            shop::is_in(&federation, resource, name, &shop::MEMBERS).await?;
        }
        Ok(())
    })
    .await;
    let west = federation.member("west");
    let pods = shop::uids(west, "pods").await;
    for (resource, name) in copies {
        let copy = west.kubectl.get(resource, name).await.expect("a copy");
        assert!(MARKS.iter().all(|mark| copy["metadata"]["labels"][mark].is_string()), "{copy}");
    }

    hub.delete("clusters", "west").await;
    eventually("the cluster is gone at the hub", SOON, async || hub.gone("clusters", "west").await).await;
    eventually("its objects lose our labels", SOON, async || {
        for (resource, name) in copies {
            let copy = west.kubectl.get(resource, name).await?;
            holds(copy["metadata"]["deletionTimestamp"].is_null(), || format!("{name} is being deleted"))?;
            for mark in MARKS {
                holds(copy["metadata"]["labels"][mark].is_null(), || format!("{name} still bears {mark}"))?;
            }
        }
        Ok(())
    })
    .await;
    eventually("its replicas run elsewhere, its pods are seen no more", SOON, async || {
        shop::rolled_out(hub, "web", 6).await?;
        let seen = hub.list("pods", "app=web").await?;
        let theirs = seen.iter().filter(|p| p["metadata"]["name"].as_str().is_some_and(|n| n.ends_with(".west")));
        let theirs = theirs.count();
        holds(theirs == 0, || format!("{theirs} pods of west are seen"))
    })
    .await;
    assert_eq!(shop::uids(west, "pods").await, pods, "no pod was stopped");
    federation.stop().await;
}
