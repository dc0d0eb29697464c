//! Conversion webhooks: real HTTPS servers convert objects of custom kinds.

use http::StatusCode;
use serde_json::{Value, json};

use crate::crd::{DEFINITIONS, definition};
use crate::hub::{Hub, names, rev};
use crate::webhooks::Server;

/// The path of all foos in one version.
pub fn foos(version: &str) -> String {
    format!("/apis/example.com/{version}/namespaces/default/foos")
}

/// A foo of v1 has `hostPort: HOST:PORT`, one of v2 has `host` and `port`.
pub fn foo(version: &str, name: &str, more: Value) -> Value {
    let mut object = json!({"apiVersion": format!("example.com/{version}"), "kind": "Foo", "metadata": {"name": name}});
    for (key, value) in more.as_object().expect("an object") {
        object[key] = value.clone();
    }
    object
}

/// Foos that are stored as v1, and that a webhook converts.
pub fn converted_by(webhook: Value) -> Value {
    let of = |name: &str, fields: &[&str]| {
        let properties: serde_json::Map<String, Value> =
            fields.iter().map(|field| ((*field).to_owned(), json!({"type": "string"}))).collect();
        json!({"name": name, "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}}})
    };
    let mut made = definition("foos", "Foo", &[of("v1", &["hostPort"]), of("v2", &["host", "port"])]);
    let webhook = json!({"clientConfig": webhook, "conversionReviewVersions": ["v2", "v1"]});
    made["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": webhook});
    made
}

fn convert(object: &Value, to: &Value) -> Value {
    let mut made = object.clone();
    made["apiVersion"] = to.clone();
    let map = made.as_object_mut().expect("an object");
    let taken = |field: Option<Value>| field.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    if to == "example.com/v2" {
        let both = taken(map.remove("hostPort"));
        let (host, port) = both.split_once(':').unwrap_or((&both, ""));
        map.insert("host".to_owned(), host.into());
        map.insert("port".to_owned(), port.into());
    } else {
        let (host, port) = (taken(map.remove("host")), taken(map.remove("port")));
        map.insert("hostPort".to_owned(), format!("{host}:{port}").into());
    }
    made["metadata"]["labels"]["converted"] = "yes".into();
    made["metadata"]["generation"] = 99.into();
    made
}

pub fn answer(review: &Value, change: impl Fn(&mut Value)) -> (StatusCode, Value) {
    let request = &review["request"];
    let objects = request["objects"].as_array().expect("objects");
    let converted: Vec<Value> = objects.iter().map(|of| convert(of, &request["desiredAPIVersion"])).collect();
    let response = json!({"uid": request["uid"], "convertedObjects": converted, "result": {"status": "Success"}});
    let mut answer = json!({"apiVersion": review["apiVersion"], "kind": "ConversionReview", "response": response});
    change(&mut answer);
    (StatusCode::OK, answer)
}

/// Protocol: R5
#[tokio::test]
async fn a_webhook_converts_lists_in_one_review() {
    let server = Server::start(|review| answer(review, |_| {})).await;
    let hub = Hub::start().await;
    hub.define(&converted_by(server.url("/convert"))).await;
    for name in ["a", "b"] {
        let one = foo("v1", name, json!({"hostPort": format!("{name}:80")}));
        hub.post(&foos("v1"), &one).await.expect(201);
    }
    assert_eq!(server.asked().len(), 0, "nothing has to be converted");
    let list = hub.get(&foos("v2")).await.expect(200);
    assert_eq!(names(&list), ["a", "b"]);
    let first = &list["items"][0];
    assert_eq!((&first["host"], &first["port"], first.get("hostPort")), (&json!("a"), &json!("80"), None));
    assert_eq!(first["apiVersion"], "example.com/v2");
    assert_eq!(
        (&first["metadata"]["labels"]["converted"], &first["metadata"]["generation"]),
        (&json!("yes"), &json!(1))
    );
    let asked = server.asked();
    assert_eq!(asked.len(), 1, "both in one review");
    let request = &asked[0]["request"];
    assert_eq!(
        (&asked[0]["apiVersion"], &asked[0]["kind"]),
        (&json!("apiextensions.k8s.io/v1"), &json!("ConversionReview"))
    );
    assert_eq!(asked[0]["target"], "/convert?timeout=30s");
    assert_eq!(request["desiredAPIVersion"], "example.com/v2");
    assert_eq!(request["objects"][1]["hostPort"], "b:80");
    assert!(request["uid"].as_str().is_some_and(|uid| uid.len() == 36));
    let again = hub.get(&format!("{}/a", foos("v2"))).await.expect(200);
    assert_eq!((rev(&again), server.asked().len()), (rev(first), 1), "what was converted once is kept");
}

/// Protocol: R5
#[tokio::test]
async fn a_webhook_converts_what_is_written_and_watched() {
    let server = Server::start(|review| answer(review, |_| {})).await;
    let hub = Hub::start().await;
    hub.define(&converted_by(server.url("/convert"))).await;
    let mut watch = hub.watch(&format!("{}?watch=1", foos("v2"))).await;
    let made = hub.post(&foos("v2"), &foo("v2", "c", json!({"host": "c", "port": "443"}))).await.expect(201);
    assert_eq!((&made["apiVersion"], &made["host"]), (&json!("example.com/v2"), &json!("c")));
    let stored = hub.get(&format!("{}/c", foos("v1"))).await.expect(200);
    assert_eq!((&stored["hostPort"], stored.get("host")), (&json!("c:443"), None));
    let event = watch.next().await.expect("an event");
    assert_eq!((&event["type"], &event["object"]["port"]), (&json!("ADDED"), &json!("443")));
    let path = format!("{}/c", foos("v2"));
    let patched = hub.patch(&path, "merge-patch+json", &json!({"port": "80"})).await.expect(200);
    assert_eq!(patched["port"], "80");
    assert_eq!(hub.get(&format!("{}/c", foos("v1"))).await.expect(200)["hostPort"], "c:80");
    let event = watch.next().await.expect("an event");
    assert_eq!((&event["type"], &event["object"]["port"]), (&json!("MODIFIED"), &json!("80")));
}

/// Protocol: R5
#[tokio::test]
async fn answers_that_are_no_conversions_are_told() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 7] = [
        (
            |a| a["kind"] = "Other".into(),
            "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got apiextensions.k8s.io/v1, Kind=Other",
        ),
        (|a| a["response"]["result"] = json!({"status": "Failed", "message": "not today"}), "failed: not today"),
        (|a| a["response"]["convertedObjects"] = json!([]), "returned 0 objects, expected 1"),
        (
            |a| a["response"]["convertedObjects"][0]["apiVersion"] = "example.com/v3".into(),
            "returned invalid object at index 0: invalid groupVersion (expected example.com/v2, received example.com/v3)",
        ),
        (
            |a| a["response"]["convertedObjects"][0]["metadata"]["name"] = "other".into(),
            "returned invalid object: must have the same name: a != other",
        ),
        (
            |a| a["response"]["convertedObjects"][0]["metadata"]["labels"] = json!({"a": 1}),
            "returned invalid metadata: metadata.labels[a] must be a string, but is int64 in converted object",
        ),
        (|a| a["response"] = Value::Null, "failed: no response provided"),
    ];
    let hub = Hub::start().await;
    let idle = Server::start(|review| answer(review, |_| {})).await;
    hub.define(&converted_by(idle.url("/"))).await;
    hub.post(&foos("v1"), &foo("v1", "a", json!({"hostPort": "a:1"}))).await.expect(201);
    let turn_to = async |destination: Value| {
        let change = json!([{"op": "replace", "path": "/spec/conversion/webhook/clientConfig", "value": destination}]);
        hub.patch(&format!("{DEFINITIONS}/foos.example.com"), "json-patch+json", &change).await.expect(200);
    };
    let begin = "conversion webhook for example.com/v1, Kind=Foo ";
    for (change, why) in cases {
        let server = Server::start(move |review| answer(review, change)).await;
        turn_to(server.url("/")).await;
        let (_, message) = hub.get(&format!("{}/a", foos("v2"))).await.refused(500);
        assert_eq!(message, format!("{begin}{why}"));
    }
    let mut nobody = idle.url("/");
    nobody["url"] = "https://127.0.0.1:1/".into();
    turn_to(nobody).await;
    let (_, message) = hub.get(&foos("v2")).await.refused(500);
    let refused = "dial tcp 127.0.0.1:1: connect: connection refused";
    assert_eq!(message, format!("{begin}failed: Post \"https://127.0.0.1:1/?timeout=30s\": {refused}"));
    hub.get(&foos("v1")).await.expect(200);
}
