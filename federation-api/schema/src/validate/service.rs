//! Services: type, ports, selector, and the addresses that are the hub's or a member's own.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::meta::check_labels;
use super::read::{at, deep, invalid, list, one_of, text};
use crate::field::{FieldError, FieldPath, format};

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

pub(super) fn check(new: &Value, errors: &mut Vec<FieldError>) {
    let path = FieldPath::root("spec");
    let spec = at(new, "spec");
    let kind = text(spec, "type");
    one_of(errors, &path.child("type"), kind, TYPES);
    one_of(errors, &path.child("sessionAffinity"), text(spec, "sessionAffinity"), &["ClientIP", "None"]);
    check_labels(spec, "selector", &path, errors);
    let headless = text(spec, "clusterIP") == "None";
    if kind == "ExternalName" {
        check_external_name(spec, &path, errors);
    } else if list(spec, "ports").is_empty() && !headless {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    if headless && matches!(kind, "LoadBalancer" | "NodePort") {
        let detail = format!("may not be set to 'None' for {kind} services");
        errors.push(FieldError::invalid(&path.child("clusterIPs").index(0), "None", detail));
    }
    check_ports(spec, &path, errors);
}

fn check_external_name(spec: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if !text(spec, "clusterIP").is_empty() {
        let detail = "may not be set when `type` is 'ExternalName'";
        errors.push(FieldError::forbidden(&path.child("clusterIP"), detail));
    }
    let name = text(spec, "externalName").trim_end_matches('.');
    let at = path.child("externalName");
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        invalid(errors, &at, name, format::dns_subdomain(name));
    }
}

fn check_ports(spec: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let at_list = path.child("ports");
    let ports = list(spec, "ports");
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (i, port) in ports.iter().enumerate() {
        let path = at_list.index(i);
        let name = text(port, "name");
        if name.is_empty() && ports.len() > 1 {
            errors.push(FieldError::required(&path.child("name"), ""));
        } else if !name.is_empty() {
            invalid(errors, &path.child("name"), name, format::dns_label(name));
            if !names.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
        }
        let number = at(port, "port").as_i64().unwrap_or(0);
        for complaint in format::port_number(number) {
            errors.push(FieldError::invalid(&path.child("port"), number, complaint));
        }
        let protocol = match text(port, "protocol") {
            "" => "TCP",
            given => given,
        };
        one_of(errors, &path.child("protocol"), protocol, PROTOCOLS);
        if !numbers.insert((number, protocol)) {
            errors.push(FieldError::duplicate(&path, json!({"port": number, "protocol": protocol})));
        }
        check_target(at(port, "targetPort"), &path.child("targetPort"), errors);
    }
}

/// A port by number or by name.
pub(super) fn check_target(target: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    match target {
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or(0);
            for complaint in format::port_number(number) {
                errors.push(FieldError::invalid(path, number, complaint));
            }
        }
        Value::String(name) => invalid(errors, path, name, format::port_name(name)),
        _ => {}
    }
}

/// Addresses and node ports belong to the hub and to members; only `None` and what the hub gave may come in.
pub(super) fn refuse_member_fields(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let path = FieldPath::root("spec");
    let spec = at(new, "spec");
    let before = old.map_or(&Value::Null, |old| at(old, "spec"));
    let address = text(spec, "clusterIP");
    if !matches!(address, "" | "None") && address != text(before, "clusterIP") {
        let detail = "the address belongs to each cluster; only None may be set";
        errors.push(FieldError::forbidden(&path.child("clusterIP"), detail));
    }
    let given = |spec: &Value| list(spec, "clusterIPs").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let (now, had): (Vec<String>, Vec<String>) = (given(spec), given(before));
    for (i, address) in now.iter().enumerate() {
        if address != "None" && !had.contains(address) {
            let detail = "the address belongs to each cluster; only None may be set";
            errors.push(FieldError::forbidden(&path.child("clusterIPs").index(i), detail));
        }
    }
    let at_list = path.child("ports");
    for (i, port) in list(spec, "ports").iter().enumerate() {
        let number = at(port, "nodePort").as_i64().unwrap_or(0);
        let same = |old: &Value| at(old, "nodePort").as_i64() == Some(number);
        if number != 0 && !list(before, "ports").iter().any(same) {
            let detail = "node ports belong to each cluster";
            errors.push(FieldError::forbidden(&at_list.index(i).child("nodePort"), detail));
        }
    }
    let number = deep(spec, "healthCheckNodePort").as_i64().unwrap_or(0);
    if number != 0 && deep(before, "healthCheckNodePort").as_i64() != Some(number) {
        let detail = "node ports belong to each cluster";
        errors.push(FieldError::forbidden(&path.child("healthCheckNodePort"), detail));
    }
}
