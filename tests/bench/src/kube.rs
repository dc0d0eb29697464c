//! The thinnest Kubernetes API caller: HTTP/2 over TLS with what a kubeconfig holds, bodies as bytes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where an API server is, and who we are to it.
#[derive(Clone)]
pub struct Server {
    address: SocketAddr,
    name: ServerName<'static>,
    authority: String,
    token: Option<String>,
    tls: Arc<ClientConfig>,
}

impl Server {
    /// Reads the first cluster and user of a self-contained kubeconfig whose server is an IP address.
    ///
    /// # Errors
    /// A field is missing or malformed.
    pub fn from_kubeconfig(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let config: Value = serde_saphyr::from_str(&text).with_context(|| format!("read {}", path.display()))?;
        let endpoint = &config["clusters"][0]["cluster"];
        let user = &config["users"][0]["user"];
        let authority = field(endpoint, "server")?.trim_start_matches("https://").trim_end_matches('/').to_owned();
        let address: SocketAddr = authority.parse().with_context(|| format!("server {authority}"))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&decoded(endpoint, "certificate-authority-data")?) {
            roots.add(certificate?)?;
        }
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut tls = if user["client-certificate-data"].is_null() {
            builder.with_no_client_auth()
        } else {
            let chain = CertificateDer::pem_slice_iter(&decoded(user, "client-certificate-data")?)
                .collect::<Result<Vec<_>, _>>()
                .context("client-certificate-data")?;
            let key = PrivateKeyDer::from_pem_slice(&decoded(user, "client-key-data")?).context("client-key-data")?;
            builder.with_client_auth_cert(chain, key)?
        };
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            address,
            name: ServerName::IpAddress(address.ip().into()),
            authority,
            token: user["token"].as_str().map(str::to_owned),
            tls: Arc::new(tls),
        })
    }

    /// Opens a connection of its own.
    ///
    /// # Errors
    /// No connection, no TLS, or no HTTP/2.
    pub async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.address).await.with_context(|| format!("connect {}", self.address))?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(self.tls.clone()).connect(self.name.clone(), stream).await?;
        ensure!(stream.get_ref().1.alpn_protocol() == Some(b"h2"), "{} speaks no HTTP/2", self.address);
        let (sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                eprintln!("connection: {error}");
            }
        });
        Ok(Connection { server: self.clone(), sender })
    }
}

/// One HTTP/2 connection.
pub struct Connection {
    server: Server,
    sender: SendRequest<Full<Bytes>>,
}

/// A request: method, path with query, content type and body.
pub struct Call<'a> {
    pub method: Method,
    pub path: &'a str,
    pub content_type: &'a str,
    pub body: Bytes,
}

impl<'a> Call<'a> {
    pub fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, content_type: "application/json", body: Bytes::new() }
    }
}

impl Connection {
    /// Sends and returns the answer with its body still to come.
    ///
    /// # Errors
    /// The connection broke, or the answer is no success.
    pub async fn open(&mut self, call: Call<'_>) -> Result<Response<Incoming>> {
        let line = format!("{} {}", call.method, call.path);
        let mut request = Request::builder()
            .method(call.method)
            .uri(format!("https://{}{}", self.server.authority, call.path))
            .header("accept", "application/json")
            .header("content-type", call.content_type);
        if let Some(token) = &self.server.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.sender.ready().await?;
        let answer = self.sender.send_request(request.body(Full::new(call.body))?).await?;
        let status = answer.status();
        if !status.is_success() {
            let body = answer.into_body().collect().await?.to_bytes();
            bail!("{line}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(answer)
    }

    /// Sends and reads the whole answer; returns its length in bytes.
    ///
    /// # Errors
    /// As `open`, or the body was cut short.
    pub async fn exchange(&mut self, call: Call<'_>) -> Result<usize> {
        Ok(self.exchange_head(call, 0).await?.1)
    }

    /// As `exchange`; returns the first bytes of the answer too, `head` at most.
    ///
    /// # Errors
    /// As `exchange`.
    pub async fn exchange_head(&mut self, call: Call<'_>, head: usize) -> Result<(Vec<u8>, usize)> {
        let mut body = self.open(call).await?.into_body();
        let (mut first, mut length) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame?;
            let Some(chunk) = frame.data_ref() else { continue };
            length += chunk.len();
            first.extend_from_slice(&chunk[..chunk.len().min(head - first.len())]);
        }
        Ok((first, length))
    }
}

fn field<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value[name].as_str().with_context(|| format!("the kubeconfig has no {name}"))
}

fn decoded(value: &Value, name: &str) -> Result<Vec<u8>> {
    STANDARD.decode(field(value, name)?).with_context(|| format!("{name} is no base64"))
}
