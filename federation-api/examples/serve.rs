//! A throw-away API server on loopback, for trying clients: prints its URL and a token, stops at Ctrl-C.

use std::sync::Arc;

use async_trait::async_trait;
use auth::x509::{CertificateAuthority, ServingCertificate, ServingNames, server_config};
use auth::{AuthenticationError, AuthenticationRequest, Authenticator, AuthenticatorChain, UserInfo};
use federation_api::{Api, StoreConfig, listen};

const TOKEN: &str = "admin-token";

struct OneToken;

#[async_trait]
impl Authenticator for OneToken {
    async fn authenticate(
        &self,
        request: &AuthenticationRequest<'_>,
    ) -> Result<Option<Arc<UserInfo>>, AuthenticationError> {
        let known = request.credential.bearer.as_ref().is_some_and(|token| token.expose() == TOKEN);
        Ok(known.then(|| Arc::new(UserInfo::new("admin", ["system:masters"]))))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "0".to_owned());
    let now = jiff::Timestamp::now();
    let authority = CertificateAuthority::generate("example", now)?;
    let names = ServingNames { dns: vec!["localhost".to_owned()], addresses: vec!["127.0.0.1".parse()?] };
    let day = std::time::Duration::from_secs(86_400);
    let serving = authority.issue_serving(&names, day, now)?;
    let certificate = ServingCertificate::from_pem(&serving.certificate_pem, serving.key_pem.expose())?;
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let store = std::env::args().nth(2).map_or(StoreConfig::Memory, |path| StoreConfig::Redb(path.into()));
    let api =
        Api::builder().authenticators(AuthenticatorChain::new(vec![Arc::new(OneToken)], None)).open(store).await?;
    println!("kubectl --server https://{} --token {TOKEN} --insecure-skip-tls-verify", listener.local_addr()?);
    let stop = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("cannot wait for Ctrl-C: {error}");
        }
    };
    listen(api, listener, Arc::new(server_config(Arc::new(certificate))?), stop).await;
    Ok(())
}
