//! How server-side apply sees a value: scalar, atomic, set, keyed list or granular.
//! It reads the facts, or deduces from the value where there are none (lists atomic, objects granular).

use std::borrow::Cow;

use serde_json::Value;

use super::element::{Atom, Element};
use crate::facts::{Facts, ListType, Shape, Text, TypeId};

/// A type within some facts; no type means: deduce.
#[derive(Debug, Clone, Copy)]
pub struct Typing<'f> {
    facts: &'f Facts,
    ty: Option<TypeId>,
}

/// What a value is to server-side apply.
pub(crate) enum Relation<'f> {
    Scalar,
    AtomicList,
    Set(Typing<'f>),
    Keyed(Typing<'f>, &'f [Text]),
    AtomicMap,
    /// A struct or a map whose fields are owned one by one.
    Granular,
}

impl<'f> Typing<'f> {
    pub fn new(facts: &'f Facts, ty: TypeId) -> Self {
        Typing { facts, ty: Some(ty) }
    }

    /// For kinds without a schema: all but `metadata` is deduced.
    pub fn deduced(facts: &'f Facts) -> Self {
        Typing { facts, ty: None }
    }

    fn at(self, ty: TypeId) -> Typing<'f> {
        Typing { facts: self.facts, ty: Some(ty) }
    }

    fn unknown(self) -> Typing<'f> {
        Typing { facts: self.facts, ty: None }
    }

    /// The type of `metadata` of the object at this type, also where all else is deduced.
    pub(crate) fn metadata(self) -> Typing<'f> {
        let declared = self.ty.and_then(|ty| self.facts.field(ty, "metadata")).map(|field| field.ty);
        let ty = declared.or_else(|| self.facts.type_named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));
        Typing { facts: self.facts, ty }
    }

    pub(crate) fn relation(self, value: &Value) -> Relation<'f> {
        let deduced = || match value {
            Value::Array(_) => Relation::AtomicList,
            Value::Object(_) | Value::Null => Relation::Granular,
            _ => Relation::Scalar,
        };
        let Some(ty) = self.ty else { return deduced() };
        match self.facts.shape(ty) {
            Shape::Struct(object) if object.atomic => Relation::AtomicMap,
            Shape::Map { atomic: true, .. } => Relation::AtomicMap,
            Shape::Struct(_) | Shape::Map { .. } => Relation::Granular,
            Shape::List(list) => match &list.kind {
                ListType::Unset | ListType::Atomic => Relation::AtomicList,
                ListType::Set => Relation::Set(self.at(list.item)),
                ListType::Map(keys) => Relation::Keyed(self.at(list.item), keys),
            },
            Shape::Any(_) => deduced(),
            _ => Relation::Scalar,
        }
    }

    /// The shape, for checking values; none where anything goes.
    pub(crate) fn shape(self) -> Option<&'f Shape> {
        self.ty.map(|ty| self.facts.shape(ty)).filter(|shape| !matches!(shape, Shape::Any(_)))
    }

    /// Whether fields that the type does not name are errors.
    pub(crate) fn is_closed(self) -> bool {
        self.shape().is_some_and(|shape| !matches!(shape, Shape::Struct(object) if object.open))
    }

    /// The type of a field of a struct or an entry of a map.
    pub(crate) fn field(self, name: &str) -> Typing<'f> {
        let Some(ty) = self.ty else { return self };
        match self.facts.shape(ty) {
            Shape::Struct(object) => object.field(name).map_or(self.unknown(), |field| self.at(field.ty)),
            Shape::Map { value, .. } => self.at(*value),
            _ => self.unknown(),
        }
    }

    pub(crate) fn item(self) -> Typing<'f> {
        match self.ty.map(|ty| self.facts.shape(ty)) {
            Some(Shape::List(list)) => self.at(list.item),
            _ => self.unknown(),
        }
    }

    /// The type one step down.
    pub(crate) fn below(self, element: &Element<'_>) -> Typing<'f> {
        match element {
            Element::Field(name) => self.field(name),
            Element::Key(_) => self.item(),
            Element::Value(_) | Element::Index(_) => self.unknown(),
        }
    }

    /// Whether the declared type is a list or map that is owned as a whole.
    pub(crate) fn is_atomic(self) -> bool {
        let Some(ty) = self.ty else { return false };
        match self.facts.shape(ty) {
            Shape::Struct(object) => object.atomic,
            Shape::Map { atomic, .. } => *atomic,
            Shape::List(list) => list.kind.is_atomic(),
            _ => false,
        }
    }

    /// Whether this is a struct that names the field.
    pub(crate) fn declares(self, name: &str) -> bool {
        self.ty.is_some_and(|ty| self.facts.field(ty, name).is_some())
    }

    /// Whether upstream's Go type always holds this field, so that it never comes or goes as a whole.
    pub(crate) fn always_present(self, name: &str) -> bool {
        let Some(field) = self.ty.and_then(|ty| self.facts.field(ty, name)) else { return false };
        match self.facts.shape(field.ty) {
            Shape::Struct(_) => field.default == "{}",
            Shape::List(_) => field.required,
            _ => false,
        }
    }
}

impl Typing<'_> {
    /// Whether upstream's Go type prints this field as that very zero before anybody sets it.
    pub(crate) fn prints_zero(self, name: &str, value: &Value) -> bool {
        let Some(field) = self.ty.and_then(|ty| self.facts.field(ty, name)) else { return false };
        match value {
            Value::String(text) => text.is_empty() && field.default == "\"\"",
            Value::Number(number) => number.as_i64() == Some(0) && field.default == "0",
            Value::Bool(flag) => !flag && field.default == "false",
            _ => false,
        }
    }
}

/// The path element of an item of a set or keyed list.
///
/// # Errors
/// Items that cannot be told apart; the text is upstream's.
pub(crate) fn item_element<'a>(relation: &Relation<'a>, item: &'a Value) -> Result<Element<'a>, String> {
    match (relation, item) {
        (Relation::Set(_), Value::Object(_)) => {
            Err("associative list without keys has an element that's a map type".to_owned())
        }
        (Relation::Set(_), Value::Array(_)) => Err("not supported: associative list with lists as elements".to_owned()),
        (Relation::Set(_), Value::Null) => {
            Err("associative list without keys has an element that's an explicit null".to_owned())
        }
        (Relation::Set(_), scalar) => Ok(Element::Value(Atom::borrowed(scalar))),
        (Relation::Keyed(..), Value::Null) => Err("associative list with keys may not have a null element".to_owned()),
        (Relation::Keyed(item_type, keys), Value::Object(map)) => {
            let mut fields = Vec::with_capacity(keys.len());
            for key in *keys {
                let found = map.get(&**key).map(Atom::borrowed).or_else(|| default_of(*item_type, key));
                fields.extend(found.map(|atom| (Cow::Borrowed(&**key), atom)));
            }
            if fields.is_empty() {
                let names: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
                return Err(format!(
                    "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                    names.join(" ")
                ));
            }
            Ok(Element::key(fields))
        }
        (Relation::Keyed(..), _) => Err("associative list with keys may not have non-map elements".to_owned()),
        _ => Err("invalid indexing of non-associative list".to_owned()),
    }
}

fn default_of<'f>(item: Typing<'f>, key: &str) -> Option<Atom<'f>> {
    let field = item.facts.field(item.ty?, key)?;
    if field.default.is_empty() {
        return None;
    }
    let value = serde_json::from_str(&field.default).expect("defaults in the facts are JSON");
    Some(Atom::owned(value))
}
