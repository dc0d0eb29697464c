//! TLS towards clients: certificates by SNI out of the route table, a self-signed one where none fits.
//!
//! Knows rustls; must not know HTTP.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::route::{RouteTable, parse_certificate};
use crate::snapshot::TlsSecret;

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the default certificate could not be made: {0}")]
    Made(#[from] rcgen::Error),
    #[error("the default certificate could not be read: {0}")]
    Read(#[from] crate::route::CertError),
    #[error("TLS could not be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// One configuration for all workers, so that a session resumes on whichever core the client comes back to.
///
/// # Errors
/// [`TlsError`]; it cannot depend on user input.
pub fn server_config(table: Arc<ArcSwap<RouteTable>>) -> Result<Arc<ServerConfig>, TlsError> {
    let made = rcgen::generate_simple_self_signed(["fedgate.invalid".to_owned()])?;
    let secret = TlsSecret {
        certificate: made.cert.pem().into_bytes(),
        private_key: made.signing_key.serialize_pem().into_bytes(),
    };
    let resolver = Resolver { table, default: Arc::new(parse_certificate(&secret)?) };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Stateless: rustls' own session store is one locked map.
    config.ticketer = ring::Ticketer::new()?;
    Ok(Arc::new(config))
}

struct Resolver {
    table: Arc<ArcSwap<RouteTable>>,
    default: Arc<CertifiedKey>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let named = hello.server_name().and_then(|name| table.certs().find(name));
        Some(named.unwrap_or(&self.default).clone())
    }
}
