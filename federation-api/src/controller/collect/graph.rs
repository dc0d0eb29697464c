//! Who owns whom, by uid, and whom to look at when somebody comes, changes or goes.
//!
//! Holds what the watches said, which may be behind; it decides nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use federation_types::Gvr;
use federation_types::text::{list_at, name, namespace, str_at, uid};
use serde_json::Value;

use super::plan::{FOREGROUND, ORPHAN};

/// `metadata.uid`.
pub(super) type Uid = Arc<str>;

/// The metadata of one stored object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) uid: Uid,
    pub(super) gvr: Arc<Gvr>,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) owners: Box<[Owner]>,
    pub(super) deleting: bool,
    /// Being deleted and waiting for its dependents to be deleted.
    pub(super) foreground: bool,
    /// Being deleted and waiting for its dependents to be released.
    pub(super) orphan: bool,
}

/// One owner reference.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Owner {
    pub(super) uid: Uid,
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    /// Whether the owner, deleted in the foreground, waits for this object.
    pub(super) blocks: bool,
}

/// All objects, and for each owner its dependents.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<Uid, Arc<Node>>,
    /// Also for owners that are no nodes; by uid, so that the order is always the same.
    dependents: HashMap<Uid, BTreeMap<Uid, Arc<Node>>>,
}

impl Node {
    /// `None` for what has no uid and so cannot be owned or deleted safely.
    pub(super) fn of(gvr: &Arc<Gvr>, object: &Value) -> Option<Self> {
        let own = uid(object);
        if own.is_empty() {
            return None;
        }
        let deleting = !object["metadata"]["deletionTimestamp"].is_null();
        let has = |finalizer: &str| list_at(object, &["metadata", "finalizers"]).any(|one| one == finalizer);
        Some(Self {
            uid: own.into(),
            gvr: gvr.clone(),
            namespace: namespace(object).to_owned(),
            name: name(object).to_owned(),
            owners: owners(object).collect(),
            deleting,
            foreground: deleting && has(FOREGROUND),
            orphan: deleting && has(ORPHAN),
        })
    }

    pub(super) fn is_blocking(&self, owner: &Uid) -> bool {
        self.owners.iter().any(|own| own.uid == *owner && own.blocks)
    }
}

/// The owner references of an object.
pub(super) fn owners(object: &Value) -> impl Iterator<Item = Owner> {
    list_at(object, &["metadata", "ownerReferences"]).map(|reference| Owner {
        uid: str_at(reference, &["uid"]).into(),
        api_version: str_at(reference, &["apiVersion"]).to_owned(),
        kind: str_at(reference, &["kind"]).to_owned(),
        name: str_at(reference, &["name"]).to_owned(),
        blocks: reference["blockOwnerDeletion"] == Value::Bool(true),
    })
}

impl Graph {
    pub(super) fn get(&self, uid: &Uid) -> Option<Arc<Node>> {
        self.nodes.get(uid).cloned()
    }

    pub(super) fn dependents(&self, owner: &Uid) -> Vec<Arc<Node>> {
        self.dependents.get(owner).map_or_else(Vec::new, |dependents| dependents.values().cloned().collect())
    }

    /// Takes the new state of an object in; gives those to look at.
    pub(super) fn put(&mut self, node: Arc<Node>) -> Vec<Uid> {
        let old = self.nodes.insert(node.uid.clone(), node.clone());
        let mut touched = Vec::new();
        for owner in old.iter().flat_map(|old| &*old.owners) {
            if !node.owners.iter().any(|kept| kept.uid == owner.uid) {
                self.detach(&owner.uid, &node.uid);
            }
            // An owner may have waited for just this reference, or for its blocking.
            touched.extend(self.waiting(&owner.uid));
        }
        for owner in &node.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(node.uid.clone(), node.clone());
        }
        let changed = old.as_ref().is_none_or(|old| old.owners != node.owners);
        if node.foreground || node.orphan || (changed && !node.deleting && self.is_suspect(&node)) {
            touched.push(node.uid.clone());
        }
        touched
    }

    /// Takes an object out; gives those to look at.
    pub(super) fn remove(&mut self, uid: &Uid) -> Vec<Uid> {
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        let mut touched = Vec::new();
        for owner in &node.owners {
            self.detach(&owner.uid, uid);
            touched.extend(self.waiting(&owner.uid));
        }
        touched.extend(self.dependents.get(uid).into_iter().flat_map(|dependents| dependents.keys().cloned()));
        touched
    }

    /// Objects with an owner that is not among the nodes, or that takes its dependents along; and owners that wait.
    pub(super) fn suspects(&self) -> Vec<Uid> {
        let suspect = |node: &&Arc<Node>| node.foreground || node.orphan || self.is_suspect(node);
        self.nodes.values().filter(suspect).map(|node| node.uid.clone()).collect()
    }

    fn is_suspect(&self, node: &Node) -> bool {
        let elsewhere = |owner: &Node| !owner.namespace.is_empty() && owner.namespace != node.namespace;
        let doubtful = |owner: &Arc<Node>| owner.foreground || elsewhere(owner);
        node.owners.iter().any(|owner| self.nodes.get(&owner.uid).is_none_or(doubtful))
    }

    fn waiting(&self, owner: &Uid) -> Option<Uid> {
        self.nodes.get(owner).filter(|owner| owner.foreground).map(|owner| owner.uid.clone())
    }

    fn detach(&mut self, owner: &Uid, dependent: &Uid) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }
}

#[cfg(test)]
mod tests;
