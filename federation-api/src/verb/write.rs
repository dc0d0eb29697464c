//! The pipeline that every write shares: prepare → admission → validate → record → commit → answer.
//!
//! Commits are compare-and-swap on the object's revision; where the request allows it, a lost race is run again
//! over the newer object. A write answers after the cache holds it, so that whoever wrote can read it.

use std::sync::Arc;

use bytes::Bytes;
use federation_schema::managed::managed_fields;
use federation_store::{Cond, Op, StoreError, TxnError};
use http::StatusCode;
use serde_json::Value;

use crate::admission::quota::{self, Charge};
use crate::admission::{self, Operation, Review};
use crate::answer::Answer;
use crate::cache::{Entry, splice_revision};
use crate::call::Call;
use crate::custom::{self, convert, seen};
use crate::error::{ApiError, Cause};
use crate::json::Owned;
use crate::kind;
use crate::object;
use crate::record;
use crate::request::options::{self, WriteOptions};
use crate::server::Server;
use crate::verb::list;
use crate::{check, json, name, reset};

/// Races that a write without a resourceVersion runs again before it gives up; upstream's number.
pub(crate) const MAX_RACES: usize = 5;

/// Which part of an object a write may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but the status, where that has an endpoint of its own.
    Main,
    Status,
    /// `spec.finalizers` of a namespace.
    Finalize,
    /// `spec.replicas`.
    Scale,
}

/// Who writes what part how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Intent<'a> {
    pub(crate) options: &'a WriteOptions,
    pub(crate) part: Part,
    /// Whether a missing object is created.
    pub(crate) creates: bool,
    /// Whether this is a server-side apply: it keeps its own record of managed fields.
    pub(crate) applies: bool,
}

/// What a write made.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) code: StatusCode,
    /// The object without its revision.
    pub(crate) object: Value,
    /// What clients see as its revision; none for a dry run that creates.
    pub(crate) rev: Option<u64>,
}

/// What the store said to a commit.
pub(crate) enum Committed {
    /// Done; the revision is the store's.
    Done(u64),
    /// Somebody else was faster.
    Raced,
    /// Somebody else has changed a quota that this write takes from.
    Outspent,
}

impl Written {
    /// The object as it is answered.
    pub(crate) fn into_answer(self, call: &Call) -> Answer {
        let raw = json::ordered(&self.object, owned(call, Part::Main));
        let Some(rev) = self.rev else { return Answer::object(self.code, raw) };
        let mut out = Vec::with_capacity(raw.len() + 40);
        splice_revision(&mut out, &raw, rev);
        Answer::object(self.code, out)
    }
}

/// How the owned fields stand in what a write leaves behind.
fn owned(call: &Call, part: Part) -> Owned {
    if part == Part::Scale || call.kind.custom().is_some() { Owned::ByText } else { Owned::ByPath }
}

/// Creates an object that the request has decoded.
///
/// # Errors
/// 409 where it exists, and whatever admission and validation refuse.
pub(crate) async fn insert(call: &mut Call, mut new: Value, intent: Intent<'_>) -> Result<Written, ApiError> {
    if !intent.applies {
        admission::author::keep(call, None, &mut new);
        record::track(call, None, &mut new, intent);
    }
    prepare_insert(call, &mut new)?;
    if call.kind.custom().is_some_and(|custom| custom.definition.terminating) {
        let why = "create not allowed while custom resource definition is terminating";
        return Err(ApiError::Forbidden(kind::subject(&call.kind, object::name(&new)), why.to_owned()));
    }
    let options = intent.options;
    let review = Review { operation: Operation::Create, part: intent.part, old: None, options, deletion: None };
    admission::admit(call, &mut new, &review).await?;
    warn_of_content(call, None, &new);
    check::validate(call, &new, &review)?;
    admission::judge(call, &new, &review).await?;
    let key = kind::object_key(&call.kind, call.namespace(), object::name(&new));
    if options.dry_run {
        quota::charge(call, &new, &review).await?;
        if call.cache.get(&key).is_some() {
            return Err(ApiError::AlreadyExists(kind::subject(&call.kind, object::name(&new))));
        }
        return Ok(Written { code: StatusCode::CREATED, object: new, rev: None });
    }
    let (committed, new) = store(call, (&key, Cond::Absent), (new, intent), &review).await?;
    match committed {
        Committed::Done(stored) => {
            admission::written(call, &new, &review);
            let rev = served(call, &key, stored).await;
            Ok(Written { code: StatusCode::CREATED, object: new, rev: Some(rev) })
        }
        Committed::Raced | Committed::Outspent => Err(already_exists(call, &key, object::name(&new))),
    }
}

/// Changes an object: `change` makes the new one out of the newest old one, possibly several times.
///
/// # Errors
/// 404, 409, and whatever `change`, admission and validation refuse.
pub(crate) async fn update<F>(call: &mut Call, intent: Intent<'_>, change: F) -> Result<Written, ApiError>
where
    F: Fn(&mut Call, Option<&Value>) -> Result<Value, ApiError>,
{
    list::fresh(call).await?;
    let key = call.key();
    for race in 0..MAX_RACES {
        if race > 0 {
            list::fresh(call).await?;
        }
        let Some(entry) = call.cache.get(&key) else {
            let new = create_missing(call, intent, &change)?;
            match insert(call, new, intent).await {
                Err(ApiError::AlreadyExists(_)) if !intent.options.dry_run => continue,
                outcome => return outcome,
            }
        };
        refuse_mirrored(call, &entry)?;
        let old = seen::entry(&call.server, &call.kind, Arc::clone(&entry)).await?.value();
        let mut new = change(call, Some(&old))?;
        let pinned = !object::meta_text(&new, "resourceVersion").is_empty();
        check_identity(call, &entry, &old, &new)?;
        match attempt(call, &entry, (old, &mut new), intent).await? {
            Some(written) => return Ok(written),
            None if pinned => return Err(ApiError::modified(call.subject())),
            None => {}
        }
    }
    Err(ApiError::modified(call.subject()))
}

fn create_missing<F>(call: &mut Call, intent: Intent<'_>, change: &F) -> Result<Value, ApiError>
where
    F: Fn(&mut Call, Option<&Value>) -> Result<Value, ApiError>,
{
    if !intent.creates {
        return Err(ApiError::NotFound(call.subject()));
    }
    let mut new = change(call, None)?;
    // A revision or UID asks for an object that is gone.
    if !object::uid(&new).is_empty() {
        let detail = format!("Precondition failed: UID in precondition: {}, UID in object meta: ", object::uid(&new));
        return Err(ApiError::Conflict(call.subject(), detail));
    }
    if !object::meta_text(&new, "resourceVersion").is_empty() {
        return Err(ApiError::NotFound(call.subject()));
    }
    let name = call.info.name.clone();
    object::set_meta(&mut new, "name", name);
    Ok(new)
}

/// One run over one old object; none where somebody else was faster.
async fn attempt(
    call: &mut Call,
    entry: &Arc<Entry>,
    (mut old, new): (Value, &mut Value),
    intent: Intent<'_>,
) -> Result<Option<Written>, ApiError> {
    object::set_meta(&mut old, "resourceVersion", Value::Null);
    if !intent.applies && intent.part != Part::Scale {
        admission::author::keep(call, Some(&old), new);
        record::track(call, Some(&old), new, intent);
    }
    prepare_update(call, &old, new, intent.part)?;
    let options = intent.options;
    let review = Review { operation: Operation::Update, part: intent.part, old: Some(&old), options, deletion: None };
    admission::admit(call, new, &review).await?;
    set_generation(call, &old, new, intent.part);
    if intent.part == Part::Main {
        warn_of_content(call, Some(&old), new);
    }
    check::validate(call, new, &review)?;
    admission::judge(call, new, &review).await?;
    if is_final(call, &old, new) {
        return remove(call, entry, std::mem::take(new), intent.options.dry_run).await;
    }
    let unchanged = record::is_unchanged(&old, new)
        && is_ordered_so(entry, &old, owned(call, intent.part))
        && is_stored_so(call, entry, &old).await?;
    if unchanged || options.dry_run {
        quota::charge(call, new, &review).await?;
        let object = if unchanged { old } else { std::mem::take(new) };
        return Ok(Some(Written { code: StatusCode::OK, object, rev: Some(entry.rev()) }));
    }
    let at = (entry.key(), Cond::ModRev(entry.stored()));
    let (committed, made) = store(call, at, (std::mem::take(new), intent), &review).await?;
    *new = made;
    match committed {
        Committed::Done(stored) => {
            admission::written(call, new, &review);
            let rev = served(call, entry.key(), stored).await;
            Ok(Some(Written { code: StatusCode::OK, object: std::mem::take(new), rev: Some(rev) }))
        }
        Committed::Raced | Committed::Outspent => Ok(None),
    }
}

fn warn_of_content(call: &mut Call, old: Option<&Value>, new: &Value) {
    if call.kind.custom().is_some() {
        custom::finalizer_warnings(old, new).into_iter().for_each(|warning| call.warn(warning));
    } else if custom::is_definition(&call.kind) {
        federation_schema::crd::warnings(new, old).into_iter().for_each(|warning| call.warn(warning));
    }
}

/// Stores an object. What is too large for that is stored without its owners, which count for less than the object;
/// but not by an apply, which is about them.
async fn store(
    call: &Call,
    (key, cond): (&str, Cond),
    (new, intent): (Value, Intent<'_>),
    review: &Review<'_>,
) -> Result<(Committed, Value), ApiError> {
    let (raw, mut new) = form(call, new, intent.part).await?;
    match charged(call, (key, cond), (&new, raw.into()), review).await {
        Err(ApiError::TooLarge(_)) if !intent.applies && !managed_fields(&new).is_null() => {
            object::set_meta(&mut new, "managedFields", Value::Null);
            let (raw, new) = form(call, new, intent.part).await?;
            let committed = charged(call, (key, cond), (&new, raw.into()), review).await?;
            Ok((committed, new))
        }
        outcome => Ok((outcome?, new)),
    }
}

/// The bytes that are stored of an object, and the object as it is seen then.
async fn form(call: &Call, new: Value, part: Part) -> Result<(Vec<u8>, Value), ApiError> {
    let Some(custom) = call.kind.custom() else { return Ok((json::ordered(&new, owned(call, part)), new)) };
    let shared = &custom.definition.shared;
    let Some(stored) = convert::to_stored(&call.server, shared, &new).await? else {
        return Ok((json::ordered(&new, owned(call, part)), new));
    };
    let raw = json::ordered(&stored, owned(call, part));
    let seen = convert::convert(&call.server, shared, custom.version(), vec![stored]).await?.pop();
    Ok((raw, seen.expect("as many as were given")))
}

/// Whether the owned fields are stored in that order: upstream counts another one as a change.
fn is_ordered_so(entry: &Entry, old: &Value, owned: Owned) -> bool {
    let path = ["metadata", "managedFields"];
    let entries = old.pointer("/metadata/managedFields").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let stored = json::find(entry.bytes(), &path);
    stored.is_none_or(|stored| stored == json::owners(entries, owned))
}

/// Whether the object would be stored as it is stored already: definitions change what was stored before.
async fn is_stored_so(call: &Call, entry: &Entry, old: &Value) -> Result<bool, ApiError> {
    let Some(custom) = call.kind.custom() else { return Ok(true) };
    let mut stored = entry.value();
    object::set_meta(&mut stored, "resourceVersion", Value::Null);
    let formed = convert::to_stored(&call.server, &custom.definition.shared, old).await?;
    Ok(formed.as_ref().unwrap_or(old) == &stored)
}

/// The write that empties the finalizers of a deleted object removes it, and still answers the object.
async fn remove(call: &Call, entry: &Arc<Entry>, object: Value, dry_run: bool) -> Result<Option<Written>, ApiError> {
    if dry_run {
        return Ok(Some(Written { code: StatusCode::OK, object, rev: Some(entry.rev()) }));
    }
    match commit(call, entry.key(), Cond::ModRev(entry.stored()), None).await? {
        Committed::Done(stored) => {
            let rev = served(call, entry.key(), stored).await;
            Ok(Some(Written { code: StatusCode::OK, object, rev: Some(rev) }))
        }
        Committed::Raced | Committed::Outspent => Ok(None),
    }
}

/// What an object gets when it is created, and what a request may not bring.
fn prepare_insert(call: &Call, new: &mut Value) -> Result<(), ApiError> {
    if !object::meta_text(new, "resourceVersion").is_empty() {
        return Err(ApiError::Plain("resourceVersion should not be set on objects to be created".to_owned()));
    }
    let wiped =
        ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"];
    for field in wiped {
        object::set_meta(new, field, Value::Null);
    }
    check_namespace(call, new)?;
    if object::name(new).is_empty() && !object::meta_text(new, "generateName").is_empty() {
        let base = object::meta_text(new, "generateName").to_owned();
        object::set_meta(new, "name", name::generate(&base));
    }
    object::set_meta(new, "uid", uuid::Uuid::new_v4().to_string());
    object::set_meta(new, "creationTimestamp", call.server.timestamp());
    if kind::has_generation(&call.kind) {
        object::set_meta(new, "generation", 1);
    }
    if kind::has_status(&call.kind)
        && !kind::keeps_status_on_create(&call.kind)
        && let Some(map) = new.as_object_mut()
    {
        map.remove("status");
    }
    Ok(())
}

/// What an update cannot change, put back.
fn prepare_update(call: &Call, old: &Value, new: &mut Value, part: Part) -> Result<(), ApiError> {
    check_namespace(call, new)?;
    for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
        object::copy_meta(new, old, field);
    }
    object::set_meta(new, "selfLink", Value::Null);
    object::set_meta(new, "resourceVersion", Value::Null);
    match part {
        Part::Main | Part::Scale | Part::Finalize if kind::has_status(&call.kind) => copy_field(new, old, "status"),
        Part::Main | Part::Scale | Part::Finalize => {}
        Part::Status if custom::is_definition(&call.kind) => copy_field(new, old, "spec"),
        Part::Status => keep_all_but_status(call, old, new),
    }
    Ok(())
}

fn keep_all_but_status(call: &Call, old: &Value, new: &mut Value) {
    let status = new.get_mut("status").map(Value::take);
    let mut kept = old.clone();
    let metadata: &[&str] = match reset::status_keeps_metadata(&call.kind) {
        true => &["managedFields"],
        false => &["annotations", "finalizers", "labels", "managedFields", "ownerReferences"],
    };
    let reset = reset::reset_fields(&call.kind, Part::Status, &call.info.subresource);
    for field in metadata.iter().filter(|field| !reset.contains(&&["metadata", **field][..])) {
        object::copy_meta(&mut kept, new, field);
    }
    if let Some(map) = kept.as_object_mut() {
        match status {
            Some(status) => map.insert("status".to_owned(), status),
            None => map.remove("status"),
        };
    }
    *new = kept;
}

fn copy_field(new: &mut Value, old: &Value, field: &str) {
    if let Some(map) = new.as_object_mut() {
        match old.get(field) {
            Some(value) => map.insert(field.to_owned(), value.clone()),
            None => map.remove(field),
        };
    }
}

fn set_generation(call: &Call, old: &Value, new: &mut Value, part: Part) {
    // What this server fills in beside a status is nobody's wish.
    if part == Part::Status {
        return;
    }
    let differs = match call.kind.custom() {
        // Without an endpoint of its own the status is content like everything else.
        Some(_) if !kind::has_status(&call.kind) => object::differs(old, new, &["apiVersion", "kind", "metadata"]),
        _ => object::spec_differs(old, new),
    };
    // Upstream counts some metadata as content.
    let moved = |field: &str| old.pointer(field) != new.pointer(field);
    let relabelled = match (&*call.kind.group, &*call.kind.plural) {
        ("discovery.k8s.io", "endpointslices") => moved("/metadata/labels"),
        ("apps", "deployments") => moved("/metadata/annotations"),
        _ => false,
    };
    if kind::counts_generations(&call.kind) && (differs || relabelled) {
        object::set_meta(new, "generation", object::generation(old) + 1);
    }
}

/// The identity and revision that an update names have to be those of the object.
fn check_identity(call: &Call, entry: &Entry, old: &Value, new: &Value) -> Result<(), ApiError> {
    let (sent, own) = (object::uid(new), object::uid(old));
    if !sent.is_empty() && sent != own && call.info.verb == "patch" {
        let cause = Cause::invalid("metadata.uid", sent, "field is immutable");
        return Err(ApiError::invalid(kind::kind_subject(&call.kind, object::name(old)), cause));
    }
    if !sent.is_empty() && sent != own {
        let detail = format!("Precondition failed: UID in precondition: {sent}, UID in object meta: {own}");
        return Err(ApiError::Conflict(call.subject(), detail));
    }
    let sent = object::meta_text(new, "resourceVersion");
    match options::named_revision(sent)? {
        Some(rev) if rev != entry.rev() => Err(ApiError::modified(call.subject())),
        Some(_) => Ok(()),
        None if call.info.verb == "update" && !kind::allows_unconditional_update(&call.kind) => {
            let cause = Cause::field(
                "FieldValueInvalid",
                "metadata.resourceVersion",
                "Invalid value: 0: must be specified for an update",
            );
            Err(ApiError::invalid(call.subject(), cause))
        }
        None => Ok(()),
    }
}

/// The namespace of the object is that of the path.
fn check_namespace(call: &Call, new: &mut Value) -> Result<(), ApiError> {
    let wanted = call.namespace().to_owned();
    let sent = object::namespace(new);
    if !sent.is_empty() && sent != wanted {
        return Err(ApiError::BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request".to_owned(),
        ));
    }
    object::set_meta(new, "namespace", wanted);
    Ok(())
}

/// Whether this write was all that a deleted object waited for.
fn is_final(call: &Call, old: &Value, new: &Value) -> bool {
    let grace = old.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
    let done = object::is_deleting(old) && grace == 0 && object::finalizers(new).is_empty();
    let namespace = kind::is_namespace(&call.kind);
    done && (!namespace || admission::namespaces::is_finalized(new))
}

/// What is only seen in a member cannot be changed in the store.
///
/// # Errors
/// 405 that says where the object lives.
pub(crate) fn refuse_mirrored(call: &Call, entry: &Entry) -> Result<(), ApiError> {
    if entry.stored() > 0 {
        return Ok(());
    }
    Err(ApiError::NotSupported(format!(
        "{} {:?} is seen in a member cluster and cannot be changed here",
        kind::qualified(&call.kind),
        entry.name()
    )))
}

/// One transaction on one object: `None` removes it.
///
/// # Errors
/// 503 and 500 where the store fails, 413 where the object is too large for it.
pub(crate) async fn commit(call: &Call, key: &str, cond: Cond, value: Option<Bytes>) -> Result<Committed, ApiError> {
    let outcome = commit_with(call, (key, cond), value, &Charge::default()).await;
    if matches!(outcome, Ok(Committed::Done(_))) {
        quota::recount::touched(&call.server, call.namespace());
    }
    outcome
}

/// Stores an object together with what it takes from quotas.
async fn charged(
    call: &Call,
    (key, cond): (&str, Cond),
    (new, raw): (&Value, Bytes),
    review: &Review<'_>,
) -> Result<Committed, ApiError> {
    for _ in 0..MAX_RACES {
        let charge = quota::charge(call, new, review).await?;
        let outcome = commit_with(call, (key, cond), Some(raw.clone()), &charge).await?;
        match outcome {
            Committed::Outspent => {
                if let Err(error) = call.server.cache.fresh().await {
                    tracing::warn!(%error, "the storage does not answer");
                }
            }
            Committed::Done(rev) if !charge.is_empty() => call.server.cache.applied(rev).await,
            // What needs no charge may give something back, or be a quota itself.
            Committed::Done(_) => {
                let own = call.storage() == quota::STORAGE;
                if own {
                    call.server.quotas.dirty.add(call.namespace());
                } else if review.operation != Operation::Create {
                    quota::recount::touched(&call.server, call.namespace());
                }
            }
            Committed::Raced => {}
        }
        if !matches!(outcome, Committed::Outspent) {
            return Ok(outcome);
        }
    }
    Err(ApiError::Conflict(call.subject(), "the quota's usage has changed; please try again".to_owned()))
}

async fn commit_with(
    call: &Call,
    (key, cond): (&str, Cond),
    value: Option<Bytes>,
    charge: &Charge,
) -> Result<Committed, ApiError> {
    let key = Server::store_key(&call.storage(), key);
    let op = match value {
        Some(val) => Op::Put { key: key.clone(), val },
        None => Op::Del { key: key.clone() },
    };
    let (mut conds, mut ops) = (vec![(key, cond)], vec![op]);
    charge.add_to(&mut conds, &mut ops);
    let began = std::time::Instant::now();
    let written = call.server.store.txn(conds, ops).await;
    call.server.metrics.observe_store_write(began.elapsed());
    match written {
        Ok(rev) => {
            call.server.health.wrote(true);
            Ok(Committed::Done(rev))
        }
        Err(TxnError::Failed { key, .. }) if charge.concerns(&key) => Ok(Committed::Outspent),
        Err(TxnError::Failed { .. }) => Ok(Committed::Raced),
        Err(TxnError::Store(StoreError::ValueTooLarge { limit, .. })) => Err(ApiError::TooLarge(limit)),
        Err(TxnError::Store(StoreError::KeyLength { .. })) => {
            Err(ApiError::BadRequest("namespace and name are too long".to_owned()))
        }
        Err(TxnError::Store(error)) => {
            tracing::error!(%error, "a write failed");
            call.server.health.wrote(false);
            Err(ApiError::Unavailable { message: "the storage is not available".to_owned(), retry_after_s: 1 })
        }
    }
}

/// Waits until the cache has the commit, and says under which revision clients see it.
pub(crate) async fn served(call: &Call, key: &str, stored: u64) -> u64 {
    call.server.cache.applied(stored).await;
    call.cache.served(key, stored).unwrap_or_else(|| call.cache.revision())
}

fn already_exists(call: &Call, key: &str, name: &str) -> ApiError {
    let deleting = call.cache.get(key).is_some_and(|e| e.field(&["metadata", "deletionTimestamp"]).is_some());
    let subject = kind::subject(&call.kind, name);
    if deleting {
        let mut status = ApiError::AlreadyExists(subject).status();
        status.message = format!("object is being deleted: {}", status.message);
        return ApiError::Foreign(Box::new(status));
    }
    ApiError::AlreadyExists(subject)
}
