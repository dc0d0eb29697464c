//! Controller: revision history at the hub, so that `kubectl rollout history` and `undo` work and roll every cluster.
//!
//! A Deployment's revisions are ReplicaSets, a StatefulSet's and DaemonSet's are ControllerRevisions, as upstream
//! labels and annotates them; they are owned by the template and never placed.

mod plan;

use std::sync::Arc;

use federation_types::{Gvr, text};
use hub_client::caller::At;
use hub_client::{Collection, DeleteOptions, ReconcileError, WriteOptions};
use serde_json::{Value, json};

use crate::bind::retry;
use crate::world::{TemplateKey, World};
use plan::{Action, REVISION};

/// Whether templates of this kind have revisions.
pub(crate) fn has_revisions(group: &str, kind: &str) -> bool {
    group == "apps" && matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet")
}

/// Brings the revisions of one template up to date.
pub(crate) async fn reconcile(world: Arc<World>, key: TemplateKey) -> Result<(), ReconcileError> {
    let Some(template) = world.hub.get(&key.gvr, &key.namespace, &key.name).await.map_err(retry)? else {
        // Garbage collection takes the revisions with their owner.
        return Ok(());
    };
    if text::at(&template, &["metadata", "deletionTimestamp"]).is_some() {
        return Ok(());
    }
    let revisions = Gvr::new("apps/v1", plan::resource(&template));
    let of = Collection::all(revisions.clone()).within(key.namespace.clone()).labelled(plan::selector(&template));
    let listed = world.hub.list(&of).await.map_err(retry)?;
    let uid = text::uid(&template);
    let owned: Vec<Value> = listed.items.into_iter().filter(|o| plan::is_owned_by(o, uid)).collect();
    for action in plan::plan(&template, &owned) {
        commit(&world, (&key, &revisions), action).await?;
    }
    Ok(())
}

async fn commit(world: &World, (key, revisions): (&TemplateKey, &Gvr), action: Action) -> Result<(), ReconcileError> {
    let hub = &world.hub;
    let how = WriteOptions::default();
    match action {
        Action::Create(object) => match hub.create(revisions, &key.namespace, &object).await {
            Ok(_) => {}
            Err(e) if e.is_already_exists() => {}
            Err(e) => return Err(retry(e)),
        },
        Action::Patch { name, patch } => {
            hub.merge_patch(At::new(revisions, &key.namespace, &name), &patch, &how).await.map_err(retry)?;
        }
        Action::Status { name, status } => {
            let how = WriteOptions { subresource: "status", ..how };
            let at = At::new(revisions, &key.namespace, &name);
            hub.merge_patch(at, &json!({ "status": status }), &how).await.map_err(retry)?;
        }
        Action::Number(revision) => {
            // Through the status, as upstream does: it is bookkeeping, not the user's wish.
            let how = WriteOptions { subresource: "status", ..how };
            let patch = json!({"metadata": {"annotations": {REVISION: revision.to_string()}}});
            hub.merge_patch(At::new(&key.gvr, &key.namespace, &key.name), &patch, &how).await.map_err(retry)?;
        }
        Action::Delete { name, uid } => {
            let how = DeleteOptions { uid: &uid, ..DeleteOptions::default() };
            hub.delete(At::new(revisions, &key.namespace, &name), &how).await.map_err(retry)?;
        }
    }
    Ok(())
}
