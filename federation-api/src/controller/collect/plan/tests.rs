//! Owners' states and what becomes of their dependents.

use serde_json::{Value, json};

use super::OwnerState::{Absent, Foreground, Solid, Unseen};
use super::{OwnerState, Step, dependent, living, without_finalizer, without_owners};

fn object(finalizers: &[&str]) -> Value {
    json!({"metadata": {"name": "x", "uid": "x", "resourceVersion": "5", "finalizers": finalizers,
        "ownerReferences": [{"uid": "0", "blockOwnerDeletion": true}, {"uid": "1"}, {"uid": "2", "controller": true}]}})
}

fn steps(finalizers: &[&str], owners: &[OwnerState], dependents: Option<bool>) -> Vec<Step> {
    let owners: Vec<_> = owners.iter().enumerate().map(|(i, state)| (i.to_string().into(), state.clone())).collect();
    dependent(&object(finalizers), &owners, dependents)
}

/// Protocol: DEL4
#[test]
fn an_object_goes_with_its_last_owner() {
    let delete = |policy| vec![Step::Delete(policy)];
    for (why, finalizers, owners, dependents, want) in [
        ("no owner", vec![], vec![], None, vec![]),
        ("held", vec![], vec![Solid], None, vec![]),
        ("all gone", vec![], vec![Absent, Absent], None, delete("Background")),
        ("all gone, has dependents", vec![], vec![Absent], Some(false), delete("Background")),
        ("all gone, wants its dependents released", vec!["orphan"], vec![Absent], None, delete("Orphan")),
        ("all gone, wants its dependents first", vec!["foregroundDeletion"], vec![Absent], None, delete("Foreground")),
        ("taken along", vec![], vec![Foreground], None, delete("Background")),
        ("taken along with its own dependents", vec![], vec![Foreground, Absent], Some(false), delete("Foreground")),
        ("an unseen owner holds", vec![], vec![Absent, Unseen("why".into())], None, vec![Step::Hold("why".into())]),
        (
            "also beside one that goes",
            vec![],
            vec![Foreground, Unseen("why".into())],
            Some(true),
            vec![Step::Hold("why".into())],
        ),
    ] {
        assert_eq!(steps(&finalizers, &owners, dependents), want, "{why}");
    }
}

#[test]
fn references_to_owners_that_go_are_taken_away_while_another_holds() {
    let kept = steps(&[], &[Absent, Solid, Foreground], Some(false));
    let want = json!({"metadata": {"uid": "x", "resourceVersion": "5", "ownerReferences": [{"uid": "1"}]}});
    assert_eq!(kept, [Step::Patch(want)]);
}

#[test]
fn a_cycle_is_unblocked_before_it_is_deleted() {
    let references = json!([{"uid": "0", "blockOwnerDeletion": false}, {"uid": "1"}, {"uid": "2", "controller": true}]);
    let patch = json!({"metadata": {"uid": "x", "resourceVersion": "5", "ownerReferences": references}});
    assert_eq!(steps(&[], &[Foreground], Some(true)), [Step::Patch(patch), Step::Delete("Foreground")]);
}

#[test]
fn patches_hold_for_one_version_and_are_empty_for_nothing() {
    let object = object(&["orphan", "a/b"]);
    let want = json!({"metadata": {"uid": "x", "resourceVersion": "5", "finalizers": ["a/b"]}});
    assert_eq!(without_finalizer(&object, "orphan"), want);
    assert_eq!(without_finalizer(&object, "foregroundDeletion"), json!({}));
    assert_eq!(without_owners(&object, &["9".into()]), json!({}));
}

#[test]
fn owners_that_live() {
    let deleting =
        |finalizer: &str| json!({"metadata": {"deletionTimestamp": "2026-06-01T00:00:00Z", "finalizers": [finalizer]}});
    assert_eq!(living(&json!({"metadata": {"finalizers": ["foregroundDeletion"]}})), Solid);
    assert_eq!(living(&deleting("x/y")), Solid, "as long as it is there, it holds");
    assert_eq!(living(&deleting("orphan")), Solid);
    assert_eq!(living(&deleting("foregroundDeletion")), Foreground);
}
