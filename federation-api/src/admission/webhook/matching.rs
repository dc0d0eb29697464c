//! Whether a webhook wants to be asked about a write, and in which version of the resource.

use federation_schema::cel::Question;
use federation_schema::facts::TypeId;
use serde_json::Value;

use super::condition::{self, Asked};
use super::configuration::Webhook;
use super::exchange;
use super::version::{Invocation, Side};
use crate::admission::authorize::Answers;
use crate::admission::{Operation, Review};
use crate::call::Call;
use crate::error::ApiError;
use crate::object;

/// The type of an object that asks for something and is never stored, where the request is such a one.
pub(super) fn request_type(call: &Call) -> Option<TypeId> {
    let below = &*call.info.subresource;
    matches!(below, "eviction" | "token").then(|| call.kind.subresource(below)).flatten()?.ty
}

/// How a webhook is to be asked about a write, if at all.
///
/// # Errors
/// 404 where the namespace is not there, 500 where a selector cannot be read or the object not be converted.
pub(super) async fn should_call(
    call: &Call,
    webhook: &Webhook,
    (new, review): (&Value, &Review<'_>),
) -> Result<Option<Invocation>, ApiError> {
    let Some(kind) = webhook.matches.find(call, (new, review))? else { return Ok(None) };
    let invocation = Invocation::of(call, kind, (new, review)).await?;
    if webhook.conditions.is_empty() {
        return Ok(Some(invocation));
    }
    let new = (review.operation != Operation::Delete).then_some(new);
    let shown =
        |side, object: Option<&Value>| object.map_or(Value::Null, |object| invocation.shown(call, (side, object)));
    let (object, old) = (shown(Side::New, new), shown(Side::Old, review.old));
    let mut request = exchange::question(call, &invocation, (new, review), "");
    for field in ["object", "oldObject"] {
        request[field] = Value::Null;
    }
    let about = new.or(review.old).unwrap_or(&Value::Null);
    let name = if object::name(about).is_empty() { &call.info.name } else { object::name(about) };
    let question = Question {
        group: call.kind.group.to_string(),
        resource: call.kind.plural.to_string(),
        subresource: call.info.subresource.clone(),
        namespace: call.namespace().to_owned(),
        name: name.to_owned(),
        ..Question::default()
    };
    let mut answers = Answers::default();
    let held = loop {
        let (request, question) = (&request, &question);
        let asked = Asked { object: &object, old: &old, request, question, answers: &answers };
        let held = condition::hold(webhook, &asked);
        if !answers.answer(call).await {
            break held;
        }
    };
    match held {
        Ok(true) => Ok(Some(invocation)),
        Ok(false) => Ok(None),
        Err(text) => Err(ApiError::Forbidden(call.subject(), text)),
    }
}
