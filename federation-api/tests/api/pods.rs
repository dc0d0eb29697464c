//! What admission fills into pods: account, priority, class, tolerations, quality of service.

use federation_api::{Api, StoreConfig};
use serde_json::{Value, json};

use crate::hub::Hub;

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    for (field, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][field] = value.clone();
    }
    pod
}

/// Protocol: A1
#[tokio::test]
async fn pods_get_the_priority_of_their_class() {
    let hub = Hub::start().await;
    let made = hub.post(PODS, &pod("plain", json!({}))).await.expect(201);
    assert_eq!(
        (&made["spec"]["priority"], &made["spec"]["preemptionPolicy"]),
        (&json!(0), &json!("PreemptLowerPriority"))
    );
    assert_eq!(made["status"]["qosClass"], "BestEffort");
    assert_eq!(made["spec"]["tolerations"][1]["key"], "node.kubernetes.io/unreachable");
    let (_, message) = hub.post(PODS, &pod("bad", json!({"priorityClassName": "none"}))).await.refused(403);
    assert_eq!(message, "pods \"bad\" is forbidden: no PriorityClass with name none was found");
    let class = |name: &str, value: i64, default: bool| json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value, "globalDefault": default});
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    hub.post(classes, &class("mid", 7, true)).await.expect(201);
    let (_, message) = hub.post(classes, &class("other", 8, true)).await.refused(403);
    assert!(message.contains("PriorityClass mid is already marked as default"), "{message}");
    let made = hub.post(PODS, &pod("default", json!({}))).await.expect(201);
    assert_eq!((&made["spec"]["priority"], &made["spec"]["priorityClassName"]), (&json!(7), &json!("mid")));
    hub.post(PODS, &pod("own", json!({"priority": 8}))).await.refused(403);
    let changed = json!({"value": 9});
    hub.patch(&format!("{classes}/mid"), "merge-patch+json", &changed).await.refused(422);
}

/// Protocol: A1
#[tokio::test]
async fn pods_run_as_an_account_that_is_there() {
    let key = tempfile::tempdir().expect("a directory");
    let key = auth::service_account::ServiceAccountKey::open(&key.path().join("key")).expect("a key");
    let api = Api::builder().service_accounts(key).open(StoreConfig::Memory).await.expect("a store in memory");
    let hub = Hub::with(api).await;
    let (_, message) = hub.post(PODS, &pod("a", json!({"serviceAccountName": "robot"}))).await.refused(403);
    let want =
        "pods \"a\" is forbidden: error looking up service account default/robot: serviceaccount \"robot\" not found";
    assert_eq!(message, want);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}, "imagePullSecrets": [{"name": "p"}]});
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let waiting = pod("a", json!({}));
    let (made, _) = tokio::join!(hub.post(PODS, &waiting), hub.post(accounts, &account));
    let made = made.expect(201);
    assert_eq!(
        (&made["spec"]["serviceAccountName"], &made["spec"]["imagePullSecrets"][0]["name"]),
        (&json!("default"), &json!("p"))
    );
    assert_eq!(made["spec"]["volumes"][0]["projected"]["sources"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        made["spec"]["containers"][0]["volumeMounts"][0]["mountPath"],
        "/var/run/secrets/kubernetes.io/serviceaccount"
    );
    let made = hub.post(PODS, &pod("b", json!({"automountServiceAccountToken": false}))).await.expect(201);
    assert_eq!(made["spec"].get("volumes"), None);
}

/// Protocol: A1
#[tokio::test]
async fn classes_are_filled_in_and_looked_up() {
    let hub = Hub::start().await;
    let (_, message) = hub.post(PODS, &pod("p", json!({"runtimeClassName": "none"}))).await.refused(403);
    assert_eq!(message, "pods \"p\" is forbidden: pod rejected: RuntimeClass \"none\" not found");
    let runtime = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "r"}, "handler": "h",
        "overhead": {"podFixed": {"cpu": "10m"}}});
    hub.post("/apis/node.k8s.io/v1/runtimeclasses", &runtime).await.expect(201);
    let made = hub.post(PODS, &pod("p", json!({"runtimeClassName": "r"}))).await.expect(201);
    assert_eq!(made["spec"]["overhead"], json!({"cpu": "10m"}));

    let class = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "spec": {"controller": "a.b/c"},
        "metadata": {"name": "ic", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}});
    hub.post("/apis/networking.k8s.io/v1/ingressclasses", &class).await.expect(201);
    let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"}, "spec": {"defaultBackend": backend}});
    let made = hub.post("/apis/networking.k8s.io/v1/namespaces/default/ingresses", &ingress).await.expect(201);
    assert_eq!(made["spec"]["ingressClassName"], "ic");
}
