//! Real client libraries: kube in the process and over TLS, with a token and with a client certificate.

use std::sync::Arc;

use async_trait::async_trait;
use auth::x509::{CertificateAuthority, ClientCertificates, ServingCertificate, ServingNames, server_config};
use auth::{Anonymous, AuthenticationError, AuthenticationRequest, Authenticator, AuthenticatorChain, UserInfo};
use federation_api::{Api, StoreConfig, listen};
use http::{Request, Uri};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::hub::{CONFIG_MAPS, Hub, PATIENCE, config_map};

struct OneToken;

#[async_trait]
impl Authenticator for OneToken {
    async fn authenticate(
        &self,
        request: &AuthenticationRequest<'_>,
    ) -> Result<Option<Arc<UserInfo>>, AuthenticationError> {
        let known = request.credential.bearer.as_ref().is_some_and(|token| token.expose() == "secret");
        Ok(known.then(|| Arc::new(UserInfo::new("admin", ["system:masters"]))))
    }
}

async fn round_trip(hub: &Client) {
    let made: Value = hub.request(post(CONFIG_MAPS, &config_map("a"))).await.expect("created");
    assert_eq!(made["metadata"]["name"], "a");
    let missing = hub.request::<Value>(get(&format!("{CONFIG_MAPS}/none"))).await.expect_err("missing");
    assert!(matches!(missing, kube::Error::Api(ref status) if status.code == 404), "{missing}");
}

fn post(path: &str, body: &Value) -> Request<Vec<u8>> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(body.to_string().into_bytes()).expect("a request")
}

fn get(path: &str) -> Request<Vec<u8>> {
    Request::get(path).body(Vec::new()).expect("a request")
}

#[tokio::test]
async fn kube_talks_to_the_service_in_the_process() {
    let hub = Hub::start().await;
    let admin = hub.api.in_process(UserInfo::new("admin", ["system:masters"]));
    round_trip(&Client::new(admin, "default")).await;
}

/// Protocol: AU1
#[tokio::test]
async fn sockets_authenticate_by_token_and_certificate() {
    let now = jiff::Timestamp::now();
    let authority = CertificateAuthority::generate("test", now).expect("an authority");
    let names = ServingNames { dns: vec![], addresses: vec!["127.0.0.1".parse().expect("an address")] };
    let hour = std::time::Duration::from_secs(3_600);
    let serving = authority.issue_serving(&names, hour, now).expect("a certificate");
    let serving = ServingCertificate::from_pem(&serving.certificate_pem, serving.key_pem.expose()).expect("a pair");
    let certificates = ClientCertificates::new(authority.certificate_pem()).expect("a bundle");
    let chain: Vec<Arc<dyn Authenticator>> = vec![Arc::new(certificates), Arc::new(OneToken)];
    let chain = AuthenticatorChain::new(chain, Some(Anonymous::everywhere()));
    let api = Api::builder().authenticators(chain).open(StoreConfig::Memory).await.expect("a store in memory");
    let hub = Hub::with(api.clone()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url: Uri = format!("https://{}", listener.local_addr().expect("an address")).parse().expect("a URL");
    let (stop, stopped) = oneshot::channel::<()>();
    let tls = Arc::new(server_config(Arc::new(serving)).expect("a TLS configuration"));
    let server = tokio::spawn(listen(api, listener, tls, async move {
        // Either way it is time to stop.
        drop(stopped.await);
    }));

    let config = |auth: kube::config::AuthInfo| {
        let mut config = kube::Config::new(url.clone());
        config.root_cert = Some(vec![authority.certificate().to_vec()]);
        config.auth_info = auth;
        Client::try_from(config).expect("a connection")
    };
    let token = json!({"token": "secret"});
    round_trip(&config(serde_json::from_value(token).expect("credentials"))).await;

    let own = authority.issue_client("carol", &["system:masters"], hour, now).expect("a certificate");
    let encoded = |pem: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem);
    let pair = json!({
        "client-certificate-data": encoded(&own.certificate_pem),
        "client-key-data": encoded(own.key_pem.expose()),
    });
    let carol = config(serde_json::from_value(pair).expect("credentials"));
    let review = post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({}));
    let me: Value = carol.request(review).await.expect("an answer");
    assert_eq!(me["status"]["userInfo"]["username"], "carol");

    let nobody = config(kube::config::AuthInfo::default());
    let denied = nobody.request::<Value>(get(CONFIG_MAPS)).await.expect_err("anonymous");
    assert!(matches!(denied, kube::Error::Api(ref status) if status.code == 403), "{denied}");
    let wrong = config(serde_json::from_value(json!({"token": "wrong"})).expect("credentials"));
    let denied = wrong.request::<Value>(get(CONFIG_MAPS)).await.expect_err("a bad token");
    assert!(matches!(denied, kube::Error::Api(ref status) if status.code == 401), "{denied}");

    drop((carol, nobody, wrong));
    drop(stop);
    tokio::time::timeout(PATIENCE + federation_api::listen::DRAIN_TIMEOUT, server)
        .await
        .expect("in time")
        .expect("no panic");
    assert_eq!(hub.get("/readyz").await.code.as_u16(), 500, "a server that stops is not ready");
}
