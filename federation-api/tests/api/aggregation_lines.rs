//! What goes over the connections to aggregated API servers when somebody does not behave: seats, broken answers,
//! requests without an end, endpoints of others.

use std::convert::Infallible;
use std::time::Instant;

use auth::UserInfo;
use bytes::Bytes;
use federation_api::{Api, Body, StoreConfig};
use http::{Request, Response};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt as _, Empty};
use member_cluster::AddressPolicy;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tower::Service as _;

use crate::aggregation::{Remote, api_service, condition, expose, wardle};
use crate::hub::{Hub, PATIENCE};

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const NAME: &str = "v1.wardle.example.com";
const FLUNDERS: &str = "/apis/wardle.example.com/v1/namespaces/default/flunders";

/// A server that reads heads alone, and breaks off where it is asked to.
async fn head_reader(mut stream: TlsStream<TcpStream>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let broken = String::from_utf8_lossy(&head).contains("/broken ");
        let answer: &[u8] = if broken {
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"
        } else {
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        };
        if stream.write_all(answer).await.is_err() || broken {
            stream.shutdown().await.ok();
            return;
        }
    }
}

async fn registered(remote: &Remote) -> Hub {
    let hub = Hub::start().await;
    expose(&hub, "api", remote.port).await;
    hub.post(SERVICES, &api_service("wardle.example.com", remote)).await.expect(201);
    condition(&hub, NAME, "Passed").await;
    hub
}

async fn call<B>(hub: &Hub, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let mut caller = hub.api.in_process(UserInfo::new("admin", ["system:masters"]));
    let answer = tokio::time::timeout(PATIENCE, caller.call(request)).await.expect("an answer in time");
    answer.expect("infallible")
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).body(Empty::new()).expect("a request")
}

/// Protocol: G1, F2
#[tokio::test]
async fn an_answer_keeps_its_seat_until_it_is_read() {
    let hub = registered(&Remote::start(wardle).await).await;
    let reading = async |count: usize| {
        let line = format!("apiserver_current_inflight_requests{{request_kind=\"readOnly\"}} {count}\n");
        let begun = Instant::now();
        while !hub.api.metrics().contains(&line) {
            assert!(begun.elapsed() < PATIENCE, "there are not {count} requests");
            tokio::task::yield_now().await;
        }
    };
    reading(0).await;
    let answer = call(&hub, get(FLUNDERS)).await;
    assert_eq!(answer.status().as_u16(), 200);
    reading(1).await;
    drop(answer);
    reading(0).await;
    // A stream has a place instead.
    let watch = call(&hub, get(&format!("{FLUNDERS}?watch=true"))).await;
    reading(0).await;
    drop(watch);
}

/// Protocol: G1
#[tokio::test]
async fn a_request_without_an_end_spoils_no_connection() {
    let hub = registered(&Remote::raw(head_reader).await).await;
    for _ in 0..3 {
        let (send, body) = Channel::<Bytes, Infallible>::new(1);
        let request = Request::post(FLUNDERS).header("content-type", "application/json").body(body);
        let answer = call(&hub, request.expect("a request")).await;
        assert_eq!(answer.into_body().collect().await.expect("an answer").to_bytes(), "{}");
        // Its body is still to come; others do not wait for it.
        hub.get(FLUNDERS).await.expect(200);
        drop(send);
    }
}

/// Protocol: G1
#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_here_too() {
    let hub = registered(&Remote::raw(head_reader).await).await;
    let mut body = call(&hub, get(&format!("{FLUNDERS}/broken"))).await.into_body();
    let first = body.frame().await.expect("a frame").expect("data");
    assert_eq!(first.into_data().expect("data"), "half");
    let end = tokio::time::timeout(PATIENCE, body.frame()).await.expect("in time");
    assert!(end.expect("an end that is none").is_err());
    assert!(body.frame().await.is_none());
}

/// A Service with endpoints, and its slice as a member's.
fn backed(port: u16) -> (Value, Value) {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api"},
        "spec": {"ports": [{"name": "https", "port": 443}]}});
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "api-1", "labels": {
            "kubernetes.io/service-name": "api", "fedgate.dev/cluster": "east"}},
        "endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"name": "https", "port": port}]});
    (service, slice)
}

/// Protocol: G1
#[tokio::test]
async fn slices_of_members_count_where_this_hub_has_put_their_service() {
    let builder = Api::builder().endpoints(AddressPolicy::AllowLoopback).mirrored("discovery.k8s.io", "endpointslices");
    let hub = Hub::with(builder.open(StoreConfig::Memory).await.expect("a store in memory")).await;
    let remote = Remote::start(wardle).await;
    let system = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}});
    let system = hub.post("/api/v1/namespaces", &system).await.expect(201);
    let (service, slice) = backed(remote.port);
    hub.post("/api/v1/namespaces/default/services", &service).await.expect(201);
    let ring = hub.api.resource_cache("discovery.k8s.io", "endpointslices");
    let mirrored = |of_hub: &Value| {
        let mut slice = slice.clone();
        slice["metadata"]["namespace"] = "default".into();
        slice["metadata"]["labels"]["fedgate.dev/hub"] = of_hub.clone();
        ring.put("default/api-1", slice.to_string().as_bytes(), 0);
    };
    mirrored(&json!("another"));
    let mut object = api_service("wardle.example.com", &remote);
    object["spec"]["service"]["port"] = json!(443);
    hub.post(SERVICES, &object).await.expect(201);
    condition(&hub, NAME, "EndpointsNotFound").await;
    mirrored(&system["metadata"]["uid"]);
    condition(&hub, NAME, "Passed").await;
    hub.get(FLUNDERS).await.expect(200);
    mirrored(&Value::Null);
    condition(&hub, NAME, "EndpointsNotFound").await;
}

/// Protocol: G1
#[tokio::test]
async fn no_endpoint_is_on_this_machine() {
    let hub = Hub::with(Api::builder().open(StoreConfig::Memory).await.expect("a store in memory")).await;
    let remote = Remote::start(wardle).await;
    let (service, mut slice) = backed(remote.port);
    slice["metadata"]["labels"] = json!({"kubernetes.io/service-name": "api"});
    hub.post("/api/v1/namespaces/default/services", &service).await.expect(201);
    hub.post(SLICES, &slice).await.expect(201);
    let mut object = api_service("wardle.example.com", &remote);
    object["spec"]["service"]["port"] = json!(443);
    hub.post(SERVICES, &object).await.expect(201);
    let refused = async || {
        let failed = condition(&hub, NAME, "FailedDiscoveryCheck").await;
        let message = failed["message"].as_str().expect("a message");
        assert!(message.ends_with("no endpoints available for service \"api\""), "{message}");
    };
    refused().await;
    // Nor where a name leads there.
    let services = "/api/v1/namespaces/default/services/api";
    hub.delete(services).await.expect(200);
    condition(&hub, NAME, "ServiceNotFound").await;
    expose(&hub, "api", 443).await;
    refused().await;
}
