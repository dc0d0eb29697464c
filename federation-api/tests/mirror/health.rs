//! The conditions that the health loop writes.

use member_cluster::join::Permissions;
use serde_json::json;

use crate::house::{CLUSTERS, House, Member};

#[tokio::test]
async fn a_member_is_unreachable_after_its_second_silent_probe() {
    let east = Member::start(Permissions::Apply).await;
    east.line.cut();
    let house = House::with([("east", east)]).await;
    let reachable = house.condition("east", "Reachable", |reachable| reachable["status"] == "False").await;
    assert_eq!(reachable["reason"], "Unreachable");
    let probes = house.member("east").line.asked().iter().filter(|asked| asked.path == "/version").count();
    assert_eq!(probes, 2, "one silence is not believed");
    house.member("east").line.mend();
    house.ready("east").await;
}

#[tokio::test]
async fn another_cluster_under_a_known_name_is_not_ready() {
    let house = House::unregistered([("east", Member::start(Permissions::Apply).await)]).await;
    // Known before it is connected: its credentials come later.
    let known = json!({"apiVersion": "fedgate.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "old"},
        "spec": {"server": "https://east.test", "credentialsRef": {"name": "old"}}});
    house.hub.post(CLUSTERS, &known).await.expect(201);
    house.condition("old", "Ready", |ready| ready["reason"] == "NoConnection").await;
    let uid = json!({"status": {"uid": "11111111-0000-0000-0000-000000000000"}});
    house.hub.patch(&format!("{CLUSTERS}/old/status"), "merge-patch+json", &uid).await.expect(200);
    let secret = member_cluster::Credentials::Token("t".to_owned()).to_secret("old");
    house.hub.post("/api/v1/namespaces/fedgate-system/secrets", &secret).await.expect(201);
    let ready = house.condition("old", "Ready", |ready| ready["reason"] == "IdentityChanged").await;
    assert_eq!(ready["status"], "False");
    let kept = house.hub.get(&format!("{CLUSTERS}/old")).await.expect(200);
    assert_eq!(kept["status"]["uid"], uid["status"]["uid"]);
}

#[tokio::test]
async fn the_same_cluster_under_a_second_name_is_not_ready() {
    let house = House::east().await;
    house.register("twin", "east").await;
    let ready = house.condition("twin", "Ready", |ready| ready["reason"] == "DuplicateCluster").await;
    assert_eq!(ready["status"], "False");
    house.ready("east").await;
}
