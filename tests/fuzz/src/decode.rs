//! Bodies: what is decoded decodes to itself again, and no body exhausts stack or memory.

use federation_schema::decode::{Expected, Format, decode as read, untyped};
use federation_schema::facts::{Resource, kubernetes};

/// Kinds with the shapes that differ: workloads, inline unions, byte maps, free-form parts, definitions.
const KINDS: &[(&str, &str, &str)] = &[
    ("apps", "v1", "deployments"),
    ("", "v1", "pods"),
    ("", "v1", "secrets"),
    ("", "v1", "services"),
    ("", "v1", "events"),
    ("networking.k8s.io", "v1", "ingresses"),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
    ("coordination.k8s.io", "v1", "leases"),
];

/// The kind that the first byte picks, and the rest.
pub fn kind(bytes: &[u8]) -> Option<(&'static Resource, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (group, version, plural) = KINDS[usize::from(*first) % KINDS.len()];
    Some((kubernetes().resource(group, version, plural).expect("the table has the kinds of every day"), rest))
}

pub fn json(bytes: &[u8]) {
    settles(bytes, Format::Json);
}

pub fn protobuf(bytes: &[u8]) {
    settles(bytes, Format::Protobuf);
}

pub fn yaml(bytes: &[u8]) {
    settles(bytes, Format::Yaml);
    if let Ok((value, _)) = untyped(bytes, Format::Yaml) {
        let json = value.to_string();
        let (again, _) = untyped(json.as_bytes(), Format::Json).expect("a tree is valid JSON");
        assert_eq!(again, value, "YAML means the JSON that it prints");
    }
}

fn settles(bytes: &[u8], format: Format) {
    let Some((resource, body)) = kind(bytes) else { return };
    let expected = Expected::object(resource);
    let Ok(first) = read(kubernetes(), &expected, body, format) else { return };
    let text = first.value.to_string();
    let second = read(kubernetes(), &expected, text.as_bytes(), Format::Json).expect("what was decoded decodes");
    assert_eq!(second.value, first.value, "decoding settles at once");
    assert!(second.findings.is_empty(), "nothing is left to find: {:?}", second.findings);
}
