//! The four patches: an object and a patch, parted by a NUL byte.

use federation_schema::decode::{Expected, Format, decode, untyped};
use federation_schema::facts::{Resource, kubernetes};
use federation_schema::managed::{OneVersion, Typing, Write};
use federation_schema::patch;
use serde_json::Value;

use crate::decode::kind;

/// An object of its kind, and a patch of any shape.
fn parts(bytes: &[u8]) -> Option<(&'static Resource, Value, Value)> {
    let (resource, rest) = kind(bytes)?;
    let at = rest.iter().position(|byte| *byte == 0)?;
    let object = decode(kubernetes(), &Expected::object(resource), &rest[..at], Format::Json).ok()?;
    let (patch, _) = untyped(&rest[at + 1..], Format::Yaml).ok()?;
    Some((resource, object.value, patch))
}

pub fn json(bytes: &[u8]) {
    let Some((_, object, patch)) = parts(bytes) else { return };
    // A refusal is an answer.
    drop(patch::json::apply(object, patch));
}

pub fn merge(bytes: &[u8]) {
    let Some((_, object, patch)) = parts(bytes) else { return };
    let Ok(once) = patch::merge::apply(object, patch.clone()) else { return };
    let twice = patch::merge::apply(once.clone(), patch).expect("a merge patch that fits fits again");
    assert_eq!(twice, once, "a merge patch is idempotent");
}

pub fn strategic(bytes: &[u8]) {
    let Some((resource, object, patch)) = parts(bytes) else { return };
    drop(patch::strategic::apply(kubernetes(), resource.ty, object, patch));
}

pub fn apply(bytes: &[u8]) {
    let Some((resource, live, config)) = parts(bytes) else { return };
    let api_version = resource.api_version();
    let typing = Typing::new(kubernetes(), resource.ty);
    let write = Write {
        manager: "fuzz",
        subresource: "",
        api_version: &api_version,
        now: "2026-01-01T00:00:00Z",
        reset: &[&["status"]],
        versions: &OneVersion,
    };
    let Ok(once) = patch::apply::apply(typing, &live, &config, &write, true) else { return };
    let twice = patch::apply::apply(typing, &once.object, &config, &write, false).expect("nobody else owns it");
    assert!(!twice.changed, "applying the same again changes nothing");
}
