//! What clients are told of custom kinds: OpenAPI and columns.

use http::Method;
use serde_json::{Value, json};

use crate::crd::{DEFINITIONS, WIDGETS, definition, widget, widgets};
use crate::hub::Hub;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// Every reference of a document that leads nowhere.
fn dangling(document: &Value) -> Vec<String> {
    fn walk(at: &Value, root: &Value, out: &mut Vec<String>) {
        match at {
            Value::Object(map) => {
                if let Some(Value::String(target)) = map.get("$ref") {
                    let pointer = target.strip_prefix('#').unwrap_or("");
                    if root.pointer(pointer).is_none() {
                        out.push(target.clone());
                    }
                }
                map.values().for_each(|value| walk(value, root, out));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, root, out)),
            _ => {}
        }
    }
    let mut out = Vec::new();
    walk(document, document, &mut out);
    out
}

/// Protocol: O1, O2, O3, O5, O7
#[tokio::test]
async fn v3_has_a_document_for_each_version() {
    let hub = Hub::start().await;
    hub.define(&widgets()).await;
    let index = hub.get("/openapi/v3").await.expect(200);
    let url = index["paths"]["apis/example.com/v1"]["serverRelativeURL"].as_str().expect("a link").to_owned();
    assert!(index["paths"]["apis/apps/v1"].is_object() && index["paths"]["api/v1"].is_object());
    let document = hub.get(&url).await.expect(200);
    assert_eq!(dangling(&document), Vec::<String>::new());
    let schema = &document["components"]["schemas"]["com.example.v1.Widget"];
    let gvk = json!([{"group": "example.com", "version": "v1", "kind": "Widget"}]);
    assert_eq!(schema["x-kubernetes-group-version-kind"], gvk);
    assert_eq!(schema["properties"]["spec"]["properties"]["color"]["default"], "blue");
    // What `kubectl explain widgets.metadata` shows.
    let metadata = &document["components"]["schemas"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"];
    let created = metadata["properties"]["creationTimestamp"]["description"].as_str().expect("words");
    assert!(created.starts_with("CreationTimestamp is a timestamp"), "{created}");
    let item = &document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"];
    let patches: Vec<&String> = item["patch"]["requestBody"]["content"].as_object().expect("content").keys().collect();
    assert_eq!(
        patches,
        ["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"]
    );
    // Our own kinds take no others either, and kubectl believes what it reads here.
    let ours = hub.get("/openapi/v3/apis/fedgate.dev/v1alpha1").await.expect(200);
    let own = &ours["paths"]["/apis/fedgate.dev/v1alpha1/namespaces/{namespace}/placements/{name}"]["patch"];
    let own: Vec<&String> = own["requestBody"]["content"].as_object().expect("content").keys().collect();
    assert_eq!(own, patches);
    let parameters = item["patch"]["parameters"].to_string();
    assert!(parameters.contains("fieldValidation"), "{parameters}");
    assert!(document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}/scale"].is_object());
    let stop = json!([{"op": "add", "path": "/spec/versions/-", "value": {
        "name": "v2", "served": true, "storage": false, "schema": {"openAPIV3Schema": {"type": "object"}}}}]);
    hub.patch(&format!("{DEFINITIONS}/widgets.example.com"), "json-patch+json", &stop).await.expect(200);
    let index = hub.get("/openapi/v3").await.expect(200);
    assert!(index["paths"]["apis/example.com/v2"].is_object());
    hub.delete(&format!("{DEFINITIONS}/widgets.example.com")).await.expect(200);
    hub.until("/openapi/v3", |index| index["paths"]["apis/example.com/v1"].is_null()).await;
}

/// Protocol: O4, O5, O7
#[tokio::test]
async fn v2_has_them_all() {
    let hub = Hub::start().await;
    let before = hub.get("/openapi/v2").await;
    hub.define(&widgets()).await;
    hub.define(&definition("foos", "Foo", &[json!({"name": "v1"})])).await;
    let reply = hub.get("/openapi/v2").await;
    assert_ne!(before.headers["etag"], reply.headers["etag"]);
    let document = reply.expect(200);
    assert_eq!(dangling(&document), Vec::<String>::new());
    let schema = &document["definitions"]["com.example.v1.Widget"];
    assert_eq!(schema["properties"]["spec"]["properties"]["replicas"]["type"], "integer");
    let open = &document["definitions"]["com.example.v1.Foo"];
    assert_eq!((&open["type"], open.get("properties")), (&json!("object"), None));
    let accept = [("accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")];
    let protobuf = hub.send(Method::GET, "/openapi/v2", &accept, "").await;
    assert_eq!(protobuf.code, 200);
    let name = b"com.example.v1.Widget";
    assert!(protobuf.body.windows(name.len()).any(|some| some == name));
}

/// Protocol: T1, T2, T3, T5
#[tokio::test]
async fn tables_have_the_columns_of_the_definition() {
    let hub = Hub::start().await;
    hub.define(&widgets()).await;
    hub.post(WIDGETS, &widget("one", json!({"color": "red"}))).await.expect(201);
    let table = hub.send(Method::GET, WIDGETS, &[("accept", TABLE)], "").await.expect(200);
    let names: Vec<&Value> = table["columnDefinitions"].as_array().expect("list").iter().map(|c| &c["name"]).collect();
    assert_eq!(names, ["Name", "Color"]);
    assert_eq!(table["rows"][0]["cells"], json!(["one", "red"]));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let mut watch = hub.watch_as(&format!("{WIDGETS}?watch=1"), TABLE).await;
    let first = watch.next().await.expect("an event");
    assert_eq!(first["object"]["rows"][0]["cells"], json!(["one", "red"]));
    hub.post(WIDGETS, &widget("two", json!({}))).await.expect(201);
    let second = watch.next().await.expect("an event");
    assert_eq!(second["object"]["columnDefinitions"], json!([]));
    assert_eq!(second["object"]["rows"][0]["cells"], json!(["two", "blue"]));
    hub.define(&definition("foos", "Foo", &[json!({"name": "v1"})])).await;
    let path = "/apis/example.com/v1/namespaces/default/foos";
    let foo = json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "a"}});
    hub.post(path, &foo).await.expect(201);
    let table = hub.send(Method::GET, path, &[("accept", TABLE)], "").await.expect(200);
    assert_eq!(table["columnDefinitions"][1]["name"], "Age");
    assert!(table["rows"][0]["cells"][1].as_str().is_some_and(|age| age.ends_with('s')), "{table}");
}
