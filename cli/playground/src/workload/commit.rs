//! The actions that plans consist of, and how they are carried out.
//!
//! Knows no kinds. What is already so (exists, gone) counts as done.

use federation_types::{Gvr, text};
use hub_client::{At, Caller, DeleteOptions, ReconcileError, WriteOptions};
use serde_json::{Value, json};

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Create(Gvr, Value),
    Delete(Gvr, Value),
    /// Merge patch of `spec` and metadata of another object.
    Patch(Gvr, Value, Value),
    /// The whole `status` of the object that is reconciled.
    Status(Value),
}

/// Carries out `actions` for `object`.
///
/// # Errors
/// The first write that fails.
pub async fn commit(api: &Caller, gvr: &Gvr, object: &Value, actions: Vec<Action>) -> Result<(), ReconcileError> {
    let namespace = text::namespace(object);
    for action in actions {
        match action {
            Action::Create(of, new) => match api.create(&of, namespace, &new).await {
                Ok(_) => {}
                Err(e) if e.is_already_exists() => {}
                Err(e) => return Err(e.into()),
            },
            Action::Delete(of, old) => {
                let how = DeleteOptions { uid: text::uid(&old), propagation: "Background", ..DeleteOptions::default() };
                match api.delete(At::new(&of, namespace, text::name(&old)), &how).await {
                    Ok(_) => {}
                    Err(e) if e.is_conflict() => {}
                    Err(e) => return Err(e.into()),
                }
            }
            Action::Patch(of, old, patch) => {
                api.merge_patch(At::new(&of, namespace, text::name(&old)), &patch, &WriteOptions::default()).await?;
            }
            Action::Status(status) => {
                if object.get("status") != Some(&status) {
                    let how = WriteOptions { subresource: "status", ..WriteOptions::default() };
                    let at = At::new(gvr, namespace, text::name(object));
                    api.merge_patch(at, &json!({"status": status}), &how).await?;
                }
            }
        }
    }
    Ok(())
}
