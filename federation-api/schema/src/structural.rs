//! Schemas of custom kinds: what a `JSONSchemaProps` of a definition means, and what it makes of an object.
//!
//! One tree serves all: [`check`] says whether it is structural, [`prune`], [`defaulting`], [`meta`] and [`value`] are the
//! pipeline of an object, [`layer`] turns it into facts for apply and decode. Pure: nothing here knows who stores what.
//!
//! Source: `k8s.io/apiextensions-apiserver/pkg/apiserver/schema`. Texts that only people read are dropped; `publish` takes
//! them from the definition itself.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value;

use crate::pattern::{self, Regex};

pub mod check;
pub mod columns;
mod complete;
pub mod correlate;
pub mod custom;
pub mod default_check;
pub mod defaulting;
pub mod format;
pub mod layer;
pub mod list_type;
pub mod meta;
mod net;
mod number;
mod parse;
pub mod prune;
pub mod publish;
pub mod rules;
pub mod value;

pub use custom::Custom;
pub use parse::{SchemaError, parse};

/// Schemas that nest deeper are refused; a body of 128 levels cannot hold more in earnest.
pub const MAX_DEPTH: usize = 128;

/// A schema node. What is empty is absent, as in Go.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schema {
    pub ty: Box<str>,
    pub format: Box<str>,
    pub nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`; false is not allowed but must be told apart.
    pub preserve: Option<bool>,
    pub embedded: bool,
    pub int_or_string: bool,
    pub list_type: Option<Box<str>>,
    pub list_keys: Box<[Box<str>]>,
    pub map_type: Option<Box<str>>,
    pub default: Option<Box<Value>>,
    pub items: Option<Box<Items>>,
    pub properties: BTreeMap<Box<str>, Schema>,
    pub additional: Option<Box<Additional>>,
    pub limits: Option<Box<Limits>>,
    pub junctors: Option<Box<Junctors>>,
    pub rules: Box<[Rule]>,
    /// Whether there are texts for people, which logical junctors may not hold.
    pub has_title: bool,
    pub has_description: bool,
    pub other: Option<Box<Other>>,
}

/// `items`: one schema, or several, which no structural schema has.
#[derive(Debug, Clone, PartialEq)]
pub enum Items {
    One(Schema),
    Many(Vec<Schema>),
}

/// `additionalProperties`.
#[derive(Debug, Clone, PartialEq)]
pub enum Additional {
    Allowed(bool),
    Schema(Schema),
}

/// What a value may be, whatever its structure.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    pub maximum: Option<f64>,
    pub minimum: Option<f64>,
    pub exclusive_maximum: bool,
    pub exclusive_minimum: bool,
    pub multiple_of: Option<f64>,
    pub max_length: Option<i64>,
    pub min_length: Option<i64>,
    pub max_items: Option<i64>,
    pub min_items: Option<i64>,
    pub max_properties: Option<i64>,
    pub min_properties: Option<i64>,
    pub unique_items: bool,
    pub pattern: Option<Pattern>,
    pub one_of: Box<[Value]>,
    pub required: Box<[Box<str>]>,
}

/// `allOf`, `anyOf`, `oneOf`, `not`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Junctors {
    pub all_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub not: Option<Box<Schema>>,
}

/// One of `x-kubernetes-validations`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    pub rule: String,
    pub message: String,
    pub message_expression: String,
    pub reason: Option<String>,
    pub field_path: String,
    pub optional_old_self: Option<bool>,
}

/// Keywords that no definition may use; kept to refuse them by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Other {
    pub id: bool,
    pub schema: bool,
    pub reference: bool,
    pub pattern_properties: BTreeMap<Box<str>, Schema>,
    pub definitions: BTreeMap<Box<str>, Schema>,
    pub dependencies: BTreeMap<Box<str>, Option<Schema>>,
    pub additional_items: Option<Additional>,
    pub external_docs: Option<Box<str>>,
    pub has_example: bool,
}

/// A regular expression in Go's syntax, compiled at its first use.
#[derive(Debug, Default)]
pub struct Pattern {
    text: Box<str>,
    compiled: OnceLock<Result<Regex, String>>,
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), compiled: OnceLock::new() }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// # Errors
    /// The text is Go's, such as ``error parsing regexp: missing closing ): `(` ``.
    pub fn compiled(&self) -> Result<&Regex, &str> {
        self.compiled.get_or_init(|| pattern::compile(&self.text)).as_ref().map_err(String::as_str)
    }
}

impl Clone for Pattern {
    fn clone(&self) -> Self {
        Self::new(&self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Schema {
    /// `x-kubernetes-preserve-unknown-fields: true`.
    pub fn preserves(&self) -> bool {
        self.preserve == Some(true)
    }

    pub fn limits(&self) -> &Limits {
        static NONE: OnceLock<Limits> = OnceLock::new();
        self.limits.as_deref().unwrap_or_else(|| NONE.get_or_init(Limits::default))
    }

    pub fn junctors(&self) -> &Junctors {
        static NONE: Junctors = Junctors { all_of: Vec::new(), any_of: Vec::new(), one_of: Vec::new(), not: None };
        self.junctors.as_deref().unwrap_or(&NONE)
    }

    /// The schema of a list's items.
    pub fn item(&self) -> Option<&Schema> {
        match self.items.as_deref() {
            Some(Items::One(schema)) => Some(schema),
            _ => None,
        }
    }

    /// The schema of a map's values; none too where any value goes.
    pub fn map_value(&self) -> Option<&Schema> {
        match self.additional.as_deref() {
            Some(Additional::Schema(schema)) => Some(schema),
            _ => None,
        }
    }

    /// The schema of the field: a property, else `additionalProperties`.
    pub fn field(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or_else(|| self.map_value())
    }

    pub fn list_type(&self) -> &str {
        self.list_type.as_deref().unwrap_or("")
    }

    pub fn map_type(&self) -> &str {
        self.map_type.as_deref().unwrap_or("")
    }

    /// A schema of nothing but a type.
    pub fn of_type(ty: &str) -> Self {
        Self { ty: ty.into(), ..Self::default() }
    }

    /// Whether any rule of `x-kubernetes-validations` stands at or below this node.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
            || self.properties.values().any(Schema::has_rules)
            || self.item().is_some_and(Schema::has_rules)
            || self.map_value().is_some_and(Schema::has_rules)
    }
}
