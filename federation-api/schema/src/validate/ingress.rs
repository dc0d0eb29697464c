//! Ingresses: hosts, paths, backends, TLS.
//!
//! Source: kubernetes `pkg/apis/networking/validation`.

use std::net::IpAddr;

use serde_json::Value;

use super::read::{at, deep, invalid, list, text};
use crate::field::{FieldError, FieldPath, format};

const PATH_TYPES: &[&str] = &["Exact", "ImplementationSpecific", "Prefix"];
const BAD_SEQUENCES: &[&str] = &["//", "/./", "/../", "%2f", "%2F"];
const BAD_SUFFIXES: &[&str] = &["/..", "/."];

pub(super) fn check(new: &Value, errors: &mut Vec<FieldError>) {
    let path = FieldPath::root("spec");
    let spec = at(new, "spec");
    let rules = list(spec, "rules");
    let default = at(spec, "defaultBackend");
    if rules.is_empty() && default.is_null() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(&path, at(spec, "rules").clone(), detail));
    }
    if !default.is_null() {
        check_backend(default, &path.child("defaultBackend"), errors);
    }
    let at_rules = path.child("rules");
    for (i, rule) in rules.iter().enumerate() {
        check_rule(rule, &at_rules.index(i), errors);
    }
    let at_tls = path.child("tls");
    for (i, tls) in list(spec, "tls").iter().enumerate() {
        let path = at_tls.index(i);
        let at_hosts = path.child("hosts");
        for (i, host) in list(tls, "hosts").iter().filter_map(Value::as_str).enumerate() {
            check_host(host, &at_hosts.index(i), errors);
        }
        let secret = text(tls, "secretName");
        if !secret.is_empty() {
            invalid(errors, &path.child("secretName"), secret, format::dns_subdomain(secret));
        }
    }
    let class = text(spec, "ingressClassName");
    if !class.is_empty() {
        invalid(errors, &path.child("ingressClassName"), class, format::dns_subdomain(class));
    }
}

fn check_host(host: &str, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let check = if host.contains('*') { format::wildcard_dns_subdomain } else { format::dns_subdomain };
    invalid(errors, path, host, check(host));
}

fn check_rule(rule: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let host = text(rule, "host");
    if !host.is_empty() {
        let at = path.child("host");
        if host.parse::<IpAddr>().is_ok() {
            errors.push(FieldError::invalid(&at, host, "must be a DNS name, not an IP address"));
        }
        check_host(host, &at, errors);
    }
    let http = at(rule, "http");
    if http.is_null() {
        return;
    }
    let at_http = path.child("http");
    let at_paths = at_http.child("paths");
    let paths = list(http, "paths");
    if paths.is_empty() {
        errors.push(FieldError::required(&at_paths, ""));
    }
    for (i, one) in paths.iter().enumerate() {
        check_path(one, &at_paths.index(i), errors);
    }
}

fn check_path(one: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let (text, at_path) = (text(one, "path"), path.child("path"));
    let Some(kind) = at(one, "pathType").as_str() else {
        errors.push(FieldError::required(&path.child("pathType"), "pathType must be specified"));
        return;
    };
    match kind {
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                errors.push(FieldError::invalid(&at_path, text, "must be an absolute path"));
            }
            for bad in BAD_SEQUENCES.iter().filter(|bad| text.contains(**bad)) {
                errors.push(FieldError::invalid(&at_path, text, format!("must not contain '{bad}'")));
            }
            for bad in BAD_SUFFIXES.iter().filter(|bad| text.ends_with(**bad)) {
                errors.push(FieldError::invalid(&at_path, text, format!("cannot end with '{bad}'")));
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !text.starts_with('/') {
                errors.push(FieldError::invalid(&at_path, text, "must be an absolute path"));
            }
        }
        other => errors.push(FieldError::not_supported(&path.child("pathType"), other, PATH_TYPES)),
    }
    check_backend(at(one, "backend"), &path.child("backend"), errors);
}

fn check_backend(backend: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let (service, resource) = (at(backend, "service"), at(backend, "resource"));
    match (service.is_null(), resource.is_null()) {
        (false, false) => {
            errors.push(FieldError::invalid(path, "", "cannot set both resource and service backends"));
        }
        (true, true) => errors.push(FieldError::invalid(path, "", "resource or service backend is required")),
        (true, false) => {
            let at_resource = path.child("resource");
            for name in ["kind", "name"] {
                if text(resource, name).is_empty() {
                    errors.push(FieldError::required(&at_resource.child(name), ""));
                }
            }
        }
        (false, true) => check_service(service, path, errors),
    }
}

fn check_service(service: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let name = text(service, "name");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("service.name"), ""));
    } else {
        invalid(errors, &path.child("service.name"), name, format::dns_1035_label(name));
    }
    let port_name = deep(service, "port.name").as_str().unwrap_or("");
    let number = deep(service, "port.number").as_i64().unwrap_or(0);
    match (port_name.is_empty(), number == 0) {
        (false, false) => errors.push(FieldError::invalid(path, "", "cannot set both port name & port number")),
        (false, true) => invalid(errors, &path.child("service.port.name"), port_name, format::port_name(port_name)),
        (true, false) => {
            for complaint in format::port_number(number) {
                errors.push(FieldError::invalid(&path.child("service.port.number"), number, complaint));
            }
        }
        (true, true) => errors.push(FieldError::required(path, "port name or number is required")),
    }
}
