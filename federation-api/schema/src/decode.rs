//! Request bodies → canonical JSON of a known type: JSON, YAML and protobuf, all read by the table of kinds.
//!
//! It knows shapes, not kinds: what a value means is checked later. Nothing here depends on a clock or on stored objects.

use std::fmt;

use serde_json::Value;
use thiserror::Error;

use crate::facts::{Facts, Resource, Shape, Subresource, TypeId, api_version};

mod json;
pub mod legacy;
pub mod printed;
mod protobuf;
pub mod time;
mod typed;
mod yaml;

pub use typed::Mismatch;

/// Deeper values are refused: a hostile body must not exhaust a stack, here or in a member.
pub const MAX_DEPTH: usize = 128;
/// More values than any object of 3 MiB holds in earnest; a value takes some 32 bytes, so this bounds memory.
pub const MAX_VALUES: usize = 1_000_000;
/// Upstream collects no more findings than this.
const MAX_FINDINGS: usize = 100;
/// First bytes of a Kubernetes protobuf body.
pub const PROTOBUF_MAGIC: &[u8] = b"k8s\0";

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
    Protobuf,
}

/// The `fieldValidation` query parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// What a path takes as its body.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
    pub ty: TypeId,
    /// Option kinds (`DeleteOptions`) are registered in every group and version.
    pub any_version: bool,
}

/// A body that is well formed for its type.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// An object with `apiVersion` and `kind`, without nulls and unknown fields.
    pub value: Value,
    pub findings: Vec<Finding>,
}

/// Something in a body that was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The type has no such field.
    Unknown(String),
    /// The field stood there before; the last one counts.
    Duplicate(String),
    /// Keys stood in a YAML mapping before, the last one counts: upstream's text for all of them.
    Twice(String),
}

/// Why a body is refused; the text is the message of a 400.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    #[error("the object provided is unrecognized (must be of type {kind}): {problem} ({summary})")]
    Unrecognized { kind: String, problem: String, summary: String },
    #[error("{found} in version {version:?} cannot be handled as a {kind}: {problem}")]
    Unfit { found: String, version: String, kind: String, problem: String },
    #[error("the API version in the data ({found}) does not match the expected API version ({expected})")]
    WrongVersion { found: String, expected: String },
    #[error("strict decoding error: {}", join(.0))]
    Strict(Vec<Finding>),
}

/// Why bytes are no value, before any kind is known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Broken {
    #[error("couldn't get version/kind; json parse error: {0}")]
    Json(String),
    #[error("error converting YAML to JSON: yaml: {0}")]
    Yaml(String),
    #[error("protobuf: {0}")]
    Protobuf(String),
    #[error("exceeded max depth")]
    Depth,
    #[error("more than {MAX_VALUES} values")]
    Values,
    #[error("{0}")]
    Mismatch(Mismatch),
}

impl<'a> Expected<'a> {
    pub fn object(resource: &'a Resource) -> Self {
        let Resource { group, version, kind, ty, .. } = resource;
        Self { group, version, kind, ty: *ty, any_version: false }
    }

    /// The body of a subresource; none where it takes none.
    pub fn subresource(subresource: &'a Subresource) -> Option<Self> {
        let Subresource { group, version, kind, ty, .. } = subresource;
        Some(Self { group, version, kind, ty: (*ty)?, any_version: false })
    }

    /// An option kind of `meta.k8s.io/v1`, such as `DeleteOptions`.
    pub fn options(facts: &Facts, kind: &'a str) -> Option<Self> {
        let ty = facts.type_named(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}"))?;
        Some(Self { group: "", version: "v1", kind, ty, any_version: true })
    }
}

/// Reads a body of the expected type.
///
/// # Errors
/// [`DecodeError`]; unknown and duplicate fields are findings, no errors: see [`Decoded::judge`].
pub fn decode(facts: &Facts, expected: &Expected<'_>, body: &[u8], format: Format) -> Result<Decoded, DecodeError> {
    let read = match format {
        Format::Json => json::typed(facts, expected.ty, body),
        Format::Yaml => yaml::parse(body).and_then(|(value, mut findings)| {
            let (value, more) = conform_any(facts, expected.ty, value)?;
            findings.extend(more);
            Ok((value, findings))
        }),
        Format::Protobuf => return from_protobuf(facts, expected, body),
    };
    match read {
        Ok((mut value, findings)) => {
            let found = Found::of_value(&value).or(expected);
            found.check(expected)?;
            found.put(&mut value);
            Ok(Decoded { value, findings })
        }
        Err(broken) => {
            let found = match format {
                Format::Yaml => yaml::parse(body).map(|(value, _)| Found::of_value(&value)).ok(),
                _ => json::untyped(body).map(|(value, _)| Found::of_value(&value)).ok(),
            };
            Err(refusal(expected, found, &broken, body))
        }
    }
}

/// Reads a body of the expected kind as it is: a schema judges its fields later.
///
/// # Errors
/// [`DecodeError`]; duplicate fields are findings.
pub fn decode_open(expected: &Expected<'_>, body: &[u8], format: Format) -> Result<Decoded, DecodeError> {
    let unrecognized = |problem: String| DecodeError::Unrecognized {
        kind: expected.kind.to_owned(),
        problem,
        summary: summarize(body),
    };
    let (mut value, findings) = untyped(body, format).map_err(|broken| refusal(expected, None, &broken, body))?;
    if !value.is_object() {
        let problem =
            "couldn't get version/kind; json parse error: json: cannot unmarshal into Go value of type struct";
        return Err(unrecognized(problem.to_owned()));
    }
    let found = Found::of_value(&value);
    if found.kind.is_empty() {
        return Err(unrecognized(format!("Object 'Kind' is missing in '{}'", String::from_utf8_lossy(body))));
    }
    let found = found.or(expected);
    let served = api_version(expected.group, expected.version);
    if found.api_version != served {
        return Err(DecodeError::WrongVersion { found: found.api_version, expected: served });
    }
    found.put(&mut value);
    Ok(Decoded { value, findings })
}

/// Reads JSON or YAML without any type, as patches need it.
///
/// # Errors
/// Says what is wrong with the text; protobuf has no meaning without a type.
pub fn untyped(body: &[u8], format: Format) -> Result<(Value, Vec<Finding>), Broken> {
    match format {
        Format::Json => json::untyped(body),
        Format::Yaml => yaml::parse(body),
        Format::Protobuf => Err(Broken::Protobuf("it is not taken without the current kind".to_owned())),
    }
}

/// Makes a value that was put together here (by a patch) what its type says: nulls and unknown fields go, times and
/// quantities become canonical.
///
/// # Errors
/// Names the first field that has the wrong type.
pub fn conform(facts: &Facts, ty: TypeId, value: Value) -> Result<(Value, Vec<Finding>), Broken> {
    conform_any(facts, ty, value)
}

fn conform_any(facts: &Facts, ty: TypeId, value: Value) -> Result<(Value, Vec<Finding>), Broken> {
    typed::read(facts, ty, value)
}

fn from_protobuf(facts: &Facts, expected: &Expected<'_>, body: &[u8]) -> Result<Decoded, DecodeError> {
    let envelope = match protobuf::envelope(body) {
        Ok(envelope) => envelope,
        Err(broken) => return Err(refusal(expected, None, &broken, body)),
    };
    let found = Found { api_version: envelope.api_version, kind: envelope.kind }.or(expected);
    found.check(expected)?;
    match protobuf::message(facts, expected.ty, envelope.raw) {
        Ok(mut value) => {
            found.put(&mut value);
            Ok(Decoded { value, findings: Vec::new() })
        }
        Err(broken) => Err(refusal(expected, Some(found), &broken, body)),
    }
}

/// What a body calls itself; either may be empty.
struct Found {
    api_version: String,
    kind: String,
}

impl Found {
    fn of_value(value: &Value) -> Self {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
        Self { api_version: text("apiVersion"), kind: text("kind") }
    }

    /// What is not said is what the path expects.
    fn or(mut self, expected: &Expected<'_>) -> Self {
        if self.api_version.is_empty() {
            self.api_version = api_version(expected.group, expected.version);
        }
        if self.kind.is_empty() {
            expected.kind.clone_into(&mut self.kind);
        }
        self
    }

    fn check(&self, expected: &Expected<'_>) -> Result<(), DecodeError> {
        if self.kind != expected.kind {
            let problem = format!("the path takes only objects of kind {}", expected.kind);
            return Err(self.unfit(expected, problem));
        }
        let served = api_version(expected.group, expected.version);
        if !expected.any_version && self.api_version != served {
            return Err(DecodeError::WrongVersion { found: self.api_version.clone(), expected: served });
        }
        Ok(())
    }

    fn unfit(&self, expected: &Expected<'_>, problem: String) -> DecodeError {
        let version = self.api_version.rsplit('/').next().unwrap_or("").to_owned();
        DecodeError::Unfit { found: self.kind.clone(), version, kind: expected.kind.to_owned(), problem }
    }

    fn put(self, value: &mut Value) {
        if let Value::Object(object) = value {
            object.insert("apiVersion".to_owned(), Value::String(self.api_version));
            object.insert("kind".to_owned(), Value::String(self.kind));
        }
    }
}

fn refusal(expected: &Expected<'_>, found: Option<Found>, broken: &Broken, body: &[u8]) -> DecodeError {
    match (broken, found) {
        (Broken::Mismatch(_), Some(found)) if !found.kind.is_empty() => {
            let found = found.or(expected);
            found.check(expected).err().unwrap_or_else(|| found.unfit(expected, broken.to_string()))
        }
        _ => DecodeError::Unrecognized {
            kind: expected.kind.to_owned(),
            problem: broken.to_string(),
            summary: summarize(body),
        },
    }
}

/// The first bytes of a body, as upstream shows them.
fn summarize(body: &[u8]) -> String {
    const SHOWN: usize = 30;
    let more = if body.len() > SHOWN { " ..." } else { "" };
    let shown = &body[..body.len().min(SHOWN)];
    match shown.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(shown)),
        Some(_) => shown.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + more,
    }
}

impl Decoded {
    /// Applies `fieldValidation`: the value and the warnings that go with it.
    ///
    /// # Errors
    /// Under `Strict`, where anything was dropped.
    pub fn judge(self, validation: FieldValidation) -> Result<(Value, Vec<String>), DecodeError> {
        let findings = judge(self.findings, validation)?;
        Ok((self.value, findings))
    }
}

/// Drops what Go prints though nobody set it: zero values of fields that cannot be nil and are not required.
///
/// Two values are the same to a Go client if they are equal after this; a value from protobuf is so from the start.
pub fn drop_noise(facts: &Facts, ty: TypeId, value: &mut Value) {
    match (facts.shape(ty), value) {
        (Shape::Struct(object), Value::Object(map)) => map.retain(|key, value| {
            let Some(field) = object.field(key) else { return true };
            drop_noise(facts, field.ty, value);
            field.nillable || field.required || !is_zero(facts.shape(field.ty), value)
        }),
        (Shape::Map { value: inner, .. }, Value::Object(map)) => {
            map.values_mut().for_each(|value| drop_noise(facts, *inner, value));
        }
        (Shape::List(list), Value::Array(items)) => {
            items.iter_mut().for_each(|value| drop_noise(facts, list.item, value));
        }
        _ => {}
    }
}

/// Drops what Go's types do not tell from absence: empty lists and maps, zero scalars that cannot be nil.
pub fn drop_empty(facts: &Facts, ty: TypeId, value: &mut Value) {
    match (facts.shape(ty), value) {
        (Shape::Struct(object), Value::Object(map)) => map.retain(|key, value| {
            let Some(field) = object.field(key) else { return true };
            drop_empty(facts, field.ty, value);
            let shape = facts.shape(field.ty);
            let counts = match shape {
                Shape::List(_) | Shape::Map { .. } => true,
                Shape::Bool | Shape::Int32 | Shape::Int64 | Shape::Float | Shape::String | Shape::Bytes => {
                    !field.nillable
                }
                _ => false,
            };
            // An empty list of owners is a wish of its own.
            key == "managedFields" || field.required || !counts || !is_zero(shape, value)
        }),
        (Shape::Map { value: inner, .. }, Value::Object(map)) => {
            map.values_mut().for_each(|value| drop_empty(facts, *inner, value));
        }
        (Shape::List(list), Value::Array(items)) => {
            items.iter_mut().for_each(|value| drop_empty(facts, list.item, value));
        }
        _ => {}
    }
}

fn is_zero(shape: &Shape, value: &Value) -> bool {
    *value == zero(shape) || matches!((shape, value), (Shape::Float, Value::Number(n)) if n.as_f64() == Some(0.0))
}

/// Applies `fieldValidation` to findings: the warnings to send.
///
/// # Errors
/// Under `Strict`, where there are any.
pub fn judge(findings: Vec<Finding>, validation: FieldValidation) -> Result<Vec<String>, DecodeError> {
    match validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(findings.iter().map(ToString::to_string).collect()),
        FieldValidation::Strict if findings.is_empty() => Ok(Vec::new()),
        FieldValidation::Strict => Err(DecodeError::Strict(findings)),
    }
}

impl FieldValidation {
    /// Reads the query parameter; empty is the default, anything unknown is none.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Warn" => Some(Self::Warn),
            "Ignore" => Some(Self::Ignore),
            "Strict" => Some(Self::Strict),
            _ => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(path) => write!(f, "unknown field {path:?}"),
            Self::Duplicate(path) => write!(f, "duplicate field {path:?}"),
            Self::Twice(told) => f.write_str(told),
        }
    }
}

fn join(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Adds a finding unless it is known or there are enough.
fn note(findings: &mut Vec<Finding>, finding: Finding) {
    if findings.len() < MAX_FINDINGS && !findings.contains(&finding) {
        findings.push(finding);
    }
}

/// The value that Go's decoder leaves where JSON says `null` inside a list or a map.
fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::String | Shape::Bytes => Value::String(String::new()),
        Shape::Int32 | Shape::Int64 | Shape::Float | Shape::IntOrString => Value::from(0),
        Shape::Bool => Value::Bool(false),
        Shape::Quantity => Value::from("0"),
        Shape::Struct(_) | Shape::Map { .. } => Value::Object(serde_json::Map::new()),
        Shape::List(_) => Value::Array(Vec::new()),
        Shape::Time | Shape::MicroTime | Shape::Any(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests;
