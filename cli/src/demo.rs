//! What `up --demo` applies: a Deployment, its Service and an Ingress.
//!
//! Plain objects, as a user would write them.

use std::time::Duration;

use federation_types::{Gvr, text};
use futures_util::StreamExt as _;
use hub_client::{ApiError, Collection, Hub, WatchEvent, WatchOptions, WriteOptions};
use serde_json::{Value, json};

/// The demo's objects in the order in which they are applied.
#[must_use]
pub fn objects() -> Vec<(Gvr, Value)> {
    let labels = json!({"app": "web"});
    vec![
        (
            Gvr::new("apps/v1", "deployments"),
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "default", "labels": labels},
                "spec": {"replicas": 6, "selector": {"matchLabels": labels}, "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "web", "image": "demo/web:1",
                        "ports": [{"name": "http", "containerPort": 8080}]}]}}},
            }),
        ),
        (
            Gvr::new("v1", "services"),
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "web", "namespace": "default", "labels": labels},
                "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
            }),
        ),
        (
            Gvr::new("networking.k8s.io/v1", "ingresses"),
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {"ingressClassName": "fedgate", "rules": [{"host": "web.localhost", "http": {"paths": [
                    {"path": "/", "pathType": "Prefix",
                        "backend": {"service": {"name": "web", "port": {"name": "http"}}}}]}}]},
            }),
        ),
    ]
}

/// Waits until every pod of the demo is Ready; false where that takes longer than `within`.
///
/// # Errors
/// As the hub answers.
pub async fn ready(hub: &Hub, within: Duration) -> Result<bool, ApiError> {
    let of = Collection::all(Gvr::new("apps/v1", "deployments")).within("default").with_fields("metadata.name=web");
    let arrived = |object: &Value| {
        let wanted = text::int_at(object, &["spec", "replicas"]);
        wanted.is_some() && text::int_at(object, &["status", "readyReplicas"]) == wanted
    };
    let follow = async {
        loop {
            let listed = hub.list(&of).await?;
            if listed.items.iter().any(arrived) {
                return Ok(());
            }
            let options = WatchOptions { revision: listed.revision, timeout: within };
            let mut events = std::pin::pin!(hub.watch(&of, &options).await?);
            while let Some(event) = events.next().await {
                if matches!(event?, WatchEvent::Put(object) if arrived(&object)) {
                    return Ok(());
                }
            }
        }
    };
    match tokio::time::timeout(within, follow).await {
        Ok(done) => done.map(|()| true),
        Err(_) => Ok(false),
    }
}

/// Applies the demo.
///
/// # Errors
/// As the hub answers.
pub async fn apply(hub: &Hub) -> Result<(), ApiError> {
    let how = WriteOptions { field_manager: "fedgate-demo", force: true, ..WriteOptions::default() };
    for (gvr, object) in objects() {
        hub.apply(&gvr, &object, &how).await?;
    }
    Ok(())
}
