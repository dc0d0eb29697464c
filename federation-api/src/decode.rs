//! From a request body to a tree: media type, syntax, the type it claims to have.
//!
//! The formats are the schema's; this is where verbs meet them.

mod unfit;

use bytes::Bytes;
use federation_schema::decode::{self as formats, Broken, DecodeError, Expected, FieldValidation, Finding, Format};
use federation_schema::facts::TypeId;
use federation_schema::field::quote::json_type;
use federation_schema::structural::meta::Malformed;
use federation_types::label;
use serde_json::Value;

use crate::call::Call;
use crate::error::{ApiError, Cause, Subject};
use crate::kinds::CustomKind;
use crate::object;
use crate::request::options::DeleteOptions;
use crate::wire::negotiate::{NegotiateError, body_format};

/// Reads an object of the expected type; an absent type is filled in.
///
/// # Errors
/// 415 for a format that we do not take, 400 for what is no such object.
pub(crate) fn object(
    call: &mut Call,
    body: &Bytes,
    expected: Expected<'_>,
    validation: FieldValidation,
) -> Result<Value, ApiError> {
    if let Some(custom) = call.kind.custom().filter(|_| expected.ty == call.kind.ty).cloned() {
        return custom_object(call, &custom, (body, expected), validation);
    }
    let format = format_of(call, expected.group)?;
    let decoded = formats::decode(call.kind.facts(), &expected, body, format).map_err(refused)?;
    let (mut value, warnings) = decoded.judge(validation).map_err(refused)?;
    drop_empty(call, expected.ty, &mut value);
    warnings.into_iter().for_each(|warning| call.warn(warning));
    if let Some(record) = &call.audit {
        record.request_object(&value);
    }
    Ok(value)
}

/// Reads an object of a custom kind: what its schema does not know is dropped, what is absent gets its default.
fn custom_object(
    call: &mut Call,
    custom: &CustomKind,
    (body, expected): (&Bytes, Expected<'_>),
    validation: FieldValidation,
) -> Result<Value, ApiError> {
    let format = format_of(call, expected.group)?;
    let mut decoded = formats::decode_open(&expected, body, format).map_err(refused)?;
    let findings = reshape(custom, &mut decoded.value).map_err(|problem| {
        let (kind, version) = (expected.kind, expected.version);
        ApiError::BadRequest(format!("{kind} in version {version:?} cannot be handled as a {kind}: {problem}"))
    })?;
    decoded.findings.extend(findings);
    let (value, warnings) = decoded.judge(validation).map_err(refused)?;
    warnings.into_iter().for_each(|warning| call.warn(warning));
    Ok(value)
}

/// Prunes and defaults an object of a custom kind by its schema; says what it has dropped.
///
/// # Errors
/// In Go's words, where the metadata has a wrong type.
pub(crate) fn reshape(custom: &CustomKind, value: &mut Value) -> Result<Vec<Finding>, String> {
    if !value.is_object() {
        return Err("unexpected value: expected an object".to_owned());
    }
    let shape = &custom.version().shape;
    let unknown = shape.coerce(value, Malformed::Refuse)?;
    shape.default(value);
    Ok(unknown.into_iter().map(Finding::Unknown).collect())
}

/// A strategic merge patch as refusals show it.
pub(crate) fn printed(patch: &Value) -> String {
    unfit::printed(patch)
}

/// A patch that makes no object of the kind, 422.
fn invalid_patch(shown: &str, detail: &str) -> ApiError {
    let value = federation_schema::field::quote::go_quote(shown);
    let cause = Cause::field("FieldValueInvalid", "patch", format!("Invalid value: {value}: {detail}"));
    ApiError::invalid(Subject::new("", "", ""), cause)
}

/// A patch that makes another kind of an object.
pub(crate) fn not_registered(shown: &str, version: &str, kind: &str) -> ApiError {
    let detail = match (version, kind) {
        (_, "") => format!("Object 'Kind' is missing in '{shown}'"),
        ("", _) => format!("Object 'apiVersion' is missing in '{shown}'"),
        _ => format!(
            "no kind {kind:?} is registered for version {version:?} in scheme \"pkg/api/legacyscheme/scheme.go:30\""
        ),
    };
    invalid_patch(shown, &detail)
}

/// Built-in kinds pass through Go's types upstream, which do not tell empty from absent.
fn drop_empty(call: &Call, ty: TypeId, value: &mut Value) {
    if call.kind.custom().is_none() && call.kind.group != label::GROUP {
        formats::drop_empty(call.kind.facts(), ty, value);
    }
}

/// Makes what a patch produced an object of its type: unknown fields go, values become canonical.
///
/// `shown` is how refusals show the patch; `earlier` is what its own syntax has to complain about.
///
/// # Errors
/// 422 where a field has the wrong type, or under Strict where a field is unknown.
pub(crate) fn patched(
    call: &mut Call,
    ty: TypeId,
    new: Value,
    (shown, earlier): (&str, &[String]),
    validation: FieldValidation,
) -> Result<Value, ApiError> {
    let strategic = call.content_type() == "application/strategic-merge-patch+json";
    let invalid = |detail: &str| {
        let detail = if strategic { unfit::converters_words(detail) } else { detail.to_owned() };
        invalid_patch(shown, &detail)
    };
    let (mut value, findings) = match call.kind.custom().filter(|_| ty == call.kind.ty) {
        Some(custom) => {
            let mut new = new;
            let findings = reshape(custom, &mut new).map_err(|problem| invalid(&problem))?;
            (new, findings)
        }
        None => formats::conform(call.kind.facts(), ty, new).map_err(|broken| invalid(&broken.to_string()))?,
    };
    drop_empty(call, ty, &mut value);
    let complaints: Vec<String> = match validation {
        FieldValidation::Ignore => Vec::new(),
        _ => earlier.iter().cloned().chain(findings.iter().map(ToString::to_string)).collect(),
    };
    if validation == FieldValidation::Strict && !complaints.is_empty() {
        return Err(invalid(&format!("strict decoding error: {}", complaints.join(", "))));
    }
    complaints.into_iter().for_each(|warning| call.warn(warning));
    Ok(value)
}

/// The type and name of an object have to be those of the path.
///
/// # Errors
/// 400.
pub(crate) fn check_identity(call: &Call, new: &Value) -> Result<(), ApiError> {
    let text = |key: &str| new.get(key).and_then(Value::as_str).unwrap_or("");
    let (version, of) = (text("apiVersion"), text("kind"));
    if version != call.kind.api_version() || of != call.kind.kind {
        return Err(ApiError::BadRequest(format!(
            "the object provided is a {of} of {version}, the path takes a {} of {}",
            call.kind.kind,
            call.kind.api_version()
        )));
    }
    check_name(call, new)
}

/// The name in the object is that of the path.
///
/// # Errors
/// 400.
pub(crate) fn check_name(call: &Call, sent: &Value) -> Result<(), ApiError> {
    match object::name(sent) {
        name if name == call.info.name => Ok(()),
        "" => Err(ApiError::BadRequest(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            call.info.name
        ))),
        name => Err(ApiError::BadRequest(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.info.name
        ))),
    }
}

/// Reads the DeleteOptions of a DELETE's body.
///
/// # Errors
/// As [`object`].
pub(crate) fn delete_options(call: &Call, body: &Bytes) -> Result<DeleteOptions, ApiError> {
    let format = format_of(call, "")?;
    let expected = Expected::options(call.server.facts, "DeleteOptions")
        .ok_or_else(|| ApiError::Internal("the table of kinds has no DeleteOptions".to_owned()))?;
    let decoded = formats::decode(call.server.facts, &expected, body, format).map_err(refused)?;
    serde_json::from_value(decoded.value)
        .map_err(|error| ApiError::BadRequest(format!("invalid DeleteOptions: {error}")))
}

/// Reads an apply configuration: no type yet. What it has twice is the caller's to judge.
///
/// # Errors
/// 400 for what is no such text.
pub(crate) fn configuration(body: &Bytes) -> Result<(Value, Vec<Finding>), ApiError> {
    let broken = |broken: Broken| ApiError::BadRequest(format!("error decoding patch: {broken}"));
    let (value, findings) = formats::untyped(body, Format::Yaml).map_err(broken)?;
    // Upstream reads an apply configuration by another function than an object.
    let told = |finding: Finding| match finding {
        Finding::Twice(told) => Finding::Twice(format!("error converting YAML to JSON: {told}")),
        other => other,
    };
    Ok((value, findings.into_iter().map(told).collect()))
}

/// Reads a patch: no type yet.
///
/// # Errors
/// 400 for what is no JSON.
pub(crate) fn patch_json(body: &Bytes) -> Result<(Value, Vec<Finding>), ApiError> {
    formats::untyped(body, Format::Json).map_err(|broken| match broken {
        Broken::Json(_) => ApiError::BadRequest("invalid JSON patch".to_owned()),
        other => ApiError::BadRequest(format!("error decoding patch: {other}")),
    })
}

/// As Go says that a value is no object.
pub(crate) fn no_map(value: &Value, prefix: &str) -> String {
    let found = json_type(value);
    format!("{prefix}json: cannot unmarshal {found} into Go value of type map[string]interface {{}}")
}

fn format_of(call: &Call, group: &str) -> Result<Format, ApiError> {
    let unsupported = |error: NegotiateError| match error {
        NegotiateError::Unsupported(taken) => ApiError::UnsupportedMediaType(taken.to_owned()),
        NegotiateError::NotAcceptable => ApiError::NotAcceptable(crate::wire::negotiate::PRODUCED.to_owned()),
    };
    let format = body_format(call.content_type()).map_err(unsupported)?;
    // Our kinds have no protobuf form, as custom resources have none.
    let open = group == label::GROUP || call.kind.custom().is_some() && group == call.kind.group;
    if format == Format::Protobuf && open {
        return Err(ApiError::UnsupportedMediaType(crate::wire::negotiate::PRODUCED.to_owned()));
    }
    Ok(format)
}

fn refused(error: DecodeError) -> ApiError {
    ApiError::BadRequest(error.to_string())
}
