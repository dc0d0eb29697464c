//! A pod's eviction: a deletion that its disruption budget has to allow.
//!
//! A pod that a member runs is evicted there, by the member's own budgets.
//! Source: k8s.io/kubernetes `pkg/registry/core/pod/storage/eviction.go`.

use federation_schema::decode::{Expected, FieldValidation};
use federation_schema::field::FieldPath;
use federation_schema::selector::LabelSelector;
use federation_store::{Cond, Op, TxnError};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::admission;
use crate::answer::Answer;
use crate::cache::{Entry, Scope};
use crate::call::Call;
use crate::decode;
use crate::error::{ApiError, Cause, Details, Status};
use crate::json;
use crate::mirror::forward;
use crate::mirror::owner::Owned;
use crate::object;
use crate::request::options::{DeleteOptions, WriteOptions};
use crate::server::Server;
use crate::verb::write::MAX_RACES;
use crate::verb::{delete, list};

const BUDGETS: &str = "policy/poddisruptionbudgets";
/// Upstream's advice where nothing is known of when a disruption will be allowed, in seconds.
const RETRY_AFTER_S: u32 = 10;

/// Answers POST to `pods/NAME/eviction`.
///
/// # Errors
/// 404; 429 where a budget does not allow it; what a deletion may be refused for.
pub(crate) async fn create(call: &mut Call) -> Result<Answer, ApiError> {
    let body = call.read_body().await?;
    let kind = call.kind.clone();
    let expected = kind.subresource("eviction").and_then(Expected::subresource);
    let expected = expected.ok_or_else(|| ApiError::Internal("an eviction has no type".to_owned()))?;
    let mut sent = decode::object(call, &body, expected, FieldValidation::Warn)?;
    if object::name(&sent) != call.info.name {
        return Err(ApiError::BadRequest("name in URL does not match name in Eviction object".to_owned()));
    }
    let dry_run = call.query.get("dryRun").filter(|value| !value.is_empty()).map(str::to_owned);
    let write = WriteOptions { dry_run: dry_run.is_some(), ..WriteOptions::default() };
    admission::requests(call, &mut sent, &write).await?;
    let mut options: DeleteOptions = match sent.get("deleteOptions") {
        Some(options) => serde_json::from_value(options.clone())
            .map_err(|error| ApiError::BadRequest(format!("invalid DeleteOptions: {error}")))?,
        None => DeleteOptions::default(),
    };
    if let Some(dry_run) = dry_run {
        options.dry_run.get_or_insert_with(|| vec![dry_run]);
    }
    list::fresh(call).await?;
    let key = call.key();
    if let Some(owned) = Owned::of(call, &key) {
        return forward::evict(call, &owned, &options).await;
    }
    let entry = call.cache.get(&key).ok_or_else(|| ApiError::NotFound(call.subject()))?;
    let pod = entry.value();
    if !is_disrupted_anyway(&pod) {
        ask_budget(call, &pod, &options).await?;
    }
    delete::delete_named(call, &key, &options).await?;
    Ok(done())
}

/// The answer to an eviction that happened.
pub(crate) fn done() -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Answer::object(StatusCode::CREATED, json::canonical(&status))
}

/// Pods that serve nobody (any more) need nobody's leave.
fn is_disrupted_anyway(pod: &Value) -> bool {
    let phase = pod.pointer("/status/phase").and_then(Value::as_str).unwrap_or("Pending");
    matches!(phase, "Succeeded" | "Failed" | "Pending" | "") || object::is_deleting(pod)
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// Takes one disruption from the budget that covers the pod, if there is one.
async fn ask_budget(call: &Call, pod: &Value, options: &DeleteOptions) -> Result<(), ApiError> {
    let budgets = call.server.cache.resource(BUDGETS);
    for _ in 0..MAX_RACES {
        let snapshot = budgets.snapshot();
        let scope = Scope::Namespace(call.namespace().to_owned());
        let covering: Vec<_> = snapshot.range(&scope, "").filter(|entry| covers(entry, pod)).collect();
        let entry = match covering.as_slice() {
            [] => return Ok(()),
            [one] => *one,
            _ => {
                let message =
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(ApiError::Foreign(Box::new(Status::failure(500, "", message.to_owned()))));
            }
        };
        let mut budget = entry.value();
        let count = |field: &str| budget.pointer(&format!("/status/{field}")).and_then(Value::as_i64).unwrap_or(0);
        if !is_ready(pod) {
            let always = budget.pointer("/spec/unhealthyPodEvictionPolicy") == Some(&json!("AlwaysAllow"));
            let healthy = count("currentHealthy") >= count("desiredHealthy") && count("desiredHealthy") > 0;
            if always || healthy {
                return Ok(());
            }
        }
        allowed(&budget)?;
        if options.is_dry_run() {
            return Ok(());
        }
        take(&mut budget, object::name(pod), &call.server.timestamp());
        let key = Server::store_key(BUDGETS, entry.key());
        let op = Op::Put { key: key.clone(), val: json::canonical(&budget).into() };
        match call.server.store.txn(vec![(key, Cond::ModRev(entry.stored()))], vec![op]).await {
            Ok(rev) => {
                call.server.cache.applied(rev).await;
                return Ok(());
            }
            Err(TxnError::Failed { .. }) => list::fresh(call).await?,
            Err(TxnError::Store(error)) => {
                tracing::error!(%error, "a disruption budget cannot be written");
                let message = "the storage is not available".to_owned();
                return Err(ApiError::Unavailable { message, retry_after_s: 1 });
            }
        }
    }
    Err(ApiError::Timeout("couldn't update PodDisruptionBudget due to conflicts".to_owned()))
}

/// Whether the budget's selector selects the pod: an empty one selects all, an absent one none.
fn covers(budget: &Entry, pod: &Value) -> bool {
    let budget = budget.value();
    let Some(selector) = budget.pointer("/spec/selector").filter(|selector| selector.is_object()) else { return false };
    let labels = pod.pointer("/metadata/labels").and_then(Value::as_object).cloned().unwrap_or_else(Map::new);
    let parsed = LabelSelector::from_object(selector, &FieldPath::root("spec.selector"));
    parsed.is_ok_and(|selector| selector.matches(&labels))
}

fn allowed(budget: &Value) -> Result<(), ApiError> {
    let name = object::name(budget);
    let count = |field: &str| budget.pointer(&format!("/status/{field}")).and_then(Value::as_i64).unwrap_or(0);
    if count("observedGeneration") < object::generation(budget) {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(refused(why, RETRY_AFTER_S));
    }
    if count("disruptionsAllowed") > 0 {
        return Ok(());
    }
    let (desired, current) = (count("desiredHealthy"), count("currentHealthy"));
    let why = if current <= desired {
        format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently")
    } else {
        format!("The disruption budget {name} does not allow evicting pods currently")
    };
    Err(refused(why, 0))
}

fn refused(why: String, retry_after_seconds: u32) -> ApiError {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.".to_owned();
    let mut status = Status::failure(429, "TooManyRequests", message);
    let cause = Cause { reason: "DisruptionBudget".to_owned(), message: why, field: String::new() };
    status.details = Some(Details { causes: vec![cause], retry_after_seconds, ..Details::default() });
    ApiError::Foreign(Box::new(status))
}

fn take(budget: &mut Value, pod: &str, now: &str) {
    object::set_meta(budget, "resourceVersion", Value::Null);
    let allowed = budget.pointer("/status/disruptionsAllowed").and_then(Value::as_i64).unwrap_or(0);
    if let Some(status) = budget.get_mut("status").and_then(Value::as_object_mut) {
        status.insert("disruptionsAllowed".to_owned(), (allowed - 1).into());
        let disrupted = status.entry("disruptedPods").or_insert_with(|| json!({}));
        if let Some(disrupted) = disrupted.as_object_mut() {
            disrupted.insert(pod.to_owned(), now.into());
        }
    }
}
