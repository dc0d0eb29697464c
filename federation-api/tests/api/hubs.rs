//! What only a hub does: authors, addresses, warnings, columns; and that nobody grants more than he holds.

use std::net::Ipv4Addr;
use std::sync::Arc;

use auth::UserInfo;
use bytes::Bytes;
use federation_api::{Api, ServiceRange, StoreConfig};
use federation_types::extension::PlacementView;
use federation_types::label::AUTHOR;
use http::Method;
use serde_json::{Value, json};

use crate::hub::{CONFIG_MAPS, Hub, config_map};

struct Everything;

impl PlacementView for Everything {
    fn unplaced_warning(&self, template: &Value) -> Option<String> {
        (template["metadata"]["name"] == "lonely").then(|| "nothing places this".to_owned())
    }
    fn clusters_cell(&self, template: &Value) -> Option<String> {
        (template["kind"] == "ConfigMap").then(|| "east:1".to_owned())
    }
    fn is_template(&self, object: &Value) -> bool {
        object["kind"] == "ConfigMap" || object["kind"] == "Service"
    }
}

async fn start() -> Hub {
    let range = ServiceRange::new(Ipv4Addr::new(10, 9, 0, 0), 29).expect("a range");
    let api = Api::builder()
        .placement(Arc::new(Everything))
        .service_range(range)
        .components(["component".to_owned()])
        .open(StoreConfig::Memory);
    Hub::with(api.await.expect("a store in memory")).await
}

#[tokio::test]
async fn the_author_is_written_by_the_server_alone() {
    let hub = start().await;
    let mut forged = config_map("a");
    forged["metadata"]["annotations"] = json!({AUTHOR: "somebody"});
    let reply = hub.post(CONFIG_MAPS, &forged).await;
    assert!(reply.warnings()[0].contains("written by the server alone"), "{:?}", reply.warnings());
    let made = reply.expect(201);
    let author: Value =
        serde_json::from_str(made["metadata"]["annotations"][AUTHOR].as_str().expect("text")).expect("JSON");
    assert_eq!(author["username"], "admin");
    let path = format!("{CONFIG_MAPS}/a");
    // A component's write leaves the author alone, and so does one that changes nothing.
    let component = hub.api.in_process(UserInfo::new("component", ["system:masters"]));
    let patch =
        |body: Value| (Bytes::from(body.to_string()), &[("content-type", "application/merge-patch+json")] as &[_]);
    let (body, headers) = patch(json!({"data": {"key": "2"}, "metadata": {"annotations": {AUTHOR: "component"}}}));
    let patched = hub.send_as(&component, Method::PATCH, &path, (headers, body)).await.expect(200);
    assert_eq!(patched["metadata"]["annotations"][AUTHOR], made["metadata"]["annotations"][AUTHOR]);
    assert_eq!(patched["data"]["key"], "2");
    let bob = hub.api.in_process(UserInfo::new("bob", ["system:masters"]));
    let (body, headers) = patch(json!({"metadata": {"annotations": {AUTHOR: null}}}));
    let same = hub.send_as(&bob, Method::PATCH, &path, (headers, body)).await.expect(200);
    assert_eq!(same, patched, "taking the author away changes nothing");
    let (body, headers) = patch(json!({"data": {"key": "3"}}));
    let changed = hub.send_as(&bob, Method::PATCH, &path, (headers, body)).await.expect(200);
    assert!(changed["metadata"]["annotations"][AUTHOR].as_str().expect("text").contains("\"bob\""));
}

#[tokio::test]
async fn annotations_that_come_with_a_status_have_an_author() {
    let hub = start().await;
    let path = "/api/v1/namespaces/default/services";
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let made = hub.post(path, &service).await.expect(201);
    let eve = hub.api.in_process(UserInfo::new("eve", ["system:masters"]));
    let headers: &[_] = &[("content-type", "application/merge-patch+json")];
    let status = format!("{path}/s/status");
    let patch = |body: Value| hub.send_as(&eve, Method::PATCH, &status, (headers, Bytes::from(body.to_string())));
    let told = patch(json!({"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}})).await.expect(200);
    assert_eq!(told["status"]["loadBalancer"]["ingress"][0]["ip"], "10.0.0.1");
    assert_eq!(told["metadata"]["annotations"], made["metadata"]["annotations"], "a status alone has no author");
    let moved = patch(json!({"metadata": {"annotations": {"fedgate.dev/clusters": "east"}}})).await.expect(200);
    assert!(moved["metadata"]["annotations"][AUTHOR].as_str().expect("text").contains("\"eve\""), "{moved}");
}

#[tokio::test]
async fn services_get_addresses_and_may_bring_none() {
    let hub = start().await;
    let path = "/api/v1/namespaces/default/services";
    let service = |name: &str, spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
    let ports = json!([{"port": 80}]);
    let mut given = Vec::new();
    for at in 0..6 {
        let made = hub.post(path, &service(&format!("s{at}"), json!({"ports": ports}))).await.expect(201);
        let address = made["spec"]["clusterIP"].as_str().expect("an address").to_owned();
        assert!(address.starts_with("10.9.0.") && !given.contains(&address), "{address} {given:?}");
        assert_eq!((&made["spec"]["type"], &made["spec"]["clusterIPs"][0]), (&json!("ClusterIP"), &json!(address)));
        given.push(address);
    }
    let full = hub.post(path, &service("full", json!({"ports": ports}))).await.refused(500);
    assert!(full.1.contains("range is full"), "{}", full.1);
    let kept = hub.put(&format!("{path}/s0"), &service("s0", json!({"ports": [{"port": 81}]}))).await.expect(200);
    assert_eq!(kept["spec"]["clusterIP"], json!(given[0]), "an update keeps the address");
    let headless = hub.post(path, &service("headless", json!({"clusterIP": "None", "ports": ports}))).await.expect(201);
    assert_eq!(headless["spec"]["clusterIP"], "None");
    for (spec, field) in [
        (json!({"clusterIP": "10.9.0.1", "ports": ports}), "spec.clusterIP"),
        (json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30000}]}), "spec.ports[0].nodePort"),
    ] {
        let (reason, message) = hub.post(path, &service("bad", spec)).await.refused(422);
        assert!(reason == "Invalid" && message.contains(field), "{message}");
    }
}

#[tokio::test]
async fn what_nothing_places_is_said() {
    let hub = start().await;
    assert_eq!(hub.post(CONFIG_MAPS, &config_map("lonely")).await.warnings(), ["299 - \"nothing places this\""]);
    let table: &[(&str, &str)] = &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let shown = hub.send(Method::GET, CONFIG_MAPS, table, "").await.expect(200);
    let at = shown["columnDefinitions"].as_array().expect("columns").iter().position(|c| c["name"] == "Clusters");
    assert_eq!(shown["rows"][0]["cells"][at.expect("a column")], "east:1");
}

/// Protocol: AU3
#[tokio::test]
async fn nobody_grants_more_than_he_holds() {
    let hub = Hub::start().await;
    let group = "rbac.authorization.k8s.io";
    let base = format!("/apis/{group}/v1");
    let role = |name: &str, resource: &str| {
        json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": {"name": name},
            "rules": [{"apiGroups": ["", group], "resources": [resource], "verbs": ["create", "get"]}]})
    };
    hub.post(&format!("{base}/clusterroles"), &role("granter", "clusterroles")).await.expect(201);
    let binding = json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "granter"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "granter"},
        "subjects": [{"kind": "User", "apiGroup": group, "name": "alice"}]});
    hub.post(&format!("{base}/clusterrolebindings"), &binding).await.expect(201);
    let alice = hub.api.in_process(UserInfo::new("alice", ["system:authenticated"]));
    let json: &[(&str, &str)] = &[("content-type", "application/json")];
    let path = format!("{base}/clusterroles");
    let post = |role: Value| hub.send_as(&alice, Method::POST, &path, (json, Bytes::from(role.to_string())));
    post(role("same", "clusterroles")).await.expect(201);
    let (reason, message) = post(role("more", "secrets")).await.refused(403);
    assert_eq!(reason, "Forbidden");
    assert!(message.contains("is attempting to grant RBAC permissions not currently held"), "{message}");
}

#[tokio::test]
async fn a_template_does_not_take_the_name_of_a_mirrored_object() {
    let hub = start().await;
    let east = json!({"apiVersion": "fedgate.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "east"},
        "spec": {"server": "https://10.0.0.1:6443"}});
    hub.post("/apis/fedgate.dev/v1alpha1/clusters", &east).await.expect(201);
    let (_, message) = hub.post(CONFIG_MAPS, &config_map("web.east")).await.refused(422);
    assert!(message.contains("metadata.name") && message.contains("member cluster east"), "{message}");
    hub.post(CONFIG_MAPS, &config_map("web.west")).await.expect(201);
}

#[tokio::test]
async fn a_mirror_feeds_a_ring_beside_the_store() {
    let api = Api::builder().mirrored("", "pods").replica(3).open(StoreConfig::Memory);
    let hub = Hub::with(api.await.expect("a store in memory")).await;
    let path = "/api/v1/namespaces/default/pods";
    let ring = hub.api.resource_cache("", "pods");
    let seen = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "uid": name}})
            .to_string()
    };
    let mut watch = hub.watch(&format!("{path}?watch=1&resourceVersion=0")).await;
    let rev = ring.put("default/p.east", seen("p.east").as_bytes(), 0);
    assert_eq!(rev & 7, 3, "the revision names the replica");
    let own = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "own"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let mut made = hub.post(path, &own).await.expect(201);
    assert_eq!(crate::hub::rev(&made) & 7, 3, "stored objects have the ring's revisions");
    assert_eq!(made["status"]["phase"], "Pending");
    let list = hub.get(path).await.expect(200);
    assert_eq!(
        (crate::hub::names(&list), crate::hub::rev(&list)),
        (vec!["own".to_owned(), "p.east".to_owned()], crate::hub::rev(&made))
    );
    made["metadata"]["labels"] = json!({"a": "b"});
    let updated = hub.put(&format!("{path}/own"), &made).await.expect(200);
    hub.put(&format!("{path}/own"), &made).await.refused(409);
    hub.delete(&format!("{path}/own")).await.expect(200);
    ring.remove("default/p.east", 0);
    assert_eq!(watch.told(5).await, ["ADDED p.east", "ADDED own", "MODIFIED own", "DELETED own", "DELETED p.east"]);
    let other = crate::hub::rev(&updated) + 1;
    let mut expired = hub.watch(&format!("{path}?watch=1&resourceVersion={other}")).await;
    assert_eq!(expired.next().await.expect("an event")["object"]["reason"], "Expired");
    ring.put("default/p.east", seen("p.east").as_bytes(), 0);
    let refused = hub.delete(&format!("{path}/p.east")).await;
    assert!(!refused.code.is_success(), "nobody can reach the member that runs it");
    hub.get(&format!("{path}/p.east")).await.expect(200);
}

#[tokio::test]
async fn parameters_of_ingress_classes_are_kinds_like_others() {
    let hub = Hub::start().await;
    let group = "/apis/fedgate.dev/v1alpha1";
    let paths = [
        ("IngressParameters", format!("{group}/namespaces/default/ingressparameters")),
        ("ClusterIngressParameters", format!("{group}/clusteringressparameters")),
    ];
    for (kind, path) in paths {
        let object = |name: &str, spec: Value| json!({"apiVersion": "fedgate.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let made =
            hub.post(&path, &object("usual", json!({"defaults": {"proxy-read-timeout": "120"}}))).await.expect(201);
        assert_eq!(made["metadata"]["generation"], 1);
        assert_eq!(made["spec"]["defaults"], json!({"proxy-read-timeout": "120"}));
        for (defaults, wanted) in [
            (
                json!({"nginx.ingress.kubernetes.io/limit-rps": "5"}),
                "must be the name of an annotation without its prefix",
            ),
            (json!({"": "5"}), "must be the name of an annotation without its prefix"),
        ] {
            let (reason, message) = hub.post(&path, &object("odd", json!({"defaults": defaults}))).await.refused(422);
            assert!(reason == "Invalid" && message.contains(wanted), "{message}");
        }
        let (_, message) = hub
            .post(&path, &json!({"apiVersion": "fedgate.dev/v1alpha1", "kind": kind, "metadata": {"name": "none"}}))
            .await
            .refused(422);
        assert!(message.contains("spec: Required value"), "{message}");
        let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
        let table = hub.send(Method::GET, &path, &accept, Bytes::new()).await.expect(200);
        assert_eq!(table["rows"][0]["cells"].as_array().expect("cells")[..2], [json!("usual"), json!(1)]);
    }
}
