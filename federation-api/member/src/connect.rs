//! From an address and credentials to a connection.
//!
//! The composition root may inject another [`Connector`], for example for tunnels; this one dials directly.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub_client::Caller;
use kube::client::ClientBuilder;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::address::{AddressError, AddressPolicy, check};
use crate::credentials::Credentials;

/// Longest wait for a member's socket to open.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a member is and how it lets the hub in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `https://host:port`.
    pub server: String,
    /// PEM certificates, empty for the system's roots.
    pub ca: String,
    pub credentials: Credentials,
}

/// Why no connection can be made from a target; nothing has been dialled yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("spec.caBundle holds no PEM certificate")]
    Ca,
    #[error("the connection cannot be set up: {0}")]
    Setup(String),
}

/// Makes connections; the direct one is [`Connector::direct`].
#[derive(Clone)]
pub struct Connector(Arc<Connect>);

type Connect = dyn Fn(&Target) -> Result<Caller, ConnectError> + Send + Sync;

impl Connector {
    /// A connector of one's own.
    pub fn new(connect: impl Fn(&Target) -> Result<Caller, ConnectError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(connect))
    }

    /// Dials the server itself.
    #[must_use]
    pub fn direct(policy: AddressPolicy) -> Self {
        Self::new(move |target| direct(target, policy))
    }

    /// A connection to `target`, dialled at its first request.
    ///
    /// # Errors
    /// [`ConnectError`] if the target cannot be right.
    pub fn connect(&self, target: &Target) -> Result<Caller, ConnectError> {
        (self.0)(target)
    }
}

fn direct(target: &Target, policy: AddressPolicy) -> Result<Caller, ConnectError> {
    let mut config = kube::Config::new(check(&target.server, policy)?);
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.default_retry = false;
    if !target.ca.is_empty() {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(target.ca.as_bytes()).collect();
        let certificates = certificates.ok().filter(|list| !list.is_empty()).ok_or(ConnectError::Ca)?;
        config.root_cert = Some(certificates.iter().map(|c| c.to_vec()).collect());
    }
    match &target.credentials {
        Credentials::Token(token) => config.auth_info.token = Some(token.clone().into()),
        Credentials::Certificate { chain, key } => {
            config.auth_info.client_certificate_data = Some(STANDARD.encode(chain));
            config.auth_info.client_key_data = Some(STANDARD.encode(key).into());
        }
    }
    let builder = ClientBuilder::try_from(config).map_err(|e| ConnectError::Setup(e.to_string()))?;
    Ok(Caller::new(builder.build()))
}
