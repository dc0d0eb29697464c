//! Builds facts, for the committed table and for definitions that arrive at run time alike.
//!
//! It does not know where a definition came from; it only guarantees that every reference leads somewhere.

use std::collections::HashMap;

use thiserror::Error;

use super::{Facts, Group, List, Opaque, Resource, Shape, Struct, Text, Type, TypeId};

/// Why a set of definitions is no set of facts.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FactsError {
    #[error("type {0} is referred to but not defined")]
    Undefined(String),
    #[error("type {0} is defined twice")]
    TypeTwice(String),
    #[error("resource {0} is defined twice")]
    ResourceTwice(String),
    #[error("line {line}: {problem}")]
    Line { line: usize, problem: String },
}

/// Collects types and resources and checks them at the end.
#[derive(Debug)]
pub struct FactsBuilder {
    facts: Facts,
    defined: Vec<bool>,
    lists: HashMap<List, TypeId>,
    maps: HashMap<(TypeId, bool), TypeId>,
}

/// The scalars, in the order of their ids.
const SCALARS: [Shape; 16] = [
    Shape::String,
    Shape::Bytes,
    Shape::Int32,
    Shape::Int64,
    Shape::Float,
    Shape::Bool,
    Shape::Time,
    Shape::MicroTime,
    Shape::Quantity,
    Shape::IntOrString,
    Shape::Any(Opaque::Raw),
    Shape::Any(Opaque::Json),
    Shape::Any(Opaque::Fields),
    Shape::Any(Opaque::SchemaOrArray),
    Shape::Any(Opaque::SchemaOrBool),
    Shape::Any(Opaque::SchemaOrStrings),
];

impl TypeId {
    pub const STRING: Self = Self(0);
    pub const BYTES: Self = Self(1);
    pub const INT32: Self = Self(2);
    pub const INT64: Self = Self(3);
    pub const FLOAT: Self = Self(4);
    pub const BOOL: Self = Self(5);
    pub const TIME: Self = Self(6);
    pub const MICRO_TIME: Self = Self(7);
    pub const QUANTITY: Self = Self(8);
    pub const INT_OR_STRING: Self = Self(9);
    pub const RAW: Self = Self(10);
    pub const JSON: Self = Self(11);
    pub const FIELDS: Self = Self(12);
    pub const SCHEMA_OR_ARRAY: Self = Self(13);
    pub const SCHEMA_OR_BOOL: Self = Self(14);
    pub const SCHEMA_OR_STRINGS: Self = Self(15);
}

impl FactsBuilder {
    /// Starts from nothing but the scalars.
    pub fn new(version: impl Into<Text>) -> Self {
        let types = SCALARS.map(|shape| Type { name: Text::Borrowed(""), shape });
        let facts = Facts { version: version.into(), types: types.into(), ..Facts::default() };
        Self { facts, defined: vec![true; SCALARS.len()], lists: HashMap::new(), maps: HashMap::new() }
    }

    /// Starts a layer above `base`, whose types may be referred to.
    pub fn above(base: &'static Facts) -> Self {
        let first = base.first + u32::try_from(base.types.len()).expect("types are counted in thousands");
        let facts = Facts { base: Some(base), first, ..Facts::default() };
        Self { facts, defined: Vec::new(), lists: HashMap::new(), maps: HashMap::new() }
    }

    pub fn group(&mut self, group: Group) {
        self.facts.groups.push(group);
    }

    pub fn resource(&mut self, resource: Resource) {
        self.facts.resources.push(resource);
    }

    /// The id of a named type, which may be defined later.
    pub fn named(&mut self, name: impl Into<Text>) -> TypeId {
        let name = name.into();
        if let Some(id) = self.facts.type_named(&name) {
            return id;
        }
        let id = self.push(Type { name: name.clone(), shape: Shape::Struct(Struct::default()) }, false);
        self.facts.names.insert(name, id);
        id
    }

    /// Defines a named type.
    ///
    /// # Errors
    /// Where it has been defined already, here or below.
    pub fn define(&mut self, name: impl Into<Text>, shape: Shape) -> Result<TypeId, FactsError> {
        let name = name.into();
        let id = self.named(name.clone());
        let at = id.0.checked_sub(self.facts.first).map(|at| at as usize);
        match at {
            Some(at) if !self.defined[at] => {
                self.facts.types[at].shape = sorted(shape);
                self.defined[at] = true;
                Ok(id)
            }
            _ => Err(FactsError::TypeTwice(name.into_owned())),
        }
    }

    /// Defines `twin` as a copy of the struct `name` that server-side apply merges as told.
    pub(crate) fn define_twin(&mut self, name: &str, twin: String, atomic: bool) -> Result<TypeId, FactsError> {
        let undefined = || FactsError::Undefined(name.to_owned());
        let id = self.facts.type_named(name).ok_or_else(undefined)?;
        let Shape::Struct(object) = self.facts.shape(id) else { return Err(undefined()) };
        let object = Struct { atomic, ..object.clone() };
        self.define(twin, Shape::Struct(object))
    }

    /// An unnamed object type, such as the properties of a property in a run-time definition.
    pub fn object(&mut self, object: Struct) -> TypeId {
        self.push(Type { name: Text::Borrowed(""), shape: sorted(Shape::Struct(object)) }, true)
    }

    pub fn list(&mut self, list: List) -> TypeId {
        if let Some(&id) = self.lists.get(&list) {
            return id;
        }
        let id = self.push(Type { name: Text::Borrowed(""), shape: Shape::List(list.clone()) }, true);
        self.lists.insert(list, id);
        id
    }

    pub fn map(&mut self, value: TypeId, atomic: bool) -> TypeId {
        if let Some(&id) = self.maps.get(&(value, atomic)) {
            return id;
        }
        let id = self.push(Type { name: Text::Borrowed(""), shape: Shape::Map { value, atomic } }, true);
        self.maps.insert((value, atomic), id);
        id
    }

    /// Ends the collection.
    ///
    /// # Errors
    /// Where a type is referred to and not defined, or two resources share a path or a kind.
    pub fn build(mut self) -> Result<Facts, FactsError> {
        if let Some(at) = self.defined.iter().position(|defined| !defined) {
            return Err(FactsError::Undefined(self.facts.types[at].name.to_string()));
        }
        let resources = std::mem::take(&mut self.facts.resources);
        let count = u32::try_from(resources.len()).expect("resources are counted in hundreds");
        let mut by_path: Vec<u32> = (0..count).collect();
        let mut by_kind = by_path.clone();
        by_path.sort_by_key(|&at| resources[at as usize].path_key());
        by_kind.sort_by_key(|&at| resources[at as usize].kind_key());
        for pair in by_path.windows(2) {
            let [one, two] = [&resources[pair[0] as usize], &resources[pair[1] as usize]];
            if one.path_key() == two.path_key() {
                return Err(FactsError::ResourceTwice(format!("{}/{}", one.api_version(), one.plural)));
            }
        }
        self.facts.types.shrink_to_fit();
        Ok(Facts { resources, by_path, by_kind, ..self.facts })
    }

    fn push(&mut self, ty: Type, defined: bool) -> TypeId {
        let at = u32::try_from(self.facts.types.len()).expect("types are counted in thousands");
        self.facts.types.push(ty);
        self.defined.push(defined);
        TypeId(self.facts.first + at)
    }
}

fn sorted(mut shape: Shape) -> Shape {
    if let Shape::Struct(object) = &mut shape {
        object.fields.sort_by(|a, b| a.name.cmp(&b.name));
    }
    shape
}
