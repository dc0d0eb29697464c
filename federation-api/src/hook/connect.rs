//! A TLS connection to whom a configuration names, verified with the authorities that it brings.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::{Destination, resolve};
use crate::server::Server;

/// How long one address may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Compiled configurations that are kept.
const MAX_CONFIGS: usize = 64;

/// One HTTP/1.1 connection; upstream speaks no HTTP/2 to webhooks either, so that they are balanced.
pub(super) type Sender = SendRequest<Full<Bytes>>;

/// Authorities, and the configuration that trusts them.
type Compiled = (Arc<[u8]>, Arc<ClientConfig>);

/// TLS configurations by the authorities they trust.
#[derive(Debug, Default)]
pub(super) struct TlsCache {
    /// Guards the list; held for a search or one compilation.
    configs: Mutex<Vec<Compiled>>,
}

impl TlsCache {
    /// Connects.
    ///
    /// # Errors
    /// The reason, as a text for people.
    pub(super) async fn connect(&self, server: &Server, to: &Destination) -> Result<Sender, String> {
        let addresses = resolve::addresses(server, to).await?;
        let connector = TlsConnector::from(self.config(&to.ca_pem)?);
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
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to a webhook ended");
                }
            });
            return Ok(sender);
        }
        Err(last)
    }

    fn config(&self, ca_pem: &Arc<[u8]>) -> Result<Arc<ClientConfig>, String> {
        let mut configs = self.configs.lock();
        if let Some((_, config)) = configs.iter().find(|(own, _)| own == ca_pem) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(compile(ca_pem)?);
        if configs.len() >= MAX_CONFIGS {
            configs.clear();
        }
        configs.push((Arc::clone(ca_pem), Arc::clone(&config)));
        Ok(config)
    }
}

fn compile(ca_pem: &[u8]) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    if ca_pem.is_empty() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    } else {
        for certificate in CertificateDer::pem_slice_iter(ca_pem) {
            let certificate = certificate.map_err(|error| format!("unable to load root certificates: {error}"))?;
            roots.add(certificate).map_err(|error| format!("unable to load root certificates: {error}"))?;
        }
        if roots.is_empty() {
            return Err("unable to load root certificates: unable to parse bytes as PEM block".to_owned());
        }
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
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
