//! What is refused and in which words; every table row is an object with one thing wrong.

use serde_json::{Value, json};

use super::{name_errors, refuse_member_fields, validate};
use crate::facts::{Resource, kubernetes};

fn resource(group: &str, kind: &str) -> &'static Resource {
    let version = if group == "fedgate.dev" { "v1alpha1" } else { "v1" };
    kubernetes().by_kind(group, version, kind).unwrap_or_else(|| panic!("{group} {kind}"))
}

fn named(group: &str, kind: &str, rest: Value) -> Value {
    let mut meta = json!({"name": "x"});
    if resource(group, kind).namespaced {
        meta["namespace"] = json!("shop");
    }
    let mut object = rest;
    match object.get_mut("metadata") {
        Some(Value::Object(given)) => {
            for (key, value) in meta.as_object().expect("object") {
                given.entry(key.clone()).or_insert(value.clone());
            }
        }
        _ => object["metadata"] = meta,
    }
    object
}

fn complaints(group: &str, kind: &str, rest: Value) -> Vec<String> {
    let object = named(group, kind, rest);
    validate(kubernetes(), resource(group, kind), &object, None).iter().map(ToString::to_string).collect()
}

fn deployment(change: impl Fn(&mut Value)) -> Value {
    let mut object = json!({"spec": {"replicas": 1, "selector": {"matchLabels": {"app": "x"}}, "template": {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 80}],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}}}],
            "volumes": [{"name": "v", "emptyDir": {}}]}}}});
    change(&mut object);
    object
}

/// (group, kind, object, the complaint; empty: valid)
fn check(table: Vec<(&str, &str, Value, &str)>) {
    for (group, kind, object, expected) in table {
        let found = complaints(group, kind, object.clone());
        if expected.is_empty() {
            assert_eq!(found, Vec::<String>::new(), "{kind} {object}");
        } else {
            assert!(
                found.iter().any(|text| text == expected),
                "{kind} {object}\n found {found:#?}\n wanted {expected}"
            );
            assert_eq!(found.len(), 1, "{kind} {object}\n {found:#?}");
        }
    }
}

/// Protocol: DEL6
#[test]
fn metadata() {
    let huge = "a".repeat(256 * 1024);
    check(vec![
        ("", "ConfigMap", json!({}), ""),
        (
            "",
            "Namespace",
            json!({"metadata": {"name": "a.b"}}),
            "metadata.name: Invalid value: \"a.b\": must not contain dots",
        ),
        (
            "",
            "Namespace",
            json!({"metadata": {"name": "a", "namespace": "b"}}),
            "metadata.namespace: Forbidden: not allowed on this type",
        ),
        (
            "",
            "ConfigMap",
            json!({"metadata": {"name": ""}}),
            "metadata.name: Required value: name or generateName is required",
        ),
        ("", "ConfigMap", json!({"metadata": {"namespace": ""}}), "metadata.namespace: Required value"),
        ("", "ConfigMap", json!({"metadata": {"generateName": "web-", "name": "web-abc"}}), ""),
        ("rbac.authorization.k8s.io", "ClusterRole", json!({"metadata": {"name": "system:node"}}), ""),
        (
            "rbac.authorization.k8s.io",
            "ClusterRole",
            json!({"metadata": {"name": "a/b"}}),
            "metadata.name: Invalid value: \"a/b\": may not contain '/'",
        ),
        (
            "",
            "ConfigMap",
            json!({"metadata": {"annotations": {"a": huge}}}),
            "metadata.annotations: Too long: may not be more than 262144 bytes",
        ),
        ("", "ConfigMap", json!({"metadata": {"annotations": {"Example.com/A": "any ✓ text"}}}), ""),
        (
            "",
            "ConfigMap",
            json!({"metadata": {"labels": {"a": "x".repeat(64)}}}),
            &format!("metadata.labels: Invalid value: \"{}\": must be no more than 63 bytes", "x".repeat(64)),
        ),
        (
            "",
            "ConfigMap",
            json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n"}]}}),
            "metadata.ownerReferences[0].uid: Required value: must not be empty",
        ),
        (
            "",
            "ConfigMap",
            json!({"metadata": {"finalizers": ["orphan", "foregroundDeletion"]}}),
            "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer foregroundDeletion and orphan cannot be both set",
        ),
    ]);
    let service = resource("", "Service");
    assert!(name_errors(service, "web-", true).is_empty());
    assert!(!name_errors(service, "web-", false).is_empty());
    assert!(!name_errors(service, "1web", false).is_empty());
}

/// Protocol: E5
#[test]
fn workloads() {
    let template = |change: fn(&mut Value)| deployment(move |d| change(&mut d["spec"]["template"]["spec"]));
    check(vec![
        ("apps", "Deployment", deployment(|_| {}), ""),
        (
            "apps",
            "Deployment",
            deployment(|d| d["spec"]["replicas"] = json!(-1)),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        ("apps", "Deployment", deployment(|d| d["spec"]["selector"] = Value::Null), "spec.selector: Required value"),
        (
            "apps",
            "Deployment",
            deployment(|d| d["spec"]["selector"] = json!({})),
            "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
        ),
        (
            "apps",
            "Deployment",
            deployment(|d| d["spec"]["template"]["metadata"]["labels"] = json!({"app": "y"})),
            "spec.template.metadata.labels: Invalid value: {\"app\":\"y\"}: `selector` does not match template `labels`",
        ),
        (
            "apps",
            "Deployment",
            template(|s| s["containers"] = json!([])),
            "spec.template.spec.containers: Required value",
        ),
        (
            "apps",
            "Deployment",
            template(|s| s["containers"][0]["image"] = json!("")),
            "spec.template.spec.containers[0].image: Required value",
        ),
        (
            "apps",
            "Deployment",
            template(|s| s["containers"][0]["name"] = Value::Null),
            "spec.template.spec.containers[0].name: Required value",
        ),
        (
            "apps",
            "Deployment",
            template(|s| s["containers"][0]["ports"][0]["containerPort"] = json!(70000)),
            "spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            "apps",
            "Deployment",
            template(|s| s["containers"][0]["ports"][0]["protocol"] = json!("tcp")),
            "spec.template.spec.containers[0].ports[0].protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        ),
        (
            "apps",
            "Deployment",
            template(|s| s["containers"][0]["volumeMounts"][0]["name"] = json!("w")),
            "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"w\"",
        ),
        (
            "apps",
            "Deployment",
            template(|s| s["containers"][0]["resources"]["requests"]["cpu"] = json!("2")),
            "spec.template.spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
        (
            "apps",
            "Deployment",
            template(|s| s["containers"][0]["resources"]["limits"]["cpu"] = json!("lots")),
            "spec.template.spec.containers[0].resources.limits[cpu]: Invalid value: \"lots\": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            "apps",
            "Deployment",
            template(|s| s["restartPolicy"] = json!("Never")),
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ),
        (
            "apps",
            "Deployment",
            template(|s| s["initContainers"] = json!([{"name": "a", "image": "i"}])),
            "spec.template.spec.initContainers[0].name: Duplicate value: \"a\"",
        ),
        (
            "batch",
            "Job",
            json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}}}),
            "",
        ),
        (
            "batch",
            "Job",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "i"}]}}}}),
            "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
        ),
        ("", "Pod", json!({"spec": {"containers": [{"name": "a", "image": "i"}]}}), ""),
        ("", "Pod", json!({"spec": {}}), "spec.containers: Required value"),
    ]);
}

#[test]
fn claims_of_a_stateful_set_are_volumes() {
    let claimed = |name: &str| {
        deployment(|object| {
            object["spec"]["serviceName"] = json!("s");
            object["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": name}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
            }}]);
            object["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]["name"] = json!("data");
        })
    };
    let missing = "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"data\"";
    check(vec![("apps", "StatefulSet", claimed("data"), ""), ("apps", "StatefulSet", claimed("other"), missing)]);
}

#[test]
fn services_ingresses_and_keys() {
    let ports = |ports: Value| json!({"spec": {"type": "ClusterIP", "ports": ports}});
    let path = |path: Value| json!({"spec": {"rules": [{"host": "a.example", "http": {"paths": [path]}}]}});
    let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
    check(vec![
        ("", "Service", ports(json!([{"port": 80}])), ""),
        ("", "Service", ports(json!([])), "spec.ports: Required value"),
        ("", "Service", json!({"spec": {"clusterIP": "None"}}), ""),
        ("", "Service", json!({"spec": {"type": "ExternalName", "externalName": "a.example."}}), ""),
        ("", "Service", json!({"spec": {"type": "ExternalName"}}), "spec.externalName: Required value"),
        (
            "",
            "Service",
            json!({"spec": {"type": "Internal", "ports": [{"port": 1}]}}),
            "spec.type: Unsupported value: \"Internal\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
        ),
        (
            "",
            "Service",
            ports(json!([{"port": 0}])),
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        ("", "Service", ports(json!([{"port": 1, "name": "a"}, {"port": 2}])), "spec.ports[1].name: Required value"),
        (
            "",
            "Service",
            ports(json!([{"port": 1, "name": "a"}, {"port": 1, "name": "b"}])),
            "spec.ports[1]: Duplicate value: {\"port\":1,\"protocol\":\"TCP\"}",
        ),
        (
            "",
            "Service",
            ports(json!([{"port": 1, "targetPort": "9"}])),
            "spec.ports[0].targetPort: Invalid value: \"9\": must contain at least one letter (a-z)",
        ),
        (
            "networking.k8s.io",
            "Ingress",
            json!({"spec": {}}),
            "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified",
        ),
        ("networking.k8s.io", "Ingress", path(json!({"path": "/", "pathType": "Prefix", "backend": backend})), ""),
        (
            "networking.k8s.io",
            "Ingress",
            path(json!({"path": "/", "backend": backend})),
            "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
        ),
        (
            "networking.k8s.io",
            "Ingress",
            path(json!({"path": "a", "pathType": "Exact", "backend": backend})),
            "spec.rules[0].http.paths[0].path: Invalid value: \"a\": must be an absolute path",
        ),
        (
            "networking.k8s.io",
            "Ingress",
            path(json!({"path": "/a//b", "pathType": "Exact", "backend": backend})),
            "spec.rules[0].http.paths[0].path: Invalid value: \"/a//b\": must not contain '//'",
        ),
        (
            "networking.k8s.io",
            "Ingress",
            path(json!({"path": "/", "pathType": "prefix", "backend": backend})),
            "spec.rules[0].http.paths[0].pathType: Unsupported value: \"prefix\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"",
        ),
        (
            "networking.k8s.io",
            "Ingress",
            path(json!({"path": "/", "pathType": "Prefix", "backend": {}})),
            "spec.rules[0].http.paths[0].backend: Invalid value: \"\": resource or service backend is required",
        ),
        (
            "networking.k8s.io",
            "Ingress",
            path(json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s"}}})),
            "spec.rules[0].http.paths[0].backend: Required value: port name or number is required",
        ),
        (
            "networking.k8s.io",
            "Ingress",
            json!({"spec": {"rules": [{"host": "10.0.0.1"}]}}),
            "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address",
        ),
        ("", "ConfigMap", json!({"data": {"..a": "b"}}), "data[..a]: Invalid value: \"..a\": must not start with '..'"),
        (
            "",
            "ConfigMap",
            json!({"data": {"a": "b"}, "binaryData": {"a": "Yg=="}}),
            "data[a]: Invalid value: \"a\": duplicate of key present in binaryData",
        ),
        (
            "",
            "ConfigMap",
            json!({"data": {"a": "x".repeat(1024 * 1024 + 1)}}),
            "[]: Too long: may not be more than 1048576 bytes",
        ),
        (
            "",
            "Secret",
            json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "Yg=="}}),
            "data[tls.key]: Required value",
        ),
        ("", "Secret", json!({"type": "Opaque", "data": {"a": "Yg=="}}), ""),
    ]);
}

#[test]
fn what_may_not_change() {
    let table = [
        (
            "apps",
            "Deployment",
            json!({"spec": {"selector": {"matchLabels": {"a": "1"}}}}),
            json!({"spec": {"selector": {"matchLabels": {"a": "2"}}}}),
            "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"2\"}}: field is immutable",
        ),
        ("", "Secret", json!({"type": "a"}), json!({"type": "b"}), "type: Invalid value: \"b\": field is immutable"),
        (
            "",
            "ConfigMap",
            json!({"immutable": true, "data": {"a": "1"}}),
            json!({"immutable": true, "data": {"a": "2"}}),
            "data: Forbidden: field is immutable when `immutable` is set",
        ),
        (
            "",
            "ConfigMap",
            json!({"immutable": true}),
            json!({}),
            "immutable: Forbidden: field is immutable when `immutable` is set",
        ),
        (
            "",
            "Service",
            json!({"spec": {"clusterIP": "10.0.0.1"}}),
            json!({"spec": {"clusterIP": "10.0.0.2"}}),
            "spec.clusterIP: Invalid value: \"10.0.0.2\": field is immutable",
        ),
        (
            "",
            "ConfigMap",
            json!({"metadata": {"uid": "1"}}),
            json!({"metadata": {"uid": "2"}}),
            "metadata.uid: Invalid value: \"2\": field is immutable",
        ),
        (
            "",
            "ConfigMap",
            json!({"metadata": {"deletionTimestamp": "t", "finalizers": ["a/b"]}}),
            json!({"metadata": {"deletionTimestamp": "t", "finalizers": ["a/b", "c/d"]}}),
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"c/d\"}",
        ),
    ];
    for (group, kind, old, new, expected) in table {
        let (old, new) = (named(group, kind, old), named(group, kind, new));
        let found = validate(kubernetes(), resource(group, kind), &new, Some(&old));
        assert!(found.iter().any(|e| e.to_string() == expected), "{kind}: {found:#?}");
        assert!(
            validate(kubernetes(), resource(group, kind), &old, Some(&old)).iter().all(|e| e.to_string() != expected)
        );
    }
}

#[test]
fn addresses_of_members_are_refused_by_name() {
    let service = |spec: Value| named("", "Service", json!({"spec": spec}));
    let old = service(json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]}));
    let table = [
        (json!({"clusterIP": "None"}), None, ""),
        (json!({"clusterIP": ""}), None, ""),
        (json!({"clusterIP": "10.0.0.9"}), None, "spec.clusterIP"),
        (json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]}), Some(&old), ""),
        (json!({"clusterIPs": ["10.0.0.9"]}), Some(&old), "spec.clusterIPs[0]"),
        (json!({"ports": [{"port": 1, "nodePort": 30000}]}), None, "spec.ports[0].nodePort"),
    ];
    for (spec, old, path) in table {
        let found = refuse_member_fields(resource("", "Service"), &service(spec.clone()), old);
        assert_eq!(found.first().map_or("", |e| e.path.as_str()), path, "{spec}");
    }
    let claim = named("", "PersistentVolumeClaim", json!({"spec": {"volumeName": "pv"}}));
    assert_eq!(refuse_member_fields(resource("", "PersistentVolumeClaim"), &claim, None).len(), 1);
}

#[test]
fn our_own_kinds() {
    let group = "fedgate.dev";
    let placement = |spec: Value| {
        let mut full = json!({"select": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}]});
        full.as_object_mut().expect("object").extend(spec.as_object().expect("object").clone());
        json!({"spec": full})
    };
    let rule = |rule: Value| json!({"spec": {"select": [{"apiVersion": "v1", "kind": "Service"}], "rules": [rule]}});
    check(vec![
        (
            group,
            "Cluster",
            json!({"spec": {"server": "https://10.0.0.5:6443", "taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}}),
            "",
        ),
        (group, "Cluster", json!({}), "spec: Required value"),
        (group, "Cluster", json!({"spec": {}}), "spec.server: Required value"),
        (
            group,
            "Cluster",
            json!({"metadata": {"name": "a.b"}, "spec": {"server": "https://a"}}),
            "metadata.name: Invalid value: \"a.b\": must not contain dots",
        ),
        (
            group,
            "Cluster",
            json!({"spec": {"server": "http://a"}}),
            "spec.server: Invalid value: \"http://a\": must be an https URL with a host and without credentials",
        ),
        (
            group,
            "Cluster",
            json!({"spec": {"server": "https://u:p@a"}}),
            "spec.server: Invalid value: \"https://u:p@a\": must be an https URL with a host and without credentials",
        ),
        (
            group,
            "Cluster",
            json!({"spec": {"server": "https://a", "taints": [{"key": "a", "effect": "PreferNoSchedule"}]}}),
            "spec.taints[0].effect: Unsupported value: \"PreferNoSchedule\": supported values: \"NoSchedule\", \"NoExecute\"",
        ),
        (
            group,
            "Placement",
            placement(
                json!({"clusters": [{"names": ["east", "eu-*"], "exclude": ["eu-3"]}], "failover": {"after": "5m", "return": "1h30m"},
            "spread": [{"by": "region", "min": 2, "max": 3}, {"by": "label:tier"}], "replicas": {"mode": "Divided", "weights": [{"clusters": {"names": ["east"]}, "weight": 2}]}}),
            ),
            "",
        ),
        (
            group,
            "Placement",
            json!({"spec": {"select": []}}),
            "spec.select: Required value: at least one template must be selected",
        ),
        (
            group,
            "Placement",
            json!({"spec": {"select": [{"kind": "Deployment", "apiVersion": ""}]}}),
            "spec.select[0].apiVersion: Required value",
        ),
        (
            group,
            "Placement",
            json!({"spec": {"select": [{"apiVersion": "v1", "kind": "Pod", "namespace": "other"}]}}),
            "spec.select[0].namespace: Forbidden: only templates of namespace shop may be selected; use the cluster-scoped kind",
        ),
        (
            group,
            "Placement",
            placement(json!({"clusters": [{"names": ["East"]}]})),
            "spec.clusters[0].names[0]: Invalid value: \"East\": must be the name of a cluster or a glob of lower case letters, digits, '-' and '*'",
        ),
        (
            group,
            "Placement",
            placement(json!({"replicas": {"mode": "Some"}})),
            "spec.replicas.mode: Unsupported value: \"Some\": supported values: \"Duplicated\", \"Divided\"",
        ),
        (
            group,
            "Placement",
            placement(json!({"replicas": {"weights": [{"clusters": {}, "weight": -1}]}})),
            "spec.replicas.weights[0].weight: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            group,
            "Placement",
            placement(json!({"failover": {"after": "5 minutes"}})),
            "spec.failover.after: Invalid value: \"5 minutes\": must be a duration such as 90s, 5m or 1h30m",
        ),
        (
            group,
            "Placement",
            placement(json!({"spread": [{"by": "planet"}]})),
            "spec.spread[0].by: Unsupported value: \"planet\": supported values: \"cluster\", \"region\", \"zone\", \"provider\", \"label:KEY\"",
        ),
        (
            group,
            "Placement",
            placement(json!({"spread": [{"by": "zone", "min": 3, "max": 2}]})),
            "spec.spread[0].min: Invalid value: 3: must be less than or equal to max",
        ),
        (
            group,
            "Placement",
            placement(json!({"clusters": [{"labelSelector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}}]})),
            "spec.clusters[0].labelSelector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator",
        ),
        (
            group,
            "Override",
            rule(
                json!({"image": [{"container": "a", "tag": "1"}], "jsonPatch": [{"op": "add", "path": "/spec/x", "value": null}]}),
            ),
            "",
        ),
        (
            group,
            "Override",
            rule(json!({"image": [{"container": "a"}]})),
            "spec.rules[0].image[0]: Required value: one of registry, repository, tag and digest must be set",
        ),
        (
            group,
            "Override",
            rule(json!({"jsonPatch": [{"op": "add", "path": "/metadata/name", "value": "x"}]})),
            "spec.rules[0].jsonPatch[0].path: Forbidden: /metadata/name may not be overridden",
        ),
        (
            group,
            "Override",
            rule(json!({"jsonPatch": [{"op": "replace", "path": "/spec/x"}]})),
            "spec.rules[0].jsonPatch[0].value: Required value",
        ),
        (
            group,
            "Override",
            rule(json!({"mergePatch": [1]})),
            "spec.rules[0].mergePatch: Invalid value: [1]: must be an object",
        ),
    ]);
}

#[test]
fn odd_shapes_do_not_panic() {
    for resource in kubernetes().resources() {
        for odd in [
            json!(null),
            json!([]),
            json!("x"),
            json!({"spec": 1}),
            json!({"spec": {"template": [], "ports": {}, "rules": 1, "select": "x"}}),
            json!({"metadata": {"labels": [], "annotations": 1, "finalizers": {}, "ownerReferences": [1]}, "data": []}),
        ] {
            let errors = validate(kubernetes(), resource, &odd, Some(&odd));
            assert!(errors.iter().all(|e| !e.to_string().is_empty()));
        }
    }
}
