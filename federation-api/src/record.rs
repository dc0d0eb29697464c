//! What the server records about a write in the object itself: managed fields.
//!
//! The bookkeeping is the schema's; this is where verbs meet it. It runs on what the request says, before admission and
//! before what the server itself decides: nobody owns what the server fills in.

use std::fmt;

use federation_schema::facts::TypeId;
use federation_schema::managed::scale::{SCALE_VERSION, to_parent, to_scale};
use federation_schema::managed::{self, Entry, Typing, Versions, Write};
use federation_schema::structural::meta::Malformed;
use federation_schema::{decode, defaults};
use serde_json::Value;

use crate::admission::{birth, namespaces};
use crate::call::Call;
use crate::convert;
use crate::kinds::Kind;
use crate::object;
use crate::reset;
use crate::verb::write::{Intent, Part};

/// Where objects of the request's kind have their replicas.
fn replicas(call: &Call) -> Vec<&str> {
    let custom = call.kind.custom().and_then(|custom| custom.version().shape.scale());
    let path = custom.map_or(".spec.replicas", |scale| &scale.spec_replicas);
    path.strip_prefix('.').unwrap_or(path).split('.').collect()
}

/// The other served versions of a kind that entries of an object name.
pub(crate) struct Served {
    stored: Kind,
    kinds: Vec<Kind>,
}

impl Served {
    /// The versions in which the owners of `live` have written.
    pub(crate) fn of(call: &Call, live: Option<&Value>) -> Self {
        let entries = live.map_or(&Value::Null, managed::managed_fields).as_array();
        let mut kinds: Vec<Kind> = Vec::new();
        for entry in entries.into_iter().flatten() {
            let version = entry.get("apiVersion").and_then(Value::as_str).unwrap_or("");
            if version == call.kind.api_version() || kinds.iter().any(|known| known.api_version() == version) {
                continue;
            }
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let found = call.server.kinds.find(group, version, &call.kind.plural);
            let (stored, custom) = (call.stored.api_version(), call.kind.custom().is_some());
            let same = |kind: &Kind| kind.stored().api_version() == stored || custom && kind.group == call.kind.group;
            kinds.extend(found.filter(same));
        }
        Self { stored: call.stored.clone(), kinds }
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds.iter().map(|kind| kind.api_version())).finish()
    }
}

impl Versions for Served {
    fn view(&self, object: &Value, api_version: &str) -> Option<(Value, Typing<'_>)> {
        let to = self.kinds.iter().find(|kind| kind.api_version() == api_version);
        let own = object.get("apiVersion").and_then(Value::as_str).unwrap_or("");
        let mut view = object.clone();
        if let Some((kind, custom)) = to.and_then(|kind| Some((kind, kind.custom()?))) {
            // Versions of a custom kind have the same fields, but for what a webhook does to them.
            custom.version().shape.coerce(&mut view, Malformed::Drop).ok()?;
            return Some((view, Typing::new(kind.facts(), kind.ty)));
        }
        if let Some(from) = self.kinds.iter().find(|kind| kind.api_version() == own) {
            convert::to_stored(from, &self.stored, &mut view);
        }
        let to = to.or_else(|| (self.stored.api_version() == api_version).then_some(&self.stored))?;
        convert::from_stored(to, &self.stored, &mut view);
        Some((view, Typing::new(to.facts(), to.ty)))
    }
}

/// Records which fields this write has set; `new` is what the request says, in the stored version.
pub(crate) fn track(call: &Call, old: Option<&Value>, new: &mut Value, intent: Intent<'_>) {
    let manager = call.field_manager(&intent.options.field_manager);
    let now = call.server.timestamp();
    let api_version = call.kind.api_version();
    // Decoding an object sets what this server defaults: whoever leaves it out says so, too.
    defaults::fold_string_data(new);
    defaults::set_defaults(new);
    namespaces::default_label(call, new);
    birth::uncounted(call, new);
    let served = Served::of(call, old);
    let write = circumstances(call, intent.part, (&manager, &now, &api_version), &served);
    let typing = Typing::new(call.kind.facts(), call.kind.ty);
    if !convert::is_view(&call.kind) {
        match old {
            Some(old) => managed::on_update(typing, old, new, &write),
            None => managed::on_create(typing, new, &write),
        }
        return;
    }
    let shown = |object: &Value| {
        let mut shown = object.clone();
        convert::from_stored(&call.kind, &call.stored, &mut shown);
        shown
    };
    let mut seen = shown(new);
    match old {
        Some(old) => managed::on_update(typing, &shown(old), &mut seen, &write),
        None => managed::on_create(typing, &mut seen, &write),
    }
    managed::set_managed_fields(new, managed::managed_fields(&seen).clone());
}

/// The circumstances of a write: (manager, time, API version).
pub(crate) fn circumstances<'a>(
    call: &Call,
    part: Part,
    (manager, now, api_version): (&'a str, &'a str, &'a str),
    versions: &'a Served,
) -> Write<'a> {
    let subresource = match part {
        Part::Main => "",
        Part::Status if call.info.subresource == "approval" => "approval",
        Part::Status => "status",
        Part::Scale => "scale",
        Part::Finalize => "finalize",
    };
    let reset = reset::reset_fields(&call.kind, part, &call.info.subresource);
    Write { manager, subresource, api_version, now, reset, versions }
}

/// One object's owners, seen through its Scale.
pub(crate) struct Scaling<'a> {
    pub(crate) old: &'a Value,
    /// The Scales before and after.
    pub(crate) scales: (&'a Value, &'a Value),
    pub(crate) ty: TypeId,
}

/// The entries of an object as those of its Scale, for a server-side apply to that.
pub(crate) fn scale_entries(call: &Call, old: &Value) -> Value {
    let entries = managed::decode(managed::managed_fields(old)).unwrap_or_else(|_| Vec::new());
    managed::encode(&to_scale(&entries, &call.stored.api_version(), &replicas(call)))
}

/// Puts what a Scale's entries have become into those of the object.
pub(crate) fn adopt_scale(call: &Call, old: &Value, new: &mut Value, scale: &[Entry<'_>]) {
    let entries = managed::decode(managed::managed_fields(old)).unwrap_or_else(|_| Vec::new());
    let api_version = call.stored.api_version();
    let path = replicas(call);
    let merged = managed::encode(&to_parent(entries, scale.to_vec(), &api_version, &path));
    managed::set_managed_fields(new, merged);
}

/// Records an update of `/scale` in the object that it scales.
pub(crate) fn track_scale(call: &Call, scaling: &Scaling<'_>, new: &mut Value, intent: Intent<'_>) {
    let manager = call.field_manager(&intent.options.field_manager);
    let now = call.server.timestamp();
    let served = Served { stored: call.stored.clone(), kinds: Vec::new() };
    let write = circumstances(call, Part::Scale, (&manager, &now, SCALE_VERSION), &served);
    let before = scale_entries(call, scaling.old);
    let typing = Typing::new(call.stored.facts(), scaling.ty);
    let mut scales = (scaling.scales.0.clone(), scaling.scales.1.clone());
    for scale in [&mut scales.0, &mut scales.1] {
        // No replicas are absent in Go's form.
        decode::drop_empty(call.stored.facts(), scaling.ty, scale);
    }
    let Ok(entries) = managed::decode(&before) else { return };
    let after = match entries.is_empty() {
        // Nobody tracks the replicas, so nobody starts to.
        true => Ok(entries),
        false => managed::track(typing, (&scales.0, &scales.1), entries, &write),
    };
    match after {
        Ok(after) => adopt_scale(call, scaling.old, new, &after),
        Err(_) => managed::set_managed_fields(new, managed::managed_fields(scaling.old).clone()),
    }
}

/// Whether a write would change nothing but the times of managed fields.
pub(crate) fn is_unchanged(old: &Value, new: &Value) -> bool {
    if object::differs(old, new, &["metadata"]) {
        return false;
    }
    let (Some(old), Some(new)) = (old.get("metadata"), new.get("metadata")) else { return false };
    !object::differs(old, new, &["managedFields"]) && timeless(old) == timeless(new)
}

fn timeless(meta: &Value) -> Vec<Value> {
    let list = meta.get("managedFields").and_then(Value::as_array);
    let without_time = |entry: &Value| {
        let mut entry = entry.clone();
        if let Some(map) = entry.as_object_mut() {
            map.remove("time");
        }
        entry
    };
    list.into_iter().flatten().map(without_time).collect()
}
