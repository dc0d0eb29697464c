//! Spans as OTLP says them in JSON, with the attributes of OpenTelemetry's semantic conventions for HTTP.
//!
//! Pure: spans in, a document out.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::{Method, StatusCode, Version};
use serde_json::{Value, json};

use super::{Attempt, Span};

const SERVER: u8 = 2;
const ASKING: u8 = 3;
const FAILED: u8 = 2;

/// One request of the collector's protocol.
pub fn document(spans: &[Span]) -> Value {
    let all: Vec<Value> = spans
        .iter()
        .flat_map(|span| std::iter::once(server(span)).chain(span.attempts.iter().map(|attempt| asking(span, attempt))))
        .collect();
    let resource = [text("service.name", "fedgate-ingress"), text("service.version", env!("CARGO_PKG_VERSION"))];
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": {"name": "fedgate", "version": env!("CARGO_PKG_VERSION")}, "spans": all}],
    }]})
}

fn server(span: &Span) -> Value {
    let asked = &span.asked;
    let mut attributes = method(&asked.method);
    attributes.extend([
        text("url.scheme", if asked.https { "https" } else { "http" }),
        text("url.path", &asked.path),
        text("server.address", &asked.host),
        text("client.address", &asked.sender.to_string()),
        text("network.protocol.name", "http"),
        text("network.protocol.version", version(asked.version)),
        number("http.response.status_code", span.status.as_u16().into()),
    ]);
    if !asked.agent.is_empty() {
        attributes.push(text("user_agent.original", &asked.agent));
    }
    if let Some((ingress, backend)) = &span.route {
        attributes.extend([text("fedgate.ingress", ingress), text("fedgate.backend", backend)]);
    }
    if !span.reason.is_empty() {
        attributes.push(text("fedgate.reason", span.reason));
    }
    let mut said = json!({
        "traceId": format!("{:032x}", span.context.trace),
        "spanId": format!("{:016x}", span.id),
        "name": name(&asked.method),
        "kind": SERVER,
        "flags": 1,
        "startTimeUnixNano": moment(span, span.began.1),
        "endTimeUnixNano": moment(span, span.ended.unwrap_or(span.began.1)),
    });
    if let Some(parent) = span.context.parent {
        said["parentSpanId"] = format!("{parent:016x}").into();
    }
    // What a client did wrong is no error of the server's.
    if span.status.is_server_error() {
        attributes.push(text("error.type", span.status.as_str()));
        said["status"] = json!({"code": FAILED});
    }
    said["attributes"] = attributes.into();
    said
}

fn asking(span: &Span, attempt: &Attempt) -> Value {
    let address = attempt.endpoint.address;
    let mut attributes = method(&span.asked.method);
    attributes.extend([
        text("url.full", &format!("http://{address}{}", span.asked.path)),
        text("server.address", &address.ip().to_string()),
        number("server.port", address.port().into()),
        text("fedgate.cluster", attempt.endpoint.cluster.as_str()),
    ]);
    if attempt.number > 1 {
        attributes.push(number("http.request.resend_count", attempt.number as u64 - 1));
    }
    if let Some(status) = attempt.status {
        attributes.push(number("http.response.status_code", status.as_u16().into()));
    }
    let wrong = |status: &StatusCode| status.is_client_error() || status.is_server_error();
    let error = attempt.error.map(str::to_owned);
    let error = error.or_else(|| attempt.status.filter(wrong).map(|status| status.as_str().to_owned()));
    let mut said = json!({
        "traceId": format!("{:032x}", span.context.trace),
        "spanId": format!("{:016x}", attempt.id),
        "parentSpanId": format!("{:016x}", span.id),
        "name": name(&span.asked.method),
        "kind": ASKING,
        "flags": 1,
        "startTimeUnixNano": moment(span, attempt.began),
        "endTimeUnixNano": moment(span, attempt.ended.unwrap_or(attempt.began)),
    });
    if let Some(error) = error {
        attributes.push(text("error.type", &error));
        said["status"] = json!({"code": FAILED});
    }
    said["attributes"] = attributes.into();
    said
}

/// Nanoseconds since 1970, as text: they are more than a JSON number is good for.
fn moment(span: &Span, at: Instant) -> String {
    let (wall, began) = span.began;
    let moment: SystemTime = wall + at.saturating_duration_since(began);
    moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos()).to_string()
}

/// The method where it is one that everybody knows: names of spans and their attributes stay few.
fn known(method: &Method) -> Option<&str> {
    let known = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "QUERY"];
    Some(method.as_str()).filter(|method| known.contains(method))
}

fn name(method: &Method) -> &str {
    known(method).unwrap_or("HTTP")
}

fn method(method: &Method) -> Vec<Value> {
    match known(method) {
        Some(known) => vec![text("http.request.method", known)],
        None => {
            vec![text("http.request.method", "_OTHER"), text("http.request.method_original", method.as_str())]
        }
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn number(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}
