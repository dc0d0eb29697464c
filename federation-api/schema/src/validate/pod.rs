//! Pods and pod templates: containers, ports, variables, volumes, resources.

use std::collections::BTreeSet;

use serde_json::Value;

use super::env::check_source;
use super::meta::{check_annotations, check_labels};
use super::read::{at, invalid, list, map, one_of, text};
use crate::field::{FieldError, FieldPath, format};
use crate::quantity::Quantity;

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const RESTART_POLICIES: &[&str] = &["Always", "OnFailure", "Never"];

pub(super) fn check_pod(new: &Value, errors: &mut Vec<FieldError>) {
    check_spec(at(new, "spec"), &[], &FieldPath::root("spec"), errors);
}

/// A pod template at `path`; its Pods get volumes of the names `claims`, too.
pub(super) fn check_template(template: &Value, claims: &[&str], path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let (meta, at_meta) = (at(template, "metadata"), path.child("metadata"));
    check_labels(meta, "labels", &at_meta, errors);
    check_annotations(meta, &at_meta, errors);
    check_spec(at(template, "spec"), claims, &path.child("spec"), errors);
}

fn check_spec(spec: &Value, claims: &[&str], path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let mut volumes = check_volumes(spec, path, errors);
    volumes.extend(claims);
    let mut names = BTreeSet::new();
    let at_containers = path.child("containers");
    if list(spec, "containers").is_empty() {
        errors.push(FieldError::required(&at_containers, ""));
    }
    for (list_name, at_list) in [("containers", at_containers), ("initContainers", path.child("initContainers"))] {
        for (i, container) in list(spec, list_name).iter().enumerate() {
            let at_item = at_list.index(i);
            let name = text(container, "name");
            if !name.is_empty() && !names.insert(name) {
                errors.push(FieldError::duplicate(&at_item.child("name"), name));
            }
            check_container(container, &volumes, &at_item, errors);
        }
    }
    one_of(errors, &path.child("restartPolicy"), text(spec, "restartPolicy"), RESTART_POLICIES);
    check_labels(spec, "nodeSelector", path, errors);
    let account = text(spec, "serviceAccountName");
    if !account.is_empty() {
        invalid(errors, &path.child("serviceAccountName"), account, format::dns_subdomain(account));
    }
}

fn check_volumes<'v>(spec: &'v Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) -> BTreeSet<&'v str> {
    let at_list = path.child("volumes");
    let mut names = BTreeSet::new();
    for (i, volume) in list(spec, "volumes").iter().enumerate() {
        let path = at_list.index(i);
        let (name, at_name) = (text(volume, "name"), path.child("name"));
        if name.is_empty() {
            errors.push(FieldError::required(&at_name, ""));
        } else {
            invalid(errors, &at_name, name, format::dns_label(name));
        }
        if !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::duplicate(&at_name, name));
        }
        let sources = volume.as_object().map_or(0, |fields| fields.values().filter(|v| v.is_object()).count());
        if sources > 1 {
            errors.push(FieldError::forbidden(&path, "may not specify more than 1 volume type"));
        }
    }
    names
}

fn check_container(container: &Value, volumes: &BTreeSet<&str>, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let (name, at_name) = (text(container, "name"), path.child("name"));
    if name.is_empty() {
        errors.push(FieldError::required(&at_name, ""));
    } else {
        invalid(errors, &at_name, name, format::dns_label(name));
    }
    if text(container, "image").is_empty() {
        errors.push(FieldError::required(&path.child("image"), ""));
    }
    let pull = text(container, "imagePullPolicy");
    one_of(errors, &path.child("imagePullPolicy"), pull, &["Always", "IfNotPresent", "Never"]);
    check_ports(container, path, errors);
    let at_env = path.child("env");
    for (i, variable) in list(container, "env").iter().enumerate() {
        let (name, at_item) = (text(variable, "name"), at_env.index(i));
        if name.is_empty() {
            errors.push(FieldError::required(&at_item.child("name"), ""));
        } else {
            invalid(errors, &at_item.child("name"), name, format::env_name(name));
        }
        check_source(variable, &at_item, errors);
    }
    let at_mounts = path.child("volumeMounts");
    for (i, mount) in list(container, "volumeMounts").iter().enumerate() {
        let (name, at_item) = (text(mount, "name"), at_mounts.index(i));
        if name.is_empty() {
            errors.push(FieldError::required(&at_item.child("name"), ""));
        } else if !volumes.contains(name) {
            errors.push(FieldError::not_found(&at_item.child("name"), name));
        }
        if text(mount, "mountPath").is_empty() {
            errors.push(FieldError::required(&at_item.child("mountPath"), ""));
        }
    }
    check_resources(at(container, "resources"), &path.child("resources"), errors);
}

fn check_ports(container: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let at_list = path.child("ports");
    let mut names = BTreeSet::new();
    for (i, port) in list(container, "ports").iter().enumerate() {
        let path = at_list.index(i);
        let name = text(port, "name");
        if !name.is_empty() {
            invalid(errors, &path.child("name"), name, format::port_name(name));
            if !names.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
        }
        match at(port, "containerPort").as_i64().unwrap_or(0) {
            0 => errors.push(FieldError::required(&path.child("containerPort"), "")),
            number => {
                for complaint in format::port_number(number) {
                    errors.push(FieldError::invalid(&path.child("containerPort"), number, complaint));
                }
            }
        }
        one_of(errors, &path.child("protocol"), text(port, "protocol"), PROTOCOLS);
    }
}

fn check_resources(resources: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    for name in ["limits", "requests"] {
        let at_list = path.child(name);
        for (resource, value) in map(resources, name) {
            let at_item = at_list.key(resource);
            match Quantity::from_value(value) {
                Err(error) => errors.push(FieldError::invalid(&at_item, value.clone(), error.to_string())),
                Ok(quantity) if quantity.is_negative() => {
                    let detail = "must be greater than or equal to 0";
                    errors.push(FieldError::invalid(&at_item, quantity.to_string(), detail));
                }
                Ok(_) => {}
            }
        }
    }
    let at_requests = path.child("requests");
    for (resource, value) in map(resources, "requests") {
        let limit = Quantity::from_value(at(at(resources, "limits"), resource));
        if let (Ok(request), Ok(limit)) = (Quantity::from_value(value), limit)
            && request > limit
        {
            let detail = format!("must be less than or equal to {resource} limit of {limit}");
            errors.push(FieldError::invalid(&at_requests, request.to_string(), detail));
        }
    }
}
