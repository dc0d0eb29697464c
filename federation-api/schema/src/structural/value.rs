//! Values against a schema: types, limits, formats, junctors, and what did not change since the old value.
//!
//! Source: `kube-openapi/pkg/validation/validate`, `apiextensions-apiserver/pkg/apiserver/validation`. Texts are theirs.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::correlate::{OldItems, Pair};
use super::number::{self, Num, Range, is_whole};
use super::{Additional, Junctors, Limits, Schema, format};
use crate::field::quote::go_quote;
use crate::field::{FieldError, FieldErrorKind, FieldPath};

/// Schema nodes that are looked at for one object: nested junctors multiply, and a hostile definition must not stall us.
const MAX_STEPS: usize = 5_000_000;
/// Problems that are kept of one object.
const MAX_PROBLEMS: usize = 10_000;

/// Every complaint about `value`, which stands at `path`.
pub fn validate(schema: &Schema, value: &Value, path: &FieldPath<'_>) -> Vec<FieldError> {
    Walk::default().run(schema, value, None, path)
}

/// Every complaint about a changed value, but for parts that are as they were.
///
/// `pair` names the old value and the schema that correlates the two; it is the same schema but for a subresource.
pub fn validate_update(schema: &Schema, pair: Pair<'_>, path: &FieldPath<'_>) -> Vec<FieldError> {
    Walk::default().run(schema, pair.new, Some(pair), path)
}

/// One complaint, before its path is made one.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    text: String,
    /// Dotted, possibly with a dot in front; none where upstream does not say.
    place: Option<String>,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Invalid(Value),
    TypeInvalid(Value),
    Required,
    NotSupported(Value, Vec<String>),
    TooLong(i64),
    TooMany(i64, i64),
}

impl Problem {
    fn at(path: &str, what: What, text: String) -> Self {
        Self { text, place: Some(path.to_owned()), what }
    }

    /// A complaint without a path of its own.
    pub(super) fn plain(text: String) -> Self {
        Self { text, place: None, what: What::Invalid(Value::from("")) }
    }

    pub(super) fn invalid(path: &str, value: Value, text: String) -> Self {
        Self::at(path, What::Invalid(value), text)
    }

    fn into_error(self, root: &FieldPath<'_>) -> FieldError {
        let place = self.place.as_deref().map_or("", |place| place.strip_prefix('.').unwrap_or(place));
        let below = root.child(place);
        let path = if place.is_empty() { root } else { &below };
        match self.what {
            What::Invalid(value) => FieldError::invalid(path, value, self.text),
            What::TypeInvalid(value) => FieldError::type_invalid(path, value, self.text),
            What::Required => FieldError::required(path, ""),
            What::NotSupported(value, valid) => {
                let valid: Vec<&str> = valid.iter().map(String::as_str).collect();
                FieldError::not_supported(path, value, &valid)
            }
            What::TooLong(max) => FieldError::too_long(path, usize::try_from(max).unwrap_or(0)),
            What::TooMany(actual, max) => {
                let count = |number| usize::try_from(number).unwrap_or(0);
                FieldError::too_many(path, count(actual), count(max))
            }
        }
    }
}

/// The place of a value; rendered only for complaints.
#[derive(Clone, Copy)]
enum At<'p> {
    Root,
    Field(&'p At<'p>, &'p str),
    /// A field whose path has a dot in front even at the root.
    Dotted(&'p At<'p>, &'p str),
    Index(&'p At<'p>, usize),
}

impl At<'_> {
    fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            At::Root => {}
            At::Field(above, name) => {
                above.write(out);
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(name);
            }
            At::Dotted(above, name) => {
                above.write(out);
                out.push('.');
                out.push_str(name);
            }
            At::Index(above, index) => {
                above.write(out);
                out.push_str(&format!("[{index}]"));
            }
        }
    }
}

/// What came of one node: upstream picks the alternative of a junctor with the most matches to complain about.
#[derive(Default)]
struct Outcome {
    problems: Vec<Problem>,
    matches: usize,
}

impl Outcome {
    fn is_valid(&self) -> bool {
        self.problems.is_empty()
    }

    fn merge(&mut self, other: Outcome) {
        self.matches += other.matches;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.extend(other.problems);
        }
    }

    fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }
}

#[derive(Default)]
struct Walk {
    steps: usize,
}

/// The value at one place, beside the old one.
#[derive(Clone, Copy)]
struct Node<'a, 'p> {
    value: &'a Value,
    pair: Option<Pair<'a>>,
    at: &'p At<'p>,
}

impl Walk {
    fn run(&mut self, schema: &Schema, value: &Value, pair: Option<Pair<'_>>, root: &FieldPath<'_>) -> Vec<FieldError> {
        let outcome = self.node(schema, Node { value, pair, at: &At::Root });
        if self.steps > MAX_STEPS {
            let text = format!("checking this object takes more than {MAX_STEPS} steps; simplify the schema");
            return vec![FieldError::forbidden(root, text)];
        }
        let mut seen = HashSet::new();
        let problems = outcome.problems.into_iter().filter(|problem| seen.insert(problem.text.clone()));
        problems.map(|problem| problem.into_error(root)).collect()
    }

    /// Checks a value, and tolerates what is wrong with one that did not change.
    fn node(&mut self, schema: &Schema, node: Node<'_, '_>) -> Outcome {
        let mut outcome = self.check(schema, node);
        if !outcome.is_valid() && node.pair.is_some_and(Pair::is_same) {
            outcome.problems.clear();
        }
        outcome
    }

    fn check(&mut self, schema: &Schema, node: Node<'_, '_>) -> Outcome {
        let mut outcome = Outcome::default();
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return outcome;
        }
        let format = effective_format(schema);
        if node.value.is_null() {
            if !types(schema).is_empty() && !schema.nullable {
                outcome.push(wrong_type(&node.at.text(), &types(schema).join(","), "null"));
            } else {
                outcome.matches += 1;
            }
            enumeration(schema.limits(), node, &mut outcome);
            return outcome;
        }
        if !types(schema).is_empty() || !format.is_empty() {
            match type_problem(schema, format, node) {
                Some(problem) => outcome.push(problem),
                None => outcome.matches += 1,
            }
            outcome.matches += 1;
        }
        if let Some(junctors) = schema.junctors.as_deref() {
            self.junctors(junctors, node, &mut outcome);
        }
        outcome.matches += 1;
        self.by_kind(schema, format, node, &mut outcome);
        outcome.matches += 1;
        outcome
    }

    fn by_kind(&mut self, schema: &Schema, format: &str, node: Node<'_, '_>, outcome: &mut Outcome) {
        let limits = schema.limits();
        match node.value {
            Value::String(text) => {
                outcome.matches += 1;
                strings(limits, text, node.at, outcome);
                if !format.is_empty() && format::is_known(format) {
                    outcome.matches += 1;
                    if !format::holds(format, text) {
                        outcome.push(wrong_type(&node.at.text(), format, text));
                    }
                }
            }
            Value::Number(number) => {
                outcome.matches += 2;
                let range = match types(schema) {
                    ["integer"] => Range { ty: "integer", format },
                    ["number"] => Range { ty: "number", format },
                    _ => Range { ty: "", format: "" },
                };
                let path = || node.at.text();
                if limits.maximum.or(limits.minimum).or(limits.multiple_of).is_some() || !range.ty.is_empty() {
                    number::check(limits, range, Num::of(number), &path(), &mut outcome.problems);
                }
            }
            Value::Array(items) => {
                self.list(schema, items, node, outcome);
                outcome.matches += 2;
            }
            _ => {}
        }
        enumeration(limits, node, outcome);
        outcome.matches += 1;
        if let Value::Object(map) = node.value {
            self.object(schema, map, node, outcome);
            outcome.matches += 1;
        }
    }

    fn list(&mut self, schema: &Schema, items: &[Value], node: Node<'_, '_>, outcome: &mut Outcome) {
        if let Some(item) = schema.item() {
            let old = node.pair.map_or_else(OldItems::default, Pair::old_items);
            for (index, value) in items.iter().enumerate() {
                let pair = node.pair.and_then(|pair| pair.item(&old, value));
                let at = At::Index(node.at, index);
                let result = self.node(item, Node { value, pair, at: &at });
                outcome.merge(result);
            }
        }
        let (limits, count) = (schema.limits(), length(items.len()));
        if let Some(min) = limits.min_items.filter(|min| count < *min) {
            let path = node.at.text();
            let text = format!("{path} in body should have at least {min} items");
            outcome.push(Problem::invalid(&path, count.into(), text));
        }
        if let Some(max) = limits.max_items.filter(|max| count > *max) {
            let path = node.at.text();
            let text = format!("{path} in body should have at most {max} items");
            outcome.push(Problem::at(&path, What::TooMany(count, max), text));
        }
        if limits.unique_items {
            let mut seen = HashSet::new();
            if !items.iter().all(|item| seen.insert(item.to_string())) {
                let path = node.at.text();
                let text = format!("{path} in body shouldn't contain duplicates");
                outcome.push(Problem::invalid(&path, "".into(), text));
            }
        }
    }

    fn object(&mut self, schema: &Schema, map: &Map<String, Value>, node: Node<'_, '_>, outcome: &mut Outcome) {
        let (limits, count) = (schema.limits(), length(map.len()));
        if let Some(min) = limits.min_properties.filter(|min| count < *min) {
            let path = node.at.text();
            let text = format!("{path} in body should have at least {min} properties");
            outcome.push(Problem::invalid(&path, count.into(), text));
        }
        if let Some(max) = limits.max_properties.filter(|max| count > *max) {
            let path = node.at.text();
            let text = format!("{path} in body should have at most {max} properties");
            outcome.push(Problem::at(&path, What::TooMany(count, max), text));
        }
        for (name, value) in map {
            match (schema.properties.contains_key(name.as_str()), schema.additional.as_deref()) {
                (false, Some(Additional::Allowed(false))) => {
                    let path = node.at.text();
                    let text = format!("{path}.{name} in body is a forbidden property");
                    outcome.push(Problem::invalid(&path, name.as_str().into(), text));
                }
                (false, Some(Additional::Schema(schema))) => {
                    let at = At::Dotted(node.at, name);
                    let result = self.node(schema, Node { value, pair: node.field(name), at: &at });
                    outcome.merge(result);
                }
                _ => {}
            }
        }
        for (name, schema) in &schema.properties {
            let Some(value) = map.get(&**name) else { continue };
            let at = At::Field(node.at, name);
            let result = self.node(schema, Node { value, pair: node.field(name), at: &at });
            outcome.merge(result);
        }
        for name in limits.required.iter().filter(|name| !map.contains_key(&***name)) {
            let path = At::Dotted(node.at, name).text();
            let text = format!("{path} in body is required");
            outcome.push(Problem::at(&path, What::Required, text));
        }
    }

    fn junctors(&mut self, junctors: &Junctors, node: Node<'_, '_>, outcome: &mut Outcome) {
        let path = || go_quote(&node.at.text());
        if !junctors.any_of.is_empty() {
            let (chosen, valid) = self.alternatives(&junctors.any_of, node, true);
            if valid == 0 {
                let text = format!("{} must validate at least one schema (anyOf)", path());
                outcome.push(Problem::plain(text));
            }
            outcome.merge(chosen);
        }
        if !junctors.one_of.is_empty() {
            let (chosen, valid) = self.alternatives(&junctors.one_of, node, false);
            if valid == 1 {
                outcome.merge(chosen);
            } else {
                let found = match valid {
                    0 => "Found none valid".to_owned(),
                    many => format!("Found {many} valid alternatives"),
                };
                let text = format!("{} must validate one and only one schema (oneOf). {found}", path());
                outcome.push(Problem::plain(text));
                if valid == 0 {
                    outcome.merge(chosen);
                }
            }
        }
        if !junctors.all_of.is_empty() {
            let mut valid = 0;
            for schema in &junctors.all_of {
                let result = self.check(schema, node);
                valid += usize::from(result.is_valid());
                outcome.merge(result);
            }
            if valid < junctors.all_of.len() {
                let none = if valid == 0 { ". None validated" } else { "" };
                let text = format!("{} must validate all the schemas (allOf){none}", path());
                outcome.push(Problem::plain(text));
            }
        }
        if let Some(not) = &junctors.not
            && self.check(not, node).is_valid()
        {
            let text = format!("{} must not validate the schema (not)", path());
            outcome.push(Problem::plain(text));
        }
    }

    /// The first alternative that holds, or else the one that came closest; and how many hold.
    fn alternatives(&mut self, schemas: &[Schema], node: Node<'_, '_>, stop: bool) -> (Outcome, usize) {
        let (mut first, mut best, mut valid): (Option<Outcome>, Option<Outcome>, usize) = (None, None, 0);
        for schema in schemas {
            let result = self.check(schema, node);
            if result.is_valid() {
                valid += 1;
                first.get_or_insert(result);
                if stop {
                    break;
                }
            } else if best.as_ref().is_none_or(|best| result.matches > best.matches) {
                best = Some(result);
            }
        }
        (first.or(best).unwrap_or_default(), valid)
    }
}

impl<'a> Node<'a, '_> {
    /// What the field is compared with; the kind and version of the whole object are not.
    fn field(self, name: &str) -> Option<Pair<'a>> {
        let of_root = matches!(self.at, At::Root) && matches!(name, "kind" | "apiVersion");
        self.pair.filter(|_| !of_root)?.field(name)
    }
}

fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn types(schema: &Schema) -> &'static [&'static str] {
    if schema.int_or_string {
        return &["integer", "string"];
    }
    match &*schema.ty {
        "object" => &["object"],
        "array" => &["array"],
        "string" => &["string"],
        "integer" => &["integer"],
        "number" => &["number"],
        "boolean" => &["boolean"],
        "null" => &["null"],
        _ => &[],
    }
}

/// The format, unless it means nothing for the type.
pub(super) fn effective_format(schema: &Schema) -> &str {
    let format = &*schema.format;
    let known = match types(schema) {
        [] | ["string"] | ["integer", "string"] => format::is_known(format),
        ["integer"] => matches!(format, "int32" | "int64"),
        ["number"] => matches!(format, "float" | "double"),
        _ => false,
    };
    if known { format } else { "" }
}

fn wrong_type(path: &str, expected: &str, found: &str) -> Problem {
    let text = format!("{path} in body must be of type {expected}: {}", go_quote(found));
    Problem::at(path, What::TypeInvalid(found.into()), text)
}

fn type_problem(schema: &Schema, format: &str, node: Node<'_, '_>) -> Option<Problem> {
    let types = types(schema);
    let has = |ty: &str| types.contains(&ty);
    let (found, found_format) = match node.value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
        Value::Number(number) => match Num::of(number) {
            Num::Int(_) => ("integer", "int64"),
            Num::Float(_) => ("number", "float64"),
        },
    };
    let close = match node.value {
        Value::Number(number) => match Num::of(number) {
            Num::Int(_) => has("number"),
            Num::Float(float) => has("integer") && is_whole(float),
        },
        _ => false,
    };
    let textual = matches!(node.value, Value::String(_) | Value::Array(_));
    let fits = has(found) || close;
    if !(textual || format.is_empty() || fits || found_format == format) {
        return Some(wrong_type(&node.at.text(), format, found_format));
    }
    if !has("number") && !has("integer") && !format.is_empty() && textual || fits {
        return None;
    }
    Some(wrong_type(&node.at.text(), &types.join(","), found))
}

fn strings(limits: &Limits, text: &str, at: &At<'_>, outcome: &mut Outcome) {
    let count = || length(text.chars().count());
    if let Some(max) = limits.max_length.filter(|max| count() > *max) {
        let path = at.text();
        let problem = format!("{path} in body should be at most {max} chars long");
        return outcome.push(Problem::at(&path, What::TooLong(max), problem));
    }
    if let Some(min) = limits.min_length.filter(|min| count() < *min) {
        let path = at.text();
        let problem = format!("{path} in body should be at least {min} chars long");
        return outcome.push(Problem::invalid(&path, text.into(), problem));
    }
    let Some(pattern) = &limits.pattern else { return };
    let shown = match pattern.compiled() {
        Ok(regex) if regex.is_match(text) => return,
        Ok(_) => pattern.text().to_owned(),
        Err(error) => format!("{}, but pattern is invalid: {error}", pattern.text()),
    };
    let path = at.text();
    outcome.push(Problem::invalid(&path, text.into(), format!("{path} in body should match '{shown}'")));
}

fn enumeration(limits: &Limits, node: Node<'_, '_>, outcome: &mut Outcome) {
    let allowed = &limits.one_of;
    if allowed.is_empty() || !node.value.is_null() && allowed.iter().any(|allowed| is_like(node.value, allowed)) {
        return;
    }
    let path = node.at.text();
    let shown = |value: &Value| value.as_str().map_or_else(|| crate::field::quote::go_json(value), str::to_owned);
    let values: Vec<String> = allowed.iter().map(shown).collect();
    let text = format!("{path} in body should be one of [{}]", values.join(" "));
    outcome.push(Problem::at(&path, What::NotSupported(node.value.clone(), values), text));
}

/// Equal after the conversion that Go's reflection allows.
fn is_like(value: &Value, allowed: &Value) -> bool {
    match (value, allowed) {
        (Value::Number(value), Value::Number(allowed)) => match (Num::of(value), Num::of(allowed)) {
            (Num::Int(a), Num::Float(b)) => a as f64 == b,
            (Num::Float(a), Num::Int(b)) => a as i64 == b,
            (a, b) => a == b,
        },
        (value, allowed) => value == allowed,
    }
}

/// Errors that keep rules from being checked: the object is not even what its types say.
pub fn is_blocking(error: &FieldError) -> bool {
    matches!(
        error.kind,
        FieldErrorKind::NotSupported
            | FieldErrorKind::Required
            | FieldErrorKind::TooLong
            | FieldErrorKind::TooMany
            | FieldErrorKind::TypeInvalid
    )
}
