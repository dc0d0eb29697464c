//! EndpointSlices: what a service's selector finds, with ports looked up in the pods.
//!
//! `plan` is pure; slices inherit the service's labels, as the real controller's do.

use federation_types::{Gvr, text};
use hub_client::{Caller, Collection, ReconcileError};
use serde_json::{Value, json};

use super::commit::Action;
use super::pod;

const SERVICE: &str = "kubernetes.io/service-name";

/// The pods of the service's namespace and the slice that stands.
///
/// # Errors
/// If the API does not answer.
pub async fn inputs(api: &Caller, service: &Value) -> Result<Vec<Value>, ReconcileError> {
    let namespace = text::namespace(service);
    let mut all = api.list(&Collection::all(Gvr::new("v1", "pods")).within(namespace)).await?.items;
    let slices = Collection::all(slices()).within(namespace).labelled(format!("{SERVICE}={}", text::name(service)));
    all.extend(api.list(&slices).await?.items.into_iter().map(|mut slice| {
        slice["kind"] = "EndpointSlice".into();
        slice
    }));
    Ok(all)
}

fn slices() -> Gvr {
    Gvr::new("discovery.k8s.io/v1", "endpointslices")
}

/// The slice to create or change.
pub fn plan(service: &Value, others: &[Value]) -> Vec<Action> {
    let Some(selector) = text::at(service, &["spec", "selector"]).and_then(Value::as_object).filter(|s| !s.is_empty())
    else {
        return Vec::new();
    };
    let (old, pods): (Vec<&Value>, Vec<&Value>) = others.iter().partition(|o| o["kind"] == "EndpointSlice");
    let selected: Vec<&Value> = pods
        .into_iter()
        .filter(|p| selector.iter().all(|(k, v)| text::label(p, k) == v.as_str()))
        .filter(|p| !text::str_at(p, &["status", "podIP"]).is_empty())
        .filter(|p| !matches!(text::str_at(p, &["status", "phase"]), "Succeeded" | "Failed"))
        .collect();
    let mut endpoints: Vec<Value> = selected.iter().map(|p| endpoint(p)).collect();
    endpoints.sort_by(|a, b| text::str_at(&a["targetRef"], &["name"]).cmp(text::str_at(&b["targetRef"], &["name"])));
    let mut labels = text::at(service, &["metadata", "labels"]).cloned().unwrap_or_else(|| json!({}));
    labels[SERVICE] = text::name(service).into();
    labels["endpointslice.kubernetes.io/managed-by"] = "endpointslice-controller.k8s.io".into();
    let content = json!({"endpoints": endpoints, "ports": ports(service, &selected)});
    match old.first() {
        None => vec![Action::Create(
            slices(),
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"generateName": format!("{}-", text::name(service)), "namespace": text::namespace(service),
                    "labels": labels, "ownerReferences": [pod::owner_reference(service)]},
                "endpoints": content["endpoints"], "ports": content["ports"],
            }),
        )],
        Some(slice) => {
            let same = slice["endpoints"] == content["endpoints"]
                && slice["ports"] == content["ports"]
                && slice["metadata"]["labels"] == labels;
            if same {
                return Vec::new();
            }
            let mut patch = content;
            patch["metadata"] = json!({"labels": labels});
            vec![Action::Patch(slices(), (*slice).clone(), patch)]
        }
    }
}

fn endpoint(p: &Value) -> Value {
    let (ready, ending) = (pod::is_ready(p), !text::str_at(p, &["metadata", "deletionTimestamp"]).is_empty());
    json!({
        "addresses": [p["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": ready || ending, "terminating": ending},
        "nodeName": p["spec"]["nodeName"],
        "targetRef": {"kind": "Pod", "namespace": text::namespace(p), "name": text::name(p), "uid": text::uid(p)},
    })
}

fn ports(service: &Value, pods: &[&Value]) -> Vec<Value> {
    let mut found = Vec::new();
    for port in text::list_at(service, &["spec", "ports"]) {
        let target = port.get("targetPort").filter(|t| !t.is_null()).unwrap_or(&port["port"]);
        let number = match target {
            Value::String(name) => pods.iter().find_map(|p| named_port(p, name)),
            other => other.as_i64(),
        };
        if let Some(number) = number {
            let protocol = text::at(port, &["protocol"]).and_then(Value::as_str).unwrap_or("TCP");
            let mut entry = json!({"name": text::str_at(port, &["name"]), "port": number, "protocol": protocol});
            if let Some(app) = port.get("appProtocol") {
                entry["appProtocol"] = app.clone();
            }
            found.push(entry);
        }
    }
    found
}

fn named_port(p: &Value, name: &str) -> Option<i64> {
    text::list_at(p, &["spec", "containers"])
        .flat_map(|c| text::list_at(c, &["ports"]))
        .find(|port| text::str_at(port, &["name"]) == name)
        .and_then(|port| text::int_at(port, &["containerPort"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::commit::Action;
    use super::plan;

    #[test]
    fn a_named_port_is_looked_up_and_labels_are_inherited() {
        let service = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "d", "labels": {"fedgate.dev/hub": "h"}},
            "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}]}});
        let pod = json!({"metadata": {"name": "p", "namespace": "d", "labels": {"app": "web"}},
            "spec": {"containers": [{"ports": [{"name": "web", "containerPort": 8080}]}]},
            "status": {"podIP": "127.9.0.1", "conditions": [{"type": "Ready", "status": "True"}]}});
        let Action::Create(_, slice) = &plan(&service, &[pod])[0] else { panic!("a create") };
        assert_eq!(slice["ports"][0]["port"], 8080);
        assert_eq!(slice["metadata"]["labels"]["fedgate.dev/hub"], "h");
        assert_eq!(slice["endpoints"][0]["conditions"]["ready"], true);
    }
}
