//! Bad input: the right code, a message that says what is wrong, and nothing changed.

use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::hub::{CONFIG_MAPS, Hub, config_map, names};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// Protocol: N7
#[tokio::test]
async fn broken_bodies_change_nothing() {
    let hub = Hub::start().await;
    let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    let deep_list = format!("{{\"data\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: [(&str, Bytes, u16); 8] = [
        ("nothing", Bytes::new(), 400),
        ("half", Bytes::from("{\"kind\":"), 400),
        ("no object", Bytes::from("[1,2]"), 400),
        ("null", Bytes::from("null"), 422),
        ("no UTF-8", Bytes::from(&b"{\"kind\":\"\xff\"}"[..]), 400),
        ("too deep", Bytes::from(deep), 400),
        ("much too deep", Bytes::from(deep_list), 400),
        ("odd metadata", Bytes::from("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":[]}"), 400),
    ];
    for (what, body, code) in cases {
        let (reason, message) = hub.send(Method::POST, CONFIG_MAPS, JSON, body).await.refused(code);
        assert_eq!(reason, if code == 400 { "BadRequest" } else { "Invalid" }, "{what}");
        assert!(!message.is_empty(), "{what}");
    }
    assert!(names(&hub.get(CONFIG_MAPS).await.expect(200)).is_empty());
}

/// Protocol: F1
#[tokio::test]
async fn large_bodies_are_cut_off() {
    let hub = Hub::start().await;
    let mut large = config_map("x");
    large["data"]["key"] = "x".repeat(4 * 1024 * 1024).into();
    let (reason, message) = hub.post(CONFIG_MAPS, &large).await.refused(413);
    assert_eq!(
        (reason.as_str(), message.as_str()),
        ("RequestEntityTooLarge", "Request entity is too large: limit is 3145728")
    );
}

/// Protocol: N2
#[tokio::test]
async fn unknown_formats_are_named() {
    let hub = Hub::start().await;
    let cbor: &[(&str, &str)] = &[("content-type", "application/cbor")];
    let (reason, message) = hub.send(Method::POST, CONFIG_MAPS, cbor, "x").await.refused(415);
    assert_eq!(reason, "UnsupportedMediaType");
    assert!(
        message.starts_with("the body of the request was in an unknown format - accepted media types include: "),
        "{message}"
    );
}

/// Protocol: E4
#[tokio::test]
async fn hostile_uris_are_refused() {
    let hub = Hub::start().await;
    for path in [
        "/api/v1/%ff",
        "/api/v1/namespaces/%2e%2e/configmaps",
        "/api/v1/namespaces/default/configmaps/a%00",
        "/api/v1/pods?limit=%zz",
    ] {
        hub.get(path).await.refused(400);
    }
    let many = format!("{CONFIG_MAPS}?{}", "a=b&".repeat(2_000));
    hub.get(&many).await.refused(400);
}

/// Expressions and patterns that would run for ever are bounded by what they cost, and end in a refusal.
///
/// Protocol: A4
#[tokio::test]
async fn expressions_without_an_end_are_refused() {
    let hub = Hub::start().await;
    let group = "/apis/admissionregistration.k8s.io/v1";
    let key = "object.data.key.split('')";
    let endless = format!("{key}.all(a, {key}.all(b, {key}.all(c, a + b != c + 'z')))");
    let policies =
        [("endless", endless.as_str(), "endless"), ("pattern", "object.data.key.matches('^(a+)+$')", "pattern")];
    for (name, expression, label) in policies {
        let rules =
            json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]);
        let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name}, "spec": {"validations": [{"expression": expression}], "matchConstraints":
                {"resourceRules": rules, "objectSelector": {"matchLabels": {"case": label}}}}});
        hub.post(&format!("{group}/validatingadmissionpolicies"), &policy).await.expect(201);
        let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}});
        hub.post(&format!("{group}/validatingadmissionpolicybindings"), &binding).await.expect(201);
    }
    for (label, text, why) in [
        ("endless", "a".repeat(2_000), "cost limit exceeded"),
        ("pattern", "a".repeat(200_000) + "b", "failed expression"),
    ] {
        let mut map = config_map(label);
        map["metadata"]["labels"] = json!({"case": label});
        map["data"]["key"] = text.into();
        let (_, message) = hub.post(CONFIG_MAPS, &map).await.refused(422);
        assert!(message.contains(why), "{label}: {message}");
    }
    assert!(names(&hub.get(CONFIG_MAPS).await.expect(200)).is_empty());
}

/// What everybody may ask for is made once: the second answer is the first one's bytes.
///
/// Protocol: D4
#[tokio::test]
async fn documents_are_made_once_and_accept_has_an_end() {
    let hub = Hub::start().await;
    let ask = async |path: &str, accept: &str| {
        hub.send(Method::GET, path, &[("accept", accept), ("accept-encoding", "gzip")], "").await
    };
    for (path, accept) in [
        ("/openapi/v2", "application/json"),
        ("/openapi/v3/apis/apps/v1", "application/json"),
        ("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
    ] {
        let (first, second) = (ask(path, accept).await, ask(path, accept).await);
        assert_eq!(first.code.as_u16(), 200, "{path}");
        assert_eq!(first.body.as_ptr(), second.body.as_ptr(), "{path}");
    }
    let many: Vec<String> = (0..10_000).map(|n| format!("application/x-{n};q=0.{}", n % 10)).collect();
    let many = many.join(",");
    for path in ["/openapi/v2", "/apis", CONFIG_MAPS] {
        assert_eq!(ask(path, &many).await.code.as_u16(), 406, "{path}");
        assert_eq!(ask(path, &format!("{many},application/json")).await.code.as_u16(), 200, "{path}");
    }
}

/// Protocol: S1, S2
#[tokio::test]
async fn records_of_many_fields_take_no_longer_than_they_are() {
    let hub = Hub::start().await;
    let data: serde_json::Map<String, serde_json::Value> = (0..20_000).map(|n| (format!("k{n}"), json!("v"))).collect();
    let mut map = config_map("many");
    map["data"] = data.into();
    let apply = async |manager: &str, body: &serde_json::Value| {
        let path = format!("{CONFIG_MAPS}/many?fieldManager={manager}");
        hub.patch(&path, "apply-patch+yaml", body).await
    };
    apply("first", &map).await.expect(201);
    apply("first", &map).await.expect(200);
    for value in map["data"].as_object_mut().expect("a map").values_mut() {
        *value = json!("w");
    }
    let (reason, _) = apply("second", &map).await.refused(409);
    assert_eq!(reason, "Conflict");
    let fields: serde_json::Map<String, serde_json::Value> =
        (0..20_000).map(|n| (format!("f:k{n}"), json!({}))).collect();
    let mut forged = config_map("forged");
    forged["metadata"]["managedFields"] = json!([{"manager": "m", "operation": "Update", "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": fields}}]);
    let sent = forged.to_string().len();
    let made = hub.post(CONFIG_MAPS, &forged).await.expect(201);
    assert!(made.to_string().len() < sent + 1_000);
}
