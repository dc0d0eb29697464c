//! From one member's watch of one resource into the hub's ring of it.
//!
//! Touches only keys that end in the member's name.

use std::collections::HashSet;
use std::sync::Arc;

use federation_types::ClusterName;
use hub_client::{ApiError, Sink};
use serde_json::Value;

use super::Seen;
use super::rename::Kind;
use crate::cache::{ResourceCache, Scope};

/// Feeds one resource of one member.
pub(super) struct Feed {
    pub(super) cluster: ClusterName,
    pub(super) ring: Arc<ResourceCache>,
    pub(super) kind: Kind,
    /// Place in [`super::MIRRORED`].
    pub(super) index: usize,
    pub(super) seen: Arc<Seen>,
}

impl Feed {
    /// Takes everything of the member out: it is no longer registered.
    pub(super) fn clear(&self) {
        for key in self.keys() {
            self.ring.remove(&key, 0);
        }
    }

    fn keys(&self) -> HashSet<String> {
        let tail = format!(".{}", self.cluster);
        let snapshot = self.ring.snapshot();
        let mirrored = snapshot.range(&Scope::All, "").filter(|entry| entry.stored() == 0);
        mirrored.map(|entry| entry.key()).filter(|key| key.ends_with(&tail) && !is_marker(key)).map(str::to_owned).collect()
    }

    fn show(&self, mut object: Value) -> Option<String> {
        self.seen.tally.put(self.kind, &object);
        if self.kind.folds(&object) {
            return None;
        }
        let key = Kind::key(&object, &self.cluster);
        self.kind.rename(&mut object, &self.cluster);
        let json = object.to_string();
        let same = self.ring.get(&key).is_some_and(|entry| entry.stored() != 0 || entry.without_revision() == json.as_bytes());
        if !same {
            self.ring.put(&key, json.as_bytes(), 0);
        }
        Some(key)
    }
}

/// Marker slices are the mirror's own, not the member's.
fn is_marker(key: &str) -> bool {
    key.starts_with(federation_types::label::SYSTEM_NAMESPACE) && key.contains("/mirrored.")
}

impl Sink for Feed {
    fn replace(&self, objects: Vec<Value>) {
        let mut absent = self.keys();
        self.seen.tally.clear(self.kind);
        for object in objects {
            if let Some(key) = self.show(object) {
                absent.remove(&key);
            }
        }
        for key in absent {
            self.ring.remove(&key, 0);
        }
        self.seen.completed(self.index);
    }

    fn put(&self, object: Value) {
        self.show(object);
    }

    fn remove(&self, object: &Value) {
        self.seen.tally.remove(self.kind, object);
        self.ring.remove(&Kind::key(object, &self.cluster), 0);
    }

    fn live(&self, problem: Option<&ApiError>) {
        if let Some(error) = problem {
            tracing::debug!(cluster = %self.cluster, error = %error, "a mirror's watch was lost");
        }
    }
}
