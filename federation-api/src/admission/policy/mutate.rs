//! MutatingAdmissionPolicy: expressions that make patches.

use federation_schema::cel::{Struct, Value};
use federation_schema::managed::Typing;
use federation_schema::patch::{apply::overlay, json as json_patch};
use federation_schema::policy::{BUDGET, Expression, Mutation};
use serde_json::{Value as Json, json};

use super::definition::{Binding, Definition};
use super::run::{Sight, Stage};
use super::{current, is_exempt, params};
use crate::admission::Review;
use crate::admission::authorize::Answers;
use crate::admission::trail::Kin;
use crate::call::Call;
use crate::convert;
use crate::error::{ApiError, Cause};
use crate::kind;
use crate::kinds::Kind;
use crate::object;
use crate::verb::write::Part;

/// Asks the policies that change, one after the other.
///
/// # Errors
/// A policy that fails and must not be missed.
pub(crate) async fn mutate(call: &mut Call, new: &mut Json, review: &Review<'_>) -> Result<(), ApiError> {
    let compiled = current(&call.server);
    if compiled.changing.is_empty() || is_exempt(call) {
        return Ok(());
    }
    let mut answers = Answers::default();
    let mut failures: Vec<String> = Vec::new();
    let before = new.clone();
    call.trail.enter(Kin::Policies, new);
    for definition in &compiled.changing {
        let kind = match definition.matches.as_ref().map(|own| own.find(call, (new, review))) {
            Some(Ok(Some(kind))) => kind,
            Some(Err(error)) => {
                failures.extend(failure(definition, None, &format!("failed to configure policy: {error}")));
                continue;
            }
            _ => continue,
        };
        for binding in &definition.bindings {
            let matched = binding
                .matches
                .as_ref()
                .map_or(Ok(true), |own| own.find(call, (new, review)).map(|found| found.is_some()));
            let outcome = match matched {
                Ok(false) => continue,
                Ok(true) => params::collect(call, definition, binding).map_err(|(_, why)| why),
                Err(error) => Err(error.to_string()),
            };
            let params = match outcome {
                Ok(params) => params,
                Err(why) => {
                    let why = format!("failed to configure binding: {why}");
                    failures.extend(failure(definition, Some(binding), &why));
                    continue;
                }
            };
            for param in &params {
                let id = invocation(definition, binding, param);
                if call.trail.skips(Kin::Policies, &id) {
                    continue;
                }
                let seen = new.clone();
                let errors = apply_all(call, (definition, &kind, param), (new, review), &mut answers).await;
                if *new != seen {
                    call.trail.change(Kin::Policies);
                }
                if definition.reinvokes {
                    call.trail.remember(Kin::Policies, id.into());
                }
                let told = errors.iter().filter_map(|error| failure(definition, Some(binding), error));
                failures.extend(told);
            }
        }
    }
    if !failures.is_empty() {
        return Err(refusal(call, new, failures));
    }
    if *new != before && review.part == Part::Main {
        federation_schema::defaults::set_defaults(new);
    }
    call.trail.leave(Kin::Policies, new);
    Ok(())
}

/// Names one policy with one binding and one parameter.
fn invocation(of: &Definition, binding: &Binding, param: &Json) -> String {
    format!("{}\n{}\n{}/{}", of.name, binding.name, object::namespace(param), object::name(param))
}

fn failure(of: &Definition, binding: Option<&Binding>, why: &str) -> Option<String> {
    let policy = &of.name;
    let told = match binding {
        Some(binding) => {
            format!("policy '{policy}' with binding '{}' denied request: {why}", binding.name)
        }
        None => format!("policy '{policy}' denied request: {why}"),
    };
    (!of.ignores_failure).then_some(told)
}

fn refusal(call: &Call, new: &Json, failures: Vec<String>) -> ApiError {
    let subject = kind::subject(&call.kind, object::name(new));
    let mut status = ApiError::Forbidden(subject, String::new()).status();
    status.message.clone_from(&failures[0]);
    status.reason = "Invalid".to_owned();
    if let Some(details) = &mut status.details {
        details.causes = failures.into_iter().map(|message| Cause::field("", "", message)).collect();
    }
    ApiError::Foreign(Box::new(status))
}

/// All mutations of one policy with one parameter, in order; answers what failed.
async fn apply_all(
    call: &Call,
    (of, kind, param): (&Definition, &Kind, &Json),
    (new, review): (&mut Json, &Review<'_>),
    answers: &mut Answers,
) -> Vec<String> {
    let mut errors = Vec::new();
    let matched = loop {
        let sight = Sight::new(call, kind, new, review);
        let matched = Stage::new(&of.policy, &sight, param, answers).conditions(of.ignores_failure);
        if !answers.answer(call).await {
            break matched;
        }
    };
    match matched {
        Ok(true) => {}
        Ok(false) => return errors,
        Err(error) => return vec![error],
    }
    for mutation in &of.policy.mutations {
        let outcome = loop {
            let sight = Sight::new(call, kind, new, review);
            let outcome = patched(kind, mutation, &sight, &Stage::new(&of.policy, &sight, param, answers));
            if !answers.answer(call).await {
                break outcome;
            }
        };
        match outcome {
            Ok(mut changed) => {
                convert::to_stored(kind, &call.stored, &mut changed);
                *new = changed;
            }
            Err(error) => errors.push(error),
        }
    }
    errors
}

/// The object after one mutation.
fn patched(kind: &Kind, mutation: &Mutation, sight: &Sight, stage: &Stage<'_>) -> Result<Json, String> {
    let run = |expression: &Expression| -> Result<Json, String> {
        if let Err(problem) = &expression.program {
            return Err(problem.to_string());
        }
        let value = stage.run(expression, &mut BUDGET.clone())??;
        check_names(&value)?;
        value.to_json().map_err(|error| error.to_string())
    };
    match mutation {
        Mutation::Apply(expression) => {
            let mut config = run(expression)?;
            for field in ["apiVersion", "kind"] {
                config[field] = sight.object[field].clone();
            }
            let typing = Typing::new(kind.facts(), kind.ty);
            overlay(typing, &sight.object, &config).map_err(|error| format!("error applying patch: {error}"))
        }
        Mutation::JsonPatch(expression) => {
            let mut patch = run(expression)?;
            for operation in patch.as_array_mut().into_iter().flatten() {
                if operation["op"].is_null() {
                    operation["op"] = json!("");
                }
            }
            match json_patch::apply(sight.object.clone(), patch) {
                Ok(changed) => Ok(changed),
                // A test that fails leaves the object as it is.
                Err(error) if error.to_string().contains("test failed") => Ok(sight.object.clone()),
                Err(error) => Err(format!("JSON Patch: {error}")),
            }
        }
    }
}

/// The names of made objects have to be those of the fields that they stand in.
fn check_names(value: &Value<'_>) -> Result<(), String> {
    match value {
        Value::Struct(object) if &*object.name == "JSONPatch" => {
            object.fields.iter().try_for_each(|(_, value)| match value {
                Value::Struct(inner) => check_object(inner, &inner.name),
                _ => Ok(()),
            })
        }
        Value::Struct(object) => check_object(object, "Object"),
        Value::List(list) => list.iter().try_for_each(|item| match item {
            Ok(item) => check_names(&item),
            Err(_) => Ok(()),
        }),
        _ => Ok(()),
    }
}

fn check_object(object: &Struct<'_>, wanted: &str) -> Result<(), String> {
    if &*object.name != wanted {
        return Err(format!(
            "type mismatch: unexpected type name {:?}, expected {wanted:?}, which matches field name path from root Object type",
            object.name
        ));
    }
    object.fields.iter().try_for_each(|(name, value)| check_field(value, &format!("{wanted}.{name}")))
}

fn check_field(value: &Value<'_>, wanted: &str) -> Result<(), String> {
    match value {
        Value::Struct(object) => check_object(object, wanted),
        Value::List(list) => list.iter().flatten().try_for_each(|item| check_field(&item, wanted)),
        Value::Map(map) => map.entries().into_iter().flatten().try_for_each(|(_, value)| check_field(&value, wanted)),
        _ => Ok(()),
    }
}
