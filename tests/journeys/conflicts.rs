//! Deleting takes away what is ours and nothing else.

use testkit::objects::config_map;
use testkit::wait::{SOON, holds};
use testkit::{Federation, FederationConfig, eventually, same};

use crate::shop;

#[tokio::test]
async fn a_deleted_deployment_is_gone_everywhere_and_a_members_own_object_is_not() {
    let federation = Federation::start(FederationConfig { demo: true, ..FederationConfig::default() }).await;
    let hub = federation.hub();
    let east = federation.member("east");
    let theirs = east.kubectl.apply(&config_map("settings", "theirs")).await;
    hub.apply(&config_map("settings", "ours")).await;
    eventually("the conflict is reported", SOON, async || {
        let row = shop::row(hub, "settings", "east").await?;
        same("phase", row["phase"].as_str(), Some("Conflict"))?;
        holds(!row["message"].as_str().unwrap_or_default().is_empty(), || row.to_string())
    })
    .await;
    eventually("the others have ours", SOON, async || {
        for name in ["north", "west"] {
            let copy = federation.member(name).kubectl.get("configmaps", "settings").await?;
            same(name, copy["data"]["a"].as_str(), Some("ours"))?;
        }
        Ok(())
    })
    .await;
    eventually("the demo runs", SOON, async || shop::rolled_out(hub, "web", 6).await).await;

    hub.delete("deployments", "web").await;
    hub.delete("configmaps", "settings").await;
    eventually("the Deployment and its pods are gone", SOON, async || {
        hub.gone("deployments", "web").await?;
        for member in federation.members() {
            member.kubectl.gone("deployments", "web").await?;
            let left = member.kubectl.list("pods", "app=web").await?.len();
            same(&format!("pods in {}", member.name), left, 0)?;
        }
        same("pods at the hub", hub.list("pods", "app=web").await?.len(), 0)
    })
    .await;
    let ours_only = async || shop::is_in(&federation, "configmaps", "settings", &["east"]).await;
    eventually("our ConfigMaps are gone", SOON, ours_only).await;
    eventually("nothing is left to do", SOON, async || {
        let left = hub.list("placementbindings", "").await?;
        let mut templates = left.iter().map(|b| &b["spec"]["template"]);
        let theirs = templates.find(|t| t["kind"] == "Deployment" || t["name"] == "settings");
        holds(theirs.is_none(), || format!("a binding of {theirs:?}"))
    })
    .await;
    let still = east.kubectl.find("configmaps", "settings").await.expect("a member's own object stays");
    assert_eq!(still, theirs, "nobody has touched it");
    federation.stop().await;
}
