//! Values while an expression runs: JSON is borrowed, never copied; what an expression makes is shared.
//!
//! It knows how values look and compare, not what functions there are.

mod equal;
mod json;
mod list;
mod map;
mod time;

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value as Json;

use super::authorizer::AuthorizerValue;
use super::declared::Decl;
use super::library::format::NamedFormat;
use super::library::semver::Semver;
use super::library::url::Url;
use super::types::Type;
use crate::quantity::Quantity;

pub use list::List;
pub use map::{Key, Map};
pub(crate) use time::Civil;
pub use time::{Timestamp, duration_text, parse_duration, parse_loose_duration, parse_timestamp};

/// A value.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'a>),
    Bytes(Arc<[u8]>),
    /// In nanoseconds.
    Duration(i64),
    Timestamp(Timestamp),
    List(List<'a>),
    Map(Map<'a>),
    Optional(Option<Arc<Value<'a>>>),
    Type(Type),
    /// An object that the expression made.
    Struct(Arc<Struct<'a>>),
    /// Fields that the bindings compute when they are asked for, under this number.
    Lazy(u32),
    Quantity(Quantity),
    Url(Arc<Url>),
    Ip(IpAddr),
    Cidr(IpAddr, u8),
    Semver(Arc<Semver>),
    Format(&'static NamedFormat),
    Authorizer(AuthorizerValue<'a>),
}

/// A string, borrowed or shared.
#[derive(Debug, Clone)]
pub enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

/// An object that an expression made: `Object.spec{replicas: 1}`.
#[derive(Debug)]
pub struct Struct<'a> {
    pub name: Arc<str>,
    /// By JSON name.
    pub fields: Vec<(Arc<str>, Value<'a>)>,
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// What the expression did wrong; `&&` and `||` may outvote it.
    #[error("{0}")]
    Message(Arc<str>),
    /// The budget is used up.
    #[error("operation cancelled: actual cost limit exceeded")]
    CostLimit,
}

impl EvalError {
    pub fn new(message: impl Into<String>) -> Self {
        EvalError::Message(message.into().into())
    }

    pub(crate) fn no_such_key(key: impl std::fmt::Display) -> Self {
        EvalError::new(format!("no such key: {key}"))
    }

    pub(crate) fn no_such_overload() -> Self {
        EvalError::new("no such overload")
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::String(Text::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::String(Text::Shared(text.into()))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl<'a> Value<'a> {
    /// A JSON value as what its schema says it is; without a schema as what it looks like.
    ///
    /// # Errors
    /// A text that is not of the format that the schema says.
    pub fn from_json(json: &'a Json, decl: Option<&'a Decl>) -> Result<Value<'a>, EvalError> {
        json::value(json, decl)
    }

    /// The value as JSON, as for an audit annotation or a patch.
    ///
    /// # Errors
    /// Values that JSON has no form for.
    pub fn to_json(&self) -> Result<Json, EvalError> {
        json::back(self)
    }

    pub(crate) fn shared(text: impl Into<Arc<str>>) -> Value<'static> {
        Value::String(Text::Shared(text.into()))
    }

    pub(crate) fn list(values: Vec<Value<'a>>) -> Value<'a> {
        Value::List(List::Owned(Arc::new(values)))
    }

    pub(crate) fn some(value: Value<'a>) -> Value<'a> {
        Value::Optional(Some(Arc::new(value)))
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The type that the value has while the expression runs; lists and maps without parameters.
    pub fn runtime_type(&self) -> Type {
        match self {
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Uint(_) => Type::Uint,
            Value::Double(_) => Type::Double,
            Value::String(_) => Type::String,
            Value::Bytes(_) => Type::Bytes,
            Value::Duration(_) => Type::Duration,
            Value::Timestamp(_) => Type::Timestamp,
            Value::List(_) => Type::list(Type::Dyn),
            Value::Map(_) => Type::map(Type::Dyn, Type::Dyn),
            Value::Optional(_) => Type::optional(Type::Dyn),
            Value::Type(_) => Type::Type(None),
            Value::Struct(object) => Type::Object(object.name.clone()),
            Value::Lazy(_) => Type::object("kubernetes.variables"),
            Value::Quantity(_) => Type::object("kubernetes.Quantity"),
            Value::Url(_) => Type::object("kubernetes.URL"),
            Value::Ip(_) => Type::Opaque("net.IP".into(), [].into()),
            Value::Cidr(..) => Type::Opaque("net.CIDR".into(), [].into()),
            Value::Semver(_) => Type::object("kubernetes.Semver"),
            Value::Format(_) => Type::object("kubernetes.NamedFormat"),
            Value::Authorizer(authorizer) => Type::object(authorizer.type_name()),
        }
    }

    /// What `size()` and costs count; 1 for everything without a size.
    pub(crate) fn cost_size(&self) -> u64 {
        match self {
            Value::Optional(Some(inner)) => inner.cost_size(),
            other => other.size().unwrap_or(1),
        }
    }

    /// Characters, bytes, elements or entries.
    pub(crate) fn size(&self) -> Option<u64> {
        match self {
            Value::String(text) => Some(text.chars().count() as u64),
            Value::Bytes(bytes) => Some(bytes.len() as u64),
            Value::List(list) => Some(list.len() as u64),
            Value::Map(map) => Some(map.len() as u64),
            Value::Ip(ip) => Some(if ip.is_ipv4() { 4 } else { 16 }),
            Value::Cidr(_, bits) => Some(u64::from(*bits).div_ceil(8)),
            _ => None,
        }
    }

    /// Whether `optional.ofNonZeroValue` takes it for nothing.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) | Value::Duration(0) => true,
            Value::Double(value) => *value == 0.0,
            Value::Timestamp(time) => time.is_go_zero(),
            Value::Optional(None) => true,
            Value::Optional(Some(inner)) => inner.is_zero(),
            Value::Struct(object) => object.fields.is_empty(),
            other => {
                matches!(other, Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))
                    && other.size() == Some(0)
            }
        }
    }

    /// A value that borrows nothing.
    pub fn into_owned(self) -> Value<'static> {
        json::owned(self)
    }
}
