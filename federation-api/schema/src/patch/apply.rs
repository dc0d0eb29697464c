//! Server-side apply: merges a configuration into the live object, field by field and owner by owner.
//! Pure: who applies and when is passed in; defaults, admission and storage are the caller's.
//!
//! Source: `k8s.io/apimachinery/pkg/util/managedfields` over `sigs.k8s.io/structured-merge-diff/v6/merge`.

mod check;
mod last_applied;
mod merge;
mod overlay;
mod prune;

pub use overlay::overlay;

use serde_json::{Map, Value};

use self::merge::merge_objects;
use self::prune::prune;
use crate::managed::walk::{equal, field_set};
use crate::managed::{
    BEFORE_FIRST_APPLY, Changes, Entry, FieldSet, Operation, Typing, Write, decode, encode, managed_fields, reconcile,
    set_managed_fields, stripped, track,
};

/// What an apply leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The new object, `metadata.managedFields` included; defaults are not set.
    pub object: Value,
    /// Whether it differs from the live one in anything but the times of entries.
    pub changed: bool,
}

/// One field that another manager owns with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// `"m" using apps/v1`: the owner as messages show it.
    pub manager: String,
    /// `.spec.replicas`
    pub path: String,
}

/// Why a configuration was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// 400.
    #[error("{0}")]
    BadRequest(String),
    /// 409, one cause a conflict.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
    /// The configuration does not fit the schema, 500.
    #[error("{0}")]
    Schema(String),
    /// The live object cannot be taken apart, 500.
    #[error("{0}")]
    Live(String),
}

impl Conflict {
    /// The `message` of a cause.
    pub fn message(&self) -> String {
        format!("conflict with {}", self.manager)
    }
}

/// Applies `config` to `live` (`{}`-like with apiVersion and kind, if it does not exist yet).
///
/// # Errors
/// `ApplyError::Conflicts` unless `force`; the others whatever `force` says.
pub fn apply(
    typing: Typing<'_>,
    live: &Value,
    config: &Value,
    write: &Write<'_>,
    force: bool,
) -> Result<Applied, ApplyError> {
    if !managed_fields(config).is_null() {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".to_owned()));
    }
    check::check(config, typing).map_err(|errors| ApplyError::Schema(describe(config, &errors)))?;
    let mut entries =
        decode(managed_fields(live)).map_err(|e| ApplyError::Live(format!("failed to decode managed fields: {e}")))?;
    let nothing = Value::Object(Map::new());
    if entries.is_empty() {
        let before = Write { manager: BEFORE_FIRST_APPLY, ..*write };
        entries = track(typing, (&nothing, live), entries, &before).map_err(ApplyError::Live)?;
    }
    if write.manager != "kubectl" || force {
        return apply_entries(typing, (live, config), entries, write, force);
    }
    match apply_entries(typing, (live, config), entries.clone(), write, false) {
        Err(ApplyError::Conflicts(conflicts)) => {
            // kubectl's own client-side apply does not stand in its way.
            let left = last_applied::without_own(typing, live, conflicts, write.api_version);
            if !left.is_empty() {
                return Err(ApplyError::Conflicts(left));
            }
            apply_entries(typing, (live, config), entries, write, true)
        }
        other => other,
    }
}

fn apply_entries<'a>(
    typing: Typing<'a>,
    (live, config): (&'a Value, &'a Value),
    mut entries: Vec<Entry<'a>>,
    write: &Write<'a>,
    force: bool,
) -> Result<Applied, ApplyError> {
    reconcile(&mut entries, typing, live, write);
    let schema = |text: String| ApplyError::Schema(describe(config, &[text]));
    let merged = merge_objects(live, config, typing).map_err(schema)?;
    let set = field_set(config, typing).map_err(schema)?.without(&write.ignored());
    let own = Entry::of(write, Operation::Apply, set);
    let last = entries.iter().position(|old| old.same_identity(&own)).map(|place| entries.swap_remove(place));
    let new = match &last {
        Some(last) => prune(merged, typing, (last, &own), (&entries, write)).map_err(ApplyError::Live)?,
        None => merged,
    };
    let (same, conflicts, lost) = contest(typing, (live, &new), &entries, write)?;
    if !force && !conflicts.is_empty() {
        return Err(ApplyError::Conflicts(conflicts));
    }
    for (entry, lost) in entries.iter_mut().zip(lost) {
        if let Some(set) = lost {
            entry.set = set;
        }
    }
    let mut own = Entry { set: own.set.difference(&stripped()), ..own };
    if same {
        // Upstream notes the time of what changes something.
        own.time = last.and_then(|last| last.time);
    }
    entries.push(own);
    entries.retain(|entry| !entry.set.is_empty());
    let mut new = new;
    let encoded = encode(&entries);
    let changed = !same || !same_but_times(&encoded, managed_fields(live));
    set_managed_fields(&mut new, encoded);
    if write.manager == "kubectl" {
        last_applied::refresh(&mut new, config);
    }
    Ok(Applied { object: new, changed })
}

/// What a change takes from the other managers: `None` for those it leaves alone.
type Losses<'a> = Vec<Option<FieldSet<'a>>>;

/// Whether nothing changes, which fields others hold with other values, and what would be left to the others.
fn contest<'a>(
    typing: Typing<'_>,
    (live, new): (&Value, &Value),
    entries: &[Entry<'a>],
    write: &Write<'_>,
) -> Result<(bool, Vec<Conflict>, Losses<'a>), ApplyError> {
    let same = same_but_entries(live, new);
    if same {
        return Ok((true, Vec::new(), vec![None; entries.len()]));
    }
    let failed = |e: String| ApplyError::Live(format!("failed to compare objects: {e}"));
    let changes = Changes::new(typing, (live, new), write).map_err(failed)?;
    let others = changes.elsewhere(entries, write).map_err(failed)?;
    let mut held: Vec<(&Entry<'a>, Vec<String>)> = Vec::new();
    let mut lost = Vec::with_capacity(entries.len());
    for entry in entries {
        let (removed, changed) = changes.at(&entry.api_version, &others);
        let taken = entry.set.intersection(changed);
        if !taken.is_empty() {
            held.push((entry, taken.paths()));
        }
        lost.push(Some(entry.set.difference(changed).difference(removed)));
    }
    held.sort_by(|(a, _), (b, _)| a.identity().cmp(&b.identity()));
    let conflicts = held.into_iter().flat_map(|(entry, paths)| {
        let manager = entry.describe();
        paths.into_iter().map(move |path| Conflict { manager: manager.clone(), path })
    });
    Ok((false, conflicts.collect(), lost))
}

/// Equal in everything but `metadata.managedFields`.
fn same_but_entries(a: &Value, b: &Value) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return a == b };
    let same_metadata = || match (a.get("metadata"), b.get("metadata")) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => same_without(a, b, "managedFields"),
        (a, b) => a == b,
    };
    same_without(a, b, "metadata") && same_metadata()
}

/// Whether two maps are equal but for one key, which either may have.
fn same_without(a: &Map<String, Value>, b: &Map<String, Value>, key: &str) -> bool {
    let size = |map: &Map<String, Value>| map.len() - usize::from(map.contains_key(key));
    let same = |(name, value): (&String, &Value)| name == key || b.get(name).is_some_and(|other| equal(value, other));
    size(a) == size(b) && a.iter().all(same)
}

/// Whether the entries are the same but for their times.
fn same_but_times(a: &Value, b: &Value) -> bool {
    let entries = |value: &'_ Value| value.as_array().map_or(0, Vec::len);
    let pairs = || a.as_array().into_iter().flatten().zip(b.as_array().into_iter().flatten());
    entries(a) == entries(b)
        && pairs().all(|(a, b)| match (a, b) {
            (Value::Object(a), Value::Object(b)) => same_without(a, b, "time"),
            _ => a == b,
        })
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", one.manager, one.path);
    }
    let mut lines = Vec::new();
    let mut last = None;
    for conflict in conflicts {
        if last != Some(&conflict.manager) {
            lines.push(format!("conflicts with {}:", conflict.manager));
            last = Some(&conflict.manager);
        }
        lines.push(format!("- {}", conflict.path));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

/// Names the object and what is wrong with it, as upstream does.
fn describe(config: &Value, errors: &[String]) -> String {
    let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let errors = match errors {
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let (version, kind) = (text("/apiVersion"), text("/kind"));
    let slash = if version.contains('/') { "" } else { "/" };
    format!("failed to create typed patch object ({namespace}/{name}; {slash}{version}, Kind={kind}): {errors}")
}

#[cfg(test)]
mod tests;
