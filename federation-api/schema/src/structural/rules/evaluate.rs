//! Runs rules over a value, beside the old one where there is one that stands for the same.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{Compiled, Rules};
use crate::cel::{Bindings, Decl, EvalError, PER_CALL_LIMIT, Program, Value};
use crate::field::quote::go_quote;
use crate::field::{FieldError, FieldPath};
use crate::structural::Schema;
use crate::structural::correlate::{OldItems, Pair};

/// Bytes of a message that an expression makes.
const MAX_MESSAGE_BYTES: usize = 5 * 1024;

const NO_BUDGET: &str = "validation failed due to running out of cost budget, no further validation rules will be run";

/// A value, what it was before, and what that says about errors that need not be mended.
#[derive(Clone, Copy)]
struct Node<'a> {
    new: &'a Json,
    old: Option<&'a Json>,
    ratchet: Ratchet<'a>,
}

/// The old value that tells whether this one changed, or the nearest above that does.
#[derive(Clone, Copy, Default)]
struct Ratchet<'a> {
    current: Option<Pair<'a>>,
    above: Option<Pair<'a>>,
}

impl<'a> Ratchet<'a> {
    fn is_same(self) -> bool {
        self.current.or(self.above).is_some_and(Pair::is_same)
    }

    fn field(self, name: &str) -> Self {
        match self.current {
            None => self,
            Some(_) if self.above.is_none() && matches!(name, "apiVersion" | "kind") => Self::default(),
            Some(pair) => Self { current: pair.field(name), above: Some(pair) },
        }
    }

    fn item(self, items: &OldItems<'a>, value: &'a Json) -> Self {
        match self.current {
            None => self,
            Some(pair) => Self { current: pair.item(items, value), above: Some(pair) },
        }
    }
}

struct Run {
    errors: Vec<FieldError>,
    /// Negative once it is used up: nothing more is run.
    budget: i64,
}

struct SelfAndOld<'a> {
    value: Result<Value<'a>, EvalError>,
    old: Option<Result<Value<'a>, EvalError>>,
}

impl<'a> Bindings<'a> for SelfAndOld<'a> {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, EvalError>> {
        match name {
            "self" => Some(self.value.clone()),
            "oldSelf" => self.old.clone(),
            _ => None,
        }
    }
}

impl Rules {
    /// Every rule that a value breaks, and what is left of the budget (negative once it is used up).
    ///
    /// With `ratchet`, what is wrong with parts that did not change since `old` is tolerated.
    pub fn validate(
        &self,
        schema: &Schema,
        (new, old, ratchet): (&Json, Option<&Json>, bool),
        path: &FieldPath<'_>,
        budget: i64,
    ) -> (Vec<FieldError>, i64) {
        let current = old.filter(|_| ratchet).map(|old| Pair { schema, new, old });
        let mut run = Run { errors: Vec::new(), budget };
        run.node(self, schema, Node { new, old, ratchet: Ratchet { current, above: None } }, path);
        (run.errors, run.budget)
    }
}

impl Run {
    fn node(&mut self, rules: &Rules, schema: &Schema, node: Node<'_>, path: &FieldPath<'_>) {
        if node.new.is_null() {
            return;
        }
        let old = node.old.filter(|old| !old.is_null());
        let node = Node { old, ..node };
        self.own(rules, schema, node, path);
        match node.new {
            Json::Array(items) => {
                let (Some(rules), Some(item)) = (&rules.items, schema.item()) else { return };
                let olds = old.map_or_else(OldItems::default, |old| OldItems::new(schema, old));
                for (index, new) in items.iter().enumerate() {
                    if self.budget < 0 {
                        return;
                    }
                    let below = Node { new, old: olds.find(schema, new), ratchet: node.ratchet.item(&olds, new) };
                    self.node(rules, item, below, &path.index(index));
                }
            }
            Json::Object(map) => {
                for (name, new) in map {
                    if self.budget < 0 {
                        return;
                    }
                    let below = Node { new, old: old.and_then(|old| old.get(name)), ratchet: node.ratchet.field(name) };
                    if let (Some(rules), Some(schema)) = (&rules.values, schema.map_value()) {
                        self.node(rules, schema, below, &path.key(name));
                    }
                    let property = (rules.properties.get(name.as_str()), schema.properties.get(name.as_str()));
                    if let (Some(rules), Some(schema)) = property {
                        self.node(rules, schema, below, &path.child(name));
                    }
                }
            }
            _ => {}
        }
    }

    fn invalid(&mut self, schema: &Schema, path: &FieldPath<'_>, detail: String) {
        self.errors.push(FieldError::invalid(path, &*schema.ty, detail));
    }

    /// Ends the run.
    fn stop(&mut self, schema: &Schema, path: &FieldPath<'_>, detail: String) {
        self.invalid(schema, path, detail);
        self.budget = -1;
    }

    fn own(&mut self, rules: &Rules, schema: &Schema, node: Node<'_>, path: &FieldPath<'_>) {
        if rules.own.is_empty() {
            return;
        }
        if self.budget <= 0 {
            return self.stop(schema, path, NO_BUDGET.to_owned());
        }
        let Some(decl) = &rules.decl else {
            let error = rules.own.iter().find_map(|compiled| compiled.error.as_deref()).unwrap_or("");
            return self.invalid(schema, path, format!("rule compiler initialization error: {error}"));
        };
        for compiled in &rules.own {
            if self.budget < 0 {
                return;
            }
            if let Some(error) = &compiled.error {
                self.invalid(schema, path, format!("rule compile error: {error}"));
                continue;
            }
            let optional = compiled.rule.optional_old_self == Some(true);
            if compiled.uses_old_self && node.old.is_none() && !optional {
                continue;
            }
            if let Some(program) = &compiled.program {
                self.rule((compiled, program), (schema, decl), node, path);
            }
        }
    }

    fn rule(
        &mut self,
        (compiled, program): (&Compiled, &Program),
        (schema, decl): (&Schema, &Arc<Decl>),
        node: Node<'_>,
        path: &FieldPath<'_>,
    ) {
        let optional = compiled.rule.optional_old_self == Some(true);
        let bindings = bind(node, decl, optional);
        let evaluation = program.evaluate(&bindings, PER_CALL_LIMIT);
        let cost = i64::try_from(evaluation.cost).unwrap_or(i64::MAX);
        if cost > self.budget {
            return self.stop(schema, path, NO_BUDGET.to_owned());
        }
        self.budget -= cost;
        let name = compiled.name();
        match evaluation.outcome {
            Ok(Value::Bool(true)) => {}
            Ok(_) => self.broken(compiled, (schema, decl), node, path),
            Err(error @ EvalError::CostLimit) => {
                let text = format!(
                    "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {name}"
                );
                self.stop(schema, path, text);
            }
            Err(error) => {
                let text = error.to_string();
                let text = if text.starts_with("no such overload") {
                    format!(
                        "'{text}': call arguments did not match a supported operator, function or macro signature for rule: {name}"
                    )
                } else {
                    format!("{text} evaluating rule: {name}")
                };
                self.invalid(schema, path, text);
            }
        }
    }

    /// Says that a rule does not hold, unless what it is about did not change.
    fn broken(
        &mut self,
        compiled: &Compiled,
        (schema, decl): (&Schema, &Arc<Decl>),
        node: Node<'_>,
        path: &FieldPath<'_>,
    ) {
        let below = path.child(&compiled.field_path);
        let path = if compiled.field_path.is_empty() { path } else { &below };
        let tolerated = !compiled.uses_old_self && node.ratchet.is_same();
        let push = |error: FieldError, errors: &mut Vec<FieldError>| {
            if !tolerated {
                errors.push(error);
            }
        };
        let made = compiled.message.as_ref().map(|message| self.message(compiled, message, (node, decl)));
        let detail = match made {
            Some(Ok(message)) => message,
            Some(Err(Some(text))) => {
                push(FieldError::invalid(path, &*schema.ty, text), &mut self.errors);
                self.budget = -1;
                return;
            }
            _ if compiled.rule.message.is_empty() => format!("failed rule: {}", compiled.name()),
            _ => compiled.name().to_owned(),
        };
        let composite = matches!(&*schema.ty, "object" | "array");
        let without_value = |error: FieldError| if composite { FieldError { bad_value: None, ..error } } else { error };
        let error = match compiled.rule.reason.as_deref() {
            Some("FieldValueForbidden") => FieldError::forbidden(path, detail),
            Some("FieldValueRequired") => FieldError::required(path, detail),
            Some("FieldValueDuplicate") => without_value(FieldError::duplicate(path, node.new.clone())),
            _ => without_value(FieldError::invalid(path, node.new.clone(), detail)),
        };
        push(error, &mut self.errors);
    }

    /// The message that an expression makes.
    ///
    /// # Errors
    /// A text where nothing more may be run; none where the message is unfit and the rule's own stands in.
    fn message(
        &mut self,
        compiled: &Compiled,
        message: &Program,
        (node, decl): (Node<'_>, &Arc<Decl>),
    ) -> Result<String, Option<String>> {
        let evaluation = message.evaluate(&bind(node, decl, false), PER_CALL_LIMIT);
        let cost = i64::try_from(evaluation.cost).unwrap_or(i64::MAX);
        if cost > self.budget {
            let text = "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run";
            return Err(Some(text.to_owned()));
        }
        self.budget -= cost;
        match evaluation.outcome {
            Ok(Value::String(text)) => {
                let text = text.trim();
                let fits = !text.is_empty() && text.len() <= MAX_MESSAGE_BYTES && !text.contains('\n');
                if fits { Ok(text.to_owned()) } else { Err(None) }
            }
            Err(EvalError::CostLimit) => {
                let source = go_quote(&compiled.rule.message_expression);
                Err(Some(format!(
                    "no further validation rules will be run due to call cost exceeds limit for messageExpression: {source}"
                )))
            }
            _ => Err(None),
        }
    }
}

fn bind<'a>(node: Node<'a>, decl: &'a Arc<Decl>, optional: bool) -> SelfAndOld<'a> {
    let value = Value::from_json(node.new, Some(decl));
    let old = node.old.map(|old| Value::from_json(old, Some(decl)));
    let old = match (old, optional) {
        (Some(old), true) => Some(old.map(|old| Value::Optional(Some(Arc::new(old))))),
        (None, true) => Some(Ok(Value::Optional(None))),
        (old, false) => old,
    };
    SelfAndOld { value, old }
}
