//! Events about owners that cannot be owners: in another namespace than what they are said to own.
//!
//! Source: upstream's `pkg/controller/garbagecollector/graph_builder.go`.

use federation_types::Gvr;
use hub_client::Hub;
use jiff::Timestamp;
use serde_json::json;

use super::graph::{Node, Owner};

/// Tells that an owner's namespace is not that of its dependent; at most once an hour each, by the event's name.
pub(super) async fn wrong_namespace(hub: &Hub, node: &Node, kind: &str, owner: &Owner) {
    let whose = if node.namespace.is_empty() { "default" } else { &node.namespace };
    let message = format!(
        "ownerRef [{}/{}, namespace: {}, name: {}, uid: {}] does not exist in namespace {:?}",
        owner.api_version, owner.kind, node.namespace, owner.name, owner.uid, node.namespace
    );
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": format!("{}.{}", node.name, node.uid), "namespace": whose},
        "involvedObject": {"apiVersion": node.gvr.api_version(), "kind": kind, "namespace": node.namespace, "name": node.name, "uid": &*node.uid},
        "reason": "OwnerRefInvalidNamespace", "message": message, "type": "Warning", "count": 1,
        "firstTimestamp": now, "lastTimestamp": now,
        "source": {"component": "garbage-collector-controller"}, "reportingComponent": "garbage-collector-controller",
    });
    match hub.create(&Gvr::new("v1", "events"), whose, &event).await {
        Ok(_) => {}
        Err(error) if error.is_already_exists() => {}
        Err(error) => tracing::warn!(%error, "an event cannot be written"),
    }
}
