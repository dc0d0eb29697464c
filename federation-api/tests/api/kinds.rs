//! What differs from kind to kind: which updates have to name a revision, what a JSON patch sees, what is published.

use serde_json::json;

use crate::hub::Hub;

/// Protocol: C4
#[tokio::test]
async fn some_kinds_are_only_updated_at_a_revision() {
    let hub = Hub::start().await;
    let path = "/apis/node.k8s.io/v1/runtimeclasses";
    let class =
        json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "x"}, "handler": "h"});
    let made = hub.post(path, &class).await.expect(201);
    let (reason, message) = hub.put(&format!("{path}/x"), &class).await.refused(422);
    assert_eq!(reason, "Invalid");
    assert_eq!(
        message,
        "runtimeclasses.node.k8s.io \"x\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    );
    hub.put(&format!("{path}/x"), &made).await.expect(200);
}

/// Protocol: P2, SR1
#[tokio::test]
async fn a_json_patch_may_add_below_what_go_prints_empty() {
    let hub = Hub::start().await;
    let path = "/apis/storagemigration.k8s.io/v1/storageversionmigrations";
    let object = json!({"apiVersion": "storagemigration.k8s.io/v1", "kind": "StorageVersionMigration",
        "metadata": {"name": "m"}, "spec": {"resource": {"group": "apps", "resource": "deployments"}}});
    hub.post(path, &object).await.expect(201);
    let condition = json!([{"type": "Running", "status": "True", "reason": "R", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    let patch = json!([{"op": "add", "path": "/status/conditions", "value": condition}]);
    let patched = hub.patch(&format!("{path}/m/status"), "json-patch+json", &patch).await.expect(200);
    assert_eq!(patched["status"]["conditions"][0]["type"], "Running");
    let patch = json!([{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]);
    let patched = hub.patch(&format!("{path}/m"), "json-patch+json", &patch).await.expect(200);
    assert_eq!(patched["metadata"]["labels"], json!({"a": "b"}));
}
