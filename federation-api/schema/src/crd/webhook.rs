//! Where a conversion webhook is, and which reviews it understands.
//!
//! Source: `k8s.io/apiserver/pkg/util/webhook/validation.go`.

use serde_json::Value;

use super::view::text;
use crate::field::format::{dns_1035_label, dns_subdomain, port_number};
use crate::field::{FieldError, FieldPath};

const REVIEWS: [&str; 2] = ["v1", "v1beta1"];

/// Whether a list of review versions names one that we speak, or none at all.
pub(super) fn understands(versions: &[Value]) -> bool {
    versions.is_empty() || versions.iter().any(|version| REVIEWS.iter().any(|known| version == known))
}

pub(super) fn reviews(versions: &[Value], must_know: bool, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if versions.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        let at = path.index(index);
        if versions[..index].contains(version) {
            errors.push(FieldError::invalid(&at, version.clone(), "duplicate version"));
            continue;
        }
        for complaint in dns_1035_label(version.as_str().unwrap_or("")) {
            errors.push(FieldError::invalid(&at, version.clone(), complaint));
        }
    }
    if must_know && !understands(versions) {
        let detail = format!("must include at least one of {}", REVIEWS.join(", "));
        errors.push(FieldError::invalid(path, Value::Array(versions.to_vec()), detail));
    }
}

/// `https://host[/path]` and nothing else.
pub(super) fn url(url: &str, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    let rest = rest.strip_prefix("//").unwrap_or("");
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or("");
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let mut complain = |value: &str, detail: String| errors.push(FieldError::invalid(path, value, detail));
    if scheme != "https" {
        complain(scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        complain(host, format!("host must be specified{FORM}"));
    }
    if let Some(user) = user {
        complain(user, "user information is not permitted in the URL".to_owned());
    }
    if !fragment.is_empty() {
        complain(fragment, "fragments are not permitted in the URL".to_owned());
    }
    if !query.is_empty() {
        complain(query, "query parameters are not permitted in the URL".to_owned());
    }
}

pub(super) fn service(service: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    // Upstream hands name and namespace over in each other's place, and its paths show it.
    for (name, shown) in [("namespace", "name"), ("name", "namespace")] {
        if text(service, name).is_empty() {
            errors.push(FieldError::required(&path.child(shown), ""));
        }
    }
    let port = service.get("port").and_then(Value::as_i64).unwrap_or(0);
    let complaints = port_number(port);
    if !complaints.is_empty() {
        let detail = format!("port is not valid: {}", complaints.join(", "));
        errors.push(FieldError::invalid(&path.child("port"), port, detail));
    }
    let Some(url_path) = service.get("path").and_then(Value::as_str) else { return };
    let at = path.child("path");
    let mut complain = |detail: String| errors.push(FieldError::invalid(&at, url_path, detail));
    match url_path {
        "" | "/" => return,
        "//" => return complain("segment[0] may not be empty".to_owned()),
        _ => {}
    }
    if !url_path.starts_with('/') {
        complain("must start with a '/'".to_owned());
    }
    let Some(steps) = url_path.char_indices().nth(1).map_or(Some(""), |(at, _)| url_path.get(at..)) else { return };
    for (index, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
        if step.is_empty() {
            complain(format!("segment[{index}] may not be empty"));
            continue;
        }
        for complaint in dns_subdomain(step) {
            complain(format!("segment[{index}]: {complaint}"));
        }
    }
}
