//! The record of one request, from its arrival to its end.
//!
//! Source: k8s.io/apiserver `pkg/audit/request.go`, `pkg/audit/context.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use auth::UserInfo;
use bytes::Bytes;
use federation_schema::decode::{self, Format};
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::policy::{Level, Verdict};
use super::{Audit, MAX_EVENT_BYTES};
use crate::request::RequestInfo;
use crate::server::Now;
use crate::wire::negotiate;

/// Longest user agent that is recorded, in bytes.
const MAX_AGENT_BYTES: usize = 1024;
/// Addresses of `X-Forwarded-For` that are recorded.
const MAX_ADDRESSES: usize = 16;
/// What stands where a credential was.
const HIDDEN: &str = "REDACTED";

/// When a record is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

/// A request that is recorded.
pub(crate) struct Record {
    audit: Arc<Audit>,
    verdict: Verdict,
    now: Now,
    /// Guards what is known so far; held for one addition.
    event: Mutex<Event>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    kind: &'static str,
    api_version: &'static str,
    level: &'static str,
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: Stage,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: UserInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<UserInfo>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "Vec::is_empty")]
    source_ips: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    user_agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_status: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_object: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_object: Option<Value>,
    request_received_timestamp: String,
    stage_timestamp: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// What a request says before anything of it is read.
pub(crate) struct Head<'a> {
    pub(crate) audit_id: &'a HeaderValue,
    pub(crate) uri: &'a http::Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) info: &'a RequestInfo,
    pub(crate) user: &'a UserInfo,
    pub(crate) peer: Option<std::net::IpAddr>,
}

impl Record {
    /// The record of a request, where the policy wants one.
    pub(crate) fn begin(audit: &Arc<Audit>, now: &Now, head: &Head<'_>) -> Option<Arc<Self>> {
        let Head { audit_id, uri, headers, info, user, peer } = *head;
        let verdict = audit.judge(&super::Asked { user, info });
        if verdict.level == Level::None {
            return None;
        }
        let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or("");
        let user_agent = match agent.get(..MAX_AGENT_BYTES) {
            Some(start) if agent.len() > MAX_AGENT_BYTES => format!("{start}...TRUNCATED"),
            _ => agent.to_owned(),
        };
        let at = microseconds(now());
        let event = Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: verdict.level.as_str(),
            audit_id: audit_id.to_str().unwrap_or("").to_owned(),
            stage: Stage::RequestReceived,
            request_uri: uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned(),
            verb: info.verb.clone(),
            user: user.clone(),
            impersonated_user: None,
            source_ips: addresses(headers, peer),
            user_agent,
            object_ref: info.is_resource.then(|| reference(info)),
            response_status: None,
            request_object: None,
            response_object: None,
            request_received_timestamp: at.clone(),
            stage_timestamp: at,
            annotations: BTreeMap::new(),
        };
        Some(Arc::new(Self { audit: Arc::clone(audit), verdict, now: Arc::clone(now), event: Mutex::new(event) }))
    }

    pub(crate) fn impersonated(&self, user: &UserInfo) {
        let mut event = self.event.lock();
        if event.user != *user {
            event.impersonated_user = Some(user.clone());
        }
    }

    /// Adds an annotation; the first word on a key stays.
    pub(crate) fn annotate(&self, key: &str, value: &str) {
        self.event.lock().annotations.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }

    /// The body of the request, where the policy wants it.
    pub(crate) fn request_body(&self, body: &Bytes, content_type: &str) {
        if self.verdict.level < Level::Request || body.is_empty() {
            return;
        }
        let patch = content_type.ends_with("patch+json");
        let format = if patch { Ok(Format::Json) } else { negotiate::body_format(content_type) };
        let format = if content_type == "application/apply-patch+yaml" { Ok(Format::Yaml) } else { format };
        let read = format.ok().and_then(|format| decode::untyped(body, format).ok());
        if let Some((value, _)) = read {
            let value = self.cleaned(value);
            self.event.lock().request_object = Some(value);
        }
    }

    /// The object that the body was read as, where the body itself could not be recorded.
    pub(crate) fn request_object(&self, object: &Value) {
        if self.verdict.level >= Level::Request && self.event.lock().request_object.is_none() {
            let value = self.cleaned(object.clone());
            self.event.lock().request_object = Some(value);
        }
    }

    /// How it was answered; the body only where it is JSON in one piece.
    pub(crate) fn answered(&self, code: http::StatusCode, body: Option<&Bytes>) {
        let wants_body = self.verdict.level == Level::RequestResponse;
        let failed = code.is_client_error() || code.is_server_error();
        let value = body.filter(|_| wants_body || failed).and_then(|body| serde_json::from_slice::<Value>(body).ok());
        let mut status = json!({"metadata": {}, "code": code.as_u16()});
        if let Some(said) = value.as_ref().filter(|value| value["kind"] == "Status" && value["apiVersion"] == "v1") {
            for field in ["status", "message", "reason", "details"] {
                if !said[field].is_null() {
                    status[field] = said[field].clone();
                }
            }
        }
        let object = value.filter(|_| wants_body).map(|value| self.cleaned(value));
        let mut event = self.event.lock();
        event.response_status = Some(status);
        event.response_object = object;
    }

    /// Writes the record of a stage, where the policy wants it.
    pub(crate) async fn write(&self, stage: Stage) {
        if let Some(line) = self.line(stage) {
            self.audit.put(line).await;
        }
    }

    /// As [`Record::write`], for those who cannot wait.
    pub(crate) fn write_now(&self, stage: Stage) {
        if let Some(line) = self.line(stage) {
            self.audit.put_now(&line);
        }
    }

    fn line(&self, stage: Stage) -> Option<Bytes> {
        if self.verdict.omit_stages.contains(&stage) {
            return None;
        }
        let mut event = self.event.lock();
        event.stage = stage;
        if stage != Stage::RequestReceived {
            event.stage_timestamp = microseconds((self.now)());
        }
        let mut line = serde_json::to_vec(&*event).expect("an event has only string keys");
        if line.len() > MAX_EVENT_BYTES {
            (event.request_object, event.response_object) = (None, None);
            event.annotations.insert("audit.k8s.io/truncated".to_owned(), "true".to_owned());
            line = serde_json::to_vec(&*event).expect("an event has only string keys");
        }
        line.push(b'\n');
        Some(line.into())
    }

    /// Without credentials, and without managed fields where the policy says so.
    fn cleaned(&self, mut value: Value) -> Value {
        hide_credentials(&mut value);
        if self.verdict.omit_managed_fields {
            let without = |object: &mut Value| {
                if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.remove("managedFields");
                }
            };
            without(&mut value);
            for list in ["items", "rows"] {
                for item in value.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                    without(item);
                    if let Some(object) = item.get_mut("object") {
                        without(object);
                    }
                }
            }
        }
        value
    }
}

/// Tokens that are asked about or handed out have no place in a log, whatever the policy says.
fn hide_credentials(value: &mut Value) {
    let pointer = match value["kind"].as_str() {
        Some("TokenReview") => "/spec/token",
        Some("TokenRequest") => "/status/token",
        _ => return,
    };
    if let Some(token) = value.pointer_mut(pointer) {
        *token = Value::from(HIDDEN);
    }
}

fn reference(info: &RequestInfo) -> Value {
    let mut object = serde_json::Map::new();
    for (field, text) in [
        ("resource", &info.resource),
        ("namespace", &info.namespace),
        ("name", &info.name),
        ("apiGroup", &info.group),
        ("apiVersion", &info.version),
        ("subresource", &info.subresource),
    ] {
        if !text.is_empty() {
            object.insert(field.to_owned(), text.as_str().into());
        }
    }
    Value::Object(object)
}

/// Where the request says that it comes from, then where it comes from.
fn addresses(headers: &HeaderMap, peer: Option<std::net::IpAddr>) -> Vec<String> {
    let forwarded = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok()).unwrap_or("");
    let said = forwarded.split(',').filter_map(|one| one.trim().parse::<std::net::IpAddr>().ok());
    let mut all: Vec<String> = said.take(MAX_ADDRESSES).map(|address| address.to_string()).collect();
    if let Some(peer) = peer.map(|peer| peer.to_canonical().to_string())
        && all.last() != Some(&peer)
    {
        all.push(peer);
    }
    all
}

fn microseconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
