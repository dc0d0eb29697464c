//! JSON to values, by schema or by look, and back.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::super::declared::{Decl, DeclKind};
use super::time::{duration_text, parse_date, parse_loose_duration, parse_timestamp};
use super::{EvalError, Key, List, Map, Struct, Text, Value};

pub(super) fn value<'a>(json: &'a Json, decl: Option<&'a Decl>) -> Result<Value<'a>, EvalError> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => {
            let double = decl.is_some_and(|decl| matches!(decl.kind, DeclKind::Double));
            match (number.as_i64(), number.as_f64()) {
                (Some(value), _) if double => Value::Double(value as f64),
                (Some(value), _) => Value::Int(value),
                (None, Some(value)) if wants_int(decl) && value.fract() == 0.0 => Value::Int(value as i64),
                (None, Some(value)) => Value::Double(value),
                (None, None) => return Err(EvalError::new("invalid number")),
            }
        }
        Json::String(text) => string(text, decl)?,
        Json::Array(items) => Value::List(List::Json(items, decl)),
        Json::Object(map) => Value::Map(Map::Json(map, decl)),
    })
}

fn wants_int(decl: Option<&Decl>) -> bool {
    decl.is_some_and(|decl| matches!(decl.kind, DeclKind::Int))
}

fn string<'a>(text: &'a str, decl: Option<&Decl>) -> Result<Value<'a>, EvalError> {
    match decl.map(|decl| &decl.kind) {
        Some(DeclKind::Duration) => parse_loose_duration(text)
            .map(Value::Duration)
            .ok_or_else(|| EvalError::new(format!("Invalid duration {text}: invalid duration"))),
        Some(DeclKind::Date) => parse_date(text)
            .map(Value::Timestamp)
            .ok_or_else(|| EvalError::new(format!("Invalid date formatted string {text}: invalid date"))),
        Some(DeclKind::Timestamp) => parse_timestamp(text)
            .map(Value::Timestamp)
            .ok_or_else(|| EvalError::new(format!("Invalid date-time formatted string {text}: invalid date-time"))),
        Some(DeclKind::Bytes) => STANDARD
            .decode(text)
            .map(|bytes| Value::Bytes(bytes.into()))
            .map_err(|_| EvalError::new(format!("Invalid byte formatted string {text}: invalid base64"))),
        _ => Ok(Value::String(Text::Borrowed(text))),
    }
}

pub(super) fn back(value: &Value<'_>) -> Result<Json, EvalError> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::Uint(value) => Json::from(*value),
        Value::Double(value) => {
            serde_json::Number::from_f64(*value).map(Json::Number).ok_or_else(|| unsupported(value.to_string()))?
        }
        Value::String(text) => Json::String(text.to_string()),
        Value::Bytes(bytes) => Json::String(STANDARD.encode(bytes)),
        Value::Duration(nanos) => Json::String(duration_text(*nanos)),
        Value::Timestamp(time) => Json::String(time.to_string()),
        Value::List(List::Json(items, _)) => Json::Array(items.to_vec()),
        Value::List(List::Owned(items)) => Json::Array(items.iter().map(back).collect::<Result<_, _>>()?),
        Value::Map(Map::Json(map, _)) => Json::Object((*map).clone()),
        Value::Map(Map::Owned(map)) => Json::Object(
            map.iter().map(|(key, value)| Ok((key.to_string(), back(value)?))).collect::<Result<_, EvalError>>()?,
        ),
        Value::Struct(object) => Json::Object(
            object
                .fields
                .iter()
                .map(|(name, value)| Ok((name.to_string(), back(value)?)))
                .collect::<Result<_, EvalError>>()?,
        ),
        Value::Optional(Some(inner)) => back(inner)?,
        Value::Quantity(quantity) => Json::String(quantity.to_string()),
        Value::Semver(version) => Json::String(version.to_string()),
        Value::Ip(ip) => Json::String(ip.to_string()),
        Value::Cidr(ip, bits) => Json::String(format!("{ip}/{bits}")),
        other => return Err(unsupported(other.runtime_type().to_string())),
    })
}

fn unsupported(what: String) -> EvalError {
    EvalError::new(format!("{what} cannot be converted to JSON"))
}

pub(super) fn owned(value: Value<'_>) -> Value<'static> {
    match value {
        Value::Null => Value::Null,
        Value::Bool(value) => Value::Bool(value),
        Value::Int(value) => Value::Int(value),
        Value::Uint(value) => Value::Uint(value),
        Value::Double(value) => Value::Double(value),
        Value::String(Text::Shared(text)) => Value::String(Text::Shared(text)),
        Value::String(Text::Borrowed(text)) => Value::String(Text::Shared(text.into())),
        Value::Bytes(bytes) => Value::Bytes(bytes),
        Value::Duration(nanos) => Value::Duration(nanos),
        Value::Timestamp(time) => Value::Timestamp(time),
        Value::List(list) => Value::list(list.iter().map_while(Result::ok).map(owned).collect()),
        Value::Map(map) => {
            let entries = map.entries().into_iter().flatten();
            Value::Map(Map::Owned(Arc::new(entries.map(|(key, value)| (owned_key(key), owned(value))).collect())))
        }
        Value::Optional(inner) => Value::Optional(inner.map(|inner| Arc::new(owned((*inner).clone())))),
        Value::Type(ty) => Value::Type(ty),
        Value::Struct(object) => Value::Struct(Arc::new(Struct {
            name: object.name.clone(),
            fields: object.fields.iter().map(|(name, value)| (name.clone(), owned(value.clone()))).collect(),
        })),
        Value::Quantity(quantity) => Value::Quantity(quantity),
        Value::Url(url) => Value::Url(url),
        Value::Ip(ip) => Value::Ip(ip),
        Value::Cidr(ip, bits) => Value::Cidr(ip, bits),
        Value::Semver(version) => Value::Semver(version),
        Value::Format(format) => Value::Format(format),
        // Nothing of these outlives the request that they are about.
        Value::Lazy(_) | Value::Authorizer(_) => Value::Null,
    }
}

fn owned_key(key: Key<'_>) -> Key<'static> {
    match key {
        Key::Bool(value) => Key::Bool(value),
        Key::Int(value) => Key::Int(value),
        Key::Uint(value) => Key::Uint(value),
        Key::String(text) => Key::String(Text::Shared((*text).into())),
    }
}
