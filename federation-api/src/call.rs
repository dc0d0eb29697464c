//! One request on its way through a verb: what was asked, by whom, and what there is to warn about.

use std::sync::Arc;

use auth::UserInfo;
use bytes::Bytes;
use federation_schema::decode::legacy::Legacy;
use http::{HeaderMap, Method};

use crate::audit::Record;
use crate::body::RequestBody;
use crate::cache::{ResourceCache, Scope};
use crate::error::{ApiError, Subject};
use crate::kind;
use crate::kinds::Kind;
use crate::limit;
use crate::request::RequestInfo;
use crate::request::query::Query;
use crate::server::Server;
use crate::wire::negotiate;

/// A request for a resource that exists, by a user who may make it.
pub(crate) struct Call {
    pub(crate) server: Arc<Server>,
    pub(crate) method: Method,
    pub(crate) uri: http::Uri,
    pub(crate) info: RequestInfo,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) user: Arc<UserInfo>,
    pub(crate) kind: Kind,
    /// The kind as which its objects are stored: the same, but for views.
    pub(crate) stored: Kind,
    /// The version of older days that the client speaks, where it does.
    pub(crate) old: Option<&'static Legacy>,
    pub(crate) cache: Arc<ResourceCache>,
    pub(crate) body: Option<RequestBody>,
    /// The connection itself, where the client offers to go on without HTTP.
    pub(crate) upgrade: Option<hyper::upgrade::OnUpgrade>,
    pub(crate) warnings: Vec<String>,
    /// The record of this request, where it is audited.
    pub(crate) audit: Option<Arc<Record>>,
    /// What webhooks have done to this write so far.
    pub(crate) trail: crate::admission::Trail,
}

impl Call {
    /// Under which name the resource is stored.
    pub(crate) fn storage(&self) -> String {
        kind::storage_name(&self.kind.group, &self.kind.plural)
    }

    /// The namespace that the request is about; empty for cluster-scoped kinds.
    pub(crate) fn namespace(&self) -> &str {
        if self.kind.namespaced { &self.info.namespace } else { "" }
    }

    /// The cache's key of the object that the path names.
    pub(crate) fn key(&self) -> String {
        kind::object_key(&self.kind, self.namespace(), &self.info.name)
    }

    /// What a list or watch of this request can cover at most.
    pub(crate) fn scope(&self) -> Scope {
        let namespace = self.namespace();
        if !self.info.name.is_empty() && (!self.kind.namespaced || !namespace.is_empty()) {
            return Scope::Key(self.key());
        }
        if namespace.is_empty() { Scope::All } else { Scope::Namespace(namespace.to_owned()) }
    }

    /// The object of the path, for errors.
    pub(crate) fn subject(&self) -> Subject {
        kind::subject(&self.kind, &self.info.name)
    }

    /// The body, read once.
    ///
    /// # Errors
    /// 415 for bodies that are compressed; 413, 400 and 504, see [`limit::read_body`].
    pub(crate) async fn read_body(&mut self) -> Result<Bytes, ApiError> {
        match self.body.take() {
            Some(body) => {
                // Nothing is inflated: a small body must not become a large one.
                let packed = self.headers.get(http::header::CONTENT_ENCODING);
                if packed.is_some_and(|coding| coding != "identity") {
                    return Err(ApiError::UnsupportedMediaType(negotiate::TAKEN.to_owned()));
                }
                let body = limit::read_body(body).await?;
                if let Some(record) = &self.audit {
                    record.request_body(&body, self.content_type());
                }
                Ok(body)
            }
            None => Ok(Bytes::new()),
        }
    }

    /// Adds an annotation to the audit record, where there is one.
    pub(crate) fn audit_annotation(&self, key: &str, value: &str) {
        if let Some(record) = &self.audit {
            record.annotate(key, value);
        }
    }

    /// The media type of the body, without parameters; empty where none was sent.
    pub(crate) fn content_type(&self) -> &str {
        let sent = self.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        sent.unwrap_or("").split(';').next().unwrap_or("").trim()
    }

    /// The field manager: as sent, else the user agent up to its first slash.
    pub(crate) fn field_manager(&self, sent: &str) -> String {
        if !sent.is_empty() {
            return sent.to_owned();
        }
        let agent = self.headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok());
        let agent = agent.unwrap_or("").split('/').next().unwrap_or("");
        let printable: String = agent.chars().filter(|c| !c.is_control()).take(128).collect();
        if printable.is_empty() { "unknown".to_owned() } else { printable }
    }

    /// Adds a warning, once.
    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !text.is_empty() && !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }
}
