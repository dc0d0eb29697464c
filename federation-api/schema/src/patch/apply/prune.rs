//! What a manager no longer applies goes, unless others own it.
//!
//! Source: `sigs.k8s.io/structured-merge-diff/v6/merge`.

use std::borrow::Cow;

use serde_json::Value;

use super::merge::remove_fields;
use crate::managed::walk::field_set;
use crate::managed::{Entry, FieldSet, Typing, Write};

/// An object in one version of its kind.
struct Viewed<'v> {
    object: Value,
    version: &'v str,
    typing: Typing<'v>,
}

impl<'v> Viewed<'v> {
    fn named_set(&self) -> Result<FieldSet<'_>, String> {
        Ok(field_set(&self.object, self.typing)?.with_named_fields(self.typing))
    }

    /// None where the version is gone.
    fn to(&self, version: &'v str, own: &Viewed<'v>, write: &Write<'v>) -> Option<Viewed<'v>> {
        if self.version == version {
            return Some(Viewed { object: self.object.clone(), version, typing: self.typing });
        }
        if own.version == version {
            let (object, _) = write.versions.view(&self.object, version)?;
            return Some(Viewed { object, version, typing: own.typing });
        }
        let (object, typing) = write.versions.view(&self.object, version)?;
        Some(Viewed { object, version, typing })
    }

    fn without(&self, gone: &FieldSet<'_>) -> Viewed<'v> {
        Viewed { object: remove_fields(self.object.clone(), gone, self.typing), ..*self }
    }
}

/// Takes out of the merged object what only the last configuration of this manager had set.
///
/// # Errors
/// Items of lists that cannot be told apart.
pub(super) fn prune<'v>(
    merged: Value,
    typing: Typing<'v>,
    (last, now): (&'v Entry<'_>, &'v Entry<'_>),
    (others, write): (&'v [Entry<'_>], &Write<'v>),
) -> Result<Value, String> {
    let own = Viewed { object: merged, version: write.api_version, typing };
    let version: &str = &last.api_version;
    if version == own.version && last.set.difference(&now.set).is_empty() {
        return Ok(own.object);
    }
    let Some(merged) = own.to(version, &own, write) else { return Ok(own.object) };
    let last_set = last.set.with_named_fields(merged.typing);
    let mut pruned = merged.without(&last_set);
    let mut at = merged.to(version, &own, write).unwrap_or(merged.without(&FieldSet::default()));
    for (version, managed) in by_version(version, now, others) {
        // What others or the new configuration own comes back.
        let views = at.to(version, &own, write).zip(pruned.to(version, &own, write));
        let Some((there, left)) = views else { continue };
        let kept = left.named_set()?.into_owned();
        let managed = managed.with_named_fields(there.typing);
        let unowned = there.named_set()?.difference(&kept).difference(&managed).into_owned();
        pruned = there.without(&unowned);
        at = there;
    }
    // What nobody owns was not in the last configuration either: it went with its parent only, and comes back too.
    let Some(pruned) = pruned.to(version, &own, write) else { return Ok(own.object) };
    let left = pruned.named_set()?;
    let gone = merged.named_set()?.difference(&left).intersection(&last_set).into_owned();
    let pruned = merged.without(&gone);
    match pruned.to(write.api_version, &own, write) {
        Some(pruned) => Ok(pruned.object),
        None => Ok(own.object),
    }
}

/// What is owned in each version, `first` first.
fn by_version<'v>(
    first: &'v str,
    now: &'v Entry<'_>,
    others: &'v [Entry<'_>],
) -> Vec<(&'v str, Cow<'v, FieldSet<'v>>)> {
    let mut out: Vec<(&'v str, Cow<'v, FieldSet<'v>>)> = Vec::new();
    let versions = std::iter::once(now).chain(others);
    for entry in versions {
        let version: &str = &entry.api_version;
        match out.iter_mut().find(|(known, _)| *known == version) {
            Some((_, set)) => *set = Cow::Owned(set.union(&entry.set)),
            None => out.push((version, Cow::Borrowed(&entry.set))),
        }
    }
    out.sort_by_key(|(version, _)| *version != first);
    out
}
