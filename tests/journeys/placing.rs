//! Where things go: by annotation, by Placement, nowhere; and what is said where that cannot be.

use fedgate::config::DefaultPlacement;
use serde_json::json;
use testkit::objects::{annotated, config_map, deployment};
use testkit::wait::{SOON, holds};
use testkit::{Federation, FederationConfig, eventually};

use crate::shop;

const CLUSTERS: &str = "fedgate.dev/clusters";

async fn start() -> Federation {
    Federation::start(FederationConfig { default_placement: DefaultPlacement::None, ..FederationConfig::default() })
        .await
}

#[tokio::test]
async fn annotations_choose_and_withdraw() {
    let federation = start().await;
    let hub = federation.hub();
    hub.patch("clusters", "north", &json!({"metadata": {"labels": {"tier": "prod"}}})).await;
    let cases: [(&str, &str, &[&str]); 5] = [
        ("names", "east,west", &["east", "west"]),
        ("glob", "*st", &["east", "west"]),
        ("exclusion", "*,!west", &["east", "north"]),
        ("selector", "tier=prod", &["north"]),
        ("not-selector", "tier!=prod", &["east", "west"]),
    ];
    for (name, chosen, _) in cases {
        hub.apply(&annotated(config_map(name, "1"), CLUSTERS, chosen)).await;
    }
    for (name, chosen, members) in cases {
        let arrived = async || shop::is_in(&federation, "configmaps", name, members).await;
        eventually(&format!("{chosen} arrives"), SOON, arrived).await;
    }
    hub.annotate("configmaps", "names", (CLUSTERS, "west,north")).await;
    let moved = async || shop::is_in(&federation, "configmaps", "names", &["north", "west"]).await;
    eventually("the copy leaves the cluster that is no longer chosen", SOON, moved).await;
    federation.stop().await;
}

/// The hub's own account sees no Secrets in members: who writes them reads them.
#[tokio::test]
async fn a_secret_arrives_changes_and_leaves() {
    let federation = start().await;
    let hub = federation.hub();
    let secret = |value: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {
                "name": "key", "namespace": "default", "annotations": {CLUSTERS: "east,west"},
            },
            "stringData": {"a": value},
        })
    };
    let members = ["east", "west"];
    let holds_data = async |data: &str| {
        shop::is_in(&federation, "secrets", "key", &members).await?;
        for member in members {
            let copy = federation.member(member).kubectl.get("secrets", "key").await?;
            holds(copy["data"]["a"] == data, || format!("{member} has {}", copy["data"]))?;
        }
        for row in [shop::row(hub, "key", "east").await?, shop::row(hub, "key", "west").await?] {
            holds(row["phase"] == "Applied", || format!("the binding says {row}"))?;
        }
        Ok(())
    };
    hub.apply(&secret("one")).await;
    eventually("the secret arrives", SOON, async || holds_data("b25l").await).await;
    hub.apply(&secret("two")).await;
    eventually("its change arrives", SOON, async || holds_data("dHdv").await).await;
    federation.member("east").kubectl.delete("secrets", "key").await;
    eventually("it is put back", SOON, async || holds_data("dHdv").await).await;
    hub.delete("secrets", "key").await;
    eventually("it leaves", SOON, async || shop::is_in(&federation, "secrets", "key", &[]).await).await;
    let unbound = async || shop::binding(hub, "key").await.map_or(Ok(()), |left| Err(left.to_string()));
    eventually("nothing is bound", SOON, unbound).await;
    federation.stop().await;
}

#[tokio::test]
async fn a_placement_divides_by_weight() {
    let federation = start().await;
    let hub = federation.hub();
    hub.apply(&deployment("web", 6, "demo/web:1")).await;
    hub.apply(&json!({
        "apiVersion": "fedgate.dev/v1alpha1", "kind": "Placement",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "select": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}],
            "clusters": [{"names": ["east", "west"]}],
            "replicas": {"mode": "Divided", "divide": "Weighted", "weights": [
                {"clusters": {"names": ["east"]}, "weight": 2}, {"clusters": {"names": ["west"]}, "weight": 1}]},
        },
    }))
    .await;
    eventually("4 in east, 2 in west", SOON, async || {
        shop::is_in(&federation, "deployments", "web", &["east", "west"]).await?;
        for (member, replicas) in [("east", 4), ("west", 2)] {
            let copy = federation.member(member).kubectl.get("deployments", "web").await?;
            holds(copy["spec"]["replicas"] == replicas, || format!("{member} has {}", copy["spec"]["replicas"]))?;
        }
        Ok(())
    })
    .await;
    eventually("all are Ready", SOON, async || shop::rolled_out(hub, "web", 6).await).await;
    federation.stop().await;
}

#[tokio::test]
async fn what_cannot_be_placed_says_so() {
    let federation = start().await;
    let hub = federation.hub();
    let body = deployment("lost", 2, "demo/web:1").to_string();
    let reply = federation.wire().post("/apis/apps/v1/namespaces/default/deployments", body).await;
    assert_eq!(reply.code, 201, "{:?}", reply.body);
    let warnings = reply.warnings();
    assert!(warnings.iter().any(|w| w.contains(CLUSTERS)), "it says how to place it: {warnings:?}");
    let body = config_map("kept", "1").to_string();
    let reply = federation.wire().post("/api/v1/namespaces/default/configmaps", body).await;
    assert_eq!((reply.code, reply.warnings()), (201, Vec::new()));

    hub.apply(&annotated(config_map("mars", "1"), CLUSTERS, "east,mars")).await;
    eventually("the unknown cluster is named, the known one has it", SOON, async || {
        let binding = shop::binding(hub, "mars").await?;
        let said = binding["status"]["conditions"].to_string();
        holds(said.contains("mars"), || format!("conditions are {said}"))?;
        shop::is_in(&federation, "configmaps", "mars", &["east"]).await
    })
    .await;
    for name in ["lost", "kept"] {
        let resource = if name == "lost" { "deployments" } else { "configmaps" };
        assert_eq!(shop::members_with(&federation, resource, name).await, Vec::<String>::new(), "{name}");
    }
    federation.stop().await;
}
