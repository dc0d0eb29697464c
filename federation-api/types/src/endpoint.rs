//! The endpoint model: what ingress and DNS read out of mirrored EndpointSlices, and the completeness markers among them.
//!
//! A slice counts only if it carries our ownership label; an absence counts only for a cluster whose marker is seen.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use crate::label;
use crate::name::ClusterName;
use crate::text;

/// One mirrored EndpointSlice, reduced to what routing and naming need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    pub cluster: ClusterName,
    pub namespace: String,
    /// The service's name, as the template at the hub has it.
    pub service: String,
    pub ports: Vec<Port>,
    pub endpoints: Vec<Endpoint>,
}

/// A port of a slice; `number` 0 never occurs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Port {
    /// Empty for the only port of a service.
    pub name: String,
    pub number: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    pub app_protocol: Option<String>,
}

/// One pod behind a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub addresses: Vec<IpAddr>,
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
    pub hostname: Option<String>,
    pub zone: Option<Arc<str>>,
    /// Name of the pod in its member, for logs and answers.
    pub pod: Option<Arc<str>>,
}

/// What one object of the mirrored EndpointSlices says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A slice of a service of ours.
    Slice(Slice),
    /// Everything of this cluster has been listed.
    Marker(ClusterName),
    /// Not ours, or of a kind that is not routed to (FQDN).
    Foreign,
}

/// Name of the marker slice of a cluster, in fedgate-system.
#[must_use]
pub fn marker_name(cluster: &ClusterName) -> String {
    format!("mirrored.{cluster}")
}

/// The marker slice of a cluster as an object.
#[must_use]
pub fn marker(cluster: &ClusterName) -> Value {
    serde_json::json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": marker_name(cluster),
            "namespace": label::SYSTEM_NAMESPACE,
            "labels": {label::MARKER: "true", label::CLUSTER: cluster.as_str()},
        },
        "addressType": "IPv4",
        "endpoints": [],
        "ports": [],
    })
}

/// Reads one EndpointSlice as the hub shows it (with the cluster label of the mirror).
#[must_use]
pub fn read(object: &Value) -> Seen {
    let Some(cluster) = text::label(object, label::CLUSTER).and_then(|c| ClusterName::new(c).ok()) else {
        return Seen::Foreign;
    };
    if text::label(object, label::MARKER).is_some() {
        return if text::namespace(object) == label::SYSTEM_NAMESPACE { Seen::Marker(cluster) } else { Seen::Foreign };
    }
    match text::label(object, label::HUB) {
        Some(_) => slice(object, cluster).map_or(Seen::Foreign, Seen::Slice),
        None => Seen::Foreign,
    }
}

/// Reads an EndpointSlice that was written at the hub itself, for a service without pods of its own; its endpoints are
/// nobody's, so they are counted under the name `whose`.
#[must_use]
pub fn read_own(object: &Value, whose: &ClusterName) -> Option<Slice> {
    let mirrored = text::label(object, label::CLUSTER).is_some() || text::label(object, label::MARKER).is_some();
    slice(object, whose.clone()).filter(|_| !mirrored)
}

fn slice(object: &Value, cluster: ClusterName) -> Option<Slice> {
    let service = text::label(object, "kubernetes.io/service-name")?;
    matches!(text::str_at(object, &["addressType"]), "IPv4" | "IPv6").then(|| Slice {
        namespace: text::namespace(object).to_owned(),
        service: service.to_owned(),
        ports: text::list_at(object, &["ports"]).filter_map(port).collect(),
        endpoints: text::list_at(object, &["endpoints"]).map(endpoint).collect(),
        cluster,
    })
}

fn port(port: &Value) -> Option<Port> {
    let number = u16::try_from(text::int_at(port, &["port"])?).ok().filter(|n| *n != 0)?;
    let protocol = match text::str_at(port, &["protocol"]) {
        "" => "TCP",
        named => named,
    };
    Some(Port {
        name: text::str_at(port, &["name"]).to_owned(),
        number,
        protocol: protocol.to_owned(),
        app_protocol: text::at(port, &["appProtocol"]).and_then(Value::as_str).map(str::to_owned),
    })
}

fn endpoint(endpoint: &Value) -> Endpoint {
    let condition =
        |name, absent: bool| text::at(endpoint, &["conditions", name]).and_then(Value::as_bool).unwrap_or(absent);
    // Absent conditions mean ready, as discovery/v1 documents.
    let ready = condition("ready", true);
    Endpoint {
        addresses: text::list_at(endpoint, &["addresses"]).filter_map(|a| a.as_str()?.parse().ok()).collect(),
        ready,
        serving: condition("serving", ready),
        terminating: condition("terminating", false),
        hostname: text::at(endpoint, &["hostname"]).and_then(Value::as_str).map(str::to_owned),
        zone: text::at(endpoint, &["zone"]).and_then(Value::as_str).map(Into::into),
        pod: text::at(endpoint, &["targetRef", "name"]).and_then(Value::as_str).map(Into::into),
    }
}

/// Endpoints of services by cluster, with absences believed only where a cluster is complete.
///
/// `carry_over` takes from `before` every cluster that `now` has no marker of.
#[must_use]
pub fn carry_over(before: &Clusters, now: Clusters) -> Clusters {
    let mut result = now;
    for (cluster, old) in before {
        match result.get(cluster) {
            Some(seen) if seen.complete => {}
            _ => {
                result.insert(cluster.clone(), SeenCluster { complete: false, slices: old.slices.clone() });
            }
        }
    }
    result
}

/// What is known of each cluster's slices.
pub type Clusters = BTreeMap<ClusterName, SeenCluster>;

/// The slices of one cluster, and whether its marker was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenCluster {
    pub complete: bool,
    pub slices: Vec<Slice>,
}

/// Groups mirrored EndpointSlices by cluster.
pub fn group<'v>(objects: impl IntoIterator<Item = &'v Value>) -> Clusters {
    let mut clusters = Clusters::new();
    for object in objects {
        match read(object) {
            Seen::Slice(slice) => clusters.entry(slice.cluster.clone()).or_default().slices.push(slice),
            Seen::Marker(cluster) => clusters.entry(cluster).or_default().complete = true,
            Seen::Foreign => {}
        }
    }
    clusters
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Seen, carry_over, group, marker, read, read_own};
    use crate::name::ClusterName;

    fn slice(cluster: &str, owned: bool, address: &str) -> serde_json::Value {
        let mut labels = json!({"fedgate.dev/cluster": cluster, "kubernetes.io/service-name": "web"});
        if owned {
            labels["fedgate.dev/hub"] = json!("u");
        }
        json!({
            "metadata": {"name": format!("web-x.{cluster}"), "namespace": "default", "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}, {"name": "none"}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": true}}, {"addresses": ["bad"]}],
        })
    }

    #[test]
    fn a_slice_needs_our_label_and_a_cluster() {
        assert_eq!(read(&slice("east", false, "10.0.0.1")), Seen::Foreign);
        assert_eq!(read(&json!({})), Seen::Foreign);
        let Seen::Slice(seen) = read(&slice("east", true, "10.0.0.1")) else { panic!("a slice") };
        assert_eq!(seen.ports.len(), 1);
        assert_eq!(seen.ports[0].protocol, "TCP");
        assert!(seen.endpoints[0].ready && seen.endpoints[0].serving);
        assert!(seen.endpoints[1].addresses.is_empty());
    }

    #[test]
    fn what_was_written_at_the_hub_has_no_cluster() {
        let whose = ClusterName::new("outside").expect("a label");
        let mut own = slice("east", true, "10.0.0.1");
        assert_eq!(read_own(&own, &whose), None, "a member's");
        let labels = own["metadata"]["labels"].as_object_mut().expect("labels");
        labels.remove("fedgate.dev/cluster");
        assert_eq!(read(&own), Seen::Foreign);
        let seen = read_own(&own, &whose).expect("a slice");
        assert_eq!((seen.cluster, seen.service.as_str(), seen.endpoints.len()), (whose.clone(), "web", 2));
        own["addressType"] = json!("FQDN");
        assert_eq!(read_own(&own, &whose), None);
        assert_eq!(read_own(&json!({"addressType": "IPv4"}), &whose), None);
    }

    #[test]
    fn an_absence_is_believed_only_with_the_marker() {
        let east = ClusterName::new("east").expect("a label");
        let before = group([&slice("east", true, "10.0.0.1"), &marker(&east)]);
        assert!(before["east"].complete);
        let lost = carry_over(&before, group([]));
        assert_eq!(lost["east"].slices.len(), 1);
        assert!(!lost["east"].complete);
        let gone = carry_over(&before, group([&marker(&east)]));
        assert!(gone["east"].slices.is_empty());
    }
}
