//! ValidatingAdmissionPolicy: what the policies say of a write, and what their bindings make of that.

use std::collections::BTreeMap;
use std::sync::Arc;

use federation_schema::cel::Value;
use federation_schema::policy::{BUDGET, Validation};
use serde_json::{Value as Json, json};

use super::definition::{Binding, Definition};
use super::run::{Sight, Stage};
use super::{current, is_exempt, params};
use crate::admission::Review;
use crate::admission::authorize::Answers;
use crate::call::Call;
use crate::error::{ApiError, Cause};
use crate::kind;
use crate::object;

/// Longest message that an expression may make; upstream's number.
const MAX_MESSAGE: usize = 5 * 1024;
/// Longest value of an audit annotation; upstream's number.
const MAX_ANNOTATION: usize = 10 * 1024;
/// Failures that one audit event tells; upstream's number.
const MAX_AUDITED: usize = 50;
const FAILURES: &str = "validation.policy.admission.k8s.io/validation_failure";

/// A complaint of one policy.
#[derive(Debug, Clone)]
struct Denial {
    message: String,
    reason: String,
    /// Which validation it is of.
    index: usize,
}

/// What one policy says with one parameter.
#[derive(Debug, Default)]
struct Judgement {
    denials: Vec<Denial>,
    /// Complaints that deny whatever the binding says.
    annotation_errors: Vec<String>,
    /// Keys and values for the audit log.
    annotations: Vec<(String, String)>,
}

/// What all policies together make of a write.
#[derive(Debug, Default)]
struct Verdict {
    denied: Vec<Denial>,
    warnings: Vec<String>,
    /// Failures that are only told in the audit log, as upstream words them.
    audited: Vec<Json>,
    /// By policy and key.
    annotations: BTreeMap<String, Vec<String>>,
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
    let mut verdict = Verdict::default();
    for definition in &compiled.judging {
        let found = match &definition.matches {
            Some(own) => own.find(call, (new, review)),
            None => continue,
        };
        let kind = match found {
            Ok(Some(kind)) => kind,
            Ok(None) => continue,
            Err(error) => {
                misconfigured(&mut verdict.denied, definition, None, &error.to_string());
                continue;
            }
        };
        let mut sight = None;
        for binding in &definition.bindings {
            match binding.matches.as_ref().map_or(Ok(true), |own| own.find(call, (new, review)).map(|m| m.is_some())) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    misconfigured(&mut verdict.denied, definition, Some(binding), &error.to_string());
                    continue;
                }
            }
            let params = match params::collect(call, definition, binding) {
                Ok(params) => params,
                Err((of_policy, why)) => {
                    misconfigured(&mut verdict.denied, definition, Some(binding).filter(|_| !of_policy), &why);
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
                settle(definition, binding, judgement, &mut verdict);
            }
        }
    }
    verdict.tell(call, new)
}

impl Verdict {
    /// Warns, writes to the audit log, and refuses with the first denial.
    fn tell(self, call: &mut Call, new: &Json) -> Result<(), ApiError> {
        self.warnings.into_iter().for_each(|warning| call.warn(warning));
        for (key, values) in self.annotations {
            call.audit_annotation(&key, &values.join(", "));
        }
        if !self.audited.is_empty() {
            let failures: Vec<Json> = self.audited.into_iter().take(MAX_AUDITED).collect();
            call.audit_annotation(FAILURES, &Json::Array(failures).to_string());
        }
        match self.denied.into_iter().next() {
            Some(denial) => Err(refusal(call, new, denial)),
            None => Ok(()),
        }
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
    denied.push(Denial { message, reason: String::new(), index: 0 });
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
fn settle(of: &Definition, binding: &Binding, judgement: Judgement, verdict: &mut Verdict) {
    for denial in judgement.denials {
        for action in &binding.actions {
            match action.as_str() {
                "Deny" => {
                    let message = told(of, Some(binding), &denial.message);
                    verdict.denied.push(Denial { message, ..denial.clone() });
                }
                "Warn" => verdict.warnings.push(format!(
                    "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                    of.name, binding.name, denial.message
                )),
                _ => verdict.audited.push(json!({
                    "message": denial.message, "policy": of.name, "binding": binding.name,
                    "expressionIndex": denial.index, "validationActions": binding.actions,
                })),
            }
        }
    }
    for message in judgement.annotation_errors {
        let message = told(of, Some(binding), &message);
        verdict.denied.push(Denial { message, reason: String::new(), index: 0 });
    }
    for (key, value) in judgement.annotations {
        let values = verdict.annotations.entry(format!("{}/{key}", of.name)).or_default();
        if !values.contains(&value) {
            values.push(value);
        }
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
    let failed = |message: String| Denial { message, reason: String::new(), index: 0 };
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
    for (index, (validation, outcome)) in outcomes.into_iter().enumerate() {
        let at = |denial: Denial| Denial { index, ..denial };
        match outcome {
            Err(error) => judgement.denials.extend(fails(error).into_iter().map(at)),
            Ok(Value::Bool(true)) => {}
            Ok(_) => match message(&stage, validation, &mut budget) {
                Ok(message) => {
                    let reason = validation.reason.clone().unwrap_or_else(|| "Invalid".to_owned());
                    judgement.denials.push(Denial { message, reason, index });
                }
                Err(error) => {
                    judgement.denials.extend(fails(format!("failed messageExpression: {error}")).into_iter().map(at))
                }
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
    for (key, annotation) in &of.policy.annotations {
        let error = match stage.run(annotation, &mut budget) {
            Ok(Ok(Value::Null)) => continue,
            Ok(Ok(Value::String(value))) => {
                let value: String = value.trim().chars().take(MAX_ANNOTATION).collect();
                if !value.is_empty() {
                    judgement.annotations.push((key.clone(), value));
                }
                continue;
            }
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
