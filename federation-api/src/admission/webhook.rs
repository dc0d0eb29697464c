//! Admission webhooks: people's own servers are asked about writes, and may change them.
//!
//! The configurations are compiled when one has changed, so that a webhook acts on the first write after its
//! configuration was acknowledged, and a server without any pays one comparison.
//! Source: k8s.io/apiserver `pkg/admission/plugin/webhook`.

mod condition;
mod configuration;
mod exchange;
mod matching;
mod version;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use serde_json::Value;

use super::trail::Kin;
use super::{Operation, Review};
use crate::call::Call;
use crate::convert;
use crate::decode;
use crate::error::{ApiError, Status};
use crate::kind;
use crate::object;
use crate::server::Server;
use crate::verb::review;
use crate::verb::write::Part;
use configuration::{Compiled, Webhook};
use exchange::Verdict;
use version::{Invocation, Side};

/// The webhooks of one server.
#[derive(Debug, Default)]
pub(crate) struct Webhooks {
    compiled: ArcSwap<Compiled>,
}

/// Asks the mutating webhooks, one after the other.
///
/// # Errors
/// The first refusal, or a call that failed where the webhook must not be missed.
pub(crate) async fn mutate(call: &mut Call, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    let compiled = current(&call.server);
    if compiled.mutating.is_empty() || is_exempt(call) {
        return Ok(());
    }
    call.trail.enter(Kin::Webhooks, new);
    for webhook in &compiled.mutating {
        let Some(invocation) = matching::should_call(call, webhook, (new, review)).await? else { continue };
        if call.trail.skips(Kin::Webhooks, &webhook.id) {
            continue;
        }
        let verdict = exchange::ask(call, webhook, &invocation, (Some(new), review)).await;
        let changed = match settle(call, webhook, verdict)? {
            Some(patch) => patched(call, webhook, &invocation, (new, review), patch).await?,
            None => false,
        };
        if changed {
            call.trail.change(Kin::Webhooks);
        }
        if webhook.reinvokes {
            call.trail.remember(Kin::Webhooks, Arc::clone(&webhook.id));
        }
    }
    call.trail.leave(Kin::Webhooks, new);
    Ok(())
}

/// Whether there is any webhook.
pub(crate) fn is_any(server: &Server) -> bool {
    let compiled = current(server);
    !(compiled.mutating.is_empty() && compiled.validating.is_empty())
}

/// Asks the mutating webhooks about a deletion: there is nothing that they could change.
///
/// # Errors
/// As [`mutate`].
pub(crate) async fn mutate_nothing(call: &mut Call, old: &Value, review: &Review<'_>) -> Result<(), ApiError> {
    call.trail = super::Trail::default();
    let mut same = old.clone();
    mutate(call, &mut same, review).await
}

/// Asks the validating webhooks, all at once.
///
/// # Errors
/// As [`mutate`]; of several the first in their order.
pub(crate) async fn validate(call: &mut Call, new: &Value, review: &Review<'_>) -> Result<(), ApiError> {
    let compiled = current(&call.server);
    if compiled.validating.is_empty() || is_exempt(call) {
        return Ok(());
    }
    let mut asked = Vec::new();
    for webhook in &compiled.validating {
        if let Some(invocation) = matching::should_call(call, webhook, (new, review)).await? {
            asked.push((webhook, invocation));
        }
    }
    let verdicts = {
        let call = &*call;
        let ask = |(webhook, invocation): &(&Arc<Webhook>, Invocation)| {
            let (webhook, invocation) = (Arc::clone(webhook), invocation.clone());
            let object = (review.operation != Operation::Delete).then_some(new);
            async move { exchange::ask(call, &webhook, &invocation, (object, review)).await }
        };
        join_all(asked.iter().map(ask)).await
    };
    let mut first = Ok(());
    for ((webhook, _), verdict) in asked.iter().zip(verdicts) {
        let outcome = settle(call, webhook, verdict).map(|_| ());
        if first.is_ok() {
            first = outcome;
        }
    }
    first
}

/// What a verdict means: a patch, nothing, or a refusal.
fn settle(call: &mut Call, webhook: &Webhook, verdict: Verdict) -> Result<Option<Value>, ApiError> {
    match verdict {
        Verdict::Allowed { patch, warnings } => {
            warnings.into_iter().for_each(|warning| call.warn(warning));
            Ok(patch)
        }
        Verdict::Denied { status, warnings } => {
            warnings.into_iter().for_each(|warning| call.warn(warning));
            Err(ApiError::Foreign(status))
        }
        Verdict::NoDryRun => {
            Err(ApiError::BadRequest(format!("admission webhook {:?} does not support dry run", webhook.name)))
        }
        Verdict::Failed(reason) if webhook.ignores_failure => {
            tracing::warn!(webhook = %webhook.name, reason, "a webhook failed and is passed over");
            Ok(None)
        }
        Verdict::Failed(reason) => {
            Err(ApiError::Internal(format!("failed calling webhook {:?}: {reason}", webhook.name)))
        }
    }
}

/// Applies a webhook's patch; says whether it has changed anything.
async fn patched(
    call: &mut Call,
    webhook: &Webhook,
    invocation: &Invocation,
    (new, review): (&mut Value, &Review<'_>),
    patch: Value,
) -> Result<bool, ApiError> {
    if matches!(review.operation, Operation::Delete | Operation::Connect) {
        let text = format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            webhook.name
        );
        return Err(ApiError::Internal(text));
    }
    let shown = invocation.shown(call, (Side::New, new));
    let outcome = federation_schema::patch::json::apply(shown, patch.clone())
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    if review.part == Part::Scale {
        let replicas = outcome.pointer("/spec/replicas").cloned().unwrap_or(Value::from(0));
        let changed = new.pointer("/spec/replicas") != Some(&replicas);
        new["spec"]["replicas"] = replicas;
        return Ok(changed);
    }
    let validation = federation_schema::decode::FieldValidation::Ignore;
    if let Some(ty) = matching::request_type(call) {
        let outcome = decode::patched(call, ty, outcome, (&patch.to_string(), &[]), validation)?;
        let changed = outcome != *new;
        *new = outcome;
        return Ok(changed);
    }
    let (outcome, ty) = invocation.back(call, outcome).await?;
    let mut outcome = decode::patched(call, ty, outcome, (&patch.to_string(), &[]), validation)?;
    convert::to_stored(&invocation.kind, &call.stored, &mut outcome);
    confine(call, new, &mut outcome, review);
    if review.part == Part::Main {
        crate::check::default(call, &mut outcome, review)?;
    }
    let changed = outcome != *new;
    *new = outcome;
    Ok(changed)
}

/// What a webhook cannot change: the identity of the object, and what this write may not touch.
fn confine(call: &Call, before: &Value, after: &mut Value, review: &Review<'_>) {
    let fixed = [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "name",
        "namespace",
    ];
    for field in fixed {
        object::copy_meta(after, before, field);
    }
    let (from, to) = match review.part {
        Part::Status => (after.clone(), &mut *after),
        Part::Main | Part::Scale | Part::Finalize => {
            if kind::has_status(&call.kind)
                && let Some(map) = after.as_object_mut()
            {
                match before.get("status") {
                    Some(status) => map.insert("status".to_owned(), status.clone()),
                    None => map.remove("status"),
                };
            }
            return;
        }
    };
    *to = before.clone();
    for field in ["annotations", "labels"] {
        object::copy_meta(to, &from, field);
    }
    if let Some(map) = to.as_object_mut() {
        match from.get("status") {
            Some(status) => map.insert("status".to_owned(), status.clone()),
            None => map.remove("status"),
        };
    }
}

/// Configurations of admission itself, and questions about rights, are nobody's to refuse.
fn is_exempt(call: &Call) -> bool {
    let configuration = call.kind.group == "admissionregistration.k8s.io";
    configuration || review::is_review(&call.kind) && call.info.subresource.is_empty()
}

/// The compiled webhooks, as new as the last acknowledged write.
fn current(server: &Server) -> Arc<Compiled> {
    let compiled = server.webhooks.compiled.load_full();
    let revs = Compiled::revisions(server);
    if compiled.revs == Some(revs) {
        return compiled;
    }
    let fresh = Arc::new(Compiled::build(server, revs));
    server.webhooks.compiled.store(Arc::clone(&fresh));
    fresh
}

/// A refusal of a webhook as the client gets it.
fn denied(webhook: &str, result: &Value) -> Box<Status> {
    let text = |key: &str| result.get(key).and_then(Value::as_str).unwrap_or("");
    let code = result.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
    let by = format!("admission webhook {webhook:?} denied the request");
    let message = match (text("message"), text("reason")) {
        ("", "") => format!("{by} without explanation"),
        ("", reason) => format!("{by}: {reason}"),
        (message, _) => format!("{by}: {message}"),
    };
    let mut status = Status::failure(code.max(400), text("reason"), message);
    status.details = result.get("details").and_then(crate::error::Details::read);
    Box::new(status)
}

/// How long a webhook may take: its own word within upstream's bounds.
fn timeout(config: &Value) -> Duration {
    const DEFAULT_S: u64 = 10;
    const MAX_S: u64 = 30;
    Duration::from_secs(config.get("timeoutSeconds").and_then(Value::as_u64).unwrap_or(DEFAULT_S).clamp(1, MAX_S))
}
