//! The schema of a version: structural, with valid defaults, and within what Kubernetes supports of OpenAPI.

use std::sync::Arc;

use serde_json::Value;

use super::cost::{self, Total};
use super::relax::{Rules, has_granular_set};
use super::spec::go_fields;
use super::view::Version;
use super::{field_path, paths};
use crate::field::{FieldError, FieldPath};
use crate::structural::prune::is_meta;
use crate::structural::rules::{Compiled, compile, declare};
use crate::structural::{Additional, Items, Other, Rule, Schema, SchemaError, check as structural, default_check};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

pub(super) fn is_type(ty: &str) -> bool {
    TYPES.contains(&ty)
}

/// Checks the schema of a version, or the shared one, that stands at `path`; `unchanged` spares rules that were there.
pub(super) fn check(
    version: &Version<'_>,
    has_status: bool,
    (rules, unchanged): (&Rules, bool),
    path: &FieldPath<'_>,
    errors: &mut Vec<FieldError>,
) {
    let at = path.child("openAPIV3Schema");
    let (schema, json) = match (&version.schema, version.schema_json) {
        (Some(Ok(schema)), Some(json)) => (schema, json),
        (Some(Err(error)), _) => return errors.push(broken(error, &at)),
        _ => return,
    };
    let mut found = Vec::new();
    if has_status {
        paths::root_with_status(schema, json, &at, &mut found);
    }
    if schema.nullable {
        found.push(FieldError::forbidden(&at.child("nullable"), "nullable cannot be true at the root"));
    }
    let (mut unsupported, before) = (None, found.len());
    if rules.structural {
        unsupported = structural::unsupported(schema);
        if unsupported.is_none() {
            let complaints = structural::structural(schema, &at);
            if complaints.is_empty() {
                found.extend(default_check::check(schema, &at, rules.pruned_defaults));
            } else {
                found.extend(complaints);
            }
        }
    }
    let run_rules = rules.structural && unsupported.is_none() && found.len() == before;
    let mut walk =
        Walk { rules, unchanged, run_rules, total: Total::default(), errors: Vec::new(), of_rules: Vec::new() };
    walk.node(schema, &at, &Context { is_root: true, cardinality: Some(1), ..Context::default() });
    found.append(&mut walk.errors);
    found.append(&mut walk.of_rules);
    if let Some(text) = unsupported
        && found.is_empty()
    {
        found.push(FieldError::invalid(&at, "", text));
    }
    walk.total.judge(&at, &mut found);
    errors.append(&mut found);
}

fn broken(error: &SchemaError, at: &FieldPath<'_>) -> FieldError {
    match error {
        SchemaError::Mismatch { path, expected } => {
            FieldError::type_invalid(&at.child(path), Value::Null, format!("must be {expected}"))
        }
        SchemaError::Depth(path) => FieldError::forbidden(&at.child(path), error.to_string()),
    }
}

/// What the schemas above say about one.
#[derive(Debug, Clone, Default)]
struct Context {
    is_root: bool,
    /// Why no default may stand here.
    no_defaults: Option<String>,
    in_meta: bool,
    /// The first schema above whose values cannot be told apart over time.
    uncorrelatable: Option<String>,
    /// How often a value can stand in one object; none without bound.
    cardinality: Option<u64>,
    /// Under a junctor, where no rules are.
    in_junctor: bool,
}

impl Context {
    fn below(&self, schema: &Schema) -> Self {
        let cardinality = cost::below(schema, self.cardinality);
        Self { is_root: false, cardinality, ..self.clone() }
    }

    fn uncorrelatable(mut self, path: &FieldPath<'_>) -> Self {
        self.uncorrelatable.get_or_insert_with(|| path.to_string());
        self
    }
}

struct Walk<'r> {
    rules: &'r Rules,
    /// Whether the schema is as it was, so that its rules may cost what they cost.
    unchanged: bool,
    run_rules: bool,
    total: Total,
    errors: Vec<FieldError>,
    of_rules: Vec<FieldError>,
}

impl Walk<'_> {
    fn node(&mut self, schema: &Schema, path: &FieldPath<'_>, context: &Context) {
        let before = self.errors.len();
        self.keywords(schema, path, context);
        if schema.limits().unique_items {
            let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.errors.push(FieldError::forbidden(&path.child("uniqueItems"), detail));
        }
        self.children(schema, path, context);
        if schema.preserve == Some(false) {
            let at = path.child("x-kubernetes-preserve-unknown-fields");
            self.errors.push(FieldError::invalid(&at, false, "must be true or undefined"));
        }
        self.map_type(schema, path);
        self.list_type(schema, path);
        if self.rules.map_keys {
            self.errors.extend(key_complaints(schema, path));
        }
        let at = path.child("x-kubernetes-validations");
        for (index, rule) in schema.rules.iter().enumerate() {
            self.rule(schema, rule, &at.index(index));
        }
        if !schema.rules.is_empty() && self.run_rules && !context.in_junctor && self.errors.len() == before {
            self.compile(schema, &at, context);
        }
    }

    fn compile(&mut self, schema: &Schema, path: &FieldPath<'_>, context: &Context) {
        let Some(decl) = declare(schema, context.is_root || schema.embedded) else {
            let detail = "internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations";
            return self.of_rules.push(FieldError::internal(path, detail));
        };
        for (index, compiled) in compile(schema, &Arc::new(decl)).iter().enumerate() {
            self.compiled(compiled, &path.index(index), context);
        }
    }

    fn compiled(&mut self, compiled: &Compiled, path: &FieldPath<'_>, context: &Context) {
        let (at_rule, at_message) = (path.child("rule"), path.child("messageExpression"));
        let cost = compiled.max_cost.saturating_mul(context.cardinality.unwrap_or(compiled.max_cardinality));
        self.cost("estimated rule cost", cost, &at_rule);
        let shown = |error: FieldError| error.showing(internal(&compiled.rule));
        if let Some(error) = &compiled.error {
            self.of_rules.push(shown(FieldError::invalid(&at_rule, Value::Null, error)));
        }
        if let Some(error) = &compiled.message_error {
            self.of_rules.push(shown(FieldError::invalid(&at_message, Value::Null, error)));
        } else if compiled.message.is_some() {
            self.cost("estimated messageExpression cost", compiled.message_max_cost, &at_message);
        }
        if compiled.uses_old_self {
            if let Some(above) = &context.uncorrelatable {
                let detail =
                    format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {above}");
                self.of_rules.push(FieldError::invalid(&at_rule, compiled.rule.rule.as_str(), detail));
            }
        } else if let Some(optional) = compiled.rule.optional_old_self {
            let detail = "may not be set if oldSelf is not used in rule";
            self.of_rules.push(FieldError::invalid(&path.child("optionalOldSelf"), optional, detail));
        }
    }

    fn cost(&mut self, name: &str, cost: u64, path: &FieldPath<'_>) {
        if !self.unchanged && cost > cost::RULE_LIMIT {
            self.of_rules.push(FieldError::forbidden(path, cost::exceeds(name, cost, cost::RULE_LIMIT)));
        }
        self.total.add(path, cost);
    }

    fn keywords(&mut self, schema: &Schema, path: &FieldPath<'_>, context: &Context) {
        let ty = &*schema.ty;
        if self.rules.known_types && !ty.is_empty() && !is_type(ty) {
            let valid = ["array", "boolean", "integer", "number", "object", "string"];
            self.errors.push(FieldError::not_supported(&path.child("type"), ty, &valid));
        }
        if schema.default.is_some()
            && let Some(reason) = &context.no_defaults
        {
            self.errors.push(FieldError::forbidden(&path.child("default"), format!("must not be set {reason}")));
        }
        let none = Other::default();
        let other = schema.other.as_deref().unwrap_or(&none);
        let many = matches!(schema.items.as_deref(), Some(Items::Many(many)) if !many.is_empty());
        let forbidden = [
            ("id", other.id, "id is not supported"),
            ("additionalItems", other.additional_items.is_some(), "additionalItems is not supported"),
            ("patternProperties", !other.pattern_properties.is_empty(), "patternProperties is not supported"),
            ("definitions", !other.definitions.is_empty(), "definitions is not supported"),
            ("dependencies", !other.dependencies.is_empty(), "dependencies is not supported"),
            ("$ref", other.reference, "$ref is not supported"),
            ("type", ty == "null", "type cannot be set to null, use nullable as an alternative"),
            ("items", many, "items must be a schema object and not an array"),
            (
                "x-kubernetes-embedded-resource",
                context.in_meta && schema.embedded,
                "must not be used inside of resource meta",
            ),
        ];
        for (name, _, detail) in forbidden.into_iter().filter(|(_, set, _)| *set) {
            self.errors.push(FieldError::forbidden(&path.child(name), detail));
        }
    }

    fn children(&mut self, schema: &Schema, path: &FieldPath<'_>, context: &Context) {
        if let Some(additional) = schema.additional.as_deref() {
            let at = path.child("additionalProperties");
            if !schema.properties.is_empty() && *additional != Additional::Allowed(true) {
                let detail = "additionalProperties and properties are mutual exclusive";
                self.errors.push(FieldError::forbidden(&at, detail));
            }
            if let Additional::Schema(value) = additional {
                let mut below = context.below(schema);
                if context.in_meta {
                    below.no_defaults = Some("inside additionalProperties applying to object metadata".to_owned());
                }
                self.node(value, &at, &below);
            }
        }
        let properties = path.child("properties");
        for (name, property) in &schema.properties {
            let mut below = context.below(schema);
            if (context.is_root || schema.embedded) && is_meta(name) {
                below.in_meta = true;
                if context.is_root {
                    below.no_defaults = Some(format!("in top-level {name}"));
                }
            }
            self.node(property, &properties.key(name), &below);
        }
        self.junctors(schema, path, context);
        if let Some(items) = schema.items.as_deref() {
            let mut below = context.below(schema);
            if schema.list_type() != "map" {
                below = below.uncorrelatable(path);
            }
            let at = path.child("items");
            match items {
                Items::One(item) => self.node(item, &at, &below),
                Items::Many(many) => {
                    for (index, item) in many.iter().enumerate() {
                        self.node(item, &at.index(index), &below);
                    }
                }
            }
        }
    }

    fn junctors(&mut self, schema: &Schema, path: &FieldPath<'_>, context: &Context) {
        let (junctors, below) = (schema.junctors(), Context { in_junctor: true, ..context.below(schema) });
        if let Some(not) = &junctors.not {
            self.node(not, &path.child("not"), &below);
        }
        for (name, list) in [("allOf", &junctors.all_of), ("oneOf", &junctors.one_of), ("anyOf", &junctors.any_of)] {
            let at = path.child(name);
            for (index, schema) in list.iter().enumerate() {
                self.node(schema, &at.index(index), &below);
            }
        }
        let Some(other) = schema.other.as_deref() else { return };
        let at = path.child("definitions");
        for (name, schema) in &other.definitions {
            self.node(schema, &at.key(name), &below);
        }
    }

    fn map_type(&mut self, schema: &Schema, path: &FieldPath<'_>) {
        let Some(map_type) = schema.map_type.as_deref() else { return };
        if &*schema.ty != "object" {
            self.errors.push(must_be(schema, path, "must be object if x-kubernetes-map-type is specified"));
        }
        if !matches!(map_type, "atomic" | "granular") {
            let at = path.child("x-kubernetes-map-type");
            self.errors.push(FieldError::not_supported(&at, map_type, &["atomic", "granular"]));
        }
    }

    fn list_type(&mut self, schema: &Schema, path: &FieldPath<'_>) {
        let at = path.child("x-kubernetes-list-type");
        if schema.list_type.is_some() && &*schema.ty != "array" {
            self.errors.push(must_be(schema, path, "must be array if x-kubernetes-list-type is specified"));
        } else if self.rules.atomic_sets && has_granular_set(schema) {
            let item = schema.item();
            let keyword = match item.map(|item| &*item.ty) {
                Some("array") => "x-kubernetes-list-type",
                _ => "x-kubernetes-map-type",
            };
            let items = path.child("items");
            let shown = item.and_then(|item| item.list_type.as_deref()).map_or(Value::Null, Value::from);
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            self.errors.push(FieldError::invalid(&items.child(keyword), shown, detail));
        }
        if let Some(list_type) = schema.list_type.as_deref()
            && !matches!(list_type, "atomic" | "set" | "map")
        {
            self.errors.push(FieldError::not_supported(&at, list_type, &["atomic", "set", "map"]));
        }
        if !schema.list_keys.is_empty() {
            let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
            match schema.list_type.as_deref() {
                None => self.errors.push(FieldError::required(&at, detail)),
                Some("map") => {}
                Some(other) => self.errors.push(FieldError::invalid(&at, other, detail)),
            }
        }
        if schema.list_type() == "map" {
            self.keyed_list(schema, path);
        }
    }

    fn keyed_list(&mut self, schema: &Schema, path: &FieldPath<'_>) {
        let (keys_at, items_at) = (path.child("x-kubernetes-list-map-keys"), path.child("items"));
        if schema.list_keys.is_empty() {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            self.errors.push(FieldError::required(&keys_at, detail));
        }
        let Some(item) = schema.item() else {
            self.errors.push(match schema.items {
                None => FieldError::required(&items_at, "must have a schema if x-kubernetes-list-type is map"),
                Some(_) => {
                    let detail = "must only have a single schema if x-kubernetes-list-type is map";
                    FieldError::invalid(&items_at, Value::Null, detail)
                }
            });
            return;
        };
        if &*item.ty != "object" {
            let detail = "must be object if parent array's x-kubernetes-list-type is map";
            self.errors.push(FieldError::invalid(&items_at.child("type"), &*item.ty, detail));
            return;
        }
        let all: Value = schema.list_keys.iter().map(|key| Value::from(&**key)).collect();
        let properties = items_at.child("properties");
        for (index, key) in schema.list_keys.iter().enumerate() {
            match item.properties.get(key) {
                Some(property) if matches!(&*property.ty, "array" | "object") => {
                    let at = properties.key(key);
                    let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                    self.errors.push(FieldError::invalid(&at.child("type"), &*item.ty, detail));
                }
                Some(_) => {}
                None => {
                    let detail = "entries must all be names of item properties";
                    self.errors.push(FieldError::invalid(&keys_at, all.clone(), detail));
                }
            }
            if schema.list_keys[..index].contains(key) {
                self.errors.push(FieldError::invalid(&keys_at, all.clone(), "must not contain duplicate entries"));
            }
        }
    }

    fn rule(&mut self, schema: &Schema, rule: &Rule, path: &FieldPath<'_>) {
        let has_newlines = |text: &str| text.contains(['\n', '\r']);
        let (text, message) = (rule.rule.trim(), rule.message.trim());
        let at_message = path.child("message");
        let shown = rule.message.as_str();
        if text.is_empty() {
            self.errors.push(FieldError::required(&path.child("rule"), "rule is not specified"));
        } else if !shown.is_empty() && message.is_empty() {
            self.errors.push(FieldError::invalid(&at_message, shown, "must be non-empty if specified"));
        } else if has_newlines(message) {
            self.errors.push(FieldError::invalid(&at_message, shown, "must not contain line breaks"));
        } else if has_newlines(text) && message.is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            self.errors.push(FieldError::required(&at_message, detail));
        }
        if !rule.message_expression.is_empty() && rule.message_expression.trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            self.errors.push(FieldError::required(&path.child("messageExpression"), detail));
        }
        if let Some(reason) = rule.reason.as_deref().filter(|reason| !REASONS.contains(reason)) {
            self.errors.push(FieldError::not_supported(&path.child("reason"), reason, &REASONS));
        }
        let (at, field) = (path.child("fieldPath"), rule.field_path.as_str());
        if !field.is_empty() && field.trim().is_empty() {
            self.errors.push(FieldError::invalid(&at, field, "must be non-empty if specified"));
        }
        if has_newlines(field) {
            self.errors.push(FieldError::invalid(&at, field, "must not contain line breaks"));
        }
        if !field.is_empty()
            && structural::unsupported(schema).is_none()
            && field_path::find(field, schema, true).is_err()
        {
            self.errors.push(FieldError::invalid(&at, field, "must be a valid path"));
        }
    }
}

/// A rule as upstream's internal type prints it.
fn internal(rule: &Rule) -> String {
    go_fields(&[
        ("Rule", rule.rule.as_str().into()),
        ("Message", rule.message.as_str().into()),
        ("MessageExpression", rule.message_expression.as_str().into()),
        ("Reason", rule.reason.as_deref().map_or(Value::Null, Value::from)),
        ("FieldPath", rule.field_path.as_str().into()),
        ("OptionalOldSelf", rule.optional_old_self.map_or(Value::Null, Value::from)),
    ])
}

fn must_be(schema: &Schema, path: &FieldPath<'_>, detail: &str) -> FieldError {
    let at = path.child("type");
    match &*schema.ty {
        "" => FieldError::required(&at, detail),
        ty => FieldError::invalid(&at, ty, detail),
    }
}

/// What the items of sets and keyed lists, and their keys, must be.
pub(super) fn key_complaints(schema: &Schema, path: &FieldPath<'_>) -> Vec<FieldError> {
    let (mut errors, list_type) = (Vec::new(), schema.list_type());
    let Some(item) = schema.item().filter(|_| matches!(list_type, "set" | "map")) else { return errors };
    let items = path.child("items");
    if item.nullable {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(&items.child("nullable"), detail));
    }
    if list_type != "map" {
        return errors;
    }
    let properties = items.child("properties");
    for key in &schema.list_keys {
        let Some(property) = item.properties.get(key) else { continue };
        let at = properties.key(key);
        if !item.limits().required.contains(key) && property.default.is_none() {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(&at.child("default"), detail));
        }
        if property.nullable {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(&at.child("nullable"), detail));
        }
    }
    errors
}
