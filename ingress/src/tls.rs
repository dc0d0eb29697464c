//! TLS towards clients: certificates by SNI out of the route table, a self-signed one where none fits.
//!
//! Knows rustls; must not know HTTP.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ServerConfig, SignatureAlgorithm};

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
    let resolver = Resolver { table, made: Arc::new(parse_certificate(&secret)?) };
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
    /// For as long as nothing else is configured.
    made: Arc<CertifiedKey>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// Whether the client can verify a signature of this key, and TLS 1.2 has a suite for it where 1.3 is not spoken.
fn usable(hello: &ClientHello<'_>, certificate: &CertifiedKey) -> bool {
    let signs = certificate.key.choose_scheme(hello.signature_schemes()).is_some();
    let suits = |suite: &CipherSuite| {
        let name = suite.as_str().unwrap_or("");
        let kind =
            if certificate.key.algorithm() == SignatureAlgorithm::RSA { "TLS_ECDHE_RSA_" } else { "TLS_ECDHE_ECDSA_" };
        name.starts_with("TLS13_") || name.starts_with(kind)
    };
    signs && hello.cipher_suites().iter().any(suits)
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let found = table.certs().choose(hello.server_name(), |certificate| usable(&hello, certificate));
        Some(found.unwrap_or(&self.made).clone())
    }
}
