//! Fields that may not change after creation: one table, and the `immutable` switch of ConfigMaps and Secrets.

use serde_json::Value;

use super::read::{at, deep};
use super::{frozen, job};
use crate::facts::Resource;
use crate::field::{FieldError, FieldPath};

/// (group, kind, dotted path, detail).
const IMMUTABLE: &[(&str, &str, &str, &str)] = &[
    ("", "Secret", "type", "field is immutable"),
    ("apps", "Deployment", "spec.selector", "field is immutable"),
    ("apps", "ReplicaSet", "spec.selector", "field is immutable"),
    ("apps", "DaemonSet", "spec.selector", "field is immutable"),
    ("batch", "Job", "spec.selector", "field is immutable"),
    ("batch", "Job", "spec.completionMode", "field is immutable"),
    ("networking.k8s.io", "IngressClass", "spec.controller", "field is immutable"),
    ("rbac.authorization.k8s.io", "RoleBinding", "roleRef", "cannot change roleRef"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", "roleRef", "cannot change roleRef"),
    ("storage.k8s.io", "StorageClass", "provisioner", "field is immutable"),
];

pub(super) fn check(resource: &Resource, new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let of_kind = |group: &str, kind: &str| *group == resource.group && *kind == resource.kind;
    for (_, _, path, detail) in IMMUTABLE.iter().filter(|(group, kind, _, _)| of_kind(group, kind)) {
        let (now, before) = (deep(new, path), deep(old, path));
        if now != before && !(before.is_null() && *path == "spec.completionMode") {
            errors.push(FieldError::invalid(&FieldPath::root(path), now.clone(), *detail));
        }
    }
    if of_kind("batch", "Job") {
        job::check_template(new, old, errors);
    }
    if of_kind("", "Service") {
        check_address(new, old, errors);
    }
    if resource.group == "apps" {
        check_collisions(at(new, "status"), at(old, "status"), errors);
    }
    // Most writes are of a status.
    if at(new, "spec") != at(old, "spec") {
        frozen::check(resource, new, old, errors);
    }
    if (of_kind("", "ConfigMap") || of_kind("", "Secret")) && at(old, "immutable") == &Value::Bool(true) {
        let names: &[&str] =
            if of_kind("", "Secret") { &["immutable", "data"] } else { &["immutable", "data", "binaryData"] };
        for name in names {
            if at(new, name) != at(old, name) {
                let detail = "field is immutable when `immutable` is set";
                errors.push(FieldError::forbidden(&FieldPath::root(name), detail));
            }
        }
    }
}

/// Names that were taken are counted up only.
fn check_collisions(now: &Value, before: &Value, errors: &mut Vec<FieldError>) {
    let count = |status: &Value| at(status, "collisionCount").as_i64();
    if let Some(before) = count(before)
        && count(now).is_none_or(|now| now < before)
    {
        let path = FieldPath::root("status.collisionCount");
        errors.push(FieldError::invalid(&path, count(now).unwrap_or(0), "cannot be decremented"));
    }
}

/// A Service keeps its address while its type has one.
fn check_address(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let external = |service: &Value| deep(service, "spec.type").as_str() == Some("ExternalName");
    let (now, before) = (deep(new, "spec.clusterIP"), deep(old, "spec.clusterIP"));
    let had = before.as_str().is_some_and(|ip| !ip.is_empty());
    if had && now != before && !external(new) && !external(old) {
        let path = FieldPath::root("spec.clusterIP");
        errors.push(FieldError::invalid(&path, now.clone(), "field is immutable"));
    }
}
