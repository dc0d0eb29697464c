//! ResourceQuotas: what a write uses is taken from them in the transaction that stores it, so nothing overshoots.
//!
//! Only stored objects count, never what members run. Charges of one namespace wait for each other here, and across
//! replicas the transaction compares the quota's revision. Giving back is [`recount`]'s.
//! Source: k8s.io/apiserver `pkg/admission/plugin/resourcequota/controller.go`.

pub(crate) mod recount;
pub(crate) mod scope;
pub(crate) mod usage;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use federation_store::{Cond, Op};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use super::amounts::{self, Amounts};
use super::{Operation, Review};
use crate::cache::{Entry, Scope};
use crate::call::Call;
use crate::error::ApiError;
use crate::json;
use crate::kind;
use crate::object;
use crate::server::Server;
use crate::verb::write::Part;
use recount::Dirty;
use scope::Requirement;
use usage::Measure;

/// Under which name quotas are stored.
pub(crate) const STORAGE: &str = "core/resourcequotas";
/// Namespaces whose locks are kept at least, before those that nobody holds are dropped.
const LOCKS_KEPT: usize = 1_024;

/// What a server keeps about quotas beside the objects.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    /// Guards the map; the locks in it are held over a charge and its commit.
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    pub(crate) dirty: Dirty,
}

/// What a write takes from quotas: stored together with the object, or not at all.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    quotas: Vec<Charged>,
    /// Held until the cache has the new quotas.
    _turn: Option<OwnedMutexGuard<()>>,
}

#[derive(Debug)]
struct Charged {
    key: Bytes,
    stored: u64,
    raw: Bytes,
}

/// A quota that a write is about, and by how much.
struct Matched {
    entry: Arc<Entry>,
    quota: Value,
    delta: Amounts,
}

impl Quotas {
    /// One turn after the other in a namespace.
    pub(crate) async fn turn(&self, namespace: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock();
            if locks.len() > LOCKS_KEPT {
                locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            Arc::clone(locks.entry(namespace.to_owned()).or_default())
        };
        lock.lock_owned().await
    }
}

impl Charge {
    pub(crate) fn is_empty(&self) -> bool {
        self.quotas.is_empty()
    }

    /// Whether that key is a quota of this charge.
    pub(crate) fn concerns(&self, key: &Bytes) -> bool {
        self.quotas.iter().any(|quota| quota.key == *key)
    }

    /// The part of the transaction that takes it.
    pub(crate) fn add_to(&self, conds: &mut Vec<(Bytes, Cond)>, ops: &mut Vec<Op>) {
        for Charged { key, stored, raw } in &self.quotas {
            conds.push((key.clone(), Cond::ModRev(*stored)));
            ops.push(Op::Put { key: key.clone(), val: raw.clone() });
        }
    }
}

/// The stored quotas of a namespace.
pub(crate) fn of_namespace(server: &Server, namespace: &str) -> Vec<Arc<Entry>> {
    let quotas = server.cache.resource(STORAGE).snapshot();
    if quotas.is_empty() || namespace.is_empty() {
        return Vec::new();
    }
    quotas.range(&Scope::Namespace(namespace.to_owned()), "").cloned().collect()
}

/// Judges a write by the namespace's quotas, and takes what it uses.
///
/// # Errors
/// 403 where a quota would be exceeded, or cannot tell.
pub(crate) async fn charge(call: &Call, new: &Value, review: &Review<'_>) -> Result<Charge, ApiError> {
    let namespace = call.namespace();
    let measure = Measure::of(&call.stored.group, &call.stored.plural);
    if !handles(measure, new, review) || of_namespace(&call.server, namespace).is_empty() {
        return Ok(Charge::default());
    }
    let turn = call.server.quotas.turn(namespace).await;
    let now = (call.server.now)();
    let mut quotas = Vec::new();
    for entry in of_namespace(&call.server, namespace) {
        let matched = matched(measure, entry, (new, review.old), now).map_err(|text| forbidden(call, new, text))?;
        let Some(Matched { entry, mut quota, delta }) = matched else { continue };
        let used = spend(&quota, &delta).map_err(|text| forbidden(call, new, text))?;
        let Some(used) = used else { continue };
        quota["status"]["used"] = amounts::to_json(&used);
        object::set_meta(&mut quota, "resourceVersion", Value::Null);
        let key = Server::store_key(STORAGE, entry.key());
        quotas.push(Charged { key, stored: entry.stored(), raw: json::canonical(&quota).into() });
    }
    if review.options.dry_run || quotas.is_empty() {
        return Ok(Charge::default());
    }
    Ok(Charge { quotas, _turn: Some(turn) })
}

fn forbidden(call: &Call, new: &Value, text: String) -> ApiError {
    ApiError::Forbidden(kind::subject(&call.kind, object::name(new)), text)
}

/// Whether such a write can change what is used.
fn handles(measure: Measure<'_>, new: &Value, review: &Review<'_>) -> bool {
    let created = review.operation == Operation::Create;
    let deadline =
        |pod: &Value| pod.pointer("/spec/activeDeadlineSeconds").and_then(Value::as_i64).is_some_and(|s| s >= 0);
    match (measure, review.part) {
        (Measure::Pods, Part::Main) => created || review.old.is_some_and(|old| deadline(old) != deadline(new)),
        (Measure::Services | Measure::Devices, Part::Main) | (Measure::Claims, Part::Main | Part::Status) => true,
        (Measure::Count { .. }, Part::Main) => created,
        _ => false,
    }
}

/// What a write is to a quota; `None` for nothing.
///
/// # Errors
/// Upstream's text where the object does not say enough, or the quota is not counted yet.
fn matched(
    measure: Measure<'_>,
    entry: Arc<Entry>,
    (new, old): (&Value, Option<&Value>),
    now: Timestamp,
) -> Result<Option<Matched>, String> {
    let quota = entry.value();
    let requirements = Requirement::of(&quota);
    let about = |object: &Value| requirements.iter().all(|requirement| measure.meets(object, requirement));
    let named = |field: &str| {
        let all = quota.pointer(field).and_then(Value::as_object).into_iter().flatten();
        all.map(|(name, _)| name).filter(|name| measure.covers(name)).cloned().collect::<BTreeSet<String>>()
    };
    if named("/spec/hard").is_empty() || !about(new) {
        return Ok(None);
    }
    let names = named("/status/hard");
    if let Some(text) = measure.missing(new, &names) {
        return Err(format!("failed quota: {}: {text}", entry.name()));
    }
    if names.iter().any(|name| quota.pointer("/status/used").is_none_or(|used| used.get(name).is_none())) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        return Err(format!("status unknown for quota: {}, resources: {}", entry.name(), names.join(",")));
    }
    let usage = measure.usage(new, now);
    let negative: Vec<&str> = usage.iter().filter(|(_, v)| v.is_negative()).map(|(name, _)| name.as_str()).collect();
    if !negative.is_empty() {
        return Err(format!("quota usage is negative for resource(s): {}", negative.join(",")));
    }
    let delta = match old {
        Some(old) if about(old) => amounts::minus(&usage, &measure.usage(old, now)),
        _ => usage,
    };
    let delta: Amounts = delta.into_iter().filter(|(name, value)| !value.is_zero() && names.contains(name)).collect();
    Ok((!delta.is_empty()).then_some(Matched { entry, quota, delta }))
}

/// The new usage; `None` where nothing changes.
///
/// # Errors
/// Upstream's text where it would be too much.
fn spend(quota: &Value, delta: &Amounts) -> Result<Option<Amounts>, String> {
    let (hard, mut used) = (amounts::read(quota.pointer("/status/hard")), amounts::read(quota.pointer("/status/used")));
    let before = used.clone();
    amounts::add(&mut used, delta);
    let exceeded: BTreeSet<String> =
        delta.keys().filter(|name| hard.get(*name).is_some_and(|hard| used[*name] > *hard)).cloned().collect();
    if exceeded.is_empty() {
        return Ok((used != before).then_some(used));
    }
    let only = |amounts: &Amounts| amounts::print(&amounts::mask(amounts, &exceeded));
    let (name, requested, used, limited) = (object::name(quota), only(delta), only(&before), only(&hard));
    Err(format!("exceeded quota: {name}, requested: {requested}, used: {used}, limited: {limited}"))
}
