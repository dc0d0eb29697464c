//! Writes to what a member owns: a pod's deletion travels, everything else is refused by name.

use auth::UserInfo;
use bytes::Bytes;
use federation_types::label;
use http::Method;
use member_cluster::join::Permissions;
use serde_json::{Value, json};

use crate::house::{House, Member, NODES, PODS, SLICES};
use crate::hub::names;
use crate::line::Asked;

const JSON: (&str, &str) = ("content-type", "application/json");

fn writes(member: &Member) -> Vec<Asked> {
    member.line.asked().into_iter().filter(|asked| asked.method != "GET").collect()
}

async fn east_with(pods: &[&str]) -> House {
    let east = Member::start(Permissions::Apply).await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    east.at.post(NODES, &node).await.expect(201);
    for name in pods {
        east.pod(name, &json!({})).await;
    }
    let house = House::with([("east", east)]).await;
    house.ready("east").await;
    house
}

#[tokio::test]
async fn a_pods_deletion_travels_with_its_options() {
    let house = east_with(&["web"]).await;
    let (hub, east) = (&house.hub, house.member("east"));
    let path = format!("{PODS}/web.east");
    let delete = async |options: Value| hub.send(Method::DELETE, &path, &[JSON], options.to_string()).await;

    let (reason, message) = delete(json!({"preconditions": {"uid": "other"}})).await.refused(409);
    assert_eq!(reason, "Conflict");
    assert!(message.contains("member cluster \"east\"") && message.contains("pods \"web.east\""), "{message}");
    let (_, message) = delete(json!({"preconditions": {"resourceVersion": "5"}})).await.refused(409);
    assert!(message.contains("pods \"web.east\""), "{message}");
    delete(json!({"dryRun": ["All"], "gracePeriodSeconds": 0})).await.expect(200);
    let pod = east.at.get(&format!("{PODS}/web")).await.expect(200);
    assert!(pod["metadata"].get("deletionTimestamp").is_none(), "a dry run");

    let shown = hub.get(&path).await.expect(200);
    let wanted = json!({"resourceVersion": shown["metadata"]["resourceVersion"], "uid": pod["metadata"]["uid"]});
    let answer = delete(json!({"gracePeriodSeconds": 7, "preconditions": wanted})).await.expect(200);
    assert_eq!((&answer["kind"], &answer["metadata"]["name"]), (&json!("Pod"), &json!("web.east")));
    assert_eq!(answer["spec"]["nodeName"], "n.east");
    assert_eq!(answer["metadata"]["deletionGracePeriodSeconds"], 7);

    let answer = delete(json!({"gracePeriodSeconds": 0})).await.expect(200);
    assert_eq!((&answer["kind"], &answer["details"]["name"]), (&json!("Status"), &json!("web.east")));
    east.at.get(&format!("{PODS}/web")).await.refused(404);
    let (_, message) = delete(json!({})).await.refused(404);
    assert_eq!(message, "pods \"web.east\" not found");
    for asked in writes(east) {
        assert_eq!((asked.method.as_str(), asked.acting_as.as_str()), ("DELETE", label::DEFAULT_EXECUTOR), "{asked:?}");
    }
}

#[tokio::test]
async fn a_collection_of_pods_goes_in_its_members() {
    let house = east_with(&["a", "b"]).await;
    let labels = "?labelSelector=fedgate.dev/cluster%3Deast&gracePeriodSeconds=0";
    let list = house.hub.delete(&format!("{PODS}{labels}")).await.expect(200);
    assert_eq!(names(&list), ["a.east", "b.east"]);
    assert!(names(&house.member("east").at.get(PODS).await.expect(200)).is_empty());
}

#[tokio::test]
async fn other_writes_are_refused_and_name_the_member() {
    let house = east_with(&["web"]).await;
    let (hub, east) = (&house.hub, house.member("east"));
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "s"},
        "addressType": "IPv4", "endpoints": [], "ports": []});
    east.at.post(SLICES, &slice).await.expect(201);
    house.shows(SLICES, "s.east").await;
    let before = writes(east).len();
    let merge = [("content-type", "application/merge-patch+json")];
    let apply = [("content-type", "application/apply-patch+yaml")];
    let body =
        |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}).to_string();
    let named = |base: &str, name: &str| format!("{base}/{name}");
    let cases = [
        (Method::PUT, named(PODS, "web.east"), &[JSON], body("Pod", "web.east")),
        (Method::PATCH, named(PODS, "web.east"), &merge, json!({"metadata": {"labels": {"a": "b"}}}).to_string()),
        (Method::PATCH, format!("{PODS}/web.east?fieldManager=t"), &apply, body("Pod", "web.east")),
        (Method::PATCH, named(PODS, "web.east/status"), &merge, json!({"status": {"phase": "Failed"}}).to_string()),
        (Method::PUT, named(NODES, "n.east"), &[JSON], body("Node", "n.east")),
        (Method::DELETE, named(NODES, "n.east"), &[JSON], String::new()),
        (Method::PATCH, named(SLICES, "s.east"), &merge, json!({"ports": []}).to_string()),
        (Method::DELETE, named(SLICES, "s.east"), &[JSON], String::new()),
    ];
    for (method, path, headers, body) in cases {
        let (reason, message) = hub.send(method.clone(), &path, headers, body).await.refused(405);
        assert_eq!(reason, "MethodNotAllowed", "{method} {path}");
        assert!(message.contains("belongs to the member cluster \"east\""), "{method} {path}: {message}");
        assert!(message.contains("change the "), "{method} {path}: {message}");
    }
    let taken = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web.east"},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]}});
    let (_, message) = hub.post(PODS, &taken).await.refused(405);
    assert!(message.contains("belongs to the member cluster \"east\""), "{message}");
    assert_eq!(writes(east).len(), before, "nothing was asked of the member");
}

#[tokio::test]
async fn new_names_that_a_members_object_may_have_are_refused() {
    let house = east_with(&[]).await;
    let hub = &house.hub;
    let pod = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]}})
    };
    let status = hub.post(PODS, &pod("new.east")).await.expect(422);
    assert_eq!(status["details"]["causes"][0]["field"], "metadata.name", "{status}");
    let apply = [("content-type", "application/apply-patch+yaml")];
    let path = format!("{PODS}/new.east?fieldManager=t");
    let status = hub.send(Method::PATCH, &path, &apply, pod("new.east").to_string()).await.expect(422);
    assert_eq!(status["details"]["causes"][0]["field"], "metadata.name", "{status}");
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "new.east"}});
    hub.post(NODES, &node).await.refused(422);
    // Neither other tails nor other kinds can meet a member's object.
    hub.post(PODS, &pod("new.west")).await.expect(201);
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new.east"}});
    hub.post("/api/v1/namespaces/default/configmaps", &config).await.expect(201);
    // What was stored before a cluster of that name came stays the hub's.
    house.register("west", "east").await;
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    hub.patch(&format!("{PODS}/new.west"), "merge-patch+json", &label).await.expect(200);
    hub.delete(&format!("{PODS}/new.west")).await.expect(200);
}

#[tokio::test]
async fn the_mirrors_labels_can_be_set_by_nobody() {
    let house = east_with(&[]).await;
    let hub = &house.hub;
    let maps = "/api/v1/namespaces/default/configmaps";
    let map =
        |labels: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "labels": labels}});
    for key in [label::CLUSTER, label::MARKER] {
        let field = format!("metadata.labels[{key}]");
        let labels = json!({key: "east"});
        let refused = |status: Value| assert_eq!(status["details"]["causes"][0]["field"], field.as_str(), "{status}");
        refused(hub.post(maps, &map(labels.clone())).await.expect(422));
        hub.post(maps, &map(json!({"a": "b"}))).await.expect(201);
        let path = format!("{maps}/m");
        refused(hub.put(&path, &map(labels.clone())).await.expect(422));
        let patch = json!({"metadata": {"labels": labels}});
        for kind in ["merge-patch+json", "strategic-merge-patch+json"] {
            refused(hub.patch(&path, kind, &patch).await.expect(422));
        }
        let apply = [("content-type", "application/apply-patch+yaml")];
        let body = map(json!({key: "east"})).to_string();
        refused(hub.send(Method::PATCH, &format!("{path}?fieldManager=t"), &apply, body).await.expect(422));
        hub.delete(&path).await.expect(200);
    }
    let template = json!({"metadata": {"labels": {"a": "b", label::CLUSTER: "east"}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    let status = hub.post("/apis/apps/v1/namespaces/default/deployments", &deployment).await.expect(422);
    let field = format!("spec.template.metadata.labels[{}]", label::CLUSTER);
    assert_eq!(status["details"]["causes"][0]["field"], field.as_str(), "{status}");
}

#[tokio::test]
async fn a_member_that_is_gone_is_named_and_nothing_happens() {
    let house = east_with(&["web"]).await;
    house.member("east").line.cut();
    // Also a pod that was not seen yet: what a silent member has is not known.
    for name in ["web.east", "unseen.east"] {
        let reply = house.hub.delete(&format!("{PODS}/{name}")).await;
        assert!(!reply.headers.contains_key("retry-after"), "clients would wait for it in silence");
        let (reason, message) = reply.refused(503);
        assert_eq!(reason, "ServiceUnavailable");
        assert!(message.contains("member cluster \"east\""), "{message}");
    }
    house.hub.get(&format!("{PODS}/web.east")).await.expect(200);
    house.hub.delete("/api/v1/namespaces/fedgate-system/secrets/east").await.expect(200);
    house.condition("east", "Ready", |ready| ready["reason"] == "NoConnection").await;
    let (_, message) = house.hub.delete(&format!("{PODS}/web.east")).await.refused(503);
    assert!(message.contains("\"east\" has no connection"), "{message}");
}

#[tokio::test]
async fn a_deletion_needs_the_right_to_act_in_the_member() {
    let house = House::with([("east", Member::start(Permissions::Apply).await)]).await;
    house.member("east").pod("web", &json!({})).await;
    house.ready("east").await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "pods"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]}]});
    house.hub.post(&format!("{rbac}/clusterroles"), &role).await.expect(201);
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "pods"}, "subjects": [{"kind": "User", "name": "ed", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "pods"}});
    house.hub.post(&format!("{rbac}/clusterrolebindings"), &binding).await.expect(201);
    let ed = house.hub.api.in_process(UserInfo::new("ed", ["system:authenticated"]));
    let path = format!("{PODS}/web.east");
    let (_, message) = house.hub.send_as(&ed, Method::DELETE, &path, (&[], Bytes::new())).await.refused(403);
    assert!(message.contains("cannot execute-as resource \"clusters\""), "{message}");
    assert!(writes(house.member("east")).is_empty());
}

#[tokio::test]
async fn both_sides_have_to_allow_a_deletion() {
    let read_only = Member::start(Permissions::Read).await;
    read_only.pod("web", &json!({})).await;
    let house = House::with([("east", read_only)]).await;
    house.ready("east").await;
    let path = format!("{PODS}/web.east");
    let nobody = house.hub.api.in_process(UserInfo::new("nobody", ["system:authenticated"]));
    let refused = house.hub.send_as(&nobody, Method::DELETE, &path, (&[], Bytes::new())).await.refused(403);
    assert!(!refused.1.contains("member cluster"), "{}", refused.1);
    assert!(writes(house.member("east")).is_empty());
    let (reason, message) = house.hub.delete(&path).await.refused(403);
    assert_eq!(reason, "Forbidden");
    assert!(message.starts_with("in the member cluster \"east\": "), "{message}");
    house.member("east").at.get(&format!("{PODS}/web")).await.expect(200);
}
