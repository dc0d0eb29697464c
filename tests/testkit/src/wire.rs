//! Requests to the hub's API in any form, right or wrong, over real TLS.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use kube::client::{Body, ClientBuilder};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;

/// A connection with or without an identity.
#[derive(Clone)]
pub struct Wire {
    connection: kube::Client,
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Reply {
    pub code: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Wire {
    /// Over an existing connection.
    #[must_use]
    pub fn new(connection: kube::Client) -> Self {
        Self { connection }
    }

    /// A connection that shows nothing of who it is.
    ///
    /// # Panics
    /// Where address or authority are none.
    #[must_use]
    pub fn anonymous(address: &str, authority_pem: &str) -> Self {
        let mut config = kube::Config::new(format!("https://{address}").parse().expect("an address"));
        let authority: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(authority_pem.as_bytes()).collect();
        config.root_cert = Some(authority.expect("certificates").iter().map(|c| c.to_vec()).collect());
        config.default_retry = false;
        Self { connection: ClientBuilder::try_from(config).expect("a connection").build() }
    }

    /// Sends a request as it is.
    ///
    /// # Panics
    /// Where there is no answer.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body: Bytes = body.into();
        let request = request.body(Body::from(body.to_vec())).expect("a request that can be sent");
        let answer = self.connection.send(request).await.unwrap_or_else(|e| panic!("{path}: no answer: {e:?}"));
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap_or_else(|e| panic!("{path}: the answer ends: {e:?}")).to_bytes();
        Reply { code: head.status.as_u16(), headers: head.headers, body }
    }

    /// GET.
    ///
    /// # Panics
    /// As [`Self::send`].
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], "").await
    }

    /// POST of JSON text.
    ///
    /// # Panics
    /// As [`Self::send`].
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(Method::POST, path, &[("content-type", "application/json")], body).await
    }
}

impl Reply {
    /// The body.
    ///
    /// # Panics
    /// Where it is no JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{}: no JSON: {e}: {:?}", self.code, String::from_utf8_lossy(&self.body)))
    }

    /// The texts of all `Warning` headers.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let texts = self.headers.get_all("warning").iter();
        texts.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    }

    /// Reason and message of a Status with this code.
    ///
    /// # Panics
    /// Where it is anything else.
    pub fn refused(&self, code: u16, what: &str) -> (String, String) {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(500)]);
        assert_eq!(self.code, code, "{what}: {text}");
        let status = self.json();
        assert_eq!((&status["kind"], &status["status"]), (&"Status".into(), &"Failure".into()), "{what}: {text}");
        assert_eq!(status["code"], code, "{what}: {text}");
        let said = |key: &str| status[key].as_str().unwrap_or_else(|| panic!("{what}: no {key}: {text}")).to_owned();
        (said("reason"), said("message"))
    }
}
