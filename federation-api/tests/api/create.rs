//! POST and PUT: what an object is born with, what an update may and may not change.

use http::Method;
use serde_json::json;

use crate::hub::{CONFIG_MAPS, Hub, config_map, rev};

/// Protocol: C1
#[tokio::test]
async fn an_object_is_born_with_its_metadata() {
    let hub = Hub::start().await;
    let mut sent = config_map("a");
    sent["metadata"]["uid"] = "mine".into();
    sent["metadata"]["creationTimestamp"] = "1970-01-01T00:00:00Z".into();
    sent["metadata"]["generation"] = 7.into();
    let made = hub.post(CONFIG_MAPS, &sent).await.expect(201);
    let meta = &made["metadata"];
    assert_eq!(meta["namespace"], "default");
    assert_eq!(meta["uid"].as_str().map(str::len), Some(36));
    assert_ne!(meta["creationTimestamp"], "1970-01-01T00:00:00Z");
    assert!(meta.get("generation").is_none());
    assert!(rev(&made) > 0);
    let read = hub.get(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    assert_eq!(read, made);
}

/// Protocol: C6, C8
#[tokio::test]
async fn generation_follows_the_content() {
    let hub = Hub::start().await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}},
                 "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
        "status": {"replicas": 9}
    });
    let mut made = hub.post(path, &deployment).await.expect(201);
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(made["status"]["replicas"], json!(null), "status cannot be set by a create");
    made["spec"]["replicas"] = 3.into();
    made["status"] = json!({"replicas": 5});
    let path = format!("{path}/web");
    let mut updated = hub.put(&path, &made).await.expect(200);
    assert_eq!(updated["metadata"]["generation"], 2);
    assert_eq!(updated["status"]["replicas"], json!(null), "status cannot be set by an update");
    updated["status"] = json!({"replicas": 5});
    updated["spec"]["replicas"] = 8.into();
    let updated = hub.put(&format!("{path}/status"), &updated).await.expect(200);
    assert_eq!((&updated["metadata"]["generation"], &updated["status"]["replicas"]), (&json!(2), &json!(5)));
    assert_eq!(updated["spec"]["replicas"], 3, "a status write leaves the spec");
    let scale =
        hub.patch(&format!("{path}/scale"), "merge-patch+json", &json!({"spec": {"replicas": 4}})).await.expect(200);
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(4)));
    assert_eq!((&scale["status"]["replicas"], &scale["status"]["selector"]), (&json!(5), &json!("app=web")));
    let read = hub.get(&path).await.expect(200);
    assert_eq!((&read["spec"]["replicas"], &read["metadata"]["generation"]), (&json!(4), &json!(3)));
}

/// Protocol: C2
#[tokio::test]
async fn names_are_generated() {
    let hub = Hub::start().await;
    let mut sent = config_map("");
    sent["metadata"] = json!({"generateName": "g-"});
    let first = hub.post(CONFIG_MAPS, &sent).await.expect(201);
    let second = hub.post(CONFIG_MAPS, &sent).await.expect(201);
    let name = |of: &serde_json::Value| of["metadata"]["name"].as_str().expect("a name").to_owned();
    assert_eq!(name(&first).len(), 7);
    assert_ne!(name(&first), name(&second));
}

/// Protocol: C1, C3
#[tokio::test]
async fn refusals_of_a_create() {
    let hub = Hub::start().await;
    hub.config_map("there").await;
    let with = |pointer: &str, value: &str| {
        let mut sent = config_map("x");
        sent["metadata"][pointer] = value.into();
        sent
    };
    let mut other_kind = config_map("x");
    other_kind["kind"] = "Secret".into();
    let mut other_version = config_map("x");
    other_version["apiVersion"] = "v2".into();
    let mut nameless = config_map("x");
    nameless["metadata"] = json!({});
    let cases = [
        (config_map("there"), 409, "AlreadyExists", "configmaps \"there\" already exists"),
        (with("resourceVersion", "1"), 500, "", "resourceVersion should not be set on objects to be created"),
        (
            with("namespace", "other"),
            400,
            "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            other_version,
            400,
            "BadRequest",
            "the API version in the data (v2) does not match the expected API version (v1)",
        ),
        (
            nameless,
            422,
            "Invalid",
            "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
    ];
    for (sent, code, reason, message) in cases {
        let refused = hub.post(CONFIG_MAPS, &sent).await.refused(code);
        assert_eq!(refused, (reason.to_owned(), message.to_owned()), "{sent}");
    }
    let (reason, message) = hub.post(CONFIG_MAPS, &other_kind).await.refused(400);
    assert_eq!(reason, "BadRequest");
    assert!(message.contains("cannot be handled as a ConfigMap"), "{message}");
    let (reason, message) = hub.post(CONFIG_MAPS, &config_map("Not_a_name")).await.refused(422);
    assert_eq!(reason, "Invalid");
    assert!(message.contains("metadata.name: Invalid value: \"Not_a_name\""), "{message}");
    let missing = hub.post("/api/v1/namespaces/nowhere/configmaps", &config_map("x")).await.refused(404);
    assert_eq!(missing, ("NotFound".to_owned(), "namespaces \"nowhere\" not found".to_owned()));
}

/// Protocol: C4
#[tokio::test]
async fn updates_are_compare_and_swap() {
    let hub = Hub::start().await;
    let made = hub.config_map("a").await;
    let path = format!("{CONFIG_MAPS}/a");
    let mut first = made.clone();
    first["data"]["key"] = "1".into();
    let first = hub.put(&path, &first).await.expect(200);
    assert!(rev(&first) > rev(&made));
    let mut stale = made.clone();
    stale["data"]["key"] = "2".into();
    let (reason, message) = hub.put(&path, &stale).await.refused(409);
    assert_eq!(reason, "Conflict");
    assert_eq!(
        message,
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again"
    );
    stale["metadata"].as_object_mut().expect("metadata").remove("resourceVersion");
    let second = hub.put(&path, &stale).await.expect(200);
    assert_eq!(second["data"]["key"], "2");
    stale["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000".into();
    assert_eq!(hub.put(&path, &stale).await.refused(409).0, "Conflict");
    let missing = hub.put(&format!("{CONFIG_MAPS}/b"), &config_map("b")).await.refused(404);
    assert_eq!(missing.1, "configmaps \"b\" not found");
    assert_eq!(hub.put(&path, &config_map("b")).await.refused(400).0, "BadRequest");
}

/// Protocol: C7
#[tokio::test]
async fn a_write_that_changes_nothing_keeps_the_revision() {
    let hub = Hub::start().await;
    let made = hub.config_map("a").await;
    let again = hub.put(&format!("{CONFIG_MAPS}/a"), &made).await.expect(200);
    assert_eq!(again, made);
    let patched = hub.patch(&format!("{CONFIG_MAPS}/a"), "merge-patch+json", &json!({"data": {"key": "value"}})).await;
    assert_eq!(patched.expect(200), made);
}

/// Protocol: E1
#[tokio::test]
async fn dry_runs_leave_nothing() {
    let hub = Hub::start().await;
    let query = "?dryRun=All";
    let made = hub.post(&format!("{CONFIG_MAPS}{query}"), &config_map("a")).await.expect(201);
    assert!(made["metadata"].get("uid").is_some());
    assert!(made["metadata"].get("resourceVersion").is_none());
    hub.get(&format!("{CONFIG_MAPS}/a")).await.refused(404);
    let made = hub.config_map("a").await;
    let patch = json!({"data": {"key": "other"}});
    let patched = hub.patch(&format!("{CONFIG_MAPS}/a{query}"), "merge-patch+json", &patch).await.expect(200);
    assert_eq!(patched["data"]["key"], "other");
    assert_eq!(hub.delete(&format!("{CONFIG_MAPS}/a{query}")).await.expect(200)["status"], "Success");
    assert_eq!(hub.get(&format!("{CONFIG_MAPS}/a")).await.expect(200), made);
    hub.post(&format!("{CONFIG_MAPS}?dryRun=Some"), &config_map("b")).await.refused(422);
}

/// Protocol: C5
#[tokio::test]
async fn some_kinds_are_created_by_put() {
    let hub = Hub::start().await;
    let role =
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": []});
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles/r";
    hub.put(path, &role).await.expect(201);
    hub.put(path, &role).await.expect(200);
}

#[tokio::test]
async fn head_answers_without_a_body() {
    let hub = Hub::start().await;
    let reply = hub.send(Method::HEAD, "/version/", &[("audit-id", "mine")], "").await;
    assert_eq!((reply.code.as_u16(), reply.body.len()), (200, 0));
    assert_eq!(reply.headers["audit-id"], "mine");
    assert_eq!(reply.headers["cache-control"], "no-cache, private");
}
