//! From a request body to a tree: media type, syntax, the type it claims to have.
//!
//! The formats are the schema's; this is where verbs meet them.

use bytes::Bytes;
use federation_schema::facts::Resource;
use serde_json::Value;

use crate::call::Call;
use crate::error::ApiError;
use crate::request::options::FieldValidation;

/// What we take on built-in kinds, as messages list it.
pub(crate) const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// Which object a body has to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
}

impl<'a> Expected<'a> {
    pub(crate) fn of(kind: &'a Resource) -> Self {
        Self { group: &kind.group, version: &kind.version, kind: &kind.kind }
    }

    pub(crate) fn api_version(&self) -> String {
        federation_schema::facts::api_version(self.group, self.version)
    }
}

/// Reads an object of the expected type; an absent type is filled in.
///
/// # Errors
/// 415 for a format that we do not take, 400 for what is no such object.
pub(crate) fn object(
    call: &mut Call,
    body: &Bytes,
    expected: Expected<'_>,
    _validation: FieldValidation,
) -> Result<Value, ApiError> {
    let mut object: Value = match call.content_type() {
        "" | "application/json" => serde_json::from_slice(body)
            .map_err(|error| ApiError::BadRequest(format!("the object provided is not valid JSON: {error}")))?,
        _ => return Err(ApiError::UnsupportedMediaType(ACCEPTED.to_owned())),
    };
    check_type(&mut object, expected)?;
    Ok(object)
}

/// Refuses an object of another type; fills an absent type in.
///
/// # Errors
/// 400.
pub(crate) fn check_type(object: &mut Value, expected: Expected<'_>) -> Result<(), ApiError> {
    let api_version = expected.api_version();
    let Some(map) = object.as_object_mut() else {
        return Err(ApiError::BadRequest("the object provided is no object".to_owned()));
    };
    let text = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let (sent_version, sent_kind) = (text("apiVersion"), text("kind"));
    if !sent_version.is_empty() && sent_version != api_version {
        return Err(ApiError::BadRequest(format!(
            "the API version in the data ({sent_version}) does not match the expected API version ({api_version})"
        )));
    }
    if !sent_kind.is_empty() && sent_kind != expected.kind {
        let version = if sent_version.is_empty() { &api_version } else { &sent_version };
        return Err(ApiError::BadRequest(format!(
            "{sent_kind} in version {version:?} cannot be handled as a {}: converting ({version}.{sent_kind}) to ({api_version}.{}): unknown conversion",
            expected.kind, expected.kind
        )));
    }
    if map.get("metadata").is_some_and(|meta| !meta.is_object() && !meta.is_null()) {
        return Err(ApiError::BadRequest("metadata: expected an object".to_owned()));
    }
    map.insert("apiVersion".to_owned(), api_version.into());
    map.insert("kind".to_owned(), expected.kind.into());
    Ok(())
}

/// Reads the DeleteOptions of a DELETE's body.
///
/// # Errors
/// As [`object`].
pub(crate) fn delete_options(call: &Call, body: &Bytes) -> Result<crate::request::options::DeleteOptions, ApiError> {
    let value: Value = match call.content_type() {
        "" | "application/json" => serde_json::from_slice(body)
            .map_err(|error| ApiError::BadRequest(format!("the object provided is not valid JSON: {error}")))?,
        _ => return Err(ApiError::UnsupportedMediaType(ACCEPTED.to_owned())),
    };
    match value.get("kind").and_then(Value::as_str) {
        None | Some("" | "DeleteOptions") => {}
        Some(other) => {
            return Err(ApiError::BadRequest(format!("decoded object cannot be converted to DeleteOptions: {other}")));
        }
    }
    serde_json::from_value(value).map_err(|error| ApiError::BadRequest(format!("invalid DeleteOptions: {error}")))
}
