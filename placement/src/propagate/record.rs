//! Writes what became of a binding's copies into its status, once a pass, and only where it says something new.

use std::sync::Arc;

use federation_types::binding::{BindingCluster, BindingClusterStatus, BindingStatus, Phase};
use federation_types::condition::{self, Condition};
use federation_types::{Gvk, PlacementBinding, label};
use hub_client::{ReconcileError, WriteOptions};
use serde_json::Value;

use super::books::Outcome;
use super::member::Fleet;
use crate::bind::retry;
use crate::clock;
use crate::interpret::{self, Health};
use crate::world::ours;

/// Brings the status of one binding up to date.
pub(crate) async fn record(fleet: Arc<Fleet>, name: String) -> Result<(), ReconcileError> {
    let bindings = ours("placementbindings");
    let Some(mut object) = fleet.world.hub.get(&bindings, label::SYSTEM_NAMESPACE, &name).await.map_err(retry)? else {
        fleet.books.forget(&name, |_| false);
        return Ok(());
    };
    let binding: PlacementBinding =
        serde_json::from_value(object.clone()).map_err(|e| ReconcileError::Reject(format!("binding {name}: {e}")))?;
    fleet.books.forget(&name, |member| binding.spec.clusters.iter().any(|row| row.name == member));
    let now = clock::now();
    let rows = rows(&fleet, &binding, &now);
    let status = folded(&binding, rows, &now);
    if binding.status.as_ref() == Some(&status) {
        return Ok(());
    }
    object["status"] = serde_json::to_value(&status).map_err(|e| ReconcileError::Reject(e.to_string()))?;
    let how = WriteOptions { subresource: "status", ..WriteOptions::default() };
    fleet.world.hub.replace(&bindings, &object, &how).await.map_err(retry)?;
    Ok(())
}

fn rows(fleet: &Fleet, binding: &PlacementBinding, now: &str) -> Vec<BindingClusterStatus> {
    let news = fleet.books.of(&binding.metadata.name);
    let template = &binding.spec.template;
    let kind = fleet.world.kind(&template.api_version, &template.kind);
    let row = |target: &BindingCluster| {
        let recorded = binding.status.iter().flat_map(|s| &s.clusters).find(|r| r.name == target.name);
        let outcome =
            news.get(&target.name).cloned().or_else(|| recorded.map(Outcome::of)).unwrap_or_else(Outcome::new);
        let room = fleet.room(&target.name);
        let outcome = match (&room, fleet.members.broken(&target.name)) {
            (None, Some(why)) => outcome.with(Phase::Unreachable, why.to_string()),
            _ => outcome,
        };
        let live = room.zip(kind.as_ref()).and_then(|(room, kind)| {
            room.last_known(&(kind.gvr.clone(), template.namespace.clone(), template.name.clone()))
        });
        let said = match live {
            Some(live) if live.uid == outcome.uid => live.summary.clone(),
            _ => recorded.and_then(|r| r.status.clone()),
        };
        dated(BindingClusterStatus { status: said, ..outcome.row(&target.name) }, recorded, now)
    };
    binding.spec.clusters.iter().map(row).collect()
}

/// The time moves only when something else did.
fn dated(mut row: BindingClusterStatus, recorded: Option<&BindingClusterStatus>, now: &str) -> BindingClusterStatus {
    row.observed_at = recorded.map(|r| r.observed_at.clone()).unwrap_or_default();
    // While a member is out of reach, the time says since when, whatever each attempt says.
    let still_lost = recorded.is_some_and(|r| r.phase == Phase::Unreachable) && row.phase == Phase::Unreachable;
    if recorded != Some(&row) && !still_lost {
        now.clone_into(&mut row.observed_at);
    }
    row
}

/// Rows and what follows from them.
fn folded(binding: &PlacementBinding, rows: Vec<BindingClusterStatus>, now: &str) -> BindingStatus {
    let mut conditions = binding.status.as_ref().map(|s| s.conditions.clone()).unwrap_or_default();
    let targets: Vec<(&BindingCluster, &BindingClusterStatus)> =
        binding.spec.clusters.iter().zip(&rows).filter(|(target, _)| !target.withdraw).collect();
    condition::set(&mut conditions, scheduled(binding), now);
    condition::set(&mut conditions, applied(&targets), now);
    condition::set(&mut conditions, available(binding, &targets), now);
    BindingStatus { conditions, clusters: rows }
}

fn scheduled(binding: &PlacementBinding) -> Condition {
    match binding.spec.unschedulable.as_str() {
        "" => Condition::new("Scheduled", Some(true), "Fits", "everything that was asked for has its place"),
        why => Condition::new("Scheduled", Some(false), "NotAsAsked", why),
    }
}

fn applied(targets: &[(&BindingCluster, &BindingClusterStatus)]) -> Condition {
    let late: Vec<String> = targets
        .iter()
        .filter(|(_, row)| row.phase != Phase::Applied)
        .map(|(_, row)| {
            let why = if row.message.is_empty() { String::new() } else { format!(" ({})", row.message) };
            format!("{}: {:?}{why}", row.name, row.phase)
        })
        .collect();
    match (targets.is_empty(), late.is_empty()) {
        (true, _) => Condition::new("Applied", Some(false), "NoTargets", "no cluster is a target"),
        (_, true) => Condition::new("Applied", Some(true), "AllApplied", "every target cluster has applied it"),
        _ => Condition::new("Applied", Some(false), "NotAll", late.join("; ")),
    }
}

fn available(binding: &PlacementBinding, targets: &[(&BindingCluster, &BindingClusterStatus)]) -> Condition {
    let gvk = Gvk::new(&binding.spec.template.api_version, &binding.spec.template.kind);
    let mut missing = Vec::new();
    for (target, row) in targets {
        let wanted = target.replicas.and_then(|r| u64::try_from(r).ok());
        let status: Option<&Value> = row.status.as_ref();
        match (row.phase, interpret::health(&gvk, status, wanted)) {
            (Phase::Applied, Health::Healthy) => {}
            (Phase::Unreachable, _) => missing.push(format!("{}: last known state", row.name)),
            (Phase::Applied, Health::Progressing(why) | Health::Failed(why)) => {
                missing.push(format!("{}: {why}", row.name))
            }
            (phase, _) => missing.push(format!("{}: {phase:?}", row.name)),
        }
    }
    match (targets.is_empty(), missing.is_empty()) {
        (true, _) => Condition::new("Available", Some(false), "NoTargets", "no cluster is a target"),
        (_, true) => Condition::new("Available", Some(true), "AllHealthy", "every copy does its work"),
        _ => Condition::new("Available", Some(false), "NotAll", missing.join("; ")),
    }
}
