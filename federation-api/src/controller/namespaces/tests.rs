//! When a namespace goes, and what it says until then.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Findings, is_ending, plan};

fn namespace() -> Value {
    json!({"metadata": {"name": "n", "deletionTimestamp": "2026-06-01T00:00:00Z"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"}})
}

fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
    Timestamp::from_second(start.as_second() + seconds).unwrap()
}

fn left(resource: &str, count: usize) -> Findings {
    let mut findings = Findings::default();
    for _ in 0..count {
        findings.leave(resource, &json!({"metadata": {"finalizers": ["a/b"]}}));
    }
    findings
}

/// Protocol: NS1
#[test]
fn only_an_empty_and_wholly_seen_namespace_goes() {
    let unknown = Findings { discovery: vec!["metrics.k8s.io/v1: down".into()], ..Findings::default() };
    let unlisted = Findings { content: vec!["pods.: denied".into()], ..Findings::default() };
    for (findings, goes) in
        [(Findings::default(), true), (unknown, false), (unlisted, false), (left("pods.", 1), false)]
    {
        let plan = plan(&namespace(), &findings, at(0));
        assert_eq!(plan.finalize, goes.then(Vec::new), "{findings:?}");
    }
    let mut shared = namespace();
    shared["spec"]["finalizers"] = json!(["kubernetes", "example.com/other"]);
    assert_eq!(plan(&shared, &Findings::default(), at(0)).finalize, Some(vec![json!("example.com/other")]));
}

/// Protocol: NS1
#[test]
fn conditions_are_upstreams_and_written_once() {
    let mut namespace = namespace();
    let findings = Findings { content: vec!["secrets.: denied".into()], ..left("pods.", 2) };
    let conditions = plan(&namespace, &findings, at(1)).conditions.unwrap();
    let texts: Vec<String> = conditions
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            format!(
                "{} {} {}: {}",
                c["type"].as_str().unwrap(),
                c["status"].as_str().unwrap(),
                c["reason"].as_str().unwrap(),
                c["message"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        texts,
        [
            "NamespaceDeletionDiscoveryFailure False ResourcesDiscovered: All resources successfully discovered",
            "NamespaceDeletionGroupVersionParsingFailure False ParsedGroupVersions: All legacy kube types successfully parsed",
            "NamespaceDeletionContentFailure True ContentDeletionFailed: Failed to delete all resource types, 1 remaining: secrets.: denied",
            "NamespaceContentRemaining True SomeResourcesRemain: Some resources are remaining: pods. has 2 resource instances",
            "NamespaceFinalizersRemaining True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: a/b in 2 resource instances",
        ]
    );
    namespace["status"]["conditions"] = conditions.clone();
    assert_eq!(plan(&namespace, &findings, at(9)).conditions, None, "nothing changed, nothing written");
    let calmer = plan(&namespace, &left("pods.", 1), at(9)).conditions.unwrap();
    let times: Vec<_> = calmer.as_array().unwrap().iter().map(|c| c["lastTransitionTime"].as_str().unwrap()).collect();
    let (before, after) = ("2026-06-01T00:00:01Z", "2026-06-01T00:00:09Z");
    assert_eq!(times, [before, before, after, before, before], "only a changed status gets a new time");
}

#[test]
fn waiting_slows_down() {
    for (age, wait) in [(0, 300), (-5, 300), (10, 2_000), (59, 2_000), (60, 15_000), (100_000, 15_000)] {
        assert_eq!(plan(&namespace(), &left("pods.", 1), at(age)).wait, Duration::from_millis(wait), "{age}");
    }
}

#[test]
fn which_namespaces_end() {
    let mut released = namespace();
    released["spec"]["finalizers"] = json!([]);
    let mut alive = namespace();
    alive["metadata"]["deletionTimestamp"] = Value::Null;
    for (namespace, ends) in [(namespace(), true), (released, false), (alive, false)] {
        assert_eq!(is_ending(&namespace), ends, "{namespace}");
    }
}
