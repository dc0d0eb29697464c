//! What a write changes, as the owners of each version of the kind see it.
//!
//! Source: `sigs.k8s.io/structured-merge-diff/v6/merge`.

use serde_json::Value;

use super::Write;
use super::entries::Entry;
use super::set::FieldSet;
use super::typing::Typing;
use super::walk::compare;

/// A change in the version of the write.
pub(crate) struct Changes<'a> {
    live: &'a Value,
    new: &'a Value,
    pub(crate) removed: FieldSet<'a>,
    /// Modified or added.
    pub(crate) changed: FieldSet<'a>,
    own: &'a str,
}

/// The same change in other versions: version, removed, changed.
pub(crate) type Elsewhere = Vec<(String, FieldSet<'static>, FieldSet<'static>)>;

impl<'a> Changes<'a> {
    /// # Errors
    /// Items of lists that cannot be told apart.
    pub(crate) fn new(
        typing: Typing<'a>,
        (live, new): (&'a Value, &'a Value),
        write: &Write<'a>,
    ) -> Result<Self, String> {
        let diff = compare(live, new, typing)?;
        let ignored = write.ignored();
        let removed = diff.removed.below.without(&ignored);
        let changed = diff.modified.below.union(&diff.added.below).without(&ignored);
        Ok(Changes { live, new, removed, changed, own: write.api_version })
    }

    /// The change in every other version that an entry names.
    ///
    /// # Errors
    /// As [`Changes::new`].
    pub(crate) fn elsewhere(&self, entries: &[Entry<'_>], write: &Write<'_>) -> Result<Elsewhere, String> {
        let mut out = Elsewhere::new();
        for entry in entries {
            let version = &*entry.api_version;
            if version == self.own || out.iter().any(|(known, ..)| known == version) {
                continue;
            }
            let views = write.versions.view(self.live, version).zip(write.versions.view(self.new, version));
            let Some(((live, typing), (new, _))) = views else { continue };
            let diff = compare(&live, &new, typing)?;
            let ignored = write.ignored();
            let removed = diff.removed.below.without(&ignored).into_owned();
            let changed = diff.modified.below.union(&diff.added.below).without(&ignored).into_owned();
            out.push((version.to_owned(), removed, changed));
        }
        Ok(out)
    }

    /// What is removed and what is changed in a version.
    pub(crate) fn at<'s>(&'s self, version: &str, others: &'s Elsewhere) -> (&'s FieldSet<'s>, &'s FieldSet<'s>)
    where
        'a: 's,
    {
        match others.iter().find(|(known, ..)| known == version) {
            Some((_, removed, changed)) => (removed, changed),
            None => (&self.removed, &self.changed),
        }
    }
}

/// Brings entries in step with the schema: entries of versions that are gone go, what has become atomic since is
/// owned as a whole.
pub(crate) fn reconcile(entries: &mut Vec<Entry<'_>>, typing: Typing<'_>, live: &Value, write: &Write<'_>) {
    entries.retain_mut(|entry| {
        if entry.api_version == write.api_version {
            entry.set = entry.set.reconciled(typing);
            return true;
        }
        match write.versions.view(live, &entry.api_version) {
            Some((_, there)) => {
                entry.set = entry.set.reconciled(there);
                true
            }
            None => false,
        }
    });
}
