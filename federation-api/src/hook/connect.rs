//! A TLS connection to whom a configuration names, verified as it says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tokio_util::task::AbortOnDropHandle;

use super::line::Line;
use super::unverified::AnyServer;
use super::{Destination, Trust, resolve};
use crate::body::BoxError;
use crate::server::Server;

/// How long one address may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Compiled configurations that are kept.
const MAX_CONFIGS: usize = 64;

/// One HTTP/1.1 connection; upstream speaks no HTTP/2 to webhooks either, so that they are balanced.
pub(super) type Sender = SendRequest<Outgoing>;
/// The body of a request that goes out.
pub(crate) type Outgoing = UnsyncBoxBody<Bytes, BoxError>;

/// Whom to trust and whether to say who we are, and the configuration that does it.
type Compiled = (Trust, bool, Arc<ClientConfig>);

/// TLS configurations by whom they trust.
#[derive(Debug, Default)]
pub(super) struct TlsCache {
    /// What tells servers that a request comes from here, where there is such a thing.
    identity: Option<Identity>,
    /// Guards the list; held for a search or one compilation.
    configs: Mutex<Vec<Compiled>>,
}

/// A client certificate with its chain and key.
#[derive(Debug)]
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads both from PEM.
    ///
    /// # Errors
    /// Where either cannot be read.
    pub(crate) fn from_pem(certificates: &str, key: &str) -> Result<Self, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect();
        let chain = chain.map_err(|error| error.to_string())?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| error.to_string())?;
        Ok(Self { chain, key })
    }
}

impl TlsCache {
    pub(super) fn new(identity: Option<Identity>) -> Self {
        Self { identity, configs: Mutex::default() }
    }

    /// Connects.
    ///
    /// # Errors
    /// The reason, as a text for people.
    pub(super) async fn connect(&self, server: &Server, to: &Destination) -> Result<Line, String> {
        let addresses = resolve::addresses(server, to).await?;
        let connector = TlsConnector::from(self.config(to)?);
        let name = ServerName::try_from(to.host.clone()).map_err(|error| error.to_string())?;
        let mut last = "no addresses".to_owned();
        for address in addresses {
            let stream = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    last = format!("dial tcp {address}: connect: {}", words(&error));
                    continue;
                }
                Err(_) => {
                    last = format!("dial tcp {address}: i/o timeout");
                    continue;
                }
            };
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection stays slow");
            }
            let stream = connector.connect(name.clone(), stream).await.map_err(|error| tls_words(&error))?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
            let moves = tokio::spawn(async move {
                if let Err(error) = connection.with_upgrades().await {
                    tracing::debug!(%error, "a connection to another server ended");
                }
            });
            return Ok(Line::new(sender, AbortOnDropHandle::new(moves)));
        }
        Err(last)
    }

    fn config(&self, to: &Destination) -> Result<Arc<ClientConfig>, String> {
        let mut configs = self.configs.lock();
        let known = configs.iter().find(|(trust, introduced, _)| *trust == to.trust && *introduced == to.introduced);
        if let Some((_, _, config)) = known {
            return Ok(Arc::clone(config));
        }
        let identity = self.identity.as_ref().filter(|_| to.introduced);
        let config = Arc::new(compile(&to.trust, identity)?);
        if configs.len() >= MAX_CONFIGS {
            configs.clear();
        }
        configs.push((to.trust.clone(), to.introduced, Arc::clone(&config)));
        Ok(config)
    }
}

fn compile(trust: &Trust, identity: Option<&Identity>) -> Result<ClientConfig, String> {
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match trust {
        Trust::Anybody => config.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider))),
        Trust::Authorities(pem) => config.with_root_certificates(roots(pem)?),
    };
    let mut config = match identity {
        Some(Identity { chain, key }) => {
            config.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(|error| error.to_string())?
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The authorities in a PEM text; the system's where it is empty.
fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if pem.is_empty() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    }
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("unable to load root certificates: {error}"))?;
        roots.add(certificate).map_err(|error| format!("unable to load root certificates: {error}"))?;
    }
    if roots.is_empty() {
        return Err("unable to load root certificates: unable to parse bytes as PEM block".to_owned());
    }
    Ok(roots)
}

fn words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        _ => error.to_string(),
    }
}

fn tls_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    let unknown = ["UnknownIssuer", "BadSignature", "CaUsedAsEndEntity"].iter().any(|why| text.contains(why));
    let why = if unknown { "x509: certificate signed by unknown authority".to_owned() } else { text };
    format!("tls: failed to verify certificate: {why}")
}
