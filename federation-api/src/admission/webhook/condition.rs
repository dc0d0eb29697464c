//! Whether a request meets a webhook's conditions.
//!
//! Source: k8s.io/apiserver `pkg/admission/plugin/webhook/matchconditions/matcher.go`.

use federation_schema::cel::{AuthorizerValue, Bindings, EvalError, Program, Question, Value as Cel};
use serde_json::Value;

use super::configuration::Webhook;
use crate::admission::authorize::Answers;

/// What the conditions of one webhook may cost together; upstream's number.
const BUDGET: u64 = 2_500_000;

/// One condition.
#[derive(Debug)]
pub(super) struct Condition {
    /// None where it does not compile any more: then it fails.
    pub(super) program: Option<Program>,
}

/// What the conditions may ask about.
pub(super) struct Asked<'a> {
    pub(super) object: &'a Value,
    pub(super) old: &'a Value,
    pub(super) request: &'a Value,
    /// What `authorizer.requestResource` begins with.
    pub(super) question: &'a Question,
    pub(super) answers: &'a Answers,
}

impl<'a> Bindings<'a> for Asked<'a> {
    fn get(&self, name: &str) -> Option<Result<Cel<'a>, EvalError>> {
        let value = match name {
            "object" => self.object,
            "oldObject" => self.old,
            "request" => self.request,
            "authorizer" => return Some(Ok(Cel::Authorizer(AuthorizerValue::new(self.answers)))),
            "authorizer.requestResource" => {
                let asks = AuthorizerValue::for_resource(self.answers, self.question.clone());
                return Some(Ok(Cel::Authorizer(asks)));
            }
            _ => return None,
        };
        Some(Cel::from_json(value, None))
    }
}

/// Whether all conditions hold.
///
/// # Errors
/// Why it cannot be told, where the webhook must not be missed.
pub(super) fn hold(webhook: &Webhook, asked: &Asked<'_>) -> Result<bool, String> {
    let mut left = BUDGET;
    let mut failed = Vec::new();
    for condition in &webhook.conditions {
        let Some(program) = &condition.program else {
            failed.push("an expression does not compile".to_owned());
            continue;
        };
        let evaluation = program.evaluate(asked, left);
        left = left.saturating_sub(evaluation.cost);
        match evaluation.outcome {
            Ok(Cel::Bool(false)) => return Ok(false),
            Ok(Cel::Bool(true)) => {}
            Ok(_) => failed.push("an expression does not evaluate to bool".to_owned()),
            Err(error) => failed.push(error.to_string()),
        }
    }
    match failed.as_slice() {
        [] => Ok(true),
        _ if webhook.ignores_failure => Ok(false),
        [one] => Err(one.clone()),
        several => Err(format!("[{}]", several.join(", "))),
    }
}
