//! From a template to the manifest for one member: strip, set replicas, override, mark as ours, hash.
//!
//! Pure. What the hub invented never travels; what one API server hands out and a user wrote is refused by name.

mod hash;
mod image;
mod overrides;
mod range;
mod strip;

use federation_types::{Override, label, text};
use serde_json::{Value, json};

pub use hash::{content_hash, short_hash};
pub use overrides::overrides_for;
pub use range::IpRange;

use crate::interpret;
use crate::schedule::ClusterFacts;

/// Why a template has no manifest for a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A field that names something of one cluster.
    #[error("{field}: {reason}; it does not travel to members")]
    Refused { field: String, reason: String },
    /// An override that cannot be applied.
    #[error("{source_name}: rules[{rule}]: {reason}")]
    Override { source_name: String, rule: usize, reason: String },
}

/// What is rendered.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub template: &'a Value,
    /// In the order in which they apply, see [`overrides_for`].
    pub overrides: &'a [&'a Override],
    pub hub_uid: &'a str,
    /// Addresses that the hub gave to Services on its own.
    pub hub_range: &'a IpRange,
}

/// Whom it is rendered for.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub facts: &'a ClusterFacts,
    pub replicas: Option<u64>,
    /// An autoscaler of the member owns the replica count: we do not write it.
    pub autoscaled: bool,
}

/// The object for one member, without what changes at each apply.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    object: Value,
    /// Hash of the content; equal content has equal hashes on every member.
    pub hash: String,
}

/// What an apply carries beside the content.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stamp<'a> {
    pub epoch: u64,
    /// UID that the object in the member has; empty where it is not known to be there.
    pub uid: &'a str,
    pub resource_version: &'a str,
}

/// Renders `source` for `target`.
///
/// # Errors
/// Names the field that must not travel, or the override that does not apply.
pub fn render(source: &Source<'_>, target: &Target<'_>) -> Result<Manifest, RenderError> {
    let gvk = interpret::gvk(source.template);
    let mut object = strip::strip(&gvk, source.template, source.hub_range)?;
    if let Some(path) = interpret::replicas_path(&gvk) {
        match target.replicas.filter(|_| !target.autoscaled) {
            Some(replicas) => set(&mut object, path, replicas.into()),
            None if target.autoscaled => remove(&mut object, path),
            None => {}
        }
    }
    for one in source.overrides {
        object = overrides::apply(&gvk, object, one, target.facts)?;
    }
    mark(&mut object, source);
    let hash = content_hash(&object);
    Ok(Manifest { object, hash })
}

fn mark(object: &mut Value, source: &Source<'_>) {
    object["metadata"]["labels"][label::HUB] = source.hub_uid.into();
    object["metadata"]["labels"][label::TEMPLATE_UID] = text::uid(source.template).into();
}

impl Manifest {
    /// The object as it is sent: marked with epoch and hash, and with the preconditions of `stamp`.
    #[must_use]
    pub fn stamped(&self, stamp: Stamp<'_>) -> Value {
        let mut object = self.object.clone();
        let meta = &mut object["metadata"];
        meta["annotations"][label::EPOCH] = stamp.epoch.to_string().into();
        meta["annotations"][label::HASH] = self.hash.clone().into();
        for (key, value) in [("uid", stamp.uid), ("resourceVersion", stamp.resource_version)] {
            if !value.is_empty() {
                meta[key] = value.into();
            }
        }
        object
    }

    /// The object without epoch, hash and preconditions.
    #[must_use]
    pub fn object(&self) -> &Value {
        &self.object
    }
}

/// The namespace that a namespaced manifest needs, as we create it where there is none.
#[must_use]
pub fn namespace_manifest(name: &str, template_uid: &str, hub_uid: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {label::HUB: hub_uid, label::TEMPLATE_UID: template_uid}},
    })
}

/// Sets the value at `path`, making objects on the way.
fn set(object: &mut Value, path: &[&str], value: Value) {
    let mut at = object;
    for key in path {
        at = &mut at[*key];
    }
    *at = value;
}

/// Removes the field at `path`, if it is there.
fn remove(object: &mut Value, path: &[&str]) {
    let Some((last, way)) = path.split_last() else { return };
    let parent = way.iter().try_fold(object, |at, key| at.get_mut(*key));
    if let Some(fields) = parent.and_then(Value::as_object_mut) {
        fields.remove(*last);
    }
}

#[cfg(test)]
mod tests;
