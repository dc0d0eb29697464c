//! Priority and fairness: who is classified how, and who is served while somebody floods the server.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use auth::UserInfo;
use bytes::Bytes;
use federation_api::controller::Controllers;
use federation_api::controller::bootstrap::{Bootstrap, ensure};
use federation_api::{InProcess, StoreConfig};
use http::{Method, Request};
use http_body_util::channel::Channel;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::hub::{Hub, PATIENCE, Reply};

const BASE: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";
const SCHEMA_UID: &str = "x-kubernetes-pf-flowschema-uid";
const LEVEL_UID: &str = "x-kubernetes-pf-prioritylevel-uid";

async fn start() -> Hub {
    let api = federation_api::Api::builder().components(["component".to_owned()]).open(StoreConfig::Memory);
    let api = api.await.expect("a store in memory");
    let system = hub_client::Hub::new(kube::Client::new(
        api.in_process(UserInfo::new("system:apiserver", ["system:masters"])),
        "default",
    ));
    let bootstrap = Bootstrap {
        hub: true,
        client_ca_pem: String::new(),
        front_proxy_ca_pem: String::new(),
        address: "127.0.0.1:1".parse().expect("an address"),
        service_cidr: "10.96.0.0/12".into(),
    };
    ensure(&system, &bootstrap).await.expect("bootstrapped");
    let controllers =
        Controllers { system: system.clone(), collector: system, root_ca_pem: "PEM".into(), places: true };
    tokio::spawn(controllers.run(CancellationToken::new()));
    Hub::again(api)
}

fn caller(hub: &Hub, name: &str) -> InProcess {
    hub.api.in_process(UserInfo::new(name, ["system:authenticated"]))
}

async fn ask(hub: &Hub, caller: &InProcess, path: &str) -> Reply {
    hub.send_as(caller, Method::GET, path, (&[], Bytes::new())).await
}

fn level(name: &str, shares: u32, response: &Value) -> Value {
    json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": {"name": name},
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": shares, "borrowingLimitPercent": 0, "limitResponse": response}}})
}

fn schema(name: &str, level: &str, users: &[&str]) -> Value {
    let subjects: Vec<Value> = users.iter().map(|user| json!({"kind": "User", "user": {"name": user}})).collect();
    json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": name},
        "spec": {"matchingPrecedence": 1000, "priorityLevelConfiguration": {"name": level},
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [{"subjects": subjects,
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}})
}

/// The condition Dangling of a schema, as soon as it says `wanted`.
async fn dangling(hub: &Hub, name: &str, wanted: &str) -> Value {
    let mut watch = hub.watch(&format!("{BASE}/flowschemas?watch=1&fieldSelector=metadata.name%3D{name}")).await;
    loop {
        let event = watch.next().await.expect("an event");
        let condition = event["object"]["status"]["conditions"][0].clone();
        if condition["status"] == wanted {
            return condition;
        }
    }
}

/// Protocol: F2
#[tokio::test]
async fn requests_are_classified_by_the_objects_in_force() {
    let hub = start().await;
    let uid = async |path: &str| hub.get(&format!("{BASE}/{path}")).await.expect(200)["metadata"]["uid"].clone();
    let told = |reply: &Reply| [SCHEMA_UID, LEVEL_UID].map(|name| json!(reply.headers[name].to_str().expect("text")));
    let other = caller(&hub, "other");
    let reply = ask(&hub, &other, "/api/v1/secrets").await;
    let global = [uid("flowschemas/global-default").await, uid("prioritylevelconfigurations/global-default").await];
    assert_eq!((reply.code.as_u16(), told(&reply)), (403, global), "a refusal says it too");
    let reply = ask(&hub, &other, "/readyz").await;
    let probes = [uid("flowschemas/probes").await, uid("prioritylevelconfigurations/exempt").await];
    assert_eq!(told(&reply), probes);
    let noxu = caller(&hub, "noxu");
    let made = hub.post(&format!("{BASE}/flowschemas"), &schema("test", "test", &["noxu"])).await.expect(201);
    let condition = dangling(&hub, "test", "True").await;
    assert_eq!(
        (&condition["reason"], &condition["message"]),
        (
            &json!("NotFound"),
            &json!(
                "This FlowSchema references the PriorityLevelConfiguration object named \"test\" but there is no such object"
            )
        )
    );
    let reply = ask(&hub, &noxu, "/version").await;
    assert_eq!(told(&reply)[0], uid("flowschemas/global-default").await, "a dangling schema takes no part");
    let tested = level("test", 1, &json!({"type": "Reject"}));
    let tested = hub.post(&format!("{BASE}/prioritylevelconfigurations"), &tested).await.expect(201);
    assert_eq!(tested["spec"]["limited"]["lendablePercent"], 0, "defaults are set");
    assert_eq!(dangling(&hub, "test", "False").await["reason"], "Found");
    let reply = ask(&hub, &noxu, "/version").await;
    assert_eq!(told(&reply), [made["metadata"]["uid"].clone(), tested["metadata"]["uid"].clone()]);
    // What the server needs comes back.
    hub.delete(&format!("{BASE}/flowschemas/catch-all")).await.expect(200);
    let metrics = String::from_utf8(hub.get("/metrics").await.body.to_vec()).expect("text");
    for line in [
        "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"test\"} 3\n",
        "apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"test\",priority_level=\"test\"} 1\n",
        "apiserver_flowcontrol_current_executing_requests{flow_schema=\"exempt\",priority_level=\"exempt\"} ",
        "apiserver_flowcontrol_request_execution_seconds_count{flow_schema=\"test\",priority_level=\"test\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

/// Protocol: F2
#[tokio::test]
async fn objects_that_make_no_sense_are_refused() {
    let hub = start().await;
    let reject = json!({"type": "Reject"});
    let queuing = |queuing: Value| json!({"type": "Queue", "queuing": queuing});
    let mut first = schema("a", "l", &["u"]);
    first["spec"]["matchingPrecedence"] = json!(1);
    let mut subject = schema("a", "l", &["u"]);
    subject["spec"]["rules"][0]["subjects"][0]["kind"] = json!("Group");
    let mut verb = schema("a", "l", &["u"]);
    verb["spec"]["rules"][0]["resourceRules"][0]["verbs"] = json!(["eat"]);
    let mut url = schema("a", "l", &["u"]);
    url["spec"]["rules"][0]["nonResourceRules"][0]["nonResourceURLs"] = json!(["a b"]);
    for (object, complaint) in [
        (
            first,
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        ),
        (subject, "spec.rules[0].subjects[0].group: Required value: group is required when subject kind is 'Group'"),
        (verb, "spec.rules[0].resourceRules[0].verbs: Unsupported value"),
        (url, "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: \"a b\": must start with slash"),
        (
            schema("a", "", &["u"]),
            "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
        ),
        (level("l", 1, &json!({"type": "Queue"})), "spec.limited.limitResponse.queuing: Required value"),
        (level("l", 1, &queuing(json!({"queues": 8, "handSize": 9}))), "should not be greater than queues (8)"),
        (
            level("l", 1, &queuing(json!({"queues": 512, "handSize": 8}))),
            "required entropy bits of deckSize 512 and handSize 8 should not be greater than 60",
        ),
        (level("exempt", 1, &reject), "must be 'Exempt' if and only if `name` is 'exempt'"),
    ] {
        let plural = if object["kind"] == "FlowSchema" { "flowschemas" } else { "prioritylevelconfigurations" };
        let (reason, message) = hub.post(&format!("{BASE}/{plural}"), &object).await.refused(422);
        assert!(reason == "Invalid" && message.contains(complaint), "{message}");
    }
    let patch = json!({"spec": {"matchingPrecedence": 9}});
    let path = format!("{BASE}/flowschemas/catch-all");
    let (_, message) = hub.patch(&path, "merge-patch+json", &patch).await.refused(422);
    assert!(message.contains("spec of 'catch-all' must equal the fixed value"), "{message}");
}

/// Protocol: F2, E6
#[tokio::test]
async fn a_flood_keeps_nobody_else_waiting() {
    let hub = start().await;
    let queuing = json!({"type": "Queue", "queuing": {"queues": 64, "handSize": 1, "queueLengthLimit": 20}});
    hub.post(&format!("{BASE}/prioritylevelconfigurations"), &level("tiny", 1, &queuing)).await.expect(201);
    hub.post(&format!("{BASE}/flowschemas"), &schema("tiny", "tiny", &["flood", "calm"])).await.expect(201);
    let (flood, calm) = (caller(&hub, "flood"), caller(&hub, "calm"));
    // Requests whose bodies do not come hold the seats of the level.
    let mut held = Vec::new();
    let metrics = async || String::from_utf8(hub.get("/metrics").await.body.to_vec()).expect("text");
    let count = |text: &str, name: &str| -> usize {
        let line = format!("apiserver_flowcontrol_{name}{{flow_schema=\"tiny\",priority_level=\"tiny\"}} ");
        text.lines().find_map(|l| l.strip_prefix(line.as_str())).expect("a line").parse().expect("a number")
    };
    for _ in 0..3 {
        let (send, body) = Channel::<Bytes, Infallible>::new(1);
        let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let request = Request::post(reviews).header("content-type", "application/json").body(body).expect("a request");
        let mut caller = flood.clone();
        held.push((send, tokio::spawn(async move { caller.call(request).await.expect("infallible").status() })));
    }
    let began = Instant::now();
    while count(&metrics().await, "current_executing_requests") < 3 {
        assert!(began.elapsed() < PATIENCE, "the seats are not taken");
        tokio::task::yield_now().await;
    }
    let ask_for = |mut caller: InProcess| async move {
        let request = Request::get("/version").body(http_body_util::Empty::<Bytes>::new()).expect("a request");
        let response = caller.call(request).await.expect("infallible");
        (response.status().as_u16(), response.headers().get("retry-after").cloned(), Instant::now())
    };
    let flooding: Vec<_> = (0..40).map(|_| tokio::spawn(ask_for(flood.clone()))).collect();
    while count(&metrics().await, "current_inqueue_requests") < 20 {
        assert!(began.elapsed() < PATIENCE, "the queue does not fill");
        tokio::task::yield_now().await;
    }
    let calm = tokio::spawn(ask_for(calm));
    while count(&metrics().await, "current_inqueue_requests") < 21 {
        assert!(began.elapsed() < PATIENCE, "the other user's queue is full too");
        tokio::task::yield_now().await;
    }
    // Other levels, and the house itself, do not notice.
    let began = Instant::now();
    assert_eq!(ask(&hub, &caller(&hub, "bystander"), "/version").await.code.as_u16(), 200);
    assert_eq!(ask(&hub, &caller(&hub, "component"), "/version").await.code.as_u16(), 200);
    hub.get("/version").await.expect(200);
    assert!(began.elapsed() < Duration::from_secs(1));
    // One seat is enough for the calm user, whoever waits before him.
    let (send, first) = held.pop().expect("three");
    drop(send);
    assert_eq!(first.await.expect("no panic").as_u16(), 400, "an empty body is no review");
    let (code, _, calm_at) = calm.await.expect("no panic");
    assert_eq!(code, 200);
    drop(held);
    let mut overtook = 0;
    let mut refused = 0;
    for one in flooding {
        let (code, retry, at) = one.await.expect("no panic");
        refused += usize::from(code == 429);
        overtook += usize::from(code != 429 && at < calm_at);
        assert_eq!(code == 429, retry.is_some_and(|after| after == "1"), "{code}");
    }
    assert_eq!(refused, 20, "what does not fit into the queue is refused at once");
    assert!(overtook <= 2, "{overtook} of the flood were served before");
}

/// Protocol: F2, W8
#[tokio::test]
async fn a_watch_gives_its_seats_back_when_it_has_begun() {
    let hub = start().await;
    hub.post(&format!("{BASE}/prioritylevelconfigurations"), &level("one", 1, &json!({"type": "Reject"})))
        .await
        .expect(201);
    hub.post(&format!("{BASE}/flowschemas"), &schema("one", "one", &["watcher"])).await.expect(201);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "w"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "watcher"}]});
    hub.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &role).await.expect(201);
    let watcher = caller(&hub, "watcher");
    let mut open = Vec::new();
    for _ in 0..20 {
        let request = Request::get("/api/v1/configmaps?watch=1").body(http_body_util::Empty::<Bytes>::new());
        let response = watcher.clone().call(request.expect("a request")).await.expect("infallible");
        assert_eq!(response.status().as_u16(), 200);
        open.push(response);
    }
    ask(&hub, &watcher, "/api/v1/configmaps").await.expect(200);
}
