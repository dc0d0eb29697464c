//! Counts anew what is used of a quota, when something was given back or the quota changed.
//!
//! One task a server, told by every commit; a slow full round finds what nobody told. It writes only where the count
//! differs, and only onto the revision that it has counted for.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use federation_store::{Cond, Op, TxnError};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::scope::Requirement;
use super::usage::Measure;
use super::{STORAGE, of_namespace};
use crate::admission::amounts::{self, Amounts};
use crate::cache::{Entry, Scope};
use crate::json;
use crate::kind;
use crate::object;
use crate::server::Server;

/// Time between two rounds over all quotas: pods stop counting by the clock, and another replica's deletions are not told.
const RESYNC: Duration = Duration::from_secs(60);
/// Races with other writers of a quota before it waits for the next round.
const ATTEMPTS: usize = 8;

/// Namespaces whose quotas have to be counted anew.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    /// Guards the set; held for one insertion or for taking it.
    namespaces: Mutex<BTreeSet<String>>,
    changed: Notify,
}

impl Dirty {
    pub(crate) fn add(&self, namespace: &str) {
        self.namespaces.lock().insert(namespace.to_owned());
        self.changed.notify_one();
    }
}

/// Tells that something in a namespace was stored or removed.
pub(crate) fn touched(server: &Server, namespace: &str) {
    if !of_namespace(server, namespace).is_empty() {
        server.quotas.dirty.add(namespace);
    }
}

/// Counts until the server is gone.
pub(crate) async fn run(server: Weak<Server>) {
    let mut resync = tokio::time::interval(RESYNC);
    resync.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let Some(alive) = server.upgrade() else { return };
        let (quotas, draining) = (Arc::clone(&alive.quotas), alive.draining.clone());
        drop(alive);
        let all = tokio::select! {
            () = draining.cancelled() => return,
            () = quotas.dirty.changed.notified() => false,
            _ = resync.tick() => true,
        };
        let Some(server) = server.upgrade() else { return };
        let mut namespaces = std::mem::take(&mut *quotas.dirty.namespaces.lock());
        if all {
            let snapshot = server.cache.resource(STORAGE).snapshot();
            namespaces.extend(snapshot.range(&Scope::All, "").map(|entry| entry.namespace().to_owned()));
        }
        for namespace in namespaces {
            recount(&server, &namespace).await;
        }
    }
}

async fn recount(server: &Server, namespace: &str) {
    // Whoever told of a commit did so before the cache had it.
    if let Err(error) = server.cache.fresh().await {
        tracing::warn!(%error, "quotas cannot be counted");
        return;
    }
    for _ in 0..ATTEMPTS {
        let turn = server.quotas.turn(namespace).await;
        let mut raced = false;
        for entry in of_namespace(server, namespace) {
            // What a quota was charged for is counted: the cache must have the whole of that transaction.
            server.cache.applied(entry.stored()).await;
            let quota = entry.value();
            let status = counted(server, &quota, (server.now)());
            if quota.get("status") == Some(&status) {
                continue;
            }
            raced |= !store(server, &entry, quota, status).await;
        }
        drop(turn);
        if !raced {
            return;
        }
    }
    server.quotas.dirty.add(namespace);
}

/// Whether it is stored; a failure of the store waits for the next round.
async fn store(server: &Server, entry: &Entry, mut quota: Value, status: Value) -> bool {
    quota["status"] = status;
    object::set_meta(&mut quota, "resourceVersion", Value::Null);
    let key = Server::store_key(STORAGE, entry.key());
    let conds = vec![(key.clone(), Cond::ModRev(entry.stored()))];
    let ops = vec![Op::Put { key, val: json::canonical(&quota).into() }];
    match server.store.txn(conds, ops).await {
        Ok(rev) => {
            server.cache.applied(rev).await;
            true
        }
        Err(TxnError::Failed { .. }) => {
            // The other write has to be seen before the next attempt.
            if let Err(error) = server.cache.fresh().await {
                tracing::warn!(%error, "a quota cannot be counted");
            }
            false
        }
        Err(error) => {
            tracing::warn!(%error, quota = entry.key(), "a quota's usage cannot be written");
            true
        }
    }
}

/// The status of a quota.
fn counted(server: &Server, quota: &Value, now: Timestamp) -> Value {
    let hard = quota.pointer("/spec/hard").filter(|hard| hard.is_object()).cloned().unwrap_or_else(|| json!({}));
    let names: BTreeSet<String> = hard.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    let requirements = Requirement::of(quota);
    let mut used = Amounts::new();
    let mut done = Vec::new();
    for measure in names.iter().filter_map(|name| Measure::behind(name)) {
        if done.contains(&measure) {
            continue;
        }
        let mut sum: Amounts =
            names.iter().filter(|name| measure.covers(name)).map(|name| (name.clone(), amounts::count(0))).collect();
        let own = sum.keys().cloned().collect();
        let (group, plural) = measure.resource();
        let objects = server.cache.resource(&kind::storage_name(group, plural)).snapshot();
        let within = Scope::Namespace(object::namespace(quota).to_owned());
        let stored = objects.range(&within, "").filter(|entry| entry.stored() > 0);
        if let (Measure::Count { .. }, true) = (measure, requirements.is_empty()) {
            // One an object, whatever it says: nothing is parsed.
            let number = amounts::count(stored.count());
            sum.values_mut().for_each(|value| *value = number);
        } else {
            for object in stored.map(|entry| entry.value()) {
                if requirements.iter().all(|requirement| measure.meets(&object, requirement)) {
                    amounts::add(&mut sum, &amounts::mask(&measure.usage(&object, now), &own));
                }
            }
        }
        used.extend(sum);
        done.push(measure);
    }
    json!({"hard": hard, "used": amounts::to_json(&used)})
}
