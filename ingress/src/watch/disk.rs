//! The snapshot as it is kept on disk: the same objects as the hub answers, reduced to what routing reads.
//!
//! One set of readers for both, so that what was kept means what it meant.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use federation_types::endpoint::{Endpoint, Slice, group};
use federation_types::{label, text};
use serde_json::{Value, json};

use crate::annotation;
use crate::snapshot::{
    BackendRef, IngressClass, IngressObject, Named, ParametersObject, PathKind, PortRef, SecretObject, ServiceObject,
    Snapshot, TlsSecret, UserList,
};

/// Reads a Secret's certificate and key; `None` where one is missing.
pub fn tls_secret(object: &Value) -> Option<TlsSecret> {
    let field = |name: &str| STANDARD.decode(text::at(object, &["data", name])?.as_str()?).ok();
    Some(TlsSecret { certificate: field("tls.crt")?, private_key: field("tls.key")? })
}

/// Reads a Secret: its certificate and key where it has both, and everything else that it holds.
pub fn secret(object: &Value) -> SecretObject {
    let users = text::at(object, &["data"]).and_then(Value::as_object).into_iter().flatten();
    let users = users.filter(|(key, _)| !key.starts_with("tls."));
    let users: BTreeMap<String, Vec<u8>> =
        users.filter_map(|(key, value)| Some((key.clone(), STANDARD.decode(value.as_str()?).ok()?))).collect();
    let users = (!users.is_empty()).then(|| Arc::new(UserList(users)));
    SecretObject { tls: tls_secret(object).map(Arc::new), users }
}

/// The snapshot as one JSON value.
pub fn write(snapshot: &Snapshot) -> Value {
    let slices = snapshot.clusters.values().flat_map(|seen| &seen.slices);
    json!({
        "ingresses": snapshot.ingresses.iter().map(|ingress| write_ingress(ingress)).collect::<Vec<_>>(),
        "classes": snapshot.classes.iter().map(write_class).collect::<Vec<_>>(),
        "services": snapshot.services.values().map(|service| write_service(service)).collect::<Vec<_>>(),
        "slices": slices.map(write_slice).collect::<Vec<_>>(),
        "ownSlices": snapshot.own_slices.iter().map(write_slice).collect::<Vec<_>>(),
        "userLists": snapshot.user_lists.iter().map(|(key, users)| write_users(key, users)).collect::<Vec<_>>(),
        "secrets": snapshot.secrets.iter().map(|(key, secret)| write_secret(key, secret)).collect::<Vec<_>>(),
        "parameters": snapshot.parameters.iter().flatten().map(|(_, one)| write_parameters(one)).collect::<Vec<_>>(),
    })
}

/// What [`write`] wrote; unknown parts are passed over.
pub fn read(kept: &Value) -> Snapshot {
    let list = |name: &str| kept.get(name).and_then(Value::as_array).into_iter().flatten();
    let services: BTreeMap<_, _> = list("services")
        .map(|object| Arc::new(ServiceObject::read(object)))
        .map(|service| (service.key.clone(), service))
        .collect();
    let key = |object: &Value| Named::new(text::namespace(object), text::name(object));
    let certified = |object: &Value| Some((key(object), secret(object).tls?));
    let users = |object: &Value| Some((key(object), secret(object).users?));
    Snapshot {
        ingresses: list("ingresses").map(|object| Arc::new(IngressObject::read(object))).collect(),
        classes: list("classes").map(IngressClass::read).collect(),
        services,
        clusters: group(list("slices")),
        own_slices: group(list("ownSlices")).into_values().flat_map(|seen| seen.slices).collect(),
        secrets: list("secrets").filter_map(certified).collect(),
        user_lists: list("userLists").filter_map(users).collect(),
        // They are resolved anew.
        external: BTreeMap::new(),
        // What is reported from disk is told to nobody.
        parameters: kept.get("parameters").map(|_| list("parameters").map(parameters).collect()),
    }
}

fn parameters(object: &Value) -> (Named, Arc<ParametersObject>) {
    let read = Arc::new(ParametersObject::read(object));
    (read.key.clone(), read)
}

fn write_parameters(parameters: &ParametersObject) -> Value {
    json!({"metadata": metadata(&parameters.key), "spec": {"defaults": parameters.defaults}})
}

fn metadata(key: &Named) -> Value {
    json!({"namespace": &*key.namespace, "name": &*key.name})
}

fn write_ingress(ingress: &IngressObject) -> Value {
    let rule = |rule: &crate::snapshot::Rule| {
        let path = |path: &crate::snapshot::RulePath| {
            let kind = match path.kind {
                PathKind::Exact => "Exact",
                PathKind::Prefix => "Prefix",
                PathKind::Text => "ImplementationSpecific",
            };
            json!({"path": path.path, "pathType": kind, "backend": write_backend(&path.backend)})
        };
        json!({"host": rule.host, "http": {"paths": rule.paths.iter().map(path).collect::<Vec<_>>()}})
    };
    let tls = |tls: &crate::snapshot::TlsBlock| json!({"hosts": tls.hosts, "secretName": tls.secret});
    let mut object = json!({
        "metadata": metadata(&ingress.key),
        "spec": {
            "rules": ingress.rules.iter().map(rule).collect::<Vec<_>>(),
            "tls": ingress.tls.iter().map(tls).collect::<Vec<_>>(),
        },
        "status": {"loadBalancer": {"ingress": ingress.published}},
    });
    object["metadata"]["uid"] = json!(ingress.uid);
    object["metadata"]["creationTimestamp"] = json!(ingress.created);
    if let Some(class) = &ingress.class {
        object["spec"]["ingressClassName"] = json!(class);
    }
    let routing = ingress.annotations.iter().map(|(name, value)| (format!("{}{name}", annotation::OURS), value));
    let class = ingress.legacy_class.iter().map(|class| ("kubernetes.io/ingress.class".to_owned(), class));
    object["metadata"]["annotations"] = routing.chain(class).map(|(name, value)| (name, json!(value))).collect();
    if let Some(backend) = &ingress.default_backend {
        object["spec"]["defaultBackend"] = write_backend(backend);
    }
    object
}

fn write_backend(backend: &BackendRef) -> Value {
    match backend {
        BackendRef::Service { name, port: PortRef::Number(number) } => {
            json!({"service": {"name": name, "port": {"number": number}}})
        }
        BackendRef::Service { name, port: PortRef::Name(port) } => {
            json!({"service": {"name": name, "port": {"name": port}}})
        }
        BackendRef::Resource { kind, name } => json!({"resource": {"kind": kind, "name": name}}),
    }
}

fn write_class(class: &IngressClass) -> Value {
    let default = if class.default { "true" } else { "false" };
    let parameters = class.parameters.as_ref().map(|given| {
        let scope = if given.key.namespace.is_empty() { "Cluster" } else { "Namespace" };
        json!({
            "apiGroup": given.group, "kind": given.kind, "scope": scope,
            "namespace": &*given.key.namespace, "name": &*given.key.name,
        })
    });
    json!({
        "metadata": {"name": class.name, "annotations": {"ingressclass.kubernetes.io/is-default-class": default}},
        "spec": {"controller": class.controller, "parameters": parameters},
    })
}

fn write_service(service: &ServiceObject) -> Value {
    let port = |port: &crate::snapshot::ServicePort| json!({"name": port.name, "port": port.number, "protocol": port.protocol, "appProtocol": port.app_protocol});
    let kind = if service.external_name.is_some() { "ExternalName" } else { "ClusterIP" };
    let ports: Vec<Value> = service.ports.iter().map(port).collect();
    let mut object = json!({"metadata": metadata(&service.key), "spec": {
        "type": kind, "externalName": service.external_name, "ports": ports,
    }});
    if let Some(version) = &service.proxy_protocol {
        object["metadata"]["annotations"] = json!({label::PROXY_PROTOCOL: version});
    }
    if service.answers_for_all {
        object["metadata"]["annotations"][label::AUTH_SERVICE] = json!("true");
    }
    object
}

fn write_slice(slice: &Slice) -> Value {
    let port = |port: &federation_types::endpoint::Port| json!({"name": port.name, "port": port.number, "protocol": port.protocol, "appProtocol": port.app_protocol});
    let endpoint = |endpoint: &Endpoint| {
        json!({
            "addresses": endpoint.addresses,
            "conditions": {
                "ready": endpoint.ready, "serving": endpoint.serving, "terminating": endpoint.terminating,
            },
            "hostname": endpoint.hostname,
            "zone": endpoint.zone.as_deref(),
            "targetRef": {"name": endpoint.pod.as_deref()},
        })
    };
    json!({
        "metadata": {"namespace": slice.namespace, "labels": {
            "kubernetes.io/service-name": slice.service,
            label::CLUSTER: slice.cluster.as_str(),
            // What was kept was ours, or it would not have been kept.
            label::HUB: "kept",
        }},
        // Both families are read alike.
        "addressType": "IPv4",
        "ports": slice.ports.iter().map(port).collect::<Vec<_>>(),
        "endpoints": slice.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

fn write_users(key: &Named, users: &UserList) -> Value {
    let keys = users.0.iter().map(|(key, value)| (key.clone(), json!(STANDARD.encode(value))));
    json!({"metadata": metadata(key), "data": keys.collect::<serde_json::Map<_, _>>()})
}

fn write_secret(key: &Named, secret: &TlsSecret) -> Value {
    json!({"metadata": metadata(key), "data": {
        "tls.crt": STANDARD.encode(&secret.certificate), "tls.key": STANDARD.encode(&secret.private_key),
    }})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use federation_types::endpoint::group;
    use federation_types::label;
    use serde_json::json;

    use super::{parameters, read, write};
    use crate::snapshot::{IngressClass, IngressObject, Named, ServiceObject, Snapshot, TlsSecret, UserList};

    #[test]
    fn a_snapshot_comes_back_from_disk_as_it_was() {
        let service = |port: serde_json::Value| json!({"service": {"name": "s", "port": port}});
        let ingress = json!({
            "metadata": {
                "namespace": "n", "name": "i", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {
                    "kubernetes.io/ingress.class": "fedgate", "nginx.ingress.kubernetes.io/rewrite-target": "/$1",
                },
            },
            "spec": {
                "ingressClassName": "x", "defaultBackend": {"resource": {"kind": "K", "name": "r"}},
                "rules": [{"host": "h", "http": {"paths": [
                    {"path": "/a", "pathType": "Exact", "backend": service(json!({"number": 80}))},
                    {"path": "/b", "pathType": "Prefix", "backend": service(json!({"name": "http"}))},
                    {"path": "/c", "pathType": "ImplementationSpecific", "backend": service(json!({"number": 80}))},
                ]}}],
                "tls": [{"hosts": ["h"], "secretName": "t"}],
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}},
        });
        let slice = json!({
            "metadata": {"namespace": "n", "labels": {
                "kubernetes.io/service-name": "s", label::CLUSTER: "east", label::HUB: "u",
            }},
            "addressType": "IPv6",
            "ports": [{"name": "http", "port": 8080, "appProtocol": "h2c"}],
            "endpoints": [{
                "addresses": ["fd00::1"], "zone": "z", "hostname": "h", "targetRef": {"name": "pod"},
                "conditions": {"ready": false, "serving": true, "terminating": true},
            }],
        });
        let object =
            json!({"metadata": {"namespace": "n", "name": "s"}, "spec": {"ports": [{"name": "http", "port": 80}]}});
        let secret = TlsSecret { certificate: b"c".to_vec(), private_key: b"k".to_vec() };
        let before = Snapshot {
            ingresses: vec![Arc::new(IngressObject::read(&ingress))],
            classes: vec![IngressClass::read(&json!({
                "metadata": {"name": "fedgate", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
                "spec": {"controller": "c", "parameters": {
                    "apiGroup": "fedgate.dev", "kind": "IngressParameters", "scope": "Namespace", "namespace": "n", "name": "p",
                }},
            }))],
            services: [(Named::new("n", "s"), Arc::new(ServiceObject::read(&object)))].into(),
            clusters: group([&slice]),
            own_slices: group([&slice]).into_values().flat_map(|seen| seen.slices).collect(),
            user_lists: [(Named::new("n", "u"), Arc::new(UserList([("auth".to_owned(), b"x".to_vec())].into())))]
                .into(),
            secrets: [(Named::new("n", "t"), Arc::new(secret))].into(),
            external: BTreeMap::new(),
            parameters: Some(
                [parameters(&json!({
                    "metadata": {"namespace": "n", "name": "p"}, "spec": {"defaults": {"limit-rps": "5"}},
                }))]
                .into(),
            ),
        };
        let after = read(&write(&before));
        assert_eq!(after.ingresses, before.ingresses);
        assert_eq!(after.classes, before.classes);
        assert_eq!(after.services, before.services);
        assert_eq!(after.clusters, before.clusters);
        assert_eq!((after.own_slices.len(), &after.own_slices), (1, &before.own_slices));
        assert_eq!(after.secrets, before.secrets);
        assert_eq!(after.user_lists, before.user_lists);
        assert!(read(&json!({"ingresses": 3})).ingresses.is_empty());
    }
}
