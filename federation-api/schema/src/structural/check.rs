//! Whether a schema is structural: every value has one shape that does not depend on other values.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema` (`validation.go`, `convert.go`); texts are upstream's.

use super::{Additional, Items, Schema, complete};
use crate::field::{FieldError, FieldPath};

/// Where a schema stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Keywords that have no structural meaning at all: the first one found, in upstream's words.
pub fn unsupported(schema: &Schema) -> Option<String> {
    let found = schema.other.as_deref().and_then(|other| {
        let keywords = [
            ("id", other.id),
            ("schema", other.schema),
            ("$ref", other.reference),
            ("patternProperties", !other.pattern_properties.is_empty()),
            ("dependencies", !other.dependencies.is_empty()),
            ("additionalItems", other.additional_items.is_some()),
            ("definitions", !other.definitions.is_empty()),
        ];
        keywords.into_iter().find(|(_, set)| *set).map(|(name, _)| format!("OpenAPIV3Schema '{name}' is not supported"))
    });
    let of_items = || match schema.items.as_deref() {
        Some(Items::Many(many)) if !many.is_empty() => {
            Some("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned())
        }
        _ => None,
    };
    let of_preserve = || {
        (schema.preserve == Some(false))
            .then(|| "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined".to_owned())
    };
    found.or_else(of_preserve).or_else(of_items).or_else(|| below(schema).find_map(unsupported))
}

/// Every schema right below, junctors included.
pub fn below(schema: &Schema) -> impl Iterator<Item = &Schema> {
    let junctors = schema.junctors();
    let items = match schema.items.as_deref() {
        Some(Items::One(one)) => std::slice::from_ref(one),
        Some(Items::Many(many)) => many,
        None => &[],
    };
    let of_junctors =
        junctors.all_of.iter().chain(&junctors.any_of).chain(&junctors.one_of).chain(junctors.not.as_deref());
    items.iter().chain(of_junctors).chain(schema.properties.values()).chain(schema.map_value())
}

/// Whether anything at or below has the property.
pub fn any(schema: &Schema, test: &dyn Fn(&Schema) -> bool) -> bool {
    test(schema) || below(schema).any(|schema| any(schema, test))
}

/// Every reason why the schema is not structural, sorted by text.
pub fn structural(schema: &Schema, path: &FieldPath<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    node(schema, Level::Root, path, &mut errors);
    complete::check(schema, path, &mut errors);
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

fn node(schema: &Schema, level: Level, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if &*schema.ty == "array" && schema.item().is_none() {
        errors.push(FieldError::required(&path.child("items"), "must be specified"));
    }
    if let Some(item) = schema.item() {
        node(item, Level::Item, &path.child("items"), errors);
    }
    let properties = path.child("properties");
    for (name, property) in &schema.properties {
        node(property, Level::Field, &properties.key(name), errors);
    }
    let at_additional = path.child("additionalProperties");
    if schema.additional.is_some() && level == Level::Root {
        errors.push(FieldError::forbidden(&at_additional, "must not be used at the root"));
    }
    if let Some(Additional::Schema(value)) = schema.additional.as_deref() {
        node(value, Level::Field, &at_additional, errors);
    }
    if schema.int_or_string && schema.preserves() {
        let at = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(&at, true, "must be false if x-kubernetes-int-or-string is true"));
    }
    if schema.int_or_string && schema.embedded {
        let at = path.child("x-kubernetes-embedded-resource");
        errors.push(FieldError::invalid(&at, true, "must be false if x-kubernetes-int-or-string is true"));
    }
    let junctors = schema.junctors();
    let skip_any = is_int_or_string(&junctors.any_of);
    let skip_first = junctors.all_of.first().is_some_and(|first| is_int_or_string(&first.junctors().any_of));
    validations(schema, (skip_any, skip_first), path, errors);
    types(schema, level, path, errors);
    metadata(schema, level, path, errors);
}

fn is_int_or_string(any_of: &[Schema]) -> bool {
    matches!(any_of, [int, string] if *int == Schema::of_type("integer") && *string == Schema::of_type("string"))
}

fn types(schema: &Schema, level: Level, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let at = path.child("type");
    let ty = &*schema.ty;
    if schema.embedded && ty != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match ty {
            "" => FieldError::required(&at, detail),
            ty => FieldError::invalid(&at, ty, detail),
        });
    } else if ty.is_empty() && !schema.int_or_string && !schema.preserves() {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(&at, detail));
    }
    if schema.embedded && schema.additional.is_some() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(&path.child("additionalProperties"), detail));
    }
    if level == Level::Root && !matches!(ty, "" | "object") {
        errors.push(FieldError::invalid(&at, ty, "must be object at the root"));
    }
}

fn metadata(schema: &Schema, level: Level, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let checked = level == Level::Root || schema.embedded;
    let properties = path.child("properties");
    for name in ["kind", "apiVersion"] {
        if let Some(property) = schema.properties.get(name)
            && checked
            && &*property.ty != "string"
        {
            let at = properties.key(name);
            errors.push(FieldError::invalid(&at.child("type"), &*property.ty, "must be string"));
        }
    }
    if let Some(property) = schema.properties.get("metadata") {
        let at = properties.key("metadata");
        if checked && &*property.ty != "object" {
            errors.push(FieldError::invalid(&at.child("type"), &*property.ty, "must be object"));
        }
        let named = |name: &str| property.properties.contains_key(name);
        let only_names = property.properties.len() == usize::from(named("name")) + usize::from(named("generateName"));
        let rest = Schema { properties: Default::default(), ty: "".into(), default: None, ..property.clone() };
        if level == Level::Root && !(only_names && rest == Schema::default()) {
            let detail =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errors.push(FieldError::forbidden(&at, detail));
        }
    }
    if schema.embedded && !schema.preserves() && schema.properties.is_empty() {
        let detail =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(&properties, detail));
    }
}

/// The junctors and the pattern of a schema; `skip` says whether `anyOf`, and that of the first of `allOf`, are the ones
/// that an int-or-string may have.
fn validations(schema: &Schema, skip: (bool, bool), path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let junctors = schema.junctors();
    if !skip.0 {
        let at = path.child("anyOf");
        for (index, schema) in junctors.any_of.iter().enumerate() {
            nested(schema, false, &at.index(index), errors);
        }
    }
    let at = path.child("allOf");
    for (index, schema) in junctors.all_of.iter().enumerate() {
        nested(schema, skip.1 && index == 0, &at.index(index), errors);
    }
    let at = path.child("oneOf");
    for (index, schema) in junctors.one_of.iter().enumerate() {
        nested(schema, false, &at.index(index), errors);
    }
    if let Some(not) = &junctors.not {
        nested(not, false, &path.child("not"), errors);
    }
    if let Some(pattern) = &schema.limits().pattern
        && let Err(error) = pattern.compiled()
    {
        let detail = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid(&path.child("pattern"), pattern.text(), detail));
    }
}

/// A schema under a junctor: it may limit values but says nothing about their structure.
fn nested(schema: &Schema, skip_any: bool, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    validations(schema, (skip_any, false), path, errors);
    if let Some(item) = schema.item() {
        nested(item, false, &path.child("items"), errors);
    }
    let properties = path.child("properties");
    for (name, property) in &schema.properties {
        nested(property, false, &properties.key(name), errors);
    }
    let undefined_map = matches!(schema.additional.as_deref(), None | Some(Additional::Allowed(false)));
    let forbidden = [
        ("type", !schema.ty.is_empty(), "must be empty to be structural"),
        ("additionalProperties", !undefined_map, "must be undefined to be structural"),
        ("default", schema.default.is_some(), "must be undefined to be structural"),
        ("title", schema.has_title, "must be empty to be structural"),
        ("description", schema.has_description, "must be empty to be structural"),
        ("nullable", schema.nullable, "must be false to be structural"),
        ("x-kubernetes-preserve-unknown-fields", schema.preserves(), "must be false to be structural"),
        ("x-kubernetes-embedded-resource", schema.embedded, "must be false to be structural"),
        ("x-kubernetes-int-or-string", schema.int_or_string, "must be false to be structural"),
        ("x-kubernetes-list-map-keys", !schema.list_keys.is_empty(), "must be empty to be structural"),
        ("x-kubernetes-list-type", schema.list_type.is_some(), "must be undefined to be structural"),
        ("x-kubernetes-map-type", schema.map_type.is_some(), "must be undefined to be structural"),
        ("x-kubernetes-validations", !schema.rules.is_empty(), "must be empty to be structural"),
    ];
    for (name, _, detail) in forbidden.into_iter().filter(|(_, set, _)| *set) {
        errors.push(FieldError::forbidden(&path.child(name), detail));
    }
    if schema.properties.contains_key("metadata") {
        let detail = "must not be specified in a nested context";
        errors.push(FieldError::forbidden(&properties.key("metadata"), detail));
    }
}
