//! The hub ends and starts: what was acknowledged is there, and members notice nothing.

use std::collections::BTreeMap;

use serde_json::Value;
use testkit::objects::config_map;
use testkit::wait::SOON;
use testkit::{Federation, FederationConfig, eventually, same};

use crate::shop;

const WATCHED: [&str; 6] = ["configmaps", "deployments", "namespaces", "pods", "replicasets", "services"];

#[tokio::test]
async fn a_restart_with_nothing_changed_writes_nothing() {
    let mut federation = Federation::start(FederationConfig { demo: true, ..FederationConfig::default() }).await;
    for i in 0..20 {
        federation.hub().apply(&config_map(&format!("map-{i}"), "1")).await;
    }
    eventually("everything has arrived", SOON, async || settled(&federation).await).await;
    let stored = stored(&federation).await;
    let (revisions, writes) = (revisions(&federation).await, writes(&federation).await);

    federation.restart().await;
    federation.ready().await;
    let served = self::stored(&federation).await;
    assert_eq!(served.keys().collect::<Vec<_>>(), stored.keys().collect::<Vec<_>>());
    for (place, object) in &served {
        assert_eq!(object, &stored[place], "the hub serves the same objects");
    }
    // One more object goes all the way: whatever else would be written has been queued before it.
    federation.hub().apply(&config_map("marker", "1")).await;
    let arrived = async || shop::is_in(&federation, "configmaps", "marker", &shop::MEMBERS).await;
    eventually("a new object arrives", SOON, arrived).await;
    eventually("everything is looked at", SOON, async || settled(&federation).await).await;

    let mut expected = writes;
    for counts in expected.values_mut() {
        *counts.entry("PATCH configmaps".to_owned()).or_default() += 1;
    }
    assert_eq!(self::writes(&federation).await, expected, "only the marker was written");
    let mut after = self::revisions(&federation).await;
    after.retain(|(_, _, name), _| name != "marker");
    assert_eq!(after, revisions);
    federation.stop().await;
}

#[tokio::test]
async fn a_killed_hub_loses_nothing_that_it_acknowledged() {
    let mut federation = Federation::start(FederationConfig { members: 1, ..FederationConfig::default() }).await;
    for round in 0..3 {
        let hub = federation.hub().clone();
        let (enough, acknowledged) = tokio::sync::oneshot::channel();
        let writer = tokio::spawn(async move {
            let mut written = Vec::new();
            let mut enough = Some(enough);
            for i in 0.. {
                let name = format!("map-{round}-{i}");
                let object = config_map(&name, "1");
                let gvr = testkit::objects::resource("configmaps");
                if hub.caller.create(&gvr, "default", &object).await.is_err() {
                    break;
                }
                written.push(name);
                if written.len() == 20 {
                    enough.take().map(|enough| enough.send(()));
                }
            }
            written
        });
        acknowledged.await.expect("20 objects are written");
        federation.kill_and_start().await;
        let written = writer.await.expect("the writer ends with the hub");
        assert!(written.len() >= 20);
        for name in &written {
            assert!(federation.hub().find("configmaps", name).await.is_some(), "{name} is lost");
        }
        let last = written.last().expect("some were written");
        let arrived = async || federation.member("east").kubectl.get("configmaps", last).await;
        eventually("they arrive", SOON, arrived).await;
    }
    federation.stop().await;
}

async fn settled(federation: &Federation) -> Result<(), String> {
    shop::rolled_out(federation.hub(), "web", 6).await?;
    for binding in federation.hub().list("placementbindings", "").await? {
        let (spec, status) = (&binding["spec"], &binding["status"]);
        let rows = status["clusters"].as_array().map(Vec::as_slice).unwrap_or_default();
        same("rows", rows.len(), spec["clusters"].as_array().map_or(0, Vec::len))?;
        for row in rows {
            same(&format!("{}", spec["template"]["name"]), row["phase"].as_str(), Some("Applied"))?;
            same("generation", &row["appliedGeneration"], &spec["template"]["generation"])?;
        }
    }
    Ok(())
}

/// What the hub has stored, without what says when members were seen.
async fn stored(federation: &Federation) -> BTreeMap<(String, String), Value> {
    let mut all = BTreeMap::new();
    for resource in ["configmaps", "deployments", "ingresses", "placementbindings", "services"] {
        for object in federation.hub().list(resource, "").await.expect("a list") {
            all.insert((resource.to_owned(), object["metadata"]["name"].to_string()), object);
        }
    }
    all
}

type Places = BTreeMap<(String, &'static str, String), String>;

async fn revisions(federation: &Federation) -> Places {
    let mut all = Places::new();
    for member in federation.members() {
        for resource in WATCHED {
            for object in member.inside.list(resource, "").await.expect("a list") {
                let text = |key: &str| object["metadata"][key].as_str().expect("every object has it").to_owned();
                all.insert((member.name.to_string(), resource, text("name")), text("resourceVersion"));
            }
        }
    }
    all
}

async fn writes(federation: &Federation) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut all = BTreeMap::new();
    for member in federation.members() {
        all.insert(member.name.to_string(), member.writes().await);
    }
    all
}
