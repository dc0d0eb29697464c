//! Whether an APIService is available, as its condition says it. Pure.
//!
//! Source: k8s.io/kube-aggregator `pkg/controllers/status/{local,remote}`, `pkg/apis/apiregistration/v1/helper`.

use serde_json::{Value, json};

use super::service::Remote;

const AVAILABLE: &str = "Available";

/// What is said about the availability of an APIService.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) status: bool,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Condition {
    fn failed(reason: &'static str, message: String) -> Self {
        Self { status: false, reason, message }
    }

    /// What follows from having asked the server.
    pub(crate) fn of_probe(outcome: Result<(), String>) -> Self {
        match outcome {
            Ok(()) => Self { status: true, reason: "Passed", message: "all checks passed".to_owned() },
            Err(message) => Self::failed("FailedDiscoveryCheck", message),
        }
    }
}

/// Why nobody needs to ask the server: its Service or endpoints are missing.
pub(crate) fn obstacle(remote: &Remote, service: Option<&Value>, slices: &[Value]) -> Option<Condition> {
    let (namespace, name) = &remote.service;
    let of = format!("service/{name} in {namespace:?}");
    let Some(service) = service else {
        return Some(Condition::failed("ServiceNotFound", format!("{of} is not present")));
    };
    let kind = service.pointer("/spec/type").and_then(Value::as_str).unwrap_or("ClusterIP");
    if kind != "ClusterIP" {
        return None;
    }
    let ports = service.pointer("/spec/ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let Some(port) = ports.iter().find(|port| port["port"].as_u64() == Some(remote.port.into())) else {
        let message = format!("{of} is not listening on port {}", remote.port);
        return Some(Condition::failed("ServicePortError", message));
    };
    if slices.is_empty() {
        return Some(Condition::failed("EndpointsNotFound", format!("cannot find endpointslices for {of}")));
    }
    let port_name = port["name"].as_str().unwrap_or("");
    if !slices.iter().any(|slice| has_endpoint(slice, port_name)) {
        let message = format!("endpointslices for {of} have no addresses with port name {port_name:?}");
        return Some(Condition::failed("MissingEndpoints", message));
    }
    None
}

fn has_endpoint(slice: &Value, port_name: &str) -> bool {
    let list = |field: &str| slice[field].as_array().map_or(&[][..], Vec::as_slice);
    let ready = |endpoint: &Value| endpoint.pointer("/conditions/ready") != Some(&Value::Bool(false));
    let named = |port: &Value| port["name"].as_str().unwrap_or("") == port_name && port["port"].is_u64();
    list("endpoints").iter().any(ready) && list("ports").iter().any(named)
}

/// Whether the condition is there and true.
pub(crate) fn is_available(object: &Value) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let mut all = conditions.into_iter().flatten();
    all.find(|condition| condition["type"] == AVAILABLE).is_some_and(|condition| condition["status"] == "True")
}

/// The status of an APIService that is being created.
pub(crate) fn first_status(object: &Value, now: &str) -> Value {
    if object.pointer("/spec/service").is_some_and(|service| !service.is_null()) {
        return json!({});
    }
    let local = json!({
        "type": AVAILABLE, "status": "True", "lastTransitionTime": now,
        "reason": "Local", "message": "Local APIServices are always available",
    });
    json!({"conditions": [local]})
}

/// Writes the condition into an APIService; says whether that changed anything.
pub(crate) fn set(object: &mut Value, condition: &Condition, now: &str) -> bool {
    let before = object["status"].clone();
    if !object["status"]["conditions"].is_array() {
        object["status"] = json!({"conditions": []});
    }
    let Some(all) = object["status"]["conditions"].as_array_mut() else { return false };
    let at = all.iter().position(|known| known["type"] == AVAILABLE).unwrap_or_else(|| {
        all.push(json!({"type": AVAILABLE}));
        all.len() - 1
    });
    let status = if condition.status { "True" } else { "False" };
    if all[at]["status"] != status {
        all[at]["status"] = status.into();
        all[at]["lastTransitionTime"] = now.into();
    }
    all[at]["reason"] = condition.reason.into();
    all[at]["message"] = condition.message.as_str().into();
    object["status"] != before
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Condition, first_status, is_available, obstacle, set};
    use crate::aggregation::service::Remote;

    fn api_service() -> Value {
        json!({"metadata": {"name": "v1.a.example"}, "spec": {"group": "a.example", "version": "v1",
            "service": {"namespace": "ns", "name": "api", "port": 443}}})
    }

    /// Protocol: G1
    #[test]
    fn what_is_missing_before_the_server_is_upstreams() {
        let remote = Remote::read(&api_service()).expect("remote");
        let service = |port: u16| json!({"spec": {"type": "ClusterIP", "ports": [{"name": "https", "port": port}]}});
        let slice = |ready: bool, port: &str| {
            json!({"endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}],
                "ports": [{"name": port, "port": 8443}]})
        };
        type Case = (Option<Value>, Vec<Value>, Option<(&'static str, &'static str)>);
        let cases: [Case; 7] = [
            (None, vec![], Some(("ServiceNotFound", r#"service/api in "ns" is not present"#))),
            (
                Some(service(444)),
                vec![],
                Some(("ServicePortError", r#"service/api in "ns" is not listening on port 443"#)),
            ),
            (
                Some(service(443)),
                vec![],
                Some(("EndpointsNotFound", r#"cannot find endpointslices for service/api in "ns""#)),
            ),
            (
                Some(service(443)),
                vec![slice(false, "https")],
                Some((
                    "MissingEndpoints",
                    r#"endpointslices for service/api in "ns" have no addresses with port name "https""#,
                )),
            ),
            (
                Some(service(443)),
                vec![slice(true, "other")],
                Some((
                    "MissingEndpoints",
                    r#"endpointslices for service/api in "ns" have no addresses with port name "https""#,
                )),
            ),
            (Some(service(443)), vec![slice(false, "https"), slice(true, "https")], None),
            (Some(json!({"spec": {"type": "ExternalName"}})), vec![], None),
        ];
        for (service, slices, want) in cases {
            let found = obstacle(&remote, service.as_ref(), &slices);
            let found = found.as_ref().map(|condition| (condition.reason, condition.message.as_str()));
            assert_eq!(found, want);
        }
    }

    /// Protocol: G1
    #[test]
    fn the_time_of_a_condition_is_that_of_its_last_change() {
        let mut object = api_service();
        assert!(!is_available(&object));
        let failed = Condition::of_probe(Err("no".to_owned()));
        assert!(set(&mut object, &failed, "t1"));
        assert!(!set(&mut object, &failed, "t2"), "nothing has changed");
        assert!(set(&mut object, &Condition::of_probe(Err("other".to_owned())), "t3"));
        assert_eq!(object["status"]["conditions"][0]["lastTransitionTime"], "t1");
        object["status"]["conditions"].as_array_mut().expect("a list").push(json!({"type": "Mine", "status": "True"}));
        assert!(set(&mut object, &Condition::of_probe(Ok(())), "t4"));
        let all = &object["status"]["conditions"];
        let passed = json!({"type": "Available", "status": "True", "reason": "Passed",
            "message": "all checks passed", "lastTransitionTime": "t4"});
        assert_eq!(*all, json!([passed, {"type": "Mine", "status": "True"}]));
        assert!(is_available(&object));
        assert_eq!(first_status(&object, "t"), json!({}));
        object["spec"]["service"] = Value::Null;
        assert_eq!(first_status(&object, "t")["conditions"][0]["reason"], "Local");
    }
}
