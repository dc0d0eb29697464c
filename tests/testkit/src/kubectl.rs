//! What a person does with kubectl, in as few words: objects are named `name` (in `default`) or `namespace/name`.
//!
//! Panics with the server's own words where it refuses; [`Kubectl::caller`] is there for those who expect that.

use federation_types::{Gvr, text};
use hub_client::{At, Caller, Collection, DeleteOptions, WriteOptions};
use serde_json::{Value, json};

use crate::objects;

/// A connection to an API server, as somebody.
#[derive(Clone)]
pub struct Kubectl {
    pub caller: Caller,
}

impl Kubectl {
    /// Over an existing connection.
    #[must_use]
    pub fn new(caller: Caller) -> Self {
        Self { caller }
    }

    /// Server-side apply, by force.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn apply(&self, object: &Value) -> Value {
        let how = WriteOptions { field_manager: "journey", force: true, ..WriteOptions::default() };
        let applied = self.caller.apply(&objects::resource_of(object), object, &how).await;
        applied.unwrap_or_else(|e| panic!("apply {}: {e}", text::name(object)))
    }

    /// The object, if it is there.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn find(&self, resource: &str, name: &str) -> Option<Value> {
        let (gvr, namespace, name) = place(resource, name);
        let found = self.caller.get(&gvr, namespace, name).await;
        found.unwrap_or_else(|e| panic!("get {resource} {name}: {e}"))
    }

    /// The object, for [`crate::eventually`].
    ///
    /// # Errors
    /// Where it is not there or there is no answer.
    pub async fn get(&self, resource: &str, name: &str) -> Result<Value, String> {
        let (gvr, namespace, name) = place(resource, name);
        let found = self.caller.get(&gvr, namespace, name).await.map_err(|e| format!("get {resource} {name}: {e}"))?;
        found.ok_or_else(|| format!("no {resource} {name}"))
    }

    /// That the object is not there, for [`crate::eventually`].
    ///
    /// # Errors
    /// Where it is there or there is no answer.
    pub async fn gone(&self, resource: &str, name: &str) -> Result<(), String> {
        let (gvr, namespace, name) = place(resource, name);
        match self.caller.get(&gvr, namespace, name).await {
            Ok(None) => Ok(()),
            Ok(Some(object)) => Err(format!("{resource} {name} is there: {}", object["metadata"])),
            Err(e) => Err(format!("get {resource} {name}: {e}")),
        }
    }

    /// All objects of a resource in all namespaces, with these labels (`""` for all).
    ///
    /// # Errors
    /// Where the server refuses.
    pub async fn list(&self, resource: &str, labels: &str) -> Result<Vec<Value>, String> {
        let of = Collection::all(objects::resource(resource)).labelled(labels);
        self.caller.list(&of).await.map(|listed| listed.items).map_err(|e| format!("list {resource}: {e}"))
    }

    /// Merge patch.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn patch(&self, resource: &str, name: &str, patch: &Value) -> Value {
        let (gvr, namespace, name) = place(resource, name);
        let at = At::new(&gvr, namespace, name);
        let patched = self.caller.merge_patch(at, patch, &WriteOptions::default()).await;
        patched.unwrap_or_else(|e| panic!("patch {resource} {name}: {e}"))
    }

    /// Sets an annotation.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn annotate(&self, resource: &str, name: &str, annotation: (&str, &str)) -> Value {
        let mut patch = json!({});
        patch["metadata"]["annotations"][annotation.0] = annotation.1.into();
        self.patch(resource, name, &patch).await
    }

    /// Deletes the object in the background.
    ///
    /// # Panics
    /// Where the server refuses, or there is nothing to delete.
    pub async fn delete(&self, resource: &str, name: &str) {
        let (gvr, namespace, name) = place(resource, name);
        let how = DeleteOptions { propagation: "Background", ..DeleteOptions::default() };
        let deleted = self.caller.delete(At::new(&gvr, namespace, name), &how).await;
        let deleted = deleted.unwrap_or_else(|e| panic!("delete {resource} {name}: {e}"));
        assert!(deleted.is_some(), "no {resource} {name} to delete");
    }
}

fn place<'a>(resource: &str, name: &'a str) -> (Gvr, &'a str, &'a str) {
    let gvr = objects::resource(resource);
    match name.split_once('/') {
        Some((namespace, name)) => (gvr, namespace, name),
        None if objects::is_namespaced(resource) => (gvr, "default", name),
        None => (gvr, "", name),
    }
}
