//! Everything a request can be refused for, and its one translation into a `metav1.Status`.
//!
//! Transport-free: a verb returns an [`ApiError`], the pipeline turns it into an answer or an ERROR event.

use http::StatusCode;
use serde::Serialize;

/// What an error is about: `resource` is the plural, or the Kind for 422.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    pub group: String,
    pub resource: String,
    pub name: String,
}

/// One reason among several, as in `details.causes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cause {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// Why a request got no success; names follow the reasons of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    #[error("{0}")]
    BadRequest(String),
    #[error("Unauthorized")]
    Unauthorized,
    #[error("{0} is forbidden: {1}")]
    Forbidden(Subject, String),
    /// Refused because the namespace is going away: client libraries look for the cause.
    #[error("{0} is forbidden: unable to create new content in namespace {1} because it is being terminated")]
    NamespaceTerminating(Subject, String),
    #[error("{0} not found")]
    NotFound(Subject),
    #[error("the server could not find the requested resource")]
    UnknownPath,
    /// No path of ours, and none of an API either: answered as plain text.
    #[error("404 page not found")]
    NoSuchPage,
    /// No handler of this path takes the method.
    #[error("the server does not allow this method on the requested resource")]
    NoSuchMethod,
    #[error("{action} is not supported on resources of kind {resource:?}")]
    MethodNotAllowed { action: String, resource: String },
    /// A kind or a subresource that this server knows and does not serve yet.
    #[error("{0}")]
    NotSupported(String),
    #[error("only the following media types are accepted: {0}")]
    NotAcceptable(String),
    #[error("the body of the request was in an unknown format - accepted media types include: {0}")]
    UnsupportedMediaType(String),
    #[error("{0} already exists")]
    AlreadyExists(Subject),
    #[error("{0} already exists, the server was not able to generate a unique name for the object")]
    NoUniqueName(Subject),
    #[error("Operation cannot be fulfilled on {0}: {1}")]
    Conflict(Subject, String),
    /// Server-side apply met fields of other managers: the message, and a cause a field.
    #[error("{0}")]
    ApplyConflict(String, Vec<Cause>),
    #[error("{subject} {name:?} is invalid: {text}", subject = .0.typed(), name = .0.name, text = causes_text(.1))]
    Invalid(Subject, Vec<Cause>),
    /// 422 without field causes (a JSON patch whose test failed).
    #[error("{0}")]
    Unprocessable(String),
    #[error("Request entity is too large: limit is {0}")]
    TooLarge(usize),
    /// 410: the revision or the continue token is gone; `restart` is a token that goes on inconsistently.
    #[error("{message}")]
    Expired { message: String, restart: Option<String> },
    #[error("Timeout: Too large resource version: {asked}, current: {current}")]
    FutureRevision { asked: u64, current: u64 },
    #[error("Timeout: {0}")]
    Timeout(String),
    #[error("{message}")]
    TooManyRequests { message: String, retry_after_s: u32 },
    #[error("{message}")]
    Unavailable { message: String, retry_after_s: u32 },
    /// Upstream answers some refusals with a bare 500 without a reason; clients match the text.
    #[error("{0}")]
    Plain(String),
    #[error("Internal error occurred: {0}")]
    Internal(String),
    /// A member or a backend answered with a Status of its own: passed on as it is.
    #[error("{}", .0.message)]
    Foreign(Box<Status>),
}

/// `metav1.Status` as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub metadata: StatusMeta,
    pub status: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    #[serde(skip_serializing_if = "is_zero")]
    pub code: u16,
}

/// `metav1.ListMeta` of a Status: only the token that restarts an expired list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StatusMeta {
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub restart: String,
}

/// `metav1.StatusDetails`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    #[serde(skip_serializing_if = "is_zero_u32")]
    pub retry_after_seconds: u32,
}

impl Subject {
    /// An object of `resource.group`.
    #[must_use]
    pub fn new(group: &str, resource: &str, name: &str) -> Self {
        Self { group: group.to_owned(), resource: resource.to_owned(), name: name.to_owned() }
    }

    /// `resource.group`.
    fn typed(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }

    fn details(&self) -> Details {
        Details {
            name: self.name.clone(),
            group: self.group.clone(),
            kind: self.resource.clone(),
            ..Details::default()
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if self.name.is_empty() { Ok(()) } else { write!(f, " {:?}", self.name) }
    }
}

impl Details {
    /// The details of a foreign Status.
    #[must_use]
    pub fn read(details: &serde_json::Value) -> Option<Self> {
        let text = |of: &serde_json::Value, key: &str| {
            of.get(key).and_then(serde_json::Value::as_str).unwrap_or("").to_owned()
        };
        let cause = |cause: &serde_json::Value| Cause {
            reason: text(cause, "reason"),
            message: text(cause, "message"),
            field: text(cause, "field"),
        };
        let causes = details.get("causes").and_then(serde_json::Value::as_array).into_iter().flatten();
        let retry = details.get("retryAfterSeconds").and_then(serde_json::Value::as_u64);
        details.is_object().then(|| Self {
            name: text(details, "name"),
            group: text(details, "group"),
            kind: text(details, "kind"),
            uid: text(details, "uid"),
            causes: causes.map(cause).collect(),
            retry_after_seconds: retry.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(0),
        })
    }
}

impl Cause {
    /// A cause about a field, worded as upstream does: `path: Invalid value: …`.
    #[must_use]
    pub fn field(reason: &str, field: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into(), field: field.to_owned() }
    }

    /// `Invalid value: "v": detail`.
    #[must_use]
    pub fn invalid(field: &str, value: &str, detail: &str) -> Self {
        Self::field("FieldValueInvalid", field, format!("Invalid value: {value:?}: {detail}"))
    }

    /// `Forbidden: detail`.
    #[must_use]
    pub fn forbidden(field: &str, detail: &str) -> Self {
        Self::field("FieldValueForbidden", field, format!("Forbidden: {detail}"))
    }

    /// `Required value: detail`.
    #[must_use]
    pub fn required(field: &str, detail: &str) -> Self {
        let message = if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        Self::field("FieldValueRequired", field, message)
    }

    /// `Unsupported value: "v": supported values: …`.
    #[must_use]
    pub fn not_supported(field: &str, value: &str, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        Self::field(
            "FieldValueNotSupported",
            field,
            format!("Unsupported value: {value:?}: supported values: {}", list.join(", ")),
        )
    }
}

impl ApiError {
    /// A 422 with one cause.
    #[must_use]
    pub fn invalid(subject: Subject, cause: Cause) -> Self {
        Self::Invalid(subject, vec![cause])
    }

    /// A 422 about list or watch options.
    #[must_use]
    pub fn invalid_options(kind: &str, causes: Vec<Cause>) -> Self {
        Self::Invalid(Subject::new("meta.k8s.io", kind, ""), causes)
    }

    /// Optimistic lock lost, worded as clients expect it.
    #[must_use]
    pub fn modified(subject: Subject) -> Self {
        Self::Conflict(
            subject,
            "the object has been modified; please apply your changes to the latest version and try again".to_owned(),
        )
    }

    /// A revision older than the window that is kept.
    #[must_use]
    pub fn too_old(asked: u64, oldest: u64) -> Self {
        Self::Expired { message: format!("too old resource version: {asked} ({oldest})"), restart: None }
    }

    /// The Status of this refusal. The only place that knows codes and reasons.
    #[must_use]
    pub fn status(&self) -> Status {
        let (code, reason, details) = match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "BadRequest", None),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized", None),
            Self::Forbidden(subject, _) => (StatusCode::FORBIDDEN, "Forbidden", Some(subject.details())),
            Self::NamespaceTerminating(subject, namespace) => {
                let cause = Cause {
                    reason: "NamespaceTerminating".to_owned(),
                    message: format!("namespace {namespace} is being terminated"),
                    field: "metadata.namespace".to_owned(),
                };
                let details = Details { causes: vec![cause], ..subject.details() };
                (StatusCode::FORBIDDEN, "Forbidden", Some(details))
            }
            Self::NotFound(subject) => (StatusCode::NOT_FOUND, "NotFound", Some(subject.details())),
            Self::UnknownPath => (StatusCode::NOT_FOUND, "NotFound", Some(Details::default())),
            Self::MethodNotAllowed { resource, .. } => {
                let details = Details { kind: resource.clone(), ..Details::default() };
                (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", Some(details))
            }
            Self::NoSuchPage => (StatusCode::NOT_FOUND, "NotFound", None),
            Self::NoSuchMethod => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", Some(Details::default())),
            Self::NotSupported(_) => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", None),
            Self::NotAcceptable(_) => (StatusCode::NOT_ACCEPTABLE, "NotAcceptable", None),
            Self::UnsupportedMediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", None),
            Self::AlreadyExists(subject) => (StatusCode::CONFLICT, "AlreadyExists", Some(subject.details())),
            Self::NoUniqueName(subject) => {
                let details = Details { retry_after_seconds: 1, ..subject.details() };
                (StatusCode::CONFLICT, "AlreadyExists", Some(details))
            }
            Self::Conflict(subject, _) => (StatusCode::CONFLICT, "Conflict", Some(subject.details())),
            Self::ApplyConflict(_, causes) => (StatusCode::CONFLICT, "Conflict", Some(with_causes(causes.clone()))),
            Self::Invalid(subject, causes) => {
                let details = Details { causes: causes.clone(), ..subject.details() };
                (StatusCode::UNPROCESSABLE_ENTITY, "Invalid", Some(details))
            }
            Self::Unprocessable(_) => (StatusCode::UNPROCESSABLE_ENTITY, "Invalid", Some(Details::default())),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", None),
            Self::Expired { .. } => (StatusCode::GONE, "Expired", None),
            Self::FutureRevision { .. } => {
                let cause = Cause {
                    reason: "ResourceVersionTooLarge".to_owned(),
                    message: "Too large resource version".to_owned(),
                    field: String::new(),
                };
                let details = Details { retry_after_seconds: 1, ..with_causes(vec![cause]) };
                (StatusCode::GATEWAY_TIMEOUT, "Timeout", Some(details))
            }
            Self::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, "Timeout", None),
            Self::TooManyRequests { retry_after_s, .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", Some(retry(*retry_after_s)))
            }
            Self::Unavailable { retry_after_s, .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", Some(retry(*retry_after_s)))
            }
            Self::Plain(_) => (StatusCode::INTERNAL_SERVER_ERROR, "", None),
            Self::Internal(message) => {
                let cause = Cause { message: message.clone(), ..Cause::default() };
                (StatusCode::INTERNAL_SERVER_ERROR, "InternalError", Some(with_causes(vec![cause])))
            }
            Self::Foreign(status) => return (**status).clone(),
        };
        let mut status = Status::failure(code.as_u16(), reason, self.to_string());
        status.details = details;
        if let Self::Expired { restart: Some(restart), .. } = self {
            status.metadata.restart.clone_from(restart);
        }
        status
    }
}

impl Status {
    /// A failure without details.
    #[must_use]
    pub fn failure(code: u16, reason: &str, message: String) -> Self {
        Self {
            kind: "Status",
            api_version: "v1",
            metadata: StatusMeta::default(),
            status: "Failure",
            message,
            reason: reason.to_owned(),
            details: None,
            code,
        }
    }

    /// The answer to a DELETE that took effect at once.
    #[must_use]
    pub fn success(details: Details) -> Self {
        Self {
            kind: "Status",
            api_version: "v1",
            metadata: StatusMeta::default(),
            status: "Success",
            message: String::new(),
            reason: String::new(),
            details: Some(details),
            code: 0,
        }
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a Status has only string keys")
    }

    /// Seconds after which the client should retry; 0 where the answer says nothing.
    #[must_use]
    pub fn retry_after_s(&self) -> u32 {
        self.details.as_ref().map_or(0, |d| d.retry_after_seconds)
    }
}

fn with_causes(causes: Vec<Cause>) -> Details {
    Details { causes, ..Details::default() }
}

fn retry(retry_after_seconds: u32) -> Details {
    Details { retry_after_seconds, ..Details::default() }
}

fn causes_text(causes: &[Cause]) -> String {
    let one = |cause: &Cause| match cause.field.as_str() {
        "" => cause.message.clone(),
        field => format!("{field}: {}", cause.message),
    };
    match causes {
        [single] => one(single),
        several => format!("[{}]", several.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(code: &u16) -> bool {
    *code == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero_u32(seconds: &u32) -> bool {
    *seconds == 0
}

#[cfg(test)]
mod tests {
    use super::{ApiError, Cause, Subject};

    /// Protocol: E4, E5
    #[test]
    fn messages_are_upstreams() {
        let pods = Subject::new("", "pods", "x");
        let deploys = Subject::new("apps", "deployments", "x");
        let kind = Subject::new("apps", "Deployment", "x");
        let cases = [
            (ApiError::NotFound(pods.clone()), 404, "pods \"x\" not found"),
            (ApiError::AlreadyExists(deploys.clone()), 409, "deployments.apps \"x\" already exists"),
            (
                ApiError::modified(deploys),
                409,
                "Operation cannot be fulfilled on deployments.apps \"x\": the object has been modified; please apply your changes to the latest version and try again",
            ),
            (
                ApiError::invalid(kind, Cause::invalid("spec.replicas", "-1", "must be >= 0")),
                422,
                "Deployment.apps \"x\" is invalid: spec.replicas: Invalid value: \"-1\": must be >= 0",
            ),
            (ApiError::UnknownPath, 404, "the server could not find the requested resource"),
            (
                ApiError::FutureRevision { asked: 9, current: 3 },
                504,
                "Timeout: Too large resource version: 9, current: 3",
            ),
            (ApiError::too_old(5, 100), 410, "too old resource version: 5 (100)"),
        ];
        for (error, code, message) in cases {
            let status = error.status();
            assert_eq!((status.code, status.message.as_str()), (code, message));
        }
    }
}
