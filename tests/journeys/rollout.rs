//! Scaling, a new image and an undo, as kubectl does them, arrive in every member; the hub keeps the history.

use serde_json::{Value, json};
use testkit::objects::deployment;
use testkit::wait::{SOON, holds};
use testkit::{Federation, FederationConfig, eventually};

use crate::shop;

const REVISION: &str = "deployment.kubernetes.io/revision";

#[tokio::test]
async fn scale_image_and_undo_arrive_everywhere() {
    let federation = Federation::start(FederationConfig::default()).await;
    let hub = federation.hub();
    hub.apply(&deployment("web", 6, "demo/web:1")).await;
    eventually("6 replicas run", SOON, async || shop::rolled_out(hub, "web", 6).await).await;
    hub.patch("deployments", "web", &json!({"spec": {"replicas": 9}})).await;
    eventually("9 replicas run", SOON, async || shop::rolled_out(hub, "web", 9).await).await;
    eventually("as 3+3+3", SOON, async || shop::ready_in_each(&federation, "web", 3).await).await;
    let second = json!([{"name": "app", "image": "demo/web:2", "ports": [{"name": "http", "containerPort": 8080}]}]);
    hub.patch("deployments", "web", &json!({"spec": {"template": {"spec": {"containers": second}}}})).await;
    runs_only(&federation, "demo/web:2").await;
    revisions(&federation, &[("1", "demo/web:1"), ("2", "demo/web:2")]).await;
    undo(&federation).await;
    runs_only(&federation, "demo/web:1").await;
    revisions(&federation, &[("2", "demo/web:2"), ("3", "demo/web:1")]).await;
    let template = eventually("the rollout ends", SOON, async || shop::rolled_out(hub, "web", 9).await).await;
    assert_eq!(template["metadata"]["annotations"][REVISION], "3");
    federation.stop().await;
}

async fn runs_only(federation: &Federation, image: &str) {
    eventually(&format!("{image} runs everywhere"), SOON, async || {
        shop::rolled_out(federation.hub(), "web", 9).await?;
        let images = shop::images(federation, "web").await?;
        holds(images.len() == 9 && images.iter().all(|i| i == image), || format!("{images:?}"))
    })
    .await;
}

/// The hub's own ReplicaSets, which no member has: one a revision, by revision.
async fn history(federation: &Federation) -> Result<Vec<Value>, String> {
    let all = federation.hub().list("replicasets", "app=web").await?;
    let own = |rs: &Value| !rs["metadata"]["name"].as_str().is_some_and(|n| n.contains('.'));
    let mut kept: Vec<Value> = all.into_iter().filter(own).collect();
    kept.sort_by_key(|rs| rs["metadata"]["annotations"][REVISION].as_str().map(str::to_owned));
    Ok(kept)
}

async fn revisions(federation: &Federation, wanted: &[(&str, &str)]) {
    eventually("the revisions are kept", SOON, async || {
        let kept = history(federation).await?;
        let seen: Vec<(&str, &str)> = kept
            .iter()
            .filter_map(|rs| {
                let revision = rs["metadata"]["annotations"][REVISION].as_str()?;
                Some((revision, rs["spec"]["template"]["spec"]["containers"][0]["image"].as_str()?))
            })
            .collect();
        holds(seen == wanted, || format!("{seen:?}"))
    })
    .await;
}

/// As `kubectl rollout undo`: the pod template of the revision before the last becomes the Deployment's.
async fn undo(federation: &Federation) {
    let kept = history(federation).await.expect("a list");
    let owner = &kept[0]["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["name"]), (&json!("Deployment"), &json!("web")));
    let mut template = kept[0]["spec"]["template"].clone();
    let labels = template["metadata"]["labels"].as_object_mut().expect("labels");
    assert!(labels.remove("pod-template-hash").is_some(), "{labels:?}");
    let path = "/apis/apps/v1/namespaces/default/deployments/web";
    let patch = json!([{"op": "replace", "path": "/spec/template", "value": template}]).to_string();
    let headers = [("content-type", "application/json-patch+json")];
    let reply = federation.wire().send(http::Method::PATCH, path, &headers, patch).await;
    assert_eq!(reply.code, 200, "{:?}", reply.body);
}
