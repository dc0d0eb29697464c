//! What the server records about a write in the object itself: managed fields.
//!
//! The bookkeeping is the schema's; this is where verbs meet it.

use federation_schema::managed::{self, Typing, Write};
use serde_json::Value;

use crate::call::Call;
use crate::kind;
use crate::object;
use crate::verb::write::{Intent, Part};

/// Records which fields this write has set.
pub(crate) fn track(call: &Call, old: Option<&Value>, new: &mut Value, intent: Intent<'_>) {
    let manager = call.field_manager(&intent.options.field_manager);
    let now = call.server.timestamp();
    let api_version = call.stored.api_version();
    let write = circumstances(call, intent.part, (&manager, &now, &api_version));
    let typing = Typing::new(call.stored.facts(), call.stored.ty);
    match old {
        Some(old) => managed::on_update(typing, old, new, &write),
        None => managed::on_create(typing, new, &write),
    }
}

/// The circumstances of a write: (manager, time, API version).
pub(crate) fn circumstances<'a>(
    call: &Call,
    part: Part,
    (manager, now, api_version): (&'a str, &'a str, &'a str),
) -> Write<'a> {
    let subresource = match part {
        Part::Main => "",
        Part::Status => "status",
        Part::Scale => "scale",
        Part::Finalize => "finalize",
    };
    Write { manager, subresource, api_version, now, has_status: kind::has_status(&call.kind) }
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
