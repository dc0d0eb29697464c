//! Admission webhooks: real HTTPS servers are asked about writes.

use std::net::Ipv4Addr;
use std::sync::Arc;

use auth::x509::{CertificateAuthority, ServingCertificate, ServingNames, server_config};
use base64::Engine as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::hub::{CONFIG_MAPS, Hub, config_map};

const BASE: &str = "/apis/admissionregistration.k8s.io/v1";

/// What a webhook answers to a request: a status and a body.
type Answer = dyn Fn(&Value) -> (StatusCode, Value) + Send + Sync;

/// A webhook server; it serves until the test ends.
pub struct Server {
    port: u16,
    ca_pem: String,
    asked: Arc<parking_lot::Mutex<Vec<Value>>>,
}

impl Server {
    pub async fn start(answer: impl Fn(&Value) -> (StatusCode, Value) + Send + Sync + 'static) -> Self {
        let now = jiff::Timestamp::now();
        let authority = CertificateAuthority::generate("webhooks", now).expect("an authority");
        let names = ServingNames {
            dns: vec!["localhost".to_owned(), "hook.default.svc".to_owned()],
            addresses: vec![Ipv4Addr::LOCALHOST.into()],
        };
        let issued = authority.issue_serving(&names, std::time::Duration::from_secs(3600), now).expect("a certificate");
        let pair = ServingCertificate::from_pem(&issued.certificate_pem, issued.key_pem.expose()).expect("a pair");
        let tls = TlsAcceptor::from(Arc::new(server_config(Arc::new(pair)).expect("a configuration")));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked: Arc<parking_lot::Mutex<Vec<Value>>> = Arc::default();
        let (answer, noted): (Arc<Answer>, _) = (Arc::new(answer), asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, answer, noted) = (tls.clone(), answer.clone(), noted.clone());
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let serve = service_fn(move |request| reply(request, answer.clone(), noted.clone()));
                    let served =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve);
                    served.await.ok();
                });
            }
        });
        Self { port, ca_pem: authority.certificate_pem().to_owned(), asked }
    }

    /// One that allows everything that `judge` has nothing to say about.
    pub async fn judging(judge: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Self {
        Self::start(move |review| {
            let mut response = judge(&review["request"]);
            response["uid"] = review["request"]["uid"].clone();
            if response.get("allowed").is_none() {
                response["allowed"] = json!(true);
            }
            (
                StatusCode::OK,
                json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}),
            )
        })
        .await
    }

    pub fn url(&self, path: &str) -> Value {
        json!({"url": format!("https://127.0.0.1:{}{path}", self.port), "caBundle": self.bundle()})
    }

    fn bundle(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(&self.ca_pem)
    }

    pub fn asked(&self) -> Vec<Value> {
        self.asked.lock().clone()
    }
}

async fn reply(
    request: Request<Incoming>,
    answer: Arc<Answer>,
    noted: Arc<parking_lot::Mutex<Vec<Value>>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let target = request.uri().to_string();
    let body = request.into_body().collect().await?.to_bytes();
    let mut review: Value = serde_json::from_slice(&body).expect("a review");
    review["target"] = target.into();
    let (code, body) = answer(&review);
    noted.lock().push(review);
    let response = Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
    let response = response.header(header::LOCATION, "https://127.0.0.1:1/elsewhere");
    Ok(response.body(Full::new(body.to_string().into())).expect("a response"))
}

pub fn webhook(name: &str, destination: Value, change: impl Fn(&mut Value)) -> Value {
    let rule = json!({"operations": ["CREATE", "UPDATE", "DELETE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]});
    let mut webhook = json!({"name": format!("{name}.hooks.example.com"), "clientConfig": destination, "rules": [rule],
        "sideEffects": "None", "admissionReviewVersions": ["v1"]});
    change(&mut webhook);
    webhook
}

pub async fn configure(hub: &Hub, kind: &str, name: &str, webhooks: Vec<Value>) {
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": format!("{kind}WebhookConfiguration"),
        "metadata": {"name": name}, "webhooks": webhooks});
    let plural = format!("{}webhookconfigurations", kind.to_lowercase());
    hub.post(&format!("{BASE}/{plural}"), &object).await.expect(201);
}

pub fn patch(operations: &Value) -> Value {
    let encoded = base64::engine::general_purpose::STANDARD.encode(operations.to_string());
    json!({"patchType": "JSONPatch", "patch": encoded})
}

/// Protocol: A2, E1
#[tokio::test]
async fn validating_webhooks_are_asked_and_may_refuse() {
    let hub = Hub::start().await;
    let server = Server::judging(|request| {
        let bad = request["object"]["data"]["key"] == "bad" || request["operation"] == "DELETE";
        let status = json!({"message": "the key is bad", "reason": "BadKey", "code": 418});
        if bad { json!({"allowed": false, "status": status}) } else { json!({"warnings": ["look out"]}) }
    })
    .await;
    configure(&hub, "Validating", "v", vec![webhook("v", server.url("/ask"), |_| {})]).await;
    let reply = hub.post(CONFIG_MAPS, &config_map("good")).await;
    assert_eq!(reply.warnings(), ["299 - \"look out\""]);
    reply.expect(201);
    let mut bad = config_map("bad");
    bad["data"]["key"] = json!("bad");
    let status = hub.post(CONFIG_MAPS, &bad).await.expect(418);
    let message = "admission webhook \"v.hooks.example.com\" denied the request: the key is bad";
    assert_eq!((&status["message"], &status["reason"]), (&json!(message), &json!("BadKey")));
    hub.post(&format!("{CONFIG_MAPS}?dryRun=All"), &bad).await.expect(418);
    hub.delete(&format!("{CONFIG_MAPS}/good")).await.expect(418);

    let asked = server.asked();
    let (first, last) = (&asked[0], &asked[asked.len() - 1]);
    assert_eq!(first["target"], "/ask?timeout=10s");
    let request = &first["request"];
    for (pointer, want) in [
        ("/kind", json!({"group": "", "version": "v1", "kind": "ConfigMap"})),
        ("/requestResource", json!({"group": "", "version": "v1", "resource": "configmaps"})),
        ("/name", json!("good")),
        ("/namespace", json!("default")),
        ("/operation", json!("CREATE")),
        ("/userInfo/username", json!("admin")),
        ("/object/data/key", json!("value")),
        ("/oldObject", Value::Null),
        ("/dryRun", json!(false)),
        ("/options/kind", json!("CreateOptions")),
    ] {
        assert_eq!(request.pointer(pointer), Some(&want), "{pointer}");
    }
    assert_eq!(asked[2]["request"]["dryRun"], true);
    assert_eq!(
        (&last["request"]["object"], &last["request"]["oldObject"]["metadata"]["name"]),
        (&Value::Null, &json!("good"))
    );
    assert_eq!(last["request"]["options"]["kind"], "DeleteOptions");
}

/// Protocol: A2, A3
#[tokio::test]
async fn mutating_webhooks_change_objects_and_see_each_other() {
    let hub = Hub::start().await;
    let server = Server::judging(|request| {
        let data = &request["object"]["data"];
        if data["first"].is_null() {
            return patch(
                &json!([{"op": "add", "path": "/data/first", "value": "1"}, {"op": "add", "path": "/bogus", "value": 1},
                {"op": "replace", "path": "/metadata/uid", "value": "forged"}]),
            );
        }
        json!({})
    })
    .await;
    let second = Server::judging(|request| match request["object"]["data"]["first"].as_str() {
        Some("1") => patch(&json!([{"op": "add", "path": "/data/second", "value": "2"}])),
        _ => json!({}),
    })
    .await;
    let again = |webhook: &mut Value| webhook["reinvocationPolicy"] = json!("IfNeeded");
    let webhooks = vec![webhook("a", server.url("/"), again), webhook("b", second.url("/"), |_| {})];
    configure(&hub, "Mutating", "m", webhooks).await;
    let made = hub.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    assert_eq!(made["data"], json!({"key": "value", "first": "1", "second": "2"}));
    assert_eq!(made.get("bogus"), None, "what is no field is pruned");
    assert_ne!(made["metadata"]["uid"], "forged");
    assert_eq!((server.asked().len(), second.asked().len()), (2, 1), "asked again after somebody else changed it");
}

/// Protocol: A2
#[tokio::test]
async fn failures_are_judged_by_the_policy() {
    let hub = Hub::start().await;
    let broken = Server::start(|_| (StatusCode::INTERNAL_SERVER_ERROR, json!("oh"))).await;
    let redirects = Server::start(|_| (StatusCode::FOUND, json!({}))).await;
    let mute =
        Server::start(|_| (StatusCode::OK, json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"})))
            .await;
    let stranger = Server::judging(|_| json!({})).await;
    let mut untrusted = stranger.url("/");
    untrusted["caBundle"] = broken.bundle().into();
    let nobody = json!({"url": "https://127.0.0.1:1/", "caBundle": broken.bundle()});
    let absent = json!({"service": {"namespace": "default", "name": "hook"}, "caBundle": broken.bundle()});
    for (name, destination, want) in [
        ("broken", broken.url("/"), "has prevented the request from succeeding"),
        ("redirect", redirects.url("/"), "which is not followed"),
        ("mute", mute.url("/"), "received invalid webhook response: webhook response was absent"),
        ("untrusted", untrusted, "x509: certificate signed by unknown authority"),
        (
            "nobody",
            nobody,
            "failed to call webhook: Post \"https://127.0.0.1:1/?timeout=10s\": dial tcp 127.0.0.1:1: connect: connection refused",
        ),
        ("absent", absent, "Post \"https://hook.default.svc:443/?timeout=10s\": service \"hook\" not found"),
    ] {
        configure(&hub, "Validating", "v", vec![webhook(name, destination.clone(), |_| {})]).await;
        let (reason, message) = hub.post(CONFIG_MAPS, &config_map(name)).await.refused(500);
        let begin = format!("Internal error occurred: failed calling webhook \"{name}.hooks.example.com\": ");
        assert!(message.starts_with(&begin) && message.contains(want) && reason == "InternalError", "{message}");
        hub.delete(&format!("{BASE}/validatingwebhookconfigurations/v")).await.expect(200);
        let ignored = |webhook: &mut Value| webhook["failurePolicy"] = json!("Ignore");
        configure(&hub, "Mutating", "m", vec![webhook(name, destination, ignored)]).await;
        hub.post(CONFIG_MAPS, &config_map(name)).await.expect(201);
        hub.delete(&format!("{BASE}/mutatingwebhookconfigurations/m")).await.expect(200);
    }
}

/// Protocol: A2
#[tokio::test]
async fn slow_webhooks_fail_in_time() {
    let hub = Hub::start().await;
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let slow = |webhook: &mut Value| webhook["timeoutSeconds"] = json!(1);
    let destination = json!({"url": format!("https://127.0.0.1:{port}/")});
    configure(&hub, "Validating", "v", vec![webhook("slow", destination, slow)]).await;
    let (_, message) = hub.post(CONFIG_MAPS, &config_map("a")).await.refused(500);
    assert!(message.contains("?timeout=1s\": context deadline exceeded"), "{message}");
}

/// Protocol: A2
#[tokio::test]
async fn selectors_and_services_decide_whom_to_ask() {
    let hub = Hub::start().await;
    let server = Server::judging(|_| json!({"allowed": false})).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443}]}});
    hub.post("/api/v1/namespaces/default/services", &service).await.expect(201);
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"port": server.port}]});
    hub.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice).await.expect(201);
    let destination =
        json!({"service": {"namespace": "default", "name": "hook", "path": "/x"}, "caBundle": server.bundle()});
    let selective = |webhook: &mut Value| {
        webhook["objectSelector"] = json!({"matchLabels": {"ask": "me"}});
        webhook["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": "default"}});
        webhook["matchPolicy"] = json!("Exact");
    };
    configure(&hub, "Validating", "v", vec![webhook("v", destination, selective)]).await;
    hub.post(CONFIG_MAPS, &config_map("unlabelled")).await.expect(201);
    let mut labelled = config_map("labelled");
    labelled["metadata"]["labels"] = json!({"ask": "me"});
    hub.namespace("other").await;
    hub.post("/api/v1/namespaces/other/configmaps", &labelled).await.expect(201);
    let (_, message) = hub.post(CONFIG_MAPS, &labelled).await.refused(400);
    assert_eq!(message, "admission webhook \"v.hooks.example.com\" denied the request without explanation");
    let path = format!("{BASE}/validatingwebhookconfigurations/v");
    hub.patch(&path, "merge-patch+json", &json!({"metadata": {"labels": {"a": "b"}}})).await.expect(200);
    assert_eq!(server.asked().len(), 1, "nobody is asked about the configurations themselves");
}

/// Protocol: A4
#[tokio::test]
async fn conditions_decide_whom_to_ask() {
    let hub = Hub::start().await;
    let server = Server::judging(|_| json!({"allowed": false})).await;
    let conditional = |webhook: &mut Value| {
        webhook["matchConditions"] = json!([
            {"name": "named", "expression": "object.metadata.name == 'a'"},
            {"name": "made", "expression": "request.operation == 'CREATE' && oldObject == null"}])
    };
    configure(&hub, "Validating", "v", vec![webhook("v", server.url("/"), conditional)]).await;
    hub.post(CONFIG_MAPS, &config_map("b")).await.expect(201);
    hub.post(CONFIG_MAPS, &config_map("a")).await.refused(400);
    hub.delete(&format!("{BASE}/validatingwebhookconfigurations/v")).await.expect(200);
    let rights = |webhook: &mut Value| {
        let may = "authorizer.requestResource.check('delete').allowed()";
        let other = "!authorizer.serviceAccount('default', 'x').group('').resource('secrets').check('get').allowed()";
        webhook["matchConditions"] = json!([
            {"name": "may", "expression": format!("{may} && object.metadata.name == 'd'")},
            {"name": "other", "expression": other}]);
    };
    configure(&hub, "Validating", "v", vec![webhook("v", server.url("/"), rights)]).await;
    hub.post(CONFIG_MAPS, &config_map("e")).await.expect(201);
    hub.post(CONFIG_MAPS, &config_map("d")).await.refused(400);
    hub.delete(&format!("{BASE}/validatingwebhookconfigurations/v")).await.expect(200);
    let broken = |webhook: &mut Value| {
        webhook["matchConditions"] = json!([{"name": "broken", "expression": "object.metadata.nothing == 'a'"}]);
    };
    configure(&hub, "Validating", "v", vec![webhook("v", server.url("/"), broken)]).await;
    let (reason, message) = hub.post(CONFIG_MAPS, &config_map("c")).await.refused(403);
    assert!(reason == "Forbidden" && message.contains("no such key: nothing"), "{message}");
    let senseless = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
    "metadata": {"name": "w"}, "webhooks": [webhook("w", server.url("/"), |webhook| {
        webhook["matchConditions"] = json!([{"name": "senseless", "expression": "... [}"}]);
    })]});
    let (_, message) = hub.post(&format!("{BASE}/validatingwebhookconfigurations"), &senseless).await.refused(422);
    assert!(
        message.contains("webhooks[0].matchConditions[0].expression") && message.contains("compilation failed"),
        "{message}"
    );
}

/// Protocol: E1
#[tokio::test]
async fn a_dry_run_asks_nobody_who_does_more() {
    let hub = Hub::start().await;
    let side = |webhook: &mut Value| webhook["sideEffects"] = json!("Some");
    let (_, message) = {
        let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "v"}, "webhooks": [webhook("v", json!({"url": "https://h/"}), side)]});
        hub.post(&format!("{BASE}/validatingwebhookconfigurations"), &object).await.refused(422)
    };
    assert!(message.contains("Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\""), "{message}");
}

/// What asks for something and is never stored is judged and changed as what is stored.
///
/// Protocol: A2
#[tokio::test]
async fn evictions_and_token_requests_are_asked_about() {
    let folder = tempfile::tempdir().expect("a directory");
    let key = auth::service_account::ServiceAccountKey::open(&folder.path().join("key")).expect("a key");
    let api = federation_api::Api::builder().service_accounts(key).open(federation_api::StoreConfig::Memory);
    let hub = Hub::with(api.await.expect("a store in memory")).await;
    let server = Server::judging(|request| match request["subResource"].as_str() {
        Some("token") => patch(&json!([{"op": "replace", "path": "/spec/expirationSeconds", "value": 1200}])),
        _ if request["name"] == "kept" => json!({"allowed": false, "status": {"message": "it stays"}}),
        _ => json!({}),
    })
    .await;
    let asks = webhook("parts", server.url(""), |webhook| {
        webhook["rules"] = json!([{"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["*"],
            "resources": ["pods/eviction", "serviceaccounts/token"]}]);
    });
    configure(&hub, "Mutating", "m", vec![asks]).await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    hub.post(accounts, &account).await.expect(201);
    let pods = "/api/v1/namespaces/default/pods";
    for name in ["kept", "gone"] {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "image": "i"}]}});
        hub.post(pods, &pod).await.expect(201);
    }
    let evict = async |name: &str| {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
        hub.post(&format!("{pods}/{name}/eviction"), &eviction).await
    };
    let (_, message) = evict("kept").await.refused(400);
    assert_eq!(message, "admission webhook \"parts.hooks.example.com\" denied the request: it stays");
    evict("gone").await.expect(201);
    hub.get(&format!("{pods}/kept")).await.expect(200);
    let wish = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": [], "expirationSeconds": 3600}});
    let token = hub.post(&format!("{accounts}/default/token"), &wish).await.expect(201);
    assert_eq!(token["spec"]["expirationSeconds"], 1200);
    let asked = server.asked();
    let (first, last) = (&asked[0]["request"], &asked[asked.len() - 1]["request"]);
    assert_eq!(first["kind"], json!({"group": "policy", "version": "v1", "kind": "Eviction"}));
    assert_eq!(first["resource"], json!({"group": "", "version": "v1", "resource": "pods"}));
    assert_eq!((&first["object"]["metadata"]["name"], &first["operation"]), (&json!("kept"), &json!("CREATE")));
    assert_eq!((&last["name"], &last["object"]["kind"]), (&json!("default"), &json!("TokenRequest")));
    assert_eq!(asked.len(), 3);
}
