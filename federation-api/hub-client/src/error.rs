//! What can go wrong with a call, sorted by what a caller does about it.
//!
//! Carries the API's own `Status` where there is one; invents no texts of its own.

use std::time::Duration;

use serde_json::Value;

/// A call that did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// The API answered with a `Status`.
    #[error("{message}")]
    Status { code: u16, reason: String, message: String, retry_after: Option<Duration>, causes: Vec<Cause> },
    /// No answer: connection refused, reset, timed out.
    #[error("{0}")]
    Transport(String),
    /// An answer that is not what the protocol says.
    #[error("unexpected answer: {0}")]
    Protocol(String),
}

/// One entry of a Status' `details.causes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub reason: String,
    pub message: String,
    pub field: String,
}

impl ApiError {
    /// Reads a `Status` object; `code` is the HTTP status of the answer.
    #[must_use]
    pub fn from_status(code: u16, status: &Value, body: &str) -> Self {
        let text = |key: &str| status.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let message = match text("message") {
            message if message.is_empty() => {
                let shown: String = body.chars().take(200).collect();
                format!("HTTP {code}: {shown}")
            }
            message => message,
        };
        let details = status.get("details");
        let retry_after = details.and_then(|d| d.get("retryAfterSeconds")).and_then(Value::as_u64);
        let causes = details.and_then(|d| d.get("causes")).and_then(Value::as_array);
        Self::Status {
            code: status.get("code").and_then(Value::as_u64).and_then(|c| u16::try_from(c).ok()).unwrap_or(code),
            reason: text("reason"),
            message,
            retry_after: retry_after.map(Duration::from_secs),
            causes: causes.into_iter().flatten().map(cause).collect(),
        }
    }

    /// The HTTP status, 0 where there was no answer.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Status { code, .. } => *code,
            _ => 0,
        }
    }

    /// The machine-readable reason, empty where there was no answer.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Status { reason, .. } => reason,
            _ => "",
        }
    }

    /// The object, or something on the way to it, is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code() == 404
    }

    /// The caller may not do this.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.code() == 403
    }

    /// Somebody else was faster, or owns the field.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == 409 && self.reason() != "AlreadyExists"
    }

    /// The object exists already.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.reason() == "AlreadyExists"
    }

    /// The resourceVersion or continue token is too old: list anew.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.code() == 410
    }

    /// No answer at all, so nothing is known of the other side.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Transport(_))
    }

    /// Trying the same again may succeed: no answer, overload, a server's fault, a lost race.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(_) => true,
            Self::Protocol(_) => false,
            Self::Status { code, .. } => *code == 429 || *code >= 500 || self.is_conflict(),
        }
    }
}

/// An error with its causes, so that "connection refused" is not hidden behind "client error".
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let line = inner.to_string();
        if !text.contains(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = inner.source();
    }
    text
}

fn cause(cause: &Value) -> Cause {
    let text = |key: &str| cause.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Cause { reason: text("reason"), message: text("message"), field: text("field") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::ApiError;

    #[test]
    fn a_status_is_read_and_a_foreign_body_is_shown_short() {
        let gone = ApiError::from_status(410, &json!({"reason": "Expired", "message": "too old", "code": 410}), "");
        assert!(gone.is_expired() && !gone.is_transient());
        let html = ApiError::from_status(502, &json!(null), &"x".repeat(1000));
        assert!(html.is_transient());
        assert!(html.to_string().len() < 250);
    }
}
