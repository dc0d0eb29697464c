//! Defaults must themselves be valid and hold no unknown fields.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/defaulting/validation.go`.

use serde_json::{Map, Value};

use super::meta::{self, Malformed};
use super::prune::{is_meta, prune};
use super::rules::{RUNTIME_BUDGET, Rules};
use super::{Schema, value};
use crate::field::{FieldError, FieldPath, aggregate};

/// Every default that is wrong; `must_be_pruned` is off for definitions that were worse before.
pub fn check(schema: &Schema, path: &FieldPath<'_>, must_be_pruned: bool) -> Vec<FieldError> {
    let mut walk = Walk { must_be_pruned, errors: Vec::new(), budget: RUNTIME_BUDGET };
    walk.node(schema, path, &Place::Root(schema), false);
    walk.errors
}

/// Whether any default has unknown fields.
pub fn has_unpruned(schema: &Schema) -> bool {
    let of_node = |schema: &Schema| {
        schema.default.as_deref().is_some_and(|default| {
            let mut pruned = default.clone();
            prune(schema, &mut pruned, schema.embedded);
            pruned != *default
        })
    };
    of_node(schema)
        || schema.properties.values().any(has_unpruned)
        || schema.item().is_some_and(has_unpruned)
        || schema.map_value().is_some_and(has_unpruned)
}

/// How a value sits in the object that its metadata belongs to.
enum Place<'p> {
    Root(&'p Schema),
    Field(&'p Place<'p>, &'p str),
    Item(&'p Place<'p>),
}

impl Place<'_> {
    fn root(&self) -> &Schema {
        match self {
            Place::Root(schema) => schema,
            Place::Field(above, _) | Place::Item(above) => above.root(),
        }
    }

    /// The object around `value`, with a kind and a version.
    fn object(&self, value: Value) -> Value {
        match self {
            Place::Field(above, name) => above.object(Value::Object(Map::from_iter([((*name).to_owned(), value)]))),
            Place::Item(above) => above.object(Value::Array(vec![value])),
            Place::Root(_) => {
                let mut map = match value {
                    Value::Object(map) => map,
                    _ => Map::new(),
                };
                for (name, text) in [("kind", "Validation"), ("apiVersion", "validation/v1")] {
                    map.entry(name).or_insert_with(|| Value::from(text));
                }
                Value::Object(map)
            }
        }
    }
}

struct Walk {
    must_be_pruned: bool,
    errors: Vec<FieldError>,
    /// What rules may still cost.
    budget: i64,
}

impl Walk {
    fn node(&mut self, schema: &Schema, path: &FieldPath<'_>, place: &Place<'_>, inside_meta: bool) {
        let (own, inside_meta) = (Place::Root(schema), inside_meta && !schema.embedded);
        let place = if schema.embedded { &own } else { place };
        let embedded = schema.embedded || matches!(place, Place::Root(_));
        if let Some(default) = schema.default.as_deref() {
            let at = path.child("default");
            if inside_meta {
                self.inside_meta(schema, default, &at, place);
            } else {
                self.outside_meta(schema, default, &at, embedded);
            }
        }
        if let Some(item) = schema.item() {
            self.node(item, &path.child("items"), &Place::Item(place), inside_meta);
        }
        let properties = path.child("properties");
        for (name, property) in &schema.properties {
            let inside = inside_meta || embedded && is_meta(name);
            self.node(property, &properties.key(name), &Place::Field(place, name), inside);
        }
    }

    fn inside_meta(&mut self, schema: &Schema, default: &Value, path: &FieldPath<'_>, place: &Place<'_>) {
        let mut object = place.object(default.clone());
        let wrong = |text: String| {
            vec![FieldError::invalid(path, default.clone(), format!("must result in valid metadata: {text}"))]
        };
        let complaints = match meta::coerce(place.root(), &mut object, &FieldPath::Nil, true, Malformed::Refuse) {
            Err(error) => wrong(error.to_string()),
            Ok(_) => match meta::validate(place.root(), &object, &FieldPath::Nil, true) {
                errors if errors.is_empty() => self.values(schema, default, path, false),
                errors => wrong(aggregate(&errors)),
            },
        };
        self.errors.extend(complaints);
    }

    /// The schema's keywords and, where those hold, its rules, as for an unchanged value and as for a new one.
    fn values(&mut self, schema: &Schema, default: &Value, path: &FieldPath<'_>, is_root: bool) -> Vec<FieldError> {
        let errors = value::validate(schema, default, path);
        let Some(rules) = Rules::of_schema(schema, is_root).filter(|_| errors.is_empty() && self.budget >= 0) else {
            return errors;
        };
        let before = self.budget;
        let (mut errors, left) = rules.validate(schema, (default, Some(default), false), path, before);
        self.budget = left;
        if errors.is_empty() {
            let (more, left) = rules.validate(schema, (default, None, false), path, before);
            errors = more;
            self.budget = left.min(self.budget);
        }
        errors
    }

    fn outside_meta(&mut self, schema: &Schema, default: &Value, path: &FieldPath<'_>, embedded: bool) {
        if self.must_be_pruned {
            let mut pruned = default.clone();
            prune(schema, &mut pruned, embedded);
            if pruned != *default {
                self.errors.push(FieldError::invalid(path, default.clone(), "must not have unknown fields"));
            }
        }
        let mut coerced = default.clone();
        let complaints = match meta::coerce(schema, &mut coerced, path, embedded, Malformed::Refuse) {
            Err(error) => vec![error],
            Ok(_) => match meta::validate(schema, &coerced, path, embedded) {
                errors if errors.is_empty() => self.values(schema, &coerced, path, embedded),
                errors => errors,
            },
        };
        self.errors.extend(complaints);
    }
}
