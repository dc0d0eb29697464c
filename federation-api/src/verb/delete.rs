//! DELETE of one object and of a collection.
//!
//! Gone at once where nothing waits for it, else marked: finalizers and grace periods do the rest.
//! Source: k8s.io/apiserver `pkg/registry/generic/registry/store.go`, `pkg/registry/rest/delete.go`.

use std::sync::Arc;

use federation_store::Cond;
use http::StatusCode;
use serde_json::{Value, json};

use crate::admission;
use crate::answer::Answer;
use crate::cache::{Entry, EventKind, splice_revision};
use crate::call::Call;
use crate::custom;
use crate::decode;
use crate::error::{ApiError, Details, Status};
use crate::filter::Filter;
use crate::json as bytes_of;
use crate::kind::{self, GarbagePolicy};
use crate::mirror::forward;
use crate::mirror::owner::Owned;
use crate::object;
use crate::request::options::{DeleteOptions, ListOptions};
use crate::verb::list;
use crate::verb::write::{self, Committed, MAX_RACES};

/// Finalizer of a foreground deletion.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of a deletion that leaves dependents behind.
pub(crate) const ORPHAN: &str = "orphan";

/// What became of a deletion.
pub(crate) enum Outcome {
    /// The object is gone.
    Gone(Arc<Entry>),
    /// The object waits; this is its JSON.
    Marked(Vec<u8>),
    /// The object is a member's, which has answered.
    Forwarded(Box<Answer>),
}

/// Answers a DELETE of an object.
///
/// # Errors
/// 404; 409 for preconditions; 403 for what cannot be deleted.
pub(crate) async fn delete(call: &mut Call) -> Result<Answer, ApiError> {
    let options = read_options(call).await?;
    list::fresh(call).await?;
    let key = call.key();
    let outcome = delete_named(call, &key, &options).await?;
    Ok(match outcome {
        Outcome::Gone(entry) => Answer::Status(Status::success(Details {
            name: entry.name().to_owned(),
            group: call.kind.group.to_string(),
            kind: call.kind.plural.to_string(),
            uid: entry.text(&["metadata", "uid"]).unwrap_or_default(),
            ..Details::default()
        })),
        Outcome::Marked(json) => {
            let waits = options.orphan_dependents == Some(false);
            Answer::object(if waits { StatusCode::ACCEPTED } else { StatusCode::OK }, json)
        }
        Outcome::Forwarded(answer) => *answer,
    })
}

/// Answers a DELETE of a collection: with the list of what was selected.
///
/// # Errors
/// The first deletion that is refused.
pub(crate) async fn delete_collection(call: &mut Call) -> Result<Answer, ApiError> {
    let options = read_options(call).await?;
    let listing = ListOptions::for_list(&call.query)?;
    let filter = Filter::new(call, &listing)?;
    let selected = list::read(call, &listing, &filter).await?;
    for entry in &selected.items {
        match delete_named(call, entry.key(), &options).await {
            Ok(_) | Err(ApiError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Answer::List(selected))
}

/// Deletes what `key` names, wherever it lives.
///
/// # Errors
/// 404; 409 for preconditions; 403 for what cannot be deleted.
pub(crate) async fn delete_named(call: &mut Call, key: &str, options: &DeleteOptions) -> Result<Outcome, ApiError> {
    if let Some(owned) = Owned::of(call, key) {
        return Ok(Outcome::Forwarded(Box::new(forward::delete(call, &owned, options).await?)));
    }
    for race in 0..MAX_RACES {
        if race > 0 {
            list::fresh(call).await?;
        }
        let name = key.rsplit('/').next().unwrap_or(key);
        let entry = call.cache.get(key).ok_or_else(|| ApiError::NotFound(kind::subject(&call.kind, name)))?;
        write::refuse_mirrored(call, &entry)?;
        check_preconditions(call, &entry, options)?;
        admission::deletes(call, &entry, options).await?;
        if let Some(outcome) = attempt(call, &entry, options).await? {
            return Ok(outcome);
        }
    }
    Err(ApiError::modified(call.subject()))
}

/// One run; none where somebody else was faster.
async fn attempt(call: &Call, entry: &Arc<Entry>, options: &DeleteOptions) -> Result<Option<Outcome>, ApiError> {
    let mut new = entry.value();
    object::set_meta(&mut new, "resourceVersion", Value::Null);
    let before = new.clone();
    if !mark(call, &mut new, options) {
        if options.is_dry_run() {
            return Ok(Some(Outcome::Gone(Arc::clone(entry))));
        }
        return match write::commit(call, entry.key(), Cond::ModRev(entry.stored()), None).await? {
            Committed::Done(stored) => {
                call.server.cache.applied(stored).await;
                Ok(Some(Outcome::Gone(Arc::clone(entry))))
            }
            Committed::Raced | Committed::Outspent => Ok(None),
        };
    }
    if before == new {
        return Ok(Some(Outcome::Marked(entry.bytes().to_vec())));
    }
    let raw = bytes_of::canonical(&new);
    let mut answer = Vec::with_capacity(raw.len() + 40);
    if options.is_dry_run() {
        splice_revision(&mut answer, &raw, entry.rev());
        return Ok(Some(Outcome::Marked(answer)));
    }
    match write::commit(call, entry.key(), Cond::ModRev(entry.stored()), Some(raw.clone().into())).await? {
        Committed::Done(stored) => {
            let rev = write::served(call, entry.key(), stored).await;
            let kind = EventKind::Modified;
            let marked = Arc::new(Entry::new(kind, entry.key(), &raw, rev, stored));
            let seen = custom::seen::entry(&call.server, &call.kind, marked).await?;
            Ok(Some(Outcome::Marked(seen.bytes().to_vec())))
        }
        Committed::Raced | Committed::Outspent => Ok(None),
    }
}

/// Marks an object as deleted where something has to happen before it may go; says whether so.
fn mark(call: &Call, object: &mut Value, options: &DeleteOptions) -> bool {
    let finalizers = finalizers_after(call, object, options);
    let deleting = object::is_deleting(object);
    let grace_s = grace_seconds(call, object, options);
    let namespace_waits = kind::is_namespace(&call.kind) && !admission::namespaces::is_finalized(object);
    if finalizers.is_empty() && grace_s == 0 && !namespace_waits {
        return false;
    }
    object::set_meta(object, "finalizers", json!(finalizers));
    let own = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    if !deleting {
        let at = (call.server.now)() + jiff::SignedDuration::from_secs(grace_s);
        object::set_meta(object, "deletionTimestamp", at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        if object::generation(object) > 0 {
            object::set_meta(object, "generation", object::generation(object) + 1);
        }
        if kind::is_namespace(&call.kind) {
            admission::namespaces::set_terminating(object);
        } else {
            object::meta_mut(object).insert("deletionGracePeriodSeconds".to_owned(), grace_s.into());
        }
        if custom::is_definition(&call.kind) {
            custom::status::mark_deleted(object, &call.server.timestamp());
        }
    } else if own.is_some_and(|own| grace_s < own) {
        object::meta_mut(object).insert("deletionGracePeriodSeconds".to_owned(), grace_s.into());
    }
    true
}

/// Seconds that the object may still live: only of pods that run somewhere, and of those never more than before.
fn grace_seconds(call: &Call, object: &Value, options: &DeleteOptions) -> i64 {
    let pods = call.kind.group.is_empty() && call.kind.plural == "pods";
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let over = matches!(text("/status/phase"), "Failed" | "Succeeded");
    if !pods || text("/spec/nodeName").is_empty() || over {
        return 0;
    }
    let own = object.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(30);
    let asked = options.grace_period_seconds.unwrap_or(own);
    let asked = if asked < 0 { 1 } else { asked };
    let pending = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    match pending {
        Some(pending) if object::is_deleting(object) => {
            options.grace_period_seconds.map_or(pending, |_| asked.min(pending))
        }
        _ => asked,
    }
}

/// The finalizers with which the deletion goes on: those of garbage collection follow the policy.
fn finalizers_after(call: &Call, object: &Value, options: &DeleteOptions) -> Vec<String> {
    let own = object::finalizers(object);
    let policy = kind::garbage_policy(&call.kind);
    let has = |name: &str| own.iter().any(|f| f == name);
    let (orphan, foreground) = if policy == GarbagePolicy::Unsupported {
        (false, false)
    } else {
        match (options.orphan_dependents, options.propagation_policy.as_deref()) {
            (Some(orphan), _) => (orphan, false),
            (None, Some("Orphan")) => (true, false),
            (None, Some("Foreground")) => (false, true),
            (None, Some(_)) => (false, false),
            (None, None) if has(ORPHAN) => (true, false),
            (None, None) if has(FOREGROUND) => (false, true),
            (None, None) => (policy == GarbagePolicy::Orphan, false),
        }
    };
    let mut kept: Vec<String> = own.into_iter().filter(|f| f != ORPHAN && f != FOREGROUND).collect();
    if orphan {
        kept.push(ORPHAN.to_owned());
    }
    if foreground {
        kept.push(FOREGROUND.to_owned());
    }
    if custom::is_definition(&call.kind) && !object::is_deleting(object) && !kept.iter().any(|f| f == custom::CLEANUP) {
        kept.push(custom::CLEANUP.to_owned());
    }
    kept
}

fn check_preconditions(call: &Call, entry: &Entry, options: &DeleteOptions) -> Result<(), ApiError> {
    let Some(wanted) = &options.preconditions else { return Ok(()) };
    let subject = || kind::subject(&call.kind, entry.name());
    let uid = entry.text(&["metadata", "uid"]).unwrap_or_default();
    if let Some(asked) = wanted.uid.as_ref().filter(|asked| **asked != uid) {
        return Err(ApiError::Conflict(
            subject(),
            format!(
                "the UID in the precondition ({asked}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
            ),
        ));
    }
    let Some(asked) = &wanted.resource_version else { return Ok(()) };
    if *asked == entry.rev().to_string() {
        return Ok(());
    }
    Err(ApiError::Conflict(
        subject(),
        format!(
            "the ResourceVersion in the precondition ({asked}) does not match the ResourceVersion in record ({}). The object might have been modified",
            entry.rev()
        ),
    ))
}

async fn read_options(call: &mut Call) -> Result<DeleteOptions, ApiError> {
    let body = call.read_body().await?;
    let options =
        if body.is_empty() { DeleteOptions::from_query(&call.query)? } else { decode::delete_options(call, &body)? };
    options.check()?;
    Ok(options)
}
