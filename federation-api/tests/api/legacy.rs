//! YAML of older days: taken under its old paths, kept and answered as what it is today.

use http::Method;
use serde_json::json;

use crate::hub::Hub;

const OLD: &str = "/apis/extensions/v1beta1/namespaces/default/ingresses";
const NEW: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses/web";
const INGRESS: &str = "
apiVersion: extensions/v1beta1
kind: Ingress
metadata: {name: web}
spec:
  rules:
  - host: a.example
    http: {paths: [{path: /x, backend: {serviceName: web, servicePort: 80}}]}
";
const WARNING: &str =
    "extensions/v1beta1 Ingress is deprecated in v1.14+, unavailable in v1.22+; use networking.k8s.io/v1 Ingress";

fn yaml() -> [(&'static str, &'static str); 1] {
    [("content-type", "application/yaml")]
}

#[tokio::test]
async fn an_old_ingress_is_one_of_today() {
    let hub = Hub::start().await;
    let made = hub.send(Method::POST, OLD, &yaml(), INGRESS).await;
    assert!(made.warnings().iter().any(|text| text.contains(WARNING)), "{:?}", made.warnings());
    let made = made.expect(201);
    assert_eq!(made["apiVersion"], "networking.k8s.io/v1");
    let path = json!({"path": "/x", "pathType": "ImplementationSpecific",
        "backend": {"service": {"name": "web", "port": {"number": 80}}}});
    assert_eq!(made["spec"]["rules"][0]["http"]["paths"][0], path);
    let today = hub.get(NEW).await.expect(200);
    assert_eq!(today, made);
    let old = hub.get(&format!("{OLD}/web")).await;
    assert_eq!(old.warnings().len(), 1);
    assert_eq!(old.expect(200), today, "served only as of today");
    assert_eq!(hub.get(OLD).await.expect(200)["kind"], "IngressList");
}

#[tokio::test]
async fn old_patches_and_puts_change_it() {
    let hub = Hub::start().await;
    hub.send(Method::POST, OLD, &yaml(), INGRESS).await.expect(201);
    let old = format!("{OLD}/web");
    let backend = json!({"apiVersion": "extensions/v1beta1", "kind": "Ingress",
        "spec": {"backend": {"serviceName": "rest", "servicePort": "http"}}});
    let patched = hub.patch(&old, "merge-patch+json", &backend).await.expect(200);
    assert_eq!(patched["spec"]["defaultBackend"], json!({"service": {"name": "rest", "port": {"name": "http"}}}));
    let apply = INGRESS.replace("servicePort: 80", "servicePort: 81");
    let kind = [("content-type", "application/apply-patch+yaml")];
    let applied = hub.send(Method::PATCH, &format!("{old}?fieldManager=me&force=true"), &kind, apply).await.expect(200);
    let port = "/spec/rules/0/http/paths/0/backend/service/port/number";
    assert_eq!(applied.pointer(port), Some(&json!(81)));
    let put = INGRESS.replace("servicePort: 80", "servicePort: 82");
    assert_eq!(hub.send(Method::PUT, &old, &yaml(), put).await.expect(200).pointer(port), Some(&json!(82)));
    hub.delete(&old).await.expect(200);
    hub.get(NEW).await.refused(404);
}

#[tokio::test]
async fn old_rules_are_kept() {
    let hub = Hub::start().await;
    let path = "/apis/apps/v1beta1/namespaces/default/deployments";
    let pods = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let sent = |version: &str| json!({"apiVersion": version, "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"template": pods}});
    let made = hub.post(path, &sent("apps/v1beta1")).await.expect(201);
    assert_eq!(made["spec"]["selector"], json!({"matchLabels": {"app": "a"}}), "the old default");
    let (reason, text) = hub.post(path, &sent("apps/v1")).await.refused(400);
    assert_eq!(reason, "BadRequest", "{text}");
    let strict = format!("{path}?fieldValidation=Strict");
    let mut unknown = sent("apps/v1beta1");
    unknown["spec"]["colour"] = json!("red");
    assert!(hub.post(&strict, &unknown).await.refused(400).1.contains("unknown field \"spec.colour\""));
    hub.get("/apis/apps/v1beta3/namespaces/default/deployments").await.refused(404);
}

#[tokio::test]
async fn who_applies_an_old_object_need_not_say_what_the_old_version_knew() {
    let hub = Hub::start().await;
    let path = "/apis/extensions/v1beta1/namespaces/default/daemonsets/a?fieldManager=helm";
    let kind = [("content-type", "application/apply-patch+yaml")];
    let config = |image: &str, more: &str| {
        format!(
            "{{apiVersion: extensions/v1beta1, kind: DaemonSet, metadata: {{name: a}}, spec: {{template: \
            {{metadata: {{labels: {{app: a{more}}}}}, spec: {{containers: [{{name: c, image: {image}}}]}}}}}}}}"
        )
    };
    let made = hub.send(Method::PATCH, path, &kind, config("one", "")).await.expect(201);
    assert_eq!(made["spec"]["selector"], json!({"matchLabels": {"app": "a"}}));
    assert_eq!(made["spec"]["updateStrategy"]["type"], "OnDelete");
    let owned = made["metadata"]["managedFields"][0]["fieldsV1"].to_string();
    assert!(!owned.contains("f:selector"), "nobody has set what the version fills in: {owned}");
    // What is there stays, also where the labels go on.
    let applied = hub.send(Method::PATCH, path, &kind, config("two", ", tier: front")).await.expect(200);
    assert_eq!(applied["spec"]["selector"], json!({"matchLabels": {"app": "a"}}));
    assert_eq!(applied.pointer("/spec/template/spec/containers/0/image"), Some(&json!("two")));
    let (reason, _) = hub
        .send(
            Method::PATCH,
            "/apis/apps/v1/namespaces/default/daemonsets/b?fieldManager=helm",
            &kind,
            config("one", "").replace("extensions/v1beta1", "apps/v1").replace("name: a", "name: b"),
        )
        .await
        .refused(422);
    assert_eq!(reason, "Invalid", "today's version has no such default");
}

#[tokio::test]
async fn discovery_knows_the_old_paths_behind_todays() {
    let hub = Hub::start().await;
    let groups = hub.get("/apis").await.expect(200);
    let versions = |name: &str| {
        let group = groups["groups"].as_array().expect("groups").iter().find(|group| group["name"] == name);
        let versions = group.expect(name)["versions"].as_array().expect("versions").clone();
        versions.iter().map(|version| version["version"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(versions("apps")[0], "v1");
    assert!(versions("apps").contains(&"v1beta2".to_owned()));
    assert_eq!(versions("extensions"), ["v1beta1"]);
    let list = hub.get("/apis/extensions/v1beta1").await.expect(200);
    let ingress = list["resources"].as_array().expect("resources").iter().find(|one| one["name"] == "ingresses");
    assert_eq!(ingress.expect("ingresses")["verbs"], json!(["create", "delete", "get", "patch", "update"]));
}
