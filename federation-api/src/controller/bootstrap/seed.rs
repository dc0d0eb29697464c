//! The table of first objects.
//!
//! Data only; when and how they are written is the parent's business.

use auth::bootstrap::COMPONENTS;
use federation_types::Gvr;
use federation_types::label::{INGRESS_CLASS, INGRESS_CONTROLLER, SYSTEM_NAMESPACE};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Bootstrap, FRONT_PROXY, Seed, Upkeep};
use crate::aggregation::local;
use crate::controller::flow_control;

/// The namespaces of every API server.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// The object of the range that Services get their addresses from.
pub(super) const SERVICE_CIDR: &str = "kubernetes";

/// All first objects of a server.
pub(super) fn objects(config: &Bootstrap) -> Vec<Seed> {
    let mut seeds: Vec<Seed> = NAMESPACES.iter().map(|name| namespace(name)).collect();
    let policy = auth::bootstrap::objects();
    let concerns_us = |object: &Value| {
        let name = object["metadata"]["name"].as_str().unwrap_or("");
        name.starts_with("system:fedgate:") || name.starts_with("fedgate:")
    };
    // The collector empties namespaces in every API server; our other components know the hub only.
    let collects = |object: &Value| object["metadata"]["name"] == "system:fedgate:collector";
    seeds.extend(
        policy.into_iter().filter(|object| config.hub || !concerns_us(object) || collects(object)).map(policy_seed),
    );
    seeds.push(kubernetes_service(config));
    seeds.extend(kubernetes_endpoints(config));
    seeds.push(service_cidr(config));
    seeds.extend(priority_classes());
    seeds.extend(flow_control::wanted(config.hub).into_iter().map(|object| Seed {
        gvr: flow_control::gvr(&object),
        object,
        upkeep: Upkeep::FlowControl,
    }));
    seeds.extend(extension_authentication(config));
    seeds.extend(local::built_in().into_iter().map(|object| Seed {
        gvr: Gvr::new("apiregistration.k8s.io/v1", "apiservices"),
        object,
        upkeep: Upkeep::ApiService,
    }));
    seeds.push(namespace(SYSTEM_NAMESPACE));
    if config.hub {
        seeds.extend(COMPONENTS.iter().map(|name| account(name)));
        seeds.push(ingress_class());
    } else {
        seeds.push(account("collector"));
    }
    seeds
}

/// What aggregated API servers need to know whom to believe.
///
/// Source: upstream's `pkg/controlplane/controller/clusterauthenticationtrust`.
fn extension_authentication(config: &Bootstrap) -> Option<Seed> {
    let mut data = serde_json::Map::new();
    if !config.client_ca_pem.is_empty() {
        data.insert("client-ca-file".to_owned(), config.client_ca_pem.as_str().into());
    }
    if !config.front_proxy_ca_pem.is_empty() {
        data.insert("requestheader-client-ca-file".to_owned(), config.front_proxy_ca_pem.as_str().into());
        for (key, value) in [
            ("requestheader-allowed-names", json!([FRONT_PROXY])),
            ("requestheader-username-headers", json!(["X-Remote-User"])),
            ("requestheader-uid-headers", json!(["X-Remote-Uid"])),
            ("requestheader-group-headers", json!(["X-Remote-Group"])),
            ("requestheader-extra-headers-prefix", json!(["X-Remote-Extra-"])),
        ] {
            data.insert(key.to_owned(), value.to_string().into());
        }
    }
    if data.is_empty() {
        return None;
    }
    let metadata = json!({"name": "extension-apiserver-authentication", "namespace": "kube-system"});
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
    Some(Seed { gvr: Gvr::new("v1", "configmaps"), object, upkeep: Upkeep::Trust })
}

/// Whether `stored` says all that `wanted` says; a server adds defaults to what it stores.
pub(super) fn includes(stored: Option<&Value>, wanted: &Value) -> bool {
    match (stored, wanted) {
        (Some(Value::Object(stored)), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| includes(stored.get(key), value))
        }
        (Some(Value::Array(stored)), Value::Array(wanted)) => {
            stored.len() == wanted.len() && stored.iter().zip(wanted).all(|(old, new)| includes(Some(old), new))
        }
        (stored, wanted) => stored == Some(wanted),
    }
}

fn namespace(name: &str) -> Seed {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    Seed { gvr: Gvr::new("v1", "namespaces"), object, upkeep: Upkeep::Leave }
}

fn account(name: &str) -> Seed {
    let metadata = json!({"name": name, "namespace": SYSTEM_NAMESPACE});
    let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
    Seed { gvr: Gvr::new("v1", "serviceaccounts"), object, upkeep: Upkeep::Leave }
}

fn policy_seed(object: Value) -> Seed {
    let resource = match object["kind"].as_str() {
        Some("ClusterRole") => "clusterroles",
        Some("ClusterRoleBinding") => "clusterrolebindings",
        Some("Role") => "roles",
        _ => "rolebindings",
    };
    Seed { gvr: Gvr::new("rbac.authorization.k8s.io/v1", resource), object, upkeep: Upkeep::Policy }
}

fn kubernetes_service(config: &Bootstrap) -> Seed {
    let port = json!({"name": "https", "port": 443, "protocol": "TCP", "targetPort": config.address.port()});
    let object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"type": "ClusterIP", "sessionAffinity": "None", "ports": [port]},
    });
    Seed { gvr: Gvr::new("v1", "services"), object, upkeep: Upkeep::Address }
}

fn service_cidr(config: &Bootstrap) -> Seed {
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": SERVICE_CIDR},
        "spec": {"cidrs": [config.service_cidr]},
    });
    Seed { gvr: Gvr::new("networking.k8s.io/v1", "servicecidrs"), object, upkeep: Upkeep::Leave }
}

/// The stored range with the condition that it is ready; `None` where it has one.
///
/// Source: upstream's `pkg/controlplane/controller/defaultservicecidr`.
pub(super) fn ready(mut stored: Value, now: Timestamp) -> Option<Value> {
    let conditions = stored.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.cloned().unwrap_or_default();
    if conditions.iter().any(|condition| condition["type"] == "Ready") {
        return None;
    }
    conditions.push(json!({
        "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }));
    stored["status"] = json!({"conditions": conditions});
    Some(stored)
}

/// `None` where the server listens on loopback or on every address: nobody can be sent there.
fn kubernetes_endpoints(config: &Bootstrap) -> Option<Seed> {
    let address = config.address.ip();
    if address.is_loopback() || address.is_unspecified() {
        return None;
    }
    let object = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{"addresses": [address.to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": config.address.port(), "protocol": "TCP"}],
    });
    Some(Seed { gvr: Gvr::new("discovery.k8s.io/v1", "endpointslices"), object, upkeep: Upkeep::Address })
}

/// Source: upstream's `pkg/apis/scheduling/v1/helpers.go`.
fn priority_classes() -> [Seed; 2] {
    let class = |name: &str, value: u32, description: &str| Seed {
        gvr: Gvr::new("scheduling.k8s.io/v1", "priorityclasses"),
        object: json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": {"name": name}, "value": value, "description": description,
        }),
        upkeep: Upkeep::Leave,
    };
    [
        class(
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        class(
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
    ]
}

fn ingress_class() -> Seed {
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": {"name": INGRESS_CLASS},
        "spec": {"controller": INGRESS_CONTROLLER},
    });
    Seed { gvr: Gvr::new("networking.k8s.io/v1", "ingressclasses"), object, upkeep: Upkeep::Leave }
}
