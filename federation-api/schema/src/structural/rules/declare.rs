//! Schemas as types of expressions, with how large their values may be.
//!
//! Source: `k8s.io/apiserver/pkg/cel/common/schemas.go`, `pkg/apis/cel/config.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::cel::{Decl, DeclField, DeclKind, ListEquality, MAX_REQUEST_BYTES, escape};
use crate::structural::{Limits, Schema};

/// The type of a schema's values; none where expressions cannot see them. `is_root` adds what every resource has.
pub fn declare(schema: &Schema, is_root: bool) -> Option<Decl> {
    let limits = schema.limits();
    if schema.int_or_string {
        let max = limits.max_length.map_or(MAX_REQUEST_BYTES - 2, characters);
        return Some(Decl { max, ..Decl::any() });
    }
    match &*schema.ty {
        "array" => list(schema, limits),
        "object" => match schema.map_value() {
            Some(value) => {
                let value = declare(value, value.embedded)?;
                let max = limits.max_properties.map(zero_if_negative);
                let max = max.unwrap_or((MAX_REQUEST_BYTES - 2) / (value.min_size + 6));
                Some(Decl::map(value, max))
            }
            None => Some(object(schema, is_root)),
        },
        "string" => Some(string(schema, limits)),
        "boolean" => Some(Decl::simple(DeclKind::Bool)),
        "number" => Some(Decl::simple(DeclKind::Double)),
        "integer" => Some(Decl::simple(DeclKind::Int)),
        _ => None,
    }
}

fn zero_if_negative(number: i64) -> i64 {
    number.max(0)
}

/// A character may take four bytes.
fn characters(length: i64) -> i64 {
    zero_if_negative(length).saturating_mul(4)
}

fn list(schema: &Schema, limits: &Limits) -> Option<Decl> {
    let item = schema.item()?;
    let element = declare(item, item.embedded)?;
    let max = limits.max_items.map(zero_if_negative);
    let max = max.unwrap_or((MAX_REQUEST_BYTES - 2) / (element.min_size + 1));
    let equality = match schema.list_type() {
        "set" => ListEquality::Set,
        "map" => ListEquality::Map(schema.list_keys.iter().map(|key| key.to_string()).collect()),
        _ => ListEquality::Atomic,
    };
    let sized = Decl::list(element, max);
    let kind = match sized.kind {
        DeclKind::List { element, .. } => DeclKind::List { element, equality },
        other => other,
    };
    Some(Decl { kind, ..sized })
}

fn object(schema: &Schema, is_root: bool) -> Decl {
    let required = &schema.limits().required;
    // An object is at least its braces, and all that must be there.
    let (mut fields, mut min_size) = (BTreeMap::new(), 2);
    for (name, property) in &schema.properties {
        let Some(decl) = declare(property, property.embedded) else { continue };
        if required.contains(name) && property.default.is_none() {
            min_size += i64::try_from(name.len()).unwrap_or(0) + decl.min_size + 4;
        }
        add(&mut fields, name, decl);
    }
    if is_root && !names_itself(schema) {
        let text = || Decl { max: MAX_REQUEST_BYTES - 2, ..Decl::simple(DeclKind::String) };
        add(&mut fields, "apiVersion", text());
        add(&mut fields, "kind", text());
        let metadata = schema.properties.get("metadata").filter(|metadata| &*metadata.ty == "object");
        let limited = |name: &str| {
            let schema = metadata.and_then(|metadata| metadata.properties.get(name));
            schema.filter(|schema| &*schema.ty == "string").map_or_else(text, |schema| string(schema, schema.limits()))
        };
        let named = [("name", limited("name")), ("generateName", limited("generateName"))];
        add(&mut fields, "metadata", Decl::object("object", named));
    }
    Decl { kind: DeclKind::Object { name: "object".into(), fields }, max: 0, min_size }
}

fn add(fields: &mut BTreeMap<Arc<str>, DeclField>, name: &str, decl: Decl) {
    if let Some(identifier) = escape(name) {
        fields.insert(identifier.into(), DeclField { json: name.into(), decl: Arc::new(decl) });
    }
}

/// Whether a schema says itself what every resource has.
fn names_itself(schema: &Schema) -> bool {
    let is = |schema: &Schema, name: &str, ty: &str| schema.properties.get(name).is_some_and(|of| &*of.ty == ty);
    let metadata = schema.properties.get("metadata");
    is(schema, "kind", "string")
        && is(schema, "apiVersion", "string")
        && is(schema, "metadata", "object")
        && metadata.is_some_and(|of| is(of, "name", "string") && is(of, "generateName", "string"))
}

fn string(schema: &Schema, limits: &Limits) -> Decl {
    let any = MAX_REQUEST_BYTES - 2;
    let (kind, max) = match &*schema.format {
        "byte" => (DeclKind::Bytes, limits.max_length.map_or(any, zero_if_negative)),
        "duration" => (DeclKind::Duration, 32),
        "date" => (DeclKind::Date, 12),
        "date-time" => (DeclKind::Timestamp, 32),
        _ => {
            let longest = || {
                let lengths = limits.one_of.iter().filter_map(Value::as_str).map(str::len);
                i64::try_from(lengths.max().unwrap_or(0)).unwrap_or(any)
            };
            let unlimited = || if limits.one_of.is_empty() { any } else { longest() };
            (DeclKind::String, limits.max_length.map_or_else(unlimited, characters))
        }
    };
    Decl { max, ..Decl::simple(kind) }
}
