//! Requests in API versions of older days: turned into requests of today at the gate, so that nothing behind it knows them.
//!
//! Objects are stored and answered in the current version alone; a `Warning` says what to write instead.

use std::sync::LazyLock;

use bytes::Bytes;
use federation_schema::decode::legacy::{self, Legacy};
use federation_schema::decode::{FieldValidation, Format, judge, untyped};
use federation_schema::facts::{self, Resource, Text};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::call::Call;
use crate::error::ApiError;
use crate::json;
use crate::request::RequestInfo;
use crate::request::options::WriteOptions;
use crate::wire::negotiate::{PRODUCED, body_format};

/// The old versions as discovery shows them: enough to write them, and nothing that would list objects twice.
pub(crate) fn shown() -> &'static [Resource] {
    const VERBS: [&str; 5] = ["create", "delete", "get", "patch", "update"];
    static ROWS: LazyLock<Vec<Resource>> = LazyLock::new(|| legacy::all().iter().map(row).collect());
    fn row(old: &Legacy) -> Resource {
        let current = old.resource(facts::kubernetes()).expect("a test looks every current resource up");
        Resource {
            group: old.group.into(),
            version: old.version.into(),
            verbs: VERBS.into_iter().map(Text::from).collect(),
            short_names: Box::default(),
            categories: Box::default(),
            subresources: Box::default(),
            ..current.clone()
        }
    }
    &ROWS
}

/// Makes the request one for the current version, where its version is an old one.
pub(crate) fn translate(info: &mut RequestInfo) -> Option<&'static Legacy> {
    if !info.is_resource {
        return None;
    }
    let old = legacy::at(&info.group, &info.version, &info.resource)?;
    old.current.0.clone_into(&mut info.group);
    old.current.1.clone_into(&mut info.version);
    Some(old)
}

/// Makes the body one of the current version.
///
/// # Errors
/// As decoding it in the old version says: 400, 413, 415.
pub(crate) async fn translate_body(call: &mut Call, old: &'static Legacy) -> Result<(), ApiError> {
    call.warn(old.warning());
    call.old = Some(old);
    let whole = match call.info.verb.as_str() {
        "create" | "update" => true,
        "patch" => false,
        _ => return Ok(()),
    };
    // The other subresources have bodies of their own kinds.
    if !matches!(call.info.subresource.as_str(), "" | "status") {
        return Ok(());
    }
    let sent = call.read_body().await?;
    let body = if whole { object(call, old, &sent)? } else { patch(call, old, sent)? };
    call.body = Some(crate::body::erase(http_body_util::Full::new(body)));
    Ok(())
}

fn object(call: &mut Call, old: &Legacy, sent: &Bytes) -> Result<Bytes, ApiError> {
    let format = body_format(call.content_type()).map_err(|_| ApiError::UnsupportedMediaType(PRODUCED.to_owned()))?;
    let bad = |error: &dyn std::error::Error| ApiError::BadRequest(error.to_string());
    let decoded = old.decode(facts::kubernetes(), sent, format).map_err(|error| bad(&error))?;
    let (value, warnings) = decoded.judge(validation(call)?).map_err(|error| bad(&error))?;
    warnings.into_iter().for_each(|warning| call.warn(warning));
    call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(json::to_vec(&value).into())
}

/// Patches are part of an object in the old form; a JSON patch is about the object as it is answered.
fn patch(call: &mut Call, old: &Legacy, sent: Bytes) -> Result<Bytes, ApiError> {
    let format = match call.content_type() {
        "application/merge-patch+json" | "application/strategic-merge-patch+json" => Format::Json,
        "application/apply-patch+yaml" => Format::Yaml,
        _ => return Ok(sent),
    };
    let broken = |error: &dyn std::error::Error| ApiError::BadRequest(format!("error decoding patch: {error}"));
    let (mut value, findings) = untyped(&sent, format).map_err(|error| broken(&error))?;
    let warnings = judge(findings, validation(call)?).map_err(|error| ApiError::BadRequest(error.to_string()))?;
    warnings.into_iter().for_each(|warning| call.warn(warning));
    if value.get("apiVersion").and_then(Value::as_str).is_none_or(|version| version == old.api_version()) {
        old.upgrade_patch(&mut value);
    }
    Ok(json::to_vec(&value).into())
}

fn validation(call: &Call) -> Result<FieldValidation, ApiError> {
    let kind = if call.info.verb == "create" { "CreateOptions" } else { "PatchOptions" };
    Ok(WriteOptions::read(&call.query, kind)?.validation)
}
