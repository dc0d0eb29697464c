//! Controller: Placement → its own condition `Resolved`, which names what it asks for and what is not there.
//!
//! Says it to whoever wrote the Placement; what becomes of each template stands in its binding.

use std::sync::Arc;

use federation_types::Placement;
use federation_types::condition::{self, Condition};
use hub_client::caller::At;
use hub_client::{ReconcileError, WriteOptions};
use serde_json::json;

use crate::bind::retry;
use crate::clock;
use crate::schedule::{filter, refusal};
use crate::world::{World, ours};

/// Namespace (empty for ClusterPlacements) and name.
pub(crate) type Policied = (String, String);

/// Brings the condition of one Placement or ClusterPlacement up to date.
pub(crate) async fn reconcile(world: Arc<World>, (namespace, name): Policied) -> Result<(), ReconcileError> {
    let gvr = ours(if namespace.is_empty() { "clusterplacements" } else { "placements" });
    let Some(object) = world.hub.get(&gvr, &namespace, &name).await.map_err(retry)? else { return Ok(()) };
    let placement: Placement =
        serde_json::from_value(object).map_err(|e| ReconcileError::Reject(format!("{gvr} {namespace}/{name}: {e}")))?;
    let mut status = placement.status.clone().unwrap_or_default();
    let mut verdict = resolved(&world, &placement);
    verdict.observed_generation = placement.metadata.generation;
    if !condition::set(&mut status.conditions, verdict, &clock::now()) {
        return Ok(());
    }
    let how = WriteOptions { subresource: "status", ..WriteOptions::default() };
    let at = At::new(&gvr, &namespace, &name);
    let answer = world.hub.merge_patch(at, &json!({ "status": status }), &how).await;
    match answer {
        Err(e) if !e.is_not_found() => Err(retry(e)),
        _ => Ok(()),
    }
}

fn resolved(world: &World, placement: &Placement) -> Condition {
    if let Some(refused) = refusal(&placement.spec) {
        return Condition::new("Resolved", Some(false), "NotSupported", refused);
    }
    let unknown = filter::unknown(&placement.spec.clusters, &world.facts());
    if !unknown.is_empty() {
        let message = format!("unknown cluster {}; the others are used", unknown.join(", "));
        return Condition::new("Resolved", Some(false), "UnknownCluster", message);
    }
    Condition::new("Resolved", Some(true), "AllKnown", "every cluster that it names is a member")
}
