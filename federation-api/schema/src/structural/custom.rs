//! One version of a custom kind: what its definition makes of an object on the way in and out of the store.
//!
//! In: [`Custom::coerce`] (prune, metadata), [`Custom::default`], admission, [`Custom::validate`]; out: coerce and default
//! again, since the definition may have changed since.
//! Source: `apiextensions-apiserver/pkg/registry/customresource`, `pkg/apiserver/customresource_handler.go`.

use std::sync::Arc;

use serde_json::Value;

use super::correlate::Pair;
use super::meta::{self, Malformed};
use super::rules::{RUNTIME_BUDGET, Rules};
use super::{Schema, SchemaError, defaulting, list_type, parse, prune, value};
use crate::facts::{Facts, FactsError, Resource};
use crate::field::{
    FieldError, FieldPath,
    quote::{go_type, go_value},
};
use crate::validate;

/// A custom kind in one version.
#[derive(Debug, Clone)]
pub struct Custom {
    resource: Resource,
    schema: Option<Schema>,
    rules: Option<Arc<Rules>>,
    scale: Option<Scale>,
    has_status: bool,
}

/// `subresources.scale` of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    pub spec_replicas: String,
    pub status_replicas: String,
    pub label_selector: Option<String>,
}

impl Scale {
    /// Reads `subresources.scale`; none where there is none.
    pub fn of_version(version: &Value) -> Option<Self> {
        let scale = version.get("subresources")?.get("scale")?;
        let text = |name: &str| scale.get(name).and_then(Value::as_str);
        let path = |name: &str| text(name).map_or_else(String::new, str::to_owned);
        Some(Self {
            spec_replicas: path("specReplicasPath"),
            status_replicas: path("statusReplicasPath"),
            label_selector: text("labelSelectorPath").map(str::to_owned),
        })
    }
}

impl Custom {
    /// Reads an item of `spec.versions` of a definition; `resource` says what it is served as.
    ///
    /// # Errors
    /// Where the schema is none; definitions that validate have no such.
    pub fn of_version(resource: Resource, version: &Value) -> Result<Self, SchemaError> {
        let schema = version.get("schema").and_then(|schema| schema.get("openAPIV3Schema"));
        let schema = schema.filter(|schema| !schema.is_null()).map(parse).transpose()?;
        let has_status = version.get("subresources").is_some_and(|of| of.get("status").is_some_and(Value::is_object));
        let rules = schema.as_ref().and_then(|schema| Rules::of_schema(schema, true)).map(Arc::new);
        Ok(Self { resource, schema, rules, scale: Scale::of_version(version), has_status })
    }

    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    pub fn schema(&self) -> Option<&Schema> {
        self.schema.as_ref()
    }

    pub fn scale(&self) -> Option<&Scale> {
        self.scale.as_ref()
    }

    pub fn has_status(&self) -> bool {
        self.has_status
    }

    /// This kind's layer of facts above the built-in ones; the resource in it has its type set.
    ///
    /// # Errors
    /// Where the built-in facts define the kind already.
    pub fn facts(&self) -> Result<Facts, FactsError> {
        super::layer::facts(self.schema.as_ref(), self.resource.clone())
    }

    /// Drops unknown fields and nulls that mean nothing, and reads metadata as its type does; returns the paths of unknown
    /// fields, which strict field validation refuses.
    ///
    /// Source: `unstructuredSchemaCoercer.apply`.
    ///
    /// # Errors
    /// Metadata of a wrong type; the text goes into a 400.
    pub fn coerce(&self, object: &mut Value, malformed: Malformed) -> Result<Vec<String>, String> {
        let meta_text = |name: &str| match object.get(name) {
            None | Some(Value::String(_)) => Ok(()),
            Some(other) => {
                let ty = if other.is_number() { "int64" } else { "map[string]interface {}" };
                Err(format!(".{name} accessor error: {} is of the type {ty}, expected string", go_value(other)))
            }
        };
        meta_text("kind").and_then(|()| meta_text("apiVersion"))?;
        let mut unknown = Vec::new();
        let metadata = match object.get("metadata") {
            None => None,
            Some(metadata) => {
                let (read, paths) = meta::read(metadata.clone(), malformed)?;
                unknown.extend(paths.iter().map(|path| format!("metadata.{path}")));
                Some(read)
            }
        };
        if let Some(schema) = &self.schema {
            unknown.extend(prune::prune_object(schema, object));
            defaulting::drop_nulls(Some(schema), object);
            let coerced = meta::coerce(schema, object, &FieldPath::Nil, false, malformed);
            unknown.extend(coerced.map_err(|error| error.to_string())?);
        }
        if let (Value::Object(map), Some(metadata)) = (object, metadata) {
            map.insert("metadata".to_owned(), metadata);
        }
        Ok(unknown)
    }

    /// Fills in the schema's defaults.
    pub fn default(&self, object: &mut Value) {
        if let Some(schema) = &self.schema {
            defaulting::default(schema, object);
        }
    }

    /// Makes numbers what they are once Go has written them: `1.0` is `1`. Call it after validation, before the store.
    pub fn settle(object: &mut Value) {
        match object {
            Value::Number(number) if number.is_f64() => {
                let whole = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9.2e18);
                if let Some(whole) = whole {
                    *object = Value::from(whole as i64);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(Self::settle),
            Value::Object(map) => map.values_mut().for_each(Self::settle),
            _ => {}
        }
    }

    /// Every complaint about an object that shall be created, or updated from `old`.
    pub fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = self.validate_type(new);
        if !errors.is_empty() {
            return errors;
        }
        errors.extend(validate::validate_metadata(&self.resource, new, old));
        let none = Schema::default();
        let schema = self.schema.as_ref().unwrap_or(&none);
        errors.extend(match old {
            None => value::validate(schema, new, &FieldPath::Nil),
            Some(old) => value::validate_update(schema, Pair { schema, new, old }, &FieldPath::Nil),
        });
        self.validate_scale_spec(new, &mut errors);
        self.validate_scale_status(new, &mut errors);
        errors.extend(meta::validate(schema, new, &FieldPath::Nil, false));
        self.validate_lists(schema, new, old, &mut errors);
        self.validate_rules(schema, new, old, &mut errors);
        errors
    }

    /// Every complaint about an object whose status shall be updated from `old`.
    pub fn validate_status(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate_type(new);
        if !errors.is_empty() {
            return errors;
        }
        errors.extend(validate::validate_metadata(&self.resource, new, Some(old)));
        let none = Schema::default();
        let schema = self.schema.as_ref().unwrap_or(&none);
        if let (Some(status), Some(of_status)) = (new.get("status"), schema.properties.get("status")) {
            let path = FieldPath::root("status");
            errors.extend(match (Pair { schema, new, old }).field("status") {
                Some(pair) => value::validate_update(of_status, pair, &path),
                None => value::validate(of_status, status, &path),
            });
        }
        self.validate_scale_status(new, &mut errors);
        self.validate_lists(schema, new, Some(old), &mut errors);
        self.validate_rules(schema, new, Some(old), &mut errors);
        errors
    }

    fn validate_lists(&self, schema: &Schema, new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
        let fine_before = |old| list_type::validate(schema, old, &FieldPath::Nil).is_empty();
        if old.is_none_or(fine_before) {
            errors.extend(list_type::validate(schema, new, &FieldPath::Nil));
        }
    }

    fn validate_rules(&self, schema: &Schema, new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
        let Some(rules) = &self.rules else { return };
        if errors.iter().any(value::is_blocking) {
            let detail = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
            errors.push(FieldError::invalid(&FieldPath::Nil, Value::Null, detail));
            return;
        }
        let (broken, _) = rules.validate(schema, (new, old, true), &FieldPath::Nil, RUNTIME_BUDGET);
        errors.extend(broken);
    }

    fn validate_type(&self, new: &Value) -> Vec<FieldError> {
        let api_version = self.resource.api_version();
        let mut errors = Vec::new();
        for (name, expected) in [("kind", &*self.resource.kind), ("apiVersion", &api_version)] {
            let found = new.get(name).and_then(Value::as_str).unwrap_or("");
            if found != expected {
                errors.push(FieldError::invalid(&FieldPath::root(name), found, format!("must be {expected}")));
            }
        }
        errors
    }

    fn validate_scale_spec(&self, new: &Value, errors: &mut Vec<FieldError>) {
        if let Some(scale) = &self.scale {
            replicas(new, &scale.spec_replicas, errors);
        }
    }

    fn validate_scale_status(&self, new: &Value, errors: &mut Vec<FieldError>) {
        let Some(scale) = &self.scale else { return };
        replicas(new, &scale.status_replicas, errors);
        if let Some(path) = &scale.label_selector
            && let Err(error) = nested(new, path, "string", Value::is_string)
        {
            errors.push(FieldError::invalid(&FieldPath::root(path), "", error));
        }
    }
}

/// The value at a dotted path, none where there is none.
///
/// # Errors
/// Where it, or something above it, has the wrong type; the text is upstream's.
pub fn nested<'v>(
    object: &'v Value,
    path: &str,
    expected: &str,
    fits: impl Fn(&Value) -> bool,
) -> Result<Option<&'v Value>, String> {
    let plain = path.strip_prefix('.').unwrap_or(path);
    let mut at = object;
    let shown = |end: usize| plain.split('.').take(end).map(|name| format!(".{name}")).collect::<String>();
    let wrong = |end: usize, value: &Value, expected: &str| {
        let ty = go_type(value);
        format!("{} accessor error: {} is of the type {ty}, expected {expected}", shown(end), go_value(value))
    };
    for (depth, name) in plain.split('.').enumerate() {
        match at {
            Value::Object(map) => match map.get(name) {
                Some(value) => at = value,
                None => return Ok(None),
            },
            Value::Null => return Ok(None),
            other => return Err(wrong(depth, other, "map[string]interface{}")),
        }
    }
    if fits(at) { Ok(Some(at)) } else { Err(wrong(usize::MAX, at, expected)) }
}

fn replicas(object: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let at = FieldPath::root(path);
    match nested(object, path, "int64", Value::is_i64) {
        Err(error) => errors.push(FieldError::invalid(&at, 0, error)),
        Ok(found) => {
            let count = found.and_then(Value::as_i64).unwrap_or(0);
            if count < 0 {
                errors.push(FieldError::invalid(&at, count, "should be a non-negative integer"));
            } else if count > i64::from(i32::MAX) {
                let detail = format!("should be less than or equal to {}", i32::MAX);
                errors.push(FieldError::invalid(&at, count, detail));
            }
        }
    }
}
