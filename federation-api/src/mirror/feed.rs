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
    fn show(&self, mut object: Value) -> Option<String> {
        self.seen.tally.put(self.kind, &object);
        let key = Kind::key(&object, &self.cluster);
        if self.kind.folds(&object) || is_marker(&key) {
            remove(&self.ring, &key);
            return None;
        }
        self.kind.rename(&mut object, &self.cluster);
        let json = object.to_string();
        let same =
            self.ring.get(&key).is_some_and(|entry| entry.stored() != 0 || entry.without_revision() == json.as_bytes());
        if !same {
            self.ring.put(&key, json.as_bytes(), 0);
        }
        Some(key)
    }
}

/// Takes everything of a cluster out of a ring: it is no longer registered.
pub(super) fn clear(ring: &ResourceCache, cluster: &ClusterName) {
    for key in keys(ring, cluster) {
        remove(ring, &key);
    }
}

fn keys(ring: &ResourceCache, cluster: &ClusterName) -> HashSet<String> {
    let tail = format!(".{cluster}");
    let snapshot = ring.snapshot();
    let mirrored = snapshot.range(&Scope::All, "").filter(|entry| entry.stored() == 0);
    mirrored.map(|entry| entry.key()).filter(|key| key.ends_with(&tail) && !is_marker(key)).map(str::to_owned).collect()
}

/// Removes what the mirror has put there, nothing that is stored, and no marker.
fn remove(ring: &ResourceCache, key: &str) {
    if !is_marker(key) && ring.get(key).is_some_and(|entry| entry.stored() == 0) {
        ring.remove(key, 0);
    }
}

/// Marker slices are the mirror's own: no object of a member can stand in for one.
fn is_marker(key: &str) -> bool {
    let name = key.strip_prefix(federation_types::label::SYSTEM_NAMESPACE).and_then(|rest| rest.strip_prefix('/'));
    name.is_some_and(|name| name.strip_prefix("mirrored.").is_some_and(|cluster| !cluster.contains('.')))
}

impl Sink for Feed {
    fn replace(&self, objects: Vec<Value>) {
        let mut absent = keys(&self.ring, &self.cluster);
        self.seen.tally.clear(self.kind);
        for object in objects {
            if let Some(key) = self.show(object) {
                absent.remove(&key);
            }
        }
        for key in absent {
            remove(&self.ring, &key);
        }
        self.seen.completed(self.index);
    }

    fn put(&self, object: Value) {
        self.show(object);
    }

    fn remove(&self, object: &Value) {
        self.seen.tally.remove(self.kind, object);
        remove(&self.ring, &Kind::key(object, &self.cluster));
    }

    fn live(&self, problem: Option<&ApiError>) {
        if let Some(error) = problem {
            tracing::debug!(cluster = %self.cluster, error = %error, "a mirror's watch was lost");
        }
    }
}
