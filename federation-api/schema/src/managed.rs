//! Who owns which field: `metadata.managedFields`, kept with every write.
//! Pure: the time is passed in, and nothing here knows requests or storage.
//!
//! Source: `k8s.io/apimachinery/pkg/util/managedfields`.

mod changes;
pub mod element;
pub mod entries;
pub mod scale;
pub mod set;
pub mod typing;
pub(crate) mod walk;

use serde_json::{Map, Value};

use element::Element;

pub use entries::{Entry, Operation, decode, encode};
pub use set::FieldSet;
pub use typing::Typing;

pub(crate) use changes::{Changes, reconcile};

/// Update entries that an object may have; older ones are merged into `ANCIENT`.
pub const MAX_UPDATE_ENTRIES: usize = 10;
/// The manager that the oldest Update entries are merged into.
pub const ANCIENT: &str = "ancient-changes";
/// The manager of all that was there before the first apply to an untracked object.
pub const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// The circumstances of one write.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// `fieldManager`, or the user agent up to the first slash; empty counts as `unknown`.
    pub manager: &'a str,
    /// Empty for the main resource.
    pub subresource: &'a str,
    /// The version that the objects are in, e.g. `apps/v1`.
    pub api_version: &'a str,
    /// RFC 3339, UTC, whole seconds.
    pub now: &'a str,
    /// Paths that this write cannot change, so that it does not own them either.
    pub reset: &'a [&'a [&'a str]],
    /// How the objects look in other versions of the kind.
    pub versions: &'a dyn Versions,
}

/// The other versions of a kind.
pub trait Versions: std::fmt::Debug {
    /// The object in that version, and its typing there; none where the version is gone or never was.
    fn view(&self, object: &Value, api_version: &str) -> Option<(Value, Typing<'_>)>;
}

/// A kind that has no other versions.
#[derive(Debug, Clone, Copy)]
pub struct OneVersion;

impl Versions for OneVersion {
    fn view(&self, _: &Value, _: &str) -> Option<(Value, Typing<'_>)> {
        None
    }
}

impl<'a> Write<'a> {
    pub(crate) fn manager(&self) -> &'a str {
        if self.manager.is_empty() { "unknown" } else { self.manager }
    }

    /// Fields that this write cannot change and must not own.
    pub(crate) fn ignored(&self) -> FieldSet<'a> {
        FieldSet::of_fields(self.reset)
    }
}

/// Fields that nobody owns.
pub(crate) fn stripped() -> FieldSet<'static> {
    FieldSet::of_fields(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "clusterName"],
        &["metadata", "creationTimestamp"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "resourceVersion"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
    ])
}

/// Records the creator of a new object as the owner of its fields; what the request said about owners goes.
pub fn on_create(typing: Typing<'_>, new: &mut Value, write: &Write<'_>) {
    let nothing = Value::Object(Map::new());
    let tracked = track(typing, (&nothing, new), Vec::new(), write).map(|entries| encode(&entries));
    set_managed_fields(new, tracked.unwrap_or(Value::Null));
}

/// Records what an update, patch or status write changed.
///
/// The request may rewrite the entries (`managedFields` given), or clear them (`[]` or `[{}]`), but not through a
/// subresource; what cannot be understood leaves the live entries as they are.
pub fn on_update(typing: Typing<'_>, live: &Value, new: &mut Value, write: &Write<'_>) {
    let of_live = managed_fields(live);
    let of_request = managed_fields(new);
    let reset = write.subresource.is_empty() && is_reset(of_request);
    let from_live = || decode(of_live).unwrap_or_else(|_| Vec::new());
    let before = if reset {
        Vec::new()
    } else if write.subresource.is_empty() {
        match decode(of_request) {
            Ok(entries) if !entries.is_empty() => entries,
            _ => from_live(),
        }
    } else {
        from_live()
    };
    let encoded = if before.is_empty() {
        // An object that nobody tracks stays untracked until the first apply.
        Value::Null
    } else {
        match track(typing, (live, new), before, write) {
            Ok(entries) => encode(&entries),
            Err(_) => of_live.clone(),
        }
    };
    set_managed_fields(new, encoded);
}

/// The entries after the change from `live` to `new` by an Update of `write.manager`.
///
/// # Errors
/// Items of lists that cannot be told apart.
pub fn track<'a>(
    typing: Typing<'a>,
    (live, new): (&'a Value, &'a Value),
    mut entries: Vec<Entry<'a>>,
    write: &Write<'a>,
) -> Result<Vec<Entry<'a>>, String> {
    let changes = Changes::new(typing, (live, new), write)?;
    reconcile(&mut entries, typing, live, write);
    let others = changes.elsewhere(&entries, write)?;
    for entry in &mut entries {
        let (removed, changed) = changes.at(&entry.api_version, &others);
        entry.set = entry.set.difference(changed).difference(removed);
    }
    let owned = changes.changed.difference(&stripped());
    if !owned.is_empty() {
        let mut entry = Entry::of(write, Operation::Update, owned);
        if let Some(place) = entries.iter().position(|old| old.same_identity(&entry)) {
            entry.set = entry.set.union(&entries.swap_remove(place).set);
        }
        entries.push(entry);
    }
    entries.retain(|entry| !entry.set.is_empty());
    entries::cap(&mut entries);
    Ok(entries)
}

/// `metadata.managedFields`, or null.
pub fn managed_fields(object: &Value) -> &Value {
    object.get("metadata").and_then(|metadata| metadata.get("managedFields")).unwrap_or(&Value::Null)
}

/// One level of a `fieldsV1` object in the order of its path elements, as structured-merge-diff writes it.
///
/// Depth is bounded where the object is decoded.
pub fn in_order(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut all: Vec<(&String, &Value)> = fields.iter().collect();
    // Names of fields stand in byte order already.
    if !all.iter().all(|(key, _)| key.starts_with("f:") || *key == ".") {
        all.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)));
    }
    all
}

/// The place itself first, then its elements, then what nobody knows.
fn rank(key: &str) -> (u8, Option<Element<'_>>) {
    match Element::parse(key) {
        Ok(Some(element)) => (1, Some(element)),
        _ if key == "." => (0, None),
        _ => (2, None),
    }
}

/// Sets `metadata.managedFields`; null or empty removes it.
pub fn set_managed_fields(object: &mut Value, entries: Value) {
    let Value::Object(object) = object else { return };
    let is_empty = entries.as_array().is_none_or(Vec::is_empty);
    match object.get_mut("metadata") {
        Some(Value::Object(metadata)) if is_empty => {
            metadata.remove("managedFields");
        }
        Some(Value::Object(metadata)) => {
            metadata.insert("managedFields".to_owned(), entries);
        }
        _ if is_empty => {}
        _ => {
            let metadata = Map::from_iter([("managedFields".to_owned(), entries)]);
            object.insert("metadata".to_owned(), Value::Object(metadata));
        }
    }
}

fn is_reset(entries: &Value) -> bool {
    match entries.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(one)]) => one.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
