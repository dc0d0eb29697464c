//! Pure: from a decision and the binding as it stands to the binding as it shall be.
//!
//! A row that shall go says so and stays until propagate has seen it gone; a binding goes with its last row.

use federation_types::PlacementBinding;
use federation_types::binding::{BindingCluster, BindingSpec, Phase, TemplateRef};

use crate::schedule::{Decision, Row};

/// What to do with one binding.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// It is as it shall be.
    Keep,
    Create(BindingSpec),
    Write(BindingSpec),
    Delete,
}

/// A template that is there: its name at this moment, what was decided, and a hash of everything that shapes manifests.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub template: &'a TemplateRef,
    pub decision: &'a Decision,
    pub content: &'a str,
}

/// The binding of a template that is there.
#[must_use]
pub fn plan(wanted: &Wanted<'_>, standing: Option<(&PlacementBinding, &str)>) -> Action {
    let mut spec = BindingSpec {
        template: wanted.template.clone(),
        placement: wanted.decision.winner.clone(),
        clusters: wanted.decision.rows.iter().map(stored).collect(),
        unschedulable: wanted.decision.unschedulable.clone(),
        epoch: 1,
        ..BindingSpec::default()
    };
    if let Some(policy) = &wanted.decision.policy {
        spec.on_delete.clone_from(&policy.on_delete);
        spec.conflict.clone_from(&policy.conflict);
        spec.executor.clone_from(&policy.executor);
    }
    let Some((binding, content)) = standing else {
        // A template that nothing places leaves no trace; one that should be placed and cannot be says why.
        let silent = spec.clusters.is_empty() && (spec.unschedulable.is_empty() || spec.placement.is_none());
        return if silent && !refused(&spec) { Action::Keep } else { Action::Create(spec) };
    };
    spec.clusters.retain(|row| !(row.withdraw && is_gone(binding, &row.name)));
    if wanted.decision.policy.is_none() {
        // Nobody says otherwise now: what was said stays.
        spec.on_delete.clone_from(&binding.spec.on_delete);
        spec.conflict.clone_from(&binding.spec.conflict);
        spec.executor.clone_from(&binding.spec.executor);
        if spec.placement.is_none() {
            spec.placement.clone_from(&binding.spec.placement);
        }
    }
    if spec.clusters.is_empty() && spec.unschedulable.is_empty() {
        return Action::Delete;
    }
    spec.epoch = binding.spec.epoch;
    if spec == binding.spec && content == wanted.content {
        return Action::Keep;
    }
    spec.epoch = binding.spec.epoch + 1;
    Action::Write(spec)
}

/// An annotation that cannot be read is worth a binding of its own, though no policy won.
fn refused(spec: &BindingSpec) -> bool {
    spec.unschedulable.contains("metadata.annotations")
}

/// The binding of a template that is gone from the hub: everything of it is withdrawn.
#[must_use]
pub fn withdraw(binding: &PlacementBinding, known: impl Fn(&str) -> bool) -> Action {
    let mut spec = binding.spec.clone();
    // A cluster that is no member any more has nothing that we could take away.
    spec.clusters.retain(|row| known(&row.name) && !(row.withdraw && is_gone(binding, &row.name)));
    for row in &mut spec.clusters {
        row.withdraw = true;
        row.hold = false;
    }
    if spec.clusters.is_empty() {
        return Action::Delete;
    }
    if spec == binding.spec {
        return Action::Keep;
    }
    spec.epoch += 1;
    Action::Write(spec)
}

fn is_gone(binding: &PlacementBinding, member: &str) -> bool {
    let rows = binding.status.iter().flat_map(|s| &s.clusters);
    rows.into_iter().any(|row| row.name == member && row.phase == Phase::Gone)
}

fn stored(row: &Row) -> BindingCluster {
    // Counts come from an i32 field, or from a division of one.
    let replicas = row.replicas.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    BindingCluster { name: row.name.clone(), replicas, withdraw: row.withdraw, hold: row.hold }
}

#[cfg(test)]
mod tests {
    use federation_types::PlacementBinding;
    use federation_types::binding::{BindingClusterStatus, BindingStatus, Phase, PlacementRef, TemplateRef};

    use super::{Action, Wanted, plan, withdraw};
    use crate::schedule::{Decision, Row};

    fn row(name: &str, withdraw: bool) -> Row {
        Row { name: name.to_owned(), replicas: Some(2), withdraw, hold: false }
    }

    fn decision(rows: Vec<Row>, unschedulable: &str) -> Decision {
        Decision {
            rows,
            unschedulable: unschedulable.to_owned(),
            winner: Some(PlacementRef { kind: "Placement".to_owned(), name: "p".to_owned() }),
            ..Decision::default()
        }
    }

    fn planned(decision: &Decision, content: &str, standing: Option<&PlacementBinding>) -> Action {
        let template = TemplateRef { name: "web".to_owned(), generation: 1, ..TemplateRef::default() };
        plan(&Wanted { template: &template, decision, content }, standing.map(|b| (b, "c1")))
    }

    fn binding(action: Action, gone: &[&str]) -> PlacementBinding {
        let (Action::Create(spec) | Action::Write(spec)) = action else { panic!("no spec: {action:?}") };
        let clusters = gone.iter().map(|n| BindingClusterStatus {
            name: (*n).to_owned(),
            phase: Phase::Gone,
            ..BindingClusterStatus::default()
        });
        let status = BindingStatus { clusters: clusters.collect(), ..BindingStatus::default() };
        PlacementBinding { spec, status: Some(status), ..PlacementBinding::default() }
    }

    #[test]
    fn the_epoch_rises_with_every_change_and_only_then() {
        let first = decision(vec![row("east", false)], "");
        let standing = binding(planned(&first, "c1", None), &[]);
        assert_eq!(standing.spec.epoch, 1);
        assert_eq!(planned(&first, "c1", Some(&standing)), Action::Keep);
        assert_eq!(binding(planned(&first, "c2", Some(&standing)), &[]).spec.epoch, 2);
        let more = decision(vec![row("east", false), row("west", false)], "");
        assert_eq!(binding(planned(&more, "c1", Some(&standing)), &[]).spec.epoch, 2);
    }

    #[test]
    fn nothing_placed_leaves_no_trace_but_a_reason_does() {
        assert_eq!(planned(&Decision::default(), "c", None), Action::Keep);
        assert!(matches!(planned(&decision(vec![], "no cluster fits"), "c", None), Action::Create(_)));
        let never = Decision { unschedulable: "never placed: a lease".to_owned(), ..Decision::default() };
        assert_eq!(planned(&never, "c", None), Action::Keep);
    }

    #[test]
    fn rows_go_only_after_they_were_seen_gone() {
        let leaving = decision(vec![row("east", true), row("west", false)], "");
        let standing = binding(planned(&leaving, "c1", None), &[]);
        assert_eq!(planned(&leaving, "c1", Some(&standing)), Action::Keep);
        let acknowledged = binding(planned(&leaving, "c1", None), &["east"]);
        let after = binding(planned(&leaving, "c1", Some(&acknowledged)), &[]);
        assert_eq!(after.spec.clusters.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["west"]);
    }

    #[test]
    fn a_template_that_is_gone_withdraws_everything_then_the_binding() {
        let standing = binding(planned(&decision(vec![row("east", false), row("west", false)], ""), "c1", None), &[]);
        let leaving = binding(withdraw(&standing, |_| true), &["east"]);
        assert!(leaving.spec.clusters.iter().all(|r| r.withdraw));
        let half = binding(withdraw(&leaving, |_| true), &["west"]);
        assert_eq!(half.spec.clusters.len(), 1);
        assert_eq!(withdraw(&half, |_| true), Action::Delete);
        // A cluster that was removed from the federation has nothing left to withdraw.
        assert_eq!(withdraw(&standing, |_| false), Action::Delete);
    }

    #[test]
    fn what_a_policy_said_outlives_it() {
        let mut first = decision(vec![row("east", false)], "");
        first.policy = Some(federation_types::placement::PlacementSpec {
            on_delete: "Orphan".to_owned(),
            ..federation_types::placement::PlacementSpec::default()
        });
        let standing = binding(planned(&first, "c1", None), &[]);
        let mut held = decision(vec![row("east", false)], "no policy selects it any more");
        held.winner = None;
        let after = binding(planned(&held, "c1", Some(&standing)), &[]);
        assert_eq!((after.spec.on_delete.as_str(), after.spec.placement.is_some()), ("Orphan", true));
    }
}
