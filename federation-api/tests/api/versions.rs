//! Which versions are served, and that older ones lose nothing.

use serde_json::{Value, json};

use crate::hub::{Hub, names};

const V1: &str = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
const V2: &str = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";

fn autoscaler(version: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"}, "spec": spec,
    })
}

/// Protocol: D1, C8
#[tokio::test]
async fn an_older_version_is_the_same_object_in_another_shape() {
    let hub = Hub::start().await;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let spec = json!({"scaleTargetRef": target, "maxReplicas": 3, "targetCPUUtilizationPercentage": 60});
    let made = hub.post(V1, &autoscaler("v1", &spec)).await.expect(201);
    assert_eq!(made["apiVersion"], "autoscaling/v1");
    assert_eq!(made["spec"]["targetCPUUtilizationPercentage"], 60);
    let newer = hub.get(&format!("{V2}/web")).await.expect(200);
    assert_eq!(newer["metadata"]["uid"], made["metadata"]["uid"]);
    assert_eq!(newer["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 60);

    let patch = json!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}}});
    hub.patch(&format!("{V2}/web"), "merge-patch+json", &patch).await.expect(200);
    let patch = json!({"spec": {"maxReplicas": 9}});
    let older = hub.patch(&format!("{V1}/web"), "strategic-merge-patch+json", &patch).await.expect(200);
    assert!(older["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/behavior"].is_string(), "{older}");
    let newer = hub.get(&format!("{V2}/web")).await.expect(200);
    assert_eq!(newer["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"], 5);
    assert_eq!(newer["spec"]["maxReplicas"], 9);
    assert!(newer["metadata"].get("annotations").is_none(), "{newer}");

    let list = hub.get(V1).await.expect(200);
    assert_eq!((names(&list), &list["apiVersion"]), (vec!["web".to_owned()], &json!("autoscaling/v1")));
    assert_eq!(list["items"][0]["spec"]["targetCPUUtilizationPercentage"], 60);
    let mut watch = hub.watch(&format!("{V1}?watch=1&resourceVersion=0")).await;
    let event = watch.next().await.expect("the state");
    assert_eq!(event["object"]["apiVersion"], "autoscaling/v1");
}

/// Protocol: D1, D6
#[tokio::test]
async fn versions_are_those_of_a_cluster_that_was_told_nothing() {
    let hub = Hub::start().await;
    let groups = hub.get("/apis").await.expect(200);
    let mut unstable = Vec::new();
    for group in groups["groups"].as_array().expect("groups") {
        for version in group["versions"].as_array().expect("versions") {
            let version = version["groupVersion"].as_str().expect("a name");
            if version.contains("alpha") || version.contains("beta") {
                unstable.push(version.to_owned());
            }
        }
    }
    // Our own, and those that only turn old YAML into today's.
    let old = ["apps/v1beta1", "apps/v1beta2", "networking.k8s.io/v1beta1", "extensions/v1beta1"];
    unstable.retain(|version| !old.contains(&version.as_str()));
    assert_eq!(unstable, ["fedgate.dev/v1alpha1"]);
    hub.get("/apis/internal.apiserver.k8s.io/v1alpha1/storageversions").await.refused(404);
    let autoscaling = hub.get("/apis/autoscaling").await.expect(200);
    assert_eq!(autoscaling["preferredVersion"]["version"], "v2");
    assert_eq!(autoscaling["versions"][1]["version"], "v1");
}
