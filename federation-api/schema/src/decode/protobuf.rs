//! Kubernetes protobuf → canonical JSON, driven by the table of kinds.
//!
//! Go writes zero values of fields that cannot be nil; they are dropped here unless the field is required, so that they do
//! not count as set. Source: `k8s.io/apimachinery/pkg/runtime/serializer/protobuf`, `generated.pb.go`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use super::time::Instant;
use super::{Broken, MAX_DEPTH, MAX_VALUES, PROTOBUF_MAGIC, is_zero, json, zero};
use crate::facts::{Facts, Field, List, Opaque, Shape, TypeId};
use crate::quantity;
use wire::{Payload, Problem, Wire};

mod wire;

const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// `runtime.Unknown`: what wraps every body.
pub(super) struct Envelope<'a> {
    pub api_version: String,
    pub kind: String,
    pub raw: &'a [u8],
}

/// Opens the envelope.
pub(super) fn envelope(body: &[u8]) -> Result<Envelope<'_>, Broken> {
    let rest = body.strip_prefix(PROTOBUF_MAGIC);
    let rest = rest.ok_or_else(|| Broken::Protobuf("the body does not start with the expected prefix".to_owned()))?;
    open(rest).map_err(|problem| Broken::Protobuf(problem.to_owned()))
}

fn open(bytes: &[u8]) -> Result<Envelope<'_>, Problem> {
    let mut envelope = Envelope { api_version: String::new(), kind: String::new(), raw: &[] };
    let mut wire = Wire::new(bytes);
    while let Some((tag, payload)) = wire.next()? {
        match tag {
            1 => {
                let mut meta = Wire::new(payload.bytes()?);
                while let Some((tag, payload)) = meta.next()? {
                    match tag {
                        1 => payload.text()?.clone_into(&mut envelope.api_version),
                        2 => payload.text()?.clone_into(&mut envelope.kind),
                        _ => {}
                    }
                }
            }
            2 => envelope.raw = payload.bytes()?,
            3 if !payload.bytes()?.is_empty() => return Err("an encoded envelope is not supported"),
            _ => {}
        }
    }
    Ok(envelope)
}

/// Reads a message of a known type.
pub(super) fn message(facts: &Facts, ty: TypeId, bytes: &[u8]) -> Result<Value, Broken> {
    if !has_tags(facts, ty) {
        return Err(Broken::Protobuf("the kind has no protobuf form".to_owned()));
    }
    let mut reader = Reader { facts, values: 0 };
    let mut object = Map::new();
    match reader.object(&mut object, ty, bytes, 0) {
        Ok(()) => Ok(Value::Object(object)),
        Err(fault) => Err(fault.into_broken()),
    }
}

/// Whether protobuf can carry a type: our kinds and run-time ones have no tags, and nothing may be dropped in silence.
fn has_tags(facts: &Facts, ty: TypeId) -> bool {
    match facts.shape(ty) {
        Shape::Struct(object) => object.fields.is_empty() || object.fields.iter().any(|field| field.tag > 0),
        _ => false,
    }
}

struct Reader<'f> {
    facts: &'f Facts,
    values: usize,
}

/// What went wrong, and where: the path grows while the error travels up.
struct Fault {
    path: String,
    problem: Fatal,
}

enum Fatal {
    Text(String),
    Depth,
    Values,
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Fault { path: String::new(), problem: Fatal::Text(problem.to_owned()) }
    }
}

impl Fault {
    fn new(problem: String) -> Self {
        Self { path: String::new(), problem: Fatal::Text(problem) }
    }

    fn within(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }

    fn into_broken(self) -> Broken {
        match self.problem {
            Fatal::Depth => Broken::Depth,
            Fatal::Values => Broken::Values,
            Fatal::Text(problem) if self.path.is_empty() => Broken::Protobuf(problem),
            Fatal::Text(problem) => Broken::Protobuf(format!("{}: {problem}", self.path)),
        }
    }
}

impl Reader<'_> {
    /// Reads fields into `object`; what repeats is merged, as protobuf wants.
    fn object(&mut self, object: &mut Map<String, Value>, ty: TypeId, bytes: &[u8], depth: usize) -> Result<(), Fault> {
        if depth >= MAX_DEPTH {
            return Err(Fault { path: String::new(), problem: Fatal::Depth });
        }
        let Shape::Struct(shape) = self.facts.shape(ty) else { return Err("the type is no message".into()) };
        let mut wire = Wire::new(bytes);
        while let Some((tag, payload)) = wire.next()? {
            if let Some((_, inner)) = shape.inline.iter().find(|(inline, _)| *inline == tag) {
                self.object(object, *inner, payload.bytes()?, depth + 1)?;
            } else if let Some(field) = shape.fields.iter().find(|field| field.tag == tag) {
                self.field(object, field, payload, depth).map_err(|fault| fault.within(&field.name))?;
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        object: &mut Map<String, Value>,
        field: &Field,
        payload: Payload<'_>,
        depth: usize,
    ) -> Result<(), Fault> {
        let facts = self.facts;
        let name: &str = &field.name;
        let value = match facts.shape(field.ty) {
            Shape::Struct(_) => {
                self.count()?;
                let mut inner = match object.remove(name) {
                    Some(Value::Object(inner)) => inner,
                    _ => Map::new(),
                };
                self.object(&mut inner, field.ty, payload.bytes()?, depth + 1)?;
                Value::Object(inner)
            }
            Shape::List(list) if !list.wrapped => {
                let mut items = match object.remove(name) {
                    Some(Value::Array(items)) => items,
                    _ => Vec::new(),
                };
                self.items(&mut items, list, payload, depth)?;
                Value::Array(items)
            }
            Shape::Map { value, .. } => {
                let (key, value) = self.entry(*value, payload.bytes()?, depth)?;
                let mut entries = match object.remove(name) {
                    Some(Value::Object(entries)) => entries,
                    _ => Map::new(),
                };
                entries.insert(key, value);
                Value::Object(entries)
            }
            _ => self.value(field.ty, payload, depth)?,
        };
        let noise = !field.nillable && !field.required && is_zero(facts.shape(field.ty), &value);
        if !value.is_null() && !noise {
            object.insert(name.to_owned(), value);
        }
        Ok(())
    }

    /// Reads one item, or several that are packed.
    fn items(&mut self, items: &mut Vec<Value>, list: &List, payload: Payload<'_>, depth: usize) -> Result<(), Fault> {
        let packable = matches!(self.facts.shape(list.item), Shape::Int32 | Shape::Int64 | Shape::Bool);
        if let (true, Payload::Bytes(bytes)) = (packable, payload) {
            let mut wire = Wire::new(bytes);
            while !wire.is_empty() {
                let item = Payload::Varint(wire.varint()?);
                items.push(self.value(list.item, item, depth)?);
            }
            return Ok(());
        }
        items.push(self.value(list.item, payload, depth + 1)?);
        Ok(())
    }

    fn entry(&mut self, ty: TypeId, bytes: &[u8], depth: usize) -> Result<(String, Value), Fault> {
        let (mut key, mut value) = (String::new(), None);
        let mut wire = Wire::new(bytes);
        while let Some((tag, payload)) = wire.next()? {
            match tag {
                1 => payload.text()?.clone_into(&mut key),
                2 => value = Some(self.value(ty, payload, depth + 1)?),
                _ => {}
            }
        }
        let facts = self.facts;
        Ok((key, value.unwrap_or_else(|| zero(facts.shape(ty)))))
    }

    fn count(&mut self) -> Result<(), Fault> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Fault { path: String::new(), problem: Fatal::Values });
        }
        Ok(())
    }

    fn value(&mut self, ty: TypeId, payload: Payload<'_>, depth: usize) -> Result<Value, Fault> {
        self.count()?;
        let facts = self.facts;
        Ok(match facts.shape(ty) {
            Shape::Struct(_) => {
                let mut object = Map::new();
                self.object(&mut object, ty, payload.bytes()?, depth + 1)?;
                Value::Object(object)
            }
            Shape::List(list) => {
                let mut items = Vec::new();
                let mut wire = Wire::new(payload.bytes()?);
                while let Some((tag, payload)) = wire.next()? {
                    if tag == 1 {
                        self.items(&mut items, list, payload, depth)?;
                    }
                }
                Value::Array(items)
            }
            Shape::Map { .. } => return Err("a map cannot stand here".into()),
            Shape::String => Value::from(payload.text()?),
            Shape::Bytes => Value::from(STANDARD.encode(payload.bytes()?)),
            Shape::Int32 => Value::from(int32(payload.int()?)),
            Shape::Int64 => Value::from(payload.int()?),
            Shape::Bool => Value::from(payload.int()? != 0),
            Shape::Float => float(payload)?,
            Shape::Time => time(payload.bytes()?, false)?,
            Shape::MicroTime => time(payload.bytes()?, true)?,
            Shape::Quantity => match inner_text(payload.bytes()?)? {
                "" => Value::from("0"),
                text => Value::from(quantity::canonical(text).map_err(|error| Fault::new(error.to_string()))?),
            },
            Shape::IntOrString => int_or_string(payload.bytes()?)?,
            Shape::Any(kind) => self.any(*kind, payload.bytes()?, depth)?,
        })
    }

    fn any(&mut self, kind: Opaque, bytes: &[u8], depth: usize) -> Result<Value, Fault> {
        match kind {
            Opaque::Raw | Opaque::Json | Opaque::Fields => self.raw(bytes, depth),
            Opaque::SchemaOrArray | Opaque::SchemaOrBool | Opaque::SchemaOrStrings => self.schema(kind, bytes, depth),
        }
    }

    /// JSON inside a message; an embedded object may be protobuf itself.
    fn raw(&mut self, bytes: &[u8], depth: usize) -> Result<Value, Fault> {
        let mut raw: &[u8] = &[];
        let mut wire = Wire::new(bytes);
        while let Some((tag, payload)) = wire.next()? {
            if tag == 1 {
                raw = payload.bytes()?;
            }
        }
        if raw.is_empty() {
            return Ok(Value::Null);
        }
        if let Some(rest) = raw.strip_prefix(PROTOBUF_MAGIC) {
            return self.embedded(rest, depth);
        }
        let (value, _) = json::untyped(raw).map_err(|broken| Fault::new(broken.to_string()))?;
        Ok(value)
    }

    fn embedded(&mut self, bytes: &[u8], depth: usize) -> Result<Value, Fault> {
        let envelope = open(bytes)?;
        let (group, version) = envelope.api_version.split_once('/').unwrap_or(("", &envelope.api_version));
        let Some(resource) = self.facts.by_kind(group, version, &envelope.kind) else {
            return Err(Fault::new(format!("no kind {:?} is known in {:?}", envelope.kind, envelope.api_version)));
        };
        let mut object = Map::new();
        self.object(&mut object, resource.ty, envelope.raw, depth + 1)?;
        object.insert("apiVersion".to_owned(), Value::String(envelope.api_version));
        object.insert("kind".to_owned(), Value::String(envelope.kind));
        Ok(Value::Object(object))
    }

    fn schema(&mut self, kind: Opaque, bytes: &[u8], depth: usize) -> Result<Value, Fault> {
        let ty = self.facts.type_named(SCHEMA).ok_or("schemas are unknown here")?;
        let (schema_tag, mut schema, mut list, mut allows) =
            (if kind == Opaque::SchemaOrBool { 2 } else { 1 }, None, Vec::new(), false);
        let mut wire = Wire::new(bytes);
        while let Some((tag, payload)) = wire.next()? {
            match (tag, kind) {
                (1, Opaque::SchemaOrBool) => allows = payload.int()? != 0,
                (2, Opaque::SchemaOrArray) => list.push(self.value(ty, payload, depth + 1)?),
                (2, Opaque::SchemaOrStrings) => list.push(Value::from(payload.text()?)),
                (tag, _) if tag == schema_tag => schema = Some(self.value(ty, payload, depth + 1)?),
                _ => {}
            }
        }
        Ok(match schema {
            Some(schema) => schema,
            None if kind == Opaque::SchemaOrBool => Value::Bool(allows),
            None => Value::Array(list),
        })
    }
}

#[allow(clippy::cast_possible_truncation, reason = "Go truncates a varint to int32 likewise")]
fn int32(value: i64) -> i32 {
    value as i32
}

fn float(payload: Payload<'_>) -> Result<Value, Problem> {
    let number = match payload {
        Payload::Fixed64(bits) => f64::from_bits(bits),
        Payload::Fixed32(bits) => f64::from(f32::from_bits(bits)),
        _ => return Err("wrong wire type: expected a float"),
    };
    Number::from_f64(number).map(Value::Number).ok_or("a number is not finite")
}

/// `Timestamp{1: seconds, 2: nanos}`; the empty message is no time.
fn time(bytes: &[u8], micros: bool) -> Result<Value, Problem> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let mut at = Instant::from_seconds(0);
    let mut wire = Wire::new(bytes);
    while let Some((tag, payload)) = wire.next()? {
        match tag {
            1 => at.seconds = payload.int()?,
            2 => at.nanos = u32::try_from(payload.int()?).map_err(|_| "nanoseconds are out of range")?,
            _ => {}
        }
    }
    if at.nanos >= 1_000_000_000 {
        return Err("nanoseconds are out of range");
    }
    let text = if micros { at.to_micros_text() } else { at.to_seconds_text() };
    text.map(Value::from).ok_or("a time is out of range")
}

/// The string with tag 1.
fn inner_text(bytes: &[u8]) -> Result<&str, Problem> {
    let mut text = "";
    let mut wire = Wire::new(bytes);
    while let Some((tag, payload)) = wire.next()? {
        if tag == 1 {
            text = payload.text()?;
        }
    }
    Ok(text)
}

/// `IntOrString{1: type, 2: int, 3: string}`.
fn int_or_string(bytes: &[u8]) -> Result<Value, Problem> {
    let (mut is_text, mut number, mut text) = (false, 0, "");
    let mut wire = Wire::new(bytes);
    while let Some((tag, payload)) = wire.next()? {
        match tag {
            1 => is_text = payload.int()? == 1,
            2 => number = int32(payload.int()?),
            3 => text = payload.text()?,
            _ => {}
        }
    }
    Ok(if is_text { Value::from(text) } else { Value::from(number) })
}
