//! Custom kinds: from a stored CustomResourceDefinition to a kind that is served like a built-in one.
//!
//! [`definition`] reads a definition, [`status`] says what its status should be (pure), [`keeper`] writes that and empties
//! what is being deleted. [`seen`] shows stored objects in the version that is asked for. Schemas are the schema crate's; verbs only see a [`Kind`](crate::kinds::Kind).

pub(crate) mod convert;
pub(crate) mod definition;
pub(crate) mod keeper;
pub(crate) mod names;
pub(crate) mod scale;
pub(crate) mod seen;
pub(crate) mod status;
pub(crate) mod version;
pub(crate) mod webhook;

use serde_json::Value;

use crate::object;

/// The group of definitions.
pub(crate) const GROUP: &str = "apiextensions.k8s.io";
/// The plural name of definitions.
pub(crate) const PLURAL: &str = "customresourcedefinitions";
/// Where definitions are stored.
pub(crate) const STORAGE: &str = "apiextensions.k8s.io/customresourcedefinitions";
/// The finalizer that holds a definition until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// What there is to say to finalizers that a write adds to an object of a custom kind.
///
/// Source: k8s.io/apiextensions-apiserver `pkg/registry/customresource/validator.go`.
pub(crate) fn finalizer_warnings(old: Option<&Value>, new: &Value) -> Vec<String> {
    let before = old.map(object::finalizers).unwrap_or_default();
    let standard = ["orphan", "foregroundDeletion", "kubernetes"];
    let mut added = object::finalizers(new);
    added.retain(|name| !before.contains(name) && !name.contains('/') && !standard.contains(&name.as_str()));
    added.sort();
    added.dedup();
    let told = |name: String| {
        let with = if name.contains('.') { " including a path (/)" } else { "" };
        let why = "to avoid accidental conflicts with other finalizer writers";
        format!("metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name{with} {why}")
    };
    added.into_iter().map(told).collect()
}

/// Whether objects of this kind are definitions.
pub(crate) fn is_definition(kind: &federation_schema::facts::Resource) -> bool {
    kind.group == GROUP && kind.plural == PLURAL
}
