//! One connection with an identity: the verbs of the API over untyped objects.
//!
//! Knows paths, verbs and Status; no kinds, no retries (the driver's), no caches (the reflection's).

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use federation_types::Gvr;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::error::{ApiError, chain};

/// Longest wait for an answer that is not a watch; kube-apiserver itself ends requests after 60 s.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer that is read into memory: a page of a list stays far below it.
pub const ANSWER_MAX: usize = 256 << 20;
/// Objects a page of a list.
pub const PAGE: usize = 500;

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// A connection to a Kubernetes-compatible API; cheap to clone.
#[derive(Clone)]
pub struct Caller {
    api: kube::Client,
    impersonate: Option<Arc<[(http::HeaderName, HeaderValue)]>>,
    /// Where it is, for what is said when there is no answer.
    address: Option<Arc<str>>,
}

/// Which objects a list or watch covers; `None` and empty mean no restriction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    pub gvr: Gvr,
    pub namespace: Option<String>,
    pub labels: String,
    pub fields: String,
}

/// A complete list, taken at one revision.
#[derive(Debug, Clone)]
pub struct Listed {
    pub items: Vec<Value>,
    pub revision: String,
}

/// How a write is made.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions<'a> {
    pub subresource: &'a str,
    pub field_manager: &'a str,
    pub force: bool,
    pub dry_run: bool,
}

/// How a delete is made; empty preconditions are not sent.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions<'a> {
    pub uid: &'a str,
    pub resource_version: &'a str,
    /// `Background`, `Foreground`, `Orphan`, or empty for the kind's default.
    pub propagation: &'a str,
    /// Seconds that a pod gets to end; `None` for its own default.
    pub grace: Option<u32>,
}

impl Collection {
    /// All objects of a resource in all namespaces.
    #[must_use]
    pub fn all(gvr: Gvr) -> Self {
        Self { gvr, namespace: None, labels: String::new(), fields: String::new() }
    }

    /// Only objects with these labels.
    #[must_use]
    pub fn labelled(mut self, selector: impl Into<String>) -> Self {
        self.labels = selector.into();
        self
    }

    /// Only objects with these fields.
    #[must_use]
    pub fn with_fields(mut self, selector: impl Into<String>) -> Self {
        self.fields = selector.into();
        self
    }

    /// Only objects of one namespace.
    #[must_use]
    pub fn within(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        if !self.labels.is_empty() {
            query.push(("labelSelector", self.labels.clone()));
        }
        if !self.fields.is_empty() {
            query.push(("fieldSelector", self.fields.clone()));
        }
        query
    }
}

impl Caller {
    /// A caller over an existing connection.
    #[must_use]
    pub fn new(api: kube::Client) -> Self {
        Self { api, impersonate: None, address: None }
    }

    /// The same, which says where it is when there is no answer.
    #[must_use]
    pub fn at(self, address: &str) -> Self {
        Self { address: Some(address.into()), ..self }
    }

    /// The connection itself, for tunnels and raw requests.
    #[must_use]
    pub fn connection(&self) -> &kube::Client {
        &self.api
    }

    /// The same connection, every request made in the name of `user` (and `groups`).
    ///
    /// # Errors
    /// [`ApiError::Protocol`] if a name cannot be a header value.
    pub fn acting_as(&self, user: &str, groups: &[&str]) -> Result<Self, ApiError> {
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| ApiError::Protocol(format!("cannot impersonate {text:?}")))
        };
        let mut headers = vec![(http::HeaderName::from_static("impersonate-user"), value(user)?)];
        for group in groups {
            headers.push((http::HeaderName::from_static("impersonate-group"), value(group)?));
        }
        Ok(Self { impersonate: Some(headers.into()), ..self.clone() })
    }

    /// One object, `None` where it is not there.
    ///
    /// # Errors
    /// Everything but a 404.
    pub async fn get(&self, gvr: &Gvr, namespace: &str, name: &str) -> Result<Option<Value>, ApiError> {
        found(self.json(Method::GET, &item(gvr, namespace, name, ""), None).await)
    }

    /// All objects of a collection at one revision, read in pages.
    ///
    /// # Errors
    /// The first page that fails; a list that expires half-way is started anew once.
    pub async fn list(&self, of: &Collection) -> Result<Listed, ApiError> {
        match self.list_pages(of).await {
            Err(e) if e.is_expired() => self.list_pages(of).await,
            other => other,
        }
    }

    async fn list_pages(&self, of: &Collection) -> Result<Listed, ApiError> {
        let base = of.gvr.path(of.namespace.as_deref());
        let mut items = Vec::new();
        let mut next = String::new();
        loop {
            let mut query = of.query();
            query.push(("limit", PAGE.to_string()));
            if !next.is_empty() {
                query.push(("continue", next));
            }
            let mut page = self.json(Method::GET, &with_query(&base, &query), None).await?;
            let meta = |key: &str| page["metadata"][key].as_str().unwrap_or_default().to_owned();
            let (revision, more) = (meta("resourceVersion"), meta("continue"));
            match page.get_mut("items").map(Value::take) {
                Some(Value::Array(list)) => items.extend(list),
                Some(Value::Null) => {}
                _ => return Err(ApiError::Protocol(format!("{base} answered with no list"))),
            }
            if more.is_empty() {
                return Ok(Listed { items, revision });
            }
            next = more;
        }
    }

    /// Creates an object.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn create(&self, gvr: &Gvr, namespace: &str, object: &Value) -> Result<Value, ApiError> {
        let path = gvr.path(Some(namespace));
        self.json(Method::POST, &path, Some(("application/json", encode(object)?))).await
    }

    /// Replaces an object, or the subresource that `how` names.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn replace(&self, gvr: &Gvr, object: &Value, how: &WriteOptions<'_>) -> Result<Value, ApiError> {
        use federation_types::text;
        let path = item(gvr, text::namespace(object), text::name(object), how.subresource);
        let path = with_query(&path, &how.query());
        self.json(Method::PUT, &path, Some(("application/json", encode(object)?))).await
    }

    /// Server-side apply of `object` under `how.field_manager`.
    ///
    /// # Errors
    /// As the API answers; 409 names the fields that others own.
    pub async fn apply(&self, gvr: &Gvr, object: &Value, how: &WriteOptions<'_>) -> Result<Value, ApiError> {
        use federation_types::text;
        let path = item(gvr, text::namespace(object), text::name(object), how.subresource);
        let path = with_query(&path, &how.query());
        self.json(Method::PATCH, &path, Some(("application/apply-patch+yaml", encode(object)?))).await
    }

    /// Merge patch (RFC 7386) of an object, or of the subresource that `how` names.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn merge_patch(&self, at: At<'_>, patch: &Value, how: &WriteOptions<'_>) -> Result<Value, ApiError> {
        let path = with_query(&item(at.gvr, at.namespace, at.name, how.subresource), &how.query());
        self.json(Method::PATCH, &path, Some(("application/merge-patch+json", encode(patch)?))).await
    }

    /// Deletes an object; `None` where it was not there.
    ///
    /// # Errors
    /// As the API answers; 409 where a precondition does not hold.
    pub async fn delete(&self, at: At<'_>, how: &DeleteOptions<'_>) -> Result<Option<Value>, ApiError> {
        let mut body = serde_json::json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        for (key, value) in [("uid", how.uid), ("resourceVersion", how.resource_version)] {
            if !value.is_empty() {
                body["preconditions"][key] = value.into();
            }
        }
        if !how.propagation.is_empty() {
            body["propagationPolicy"] = how.propagation.into();
        }
        if let Some(grace) = how.grace {
            body["gracePeriodSeconds"] = grace.into();
        }
        let path = item(at.gvr, at.namespace, at.name, "");
        found(self.json(Method::DELETE, &path, Some(("application/json", encode(&body)?))).await)
    }

    /// POSTs to a path (reviews, subresources) and reads the answer.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn post(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        self.json(Method::POST, path, Some(("application/json", encode(object)?))).await
    }

    /// GETs a path (`/version`, `/readyz`, `/apis`) as JSON; text answers come as a JSON string.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn get_path(&self, path: &str) -> Result<Value, ApiError> {
        self.json(Method::GET, path, None).await
    }

    async fn json(&self, method: Method, path: &str, body: Option<(&str, Vec<u8>)>) -> Result<Value, ApiError> {
        let request = self.request(method, path, body)?;
        let exchange = async {
            let answer = self.send(request).await?;
            let status = answer.status();
            let bytes = collect(answer.into_body()).await?;
            Ok((status, bytes))
        };
        let (status, bytes) = tokio::time::timeout(REQUEST_TIMEOUT, exchange)
            .await
            .map_err(|_| self.silent(&format!("no answer within {} s", REQUEST_TIMEOUT.as_secs())))??;
        let parsed = serde_json::from_slice::<Value>(&bytes);
        if !status.is_success() {
            let text = String::from_utf8_lossy(&bytes);
            return Err(ApiError::from_status(status.as_u16(), &parsed.unwrap_or(Value::Null), &text));
        }
        parsed.or_else(|_| Ok(Value::String(String::from_utf8_lossy(&bytes).into_owned())))
    }

    /// Builds a request with this caller's identity.
    ///
    /// # Errors
    /// [`ApiError::Protocol`] if the path is no URI.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Request<Body>, ApiError> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in self.impersonate.iter().flat_map(|headers| headers.iter()) {
            request = request.header(name, value);
        }
        request = request.header(http::header::ACCEPT, "application/json");
        let body = match body {
            Some((content_type, bytes)) => {
                request = request.header(http::header::CONTENT_TYPE, content_type);
                Body::from(bytes)
            }
            None => Body::empty(),
        };
        request.body(body).map_err(|e| ApiError::Protocol(format!("{path}: {e}")))
    }

    /// Sends a request and gives the answer with its body unread.
    ///
    /// # Errors
    /// [`ApiError::Transport`] if there is no answer.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, ApiError> {
        self.api.send(request).await.map_err(|e| self.silent(&chain(&e)))
    }

    /// That there was no answer, and from where.
    fn silent(&self, why: &str) -> ApiError {
        match &self.address {
            Some(address) => ApiError::Transport(format!("{address}: {why}")),
            None => ApiError::Transport(why.to_owned()),
        }
    }
}

/// Where one object is.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    pub gvr: &'a Gvr,
    pub namespace: &'a str,
    pub name: &'a str,
}

impl<'a> At<'a> {
    /// The object `name` in `namespace` (empty for cluster-scoped kinds).
    #[must_use]
    pub fn new(gvr: &'a Gvr, namespace: &'a str, name: &'a str) -> Self {
        Self { gvr, namespace, name }
    }
}

impl WriteOptions<'_> {
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        if !self.field_manager.is_empty() {
            query.push(("fieldManager", self.field_manager.to_owned()));
        }
        if self.force {
            query.push(("force", "true".to_owned()));
        }
        if self.dry_run {
            query.push(("dryRun", "All".to_owned()));
        }
        query
    }
}

fn found(answer: Result<Value, ApiError>) -> Result<Option<Value>, ApiError> {
    match answer {
        Ok(object) => Ok(Some(object)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}

fn encode(object: &Value) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(object).map_err(|e| ApiError::Protocol(e.to_string()))
}

fn item(gvr: &Gvr, namespace: &str, name: &str, subresource: &str) -> String {
    let mut path = gvr.path(Some(namespace));
    path.push('/');
    path.extend(utf8_percent_encode(name, SEGMENT));
    if !subresource.is_empty() {
        path.push('/');
        path.push_str(subresource);
    }
    path
}

/// Appends a query; values are percent-encoded.
pub(crate) fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let mut full = path.to_owned();
    for (i, (key, value)) in query.iter().enumerate() {
        full.push(if i == 0 { '?' } else { '&' });
        full.push_str(key);
        full.push('=');
        full.extend(utf8_percent_encode(value, SEGMENT));
    }
    full
}

async fn collect(mut body: Body) -> Result<Bytes, ApiError> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| ApiError::Transport(chain(&*Box::<dyn std::error::Error>::from(e))))?;
        if let Some(bytes) = frame.data_ref() {
            if all.len() + bytes.len() > ANSWER_MAX {
                return Err(ApiError::Protocol(format!("answer is larger than {ANSWER_MAX} bytes")));
            }
            all.extend_from_slice(bytes);
        }
    }
    Ok(all.freeze())
}

#[cfg(test)]
mod tests {
    use federation_types::Gvr;

    use super::{item, with_query};

    #[test]
    fn names_and_queries_are_encoded() {
        let roles = Gvr::new("rbac.authorization.k8s.io/v1", "clusterroles");
        assert_eq!(
            item(&roles, "", "system:a/b", "status"),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%2Fb/status"
        );
        assert_eq!(
            with_query("/x", &[("labelSelector", "a in (b,c)".to_owned())]),
            "/x?labelSelector=a%20in%20%28b%2Cc%29"
        );
    }
}
