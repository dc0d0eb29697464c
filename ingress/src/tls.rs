//! TLS towards clients: certificates by SNI out of the route table, a self-signed one where none fits.
//!
//! Knows rustls; must not know HTTP.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use auth::x509::AnyClientCertificate;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ServerConfig, SignatureAlgorithm};
use tokio_rustls::TlsAcceptor;

use crate::route::mutual::Mutual;
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

/// How handshakes are made: one configuration for all workers, so that a session resumes on whichever core the client
/// comes back to; and one for each set of rules about clients' certificates, so that it resumes nowhere else.
#[derive(Clone)]
pub struct Handshakes {
    pub usual: TlsAcceptor,
    resolver: Arc<Resolver>,
}

impl Handshakes {
    /// The configuration for hosts with these rules.
    ///
    /// # Errors
    /// [`TlsError`]; it cannot depend on what clients send.
    pub fn of(&self, rules: &Arc<Mutual>) -> Result<Arc<ServerConfig>, TlsError> {
        if !rules.asks() {
            return Ok(Arc::clone(self.usual.config()));
        }
        if let Some(known) = rules.handshakes.get() {
            return Ok(Arc::clone(known));
        }
        let made = config(Arc::clone(&self.resolver), Some(AnyClientCertificate::hinting(rules.hints())))?;
        Ok(Arc::clone(rules.handshakes.get_or_init(|| made)))
    }
}

/// # Errors
/// [`TlsError`]; it cannot depend on user input.
pub fn handshakes(table: Arc<ArcSwap<RouteTable>>) -> Result<Handshakes, TlsError> {
    let resolver = Arc::new(Resolver { table, made: Arc::new(parse_certificate(&made()?)?) });
    let usual = TlsAcceptor::from(config(Arc::clone(&resolver), None)?);
    Ok(Handshakes { usual, resolver })
}

/// The certificate of hosts that have none, and whose name says so, as that of ingress-nginx does.
fn made() -> Result<TlsSecret, rcgen::Error> {
    let mut params = CertificateParams::new(["fedgate.invalid".to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "fedgate");
    params.distinguished_name.push(DnType::CommonName, "fedgate Ingress Fake Certificate");
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(TlsSecret { certificate: certificate.pem().into_bytes(), private_key: key.serialize_pem().into_bytes() })
}

fn config(resolver: Arc<Resolver>, asked: Option<AnyClientCertificate>) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let builder = match asked {
        Some(asked) => builder.with_client_cert_verifier(Arc::new(asked)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(resolver);
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
