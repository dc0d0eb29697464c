//! Cells of services, endpoints and ingresses.

use std::collections::BTreeSet;

use serde_json::Value;

use super::row::{NONE, Row, at, cut, join, labels, list, or_none, scalar, selector_or_none, text};

pub(super) fn service(row: &Row<'_>) -> Vec<Value> {
    let ports: Vec<String> = row.list("spec.ports").iter().map(service_port).collect();
    let address = row.list("spec.clusterIPs").first().and_then(Value::as_str);
    let address = address.unwrap_or_else(|| row.text("spec.clusterIP"));
    vec![
        row.name(),
        row.text("spec.type").into(),
        or_none(address).into(),
        external_address(row).into(),
        or_none(&ports.join(",")).into(),
        row.age(),
        labels(row.at("spec.selector")).into(),
    ]
}

fn service_port(port: &Value) -> String {
    let (number, node) = (scalar(at(port, "port")), at(port, "nodePort").as_i64().unwrap_or(0));
    let protocol = at(port, "protocol").as_str().unwrap_or("TCP");
    if node > 0 { format!("{number}:{node}/{protocol}") } else { format!("{number}/{protocol}") }
}

fn external_address(row: &Row<'_>) -> String {
    let external = join(row.list("spec.externalIPs").iter().filter_map(Value::as_str), ",");
    match row.text("spec.type") {
        "ClusterIP" | "NodePort" => or_none(&external).to_owned(),
        "LoadBalancer" => {
            let balancer = balancer_addresses(row);
            match (balancer.is_empty(), external.is_empty()) {
                (true, true) => "<pending>".to_owned(),
                (true, false) => external,
                (false, true) => balancer,
                (false, false) => format!("{balancer},{external}"),
            }
        }
        "ExternalName" => row.text("spec.externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn balancer_addresses(row: &Row<'_>) -> String {
    let addresses: BTreeSet<&str> = row
        .list("status.loadBalancer.ingress")
        .iter()
        .map(|one| if text(one, "ip").is_empty() { text(one, "hostname") } else { text(one, "ip") })
        .filter(|address| !address.is_empty())
        .collect();
    join(addresses, ",")
}

pub(super) fn ingress(row: &Row<'_>) -> Vec<Value> {
    let ports = if row.list("spec.tls").is_empty() { "80" } else { "80, 443" };
    vec![
        row.name(),
        row.text_or("spec.ingressClassName", NONE).into(),
        hosts(row.list("spec.rules")).into(),
        balancer_addresses(row).into(),
        ports.into(),
        row.age(),
    ]
}

fn hosts(rules: &[Value]) -> String {
    const SHOWN: usize = 3;
    let mut shown: Vec<&str> = Vec::new();
    let mut more = false;
    for rule in rules {
        more |= shown.len() == SHOWN;
        if !more && !text(rule, "host").is_empty() {
            shown.push(text(rule, "host"));
        }
    }
    match (shown.is_empty(), more) {
        (true, _) => "*".to_owned(),
        (false, false) => shown.join(","),
        (false, true) => format!("{} + {} more...", shown.join(","), rules.len() - SHOWN),
    }
}

pub(super) fn ingress_class(row: &Row<'_>) -> Vec<Value> {
    let default = row.at("metadata.annotations").get("ingressclass.kubernetes.io/is-default-class");
    let mut name = row.text("metadata.name").to_owned();
    if default.and_then(Value::as_str) == Some("true") {
        name.push_str(" (default)");
    }
    let mut parameters = NONE.to_owned();
    if row.has("spec.parameters") {
        let group = row.at("spec.parameters.apiGroup").as_str().map_or(String::new(), |group| format!(".{group}"));
        parameters = format!("{}{group}/{}", row.text("spec.parameters.kind"), row.text("spec.parameters.name"));
    }
    vec![name.into(), row.text("spec.controller").into(), parameters.into(), row.age()]
}

pub(super) fn network_policy(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), selector_or_none(row.at("spec.podSelector")).into(), row.age()]
}

pub(super) fn endpoints(row: &Row<'_>) -> Vec<Value> {
    const SHOWN: usize = 3;
    let mut all = Vec::new();
    for subset in row.list("subsets") {
        let addresses = list(subset, "addresses").iter().map(|address| text(address, "ip"));
        let ports = list(subset, "ports");
        if ports.is_empty() {
            all.extend(addresses.map(str::to_owned));
            continue;
        }
        for port in ports {
            all.extend(addresses.clone().map(|address| host_port(address, &scalar(at(port, "port")))));
        }
    }
    let shown = if row.list("subsets").is_empty() { NONE.to_owned() } else { cut(&all, SHOWN) };
    // Subsets without addresses show as nothing at all, unlike the empty lists of slices.
    let shown = if all.is_empty() && !row.list("subsets").is_empty() { String::new() } else { shown };
    vec![row.name(), shown.into(), row.age()]
}

fn host_port(address: &str, port: &str) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

pub(super) fn endpoint_slice(row: &Row<'_>) -> Vec<Value> {
    let ports: Vec<String> = row.list("ports").iter().map(slice_port).collect();
    let endpoints = row.list("endpoints").iter().flat_map(|endpoint| list(endpoint, "addresses"));
    let addresses: Vec<String> = endpoints.filter_map(Value::as_str).map(str::to_owned).collect();
    vec![row.name(), row.text("addressType").into(), cut(&ports, 3).into(), cut(&addresses, 3).into(), row.age()]
}

fn slice_port(port: &Value) -> String {
    match (at(port, "port").as_i64(), at(port, "name").as_str()) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "*".to_owned(),
    }
}

pub(super) fn service_cidr(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), join(row.list("spec.cidrs").iter().filter_map(Value::as_str), ",").into(), row.age()]
}

pub(super) fn ip_address(row: &Row<'_>) -> Vec<Value> {
    let mut parent = NONE.to_owned();
    if row.has("spec.parentRef") {
        let part = |key: &str| row.text(&format!("spec.parentRef.{key}"));
        let group = if part("group").is_empty() { String::new() } else { format!(".{}", part("group")) };
        let namespace = if part("namespace").is_empty() { String::new() } else { format!("/{}", part("namespace")) };
        parent = format!("{}{namespace}/{}", format!("{}{group}", part("resource")).to_lowercase(), part("name"));
    }
    vec![row.name(), parent.into(), row.age()]
}
