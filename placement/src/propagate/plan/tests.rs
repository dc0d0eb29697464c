//! The plan of one copy as a table.

use std::sync::Arc;

use federation_types::binding::{BindingCluster, BindingClusterStatus, Phase};

use super::{Action, Inputs, plan};
use crate::propagate::live::{Live, Seen};

fn live(hub: &str, template: &str, epoch: u64, hash: &str) -> Live {
    Live {
        uid: "m-1".to_owned(),
        resource_version: "9".to_owned(),
        hub: hub.to_owned(),
        template: template.to_owned(),
        epoch,
        hash: hash.to_owned(),
        owned: "o1".to_owned(),
        ..Live::default()
    }
}

fn there(hub: &str, template: &str, epoch: u64, hash: &str) -> Seen {
    Seen::There(Arc::new(live(hub, template, epoch, hash)))
}

fn row(withdraw: bool) -> BindingCluster {
    BindingCluster { name: "east".to_owned(), withdraw, ..BindingCluster::default() }
}

fn inputs<'a>(row: Option<&'a BindingCluster>, seen: &'a Seen) -> Inputs<'a> {
    Inputs {
        row,
        recorded: None,
        seen,
        manifest: Ok("h1"),
        hub_uid: "hub",
        template_uid: "t",
        epoch: 5,
        conflict: "",
        on_delete: "",
        suspended: false,
        finished: false,
    }
}

fn apply(uid: &str, resource_version: &str, force: bool) -> Action {
    Action::Apply { uid: uid.to_owned(), resource_version: resource_version.to_owned(), force }
}

fn uid() -> String {
    "m-1".to_owned()
}

#[test]
fn writing() {
    let target = row(false);
    for (name, seen, want) in [
        ("unknown is looked at", Seen::Unknown, Action::Look),
        ("not ours by label is looked at", Seen::NotOurs, Action::Look),
        ("absent is created", Seen::Absent, apply("", "", true)),
        ("ours and equal: nothing", there("hub", "t", 5, "h1"), Action::Settled { uid: uid() }),
        ("ours, an older epoch, equal: nothing", there("hub", "t", 2, "h1"), Action::Settled { uid: uid() }),
        ("ours and different", there("hub", "t", 5, "h0"), apply("m-1", "", true)),
        (
            "the copy of an earlier template",
            there("hub", "old", 5, "h1"),
            Action::Await("the copy of an earlier template of this name is still there".to_owned()),
        ),
    ] {
        assert_eq!(plan(&inputs(Some(&target), &seen)), want, "{name}");
    }
    let seen = there("hub", "t", 6, "h0");
    assert!(matches!(plan(&inputs(Some(&target), &seen)), Action::Stop(Phase::Conflict, m) if m.contains("epoch 6")));
    let mut broken = inputs(Some(&target), &Seen::Absent);
    broken.manifest = Err("spec.clusterIP: no");
    assert_eq!(plan(&broken), Action::Stop(Phase::Failed, "spec.clusterIP: no".to_owned()));
}

#[test]
fn drift_is_seen_by_what_we_own() {
    let target = row(false);
    let seen = there("hub", "t", 5, "h1");
    let recorded = |hash: &str, owned: &str| BindingClusterStatus {
        applied_hash: hash.to_owned(),
        owned_hash: owned.to_owned(),
        ..BindingClusterStatus::default()
    };
    for (record, drifted) in [
        (recorded("h1", "o1"), false),
        (recorded("h1", "o2"), true),
        (recorded("h1", ""), false),
        // What was owned under older content says nothing about this one.
        (recorded("h0", "o2"), false),
    ] {
        let mut case = inputs(Some(&target), &seen);
        case.recorded = Some(&record);
        assert_eq!(matches!(plan(&case), Action::Apply { force: true, .. }), drifted, "{record:?}");
    }
}

#[test]
fn conflicts_follow_the_policy_and_never_another_hub() {
    let target = row(false);
    let unowned = there("", "", 0, "");
    for (conflict, want) in [("Adopt", apply("m-1", "9", false)), ("Overwrite", apply("m-1", "9", true))] {
        let mut case = inputs(Some(&target), &unowned);
        case.conflict = conflict;
        assert_eq!(plan(&case), want, "{conflict}");
    }
    for conflict in ["", "Fail"] {
        let mut case = inputs(Some(&target), &unowned);
        case.conflict = conflict;
        assert!(matches!(plan(&case), Action::Stop(Phase::Conflict, _)), "{conflict}");
    }
    let other = there("other-hub", "t", 1, "h1");
    for conflict in ["Fail", "Adopt", "Overwrite"] {
        let mut case = inputs(Some(&target), &other);
        case.conflict = conflict;
        assert!(matches!(plan(&case), Action::Stop(Phase::Conflict, m) if m.contains("other-hub")), "{conflict}");
    }
}

#[test]
fn withdrawing() {
    let target = row(true);
    let mut deleting = live("hub", "t", 5, "h1");
    deleting.deleting = true;
    for (name, seen, want) in [
        ("unknown is looked at", Seen::Unknown, Action::Look),
        ("gone", Seen::Absent, Action::Acknowledge("")),
        ("absent from the watch is no proof", Seen::NotOurs, Action::Look),
        ("lost our labels", there("", "", 0, ""), Action::Acknowledge("not ours, left alone")),
        ("ours", there("hub", "t", 5, "h1"), Action::Delete { uid: uid() }),
        ("another hub's", there("other", "t", 5, "h1"), Action::Acknowledge("not ours, left alone")),
        ("another template's", there("hub", "new", 5, "h1"), Action::Acknowledge("not ours, left alone")),
        ("on its way", Seen::There(Arc::new(deleting)), Action::Await("is being deleted there".to_owned())),
    ] {
        assert_eq!(plan(&inputs(Some(&target), &seen)), want, "{name}");
    }
    let seen = there("hub", "t", 5, "h1");
    let mut orphan = inputs(Some(&target), &seen);
    orphan.on_delete = "Orphan";
    assert_eq!(plan(&orphan), Action::Release { uid: uid() });
    let later = there("hub", "t", 9, "h1");
    assert!(matches!(plan(&inputs(Some(&target), &later)), Action::Stop(Phase::Conflict, _)));
    // A manifest that cannot be rendered does not stop a withdrawal.
    let mut broken = inputs(Some(&target), &seen);
    broken.manifest = Err("x");
    assert_eq!(plan(&broken), Action::Delete { uid: uid() });
}

#[test]
fn holding() {
    let (write, withdraw) = (row(false), row(true));
    let seen = there("hub", "t", 5, "h0");
    assert_eq!(plan(&inputs(None, &seen)), Action::Hold);
    let held = BindingCluster { hold: true, ..row(false) };
    assert_eq!(plan(&inputs(Some(&held), &seen)), Action::Hold);
    for target in [&write, &withdraw] {
        let mut suspended = inputs(Some(target), &seen);
        suspended.suspended = true;
        assert_eq!(plan(&suspended), Action::Hold);
    }
    for seen in [Seen::Absent, Seen::NotOurs] {
        let mut finished = inputs(Some(&write), &seen);
        finished.finished = true;
        assert!(matches!(plan(&finished), Action::Settled { .. }));
    }
}
