//! The controllers over a real API server in memory.

use std::time::Duration;

use auth::UserInfo;
use federation_types::Gvr;
use hub_client::{At, Caller, Collection, DeleteOptions, Hub, Reflector, WriteOptions};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Controllers;
use super::bootstrap::{Bootstrap, ensure};
use crate::{Api, StoreConfig};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server with its controllers running; they stop when it is dropped.
struct Server {
    hub: Hub,
    api: Api,
    _tasks: JoinSet<()>,
}

fn caller(api: &Api, user: UserInfo) -> Hub {
    Caller::new(kube::Client::new(api.in_process(user), "default"))
}

async fn start() -> Server {
    let keys = tempfile::tempdir().unwrap();
    let key = auth::service_account::ServiceAccountKey::open(&keys.path().join("key")).unwrap();
    let api = Api::builder().service_accounts(key).open(StoreConfig::Memory).await.unwrap();
    let hub = caller(&api, UserInfo::new("system:apiserver", ["system:masters"]).authenticated());
    ensure(&hub, &bootstrap()).await.unwrap();
    let controllers = Controllers {
        system: hub.clone(),
        collector: caller(&api, UserInfo::service_account("fedgate-system", "collector", "")),
        root_ca_pem: "PEM".into(),
        places: true,
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(controllers.run(CancellationToken::new()));
    Server { hub, api, _tasks: tasks }
}

fn bootstrap() -> Bootstrap {
    Bootstrap {
        hub: true,
        client_ca_pem: "PEM".into(),
        front_proxy_ca_pem: "PROXY".into(),
        address: "10.0.0.1:6443".parse().unwrap(),
        service_cidr: "10.96.0.0/12".into(),
    }
}

impl Server {
    async fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.hub.get(&gvr(resource), namespace, name).await.unwrap()
    }

    /// Watches one object until it is as wanted; `None` is its absence.
    async fn until(&self, (resource, namespace, name): (&str, &str, &str), wanted: impl Fn(Option<&Value>) -> bool) {
        let only = Collection::all(gvr(resource)).within(namespace).with_fields(format!("metadata.name={name}"));
        let reflector = Reflector::new(self.hub.clone(), only, Some);
        let reflection = reflector.reflection();
        let mut changes = reflection.changes();
        let seen = async {
            while !(reflection.state().synced && wanted(reflection.get(namespace, name).as_deref())) {
                changes.changed().await.unwrap();
            }
        };
        tokio::select! {
            () = reflector.run(CancellationToken::new()) => unreachable!("nobody stops the reflector"),
            seen = tokio::time::timeout(PATIENCE, seen) => {
                let last = reflection.get(namespace, name);
                assert!(seen.is_ok(), "{resource} {namespace}/{name} stays as it is: {last:?}");
            }
        }
    }

    async fn appears(&self, resource: &str, namespace: &str, name: &str) -> Value {
        self.until((resource, namespace, name), |object| object.is_some()).await;
        self.get(resource, namespace, name).await.unwrap()
    }

    async fn goes(&self, resource: &str, namespace: &str, name: &str) {
        self.until((resource, namespace, name), |object| object.is_none()).await;
    }

    async fn config_map(&self, namespace: &str, name: &str, owners: &[(&Value, bool)]) -> Value {
        let owners: Vec<Value> = owners
            .iter()
            .map(|(owner, blocks)| {
                json!({"apiVersion": "v1", "kind": owner["kind"], "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"], "blockOwnerDeletion": blocks})
            })
            .collect();
        let object =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": owners}});
        self.hub.create(&gvr("configmaps"), namespace, &object).await.unwrap()
    }

    async fn namespace(&self, name: &str) {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.hub.create(&gvr("namespaces"), "", &object).await.unwrap();
    }

    async fn delete(&self, resource: &str, namespace: &str, name: &str, propagation: &str) {
        let how = DeleteOptions { propagation, ..DeleteOptions::default() };
        self.hub.delete(At::new(&gvr(resource), namespace, name), &how).await.unwrap();
    }

    async fn patch(&self, resource: &str, namespace: &str, name: &str, patch: Value) {
        self.hub.merge_patch(At::new(&gvr(resource), namespace, name), &patch, &WriteOptions::default()).await.unwrap();
    }
}

fn gvr(resource: &str) -> Gvr {
    let version = match resource {
        "clusterroles" | "clusterrolebindings" => "rbac.authorization.k8s.io/v1",
        "placementbindings" => "fedgate.dev/v1alpha1",
        "ingressclasses" => "networking.k8s.io/v1",
        "apiservices" => "apiregistration.k8s.io/v1",
        "customresourcedefinitions" => "apiextensions.k8s.io/v1",
        _ => "v1",
    };
    Gvr::new(version, resource)
}

/// Protocol: B1
#[tokio::test]
async fn first_objects_are_written_once_and_mended() {
    let server = start().await;
    for (resource, namespace, name) in [
        ("namespaces", "", "kube-system"),
        ("namespaces", "", "fedgate-system"),
        ("services", "default", "kubernetes"),
        ("ingressclasses", "", "fedgate"),
        ("serviceaccounts", "fedgate-system", "placement"),
    ] {
        assert!(server.get(resource, namespace, name).await.is_some(), "{resource} {name}");
    }
    server
        .until(("clusterroles", "", "view"), |role| {
            role.is_some_and(|role| role["rules"].as_array().is_some_and(|rules| rules.len() > 5))
        })
        .await;
    server.patch("clusterroles", "", "system:discovery", json!({"rules": []})).await;
    let before = server.hub.list(&Collection::all(gvr("clusterroles"))).await.unwrap();
    ensure(&server.hub, &bootstrap()).await.unwrap();
    let after = server.hub.list(&Collection::all(gvr("clusterroles"))).await.unwrap();
    let changed: Vec<_> =
        after.items.iter().filter(|role| !before.items.contains(role)).map(|role| &role["metadata"]["name"]).collect();
    assert_eq!(changed, ["system:discovery"], "only what was missing is written");
    let ann = caller(&server.api, UserInfo::new("ann", ["system:authenticated"]));
    assert!(ann.get_path("/version").await.is_ok());
    assert_eq!(ann.list(&Collection::all(gvr("namespaces"))).await.unwrap_err().code(), 403);
}

/// Protocol: B1
#[tokio::test]
async fn every_namespace_has_its_account_and_certificate() {
    let server = start().await;
    server.namespace("shop").await;
    for namespace in ["shop", "default", "kube-system"] {
        server.appears("serviceaccounts", namespace, "default").await;
        assert_eq!(server.appears("configmaps", namespace, "kube-root-ca.crt").await["data"]["ca.crt"], "PEM");
    }
    server.delete("serviceaccounts", "shop", "default", "Background").await;
    server.appears("serviceaccounts", "shop", "default").await;
    server.patch("configmaps", "shop", "kube-root-ca.crt", json!({"data": {"ca.crt": "forged"}})).await;
    server
        .until(("configmaps", "shop", "kube-root-ca.crt"), |map| map.is_some_and(|map| map["data"]["ca.crt"] == "PEM"))
        .await;
}

/// Protocol: SR2
#[tokio::test]
async fn secrets_get_their_token_and_go_with_their_account() {
    let server = start().await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    server.hub.create(&gvr("serviceaccounts"), "default", &account).await.unwrap();
    let secret = |name: &str, account: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
            "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": account}}})
    };
    server.hub.create(&gvr("secrets"), "default", &secret("token", "robot")).await.unwrap();
    server
        .until(("secrets", "default", "token"), |secret| {
            secret.is_some_and(|secret| secret["data"]["token"].is_string() && secret["data"]["ca.crt"].is_string())
        })
        .await;
    server.hub.create(&gvr("secrets"), "default", &secret("stray", "nobody")).await.unwrap();
    server.goes("secrets", "default", "stray").await;
    server.delete("serviceaccounts", "default", "robot", "Background").await;
    server.goes("secrets", "default", "token").await;
}

/// Protocol: DEL4
#[tokio::test]
async fn an_owner_in_another_namespace_is_none() {
    let server = start().await;
    server.namespace("shop").await;
    let owner = server.config_map("shop", "owner", &[]).await;
    server.config_map("shop", "child", &[(&owner, false)]).await;
    let stray = server.config_map("default", "stray", &[(&owner, false)]).await;
    server.goes("configmaps", "default", "stray").await;
    let event = format!("stray.{}", stray["metadata"]["uid"].as_str().unwrap());
    let event = server.appears("events", "default", &event).await;
    assert_eq!(event["reason"], "OwnerRefInvalidNamespace");
    assert!(server.get("configmaps", "shop", "child").await.is_some());
}

/// Protocol: NS1
#[tokio::test]
async fn a_namespace_goes_with_all_that_is_stored_in_it() {
    let server = start().await;
    server.namespace("shop").await;
    server.namespace("other").await;
    server.config_map("other", "stays", &[]).await;
    server.config_map("shop", "goes", &[]).await;
    let held = json!({"metadata": {"finalizers": ["example.com/held"]}});
    server.config_map("shop", "held", &[]).await;
    server.patch("configmaps", "shop", "held", held).await;
    server.delete("namespaces", "", "shop", "Background").await;
    server.goes("configmaps", "shop", "goes").await;
    server
        .until(("namespaces", "", "shop"), |namespace| {
            namespace.is_some_and(|namespace| {
                let conditions = namespace["status"]["conditions"].to_string();
                namespace["status"]["phase"] == "Terminating"
                    && conditions.contains("example.com/held in 1 resource instances")
            })
        })
        .await;
    server.patch("configmaps", "shop", "held", json!({"metadata": {"finalizers": null}})).await;
    server.goes("namespaces", "", "shop").await;
    assert!(server.get("configmaps", "other", "stays").await.is_some());
}

/// Protocol: DEL4
#[tokio::test]
async fn dependents_go_with_their_last_owner() {
    let server = start().await;
    let one = server.config_map("default", "one", &[]).await;
    let two = server.config_map("default", "two", &[]).await;
    let both = server.config_map("default", "both", &[(&one, false), (&two, false)]).await;
    server.config_map("default", "child", &[(&both, false)]).await;
    server.delete("configmaps", "default", "one", "Background").await;
    server
        .until(("configmaps", "default", "both"), |map| {
            map.is_some_and(|map| map["metadata"]["ownerReferences"].as_array().is_some_and(|owners| owners.len() == 1))
        })
        .await;
    server.delete("configmaps", "default", "two", "Background").await;
    server.goes("configmaps", "default", "both").await;
    server.goes("configmaps", "default", "child").await;
    let ghost = json!({"kind": "ConfigMap", "metadata": {"name": "ghost", "uid": "no-such-uid"}});
    server.config_map("default", "stray", &[(&ghost, false)]).await;
    server.goes("configmaps", "default", "stray").await;
    let unknown = json!({"kind": "Unheard", "metadata": {"name": "x", "uid": "no-such-uid"}});
    server.config_map("default", "kept", &[(&unknown, false)]).await;
    let fence = server.config_map("default", "fence", &[(&ghost, false)]).await;
    server.goes("configmaps", "default", fence["metadata"]["name"].as_str().unwrap()).await;
    assert!(server.get("configmaps", "default", "kept").await.is_some(), "an owner of a kind that is not served holds");
}

/// Protocol: DEL4
#[tokio::test]
async fn foreground_waits_for_blocking_dependents_and_orphan_releases() {
    let server = start().await;
    let owner = server.config_map("default", "owner", &[]).await;
    server.config_map("default", "blocking", &[(&owner, true)]).await;
    server.patch("configmaps", "default", "blocking", json!({"metadata": {"finalizers": ["example.com/held"]}})).await;
    server.delete("configmaps", "default", "owner", "Foreground").await;
    server
        .until(("configmaps", "default", "blocking"), |map| {
            map.is_some_and(|map| !map["metadata"]["deletionTimestamp"].is_null())
        })
        .await;
    assert!(server.get("configmaps", "default", "owner").await.is_some(), "the owner waits");
    server.patch("configmaps", "default", "blocking", json!({"metadata": {"finalizers": null}})).await;
    server.goes("configmaps", "default", "blocking").await;
    server.goes("configmaps", "default", "owner").await;

    let owner = server.config_map("default", "parent", &[]).await;
    server.config_map("default", "freed", &[(&owner, true)]).await;
    server.delete("configmaps", "default", "parent", "Orphan").await;
    server.goes("configmaps", "default", "parent").await;
    let freed = server.get("configmaps", "default", "freed").await.unwrap();
    assert!(freed["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty));
}

#[tokio::test]
async fn a_template_is_released_after_its_binding_has_recorded_how() {
    let server = start().await;
    let template = server.config_map("default", "template", &[]).await;
    let binding = json!({"apiVersion": "fedgate.dev/v1alpha1", "kind": "PlacementBinding", "metadata": {"name": "b"},
        "spec": {"template": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "default", "name": "template",
            "uid": template["metadata"]["uid"], "generation": 1}, "clusters": [], "epoch": 1, "onDelete": "Delete"}});
    server.hub.create(&gvr("placementbindings"), "fedgate-system", &binding).await.unwrap();
    server.delete("configmaps", "default", "template", "Orphan").await;
    let other = server.config_map("default", "other", &[]).await;
    server.config_map("default", "fence", &[(&other, true)]).await;
    server.delete("configmaps", "default", "other", "Foreground").await;
    server.goes("configmaps", "default", "other").await;
    assert!(server.get("configmaps", "default", "template").await.is_some(), "its copies are not safe yet");
    server
        .patch(
            "placementbindings",
            "fedgate-system",
            "b",
            json!({"metadata": {"annotations": {"fedgate.dev/cascade": "Orphan"}}}),
        )
        .await;
    server.goes("configmaps", "default", "template").await;
}

/// Protocol: G1
#[tokio::test]
async fn api_services_follow_what_is_served() {
    let server = start().await;
    let apps = server.get("apiservices", "", "v1.apps").await.expect("built in");
    assert_eq!(apps["status"]["conditions"][0]["reason"], "Local");
    // What a former server served and this one does not goes with the next start, and people's changes with it.
    let mut old = apps.clone();
    old["metadata"] = json!({"name": "v1.gone.example", "labels": apps["metadata"]["labels"]});
    old["spec"]["group"] = json!("gone.example");
    server.hub.create(&gvr("apiservices"), "", &old).await.unwrap();
    let patch = json!({"spec": {"versionPriority": 7}});
    let at = gvr("apiservices");
    server.hub.merge_patch(At::new(&at, "", "v1.apps"), &patch, &WriteOptions::default()).await.unwrap();
    let people = json!({"metadata": {"labels": {"kube-aggregator.kubernetes.io/automanaged": null}}, "spec": {"versionPriority": 7}});
    server.hub.merge_patch(At::new(&at, "", "v1.batch"), &people, &WriteOptions::default()).await.unwrap();
    ensure(&server.hub, &bootstrap()).await.unwrap();
    assert_eq!(server.get("apiservices", "", "v1.gone.example").await, None);
    let priority =
        async |name: &str| server.get("apiservices", "", name).await.unwrap()["spec"]["versionPriority"].clone();
    assert_eq!((priority("v1.apps").await, priority("v1.batch").await), (json!(15), json!(7)));
    let open = json!({"openAPIV3Schema": {"type": "object"}});
    let version =
        |name: &str, served: bool| json!({"name": name, "served": served, "storage": name == "v1", "schema": open});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "xs.a.example"}, "spec": {"group": "a.example", "scope": "Cluster",
            "names": {"plural": "xs", "kind": "X"}, "versions": [version("v1", true), version("v2", false)]}});
    let definitions = gvr("customresourcedefinitions");
    server.hub.create(&definitions, "", &definition).await.unwrap();
    let made = server.appears("apiservices", "", "v1.a.example").await;
    assert_eq!((&made["spec"]["groupPriorityMinimum"], &made["spec"]["versionPriority"]), (&json!(1000), &json!(100)));
    assert_eq!(server.get("apiservices", "", "v2.a.example").await, None);
    // It is kept as it is, and there, for as long as it is served.
    server.hub.merge_patch(At::new(&at, "", "v1.a.example"), &patch, &WriteOptions::default()).await.unwrap();
    server
        .until(("apiservices", "", "v1.a.example"), |service| {
            service.is_some_and(|service| service["spec"]["versionPriority"] == 100)
        })
        .await;
    let uid = made["metadata"]["uid"].clone();
    server.delete("apiservices", "", "v1.a.example", "Background").await;
    server
        .until(("apiservices", "", "v1.a.example"), |service| {
            service.is_some_and(|service| service["metadata"]["uid"] != uid)
        })
        .await;
    server.delete("customresourcedefinitions", "", "xs.a.example", "Background").await;
    server.goes("apiservices", "", "v1.a.example").await;
}
