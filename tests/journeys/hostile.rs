//! Bad input over real TLS: each gets a Status that says what is wrong, and changes nothing.

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;
use testkit::objects::{config_map, ingress};
use testkit::wait::{SOON, holds};
use testkit::{Federation, FederationConfig, eventually, same};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: (&str, &str) = ("content-type", "application/json");
const YAML: (&str, &str) = ("content-type", "application/yaml");
const APPLY: (&str, &str) = ("content-type", "application/apply-patch+yaml");

/// What it is, path, format, body; the code of its Status and what the message names.
type Case<'a> = (&'a str, &'a str, (&'a str, &'a str), &'a str, u16, &'a str);

#[tokio::test]
async fn hostile_requests_change_nothing() {
    let federation = Federation::start(FederationConfig { members: 1, ..FederationConfig::default() }).await;
    federation.hub().apply(&config_map("kept", "1")).await;
    let copied = async || federation.member("east").kubectl.get("configmaps", "kept").await;
    eventually("it is copied", SOON, copied).await;
    let before = everything(&federation).await;
    bodies(&federation).await;
    paths(&federation).await;
    identities(&federation).await;
    assert_eq!(everything(&federation).await, before);
    federation.stop().await;
}

/// UIDs, resource versions and contents of what a request might have changed.
async fn everything(federation: &Federation) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for resource in ["configmaps", "deployments", "namespaces", "secrets", "serviceaccounts"] {
        for object in federation.hub().list(resource, "").await.expect("a list") {
            all.insert(
                format!("{resource} {}/{}", object["metadata"]["namespace"], object["metadata"]["name"]),
                object,
            );
        }
    }
    all
}

async fn bodies(federation: &Federation) {
    let wire = federation.wire();
    let strict = format!("{MAPS}?fieldValidation=Strict");
    let nested = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{}1{}}}"#,
        r#"{"a":"#.repeat(200),
        "}".repeat(200)
    );
    let nested_yaml =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {}1{}\n", "{a: ".repeat(200), "}".repeat(200));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    let twice = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"1"},"data":{"a":"2"}}"#;
    let unknown = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"date":{"a":"1"}}"#;
    let secret = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"}}"#;
    let elsewhere = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"other"}}"#;
    let unnamed = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}"#;
    let misnamed = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"../x"}}"#;
    let mistyped = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":1}}"#;
    let cases: [Case<'_>; 15] = [
        ("half of JSON", MAPS, JSON, r#"{"kind":"#, 400, ""),
        ("no object", MAPS, JSON, "[1]", 400, ""),
        ("broken YAML", MAPS, YAML, "a: [b\nc: }", 400, ""),
        ("nested JSON", MAPS, JSON, &nested, 400, ""),
        ("nested YAML", MAPS, YAML, &nested_yaml, 400, ""),
        ("YAML bomb", MAPS, YAML, bomb, 400, ""),
        ("a key twice", &strict, JSON, twice, 400, "data"),
        ("an unknown field", &strict, JSON, unknown, 400, "date"),
        ("another kind", MAPS, JSON, secret, 400, "Secret"),
        ("another namespace", MAPS, JSON, elsewhere, 400, "namespace"),
        ("no name", MAPS, JSON, unnamed, 422, "name"),
        ("a bad name", MAPS, JSON, misnamed, 422, "name"),
        ("a number for a string", MAPS, JSON, mistyped, 400, "data"),
        ("an unknown format", MAPS, ("content-type", "application/x-unknown"), "x", 415, ""),
        ("an empty body", MAPS, JSON, "", 400, ""),
    ];
    for (what, path, format, body, code, named) in cases {
        let reply = wire.send(Method::POST, path, &[format], body.to_owned()).await;
        let (reason, message) = reply.refused(code, what);
        assert!(!reason.is_empty() && message.contains(named), "{what}: {reason}: {message}");
    }
    let large = config_map("large", &"x".repeat(4 << 20)).to_string();
    let (reason, _) = wire.post(MAPS, large).await.refused(413, "a large body");
    assert_eq!(reason, "RequestEntityTooLarge");
    let item = format!("{MAPS}/kept?fieldManager=x");
    let explosive = r#"[{"op":"explode"}]"#;
    let json_patch = ("content-type", "application/json-patch+json");
    wire.send(Method::PATCH, &item, &[json_patch], explosive).await.refused(422, "an operation that is none");
    for (what, format, body) in [
        ("a patch that is none", json_patch, "{}"),
        ("half a merge patch", ("content-type", "application/merge-patch+json"), "{"),
        ("an apply without a kind", APPLY, "data: {a: b}"),
    ] {
        wire.send(Method::PATCH, &item, &[format], body).await.refused(400, what);
    }
}

async fn paths(federation: &Federation) {
    let wire = federation.wire();
    // Where there is no API, kube-apiserver answers a plain text, and clients word it themselves.
    for path in ["/nope", "/apis/nope/v1/things", "/clusters/nobody/api/v1/pods"] {
        assert_eq!(wire.get(path).await.code, 404, "{path}");
    }
    for (path, code) in [
        ("/api/v1/namespaces/default/nopes", 404),
        ("/api/v1/namespaces/default/configmaps/absent", 404),
        ("/api/v1/configmaps?labelSelector=a%3D%3D%3Db%2C%2C", 400),
        ("/api/v1/configmaps?labelSelector=a%20in%20(b", 400),
        ("/api/v1/configmaps?fieldSelector=no.such%3Dfield", 400),
        ("/api/v1/configmaps?limit=many", 400),
        ("/api/v1/configmaps?limit=1&continue=eyJmb3JnZWQiOnRydWV9", 400),
        ("/api/v1/configmaps?limit=1&continue=%25%25%25", 400),
        ("/api/v1/configmaps?resourceVersion=yesterday", 400),
    ] {
        let (reason, message) = wire.get(path).await.refused(code, path);
        assert!(!reason.is_empty() && !message.is_empty(), "{path}");
    }
    wire.send(Method::DELETE, "/api/v1/namespaces/default/pods/absent/log", &[], "")
        .await
        .refused(405, "DELETE of a log");
}

async fn identities(federation: &Federation) {
    let anonymous = federation.anonymous();
    let me = config_map("mine", "1").to_string();
    let forged: [(&str, &[(&str, &str)]); 5] = [
        ("nothing", &[]),
        ("an identity of a front proxy", &[("x-remote-user", "admin"), ("x-remote-group", "system:masters")]),
        ("an identity of the process", &[("x-fedgate-user", "system:fedgate"), ("authenticated", "system:masters")]),
        ("impersonation", &[("impersonate-user", "admin"), ("impersonate-group", "system:masters")]),
        ("a token", &[("authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.")]),
    ];
    for (what, headers) in forged {
        for (method, path, body) in [(Method::GET, "/api/v1/secrets", ""), (Method::POST, MAPS, me.as_str())] {
            let mut headers = headers.to_vec();
            headers.push(JSON);
            let reply = anonymous.send(method.clone(), path, &headers, body.to_owned()).await;
            assert!(matches!(reply.code, 401 | 403), "{what}: {method} {path}: {}", reply.code);
            let (reason, _) = reply.refused(reply.code, what);
            assert!(matches!(reason.as_str(), "Unauthorized" | "Forbidden"), "{what}: {reason}");
        }
    }
    assert_eq!(anonymous.get("/version").await.code, 200);
}

#[tokio::test]
async fn an_ingress_without_its_service_says_so() {
    let federation = Federation::start(FederationConfig { members: 1, ..FederationConfig::default() }).await;
    let hub = federation.hub();
    hub.apply(&ingress("ghost")).await;
    eventually("its route answers 503", SOON, async || {
        same("code", federation.get("ghost.localhost", "/").await?.code, 503)
    })
    .await;
    eventually("an Event names the Service", SOON, async || {
        let events = hub.list("events", "").await?;
        let about = |e: &&Value| e["involvedObject"]["kind"] == "Ingress" && e["involvedObject"]["name"] == "ghost";
        let said: Vec<String> = events.iter().filter(about).map(|e| e["message"].to_string()).collect();
        holds(said.iter().any(|message| message.contains("ghost")), || format!("{said:?}"))
    })
    .await;
    federation.stop().await;
}
