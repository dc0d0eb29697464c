//! The API server of the hub: opened, given its first objects, listened on.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use auth::x509::{ClientCertificates, ServingCertificate, server_config};
use auth::{Anonymous, Authenticator, AuthenticatorChain, TokenFile};
use federation_api::{Api, PostStart, StoreConfig, mirror};
use federation_types::label;
use hub_client::error::chain;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Local, network, planes};
use crate::config::ServeConfig;
use crate::failure::Failure;
use crate::identity::Identity;
use crate::playground_dir::Dir;

/// Paths that anybody may ask, as kube-apiserver leaves them open.
const OPEN_PATHS: [&str; 6] = ["/livez", "/livez/*", "/readyz", "/readyz/*", "/healthz", "/version"];

/// Checks of `/readyz` that are done when the first objects are written; kube-apiserver's names.
const FIRST_OBJECTS: [&str; 5] = [
    "kube-apiserver-autoregistration",
    "priority-and-fairness-config-producer",
    "rbac/bootstrap-roles",
    "scheduling/bootstrap-system-priority-classes",
    "start-system-namespaces-controller",
];

/// Opens the store and composes the API; nothing listens yet.
///
/// # Errors
/// FG-UP-001 where the store is locked, FG-CLI where a file cannot be used.
pub(super) async fn open(config: &ServeConfig) -> Result<Local, Failure> {
    let identity = Identity::open(&config.data_dir, &config.api_names)?;
    let tls_secrets = Arc::new(ingress::NamedSecrets::new(config.ingress.default_certificate.clone()));
    let mut builder = Api::builder()
        .authorizer(tls_secrets.clone())
        .authenticators(authenticators(config, &identity)?)
        .authorization_modes(config.authorization_modes.clone())
        .components(auth::bootstrap::COMPONENTS.map(label::component_user))
        .service_range(network::handed_out())
        .endpoints(planes::address_policy(config))
        .service_accounts(service_account_key(config)?);
    let proxy = &identity.front_proxy;
    builder = builder
        .front_proxy(&proxy.certificate_pem, proxy.key_pem.expose())
        .map_err(|e| Failure::new("FG-HUB-003", "cannot set up aggregation").because(chain(&e)))?;
    // Port 0 is not known before something listens.
    if config.api_addr.port() != 0 {
        builder = builder.address(config.api_addr.to_string());
    }
    for mirrored in mirror::MIRRORED {
        builder = builder.mirrored(mirrored.group, mirrored.resource);
    }
    // The view only reads, so the API has it also where another process places.
    let view = planes::placement_view(config);
    builder = builder.placement(view.clone());
    if let Some(files) = &config.audit {
        builder = builder.audit(super::audit::open(files).await?);
    }
    let api = builder.open(StoreConfig::Redb(config.store.clone())).await.map_err(|e| {
        Failure::new("FG-UP-001", format!("cannot open {}", config.store.display()))
            .because(chain(&e))
            .fix(end_the_other(&config.data_dir))
    })?;
    Ok(Local { api, identity, view, tls_secrets })
}

/// How a directory gets free that another process has.
fn end_the_other(dir: &Path) -> String {
    let running = Dir::of_playground(Some(dir)).ok().filter(|dir| dir.pid().exists());
    let how = running.map_or(String::new(), |dir| format!(" (`fedgate down{}`)", dir.flag()));
    format!("end the other server{how}, or give another --data-dir")
}

/// Writes the first objects, starts the API's own controllers and listens; gives the bound address.
///
/// # Errors
/// FG-CLI-002 where the address cannot be listened on, FG-HUB-003 where the first objects cannot be written.
pub(super) async fn start(
    local: &Local,
    config: &ServeConfig,
    tasks: &mut JoinSet<Result<(), Failure>>,
    stop: &CancellationToken,
) -> Result<SocketAddr, Failure> {
    let at = config.api_addr;
    let listener = TcpListener::bind(at).await.map_err(|e| {
        Failure::local(format!("cannot listen on {at}"), e).fix("give another --api-addr, or end what listens there")
    })?;
    let bound = listener.local_addr().map_err(|e| Failure::local(format!("cannot listen on {at}"), e))?;
    let system = planes::system(local);
    let hooks = FIRST_OBJECTS.map(|name| local.api.post_start(name));
    let bootstrap = federation_api::controller::bootstrap::Bootstrap {
        hub: true,
        client_ca_pem: local.identity.authority.certificate_pem().to_owned(),
        front_proxy_ca_pem: local.identity.front_proxy_authority.certificate_pem().to_owned(),
        address: bound,
        service_cidr: network::handed_out().cidr().to_owned(),
    };
    federation_api::controller::bootstrap::ensure(&system, &bootstrap)
        .await
        .map_err(|e| Failure::new("FG-HUB-003", "cannot write the first objects").because(e))?;
    hooks.iter().for_each(PostStart::finished);
    let controllers = federation_api::controller::Controllers {
        system,
        collector: planes::component(local, "collector"),
        root_ca_pem: local.identity.authority.certificate_pem().into(),
        places: true,
    };
    let hold = stop.clone();
    tasks.spawn(async move {
        controllers.run(hold).await;
        Ok(())
    });
    let named = local.tls_secrets.clone().follow(planes::component(local, "ingress"), stop.clone());
    tasks.spawn(async move {
        named.await;
        Ok(())
    });
    let tls = server_config(serving(config, &local.identity)?);
    let tls = Arc::new(tls.map_err(|e| Failure::new("FG-HUB-003", "cannot set up TLS").because(e))?);
    let (api, ends) = (local.api.clone(), stop.clone().cancelled_owned());
    tasks.spawn(async move {
        federation_api::listen(api, listener, tls, ends).await;
        Ok(())
    });
    Ok(bound)
}

fn serving(config: &ServeConfig, identity: &Identity) -> Result<Arc<ServingCertificate>, Failure> {
    let Some((certificate, key)) = &config.tls_files else { return Ok(identity.serving.clone()) };
    let pair = ServingCertificate::from_pem(&read(certificate)?, &read(key)?);
    pair.map(Arc::new)
        .map_err(|e| Failure::new("FG-CLI-001", "--tls-cert-file and --tls-private-key-file are not a pair").because(e))
}

fn service_account_key(config: &ServeConfig) -> Result<auth::service_account::ServiceAccountKey, Failure> {
    let path = config.data_dir.join("pki").join("service-account.key");
    auth::service_account::ServiceAccountKey::open(&path)
        .map_err(|e| Failure::local(format!("cannot use {}", path.display()), e))
}

fn authenticators(config: &ServeConfig, identity: &Identity) -> Result<AuthenticatorChain, Failure> {
    let mut bundle = identity.authority.certificate_pem().to_owned();
    if let Some(path) = &config.client_ca_file {
        bundle.push('\n');
        bundle.push_str(&read(path)?);
    }
    let known = ClientCertificates::new(&bundle)
        .map_err(|e| Failure::new("FG-CLI-001", "--client-ca-file holds no usable certificate").because(e))?;
    let mut chain: Vec<Arc<dyn Authenticator>> = vec![Arc::new(known)];
    if let Some(path) = &config.token_auth_file {
        let tokens = TokenFile::parse(&read(path)?).map_err(|e| {
            Failure::new("FG-CLI-001", format!("--token-auth-file {} does not make sense", path.display())).because(e)
        })?;
        chain.push(Arc::new(tokens));
    }
    Ok(AuthenticatorChain::new(chain, Some(Anonymous::on_paths(OPEN_PATHS))))
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|e| Failure::local(format!("cannot read {}", path.display()), e))
}

#[cfg(test)]
mod tests {
    use super::end_the_other;

    #[test]
    fn only_a_playground_is_ended_by_down() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(end_the_other(dir.path()), "end the other server, or give another --data-dir");
        std::fs::write(dir.path().join("fedgate.pid"), "1").expect("written");
        let wanted =
            format!("end the other server (`fedgate down --dir {}`), or give another --data-dir", dir.path().display());
        assert_eq!(end_the_other(dir.path()), wanted);
    }
}
