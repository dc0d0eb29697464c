//! From an answer to bytes: which of the formats that the client accepts, and in it the answer.
//!
//! The formats themselves are the wire's; this is where verbs meet them.

use http::Response;

use crate::answer::{self, Answer};
use crate::body::Body;
use crate::cache::{Entry, EventKind};
use crate::call::Call;
use crate::error::ApiError;

/// How the frames of one watch look.
#[derive(Debug, Clone)]
pub(crate) struct FrameStyle {
    api_version: String,
    kind: String,
}

impl FrameStyle {
    /// Whether frames are those that the cache holds encoded.
    pub(crate) fn is_plain(&self) -> bool {
        true
    }

    pub(crate) fn content_type(&self) -> &'static str {
        "application/json"
    }

    /// Appends the frame of one event.
    pub(crate) fn write(&mut self, kind: EventKind, entry: &Entry, out: &mut Vec<u8>) {
        if kind == entry.kind() {
            out.extend_from_slice(&entry.frame());
        } else {
            entry.write_frame(kind, out);
        }
    }

    /// Appends a bookmark; `initial` marks the end of the initial events.
    pub(crate) fn write_bookmark(&mut self, rev: u64, initial: bool, out: &mut Vec<u8>) {
        let annotations = if initial { r#","annotations":{"k8s.io/initial-events-end":"true"}"# } else { "" };
        let frame = format!(
            "{{\"type\":\"BOOKMARK\",\"object\":{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{{\"resourceVersion\":\"{rev}\"{annotations}}}}}}}\n",
            self.kind, self.api_version
        );
        out.extend_from_slice(frame.as_bytes());
    }
}

/// The style of a watch's frames.
///
/// # Errors
/// 406 where the client accepts none.
pub(crate) fn watch_style(call: &Call) -> Result<FrameStyle, ApiError> {
    Ok(FrameStyle { api_version: call.kind.api_version(), kind: call.kind.kind.to_string() })
}

/// Writes an answer in a format that the client accepts.
///
/// # Errors
/// 406 where there is none.
pub(crate) fn render(_call: &Call, answer: Answer) -> Result<Response<Body>, ApiError> {
    Ok(match answer {
        Answer::Object(object) => answer::json(object.code, object.json),
        Answer::List(list) => answer::json(http::StatusCode::OK, list.to_json()),
        Answer::Status(status) => answer::json(http::StatusCode::OK, status.to_json()),
        Answer::Response(response) => response,
    })
}
