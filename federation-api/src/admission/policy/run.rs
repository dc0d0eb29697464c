//! Running a policy's expressions against one write: what they see, and what they may spend.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use federation_schema::cel::{AuthorizerValue, Bindings, EvalError, PER_CALL_LIMIT, Question, Value};
use federation_schema::policy::{Expression, MATCH_BUDGET, Policy};
use serde_json::{Value as Json, json};

use crate::admission::authorize::Answers;
use crate::admission::{Operation, Review};
use crate::call::Call;
use crate::convert;
use crate::kinds::Kind;
use crate::object;

const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// A write as one policy sees it.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) object: Json,
    old: Json,
    request: Json,
    namespace: Json,
    question: Question,
}

/// What the expressions of one policy may refer to.
pub(super) struct Stage<'a> {
    policy: &'a Policy,
    sight: &'a Sight,
    params: &'a Json,
    answers: &'a Answers,
    variables: RefCell<HashMap<String, Result<Value<'a>, EvalError>>>,
    /// What variables have cost since it was last looked at.
    spent: Cell<u64>,
}

impl Sight {
    /// The write in the shapes of `kind`.
    pub(super) fn new(call: &Call, kind: &Kind, new: &Json, review: &Review<'_>) -> Sight {
        let shown = |object: &Json| {
            let mut shown = object.clone();
            convert::from_stored(kind, &call.stored, &mut shown);
            shown
        };
        let gone = review.operation == Operation::Delete;
        let is_namespace = crate::kind::is_namespace(&call.kind);
        let namespace = if is_namespace { "" } else { call.namespace() };
        let namespace = call.server.cache.resource("core/namespaces").get(namespace).filter(|_| !namespace.is_empty());
        let name = object::name(new).to_owned();
        Sight {
            object: if gone { Json::Null } else { shown(new) },
            old: review.old.map_or(Json::Null, shown),
            request: request(call, kind, (&name, review)),
            namespace: namespace.map_or(Json::Null, |entry| entry.value()),
            question: Question {
                group: call.kind.group.to_string(),
                resource: call.kind.plural.to_string(),
                subresource: call.info.subresource.clone(),
                namespace: call.namespace().to_owned(),
                name,
                ..Question::default()
            },
        }
    }
}

/// The variable `request`.
fn request(call: &Call, kind: &Kind, (name, review): (&str, &Review<'_>)) -> Json {
    let kind_of = |kind: &Kind| json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let resource_of = |kind: &Kind| json!({"group": kind.group, "version": kind.version, "resource": kind.plural});
    let mut user = json!({"username": call.user.name});
    if !call.user.uid.is_empty() {
        user["uid"] = json!(call.user.uid);
    }
    if !call.user.groups.is_empty() {
        user["groups"] = json!(call.user.groups);
    }
    if !call.user.extra.is_empty() {
        user["extra"] = json!(call.user.extra);
    }
    let options = match review.operation {
        Operation::Create => "CreateOptions",
        Operation::Delete | Operation::Connect => "DeleteOptions",
        Operation::Update => "UpdateOptions",
    };
    let mut request = json!({
        "kind": kind_of(kind),
        "resource": resource_of(kind),
        "requestKind": kind_of(&call.kind),
        "requestResource": resource_of(&call.kind),
        "operation": review.operation.word(),
        "userInfo": user,
        "dryRun": review.options.dry_run,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": options},
    });
    for (field, value) in [
        ("name", name),
        ("namespace", call.namespace()),
        ("subResource", &call.info.subresource),
        ("requestSubResource", &call.info.subresource),
    ] {
        if !value.is_empty() {
            request[field] = json!(value);
        }
    }
    request
}

impl<'a> Bindings<'a> for Stage<'a> {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, EvalError>> {
        let json = match name {
            "object" => &self.sight.object,
            "oldObject" => &self.sight.old,
            "request" => &self.sight.request,
            "namespaceObject" => &self.sight.namespace,
            "params" => self.params,
            "variables" => return Some(Ok(Value::Lazy(0))),
            "authorizer" => return Some(Ok(Value::Authorizer(AuthorizerValue::new(self.answers)))),
            "authorizer.requestResource" => {
                let question = self.sight.question.clone();
                return Some(Ok(Value::Authorizer(AuthorizerValue::for_resource(self.answers, question))));
            }
            _ => return None,
        };
        Some(Value::from_json(json, None))
    }

    fn lazy(&self, _: u32, field: &str) -> Option<Result<Value<'a>, EvalError>> {
        if let Some(known) = self.variables.borrow().get(field) {
            return Some(known.clone());
        }
        let (_, expression) = self.policy.variables.iter().find(|(name, _)| name == field)?;
        let value = match &expression.program {
            Err(problem) => Err(EvalError::new(format!("composited variable {field:?} fails to compile: {problem}"))),
            Ok(program) => {
                let evaluation = program.evaluate(self, PER_CALL_LIMIT);
                self.spent.set(self.spent.get().saturating_add(evaluation.cost));
                evaluation.outcome.map_err(|error| {
                    EvalError::new(format!("composited variable {field:?} fails to evaluate: {error}"))
                })
            }
        };
        self.variables.borrow_mut().insert(field.to_owned(), value.clone());
        Some(value)
    }
}

impl<'a> Stage<'a> {
    pub(super) fn new(policy: &'a Policy, sight: &'a Sight, params: &'a Json, answers: &'a Answers) -> Self {
        let variables = RefCell::default();
        Stage { policy, sight, params, answers, variables, spent: Cell::new(0) }
    }

    /// Runs one expression.
    ///
    /// # Errors
    /// The budget is used up. The inner error is the expression's own.
    pub(super) fn run(&self, of: &Expression, budget: &mut u64) -> Result<Result<Value<'a>, String>, String> {
        let program = match &of.program {
            Ok(program) => program,
            Err(problem) => return Ok(Err(format!("compilation error: {problem}"))),
        };
        let evaluation = program.evaluate(self, PER_CALL_LIMIT);
        let cost = evaluation.cost.saturating_add(self.spent.take());
        *budget = budget.checked_sub(cost).ok_or_else(|| OUT_OF_BUDGET.to_owned())?;
        let failed = |error| format!("expression '{}' resulted in error: {error}", of.text);
        Ok(evaluation.outcome.map_err(failed))
    }

    /// Whether the match conditions let the policy see the write.
    ///
    /// # Errors
    /// What kept them from deciding.
    pub(super) fn conditions(&self, ignores_failure: bool) -> Result<bool, String> {
        let mut budget = MATCH_BUDGET;
        let mut errors = Vec::new();
        for (_, condition) in &self.policy.conditions {
            match self.run(condition, &mut budget) {
                Ok(Ok(Value::Bool(false))) => return Ok(false),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => errors.push(error),
                Err(_) if ignores_failure => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        match errors.len() {
            0 => Ok(true),
            _ if ignores_failure => Ok(false),
            1 => Err(errors.remove(0)),
            _ => Err(format!("[{}]", errors.join(", "))),
        }
    }
}
