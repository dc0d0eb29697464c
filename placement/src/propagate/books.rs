//! What the fleet knows of each copy since the start, until it stands in a binding's status.
//!
//! In memory only: after a restart the recorded status says the same.

use std::collections::HashMap;

use federation_types::binding::{BindingClusterStatus, Phase, PlacementBinding};
use parking_lot::Mutex;

/// Outcome of the last step of one copy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub phase: Phase,
    pub applied_generation: i64,
    pub applied_hash: String,
    pub owned_hash: String,
    pub uid: String,
    pub message: String,
}

/// Outcomes by binding and cluster.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Guards the outcomes; held for single look-ups and changes.
    outcomes: Mutex<HashMap<String, HashMap<String, Outcome>>>,
}

impl Outcome {
    /// What a status row says.
    pub(crate) fn of(row: &BindingClusterStatus) -> Self {
        Self {
            phase: row.phase,
            applied_generation: row.applied_generation,
            applied_hash: row.applied_hash.clone(),
            owned_hash: row.owned_hash.clone(),
            uid: row.uid.clone(),
            message: row.message.clone(),
        }
    }

    /// What was last known, with another phase and message.
    pub(crate) fn with(mut self, phase: Phase, message: impl Into<String>) -> Self {
        self.phase = phase;
        self.message = message.into();
        self
    }

    /// As a status row without the member's own status.
    pub(crate) fn row(&self, member: &str) -> BindingClusterStatus {
        BindingClusterStatus {
            name: member.to_owned(),
            phase: self.phase,
            applied_generation: self.applied_generation,
            applied_hash: self.applied_hash.clone(),
            owned_hash: self.owned_hash.clone(),
            uid: self.uid.clone(),
            message: self.message.clone(),
            ..BindingClusterStatus::default()
        }
    }

    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Pending,
            applied_generation: 0,
            applied_hash: String::new(),
            owned_hash: String::new(),
            uid: String::new(),
            message: String::new(),
        }
    }
}

impl Books {
    /// The last outcome of a copy: what happened since the start, else what was recorded before.
    pub(crate) fn last(&self, binding: &PlacementBinding, member: &str) -> Outcome {
        let known = self.outcomes.lock().get(&binding.metadata.name).and_then(|b| b.get(member)).cloned();
        known.unwrap_or_else(|| {
            let rows = binding.status.iter().flat_map(|s| &s.clusters);
            rows.into_iter().find(|r| r.name == member).map_or_else(Outcome::new, Outcome::of)
        })
    }

    /// Keeps an outcome; says whether it is news.
    pub(crate) fn keep(&self, binding: &str, member: &str, outcome: Outcome) -> bool {
        let mut outcomes = self.outcomes.lock();
        let old = outcomes.entry(binding.to_owned()).or_default().insert(member.to_owned(), outcome.clone());
        old.as_ref() != Some(&outcome)
    }

    /// Outcomes since the start.
    pub(crate) fn of(&self, binding: &str) -> HashMap<String, Outcome> {
        self.outcomes.lock().get(binding).cloned().unwrap_or_default()
    }

    /// Forgets a row that is no more, or a binding.
    pub(crate) fn forget(&self, binding: &str, still: impl Fn(&str) -> bool) {
        let mut outcomes = self.outcomes.lock();
        if let Some(rows) = outcomes.get_mut(binding) {
            rows.retain(|member, _| still(member));
            if rows.is_empty() {
                outcomes.remove(binding);
            }
        }
    }
}
