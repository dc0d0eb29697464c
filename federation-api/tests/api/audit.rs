//! The audit log: what is recorded of whom, when, and what never is.

use std::path::Path;
use std::time::{Duration, Instant};

use auth::UserInfo;
use bytes::Bytes;
use federation_api::audit::{Audit, LogConfig, LogTarget, Policy};
use federation_api::{Api, StoreConfig};
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::hub::{CONFIG_MAPS, Hub, PATIENCE, config_map};

const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- {level: None, nonResourceURLs: [/readyz*]}
- {level: Metadata, resources: [{group: '', resources: [secrets]}]}
- {level: RequestResponse, resources: [{group: '', resources: [configmaps]}], omitManagedFields: true, omitStages: [RequestReceived]}
- {level: RequestResponse, resources: [{group: authentication.k8s.io}]}
- {level: Request}
";

async fn start(path: &Path) -> Hub {
    let policy = Policy::parse(POLICY.as_bytes()).expect("a policy");
    let target = LogTarget::File(path.to_owned());
    let log = LogConfig { target, max_bytes: 1 << 20, max_backups: 0, max_age_days: 0 };
    let audit = Audit::new(policy).with_log(log).expect("a log");
    Hub::with(Api::builder().audit(audit).open(StoreConfig::Memory).await.expect("a store in memory")).await
}

/// The records of one request, as soon as there are `count`.
async fn records(path: &Path, id: &str, count: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let text = std::fs::read_to_string(path).expect("there");
        let all = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found: Vec<Value> = all.filter(|record| record["auditID"] == id).collect();
        if found.len() >= count {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{found:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn header(id: &str) -> [(&str, &str); 3] {
    [("audit-id", id), ("content-type", "application/json"), ("user-agent", "test/1")]
}

/// Protocol: F3
#[tokio::test]
async fn requests_are_recorded_as_the_policy_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit.log");
    let hub = start(&path).await;
    let reply = hub.send(Method::POST, CONFIG_MAPS, &header("one"), config_map("a").to_string()).await;
    assert_eq!(reply.headers["audit-id"], "one");
    let told = records(&path, "one", 1).await;
    let [record] = &told[..] else { panic!("{told:?}") };
    for (pointer, wanted) in [
        ("/kind", json!("Event")),
        ("/apiVersion", json!("audit.k8s.io/v1")),
        ("/level", json!("RequestResponse")),
        ("/stage", json!("ResponseComplete")),
        ("/requestURI", json!(CONFIG_MAPS)),
        ("/verb", json!("create")),
        ("/user/username", json!("admin")),
        ("/userAgent", json!("test/1")),
        ("/objectRef", json!({"resource": "configmaps", "namespace": "default", "apiVersion": "v1"})),
        ("/responseStatus/code", json!(201)),
        ("/requestObject/data/key", json!("value")),
        ("/responseObject/metadata/name", json!("a")),
        ("/annotations/authorization.k8s.io~1decision", json!("allow")),
    ] {
        assert_eq!(record.pointer(pointer), Some(&wanted), "{pointer} of {record}");
    }
    assert!(record.pointer("/responseObject/metadata/managedFields").is_none(), "{record}");
    // A body that is not JSON is recorded as the object that it means.
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yam}\n";
    let headers = [("audit-id", "two"), ("content-type", "application/yaml")];
    hub.send(Method::POST, CONFIG_MAPS, &headers, yaml).await.expect(201);
    assert_eq!(records(&path, "two", 1).await[0]["requestObject"]["metadata"]["name"], "yam");
    // Refusals too, and on whose behalf.
    let alice = hub.api.in_process(UserInfo::new("alice", ["system:authenticated"]));
    hub.send_as(&alice, Method::GET, "/api/v1/nodes", (&header("three"), Bytes::new())).await.refused(403);
    let told = records(&path, "three", 2).await;
    assert_eq!((&told[0]["stage"], &told[1]["stage"]), (&json!("RequestReceived"), &json!("ResponseComplete")));
    assert_eq!(told[1]["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(told[1]["responseStatus"]["reason"], "Forbidden");
    let as_bob = [("audit-id", "four"), ("impersonate-user", "bob")];
    hub.send(Method::GET, "/api/v1/nodes", &as_bob, "").await.refused(403);
    assert_eq!(records(&path, "four", 2).await[1]["impersonatedUser"]["username"], "bob");
}

/// Protocol: F3
#[tokio::test]
async fn a_watch_is_recorded_when_it_starts_and_when_it_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit.log");
    let hub = start(&path).await;
    hub.config_map("a").await;
    let watch = format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1");
    hub.send(Method::GET, &watch, &header("watch"), "").await;
    let told = records(&path, "watch", 2).await;
    assert_eq!((&told[0]["stage"], &told[1]["stage"]), (&json!("ResponseStarted"), &json!("ResponseComplete")));
    assert_eq!(told[1]["verb"], "watch");
}

/// Protocol: F3
#[tokio::test]
async fn a_webhook_is_told_in_batches() {
    let (told, mut batches) = tokio::sync::mpsc::unbounded_channel();
    let receiver = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let told = told.clone();
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
            told.send((path, body.expect("a body"))).expect("the test listens");
            Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Empty::<Bytes>::new()))
        }
    });
    let policy = Policy::parse(POLICY.as_bytes()).expect("a policy");
    let audit = Audit::new(policy).with_webhook(kube::Client::new(receiver, "default"), "/audit".to_owned());
    let api = Api::builder().audit(audit).open(StoreConfig::Memory).await.expect("a store in memory");
    let hub = Hub::with(api).await;
    hub.send(Method::POST, CONFIG_MAPS, &header("one"), config_map("a").to_string()).await.expect(201);
    loop {
        let (path, batch) =
            tokio::time::timeout(PATIENCE, batches.recv()).await.expect("a batch in time").expect("a batch");
        assert_eq!(path, "/audit");
        let batch: Value = serde_json::from_slice(&batch).expect("JSON");
        assert_eq!((&batch["kind"], &batch["apiVersion"]), (&json!("EventList"), &json!("audit.k8s.io/v1")));
        let items = batch["items"].as_array().expect("items");
        if items.iter().any(|item| item["auditID"] == "one" && item["stage"] == "ResponseComplete") {
            break;
        }
    }
}

/// Protocol: F3
#[tokio::test]
async fn no_credential_is_recorded() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit.log");
    let hub = start(&path).await;
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"password": "canary-secret"}});
    let secrets = "/api/v1/namespaces/default/secrets";
    hub.send(Method::POST, secrets, &header("secret"), secret.to_string()).await.expect(201);
    let review =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "canary-token"}});
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    hub.send(Method::POST, reviews, &header("review"), review.to_string()).await.expect(201);
    let bearer = [("audit-id", "bearer"), ("authorization", "Bearer canary-bearer")];
    hub.send(Method::GET, "/version", &bearer, "").await.expect(200);
    hub.get("/readyz").await;
    let told = records(&path, "secret", 2).await;
    assert!(told.iter().all(|record| record["level"] == "Metadata" && record["requestObject"].is_null()));
    let told = records(&path, "review", 2).await;
    assert_eq!(told[1]["requestObject"]["spec"]["token"], "REDACTED");
    records(&path, "bearer", 2).await;
    let text = std::fs::read_to_string(&path).expect("there");
    assert!(!text.contains("canary-"), "{text}");
    assert!(!text.contains("/readyz"), "what the policy leaves out");
    let metrics = String::from_utf8(hub.get("/metrics").await.body.to_vec()).expect("text");
    assert!(metrics.contains("apiserver_audit_level_total{level=\"None\"} 1\n"), "{metrics}");
}
