//! One AdmissionReview: what is asked, and what the answer means.

use base64::Engine as _;
use federation_schema::decode::FieldValidation;
use serde_json::{Map, Value, json};

use super::configuration::Webhook;
use super::denied;
use super::version::{Invocation, Side};
use crate::admission::{Operation, Review};
use crate::call::Call;
use crate::error::Status;
use crate::kinds::Kind;
use crate::object;

/// Warnings of one answer that are passed on.
const MAX_WARNINGS: usize = 64;

/// Annotations of one answer that are recorded.
const MAX_NOTES: usize = 64;

/// What a webhook has said.
#[derive(Debug)]
pub(super) enum Verdict {
    Allowed {
        patch: Option<Value>,
        warnings: Vec<String>,
    },
    Denied {
        status: Box<Status>,
        warnings: Vec<String>,
    },
    /// It may do something that a dry run must not.
    NoDryRun,
    /// Nothing that can be understood; the reason.
    Failed(String),
}

/// Asks one webhook about a write of `new`, none for a deletion.
pub(super) async fn ask(
    call: &Call,
    webhook: &Webhook,
    invocation: &Invocation,
    (new, review): (Option<&Value>, &Review<'_>),
) -> Verdict {
    let dry_run = review.options.dry_run;
    if dry_run && webhook.has_side_effects {
        return Verdict::NoDryRun;
    }
    if webhook.version.is_empty() {
        let reason =
            "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)";
        return Verdict::Failed(reason.to_owned());
    }
    let Some(destination) = &webhook.destination else {
        let reason = "could not get REST client: webhook configuration must have either service or URL";
        return Verdict::Failed(reason.to_owned());
    };
    let uid = uuid::Uuid::new_v4().to_string();
    let question = question(call, invocation, (new, review), &uid);
    let kind = format!("admission.k8s.io/{}", webhook.version);
    let body = json!({"kind": "AdmissionReview", "apiVersion": kind, "request": question});
    match call.server.hooks.post(&call.server, destination, &body, webhook.timeout).await {
        Err(error) => Verdict::Failed(format!("failed to call webhook: {error}")),
        Ok(answer) => match understood(&answer, webhook, &uid) {
            Ok(verdict) => {
                note(call, webhook, &answer);
                verdict
            }
            Err(reason) => Verdict::Failed(reason),
        },
    }
}

pub(super) fn question(
    call: &Call,
    invocation: &Invocation,
    (new, review): (Option<&Value>, &Review<'_>),
    uid: &str,
) -> Value {
    let (kind, own) = (&invocation.kind, &call.kind);
    let (shown_kind, own_kind) = (kind_json(kind, &call.info.subresource), kind_json(own, &call.info.subresource));
    let about = new.or(review.old).unwrap_or(&Value::Null);
    let shown =
        |side, object: Option<&Value>| object.map_or(Value::Null, |object| invocation.shown(call, (side, object)));
    let is_delete = review.operation == Operation::Delete;
    let namespace = if crate::kind::is_namespace(own) { object::name(about) } else { call.namespace() };
    let mut question = json!({
        "uid": uid,
        "kind": shown_kind,
        "resource": {"group": &*kind.group, "version": &*kind.version, "resource": &*kind.plural},
        "requestKind": own_kind,
        "requestResource": {"group": &*own.group, "version": &*own.version, "resource": &*own.plural},
        "operation": review.operation.word(),
        "userInfo": serde_json::to_value(&*call.user).expect("users serialise"),
        "object": if is_delete { Value::Null } else { shown(Side::New, new) },
        "oldObject": shown(Side::Old, review.old),
        "dryRun": review.options.dry_run,
        "options": options(call, review),
    });
    let name = if object::name(about).is_empty() { &call.info.name } else { object::name(about) };
    for (field, text) in [("name", name), ("namespace", namespace)] {
        if !text.is_empty() {
            question[field] = text.into();
        }
    }
    if !call.info.subresource.is_empty() {
        question["subResource"] = call.info.subresource.as_str().into();
        question["requestSubResource"] = call.info.subresource.as_str().into();
    }
    question
}

/// The kind of what a resource or a part of it takes.
fn kind_json(of: &Kind, subresource: &str) -> Value {
    match of.subresource(subresource).filter(|part| !part.kind.is_empty()) {
        Some(part) => json!({"group": &*part.group, "version": &*part.version, "kind": &*part.kind}),
        None => json!({"group": &*of.group, "version": &*of.version, "kind": &*of.kind}),
    }
}

/// The request's own options, as an object; a connection has none.
fn options(call: &Call, review: &Review<'_>) -> Value {
    if review.operation == Operation::Connect {
        return Value::Null;
    }
    let kind = match (review.operation, call.info.verb.as_str()) {
        (Operation::Delete | Operation::Connect, _) => "DeleteOptions",
        (Operation::Create, _) => "CreateOptions",
        (Operation::Update, "patch") => "PatchOptions",
        (Operation::Update, _) => "UpdateOptions",
    };
    let mut options = Map::from_iter([
        ("kind".to_owned(), Value::from(kind)),
        ("apiVersion".to_owned(), Value::from("meta.k8s.io/v1")),
    ]);
    let mut add = |field: &str, value: Value| options.insert(field.to_owned(), value);
    if review.options.dry_run {
        add("dryRun", json!(["All"]));
    }
    if let Some(deletion) = review.deletion {
        if let Some(seconds) = deletion.grace_period_seconds {
            add("gracePeriodSeconds", seconds.into());
        }
        if let Some(policy) = &deletion.propagation_policy {
            add("propagationPolicy", policy.as_str().into());
        }
        if let Some(orphan) = deletion.orphan_dependents {
            add("orphanDependents", orphan.into());
        }
    } else {
        if !review.options.field_manager.is_empty() {
            add("fieldManager", review.options.field_manager.as_str().into());
        }
        if kind == "PatchOptions" && review.options.force {
            add("force", true.into());
        }
        let validation = match review.options.validation {
            FieldValidation::Strict => "Strict",
            FieldValidation::Ignore => "Ignore",
            FieldValidation::Warn => "Warn",
        };
        add("fieldValidation", validation.into());
    }
    Value::Object(options)
}

/// Puts a webhook's annotations into the record of the request.
fn note(call: &Call, webhook: &Webhook, answer: &Value) {
    let Some(record) = &call.audit else { return };
    let notes = answer.pointer("/response/auditAnnotations").and_then(Value::as_object).into_iter().flatten();
    for (key, value) in notes.filter_map(|(key, value)| Some((key, value.as_str()?))).take(MAX_NOTES) {
        record.annotate(&format!("{}/{key}", webhook.name), value);
    }
}

/// # Errors
/// Why the answer is none.
fn understood(answer: &Value, webhook: &Webhook, uid: &str) -> Result<Verdict, String> {
    let invalid = |reason: String| format!("received invalid webhook response: {reason}");
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let response = answer.get("response").filter(|response| response.is_object());
    let response = response.ok_or_else(|| invalid("webhook response was absent".to_owned()))?;
    let patch = text(response, "patch");
    let patch_type = response.get("patchType").and_then(Value::as_str);
    if webhook.version == "v1" {
        let own = text(response, "uid");
        if own != uid {
            return Err(invalid(format!("expected response.uid={uid:?}, got {own:?}")));
        }
        let (version, kind) = (text(answer, "apiVersion"), text(answer, "kind"));
        if (version.as_str(), kind.as_str()) != ("admission.k8s.io/v1", "AdmissionReview") {
            let want = "admission.k8s.io/v1, Kind=AdmissionReview";
            return Err(invalid(format!("expected webhook response of {want}, got {version}, Kind={kind}")));
        }
        check_patch(webhook.mutates, &patch, patch_type).map_err(|reason| invalid(reason.to_owned()))?;
    }
    let warnings = response.get("warnings").and_then(Value::as_array).into_iter().flatten();
    let warnings = warnings.filter_map(|text| text.as_str().map(str::to_owned)).take(MAX_WARNINGS).collect();
    if response.get("allowed") != Some(&Value::Bool(true)) {
        let result = response.get("status").or_else(|| response.get("result")).unwrap_or(&Value::Null);
        return Ok(Verdict::Denied { status: denied(&webhook.name, result), warnings });
    }
    if !webhook.mutates || patch.is_empty() {
        return Ok(Verdict::Allowed { patch: None, warnings });
    }
    let undecodable = |reason: String| format!("received undecodable patch in webhook response: {reason}");
    if patch_type.is_some_and(|kind| kind != "JSONPatch") {
        return Err(format!("unsupported patch type {:?}", patch_type.unwrap_or("")));
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(patch).map_err(|e| undecodable(e.to_string()))?;
    let patch: Value = serde_json::from_slice(&bytes).map_err(|error| undecodable(error.to_string()))?;
    let empty = patch.as_array().is_some_and(Vec::is_empty);
    Ok(Verdict::Allowed { patch: (!empty).then_some(patch), warnings })
}

fn check_patch(mutates: bool, patch: &str, kind: Option<&str>) -> Result<(), &'static str> {
    match (mutates, patch.is_empty(), kind) {
        (true, false, None) => Err("webhook returned response.patch but not response.patchType"),
        (true, true, Some(_)) => Err("webhook returned response.patchType but not response.patch"),
        (true, _, Some("")) => Err("webhook returned invalid response.patchType of \"\""),
        (false, false, _) => Err("validating webhook may not return response.patch"),
        (false, true, Some(_)) => Err("validating webhook may not return response.patchType"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::check_patch;

    /// Protocol: A2
    #[test]
    fn patches_come_with_their_type_and_from_those_who_may() {
        for (mutates, patch, kind, good) in [
            (true, "", None, true),
            (true, "W10=", Some("JSONPatch"), true),
            (true, "W10=", None, false),
            (true, "", Some("JSONPatch"), false),
            (false, "", None, true),
            (false, "W10=", Some("JSONPatch"), false),
        ] {
            assert_eq!(check_patch(mutates, patch, kind).is_ok(), good);
        }
    }
}
