//! `JSONSchemaProps` as JSON → the tree. It checks the types of keywords and nothing else: meaning is judged later.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use thiserror::Error;

use super::{Additional, Items, Junctors, Limits, MAX_DEPTH, Other, Pattern, Rule, Schema};

/// Why JSON is no schema.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SchemaError {
    #[error("{path}: must be {expected}")]
    Mismatch { path: String, expected: &'static str },
    #[error("{0}: schemas may not be nested deeper than {MAX_DEPTH} levels")]
    Depth(String),
}

/// Reads a schema.
///
/// # Errors
/// Names the first keyword of a wrong type; keywords that are no part of `JSONSchemaProps` are passed over, since decoding
/// has reported and dropped them.
pub fn parse(json: &Value) -> Result<Schema, SchemaError> {
    schema(json, &At { above: None, step: "", depth: 0 })
}

/// The place in the schema, linked to those above it.
struct At<'p> {
    above: Option<&'p At<'p>>,
    step: &'p str,
    depth: usize,
}

struct Node<'v, 'p> {
    map: &'v Map<String, Value>,
    at: &'p At<'p>,
}

type Parsed<T> = Result<T, SchemaError>;

fn schema(json: &Value, at: &At<'_>) -> Parsed<Schema> {
    if at.depth >= MAX_DEPTH {
        return Err(SchemaError::Depth(at.path()));
    }
    let Some(map) = json.as_object() else { return Err(at.mismatch("an object")) };
    let node = Node { map, at };
    Ok(Schema {
        ty: node.text("type")?,
        format: node.text("format")?,
        nullable: node.flag("nullable")?.unwrap_or(false),
        preserve: node.flag("x-kubernetes-preserve-unknown-fields")?,
        embedded: node.flag("x-kubernetes-embedded-resource")?.unwrap_or(false),
        int_or_string: node.flag("x-kubernetes-int-or-string")?.unwrap_or(false),
        list_type: node.optional_text("x-kubernetes-list-type")?,
        list_keys: node.texts("x-kubernetes-list-map-keys")?,
        map_type: node.optional_text("x-kubernetes-map-type")?,
        default: node.get("default").map(|value| Box::new(value.clone())),
        items: node.items()?.map(Box::new),
        properties: node.schemas("properties")?,
        additional: node.additional("additionalProperties")?.map(Box::new),
        limits: some(node.limits()?),
        junctors: some(node.junctors()?),
        rules: node.rules()?,
        has_title: !node.text("title")?.is_empty(),
        has_description: !node.text("description")?.is_empty(),
        other: some(node.other()?),
    })
}

/// Nothing where there is nothing to say.
fn some<T: Default + PartialEq>(value: T) -> Option<Box<T>> {
    (value != T::default()).then(|| Box::new(value))
}

impl At<'_> {
    fn path(&self) -> String {
        let above = self.above.map_or_else(String::new, At::path);
        if above.is_empty() { self.step.to_owned() } else { format!("{above}.{}", self.step) }
    }

    fn below<'q>(&'q self, step: &'q str) -> At<'q> {
        At { above: Some(self), step, depth: self.depth }
    }

    fn deeper(&self, step: &'static str) -> At<'_> {
        At { above: Some(self), step, depth: self.depth + 1 }
    }

    fn mismatch(&self, expected: &'static str) -> SchemaError {
        SchemaError::Mismatch { path: self.path(), expected }
    }
}

impl<'v> Node<'v, '_> {
    fn get(&self, name: &str) -> Option<&'v Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn read<T>(&self, name: &str, expected: &'static str, read: impl Fn(&'v Value) -> Option<T>) -> Parsed<Option<T>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.at.below(name).mismatch(expected))
    }

    fn optional_text(&self, name: &str) -> Parsed<Option<Box<str>>> {
        self.read(name, "a string", |value| value.as_str().map(Box::from))
    }

    fn text(&self, name: &str) -> Parsed<Box<str>> {
        Ok(self.optional_text(name)?.unwrap_or_else(|| Box::from("")))
    }

    fn flag(&self, name: &str) -> Parsed<Option<bool>> {
        self.read(name, "a boolean", Value::as_bool)
    }

    fn number(&self, name: &str) -> Parsed<Option<f64>> {
        self.read(name, "a number", Value::as_f64)
    }

    fn integer(&self, name: &str) -> Parsed<Option<i64>> {
        self.read(name, "an integer", Value::as_i64)
    }

    fn texts(&self, name: &str) -> Parsed<Box<[Box<str>]>> {
        let list = |value: &Value| {
            let items = value.as_array()?.iter().map(|item| item.as_str().map(Box::from));
            items.collect::<Option<Box<[Box<str>]>>>()
        };
        Ok(self.read(name, "a list of strings", list)?.unwrap_or_else(|| Box::from([])))
    }

    fn schemas(&self, name: &str) -> Parsed<BTreeMap<Box<str>, Schema>> {
        let map = self.read(name, "an object", Value::as_object)?;
        let at = At { above: Some(self.at), step: name, depth: self.at.depth + 1 };
        let entries = map.into_iter().flatten().map(|(key, json)| {
            let entry = At { above: Some(&at), step: key, depth: at.depth };
            Ok((Box::from(key.as_str()), schema(json, &entry)?))
        });
        entries.collect()
    }

    fn list(&self, name: &'static str) -> Parsed<Vec<Schema>> {
        let at = self.at.deeper(name);
        let list = self.read(name, "a list", Value::as_array)?;
        list.into_iter().flatten().map(|json| schema(json, &at)).collect()
    }

    fn items(&self) -> Parsed<Option<Items>> {
        match self.get("items") {
            None => Ok(None),
            Some(Value::Array(_)) => Ok(Some(Items::Many(self.list("items")?))),
            Some(json) => Ok(Some(Items::One(schema(json, &self.at.deeper("items"))?))),
        }
    }

    fn additional(&self, name: &'static str) -> Parsed<Option<Additional>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(allowed)) => Ok(Some(Additional::Allowed(*allowed))),
            Some(json) => Ok(Some(Additional::Schema(schema(json, &self.at.deeper(name))?))),
        }
    }

    fn limits(&self) -> Parsed<Limits> {
        Ok(Limits {
            maximum: self.number("maximum")?,
            minimum: self.number("minimum")?,
            exclusive_maximum: self.flag("exclusiveMaximum")?.unwrap_or(false),
            exclusive_minimum: self.flag("exclusiveMinimum")?.unwrap_or(false),
            multiple_of: self.number("multipleOf")?,
            max_length: self.integer("maxLength")?,
            min_length: self.integer("minLength")?,
            max_items: self.integer("maxItems")?,
            min_items: self.integer("minItems")?,
            max_properties: self.integer("maxProperties")?,
            min_properties: self.integer("minProperties")?,
            unique_items: self.flag("uniqueItems")?.unwrap_or(false),
            pattern: self.optional_text("pattern")?.filter(|text| !text.is_empty()).map(|text| Pattern::new(&text)),
            one_of: self
                .read("enum", "a list", Value::as_array)?
                .map_or_else(Box::default, |list| list.as_slice().into()),
            required: self.texts("required")?,
        })
    }

    fn junctors(&self) -> Parsed<Junctors> {
        let not = self.get("not").map(|json| schema(json, &self.at.deeper("not"))).transpose()?;
        Ok(Junctors {
            all_of: self.list("allOf")?,
            any_of: self.list("anyOf")?,
            one_of: self.list("oneOf")?,
            not: not.map(Box::new),
        })
    }

    fn rules(&self) -> Parsed<Box<[Rule]>> {
        let list = self.read("x-kubernetes-validations", "a list", Value::as_array)?;
        let at = self.at.below("x-kubernetes-validations");
        let rules = list.into_iter().flatten().map(|json| {
            let Some(map) = json.as_object() else { return Err(at.mismatch("a list of objects")) };
            let node = Node { map, at: &at };
            Ok(Rule {
                rule: node.text("rule")?.into(),
                message: node.text("message")?.into(),
                message_expression: node.text("messageExpression")?.into(),
                reason: node.optional_text("reason")?.map(String::from),
                field_path: node.text("fieldPath")?.into(),
                optional_old_self: node.flag("optionalOldSelf")?,
            })
        });
        rules.collect()
    }

    fn other(&self) -> Parsed<Other> {
        let docs = self.read("externalDocs", "an object", Value::as_object)?;
        let url = docs.map(|docs| docs.get("url").and_then(Value::as_str).unwrap_or("").into());
        Ok(Other {
            id: !self.text("id")?.is_empty(),
            schema: !self.text("$schema")?.is_empty(),
            reference: self.optional_text("$ref")?.is_some(),
            pattern_properties: self.schemas("patternProperties")?,
            definitions: self.schemas("definitions")?,
            dependencies: self.dependencies()?,
            additional_items: self.additional("additionalItems")?,
            external_docs: url,
            has_example: self.get("example").is_some(),
        })
    }

    fn dependencies(&self) -> Parsed<BTreeMap<Box<str>, Option<Schema>>> {
        let map = self.read("dependencies", "an object", Value::as_object)?;
        let at = self.at.deeper("dependencies");
        let entries = map.into_iter().flatten().map(|(key, json)| {
            let value = if json.is_array() { None } else { Some(schema(json, &at)?) };
            Ok((Box::from(key.as_str()), value))
        });
        entries.collect()
    }
}
