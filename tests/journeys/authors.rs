//! Who may not act in a cluster gets nothing there by way of the hub, whatever his objects say of their author.

use serde_json::{Value, json};
use testkit::objects::{annotated, config_map};
use testkit::wait::{SOON, holds};
use testkit::{Federation, FederationConfig, Kubectl, eventually};

use crate::shop;

const AUTHOR: &str = "fedgate.dev/author";
const RBAC: &str = "rbac.authorization.k8s.io";

#[tokio::test]
async fn an_author_reaches_only_where_he_may_act() {
    let federation = Federation::start(FederationConfig::default()).await;
    let hub = federation.hub();
    for name in ["alice", "bob"] {
        hub.apply(&binding("RoleBinding", "edit", name)).await;
    }
    hub.apply(&json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": {"name": "act-in-east"},
        "rules": [{"apiGroups": ["fedgate.dev"], "resources": ["clusters"], "resourceNames": ["east"],
            "verbs": ["execute-as"]}],
    }))
    .await;
    hub.apply(&binding("ClusterRoleBinding", "act-in-east", "alice")).await;
    let root = json!({"username": "admin", "groups": ["system:masters"]}).to_string();
    for name in ["alice", "bob"] {
        let person = hub.caller.acting_as(name, &["system:authenticated"]).expect("a header value");
        let written = Kubectl::new(person).apply(&annotated(config_map(name, "1"), AUTHOR, &root)).await;
        let author = written["metadata"]["annotations"][AUTHOR].as_str().expect("the author is recorded");
        assert!(author.contains(name) && !author.contains("masters"), "{author}");
    }
    said(hub, "alice", &["north", "west"]).await;
    said(hub, "bob", &shop::MEMBERS).await;
    hub.apply(&config_map("admins", "1")).await;
    let everywhere = async || shop::is_in(&federation, "configmaps", "admins", &shop::MEMBERS).await;
    eventually("an administrator's object arrives everywhere", SOON, everywhere).await;
    let in_east = async || shop::is_in(&federation, "configmaps", "alice", &["east"]).await;
    eventually("alice's in the one cluster", SOON, in_east).await;
    assert_eq!(shop::members_with(&federation, "configmaps", "bob").await, Vec::<String>::new());
    federation.stop().await;
}

fn binding(kind: &str, role: &str, user: &str) -> Value {
    let mut metadata = json!({"name": format!("{user}-{role}")});
    if kind == "RoleBinding" {
        metadata["namespace"] = "default".into();
    }
    json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": kind, "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "apiGroup": RBAC, "name": user}],
    })
}

/// The binding's conditions name the author and the clusters where he may not act.
async fn said(hub: &Kubectl, name: &str, clusters: &[&str]) {
    eventually(&format!("it is said where {name} may not act"), SOON, async || {
        let said = shop::binding(hub, name).await?["status"]["conditions"].to_string();
        let named = clusters.iter().all(|c| said.contains(&format!("{c}: {name} may not execute-as")));
        holds(named, || said)
    })
    .await;
}
