//! What the hub shows of its members, and what it goes on showing when it cannot see.

use federation_types::label;
use http::Method;
use member_cluster::join::Permissions;
use serde_json::{Value, json};

use crate::house::{CLUSTERS, House, Member, NODES, PODS, SLICES};
use crate::hub::{names, rev};

fn slice(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": labels}, "addressType": "IPv4", "ports": [{"port": 80}],
        "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "n",
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "web"}}]})
}

#[tokio::test]
async fn objects_have_the_clusters_name_and_label_and_so_have_references() {
    let east = Member::start(Permissions::Apply).await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    east.at.post(NODES, &node).await.expect(201);
    east.pod("web", &json!({"app": "web"})).await;
    east.at.post(SLICES, &slice("web-x", &json!({"kubernetes.io/service-name": "web"}))).await.expect(201);
    let house = House::with([("east", east)]).await;
    house.ready("east").await;

    let pod = house.hub.get(&format!("{PODS}/web.east")).await.expect(200);
    assert_eq!(pod["metadata"]["labels"], json!({"app": "web", "fedgate.dev/cluster": "east"}));
    assert_eq!(pod["spec"]["nodeName"], "n.east");
    assert!(pod["metadata"].get("managedFields").is_none());
    assert_eq!(names(&house.hub.get(NODES).await.expect(200)), ["n.east"]);
    let shown = house.hub.get(&format!("{SLICES}/web-x.east")).await.expect(200);
    assert_eq!(shown["endpoints"][0]["nodeName"], "n.east");
    assert_eq!(shown["endpoints"][0]["targetRef"]["name"], "web.east");

    for (selector, found) in [
        ("fieldSelector=spec.nodeName%3Dn.east", vec!["web.east"]),
        ("fieldSelector=spec.nodeName%3Dn", vec![]),
        ("fieldSelector=metadata.name%3Dweb.east", vec!["web.east"]),
        ("labelSelector=fedgate.dev/cluster%3Deast", vec!["web.east"]),
        ("labelSelector=fedgate.dev/cluster%3Dwest", vec![]),
    ] {
        assert_eq!(names(&house.hub.get(&format!("{PODS}?{selector}")).await.expect(200)), found, "{selector}");
    }
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = house.hub.send(Method::GET, PODS, &accept, "").await.expect(200);
    let columns = table["columnDefinitions"].as_array().expect("columns");
    let at = columns.iter().position(|column| column["name"] == "Cluster").expect("a column Cluster");
    assert_eq!(table["rows"][0]["cells"][at], "east");
}

#[tokio::test]
async fn changes_come_as_events_in_one_order() {
    let house = House::east().await;
    let list = house.hub.get(PODS).await.expect(200);
    let mut watch = house.hub.watch(&format!("{PODS}?watch=true&resourceVersion={}", rev(&list))).await;
    let east = house.member("east");
    east.pod("a", &json!({})).await;
    let labels = json!({"metadata": {"labels": {"x": "y"}}});
    east.at.patch(&format!("{PODS}/a"), "merge-patch+json", &labels).await.expect(200);
    east.at.delete(&format!("{PODS}/a?gracePeriodSeconds=0")).await.expect(200);
    let mut last = rev(&list);
    for (kind, label) in [("ADDED", Value::Null), ("MODIFIED", json!("y")), ("DELETED", json!("y"))] {
        let event = watch.next().await.expect("an event");
        let object = &event["object"];
        assert_eq!((&event["type"], &object["metadata"]["labels"]["x"]), (&json!(kind), &label), "{event}");
        assert_eq!(object["metadata"]["name"], "a.east");
        assert!(rev(object) > last, "revisions rise");
        last = rev(object);
    }
}

#[tokio::test]
async fn the_clock_is_the_resources_own_and_other_replicas_revisions_are_gone() {
    let house = House::east().await;
    house.member("east").pod("a", &json!({})).await;
    house.shows(PODS, "a.east").await;
    let list = house.hub.get(PODS).await.expect(200);
    let year_2020_us = 1_577_836_800_000_000;
    assert!(rev(&list) > year_2020_us, "{}", rev(&list));
    let plain = house.hub.get("/api/v1/namespaces/default/configmaps").await.expect(200);
    assert_ne!(rev(&plain), rev(&list));

    let other = rev(&list) - 7;
    let exact = format!("{PODS}?resourceVersion={other}&resourceVersionMatch=Exact");
    assert_eq!(house.hub.get(&exact).await.refused(410).0, "Expired");
    let mut watch = house.hub.watch(&format!("{PODS}?watch=true&resourceVersion={other}")).await;
    let event = watch.next().await.expect("an event");
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
}

#[tokio::test]
async fn what_is_stored_and_what_is_mirrored_are_one_list() {
    let house = House::east().await;
    let east = house.member("east");
    let pod = house.bound_pod("solo", "east").await;
    let uid = pod["metadata"]["uid"].as_str().expect("a UID");
    // What the template became shows as the template; what controllers made of one is a pod of its own.
    east.pod("solo", &json!({label::TEMPLATE_UID: uid})).await;
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u"}]);
    let made = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-1-a", "labels": {label::TEMPLATE_UID: "t"}, "ownerReferences": owner},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]}});
    east.at.post(PODS, &made).await.expect(201);
    house.shows(PODS, "web-1-a.east").await;
    assert_eq!(names(&house.hub.get(PODS).await.expect(200)), ["solo", "web-1-a.east"]);
    // Loses its label: then it is nobody's here, and shows.
    let free = json!({"metadata": {"labels": {label::TEMPLATE_UID: null}}});
    east.at.patch(&format!("{PODS}/solo"), "merge-patch+json", &free).await.expect(200);
    house.shows(PODS, "solo.east").await;
    let list = house.hub.get(PODS).await.expect(200);
    let mut watch = house.hub.watch(&format!("{PODS}?watch=true&resourceVersion={}", rev(&list))).await;
    let taken = json!({"metadata": {"labels": {label::TEMPLATE_UID: uid}}});
    east.at.patch(&format!("{PODS}/solo"), "merge-patch+json", &taken).await.expect(200);
    assert_eq!(watch.told(1).await, ["DELETED solo.east"]);
    assert_eq!(names(&house.hub.get(PODS).await.expect(200)), ["solo", "web-1-a.east"]);
    house.hub.delete(&format!("{PODS}/solo")).await.expect(200);
    assert_eq!(names(&house.hub.get(PODS).await.expect(200)), ["web-1-a.east"]);
}

#[tokio::test]
async fn a_lost_member_keeps_its_objects_and_a_new_list_corrects_them() {
    let house = House::east().await;
    let east = house.member("east");
    for name in ["a", "b"] {
        east.pod(name, &json!({})).await;
        house.shows(PODS, &format!("{name}.east")).await;
    }
    let list = house.hub.get(PODS).await.expect(200);
    let mut watch = house.hub.watch(&format!("{PODS}?watch=true&resourceVersion={}", rev(&list))).await;
    east.line.cut();
    east.line.expire();
    east.at.delete(&format!("{PODS}/a?gracePeriodSeconds=0")).await.expect(200);
    east.pod("c", &json!({})).await;
    house.condition("east", "Reachable", |reachable| reachable["status"] == "False").await;
    assert_eq!(names(&house.hub.get(PODS).await.expect(200)), ["a.east", "b.east"]);
    east.line.mend();
    let mut told = watch.told(2).await;
    told.sort();
    assert_eq!(told, ["ADDED c.east", "DELETED a.east"]);
    assert_eq!(names(&house.hub.get(PODS).await.expect(200)), ["b.east", "c.east"]);
}

#[tokio::test]
async fn the_marker_follows_the_first_complete_list() {
    let east = Member::start(Permissions::Apply).await;
    east.line.hold_slices(true);
    east.pod("web", &json!({})).await;
    east.at.post(SLICES, &slice("web-x", &json!({}))).await.expect(201);
    // Neither a name nor a label makes a member's slice a marker.
    let forged = slice("mirrored", &json!({label::MARKER: "true", "forged": "true"}));
    let system = SLICES.replace("/default/", "/fedgate-system/");
    east.at.post(&system, &forged).await.refused(422);
    let named = slice("mirrored", &json!({"forged": "true"}));
    east.at.post(&system, &named).await.expect(201);
    let house = House::with([("east", east)]).await;
    house.shows(PODS, "web.east").await;
    let marker = format!("{system}/mirrored.east");
    house.hub.get(&marker).await.refused(404);
    house.condition("east", "Mirrored", |mirrored| mirrored["reason"] == "Listing").await;

    house.member("east").line.hold_slices(false);
    let seen = house.shows(&system, "mirrored.east").await;
    assert_eq!(seen["metadata"]["labels"], json!({label::MARKER: "true", label::CLUSTER: "east"}));
    let told = house.hub.get(&format!("{SLICES}/web-x.east")).await.expect(200);
    assert!(rev(&told) < rev(&seen), "the marker is behind everything it speaks of");
    house.ready("east").await;
    house.member("east").at.delete(&format!("{system}/mirrored")).await.expect(200);
    house.member("east").at.post(SLICES, &slice("later", &json!({}))).await.expect(201);
    house.shows(SLICES, "later.east").await;
    house.hub.get(&marker).await.expect(200);
}

#[tokio::test]
async fn a_removed_clusters_objects_go_also_when_its_credentials_went_first() {
    let members = [
        ("east", Member::start(Permissions::Apply).await),
        ("north", Member::start(Permissions::Apply).await),
        ("west", Member::start(Permissions::Apply).await),
    ];
    for (_, member) in &members {
        member.pod("web", &json!({})).await;
    }
    let house = House::with(members).await;
    for name in ["east", "north", "west"] {
        house.ready(name).await;
    }
    let list = house.hub.get(PODS).await.expect(200);
    assert_eq!(names(&list), ["web.east", "web.north", "web.west"]);
    let mut watch = house.hub.watch(&format!("{PODS}?watch=true&resourceVersion={}", rev(&list))).await;
    house.hub.delete(&format!("{CLUSTERS}/east")).await.expect(200);
    assert_eq!(watch.told(1).await, ["DELETED web.east"]);

    house.hub.delete("/api/v1/namespaces/fedgate-system/secrets/west").await.expect(200);
    house.condition("west", "Ready", |ready| ready["reason"] == "NoConnection").await;
    assert_eq!(names(&house.hub.get(PODS).await.expect(200)), ["web.north", "web.west"]);
    house.hub.delete(&format!("{CLUSTERS}/west")).await.expect(200);
    assert_eq!(watch.told(1).await, ["DELETED web.west"]);
    let slices = house.hub.get("/apis/discovery.k8s.io/v1/endpointslices").await.expect(200);
    assert_eq!(names(&slices), ["mirrored.north"]);
}
