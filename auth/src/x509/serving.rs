//! The TLS server side: our certificate, and a handshake that asks for the client's without judging it.
//!
//! Must not decide who the client is: an unknown authority is a 401 for the request, not a broken connection.

use super::{AnyClientCertificate, X509Error};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::sync::Arc;

/// The certificate that a server shows; it can be replaced while connections are open.
pub struct ServingCertificate {
    current: ArcSwap<CertifiedKey>,
}

impl ServingCertificate {
    /// A certificate chain (leaf first) and its private key.
    ///
    /// # Errors
    /// [`X509Error`] when either text is malformed, or the key does not belong to the certificate.
    pub fn from_pem(chain_pem: &str, key_pem: &str) -> Result<Self, X509Error> {
        Ok(Self { current: ArcSwap::new(certified_key(chain_pem, key_pem)?) })
    }

    /// Shows another certificate to every client that connects from now on.
    ///
    /// # Errors
    /// As [`ServingCertificate::from_pem`]; the old certificate stays.
    pub fn reload(&self, chain_pem: &str, key_pem: &str) -> Result<(), X509Error> {
        self.current.store(certified_key(chain_pem, key_pem)?);
        Ok(())
    }
}

impl fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServingCertificate")
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1, and an optional client certificate.
///
/// # Errors
/// [`X509Error::Tls`] when the provider does not know the protocol versions.
pub fn server_config(certificate: Arc<ServingCertificate>) -> Result<ServerConfig, X509Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = AnyClientCertificate::hinting(Vec::new());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certified_key(chain_pem: &str, key_pem: &str) -> Result<Arc<CertifiedKey>, X509Error> {
    let malformed = |error: rustls_pki_types::pem::Error| X509Error::Pem(error.to_string());
    let chain =
        CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(malformed)?;
    if chain.is_empty() {
        return Err(X509Error::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(malformed)?;
    let provider: CryptoProvider = rustls::crypto::ring::default_provider();
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &provider)?))
}
