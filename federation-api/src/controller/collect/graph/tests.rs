//! Who is looked at after which change.

use std::sync::Arc;

use federation_types::Gvr;
use serde_json::{Value, json};

use super::{Graph, Node, Uid};

/// `UID[!FINALIZER][<OWNER[*]]...`: `!` is being deleted with a finalizer, `*` blocks the owner.
fn node(text: &str) -> Arc<Node> {
    let mut parts = text.split('<');
    let head = parts.next().unwrap();
    let (uid, finalizer) = head.split_once('!').unwrap_or((head, ""));
    let owners: Vec<Value> = parts
        .map(|owner| {
            let name = owner.trim_end_matches('*');
            json!({"apiVersion": "v1", "kind": "Thing", "name": name, "uid": name, "blockOwnerDeletion": owner.ends_with('*')})
        })
        .collect();
    let mut object = json!({"metadata": {"name": uid, "uid": uid, "ownerReferences": owners}});
    if head.contains('!') {
        object["metadata"]["deletionTimestamp"] = json!("2026-06-01T00:00:00Z");
        object["metadata"]["finalizers"] = json!([finalizer]);
    }
    Arc::new(Node::of(&Arc::new(Gvr::new("v1", "things")), &object).unwrap())
}

fn graph(nodes: &[&str]) -> Graph {
    let mut graph = Graph::default();
    for text in nodes {
        graph.put(node(text));
    }
    graph
}

fn names(uids: Vec<Uid>) -> Vec<String> {
    let mut names: Vec<_> = uids.iter().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn whom_a_change_touches() {
    type Case<'a> = (&'a str, &'a [&'a str], &'a str, &'a [&'a str]);
    let cases: [Case<'_>; 10] = [
        ("no owner", &[], "a", &[]),
        ("an owner that is there", &["o"], "a<o", &[]),
        ("an owner that was not seen", &[], "a<o", &["a"]),
        ("one of two was not seen", &["o"], "a<o<p", &["a"]),
        ("the same again", &["a<o"], "a<o", &[]),
        ("a new owner that takes it along", &["o!foregroundDeletion"], "a<o", &["a"]),
        ("deleted in the foreground", &["a", "b<a"], "a!foregroundDeletion", &["a"]),
        ("deleted as an orphan maker", &["a", "b<a"], "a!orphan", &["a"]),
        ("deleted for some other finalizer", &["a<o"], "a!x/y<o", &[]),
        ("a reference gone that an owner waited for", &["o!foregroundDeletion", "a<o*"], "a", &["o"]),
    ];
    for (why, before, change, want) in cases {
        assert_eq!(names(graph(before).put(node(change))), want, "{why}");
    }
}

#[test]
fn whom_a_removal_touches() {
    type Case<'a> = (&'a str, &'a [&'a str], &'a str, &'a [&'a str]);
    let cases: [Case<'_>; 5] = [
        ("nobody's", &["a", "b"], "a", &[]),
        ("its dependents", &["a", "b<a", "c<a<b"], "a", &["b", "c"]),
        ("an owner that waits", &["o!foregroundDeletion", "a<o*"], "a", &["o"]),
        ("not an owner that does not", &["o", "a<o*"], "a", &[]),
        ("what was never seen", &["a"], "x", &[]),
    ];
    for (why, before, gone, want) in cases {
        let mut graph = graph(before);
        assert_eq!(names(graph.remove(&gone.into())), want, "{why}");
        assert!(graph.get(&gone.into()).is_none());
    }
}

#[test]
fn dependents_follow_their_references_and_leave_nothing_behind() {
    let mut graph = graph(&["a<o*<p", "b<o"]);
    let uids = |graph: &Graph, owner: &str| {
        names(graph.dependents(&owner.into()).iter().map(|node| node.uid.clone()).collect())
    };
    assert_eq!(uids(&graph, "o"), ["a", "b"]);
    graph.put(node("a<p"));
    assert_eq!((uids(&graph, "o"), uids(&graph, "p")), (vec!["b".to_owned()], vec!["a".to_owned()]));
    graph.remove(&"a".into());
    graph.remove(&"b".into());
    assert!(graph.dependents.is_empty() && graph.nodes.is_empty());
}

#[test]
fn suspects_after_everything_was_read() {
    // Dependents may be read before their owners.
    let graph = graph(&["a<o", "o", "b<gone", "c<f*", "f!foregroundDeletion", "d!orphan", "x<y", "y<x"]);
    assert_eq!(names(graph.suspects()), ["b", "c", "d", "f"]);
}
