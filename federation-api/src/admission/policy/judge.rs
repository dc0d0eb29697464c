//! ValidatingAdmissionPolicy: what the policies say of a write, and what their bindings make of that.

use std::sync::Arc;

use federation_schema::cel::Value;
use federation_schema::policy::{BUDGET, Validation};
use serde_json::Value as Json;

use super::authorize::Answers;
use super::definition::{Binding, Definition};
use super::run::{Sight, Stage};
use super::{current, is_exempt, params};
use crate::admission::Review;
use crate::call::Call;
use crate::error::{ApiError, Cause};
use crate::kind;
use crate::object;

/// Longest message that an expression may make; upstream's number.
const MAX_MESSAGE: usize = 5 * 1024;

/// A complaint of one policy.
#[derive(Debug, Clone)]
struct Denial {
    message: String,
    reason: String,
    /// Whether this is what the policy says, not that it could not say anything.
    #[allow(dead_code, reason = "metrics tell them apart")]
    judged: bool,
}

/// What one policy says with one parameter.
#[derive(Debug, Default)]
struct Judgement {
    denials: Vec<Denial>,
    /// Complaints that deny whatever the binding says.
    annotation_errors: Vec<String>,
}

/// Asks the policies that judge.
///
/// # Errors
/// The first denial.
pub(crate) async fn judge(call: &mut Call, new: &Json, review: &Review<'_>) -> Result<(), ApiError> {
    let compiled = current(&call.server);
    if compiled.judging.is_empty() || is_exempt(call) {
        return Ok(());
    }
    let mut answers = Answers::default();
    let (mut denied, mut warnings) = (Vec::new(), Vec::new());
    for definition in &compiled.judging {
        let found = match &definition.matches {
            Some(own) => own.find(call, (new, review)),
            None => continue,
        };
        let kind = match found {
            Ok(Some(kind)) => kind,
            Ok(None) => continue,
            Err(error) => {
                misconfigured(&mut denied, definition, None, &error.to_string());
                continue;
            }
        };
        let mut sight = None;
        for binding in &definition.bindings {
            match binding.matches.as_ref().map_or(Ok(true), |own| own.find(call, (new, review)).map(|m| m.is_some())) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    misconfigured(&mut denied, definition, Some(binding), &error.to_string());
                    continue;
                }
            }
            let params = match params::collect(call, definition, binding) {
                Ok(params) => params,
                Err((of_policy, why)) => {
                    misconfigured(&mut denied, definition, Some(binding).filter(|_| !of_policy), &why);
                    continue;
                }
            };
            let sight = sight.get_or_insert_with(|| Arc::new(Sight::new(call, &kind, new, review)));
            for param in &params {
                let judgement = loop {
                    let judgement = ask(definition, sight, param, &answers);
                    if !answers.answer(call).await {
                        break judgement;
                    }
                };
                settle(definition, binding, judgement, (&mut denied, &mut warnings));
            }
        }
    }
    warnings.into_iter().for_each(|warning| call.warn(warning));
    match denied.into_iter().next() {
        Some(denial) => Err(refusal(call, new, denial)),
        None => Ok(()),
    }
}

/// What a policy that cannot be asked does to a write.
fn misconfigured(denied: &mut Vec<Denial>, of: &Definition, binding: Option<&Binding>, why: &str) {
    if of.ignores_failure {
        return;
    }
    let message = match binding {
        Some(binding) => told(of, Some(binding), &format!("failed to configure binding: {why}")),
        None => told(of, None, &format!("failed to configure policy: {why}")),
    };
    denied.push(Denial { message, reason: String::new(), judged: false });
}

fn told(of: &Definition, binding: Option<&Binding>, message: &str) -> String {
    let policy = &of.name;
    match binding {
        Some(binding) => {
            format!("ValidatingAdmissionPolicy '{policy}' with binding '{}' denied request: {message}", binding.name)
        }
        None => format!("ValidatingAdmissionPolicy '{policy}' denied request: {message}"),
    }
}

/// What the binding makes of a judgement.
fn settle(
    of: &Definition,
    binding: &Binding,
    judgement: Judgement,
    (denied, warnings): (&mut Vec<Denial>, &mut Vec<String>),
) {
    for denial in judgement.denials {
        for action in &binding.actions {
            match action.as_str() {
                "Deny" => {
                    denied.push(Denial { message: told(of, Some(binding), &denial.message), ..denial.clone() });
                }
                "Warn" => warnings.push(format!(
                    "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                    of.name, binding.name, denial.message
                )),
                _ => {}
            }
        }
    }
    for message in judgement.annotation_errors {
        denied.push(Denial { message: told(of, Some(binding), &message), reason: String::new(), judged: false });
    }
}

/// The 422 (or what the policy asks for) of a denied write.
fn refusal(call: &Call, new: &Json, denial: Denial) -> ApiError {
    let subject = kind::subject(&call.kind, object::name(new));
    let mut status = ApiError::Forbidden(subject, denial.message.clone()).status();
    status.reason = if denial.reason.is_empty() { "Invalid".to_owned() } else { denial.reason };
    status.code = match status.reason.as_str() {
        "Forbidden" => 403,
        "Unauthorized" => 401,
        "RequestEntityTooLarge" => 413,
        _ => 422,
    };
    if let Some(details) = &mut status.details {
        details.causes.push(Cause::field("", "", denial.message));
    }
    ApiError::Foreign(Box::new(status))
}

/// Runs one policy with one parameter.
fn ask(of: &Definition, sight: &Sight, param: &Json, answers: &Answers) -> Judgement {
    let mut judgement = Judgement::default();
    let failed = |message: String| Denial { message, reason: String::new(), judged: false };
    let fails = |message: String| if of.ignores_failure { Vec::new() } else { vec![failed(message)] };
    let stage = Stage::new(&of.policy, sight, param, answers);
    match stage.conditions(of.ignores_failure) {
        Ok(true) => {}
        Ok(false) => return judgement,
        Err(error) => {
            judgement.denials = fails(error);
            return judgement;
        }
    }
    let mut budget = BUDGET;
    let mut outcomes = Vec::with_capacity(of.policy.validations.len());
    for validation in &of.policy.validations {
        match stage.run(&validation.expression, &mut budget) {
            Ok(outcome) => outcomes.push((validation, outcome)),
            Err(error) => {
                judgement.denials = fails(error);
                return judgement;
            }
        }
    }
    for (validation, outcome) in outcomes {
        match outcome {
            Err(error) => judgement.denials.extend(fails(error)),
            Ok(Value::Bool(true)) => {}
            Ok(_) => match message(&stage, validation, &mut budget) {
                Ok(message) => {
                    let reason = validation.reason.clone().unwrap_or_else(|| "Invalid".to_owned());
                    judgement.denials.push(Denial { message, reason, judged: true });
                }
                Err(error) => judgement.denials.extend(fails(format!("failed messageExpression: {error}"))),
            },
        }
    }
    annotate(of, &stage, &mut judgement);
    judgement
}

/// What a failed validation says.
///
/// # Errors
/// The budget is used up.
fn message(stage: &Stage<'_>, of: &Validation, budget: &mut u64) -> Result<String, String> {
    let mut message = String::new();
    if let Some(expression) = &of.message_expression
        && let Ok(value) = stage.run(expression, budget)?
    {
        let made = value.as_str().unwrap_or("").trim();
        if made.len() <= MAX_MESSAGE && !made.contains('\n') {
            message = made.to_owned();
        }
    }
    if message.is_empty() {
        message = of.message.trim().to_owned();
    }
    if message.is_empty() {
        message = format!("failed expression: {}", of.expression.text.trim());
    }
    Ok(message)
}

/// Runs the audit annotations: those that fail deny, unless failures are ignored.
fn annotate(of: &Definition, stage: &Stage<'_>, judgement: &mut Judgement) {
    let mut budget = BUDGET;
    for (_, annotation) in &of.policy.annotations {
        let error = match stage.run(annotation, &mut budget) {
            Ok(Ok(Value::String(_) | Value::Null)) => continue,
            Ok(Ok(other)) => format!(
                "valueExpression '{}' resulted in unsupported return type: {}. Return type must be either string or null.",
                annotation.text,
                other.runtime_type().name()
            ),
            Ok(Err(error)) | Err(error) => error,
        };
        if !of.ignores_failure {
            judgement.annotation_errors.push(error);
        }
    }
}
