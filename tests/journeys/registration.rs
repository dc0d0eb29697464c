//! Clusters that cannot become members say why.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use testkit::objects::condition;
use testkit::wait::{SOON, holds};
use testkit::{Federation, FederationConfig, eventually};

const EXEC: &str = r#"
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/true}}}]
"#;

#[tokio::test]
async fn a_cluster_is_a_member_once_and_by_its_own_credentials() {
    let federation = Federation::start(FederationConfig { members: 1, ..FederationConfig::default() }).await;
    let hub = federation.hub();
    federation.register("twin", &federation.member("east").target).await;
    eventually("the twin is seen", SOON, async || {
        let cluster = hub.get("clusters", "twin").await?;
        let ready = condition(&cluster, "Ready").cloned().unwrap_or_default();
        let named = ready["message"].as_str().is_some_and(|m| m.contains("east"));
        holds(ready["status"] == "False" && ready["reason"] == "DuplicateCluster" && named, || ready.to_string())
    })
    .await;
    let east = hub.get("clusters", "east").await.expect("it is there");
    assert_eq!(condition(&east, "Ready").expect("it has one")["status"], "True");

    hub.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "type": "fedgate.dev/cluster-credentials",
        "metadata": {"name": "runner", "namespace": "fedgate-system"},
        "data": {"kubeconfig": STANDARD.encode(EXEC)},
    }))
    .await;
    hub.apply(&json!({
        "apiVersion": "fedgate.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "runner"},
        "spec": {"server": "https://127.0.0.1:1", "credentialsRef": {"name": "runner"}},
    }))
    .await;
    eventually("the exec kubeconfig is refused by name", SOON, async || {
        let cluster = hub.get("clusters", "runner").await?;
        let ready = condition(&cluster, "Ready").cloned().unwrap_or_default();
        let named = ready["message"].as_str().is_some_and(|m| m.contains("exec"));
        holds(ready["status"] == "False" && named, || ready.to_string())
    })
    .await;
    federation.stop().await;
}
