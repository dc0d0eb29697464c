//! The formats of bodies and answers, server-side apply, the events view.

use std::io::Read as _;

use http::Method;
use serde_json::{Value, json};

use crate::hub::{CONFIG_MAPS, Hub, config_map, names};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

async fn as_format(hub: &Hub, path: &str, accept: &str) -> Value {
    hub.send(Method::GET, path, &[("accept", accept)], "").await.expect(200)
}

/// Protocol: N5
#[tokio::test]
async fn yaml_goes_in_and_out() {
    let hub = Hub::start().await;
    let yaml: &[(&str, &str)] = &[("content-type", "application/yaml"), ("accept", "application/yaml")];
    let body = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  key: \"yes\"\n";
    let made = hub.send(Method::POST, CONFIG_MAPS, yaml, body).await;
    assert_eq!(
        (made.code.as_u16(), &made.headers["content-type"]),
        (201, &"application/yaml".parse().expect("a value"))
    );
    let text = String::from_utf8_lossy(&made.body).into_owned();
    assert!(text.contains("\n  key: \"yes\"\n") && text.contains("kind: ConfigMap\n"), "{text}");
    let pretty = hub.get(&format!("{CONFIG_MAPS}/a?pretty=true")).await;
    assert!(pretty.body.starts_with(b"{\n  \"apiVersion\""));
    let none = hub.send(Method::GET, CONFIG_MAPS, &[("accept", "text/html")], "").await.refused(406);
    assert_eq!(none.0, "NotAcceptable");
}

/// Protocol: E2
#[tokio::test]
async fn unknown_and_duplicate_fields_are_found() {
    let hub = Hub::start().await;
    let json: &[(&str, &str)] = &[("content-type", "application/json")];
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"1","k":"2"},"foo":1}"#;
    let post = |query: &'static str| hub.send(Method::POST, query, json, body);
    let strict = post("/api/v1/namespaces/default/configmaps?fieldValidation=Strict").await.refused(400);
    assert!(strict.1.starts_with("strict decoding error: "), "{}", strict.1);
    assert!(
        strict.1.contains("unknown field \"foo\"") && strict.1.contains("duplicate field \"data.k\""),
        "{}",
        strict.1
    );
    let warned = post("/api/v1/namespaces/default/configmaps?dryRun=All").await;
    let mut warnings = warned.warnings();
    warnings.sort();
    assert_eq!(warnings, [r#"299 - "duplicate field \"data.k\"""#, r#"299 - "unknown field \"foo\"""#]);
    let silent = post("/api/v1/namespaces/default/configmaps?fieldValidation=Ignore").await;
    assert!(silent.warnings().is_empty());
    assert_eq!(silent.expect(201)["data"]["k"], "2");
    let patch = json!({"bar": 1});
    let path = format!("{CONFIG_MAPS}/a");
    let strict = hub.patch(&format!("{path}?fieldValidation=Strict"), "merge-patch+json", &patch).await.refused(422);
    assert!(strict.1.contains("unknown field \"bar\""), "{}", strict.1);
    assert_eq!(hub.patch(&path, "merge-patch+json", &patch).await.warnings(), [r#"299 - "unknown field \"bar\"""#]);
    hub.post("/api/v1/namespaces/default/configmaps?fieldValidation=Odd", &config_map("b")).await.refused(422);
}

/// Protocol: N6, T1, T2
#[tokio::test]
async fn tables_and_partial_metadata() {
    let hub = Hub::start().await;
    hub.config_map("a").await;
    let table = as_format(&hub, CONFIG_MAPS, TABLE).await;
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["columnDefinitions"][0]["name"], "Name");
    let cells = &table["rows"][0]["cells"];
    assert_eq!((&cells[0], &cells[1]), (&json!("a"), &json!(1)));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let one = as_format(&hub, &format!("{CONFIG_MAPS}/a?includeObject=Object"), TABLE).await;
    assert_eq!(one["rows"][0]["object"]["data"]["key"], "value");
    let partial = as_format(&hub, &format!("{CONFIG_MAPS}/a"), PARTIAL).await;
    assert_eq!((&partial["kind"], partial.get("data")), (&json!("PartialObjectMetadata"), None));
    let list = as_format(&hub, CONFIG_MAPS, &PARTIAL.replace("Metadata;", "MetadataList;")).await;
    assert_eq!((&list["kind"], names(&list)), (&json!("PartialObjectMetadataList"), vec!["a".to_owned()]));
    let odd = hub.send(Method::GET, &format!("{CONFIG_MAPS}?includeObject=Odd"), &[("accept", TABLE)], "").await;
    odd.refused(400);
    let review = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let table_only = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let headers: &[(&str, &str)] = &[("content-type", "application/json"), ("accept", table_only)];
    hub.send(Method::POST, review, headers, "{}").await.refused(406);
}

/// Protocol: F1
#[tokio::test]
async fn large_answers_are_compressed() {
    let hub = Hub::start().await;
    let mut large = config_map("large");
    large["data"]["key"] = "x".repeat(300_000).into();
    hub.post(CONFIG_MAPS, &large).await.expect(201);
    let gzip: &[(&str, &str)] = &[("accept-encoding", "gzip")];
    let reply = hub.send(Method::GET, CONFIG_MAPS, gzip, "").await;
    assert_eq!(reply.headers["content-encoding"], "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&reply.body[..]).read_to_string(&mut text).expect("gzip");
    assert!(reply.body.len() < 10_000 && text.contains("xxxx"));
    hub.config_map("small").await;
    let small = hub.send(Method::GET, &format!("{CONFIG_MAPS}/small"), gzip, "").await;
    assert!(!small.headers.contains_key("content-encoding"));
}

/// Protocol: E2
#[tokio::test]
async fn keys_that_stand_twice_in_yaml_are_told_with_their_lines() {
    let hub = Hub::start().await;
    let twice = "\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: one\n  k: two\n";
    let told = "yaml: unmarshal errors:\n  line 8: key \"k\" already set in map";
    let yaml = [("content-type", "application/yaml")];
    let strict = format!("{CONFIG_MAPS}?fieldValidation=Strict");
    let (_, message) = hub.send(Method::POST, &strict, &yaml, twice).await.refused(400);
    assert_eq!(message, format!("strict decoding error: {told}"));
    let apply = [("content-type", "application/apply-patch+yaml")];
    let strict = format!("{CONFIG_MAPS}/a?fieldManager=m&fieldValidation=Strict");
    let (_, message) = hub.send(Method::PATCH, &strict, &apply, twice).await.refused(400);
    assert_eq!(message, format!("error strict decoding patch: error converting YAML to JSON: {told}"));
}

async fn apply(hub: &Hub, query: &str, config: &Value) -> crate::hub::Reply {
    hub.patch(&format!("{CONFIG_MAPS}/a?{query}"), "apply-patch+yaml", config).await
}

/// Protocol: S1, S2, S6, S7
#[tokio::test]
async fn server_side_apply_keeps_owners() {
    let hub = Hub::start().await;
    let config =
        |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
    apply(&hub, "", &config(json!({}))).await.refused(422);
    let made = apply(&hub, "fieldManager=one", &config(json!({"x": "1", "y": "1"}))).await.expect(201);
    assert_eq!(made["metadata"]["managedFields"][0]["manager"], "one");
    assert_eq!(made["metadata"]["managedFields"][0]["operation"], "Apply");
    let again = apply(&hub, "fieldManager=one", &config(json!({"x": "1", "y": "1"}))).await.expect(200);
    assert_eq!(again, made, "applying the same changes nothing");
    let status = apply(&hub, "fieldManager=two", &config(json!({"x": "2"}))).await.expect(409);
    assert_eq!(status["reason"], "Conflict");
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldManagerConflict");
    assert_eq!(status["details"]["causes"][0]["field"], ".data.x");
    let forced = apply(&hub, "fieldManager=two&force=true", &config(json!({"x": "2"}))).await.expect(200);
    assert_eq!(forced["data"], json!({"x": "2", "y": "1"}));
    let less = apply(&hub, "fieldManager=one", &config(json!({}))).await.expect(200);
    assert_eq!(less["data"], json!({"x": "2"}), "what nobody wants any more goes");
    let pinned = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "managedFields": []}});
    apply(&hub, "fieldManager=one", &pinned).await.refused(400);
    let other = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}});
    apply(&hub, "fieldManager=one", &other).await.refused(400);
}

/// Protocol: S4
#[tokio::test]
async fn updates_are_recorded_by_manager() {
    let hub = Hub::start().await;
    let made = hub.post(&format!("{CONFIG_MAPS}?fieldManager=maker"), &config_map("a")).await.expect(201);
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!((&entry["manager"], &entry["operation"]), (&json!("maker"), &json!("Update")));
    assert_eq!(entry["fieldsV1"]["f:data"]["f:key"], json!({}));
    let agent: &[(&str, &str)] = &[("content-type", "application/merge-patch+json"), ("user-agent", "tool/1.0 (x)")];
    let body = json!({"data": {"key": "2"}}).to_string();
    let patched = hub.send(Method::PATCH, &format!("{CONFIG_MAPS}/a"), agent, body).await.expect(200);
    let managers: Vec<&str> = patched["metadata"]["managedFields"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| entry["manager"].as_str().expect("text"))
        .collect();
    assert!(managers.contains(&"tool"), "{managers:?}");
}

/// Protocol: B2
#[tokio::test]
async fn events_have_two_views_of_one_object() {
    let hub = Hub::start().await;
    let path = "/apis/events.k8s.io/v1/namespaces/default/events";
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "c", "reportingInstance": "i",
        "action": "Act", "reason": "Because", "type": "Normal", "note": "text",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p", "apiVersion": "v1"},
    });
    let made = hub.post(path, &event).await.expect(201);
    assert_eq!((&made["apiVersion"], &made["note"]), (&json!("events.k8s.io/v1"), &json!("text")));
    let core = hub.get("/api/v1/namespaces/default/events/e").await.expect(200);
    assert_eq!((&core["apiVersion"], &core["message"]), (&json!("v1"), &json!("text")));
    assert_eq!((&core["involvedObject"]["name"], &core["reportingComponent"]), (&json!("p"), &json!("c")));
    let list = hub.get(&format!("{path}?fieldSelector=regarding.name%3Dp")).await.expect(200);
    assert_eq!((&list["items"][0]["note"], list["items"][0].get("message")), (&json!("text"), None));
    let selected =
        hub.get("/api/v1/events?fieldSelector=involvedObject.name%3Dp,involvedObject.kind%3DPod").await.expect(200);
    assert_eq!(names(&selected), ["e"]);
    let mut watch = hub.watch(&format!("{path}?watch=1")).await;
    assert_eq!(watch.next().await.expect("an event")["object"]["note"], "text");
    let patched = hub.patch(&format!("{path}/e"), "merge-patch+json", &json!({"note": "more"})).await.expect(200);
    assert_eq!((&patched["note"], &patched["kind"]), (&json!("more"), &json!("Event")));
}

/// Protocol: T3
#[tokio::test]
async fn a_table_watch_names_its_columns_once() {
    let hub = Hub::start().await;
    hub.config_map("a").await;
    hub.config_map("b").await;
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = hub.watch_as(&format!("{CONFIG_MAPS}?{query}"), TABLE).await;
    let first = watch.next().await.expect("an event");
    assert_eq!((&first["object"]["kind"], &first["object"]["rows"][0]["cells"][0]), (&json!("Table"), &json!("a")));
    assert!(first["object"]["columnDefinitions"][0].is_object());
    let second = watch.next().await.expect("an event");
    assert_eq!(second["object"]["columnDefinitions"], json!([]));
    let mark = watch.next().await.expect("a bookmark");
    let meta = &mark["object"]["rows"][0]["object"]["metadata"];
    assert_eq!(
        (&mark["type"], &meta["annotations"]["k8s.io/initial-events-end"]),
        (&json!("BOOKMARK"), &json!("true"))
    );
}
