//! Aggregated API servers: real HTTPS servers answer for their group versions, and fail alone.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;

use auth::UserInfo;
use auth::x509::{CertificateAuthority, ServingCertificate, ServingNames, server_config};
use base64::Engine as _;
use bytes::Bytes;
use federation_api::{Api, StoreConfig};
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use member_cluster::AddressPolicy;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::hub::{Hub, PATIENCE, Reply};

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const FLUNDERS: &str = "/apis/wardle.example.com/v1/namespaces/default/flunders";
const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;
type Behaviour = dyn Fn(&Heard) -> Answer + Send + Sync;

/// A request as the other server saw it.
#[derive(Debug, Clone)]
pub struct Heard {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Whether a client certificate was shown.
    pub introduced: bool,
}

/// Another API server; it serves until the test ends.
pub struct Remote {
    pub port: u16,
    pub ca_pem: String,
    heard: Arc<parking_lot::Mutex<Vec<Heard>>>,
}

pub fn answer(code: u16, kind: &str, body: impl Into<Bytes>) -> Answer {
    let response = Response::builder().status(code).header(header::CONTENT_TYPE, kind);
    response.body(Full::new(body.into()).boxed_unsync()).expect("a response")
}

pub fn json_answer(code: u16, body: &Value) -> Answer {
    answer(code, "application/json", body.to_string())
}

impl Remote {
    pub async fn start(behaviour: impl Fn(&Heard) -> Answer + Send + Sync + 'static) -> Self {
        let heard: Arc<parking_lot::Mutex<Vec<Heard>>> = Arc::default();
        let (behaviour, noted): (Arc<Behaviour>, _) = (Arc::new(behaviour), heard.clone());
        let serving = Self::raw(move |stream: TlsStream<TcpStream>| {
            let (behaviour, noted) = (behaviour.clone(), noted.clone());
            async move {
                let introduced = stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty());
                let serve = service_fn(move |request| reply(request, introduced, (behaviour.clone(), noted.clone())));
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), serve)
                    .with_upgrades();
                served.await.ok();
            }
        });
        Self { heard, ..serving.await }
    }

    /// One that talks as it likes.
    pub async fn raw<F: Future<Output = ()> + Send + 'static>(
        talk: impl Fn(TlsStream<TcpStream>) -> F + Send + Sync + 'static,
    ) -> Self {
        let now = jiff::Timestamp::now();
        let authority = CertificateAuthority::generate("wardle", now).expect("an authority");
        let names = ServingNames { dns: vec!["api.default.svc".to_owned()], addresses: Vec::new() };
        let issued = authority.issue_serving(&names, HOUR, now).expect("a certificate");
        let pair = ServingCertificate::from_pem(&issued.certificate_pem, issued.key_pem.expose()).expect("a pair");
        let tls = TlsAcceptor::from(Arc::new(server_config(Arc::new(pair)).expect("a configuration")));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let talk = Arc::new(talk);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, talk) = (tls.clone(), talk.clone());
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    talk(stream).await;
                });
            }
        });
        Self { port, ca_pem: authority.certificate_pem().to_owned(), heard: Arc::default() }
    }

    pub fn heard(&self, target: &str) -> Vec<Heard> {
        self.heard.lock().iter().filter(|heard| heard.target == target).cloned().collect()
    }

    pub fn bundle(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(&self.ca_pem)
    }
}

async fn reply(
    mut request: Request<Incoming>,
    introduced: bool,
    (behaviour, noted): (Arc<Behaviour>, Arc<parking_lot::Mutex<Vec<Heard>>>),
) -> Result<Answer, hyper::Error> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    let body =
        if parts.headers.contains_key(header::UPGRADE) { Bytes::new() } else { body.collect().await?.to_bytes() };
    let heard = Heard { method: parts.method, target: parts.uri.to_string(), headers: parts.headers, body, introduced };
    let answer = behaviour(&heard);
    noted.lock().push(heard);
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        tokio::spawn(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
            tokio::io::copy(&mut read, &mut write).await.ok();
        });
    }
    Ok(answer)
}

/// What wardle answers to everything that nobody asks for in particular.
pub fn wardle(heard: &Heard) -> Answer {
    let resources = json!([{"resource": "flunders", "responseKind": {"group": "", "version": "", "kind": "Flunder"},
        "scope": "Namespaced", "singularResource": "flunder", "verbs": ["get", "list", "watch"]}]);
    let path = heard.target.split('?').next().unwrap_or("");
    match path {
        "/apis" => {
            let versions = json!([{"version": "v1", "freshness": "Current", "resources": resources}]);
            let items = json!([{"metadata": {"name": "wardle.example.com"}, "versions": versions}]);
            let body = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items});
            answer(200, V2, body.to_string())
        }
        "/apis/wardle.example.com/v1" => json_answer(
            200,
            &json!({"kind": "APIResourceList", "groupVersion": "wardle.example.com/v1", "resources": [
                {"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["get"]}]}),
        ),
        "/openapi/v3" => json_answer(
            200,
            &json!({"paths": {
                "apis/wardle.example.com/v1": {"serverRelativeURL": "/openapi/v3/apis/wardle.example.com/v1?hash=W"},
                "api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=FORGED"}}}),
        ),
        "/openapi/v3/apis/wardle.example.com/v1" => json_answer(200, &json!({"openapi": "3.0.0"})),
        path if path.starts_with("/apis/wardle.example.com/v1/") => {
            json_answer(200, &json!({"kind": "FlunderList", "path": heard.target}))
        }
        _ => answer(404, "text/plain", "404 page not found"),
    }
}

/// A Service that leads to this machine.
pub async fn expose(hub: &Hub, name: &str, port: u16) {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}});
    hub.post("/api/v1/namespaces/default/services", &service).await.expect(201);
}

pub fn api_service(group: &str, remote: &Remote) -> Value {
    json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": format!("v1.{group}")},
        "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 200,
            "caBundle": remote.bundle(),
            "service": {"namespace": "default", "name": "api", "port": remote.port}}})
}

/// The condition Available, once it has this reason.
pub async fn condition(hub: &Hub, name: &str, reason: &str) -> Value {
    let mut watch = hub.watch(&format!("{SERVICES}?watch=1&fieldSelector=metadata.name%3D{name}")).await;
    loop {
        let event = watch.next().await.expect("an event");
        let condition = event["object"]["status"]["conditions"][0].clone();
        if condition["reason"] == reason {
            return condition;
        }
    }
}

/// Asks until the answer is as wanted.
pub async fn until(hub: &Hub, path: &str, accept: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let asking = async {
        loop {
            let reply = hub.send(Method::GET, path, &[("accept", accept)], "").await;
            if let Ok(value) = serde_json::from_slice(&reply.body)
                && wanted(&value)
            {
                return value;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("it comes in time")
}

async fn registered(behaviour: impl Fn(&Heard) -> Answer + Send + Sync + 'static) -> (Hub, Remote) {
    let hub = with_front_proxy().await;
    let remote = Remote::start(behaviour).await;
    expose(&hub, "api", remote.port).await;
    hub.post(SERVICES, &api_service("wardle.example.com", &remote)).await.expect(201);
    condition(&hub, "v1.wardle.example.com", "Passed").await;
    (hub, remote)
}

async fn with_front_proxy() -> Hub {
    let now = jiff::Timestamp::now();
    let authority = CertificateAuthority::generate("front-proxy-ca", now).expect("an authority");
    let issued = authority.issue_client("front-proxy-client", &[], HOUR, now).expect("a certificate");
    let builder = Api::builder().front_proxy(&issued.certificate_pem, issued.key_pem.expose()).expect("a pair");
    let builder = builder.endpoints(AddressPolicy::AllowLoopback);
    Hub::with(builder.open(StoreConfig::Memory).await.expect("a store in memory")).await
}

fn entry(apis: &Value, group: &str) -> Option<Value> {
    apis["items"].as_array()?.iter().find(|item| item["metadata"]["name"] == group).cloned()
}

/// Protocol: G1
#[tokio::test]
async fn a_group_version_is_handed_to_who_answers_for_it() {
    let (hub, remote) = registered(wardle).await;
    let mut jane = UserInfo::new("jane", ["readers"]);
    jane.uid = "u-1".to_owned();
    jane.extra.insert("example.com/Scope".to_owned(), vec!["a".to_owned()]);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"},
        "rules": [{"apiGroups": ["wardle.example.com"], "resources": ["flunders"], "verbs": ["list"]}]});
    hub.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", &role).await.expect(201);
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "r"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]});
    hub.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await.expect(201);
    let caller = hub.api.in_process(jane);
    let path = format!("{FLUNDERS}?limit=5&labelSelector=a%3Db");
    let headers = [("authorization", "Bearer secret"), ("x-remote-user", "root"), ("x-remote-extra-a", "b")];
    let list = hub.send_as(&caller, Method::GET, &path, (&headers, Bytes::new())).await;
    assert!(list.headers.contains_key("audit-id"));
    assert_eq!(list.expect(200)["path"], path);
    let heard = remote.heard(&path).pop().expect("it was asked");
    assert!(heard.introduced, "the front proxy's certificate is shown");
    assert_eq!(heard.headers["x-remote-user"], "jane");
    assert_eq!(heard.headers["x-remote-uid"], "u-1");
    assert_eq!(heard.headers["x-remote-group"], "readers");
    assert_eq!(heard.headers["x-remote-extra-example.com%2fscope"], "a");
    assert!(!heard.headers.contains_key("authorization") && !heard.headers.contains_key("x-remote-extra-a"));
    // What he may not do is refused here.
    let refused = hub.send_as(&caller, Method::DELETE, &format!("{FLUNDERS}/x"), (&[], Bytes::new())).await;
    let (reason, message) = refused.refused(403);
    let want = "flunders.wardle.example.com \"x\" is forbidden: User \"jane\" cannot delete resource \"flunders\" in API group \"wardle.example.com\" in the namespace \"default\"";
    assert_eq!((reason.as_str(), message.as_str()), ("Forbidden", want));
    let created = hub.post(FLUNDERS, &json!({"kind": "Flunder", "metadata": {"name": "x"}})).await;
    created.expect(200);
    let heard = remote.heard(FLUNDERS).pop().expect("it was asked");
    assert_eq!((heard.method, &heard.body[..]), (Method::POST, &br#"{"kind":"Flunder","metadata":{"name":"x"}}"#[..]));
    // Names that no other server could have made up lead nowhere else.
    assert_eq!(hub.get("/apis/wardle.example.com/v2/flunders").await.code, 404);
    hub.delete(&format!("{SERVICES}/v1.wardle.example.com")).await.expect(200);
    assert_eq!(hub.get(FLUNDERS).await.code, 404);
}

/// Protocol: G1, D1, D3, O1
#[tokio::test]
async fn what_others_serve_stands_in_every_document() {
    let (hub, remote) = registered(wardle).await;
    let fresh =
        |apis: &Value| entry(apis, "wardle.example.com").is_some_and(|e| e["versions"][0]["freshness"] == "Current");
    let apis = until(&hub, "/apis", V2, fresh).await;
    let resources = &entry(&apis, "wardle.example.com").expect("the group")["versions"][0]["resources"];
    assert_eq!(resources[0]["responseKind"]["kind"], "Flunder");
    let list = hub.get("/apis").await.expect(200);
    let groups = list["groups"].as_array().expect("groups");
    let named = groups.iter().find(|group| group["name"] == "wardle.example.com").expect("the group");
    assert_eq!(named["preferredVersion"]["groupVersion"], "wardle.example.com/v1");
    assert_eq!(hub.get("/apis/wardle.example.com").await.expect(200)["kind"], "APIGroup");
    assert_eq!(hub.get("/apis/wardle.example.com/v1").await.expect(200)["kind"], "APIResourceList");
    let root = hub.get("/").await.expect(200);
    assert!(root["paths"].as_array().expect("paths").contains(&json!("/apis/wardle.example.com/v1")));
    let index = hub.get("/openapi/v3").await;
    let etag = index.headers["etag"].clone();
    let index = index.expect(200);
    let url = index["paths"]["apis/wardle.example.com/v1"]["serverRelativeURL"].as_str().expect("a URL").to_owned();
    assert_eq!(url, "/openapi/v3/apis/wardle.example.com/v1?hash=W");
    let own = index["paths"]["api/v1"]["serverRelativeURL"].as_str().expect("a URL");
    assert!(!own.contains("FORGED"), "nobody speaks for the groups of others");
    assert_eq!(hub.get(&url).await.expect(200)["openapi"], "3.0.0");
    assert_eq!(remote.heard(&url).len(), 1);
    let known = hub.send(Method::GET, "/openapi/v3", &[("if-none-match", etag.to_str().expect("text"))], "").await;
    assert_eq!(known.code, 304);
    hub.delete(&format!("{SERVICES}/v1.wardle.example.com")).await.expect(200);
    assert_eq!(
        entry(&hub.send(Method::GET, "/apis", &[("accept", V2)], "").await.expect(200), "wardle.example.com"),
        None
    );
    assert_eq!(hub.get("/apis/wardle.example.com").await.code, 404);
}

/// Protocol: G1, W1
#[tokio::test]
async fn a_watch_goes_through_as_it_comes() {
    let (send, receive) = mpsc::unbounded_channel::<Bytes>();
    let receive = parking_lot::Mutex::new(Some(receive));
    let (hub, _remote) = registered(move |heard| {
        let events = heard.target.contains("watch=").then(|| receive.lock().take()).flatten();
        let Some(mut events) = events else { return wardle(heard) };
        let frames = futures_util::stream::poll_fn(move |cx| events.poll_recv(cx)).map(|bytes| Ok(Frame::data(bytes)));
        let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
        response.body(StreamBody::new(frames).boxed_unsync()).expect("a response")
    })
    .await;
    let mut watch = hub.watch(&format!("{FLUNDERS}?watch=true")).await;
    for name in ["a", "b"] {
        let event = json!({"type": "ADDED", "object": {"metadata": {"name": name}}});
        send.send(format!("{event}\n").into()).expect("the watch is open");
        assert_eq!(watch.told(1).await, [format!("ADDED {name}")]);
    }
    drop(send);
    assert!(watch.next().await.is_none());
}

/// Protocol: G1
#[tokio::test]
async fn who_is_not_there_is_missed_in_his_own_group_alone() {
    let hub = Hub::start().await;
    let remote = Remote::start(wardle).await;
    let made = hub.post(SERVICES, &api_service("wardle.example.com", &remote)).await.expect(201);
    assert_eq!(made["status"], json!({}));
    let missing = condition(&hub, "v1.wardle.example.com", "ServiceNotFound").await;
    let message = r#"service/api in "default" is not present"#;
    assert_eq!((&missing["status"], &missing["message"]), (&json!("False"), &json!(message)));
    let unavailable = |reply: Reply| {
        assert_eq!(reply.code, 503);
        assert_eq!(&reply.body[..], b"service unavailable\n");
        assert_eq!(reply.headers["content-type"], "text/plain; charset=utf-8");
    };
    unavailable(hub.get(FLUNDERS).await);
    unavailable(hub.get("/apis/wardle.example.com/v1").await);
    let gauge = |state: u8| format!("aggregator_unavailable_apiservice{{name=\"v1.wardle.example.com\"}} {state}\n");
    assert!(hub.api.metrics().contains(&gauge(1)));
    assert_eq!(hub.get("/apis/wardle.example.com").await.code, 200);
    let apis = until(&hub, "/apis", V2, |apis| entry(apis, "wardle.example.com").is_some()).await;
    let of = entry(&apis, "wardle.example.com").expect("the group");
    assert_eq!(of["versions"], json!([{"version": "v1", "freshness": "Stale", "resources": []}]));
    hub.get("/api/v1/namespaces/default/configmaps").await.expect(200);
    // He comes, and is served; he goes, and is remembered.
    expose(&hub, "api", remote.port).await;
    condition(&hub, "v1.wardle.example.com", "Passed").await;
    hub.get(FLUNDERS).await.expect(200);
    assert!(hub.api.metrics().contains(&gauge(0)));
    let fresh =
        |apis: &Value| entry(apis, "wardle.example.com").is_some_and(|e| e["versions"][0]["freshness"] == "Current");
    until(&hub, "/apis", V2, fresh).await;
    hub.delete("/api/v1/namespaces/default/services/api").await.expect(200);
    condition(&hub, "v1.wardle.example.com", "ServiceNotFound").await;
    unavailable(hub.get(FLUNDERS).await);
    let stale =
        |apis: &Value| entry(apis, "wardle.example.com").is_some_and(|e| e["versions"][0]["freshness"] == "Stale");
    let apis = until(&hub, "/apis", V2, stale).await;
    assert_eq!(
        entry(&apis, "wardle.example.com").expect("the group")["versions"][0]["resources"][0]["resource"],
        "flunders"
    );
}

/// Protocol: G1
#[tokio::test]
async fn endpoints_are_looked_at_before_the_server() {
    let hub = Hub::start().await;
    let remote = Remote::start(wardle).await;
    let mut object = api_service("wardle.example.com", &remote);
    object["spec"]["service"]["port"] = json!(443);
    hub.post(SERVICES, &object).await.expect(201);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api"},
        "spec": {"ports": [{"name": "https", "port": 444}]}});
    let services = "/api/v1/namespaces/default/services";
    hub.post(services, &service).await.expect(201);
    condition(&hub, "v1.wardle.example.com", "ServicePortError").await;
    hub.delete(&format!("{services}/api")).await.expect(200);
    let mut service = service;
    service["spec"]["ports"][0]["port"] = json!(443);
    hub.post(services, &service).await.expect(201);
    condition(&hub, "v1.wardle.example.com", "EndpointsNotFound").await;
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "api-1", "labels": {"kubernetes.io/service-name": "api"}},
        "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": false}}],
        "ports": [{"name": "https", "port": 8443}]});
    hub.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice).await.expect(201);
    let missing = condition(&hub, "v1.wardle.example.com", "MissingEndpoints").await;
    let want = r#"endpointslices for service/api in "default" have no addresses with port name "https""#;
    assert_eq!(missing["message"], want);
}

/// Protocol: G1, E5
#[tokio::test]
async fn api_services_are_checked_and_local_ones_available() {
    let hub = Hub::start().await;
    let local = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.local.example.com"},
        "spec": {"group": "local.example.com", "version": "v1", "groupPriorityMinimum": 10, "versionPriority": 10}});
    let mut sent = local.clone();
    sent["status"] = json!({"conditions": [{"type": "Forged", "status": "True"}]});
    let made = hub.post(SERVICES, &sent).await.expect(201);
    let condition = &made["status"]["conditions"];
    assert_eq!(condition.as_array().map(Vec::len), Some(1));
    assert_eq!(condition[0]["message"], "Local APIServices are always available");
    assert!(made["metadata"].get("generation").is_none());
    let mut bad = local.clone();
    bad["metadata"]["name"] = json!("v1.other");
    let (reason, message) = hub.post(SERVICES, &bad).await.refused(422);
    let want = "APIService.apiregistration.k8s.io \"v1.other\" is invalid: metadata.name: Invalid value: \"v1.other\": must be `spec.version+\".\"+spec.group`: \"v1.local.example.com\"";
    assert_eq!((reason.as_str(), message.as_str()), ("Invalid", want));
    let path = format!("{SERVICES}/v1.local.example.com");
    let mut blind = made.clone();
    blind["metadata"]["resourceVersion"] = Value::Null;
    let (_, message) = hub.put(&path, &blind).await.refused(422);
    assert!(
        message.ends_with("metadata.resourceVersion: Invalid value: 0: must be specified for an update"),
        "{message}"
    );
    let patch = json!({"spec": {"service": {"namespace": "n", "name": "s"}}});
    let patched = hub.patch(&path, "merge-patch+json", &patch).await.expect(200);
    assert_eq!(patched["spec"]["service"]["port"], 443);
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let rows = until(&hub, SERVICES, table, |t| t["rows"][0]["cells"][2] == "False (ServiceNotFound)").await;
    let cells = &rows["rows"][0]["cells"];
    assert_eq!((&cells[0], &cells[1]), (&json!("v1.local.example.com"), &json!("n/s")));
}
