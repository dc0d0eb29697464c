//! ResourceQuotas and LimitRanges: what may be created, and what is counted.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::hub::{CONFIG_MAPS, Hub, PATIENCE, config_map};

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn quota(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec})
}

fn pod(name: &str, resources: &Value) -> Value {
    let container = json!({"name": "c", "image": "i", "resources": resources});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}})
}

/// Creates a quota and waits until it is counted.
async fn counted(hub: &Hub, name: &str, spec: Value) -> Value {
    hub.post(QUOTAS, &quota(name, &spec)).await.expect(201);
    until(hub, name, |status| status["hard"] == spec["hard"]).await
}

/// Waits until the status of a quota is as wanted.
async fn until(hub: &Hub, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut watch = hub.watch(&format!("{QUOTAS}?watch=1&fieldSelector=metadata.name={name}")).await;
    let found = async {
        loop {
            let event = watch.next().await.expect("another event");
            if wanted(&event["object"]["status"]) {
                return event["object"]["status"].clone();
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the status in time")
}

/// Protocol: A5
#[tokio::test]
async fn objects_are_counted_and_refused() {
    let hub = Hub::start().await;
    hub.config_map("before").await;
    let status = counted(&hub, "q", json!({"hard": {"configmaps": "2", "count/deployments.apps": "0"}})).await;
    assert_eq!(status["used"], json!({"configmaps": "1", "count/deployments.apps": "0"}));
    hub.config_map("a").await;
    let status = hub.get(&format!("{QUOTAS}/q")).await.expect(200);
    assert_eq!(status["status"]["used"]["configmaps"], "2", "an acknowledged write is charged");

    let (reason, message) = hub.post(CONFIG_MAPS, &config_map("b")).await.refused(403);
    let want = "configmaps \"b\" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=2, limited: configmaps=2";
    assert_eq!((reason.as_str(), message.as_str()), ("Forbidden", want));
    hub.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("b")).await.refused(403);

    hub.delete(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    until(&hub, "q", |status| status["used"]["configmaps"] == "1").await;
    hub.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("b")).await.expect(201);
    let status = hub.get(&format!("{QUOTAS}/q")).await.expect(200);
    assert_eq!(status["status"]["used"]["configmaps"], "1", "a dry run uses nothing");

    hub.patch(&format!("{QUOTAS}/q"), "merge-patch+json", &json!({"spec": {"hard": {"configmaps": "5"}}}))
        .await
        .expect(200);
    until(&hub, "q", |status| status["hard"]["configmaps"] == "5").await;
}

/// Protocol: A5
#[tokio::test]
async fn nothing_overshoots_however_many_ask_at_once() {
    let hub = Arc::new(Hub::start().await);
    counted(&hub, "q", json!({"hard": {"count/configmaps": "5"}})).await;
    let asked = (0..30).map(|i| {
        let hub = hub.clone();
        tokio::spawn(async move { hub.post(CONFIG_MAPS, &config_map(&format!("c{i}"))).await.code.as_u16() })
    });
    let mut codes = Vec::new();
    for one in asked.collect::<Vec<_>>() {
        codes.push(one.await.expect("an answer"));
    }
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 5, "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, 201 | 403)), "{codes:?}");
    let status = hub.get(&format!("{QUOTAS}/q")).await.expect(200);
    assert_eq!(status["status"]["used"]["count/configmaps"], "5");
}

/// Protocol: A5
#[tokio::test]
async fn pods_use_what_their_containers_ask_for() {
    let hub = Hub::start().await;
    let hard = json!({"pods": "5", "cpu": "1", "requests.example.com/dongle": "3"});
    counted(&hub, "q", json!({"hard": hard})).await;
    let (_, message) = hub.post(PODS, &pod("silent", &json!({}))).await.refused(403);
    assert_eq!(message, "pods \"silent\" is forbidden: failed quota: q: must specify cpu for: c");
    let asks = json!({"requests": {"cpu": "600m"}, "limits": {"example.com/dongle": "2"}});
    hub.post(PODS, &pod("a", &asks)).await.expect(201);
    let status = hub.get(&format!("{QUOTAS}/q")).await.expect(200);
    assert_eq!(status["status"]["used"], json!({"pods": "1", "cpu": "600m", "requests.example.com/dongle": "2"}));
    let (_, message) = hub.post(PODS, &pod("b", &asks)).await.refused(403);
    let want = "pods \"b\" is forbidden: exceeded quota: q, requested: cpu=600m,requests.example.com/dongle=2, used: cpu=600m,requests.example.com/dongle=2, limited: cpu=1,requests.example.com/dongle=3";
    assert_eq!(message, want);

    let over = json!({"status": {"phase": "Succeeded"}});
    hub.patch(&format!("{PODS}/a/status"), "merge-patch+json", &over).await.expect(200);
    until(&hub, "q", |status| status["used"]["pods"] == "0").await;
    hub.post(PODS, &pod("b", &asks)).await.expect(201);
}

/// Protocol: A5
#[tokio::test]
async fn scopes_decide_which_quota_a_pod_uses() {
    let hub = Hub::start().await;
    counted(&hub, "long", json!({"hard": {"pods": "5"}, "scopes": ["NotTerminating"]})).await;
    counted(&hub, "short", json!({"hard": {"pods": "5"}, "scopes": ["Terminating"]})).await;
    let mut job = pod("job", &json!({}));
    job["spec"]["activeDeadlineSeconds"] = json!(3600);
    hub.post(PODS, &job).await.expect(201);
    hub.post(PODS, &pod("server", &json!({}))).await.expect(201);
    hub.post(PODS, &pod("another", &json!({}))).await.expect(201);
    for (name, want) in [("long", "2"), ("short", "1")] {
        let quota = hub.get(&format!("{QUOTAS}/{name}")).await.expect(200);
        assert_eq!(quota["status"]["used"]["pods"], want, "{name}");
    }
    let other = json!({"spec": {"scopes": ["Terminating", "NotBestEffort"]}});
    hub.patch(&format!("{QUOTAS}/short"), "merge-patch+json", &other).await.refused(422);
}

/// Protocol: A5
#[tokio::test]
async fn services_change_what_they_use_with_their_type() {
    let hub = Hub::start().await;
    counted(&hub, "q", json!({"hard": {"services": "2", "services.nodeports": "1"}})).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}});
    hub.post("/api/v1/namespaces/default/services", &service).await.expect(201);
    let wider = json!({"spec": {"type": "NodePort"}});
    let (_, message) =
        hub.patch("/api/v1/namespaces/default/services/s", "merge-patch+json", &wider).await.refused(403);
    let want = "services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1";
    assert_eq!(message, want);
}

/// Protocol: A5
#[tokio::test]
async fn limit_ranges_fill_in_and_refuse() {
    let hub = Hub::start().await;
    let limits = json!([{"type": "Container", "max": {"cpu": "500m", "memory": "500Mi"}, "min": {"cpu": "50m", "memory": "100Mi"},
        "default": {"cpu": "300m"}, "defaultRequest": {"cpu": "100m", "memory": "200Mi"}}]);
    let range =
        json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": limits}});
    let made = hub.post("/api/v1/namespaces/default/limitranges", &range).await.expect(201);
    assert_eq!(made["spec"]["limits"][0]["default"], json!({"cpu": "300m", "memory": "500Mi"}), "from the maximum");
    let made = hub.post(PODS, &pod("bare", &json!({}))).await.expect(201);
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "300m", "memory": "500Mi"}, "requests": {"cpu": "100m", "memory": "200Mi"}})
    );
    let made = hub.post(PODS, &pod("partial", &json!({"limits": {"cpu": "300m"}}))).await.expect(201);
    assert_eq!(made["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "300m", "memory": "200Mi"}));
    let (reason, message) = hub.post(PODS, &pod("big", &json!({"limits": {"cpu": "600m"}}))).await.refused(403);
    let want = "pods \"big\" is forbidden: [maximum cpu usage per Container is 500m, but limit is 600m]";
    let plain = want.replace(['[', ']'], "");
    assert_eq!((reason.as_str(), message.as_str()), ("Forbidden", plain.as_str()));
    hub.delete("/api/v1/namespaces/default/limitranges/l").await.expect(200);
    hub.post(PODS, &pod("big", &json!({"limits": {"cpu": "600m"}}))).await.expect(201);
}
