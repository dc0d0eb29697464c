//! Ownership through `/scale`: who owns the replicas there owns them in the object, and the other way round.
//!
//! Source: `k8s.io/apimachinery/pkg/util/managedfields`, scale handler; its ways with entries of the same name are kept.

use std::borrow::Cow;

use super::element::Element;
use super::entries::{Entry, Operation};
use super::set::FieldSet;

/// The version that `/scale` speaks.
pub const SCALE_VERSION: &str = "autoscaling/v1";
/// Where a Scale has the replicas.
const IN_SCALE: &[&str] = &["spec", "replicas"];

/// The entries of an object as those of its Scale.
pub fn to_scale<'a>(parent: &[Entry<'a>], api_version: &str, replicas: &[&str]) -> Vec<Entry<'a>> {
    let owns = |entry: &&Entry<'_>| entry.api_version == api_version && has(&entry.set, replicas);
    let of_scale = |entry: &Entry<'a>| Entry {
        api_version: Cow::Borrowed(SCALE_VERSION),
        set: FieldSet::of_fields(&[IN_SCALE]),
        ..entry.clone()
    };
    parent.iter().filter(owns).map(of_scale).collect()
}

/// The entries of an object after those of its Scale have changed.
pub fn to_parent<'a>(
    parent: Vec<Entry<'a>>,
    mut scale: Vec<Entry<'a>>,
    api_version: &'a str,
    replicas: &'a [&'a str],
) -> Vec<Entry<'a>> {
    let path = FieldSet::of_fields(std::slice::from_ref(&replicas));
    let mut out = Vec::with_capacity(parent.len() + 1);
    for mut entry in parent.into_iter().filter(|entry| entry.api_version == api_version) {
        if !has(&entry.set, replicas) {
            out.push(entry);
            continue;
        }
        // Appliers are told apart without their version, so only theirs are found again.
        let same = |other: &Entry<'_>| {
            entry.operation == Operation::Apply
                && other.operation == Operation::Apply
                && other.manager == entry.manager
                && other.subresource == entry.subresource
        };
        match scale.iter().position(same) {
            Some(place) => {
                scale.swap_remove(place);
            }
            None => entry.set = entry.set.difference(&path),
        }
        if !entry.set.is_empty() {
            out.push(entry);
        }
    }
    for entry in scale.into_iter().filter(|entry| has(&entry.set, IN_SCALE)) {
        out.push(Entry { api_version: Cow::Borrowed(api_version), set: path.clone(), time: None, ..entry });
    }
    out
}

/// Whether a path of field names is a member.
fn has(set: &FieldSet<'_>, path: &[&str]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let below = parents.iter().try_fold(set, |at, name| at.get(&Element::field(name)).map(|(_, below)| below));
    below.and_then(|at| at.get(&Element::field(last))).is_some_and(|(member, _)| member)
}
