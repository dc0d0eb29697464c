//! What one object uses of a quota, and whether a quota is about it at all.
//!
//! Pure; time is passed in. Source: k8s.io/kubernetes `pkg/quota/v1/evaluator/core`.

use std::collections::{BTreeMap, BTreeSet};

use federation_schema::quantity::Quantity;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::scope::Requirement;
use crate::admission::amounts::{self, Amounts, Side, count};

/// Resources with a name of their own beside `count/…`: (group, plural, name).
const ALIASES: &[(&str, &str)] = &[
    ("configmaps", "configmaps"),
    ("resourcequotas", "resourcequotas"),
    ("replicationcontrollers", "replicationcontrollers"),
    ("secrets", "secrets"),
];
const POD_NAMES: &[&str] = &[
    "count/pods",
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "pods",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
/// Quotas of these want every container to say how much it needs.
const DEMANDED: &[&str] = &["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];
const SERVICE_NAMES: &[&str] = &["count/services", "services", "services.loadbalancers", "services.nodeports"];
const CLAIM_NAMES: &[&str] = &["persistentvolumeclaims", "requests.storage"];
const BY_CLASS: &str = ".storageclass.storage.k8s.io/";
const DEVICES: &str = ".deviceclass.resource.k8s.io/devices";
/// Devices that a request for all of a class may get at most.
const MAX_DEVICES: i64 = 32;
const DEVICE_CLASS: &str = "requests.deviceclass.resource.kubernetes.io/";

/// What kind of counting a resource needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure<'a> {
    Pods,
    Services,
    Claims,
    /// ResourceClaims: the devices that are asked for, by class.
    Devices,
    /// One an object: `count/PLURAL.GROUP`, and for some another name.
    Count {
        group: &'a str,
        plural: &'a str,
    },
}

impl<'a> Measure<'a> {
    /// How objects of a resource are measured.
    pub(crate) fn of(group: &'a str, plural: &'a str) -> Self {
        match (group, plural) {
            ("", "pods") => Measure::Pods,
            ("", "services") => Measure::Services,
            ("", "persistentvolumeclaims") => Measure::Claims,
            ("resource.k8s.io", "resourceclaims") => Measure::Devices,
            _ => Measure::Count { group, plural },
        }
    }

    /// How the resource behind a quota's name is measured; `None` for a name that nothing is counted by.
    pub(crate) fn behind(name: &'a str) -> Option<Self> {
        if let Some(counted) = name.strip_prefix("count/") {
            let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
            return Some(Measure::of(group, plural));
        }
        if let Some((plural, _)) = ALIASES.iter().find(|(_, alias)| *alias == name) {
            return Some(Measure::Count { group: "", plural });
        }
        let all = [Measure::Pods, Measure::Services, Measure::Claims, Measure::Devices];
        all.into_iter().find(|measure| measure.covers(name))
    }

    /// (group, plural) of the objects that are measured.
    pub(crate) fn resource(&self) -> (&'a str, &'a str) {
        match self {
            Measure::Pods => ("", "pods"),
            Measure::Services => ("", "services"),
            Measure::Claims => ("", "persistentvolumeclaims"),
            Measure::Devices => ("resource.k8s.io", "resourceclaims"),
            Measure::Count { group, plural } => (group, plural),
        }
    }

    /// Whether objects of this resource may count towards `name`.
    pub(crate) fn covers(&self, name: &str) -> bool {
        match self {
            Measure::Pods => {
                let huge = name.starts_with("hugepages-") || name.starts_with("requests.hugepages-");
                POD_NAMES.contains(&name) || huge || is_extended(name)
            }
            Measure::Services => SERVICE_NAMES.contains(&name),
            Measure::Claims => {
                let of_class = |plain: &&str| name.ends_with(&format!("{BY_CLASS}{plain}"));
                name == "count/persistentvolumeclaims"
                    || CLAIM_NAMES.contains(&name)
                    || CLAIM_NAMES.iter().any(of_class)
            }
            Measure::Devices => name == "count/resourceclaims.resource.k8s.io" || name.ends_with(DEVICES),
            Measure::Count { group, plural } => {
                let alias = group.is_empty() && ALIASES.iter().any(|(of, alias)| of == plural && *alias == name);
                alias || name.strip_prefix("count/").is_some_and(|counted| is_resource(counted, group, plural))
            }
        }
    }

    /// What an object uses.
    pub(crate) fn usage(&self, object: &Value, now: Timestamp) -> Amounts {
        match self {
            Measure::Pods => pod(object, now),
            Measure::Services => service(object),
            Measure::Claims => claim(object),
            Measure::Devices => devices(object),
            Measure::Count { group, plural } => {
                let name = if group.is_empty() { format!("count/{plural}") } else { format!("count/{plural}.{group}") };
                let alias = ALIASES.iter().find(|(of, _)| group.is_empty() && of == plural);
                let names = alias.map(|(_, alias)| (*alias).to_owned()).into_iter().chain([name]);
                names.map(|name| (name, count(1))).collect()
            }
        }
    }

    /// Whether an object meets one requirement of a quota's scopes.
    pub(crate) fn meets(&self, object: &Value, requirement: &Requirement) -> bool {
        match self {
            Measure::Pods => requirement.met_by_pod(object),
            Measure::Claims => requirement.met_by_claim(object),
            Measure::Services | Measure::Devices | Measure::Count { .. } => false,
        }
    }

    /// What an object leaves open that the quota has to know: upstream's text.
    pub(crate) fn missing(&self, object: &Value, names: &BTreeSet<String>) -> Option<String> {
        if *self != Measure::Pods || amounts::has_pod_level(object) {
            return None;
        }
        let all = amounts::containers(object, "containers").iter().chain(amounts::containers(object, "initContainers"));
        let all: Vec<(&str, Amounts)> = all
            .map(|container| {
                let (requests, limits) =
                    (amounts::of_container(container, Side::Requests), amounts::of_container(container, Side::Limits));
                (container.get("name").and_then(Value::as_str).unwrap_or(""), computed(&requests, &limits))
            })
            .collect();
        let mut told = Vec::new();
        for name in names.iter().filter(|name| DEMANDED.contains(&name.as_str())) {
            let silent: BTreeSet<&str> =
                all.iter().filter(|(_, own)| !own.contains_key(name)).map(|(c, _)| *c).collect();
            if !silent.is_empty() {
                let silent: Vec<&str> = silent.into_iter().collect();
                told.push(format!("{name} for: {}", silent.join(",")));
            }
        }
        (!told.is_empty()).then(|| format!("must specify {}", told.join("; ")))
    }
}

fn is_resource(counted: &str, group: &str, plural: &str) -> bool {
    counted
        .strip_prefix(plural)
        .is_some_and(|rest| if group.is_empty() { rest.is_empty() } else { rest.strip_prefix('.') == Some(group) })
}

fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    name.starts_with("requests.") && (!native || name.starts_with(DEVICE_CLASS))
}

fn pod(pod: &Value, now: Timestamp) -> Amounts {
    let mut usage = Amounts::from([("count/pods".to_owned(), count(1))]);
    if lives(pod, now) {
        let (requests, limits) = (amounts::of_pod(pod, Side::Requests, true), amounts::of_pod(pod, Side::Limits, true));
        amounts::add(&mut usage, &computed(&requests, &limits));
    }
    usage
}

/// Whether a pod still counts: not over, and not being deleted for longer than it was granted.
fn lives(pod: &Value, now: Timestamp) -> bool {
    if matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Failed" | "Succeeded")) {
        return false;
    }
    let gone = crate::object::meta_text(pod, "deletionTimestamp").parse::<Timestamp>().ok();
    let grace_s = pod.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    match (gone, grace_s) {
        (Some(gone), Some(grace_s)) => {
            gone.checked_add(SignedDuration::from_secs(grace_s)).is_ok_and(|until| now <= until)
        }
        _ => true,
    }
}

fn computed(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut usage = Amounts::from([("pods".to_owned(), count(1))]);
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(request) = requests.get(name) {
            usage.insert(name.to_owned(), *request);
            usage.insert(format!("requests.{name}"), *request);
        }
        if let Some(limit) = limits.get(name) {
            usage.insert(format!("limits.{name}"), *limit);
        }
    }
    for (name, request) in requests {
        if name.starts_with("hugepages-") {
            usage.insert(name.clone(), *request);
            usage.insert(format!("requests.{name}"), *request);
        } else if name.contains('/') && !name.contains("kubernetes.io/") {
            usage.insert(format!("requests.{name}"), *request);
        }
    }
    usage
}

fn service(service: &Value) -> Amounts {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let explicit = ports.iter().filter(|port| port.get("nodePort").and_then(Value::as_i64).unwrap_or(0) != 0).count();
    let allocates = service.pointer("/spec/allocateLoadBalancerNodePorts") != Some(&Value::Bool(false));
    let (node_ports, balancers) = match service.pointer("/spec/type").and_then(Value::as_str) {
        Some("NodePort") => (ports.len(), 0),
        Some("LoadBalancer") => (if allocates { ports.len() } else { explicit }, 1),
        _ => (0, 0),
    };
    let names = [
        ("count/services", 1),
        ("services", 1),
        ("services.nodeports", node_ports),
        ("services.loadbalancers", balancers),
    ];
    names.into_iter().map(|(name, number)| (name.to_owned(), count(number))).collect()
}

fn claim(claim: &Value) -> Amounts {
    let beta = crate::object::annotation(claim, "volume.beta.kubernetes.io/storage-class");
    let class = beta.or_else(|| claim.pointer("/spec/storageClassName")?.as_str()).filter(|class| !class.is_empty());
    let mut usage = Amounts::new();
    for name in ["persistentvolumeclaims", "count/persistentvolumeclaims"] {
        usage.insert(name.to_owned(), count(1));
    }
    if let Some(class) = class {
        usage.insert(format!("{class}{BY_CLASS}persistentvolumeclaims"), count(1));
    }
    let size = |pointer: &str| amounts::read(claim.pointer(pointer)).get("storage").copied();
    let Some(asked) = size("/spec/resources/requests") else { return usage };
    let size = size("/status/allocatedResources").filter(|allocated| *allocated > asked).unwrap_or(asked);
    let size = size.units().map_or(size, |units| Quantity::from_units(units, size.format()));
    usage.insert("requests.storage".to_owned(), size);
    if let Some(class) = class {
        usage.insert(format!("{class}{BY_CLASS}requests.storage"), size);
    }
    usage
}

/// Of alternatives the worst case counts, for each class by itself.
fn devices(claim: &Value) -> Amounts {
    let mut usage = Amounts::from([("count/resourceclaims.resource.k8s.io".to_owned(), count(1))]);
    for request in claim.pointer("/spec/devices/requests").and_then(Value::as_array).into_iter().flatten() {
        let alternatives = request.get("firstAvailable").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let exactly = request.get("exactly").filter(|exactly| !exactly.is_null() && alternatives.is_empty());
        let mut worst: BTreeMap<String, i64> = BTreeMap::new();
        for asked in alternatives.iter().chain(exactly) {
            let class = asked.get("deviceClassName").and_then(Value::as_str).unwrap_or("");
            let number = match asked.get("allocationMode").and_then(Value::as_str) {
                Some("ExactCount") => asked.get("count").and_then(Value::as_i64).unwrap_or(0),
                Some("All") => MAX_DEVICES,
                _ => 0,
            };
            let most = worst.entry(format!("{class}{DEVICES}")).or_default();
            *most = number.max(*most);
        }
        let units = |number: i64| Quantity::from_units(number, count(1).format());
        amounts::add(&mut usage, &worst.into_iter().map(|(name, number)| (name, units(number))).collect());
    }
    usage
}

#[cfg(test)]
mod tests {
    use super::Measure;
    use crate::admission::amounts::print;
    use serde_json::{Value, json};

    fn usage(group: &str, plural: &str, object: &Value) -> String {
        let now = "2026-01-01T00:00:00Z".parse().expect("a time");
        print(&Measure::of(group, plural).usage(object, now))
    }

    /// Protocol: A5
    #[test]
    fn usage_is_upstreams() {
        let resources = json!({"requests": {"cpu": "1", "example.com/dongle": "2", "hugepages-2Mi": "4Mi"}, "limits": {"memory": "1Gi"}});
        let pod = json!({"spec": {"containers": [{"resources": resources}]}});
        let over = json!({"spec": {"containers": [{"resources": resources}]}, "status": {"phase": "Succeeded"}});
        let stuck = json!({"metadata": {"deletionTimestamp": "2025-12-31T23:59:00Z", "deletionGracePeriodSeconds": 5}, "spec": {}});
        let service = |of: Value| json!({"spec": of});
        let claim = json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}});
        for (group, plural, object, want) in [
            (
                "",
                "pods",
                &pod,
                "count/pods=1,cpu=1,hugepages-2Mi=4Mi,limits.memory=1Gi,pods=1,requests.cpu=1,requests.example.com/dongle=2,requests.hugepages-2Mi=4Mi",
            ),
            ("", "pods", &over, "count/pods=1"),
            ("", "pods", &stuck, "count/pods=1"),
            (
                "",
                "services",
                &service(json!({"type": "NodePort", "ports": [{}, {}]})),
                "count/services=1,services=1,services.loadbalancers=0,services.nodeports=2",
            ),
            (
                "",
                "services",
                &service(
                    json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{"nodePort": 3}, {}]}),
                ),
                "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1",
            ),
            (
                "",
                "persistentvolumeclaims",
                &claim,
                "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi",
            ),
            ("", "configmaps", &json!({}), "configmaps=1,count/configmaps=1"),
            (
                "resource.k8s.io",
                "resourceclaims",
                &json!({"spec": {"devices": {"requests": [
                    {"exactly": {"deviceClassName": "gold", "allocationMode": "ExactCount", "count": 2}},
                    {"firstAvailable": [
                        {"deviceClassName": "gold", "allocationMode": "ExactCount", "count": 1},
                        {"deviceClassName": "gold", "allocationMode": "ExactCount", "count": 3},
                        {"deviceClassName": "tin", "allocationMode": "All"},
                    ]},
                ]}}}),
                "count/resourceclaims.resource.k8s.io=1,gold.deviceclass.resource.k8s.io/devices=5,tin.deviceclass.resource.k8s.io/devices=32",
            ),
            ("apps", "deployments", &json!({}), "count/deployments.apps=1"),
        ] {
            assert_eq!(usage(group, plural, object), want);
        }
    }

    #[test]
    fn names_lead_to_resources() {
        for (name, want) in [
            ("count/widgets.example.com", Some(("example.com", "widgets"))),
            ("count/pods", Some(("", "pods"))),
            ("requests.nvidia.com/gpu", Some(("", "pods"))),
            ("secrets", Some(("", "secrets"))),
            ("gold.storageclass.storage.k8s.io/requests.storage", Some(("", "persistentvolumeclaims"))),
            ("gold.deviceclass.resource.k8s.io/devices", Some(("resource.k8s.io", "resourceclaims"))),
            ("services.nodeports", Some(("", "services"))),
            ("example.com/thing", None),
        ] {
            let measure = Measure::behind(name);
            assert_eq!(measure.map(|measure| measure.resource()), want, "{name}");
            assert!(measure.is_none_or(|measure| measure.covers(name)), "{name}");
        }
    }
}
