//! Our own kinds: required fields and enumerations by the facts; names, globs, weights, durations and patches by rule.

use std::collections::BTreeMap;

use serde_json::Value;

use super::read::{at, invalid, list, map, non_negative, text};
use crate::facts::{Facts, Resource, Shape, TypeId};
use crate::field::{FieldError, FieldPath, format};
use crate::selector::LabelSelector;

pub(super) fn check(facts: &Facts, resource: &Resource, new: &Value, errors: &mut Vec<FieldError>) {
    check_shape(facts, resource.ty, new, None, errors);
    let path = FieldPath::root("spec");
    let spec = at(new, "spec");
    match &*resource.kind {
        "Cluster" => check_cluster(spec, &path, errors),
        "Placement" | "ClusterPlacement" => {
            check_select(new, spec, &path, errors);
            check_placement(spec, &path, errors);
        }
        "Override" | "ClusterOverride" => {
            check_select(new, spec, &path, errors);
            check_rules(spec, &path, errors);
        }
        "IngressParameters" | "ClusterIngressParameters" => check_defaults(spec, &path, errors),
        _ => {}
    }
}

/// Required fields and enumerations, as the facts have them; the status is our own and not looked at.
fn check_shape(facts: &Facts, ty: TypeId, value: &Value, path: Option<&FieldPath<'_>>, errors: &mut Vec<FieldError>) {
    match (facts.shape(ty), value) {
        (Shape::Struct(object), Value::Object(fields)) => {
            for field in &object.fields {
                let name: &str = &field.name;
                if path.is_none() && matches!(name, "metadata" | "status") {
                    continue;
                }
                let at = path.map_or(FieldPath::root(name), |path| path.child(name));
                match fields.get(name) {
                    None | Some(Value::Null) if field.required => errors.push(FieldError::required(&at, "")),
                    None | Some(Value::Null) => {}
                    Some(Value::String(text)) if text.is_empty() && field.required => {
                        errors.push(FieldError::required(&at, ""));
                    }
                    Some(Value::String(text)) if !field.one_of.is_empty() && !text.is_empty() => {
                        let valid: Vec<&str> = field.one_of.iter().map(|v| &**v).collect();
                        if !valid.contains(&text.as_str()) {
                            errors.push(FieldError::not_supported(&at, text.as_str(), &valid));
                        }
                    }
                    Some(value) => check_shape(facts, field.ty, value, Some(&at), errors),
                }
            }
        }
        (Shape::List(of), Value::Array(items)) => {
            for (i, item) in items.iter().enumerate() {
                let here = path.copied().unwrap_or(FieldPath::Nil);
                check_shape(facts, of.item, item, Some(&here.index(i)), errors);
            }
        }
        _ => {}
    }
}

fn check_cluster(spec: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let server = text(spec, "server");
    let host = server.strip_prefix("https://").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(""));
    if !server.is_empty() && host.is_none_or(|host| host.is_empty() || host.contains(['@', ' '])) {
        let detail = "must be an https URL with a host and without credentials";
        errors.push(FieldError::invalid(&path.child("server"), server, detail));
    }
    let reference = text(at(spec, "credentialsRef"), "name");
    if !reference.is_empty() {
        let at_name = path.child("credentialsRef.name");
        invalid(errors, &at_name, reference, format::dns_subdomain(reference));
    }
    for name in ["region", "provider"] {
        invalid(errors, &path.child(name), text(spec, name), format::label_value(text(spec, name)));
    }
    let at_zones = path.child("zones");
    for (i, zone) in list(spec, "zones").iter().filter_map(Value::as_str).enumerate() {
        invalid(errors, &at_zones.index(i), zone, format::label_value(zone));
    }
    let at_taints = path.child("taints");
    for (i, taint) in list(spec, "taints").iter().enumerate() {
        let at_item = at_taints.index(i);
        let (key, value) = (text(taint, "key"), text(taint, "value"));
        if !key.is_empty() {
            invalid(errors, &at_item.child("key"), key, format::label_key(key));
        }
        invalid(errors, &at_item.child("value"), value, format::label_value(value));
    }
}

/// Names of annotations, without a prefix; what each means is for the ingress.
fn check_defaults(spec: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let at_defaults = path.child("defaults");
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    for name in at(spec, "defaults").as_object().into_iter().flatten().map(|(name, _)| name) {
        if name.is_empty() || !name.bytes().all(allowed) {
            let detail = "must be the name of an annotation without its prefix, such as proxy-read-timeout";
            errors.push(FieldError::invalid(&at_defaults.key(name), name.as_str(), detail));
        }
    }
}

/// Which templates are meant; a namespaced object means those of its own namespace.
fn check_select(new: &Value, spec: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let own = text(at(new, "metadata"), "namespace");
    let at_list = path.child("select");
    if list(spec, "select").is_empty() && !at(spec, "select").is_null() {
        errors.push(FieldError::required(&at_list, "at least one template must be selected"));
    }
    for (i, item) in list(spec, "select").iter().enumerate() {
        let at_item = at_list.index(i);
        let namespace = text(item, "namespace");
        if !own.is_empty() && !namespace.is_empty() && namespace != own {
            let detail = format!("only templates of namespace {own} may be selected; use the cluster-scoped kind");
            errors.push(FieldError::forbidden(&at_item.child("namespace"), detail));
        }
        check_labels(item, &at_item, errors);
    }
}

fn check_labels(item: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let selector = at(item, "labelSelector");
    if !selector.is_null()
        && let Err(mut found) = LabelSelector::from_object(selector, &path.child("labelSelector"))
    {
        errors.append(&mut found);
    }
}

fn check_clusters(selector: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    for name in ["names", "exclude"] {
        let at_list = path.child(name);
        for (i, glob) in list(selector, name).iter().filter_map(Value::as_str).enumerate() {
            let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'*');
            if glob.is_empty() || glob.len() > format::DNS_LABEL_MAX || !glob.bytes().all(allowed) {
                let detail = "must be the name of a cluster or a glob of lower case letters, digits, '-' and '*'";
                errors.push(FieldError::invalid(&at_list.index(i), glob, detail));
            }
        }
    }
    check_labels(selector, path, errors);
}

fn check_placement(spec: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let at_clusters = path.child("clusters");
    for (i, group) in list(spec, "clusters").iter().enumerate() {
        check_clusters(group, &at_clusters.index(i), errors);
    }
    let at_spread = path.child("spread");
    for (i, spread) in list(spec, "spread").iter().enumerate() {
        check_spread(spread, &at_spread.index(i), errors);
    }
    check_replicas(at(spec, "replicas"), &path.child("replicas"), errors);
    let at_failover = path.child("failover");
    for name in ["after", "return"] {
        let duration = text(at(spec, "failover"), name);
        if !duration.is_empty() && !is_duration(duration) {
            let detail = "must be a duration such as 90s, 5m or 1h30m";
            errors.push(FieldError::invalid(&at_failover.child(name), duration, detail));
        }
    }
}

fn check_spread(spread: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let by = text(spread, "by");
    let known = ["cluster", "region", "zone", "provider"];
    let key = by.strip_prefix("label:");
    if let Some(key) = key {
        invalid(errors, &path.child("by"), by, format::label_key(key));
    } else if !by.is_empty() && !known.contains(&by) {
        let valid = ["cluster", "region", "zone", "provider", "label:KEY"];
        errors.push(FieldError::not_supported(&path.child("by"), by, &valid));
    }
    let (min, max) = (at(spread, "min"), at(spread, "max"));
    non_negative(errors, &path.child("min"), min);
    non_negative(errors, &path.child("max"), max);
    if let (Some(min), Some(max)) = (min.as_i64(), max.as_i64())
        && max > 0
        && min > max
    {
        errors.push(FieldError::invalid(&path.child("min"), min, "must be less than or equal to max"));
    }
}

fn check_replicas(replicas: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let at_weights = path.child("weights");
    for (i, weight) in list(replicas, "weights").iter().enumerate() {
        let at_item = at_weights.index(i);
        non_negative(errors, &at_item.child("weight"), at(weight, "weight"));
        check_clusters(at(weight, "clusters"), &at_item.child("clusters"), errors);
    }
    let mut least = BTreeMap::new();
    for name in ["min", "max"] {
        let at_map = path.child(name);
        for (cluster, count) in map(replicas, name) {
            let at_item = at_map.key(cluster);
            invalid(errors, &at_item, cluster, format::dns_label(cluster));
            non_negative(errors, &at_item, count);
            if name == "min" {
                least.insert(cluster, count.as_i64());
            } else if let (Some(Some(min)), Some(max)) = (least.get(cluster), count.as_i64())
                && *min > max
            {
                errors.push(FieldError::invalid(&at_item, max, format!("must be at least min, {min}")));
            }
        }
    }
}

fn check_rules(spec: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let at_rules = path.child("rules");
    for (i, rule) in list(spec, "rules").iter().enumerate() {
        let at_rule = at_rules.index(i);
        check_clusters(at(rule, "clusters"), &at_rule.child("clusters"), errors);
        let at_image = at_rule.child("image");
        for (i, image) in list(rule, "image").iter().enumerate() {
            if ["registry", "repository", "tag", "digest"].iter().all(|part| text(image, part).is_empty()) {
                let detail = "one of registry, repository, tag and digest must be set";
                errors.push(FieldError::required(&at_image.index(i), detail));
            }
        }
        let at_env = at_rule.child("env");
        for (i, env) in list(rule, "env").iter().enumerate() {
            let at_set = at_env.index(i);
            for (name, _) in map(env, "set") {
                invalid(errors, &at_set.child("set").key(name), name, format::env_name(name));
            }
        }
        for name in ["labels", "annotations"] {
            let at_keys = at_rule.child(name);
            let at_set = at_keys.child("set");
            for (key, value) in map(at(rule, name), "set") {
                invalid(errors, &at_set.key(key), key, format::label_key(key));
                if let (Some(value), true) = (value.as_str(), name == "labels") {
                    invalid(errors, &at_set.key(key), value, format::label_value(value));
                }
            }
        }
        let at_patch = at_rule.child("jsonPatch");
        for (i, operation) in list(rule, "jsonPatch").iter().enumerate() {
            check_operation(operation, &at_patch.index(i), errors);
        }
        let merge = at(rule, "mergePatch");
        if !merge.is_null() && !merge.is_object() {
            errors.push(FieldError::type_invalid(&at_rule.child("mergePatch"), merge.clone(), "must be an object"));
        }
    }
}

fn check_operation(operation: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let (op, pointer) = (text(operation, "op"), text(operation, "path"));
    let identity = ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace", "/metadata/uid", "/status"];
    if !pointer.is_empty() && !pointer.starts_with('/') {
        errors.push(FieldError::invalid(&path.child("path"), pointer, "must start with '/'"));
    }
    if identity.iter().any(|own| pointer == *own || pointer.strip_prefix(own).is_some_and(|rest| rest.starts_with('/')))
    {
        errors.push(FieldError::forbidden(&path.child("path"), format!("{pointer} may not be overridden")));
    }
    match op {
        "move" | "copy" if !text(operation, "from").starts_with('/') => {
            errors.push(FieldError::required(&path.child("from"), "must start with '/'"));
        }
        "add" | "replace" | "test" if operation.get("value").is_none() => {
            errors.push(FieldError::required(&path.child("value"), ""));
        }
        _ => {}
    }
}

/// `90s`, `5m`, `1h30m`: numbers with units, largest first, as Go prints and Kubernetes users write them.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    if rest.is_empty() || rest.len() > 32 {
        return false;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > 9 {
            return false;
        }
        rest = &rest[digits..];
        let unit = ["ms", "h", "m", "s", "d"].iter().find(|unit| rest.starts_with(**unit));
        match unit {
            Some(unit) => rest = &rest[unit.len()..],
            None => return false,
        }
    }
    true
}
