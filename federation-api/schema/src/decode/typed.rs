//! The typed walk: any serde source → the value that a type allows, with what was dropped on the way.
//!
//! Built-in kinds follow Go's decoder: null is absent, unknown fields go, times and quantities become canonical, keys are
//! case-sensitive, the last duplicate counts. Source: `sigs.k8s.io/json`.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::time::Instant;
use super::{Broken, Finding, MAX_DEPTH, MAX_VALUES, note, zero};
use crate::facts::{Facts, Opaque, Shape, Struct, TypeId};
use crate::quantity;

/// A value of the wrong type, in the words of Go's decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Path of the field without list indexes, such as `spec.template.spec.containers.image`; empty at the top.
    pub field: String,
    pub problem: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

/// Reads a value of a known type.
pub(super) fn read<'de, D: Deserializer<'de>>(
    facts: &Facts,
    ty: TypeId,
    source: D,
) -> Result<(Value, Vec<Finding>), Broken> {
    let walk = Walk { facts: Some(facts), state: RefCell::default() };
    walk.run(Some(ty), source)
}

/// Reads any value.
pub(super) fn read_any<'de, D: Deserializer<'de>>(source: D) -> Result<(Value, Vec<Finding>), Broken> {
    let walk = Walk { facts: None, state: RefCell::default() };
    walk.run(None, source)
}

struct Walk<'f> {
    facts: Option<&'f Facts>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    findings: Vec<Finding>,
    values: usize,
    broken: Option<Broken>,
}

/// One step of a path, linked to those above it.
#[derive(Clone, Copy)]
struct At<'p> {
    above: Option<&'p At<'p>>,
    step: Step<'p>,
    depth: usize,
    /// Name of the type that the field belongs to.
    owner: &'p str,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Top,
    Field(&'p str),
    Key(&'p str),
    Index(usize),
}

/// Reads the value at one place.
struct Node<'w, 'p> {
    walk: &'w Walk<'w>,
    /// None where anything goes.
    shape: Option<&'w Shape>,
    ty: Option<TypeId>,
    at: At<'p>,
}

impl Walk<'_> {
    fn run<'de, D: Deserializer<'de>>(&self, ty: Option<TypeId>, source: D) -> Result<(Value, Vec<Finding>), Broken> {
        let at = At { above: None, step: Step::Top, depth: 0, owner: "" };
        let result = self.node(ty, at).deserialize(source);
        let state = self.state.take();
        match (state.broken, result) {
            (Some(broken), _) => Err(broken),
            (None, Ok(value)) => Ok((value, state.findings)),
            (None, Err(error)) => {
                let problem = error.to_string();
                Err(if problem.starts_with("recursion limit") { Broken::Depth } else { Broken::Json(problem) })
            }
        }
    }

    fn node<'w, 'p>(&'w self, ty: Option<TypeId>, at: At<'p>) -> Node<'w, 'p> {
        let shape = self.facts.zip(ty).map(|(facts, ty)| facts.shape(ty));
        let shape = shape.filter(|shape| !matches!(shape, Shape::Any(kind) if *kind != Opaque::Fields));
        Node { walk: self, shape, ty: shape.and(ty), at }
    }

    fn note(&self, finding: Finding) {
        note(&mut self.state.borrow_mut().findings, finding);
    }

    fn fail<E: serde::de::Error>(&self, broken: Broken) -> E {
        self.state.borrow_mut().broken.get_or_insert(broken);
        E::custom("refused")
    }

    /// Counts a value against the bound on memory.
    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        let mut state = self.state.borrow_mut();
        state.values += 1;
        if state.values > MAX_VALUES {
            state.broken.get_or_insert(Broken::Values);
            return Err(E::custom("refused"));
        }
        Ok(())
    }
}

impl<'p> At<'p> {
    fn below(&'p self, step: Step<'p>, owner: &'p str) -> At<'p> {
        At { above: Some(self), step, depth: self.depth + 1, owner }
    }

    fn write(&self, out: &mut String, indexes: bool) {
        if let Some(above) = self.above {
            above.write(out, indexes);
        }
        match self.step {
            Step::Key(_) if !indexes => {}
            Step::Field(name) | Step::Key(name) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(name);
            }
            Step::Index(at) if indexes => out.push_str(&format!("[{at}]")),
            Step::Top | Step::Index(_) => {}
        }
    }

    /// `spec.containers[0].image`
    fn path(&self) -> String {
        let mut path = String::new();
        self.write(&mut path, true);
        path
    }

    /// `spec.containers.image`
    fn field(&self) -> String {
        let mut path = String::new();
        self.write(&mut path, false);
        path
    }
}

impl Node<'_, '_> {
    fn mismatch<E: serde::de::Error>(&self, found: &str) -> E {
        let field = self.at.field();
        let go = self.ty.map_or_else(String::new, |ty| self.walk.facts.map_or_else(String::new, |f| go_type(f, ty)));
        let problem = match field.is_empty() {
            true => format!("json: cannot unmarshal {found} into Go value of type {go}"),
            false => {
                let owner = go_name(self.at.owner);
                format!("json: cannot unmarshal {found} into Go struct field {owner}.{field} of type {go}")
            }
        };
        self.walk.fail(Broken::Mismatch(Mismatch { field, problem }))
    }

    fn invalid<E: serde::de::Error>(&self, problem: impl fmt::Display) -> E {
        let field = self.at.field();
        let problem = format!("{field}: {problem}");
        self.walk.fail(Broken::Mismatch(Mismatch { field, problem }))
    }

    fn integer<E: serde::de::Error>(&self, number: i128) -> Result<Value, E> {
        let fits = match self.shape {
            None | Some(Shape::Float) => return Ok(whole(number)),
            Some(Shape::Int32 | Shape::IntOrString) => i32::try_from(number).is_ok(),
            Some(Shape::Int64) => i64::try_from(number).is_ok(),
            Some(Shape::Quantity) => return self.text(&number.to_string()),
            Some(_) => return Err(self.mismatch("number")),
        };
        if fits { Ok(whole(number)) } else { Err(self.mismatch(&format!("number {number}"))) }
    }

    fn text<E: serde::de::Error>(&self, text: &str) -> Result<Value, E> {
        let Some(shape) = self.shape else { return Ok(Value::from(text)) };
        match shape {
            Shape::String | Shape::IntOrString => Ok(Value::from(text)),
            Shape::Bytes => match base64_error(text) {
                None => Ok(Value::from(text)),
                Some(at) => Err(self.invalid(format_args!("illegal base64 data at input byte {at}"))),
            },
            Shape::Quantity => match quantity::canonical(text) {
                Ok(canonical) => Ok(Value::from(canonical)),
                Err(error) => Err(self.invalid(error)),
            },
            Shape::Time | Shape::MicroTime => self.time(text, matches!(shape, Shape::MicroTime)),
            _ => Err(self.mismatch("string")),
        }
    }

    fn time<E: serde::de::Error>(&self, text: &str, micros: bool) -> Result<Value, E> {
        let Some(at) = Instant::parse(text) else {
            return Err(
                self.invalid(format_args!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse it"))
            );
        };
        if at.is_go_zero() {
            return Ok(Value::Null);
        }
        let canonical = if micros { at.to_micros_text() } else { at.to_seconds_text() };
        match canonical {
            Some(text) => Ok(Value::from(text)),
            None => Err(self.invalid(format_args!("parsing time {text:?}: year outside of range [0,9999]"))),
        }
    }

    fn enter<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.at.depth >= MAX_DEPTH { Err(self.walk.fail(Broken::Depth)) } else { Ok(()) }
    }

    fn object<'de, A: MapAccess<'de>>(&self, object: &Struct, mut entries: A) -> Result<Value, A::Error> {
        let facts = self.walk.facts.expect("shapes come from facts");
        let owner: &str = self.ty.map_or("", |ty| &facts.ty(ty).name);
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let at = self.at.below(Step::Field(&key), owner);
            let Some(field) = object.field(&key) else {
                self.walk.note(Finding::Unknown(at.path()));
                let findings = self.walk.state.borrow().findings.len();
                entries.next_value_seed(self.walk.node(None, at))?;
                self.walk.state.borrow_mut().findings.truncate(findings);
                continue;
            };
            if map.contains_key(&key) {
                self.walk.note(Finding::Duplicate(at.path()));
            }
            let value = entries.next_value_seed(self.walk.node(Some(field.ty), at))?;
            map.insert(key, value);
        }
        map.retain(|_, value| !value.is_null());
        Ok(Value::Object(map))
    }

    fn map<'de, A: MapAccess<'de>>(&self, value: Option<TypeId>, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let at = self.at.below(Step::Key(&key), self.at.owner);
            if map.contains_key(&key) {
                self.walk.note(Finding::Duplicate(at.path()));
            }
            let inner = self.walk.node(value, at);
            let shape = inner.shape;
            let entry = entries.next_value_seed(inner)?;
            let entry = or_zero(entry, shape);
            map.insert(key, entry);
        }
        Ok(Value::Object(map))
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        self.walk.count()?;
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        match self.shape {
            None | Some(Shape::Bool) => Ok(Value::Bool(value)),
            Some(_) => Err(self.mismatch("bool")),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.integer(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.integer(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let Some(number) = Number::from_f64(value) else { return Err(self.mismatch("number")) };
        match self.shape {
            None | Some(Shape::Float) => Ok(Value::Number(number)),
            Some(Shape::Quantity) => self.text(&number.to_string()),
            Some(_) => Err(self.mismatch(&format!("number {number}"))),
        }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.text(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.enter()?;
        let item = match self.shape {
            None => None,
            Some(Shape::List(list)) => Some(list.item),
            Some(_) => return Err(self.mismatch("array")),
        };
        let mut values = Vec::new();
        loop {
            let at = self.at.below(Step::Index(values.len()), self.at.owner);
            let inner = self.walk.node(item, at);
            let shape = inner.shape;
            let Some(value) = items.next_element_seed(inner)? else { break };
            values.push(or_zero(value, shape));
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value, A::Error> {
        self.enter()?;
        match self.shape {
            None | Some(Shape::Any(_)) => self.map(None, entries),
            Some(Shape::Map { value, .. }) => self.map(Some(*value), entries),
            Some(Shape::Struct(object)) => self.object(object, entries),
            Some(_) => Err(self.mismatch("object")),
        }
    }
}

/// `null` in a list or a map is the item's zero value, as Go has it.
fn or_zero(value: Value, shape: Option<&Shape>) -> Value {
    match (value, shape) {
        (Value::Null, Some(shape)) => zero(shape),
        (value, _) => value,
    }
}

fn whole(number: i128) -> Value {
    match (i64::try_from(number), u64::try_from(number)) {
        (Ok(number), _) => Value::from(number),
        (_, Ok(number)) => Value::from(number),
        _ => Value::Null,
    }
}

/// Offset of the first byte that is no standard base64; Go skips line ends.
fn base64_error(text: &str) -> Option<usize> {
    let mut digits = 0usize;
    let mut padding = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\r' | b'\n' => {}
            b'=' if digits % 4 >= 2 && digits % 4 + padding < 4 => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => digits += 1,
            _ => return Some(at),
        }
    }
    (!(digits + padding).is_multiple_of(4)).then_some(text.len())
}

/// `io.k8s.api.core.v1.PodSpec` → `PodSpec`.
fn go_name(name: &str) -> &str {
    name.split('@').next().unwrap_or(name).rsplit('.').next().unwrap_or(name)
}

/// How Go would call a type, named strings aside.
fn go_type(facts: &Facts, ty: TypeId) -> String {
    match facts.shape(ty) {
        Shape::Struct(_) => {
            let mut parts = facts.ty(ty).name.rsplit('.');
            let name = go_name(parts.next().unwrap_or(""));
            parts.next().map_or_else(|| name.to_owned(), |version| format!("{version}.{name}"))
        }
        Shape::Map { value, .. } => format!("map[string]{}", go_type(facts, *value)),
        Shape::List(list) => format!("[]{}", go_type(facts, list.item)),
        Shape::String => "string".to_owned(),
        Shape::Bytes => "[]uint8".to_owned(),
        Shape::Int32 => "int32".to_owned(),
        Shape::Int64 => "int64".to_owned(),
        Shape::Float => "float64".to_owned(),
        Shape::Bool => "bool".to_owned(),
        Shape::Time => "v1.Time".to_owned(),
        Shape::MicroTime => "v1.MicroTime".to_owned(),
        Shape::Quantity => "resource.Quantity".to_owned(),
        Shape::IntOrString => "intstr.IntOrString".to_owned(),
        Shape::Any(_) => "runtime.RawExtension".to_owned(),
    }
}
