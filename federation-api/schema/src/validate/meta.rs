//! Metadata of every object: names by kind, labels, annotations, owners, finalizers, and what may not change.
//!
//! Source: `k8s.io/apimachinery/pkg/api/validation`.

use serde_json::Value;

use super::read::{at, invalid, list, map, text};
use crate::facts::Resource;
use crate::field::{FieldError, FieldPath, format};

/// Bytes of all annotations of an object, keys included.
const MAX_ANNOTATION_BYTES: usize = 256 * 1024;

/// What a kind accepts as names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    Subdomain,
    Label,
    Label1035,
    PathSegment,
    /// An IP address in its canonical form.
    Address,
}

/// Kinds whose names are not subdomains.
const NAME_RULES: &[(&str, &str, NameRule)] = &[
    ("", "Namespace", NameRule::Label),
    ("", "Service", NameRule::Label1035),
    ("apiregistration.k8s.io", "APIService", NameRule::PathSegment),
    ("fedgate.dev", "Cluster", NameRule::Label),
    ("networking.k8s.io", "IPAddress", NameRule::Address),
    ("rbac.authorization.k8s.io", "ClusterRole", NameRule::PathSegment),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", NameRule::PathSegment),
    ("rbac.authorization.k8s.io", "Role", NameRule::PathSegment),
    ("rbac.authorization.k8s.io", "RoleBinding", NameRule::PathSegment),
];

pub(super) fn rule(resource: &Resource) -> NameRule {
    let found = NAME_RULES.iter().find(|(group, kind, _)| *group == resource.group && *kind == resource.kind);
    found.map_or(NameRule::Subdomain, |(_, _, rule)| *rule)
}

impl NameRule {
    /// Every complaint; a `prefix` may end in a dash, since something follows it.
    pub fn errors(self, name: &str, prefix: bool) -> Vec<String> {
        let masked;
        let name = match name.strip_suffix('-') {
            Some(start) if prefix => {
                masked = format!("{start}a");
                &masked
            }
            _ => name,
        };
        match self {
            NameRule::Subdomain => format::dns_subdomain(name),
            NameRule::Label => format::dns_label(name),
            NameRule::Label1035 => format::dns_1035_label(name),
            NameRule::PathSegment => format::path_segment(name),
            NameRule::Address => address(name),
        }
    }
}

fn address(name: &str) -> Vec<String> {
    match name.parse::<std::net::IpAddr>() {
        Ok(address) if address.to_string() == name => Vec::new(),
        Ok(_) => vec!["not canonical form".to_owned()],
        Err(_) => vec!["not a valid ip address".to_owned()],
    }
}

pub(super) fn check(resource: &Resource, new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let path = FieldPath::root("metadata");
    let meta = at(new, "metadata");
    match old {
        None => check_names(resource, meta, &path, errors),
        Some(old) => check_unchanged(meta, at(old, "metadata"), &path, errors),
    }
    check_common(meta, &path, errors);
}

/// Metadata of an object within another: names are optional and need only fit into a path.
pub(super) fn check_embedded(meta: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let rule = NameRule::PathSegment;
    for (field, prefix) in [("generateName", true), ("name", false)] {
        let name = text(meta, field);
        if !name.is_empty() {
            invalid(errors, &path.child(field), name, rule.errors(name, prefix));
        }
    }
    let namespace = text(meta, "namespace");
    if !namespace.is_empty() {
        invalid(errors, &path.child("namespace"), namespace, format::dns_label(namespace));
    }
    if at(meta, "generation").as_i64().is_some_and(|generation| generation < 0) {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.child("generation"), at(meta, "generation").clone(), detail));
    }
    check_common(meta, path, errors);
}

fn check_common(meta: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    check_labels(meta, "labels", path, errors);
    check_annotations(meta, path, errors);
    check_owners(meta, path, errors);
    check_finalizers(meta, path, errors);
}

fn check_names(resource: &Resource, meta: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let rule = rule(resource);
    let (name, generate) = (text(meta, "name"), text(meta, "generateName"));
    if !generate.is_empty() {
        invalid(errors, &path.child("generateName"), generate, rule.errors(generate, true));
    }
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), "name or generateName is required"));
    } else {
        invalid(errors, &path.child("name"), name, rule.errors(name, false));
    }
    let (namespace, at) = (text(meta, "namespace"), path.child("namespace"));
    match (resource.namespaced, namespace.is_empty()) {
        (true, true) => errors.push(FieldError::required(&at, "")),
        (true, false) => invalid(errors, &at, namespace, format::dns_label(namespace)),
        (false, false) => errors.push(FieldError::forbidden(&at, "not allowed on this type")),
        (false, true) => {}
    }
}

fn check_unchanged(meta: &Value, old: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    for name in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        if at(meta, name) != at(old, name) {
            errors.push(FieldError::invalid(&path.child(name), at(meta, name).clone(), "field is immutable"));
        }
    }
    let generation = |meta: &Value| at(meta, "generation").as_i64().unwrap_or(0);
    if generation(meta) < generation(old) {
        let detail = "must not be decremented";
        errors.push(FieldError::invalid(&path.child("generation"), generation(meta), detail));
    }
    if !at(old, "deletionTimestamp").is_null() {
        let before = list(old, "finalizers");
        let mut added: Vec<String> = list(meta, "finalizers")
            .iter()
            .filter(|f| !before.contains(f))
            .filter_map(|f| f.as_str().map(|f| format!("{f:?}")))
            .collect();
        added.sort_unstable();
        added.dedup();
        if !added.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            errors.push(FieldError::forbidden(&path.child("finalizers"), detail));
        }
    }
}

/// Labels at `name` of any object that has some, e.g. a pod template.
pub(super) fn check_labels(value: &Value, name: &str, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let at = path.child(name);
    for (key, value) in map(value, name) {
        invalid(errors, &at, key, format::label_key(key));
        if let Some(text) = value.as_str() {
            invalid(errors, &at, text, format::label_value(text));
        }
    }
}

pub(super) fn check_annotations(meta: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let at = path.child("annotations");
    let mut size = 0;
    for (key, value) in map(meta, "annotations") {
        size += key.len() + value.as_str().map_or(0, str::len);
        invalid(errors, &at, key, format::label_key(&key.to_lowercase()));
    }
    if size > MAX_ANNOTATION_BYTES {
        errors.push(FieldError::too_long(&at, MAX_ANNOTATION_BYTES));
    }
}

fn check_owners(meta: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let at_list = path.child("ownerReferences");
    let mut controller: Option<String> = None;
    for (i, owner) in list(meta, "ownerReferences").iter().enumerate() {
        let path = at_list.index(i);
        for name in ["apiVersion", "kind", "name", "uid"] {
            if text(owner, name).is_empty() {
                errors.push(FieldError::required(&path.child(name), "must not be empty"));
            }
        }
        let version = text(owner, "apiVersion");
        if version.matches('/').count() > 1 || version.ends_with('/') {
            let detail = "must be <group>/<version> or <version>";
            errors.push(FieldError::invalid(&path.child("apiVersion"), version, detail));
        }
        if version == "v1" && text(owner, "kind") == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(&path, owner.clone(), detail));
        }
        if at(owner, "controller") == &Value::Bool(true) {
            let this = format!("{}/{}", text(owner, "kind"), text(owner, "name"));
            match &controller {
                None => controller = Some(this),
                Some(first) => {
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    );
                    errors.push(FieldError::invalid(&at_list, at(meta, "ownerReferences").clone(), detail));
                }
            }
        }
    }
}

fn check_finalizers(meta: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let at_list = path.child("finalizers");
    let finalizers = list(meta, "finalizers");
    for finalizer in finalizers.iter().filter_map(Value::as_str) {
        invalid(errors, &at_list, finalizer, format::label_key(finalizer));
    }
    let has = |name: &str| finalizers.iter().any(|f| f.as_str() == Some(name));
    if has("orphan") && has("foregroundDeletion") {
        let detail = "finalizer foregroundDeletion and orphan cannot be both set";
        errors.push(FieldError::invalid(&at_list, at(meta, "finalizers").clone(), detail));
    }
}
