//! Aggregated API servers that lie, hang and flood: their own group version fails, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use auth::x509::{
    CertificateAuthority, ClientCertificates, IssuedCertificate, ServingCertificate, ServingNames, server_config,
};
use auth::{AuthenticatorChain, PRIVILEGED_GROUP};
use bytes::Bytes;
use federation_api::{Api, StoreConfig};
use futures_util::StreamExt as _;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use member_cluster::AddressPolicy;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::aggregation::{Heard, Remote, answer, api_service, condition, expose, json_answer, until, wardle};
use crate::hub::{Hub, PATIENCE};

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const NAME: &str = "v1.wardle.example.com";
const GROUP_VERSION: &str = "/apis/wardle.example.com/v1";
const FLUNDERS: &str = "/apis/wardle.example.com/v1/namespaces/default/flunders";
const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

async fn started(behaviour: impl Fn(&Heard) -> Response<Body> + Send + Sync + 'static) -> (Hub, Remote) {
    let hub = Hub::start().await;
    let remote = Remote::start(behaviour).await;
    expose(&hub, "api", remote.port).await;
    hub.post(SERVICES, &api_service("wardle.example.com", &remote)).await.expect(201);
    (hub, remote)
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// A body without an end.
fn flood() -> Response<Body> {
    let frames = futures_util::stream::repeat(Bytes::from(vec![b' '; 64 * 1024])).map(|bytes| Ok(Frame::data(bytes)));
    let response = Response::builder().header(header::CONTENT_TYPE, V2);
    response.body(StreamBody::new(frames).boxed_unsync()).expect("a response")
}

/// Protocol: G1
#[tokio::test]
async fn redirects_and_upgrades_that_nobody_asked_for_end_here() {
    let (hub, _remote) = started(|heard| {
        let mut lie = match heard.target.as_str() {
            FLUNDERS => answer(302, "text/plain", "elsewhere"),
            "/apis/wardle.example.com/v1/unasked" => answer(101, "text/plain", ""),
            _ => return wardle(heard),
        };
        lie.headers_mut().insert(header::LOCATION, "https://169.254.169.254/".parse().expect("a value"));
        lie.headers_mut().insert(header::UPGRADE, "evil".parse().expect("a value"));
        lie
    })
    .await;
    condition(&hub, NAME, "Passed").await;
    let redirected = hub.get(FLUNDERS).await;
    assert_eq!(redirected.code, 502);
    assert_eq!(&redirected.body[..], b"the backend attempted to redirect this request, which is not permitted\n");
    assert!(!redirected.headers.contains_key("location"));
    assert_eq!(hub.get("/apis/wardle.example.com/v1/unasked").await.code, 503);
}

/// Protocol: G1
#[tokio::test]
async fn discovery_is_no_way_in() {
    for lie in [
        |_: &Heard| flood(),
        |_: &Heard| answer(200, V2, "{\"items\": ["),
        |_: &Heard| answer(200, V2, "[".repeat(100_000)),
        |_: &Heard| json_answer(200, &json!({"kind": "Secret"})),
        |_: &Heard| answer(500, "text/plain", "no"),
    ] {
        let (hub, _remote) = started(move |heard| match heard.target.as_str() {
            "/apis" | "/openapi/v3" => lie(heard),
            GROUP_VERSION if heard.headers[header::ACCEPT] == "application/json" => {
                let probe = heard.headers[header::USER_AGENT] == "kube-aggregator";
                if probe { json_answer(200, &json!({"kind": "Nothing"})) } else { wardle(heard) }
            }
            _ => wardle(heard),
        })
        .await;
        // It answers, so it is available; what it says of itself is not believed.
        condition(&hub, NAME, "Passed").await;
        let of = |apis: &serde_json::Value| {
            let items = apis["items"].as_array().cloned().unwrap_or_default();
            items.into_iter().find(|item| item["metadata"]["name"] == "wardle.example.com")
        };
        let apis = until(&hub, "/apis", V2, |apis| of(apis).is_some()).await;
        let version = of(&apis).expect("the group")["versions"][0].clone();
        assert_eq!((&version["freshness"], &version["resources"]), (&json!("Stale"), &json!([])));
        hub.get(FLUNDERS).await.expect(200);
    }
}

/// Protocol: G1
#[tokio::test]
async fn a_server_that_cannot_prove_itself_is_not_asked() {
    let hub = Hub::start().await;
    let (remote, other) = (Remote::start(wardle).await, Remote::start(wardle).await);
    expose(&hub, "api", remote.port).await;
    let mut object = api_service("wardle.example.com", &remote);
    object["spec"]["caBundle"] = other.bundle().into();
    hub.post(SERVICES, &object).await.expect(201);
    let failed = condition(&hub, NAME, "FailedDiscoveryCheck").await;
    let message = failed["message"].as_str().expect("a message");
    let start =
        format!("failing or missing response from https://api.default.svc:{}{GROUP_VERSION}: Get ", remote.port);
    assert!(message.starts_with(&start), "{message}");
    assert!(
        message.ends_with("tls: failed to verify certificate: x509: certificate signed by unknown authority"),
        "{message}"
    );
    assert!(remote.heard(GROUP_VERSION).is_empty());
    // Unless nobody wants a proof.
    let patch = json!({"spec": {"caBundle": null, "insecureSkipTLSVerify": true}});
    hub.patch(&format!("{SERVICES}/{NAME}"), "merge-patch+json", &patch).await.expect(200);
    condition(&hub, NAME, "Passed").await;
    let rubbish = json!({"spec": {"caBundle": "bm8gUEVN", "insecureSkipTLSVerify": false}});
    hub.patch(&format!("{SERVICES}/{NAME}"), "merge-patch+json", &rubbish).await.expect(200);
    let failed = condition(&hub, NAME, "FailedDiscoveryCheck").await;
    assert!(failed["message"].as_str().expect("a message").contains("unable to load root certificates"));
}

/// Protocol: G1
#[tokio::test]
async fn a_server_that_turns_bad_is_told_from_one_that_is_well() {
    let bad = Arc::new(AtomicBool::new(false));
    let state = bad.clone();
    let (hub, remote) = started(move |heard| match state.load(Ordering::Relaxed) {
        true => answer(500, "text/plain", "no"),
        false => wardle(heard),
    })
    .await;
    condition(&hub, NAME, "Passed").await;
    bad.store(true, Ordering::Relaxed);
    // A change of its endpoints has it asked again at once.
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    let service = "/api/v1/namespaces/default/services/api";
    hub.patch(service, "merge-patch+json", &patch).await.expect(200);
    let failed = condition(&hub, NAME, "FailedDiscoveryCheck").await;
    let url = format!("https://api.default.svc:{}{GROUP_VERSION}", remote.port);
    let want = format!("failing or missing response from {url}: bad status from {url}: 500");
    assert_eq!(failed["message"], want);
    bad.store(false, Ordering::Relaxed);
    condition(&hub, NAME, "Passed").await;
}

/// Protocol: G1
#[tokio::test]
async fn a_server_that_hangs_delays_no_other() {
    let (hub, _remote) = started(wardle).await;
    condition(&hub, NAME, "Passed").await;
    // Takes connections and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "silent"},
        "spec": {"type": "ExternalName", "externalName": "localhost"}});
    hub.post("/api/v1/namespaces/default/services", &service).await.expect(201);
    let object = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.silent.example.com"},
        "spec": {"group": "silent.example.com", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
            "insecureSkipTLSVerify": true, "service": {"namespace": "default", "name": "silent", "port": port}}});
    hub.post(SERVICES, &object).await.expect(201);
    // One that is registered behind it does not wait for it.
    let third = Remote::start(wardle).await;
    let mut object = api_service("wardle.example.com", &third);
    object["metadata"]["name"] = json!("v2.wardle.example.com");
    object["spec"]["version"] = json!("v2");
    object["spec"]["service"]["port"] = json!(third.port);
    hub.post(SERVICES, &object).await.expect(201);
    let begun = std::time::Instant::now();
    condition(&hub, "v2.wardle.example.com", "FailedDiscoveryCheck").await;
    assert!(begun.elapsed() < Duration::from_secs(4), "it has waited for the one that hangs");
    hub.get(FLUNDERS).await.expect(200);
    let late = condition(&hub, "v1.silent.example.com", "FailedDiscoveryCheck").await;
    let message = late["message"].as_str().expect("a message");
    assert!(
        message.ends_with("context deadline exceeded (Client.Timeout exceeded while awaiting headers)"),
        "{message}"
    );
}

/// TLS as somebody with that certificate.
fn as_client(authority: &CertificateAuthority, issued: &IssuedCertificate) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).expect("an authority");
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.expose().as_bytes()).expect("a key");
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
    builder.with_client_auth_cert(chain, key).expect("a pair")
}

/// Protocol: G1, SR3
#[tokio::test]
async fn an_upgrade_that_was_asked_for_becomes_a_tunnel() {
    let now = jiff::Timestamp::now();
    let authority = CertificateAuthority::generate("hub", now).expect("an authority");
    let hour = Duration::from_secs(3600);
    let names = ServingNames { dns: vec!["localhost".to_owned()], addresses: Vec::new() };
    let issued = authority.issue_serving(&names, hour, now).expect("a certificate");
    let pair = ServingCertificate::from_pem(&issued.certificate_pem, issued.key_pem.expose()).expect("a pair");
    let known = ClientCertificates::new(authority.certificate_pem()).expect("an authority");
    let chain = AuthenticatorChain::new(vec![Arc::new(known)], None);
    let builder = Api::builder().authenticators(chain).endpoints(AddressPolicy::AllowLoopback);
    let api = builder.open(StoreConfig::Memory).await.expect("a store in memory");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let tls = Arc::new(server_config(Arc::new(pair)).expect("a configuration"));
    tokio::spawn(federation_api::listen(api.clone(), listener, tls, std::future::pending()));
    let hub = Hub::with(api).await;
    let remote = Remote::start(|heard| {
        if !heard.target.ends_with("/echo") {
            return wardle(heard);
        }
        let mut switched = answer(101, "text/plain", "");
        switched.headers_mut().insert(header::CONNECTION, "Upgrade".parse().expect("a value"));
        switched.headers_mut().insert(header::UPGRADE, heard.headers[header::UPGRADE].clone());
        assert_eq!((heard.headers["x-remote-user"].as_bytes(), heard.method.as_str()), (&b"jane"[..], "GET"));
        switched
    })
    .await;
    expose(&hub, "api", remote.port).await;
    hub.post(SERVICES, &api_service("wardle.example.com", &remote)).await.expect(201);
    condition(&hub, NAME, "Passed").await;

    let jane = authority.issue_client("jane", &[PRIVILEGED_GROUP], hour, now).expect("a certificate");
    let config = as_client(&authority, &jane);
    let stream = TcpStream::connect(address).await.expect("a connection");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = "localhost".try_into().expect("a name");
    let mut stream = connector.connect(name, stream).await.expect("TLS");
    let request = format!(
        "GET {FLUNDERS}/x/echo HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("in time").expect("a byte"));
    }
    let head = String::from_utf8(head).expect("text");
    assert!(head.starts_with(&format!("HTTP/1.1 {}", StatusCode::SWITCHING_PROTOCOLS.as_u16())), "{head}");
    stream.write_all(b"through").await.expect("sent");
    let mut echoed = [0; 7];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut echoed)).await.expect("in time").expect("echoed");
    assert_eq!(&echoed, b"through");
}
