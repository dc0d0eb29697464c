//! Lines of the protocol that no other file is about.

use auth::UserInfo;
use auth::service_account::ServiceAccountKey;
use bytes::Bytes;
use federation_api::{Api, StoreConfig};
use http::Method;
use serde_json::{Value, json};

use crate::hub::{CONFIG_MAPS, Hub, names, rev};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn deployment(replicas: u32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}}})
}

async fn apply(hub: &Hub, path: &str, body: &Value) -> Value {
    let kind = [("content-type", "application/apply-patch+yaml")];
    hub.send(Method::PATCH, path, &kind, body.to_string()).await.expect(200)
}

fn owner<'a>(object: &'a Value, manager: &str) -> Option<&'a Value> {
    object["metadata"]["managedFields"].as_array()?.iter().find(|entry| entry["manager"] == manager)
}

/// Protocol: H3
#[tokio::test]
async fn metrics_have_upstreams_names() {
    let hub = Hub::start().await;
    hub.config_map("counted").await;
    let text = hub.get("/metrics").await;
    let text = String::from_utf8(text.body.to_vec()).expect("text");
    for name in [
        "apiserver_request_total",
        "apiserver_request_duration_seconds_bucket",
        "apiserver_current_inflight_requests",
        "apiserver_storage_objects",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} in\n{text}");
    }
}

/// Protocol: H4
#[tokio::test]
async fn the_issuer_of_tokens_is_discoverable() {
    let key = ServiceAccountKey::generate().expect("a key");
    let api = Api::builder().service_accounts(key).address("10.0.0.1:6443").open(StoreConfig::Memory).await;
    let hub = Hub::with(api.expect("a store in memory")).await;
    let document = hub.get("/.well-known/openid-configuration").await.expect(200);
    assert_eq!(document["issuer"], "https://kubernetes.default.svc");
    assert_eq!(document["jwks_uri"], "https://10.0.0.1:6443/openid/v1/jwks");
    let keys = hub.get("/openid/v1/jwks").await;
    assert_eq!(keys.headers["content-type"], "application/jwk-set+json");
    assert_eq!(keys.headers["cache-control"], "public, max-age=3600");
    let keys = keys.expect(200);
    assert_eq!((keys["keys"][0]["use"].as_str(), keys["keys"][0].get("d")), (Some("sig"), None), "public parts alone");
    assert_eq!(hub.get("/.well-known/other").await.code, 404);
}

/// Protocol: L11
#[tokio::test]
async fn a_shard_selector_means_nothing() {
    let hub = Hub::start().await;
    hub.config_map("a").await;
    let list = hub.get(&format!("{CONFIG_MAPS}?shardSelector=x")).await.expect(200);
    assert_eq!(names(&list), ["a"]);
}

/// Protocol: L8
#[tokio::test]
async fn a_list_of_one_name_needs_the_right_to_that_name() {
    let hub = Hub::start().await;
    hub.config_map("mine").await;
    hub.config_map("other").await;
    let group = "rbac.authorization.k8s.io";
    let rbac = format!("/apis/{group}/v1/namespaces/default");
    let role = json!({"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": {"name": "one"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"], "resourceNames": ["mine"]}]});
    let binding = json!({"apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": "one"},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "one"},
        "subjects": [{"kind": "User", "apiGroup": group, "name": "alice"}]});
    hub.post(&format!("{rbac}/roles"), &role).await.expect(201);
    hub.post(&format!("{rbac}/rolebindings"), &binding).await.expect(201);
    let alice = hub.api.in_process(UserInfo::new("alice", ["system:authenticated"]));
    let ask = |query: &'static str| {
        let (hub, alice) = (&hub, &alice);
        async move {
            let path = format!("{CONFIG_MAPS}{query}");
            hub.send_as(alice, Method::GET, &path, (&[], Bytes::new())).await
        }
    };
    assert_eq!(names(&ask("?fieldSelector=metadata.name%3Dmine").await.expect(200)), ["mine"]);
    ask("?fieldSelector=metadata.name%3Dother").await.refused(403);
    ask("").await.refused(403);
}

/// Protocol: L9
#[tokio::test]
async fn a_read_names_what_it_must_not_be_older_than() {
    let hub = Hub::start().await;
    let made = hub.config_map("read").await;
    for revision in ["0".to_owned(), rev(&made).to_string()] {
        hub.get(&format!("{CONFIG_MAPS}/read?resourceVersion={revision}")).await.expect(200);
    }
    let status = hub.get(&format!("{CONFIG_MAPS}/absent")).await.expect(404);
    assert_eq!(status["message"], "configmaps \"absent\" not found");
    assert_eq!(status["details"], json!({"name": "absent", "kind": "configmaps"}));
}

/// Protocol: P6
#[tokio::test]
async fn patches_are_judged_as_strictly_as_asked() {
    let hub = Hub::start().await;
    hub.config_map("strict").await;
    let path = format!("{CONFIG_MAPS}/strict");
    let patch = json!({"foo": 1});
    let (_, message) =
        hub.patch(&format!("{path}?fieldValidation=Strict"), "merge-patch+json", &patch).await.refused(422);
    assert!(message.contains("unknown field \"foo\""), "{message}");
    let warned = hub.patch(&format!("{path}?fieldValidation=Warn"), "merge-patch+json", &patch).await;
    assert_eq!(warned.warnings(), ["299 - \"unknown field \\\"foo\\\"\""]);
    assert!(
        hub.patch(&format!("{path}?fieldValidation=Ignore"), "merge-patch+json", &patch).await.warnings().is_empty()
    );
}

/// Protocol: S5
#[tokio::test]
async fn the_record_of_owners_can_be_cleared() {
    let hub = Hub::start().await;
    for (at, cleared) in [json!([]), json!([{}])].into_iter().enumerate() {
        let made = hub.config_map(&format!("owned{at}")).await;
        assert!(made["metadata"]["managedFields"].is_array(), "{made}");
        let patch = json!({"metadata": {"managedFields": cleared}});
        let path = format!("{CONFIG_MAPS}/owned{at}");
        let patched = hub.patch(&path, "merge-patch+json", &patch).await.expect(200);
        assert!(patched["metadata"].get("managedFields").is_none(), "{patched}");
    }
    let forged = json!({"metadata": {"managedFields": [{"manager": "m", "operation": "Bad"}]}});
    let path = format!("{CONFIG_MAPS}/forged");
    hub.config_map("forged").await;
    let reply = hub.patch(&path, "merge-patch+json", &forged).await;
    let kept = hub.get(&path).await.expect(200);
    assert!(owner(&kept, "m").is_none(), "{reply:?}");
}

/// Protocol: S8, SR1
#[tokio::test]
async fn applying_the_same_changes_nothing_and_scaling_takes_the_replicas() {
    let hub = Hub::start().await;
    let path = format!("{DEPLOYMENTS}/web");
    let kind = [("content-type", "application/apply-patch+yaml")];
    let applied = format!("{path}?fieldManager=me");
    let made = hub.send(Method::PATCH, &applied, &kind, deployment(2).to_string()).await.expect(201);
    let again = apply(&hub, &applied, &deployment(2)).await;
    assert_eq!(rev(&made), rev(&again));
    let scale = json!({"spec": {"replicas": 5}});
    let scaled = hub.patch(&format!("{path}/scale?fieldManager=scaler"), "merge-patch+json", &scale).await.expect(200);
    assert_eq!((&scaled["kind"], &scaled["spec"]["replicas"]), (&json!("Scale"), &json!(5)));
    let after = hub.get(&path).await.expect(200);
    let scaler = owner(&after, "scaler").expect("an owner");
    assert_eq!(
        (&scaler["subresource"], &scaler["fieldsV1"]),
        (&json!("scale"), &json!({"f:spec": {"f:replicas": {}}}))
    );
    assert!(owner(&after, "me").expect("an owner")["fieldsV1"]["f:spec"].get("f:replicas").is_none(), "{after}");
}

/// Protocol: S10
#[tokio::test]
async fn what_an_endpoint_does_not_write_is_not_owned_through_it() {
    let hub = Hub::start().await;
    let path = format!("{DEPLOYMENTS}/web");
    let mut object = deployment(1);
    object["status"] = json!({"replicas": 1});
    let kind = [("content-type", "application/apply-patch+yaml")];
    let made = hub.send(Method::PATCH, &format!("{path}?fieldManager=me"), &kind, object.to_string()).await.expect(201);
    assert!(owner(&made, "me").expect("an owner")["fieldsV1"].get("f:status").is_none(), "{made}");
    let mut status = deployment(9);
    status["status"] = json!({"replicas": 1});
    let written = apply(&hub, &format!("{path}/status?fieldManager=kubelet&force=true"), &status).await;
    let fields = &owner(&written, "kubelet").expect("an owner")["fieldsV1"];
    assert!(fields.get("f:spec").is_none() && fields.get("f:status").is_some(), "{fields}");
    assert_eq!(written["spec"]["replicas"], 1);
}

/// Protocol: SR2
#[tokio::test]
async fn an_eviction_asks_the_budget() {
    let hub = Hub::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}})
    };
    let eviction = |name: &str| json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    hub.post(pods, &pod("pending")).await.expect(201);
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "pdb"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}});
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    hub.post(budgets, &budget).await.expect(201);
    let status = hub.post(&format!("{pods}/pending/eviction"), &eviction("pending")).await.expect(201);
    assert_eq!(status["status"], "Success", "a pod that does not run yet needs no leave");
    hub.get(&format!("{pods}/pending")).await.refused(404);

    hub.post(pods, &pod("web")).await.expect(201);
    let running = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    hub.patch(&format!("{pods}/web/status"), "merge-patch+json", &running).await.expect(200);
    let path = format!("{pods}/web/eviction");
    hub.post(&path, &eviction("other")).await.refused(400);
    let refused = hub.post(&path, &eviction("web")).await.expect(429);
    assert_eq!(refused["message"], "Cannot evict pod as it would violate the pod's disruption budget.");
    assert_eq!(refused["details"]["causes"][0]["reason"], "DisruptionBudget");
    assert_eq!(
        refused["details"]["causes"][0]["message"],
        "The disruption budget pdb is still being processed by the server."
    );
    let status = |allowed: u32| {
        json!({"status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "desiredHealthy": 1,
            "currentHealthy": 1 + allowed, "expectedPods": 2}})
    };
    hub.patch(&format!("{budgets}/pdb/status"), "merge-patch+json", &status(0)).await.expect(200);
    let refused = hub.post(&path, &eviction("web")).await.expect(429);
    assert_eq!(
        refused["details"]["causes"][0]["message"],
        "The disruption budget pdb needs 1 healthy pods and has 1 currently"
    );
    hub.patch(&format!("{budgets}/pdb/status"), "merge-patch+json", &status(1)).await.expect(200);
    hub.post(&path, &eviction("web")).await.expect(201);
    let budget = hub.get(&format!("{budgets}/pdb")).await.expect(200);
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
    assert!(budget["status"]["disruptedPods"]["web"].is_string(), "{budget}");
}

/// Protocol: SR2
#[tokio::test]
async fn ephemeral_containers_are_added_and_stay() {
    let hub = Hub::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    hub.post(pods, &pod).await.expect(201);
    let part = format!("{pods}/web/ephemeralcontainers");
    let patch = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox"}],
        "containers": [{"name": "c", "image": "changed"}]}});
    let patched = hub.patch(&part, "strategic-merge-patch+json", &patch).await.expect(200);
    assert_eq!(patched["spec"]["ephemeralContainers"][0]["name"], "debug");
    assert_eq!(patched["spec"]["containers"][0]["image"], "i", "nothing else is written there");
    let gone = json!({"spec": {"ephemeralContainers": []}});
    hub.patch(&part, "merge-patch+json", &gone).await.refused(422);
    let resources = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}});
    let resized = hub.patch(&format!("{pods}/web/resize"), "strategic-merge-patch+json", &resources).await.expect(200);
    assert_eq!(resized["spec"]["containers"][0]["resources"]["requests"]["cpu"], "1");
    let more = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]}});
    let (_, message) = hub.patch(&format!("{pods}/web"), "strategic-merge-patch+json", &more).await.refused(422);
    assert!(message.contains("pod updates may not change fields other than"), "{message}");
}
