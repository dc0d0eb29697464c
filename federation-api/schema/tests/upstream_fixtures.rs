//! Kubernetes' own round-trip fixtures: for every kind the protobuf, JSON and YAML forms decode to the same value.
//!
//! They are read from the Go module cache and skipped, with a word, where they are not there.

use std::fs;
use std::path::PathBuf;

use federation_schema::decode::{Decoded, Expected, Format, decode, drop_noise, legacy};
use federation_schema::facts::{Facts, kubernetes};
use serde_json::Value;

const MODULE: &str = "go/pkg/mod/k8s.io/api@v0.37.2/testdata/HEAD";

/// Kinds that are never bodies here: options travel in queries, versions were removed, or only servers send them.
const NOT_SERVED: &[&str] = &[
    "APIGroup",
    "APIGroupDiscovery",
    "APIVersions",
    "AdmissionReview",
    "GetOptions",
    "ImageReview",
    "ListOptions",
    "NodeProxyOptions",
    "PodAttachOptions",
    "PodExecOptions",
    "PodLogOptions",
    "PodPortForwardOptions",
    "PodProxyOptions",
    "RangeAllocation",
    "SerializedReference",
    "ServiceProxyOptions",
    "WatchEvent",
    "CreateOptions",
    "PatchOptions",
    "UpdateOptions",
    "Status",
];

fn fixtures() -> Option<PathBuf> {
    let directory = std::env::home_dir()?.join(MODULE);
    directory.is_dir().then_some(directory)
}

fn expected<'a>(facts: &'a Facts, group: &str, version: &str, kind: &'a str) -> Option<Expected<'a>> {
    if kind == "DeleteOptions" {
        return Expected::options(facts, kind);
    }
    let subresources = || facts.resources().flat_map(|resource| &resource.subresources);
    let object = facts.by_kind(group, version, kind).map(Expected::object);
    object.or_else(|| {
        let found = subresources().find(|sub| (&*sub.group, &*sub.version, &*sub.kind) == (group, version, kind))?;
        Expected::subresource(found)
    })
}

fn first_difference(one: &Value, two: &Value, path: &str) -> Option<String> {
    match (one, two) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys());
            keys.into_iter().find_map(|key| match (a.get(key), b.get(key)) {
                (Some(a), Some(b)) => first_difference(a, b, &format!("{path}.{key}")),
                (a, b) => Some(format!("{path}.{key}: {a:?} and {b:?}")),
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(at, (a, b))| first_difference(a, b, &format!("{path}[{at}]")))
        }
        (a, b) => (a != b).then(|| format!("{path}: {a} and {b}")),
    }
}

/// Protocol: N4
#[test]
fn every_kind_reads_the_same_from_json_yaml_and_protobuf() {
    let Some(directory) = fixtures() else {
        eprintln!("skipped: no ~/{MODULE}");
        return;
    };
    let facts = kubernetes();
    let (mut seen, mut removed, mut faults) = (0, Vec::new(), Vec::new());
    let mut names: Vec<_> =
        fs::read_dir(directory).expect("readable").map(|entry| entry.expect("entry").path()).collect();
    names.sort();
    for path in names.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let stem = path.file_stem().expect("named").to_str().expect("UTF-8");
        let (rest, kind) = stem.rsplit_once('.').expect("group.version.kind");
        let (group, version) = rest.rsplit_once('.').expect("group.version");
        let group = if group == "core" { "" } else { group };
        let Some(expected) = expected(facts, group, version, kind) else {
            if !NOT_SERVED.contains(&kind) {
                removed.push(stem);
            }
            continue;
        };
        let read = |format, extension| -> Decoded {
            let body = fs::read(path.with_extension(extension)).expect("readable");
            decode(facts, &expected, &body, format).unwrap_or_else(|error| panic!("{stem}.{extension}: {error}"))
        };
        let mut json = read(Format::Json, "json");
        assert!(json.findings.is_empty(), "{stem}: {:?}", json.findings);
        for (format, extension) in [(Format::Yaml, "yaml"), (Format::Protobuf, "pb")] {
            let other = read(format, extension);
            if format == Format::Protobuf {
                drop_noise(facts, expected.ty, &mut json.value);
            }
            faults.extend(first_difference(&json.value, &other.value, "").map(|at| format!("{stem}.{extension}{at}")));
        }
        seen += 1;
    }
    assert!(faults.is_empty(), "{} of {seen} differ:\n{}", faults.len(), faults.join("\n"));
    eprintln!("{seen} kinds; not served: {removed:?}");
    assert!(seen > 90, "{seen}");
}

#[test]
fn old_versions_come_back_as_they_were_sent() {
    let Some(directory) = fixtures() else {
        eprintln!("skipped: no ~/{MODULE}");
        return;
    };
    let mut compared = 0;
    for old in legacy::all() {
        let path = directory.join(format!("{}.{}.{}.json", old.group, old.version, old.kind));
        let Ok(body) = fs::read(&path) else { continue };
        let decoded = old.decode(kubernetes(), &body, Format::Json).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let gone: Vec<String> = decoded.findings.iter().map(ToString::to_string).collect();
        // Fields that the current version does not have; everything else survives the way there and back.
        let known = ["rollbackTo", "templateGeneration"];
        assert!(gone.iter().all(|one| known.iter().any(|known| one.contains(known))), "{path:?}: {gone:?}");
        let mut back = decoded.value;
        old.downgrade(&mut back);
        let mut sent: Value = serde_json::from_slice(&body).expect("JSON");
        for name in known {
            sent["spec"].as_object_mut().expect("spec").remove(name);
        }
        if let Some(difference) = first_difference(&sent, &back, "") {
            panic!("{path:?} {difference}");
        }
        compared += 1;
    }
    assert!(compared > 10, "{compared}");
}
