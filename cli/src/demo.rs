//! What `up --demo` applies: a Deployment, its Service and an Ingress.
//!
//! Plain objects, as a user would write them.

use federation_types::Gvr;
use hub_client::{ApiError, Hub, WriteOptions};
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
