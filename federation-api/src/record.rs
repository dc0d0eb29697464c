//! What the server records about a write in the object itself: managed fields.
//!
//! The bookkeeping is the schema's; this is where verbs meet it.

use serde_json::Value;

use crate::call::Call;
use crate::error::ApiError;
use crate::object;
use crate::verb::write::Intent;

/// Records which fields this write has set.
///
/// # Errors
/// 400 for managed fields that a request brings and that cannot be read.
pub(crate) fn track(_call: &Call, old: Option<&Value>, new: &mut Value, _intent: Intent<'_>) -> Result<(), ApiError> {
    match old {
        Some(old) => object::copy_meta(new, old, "managedFields"),
        None => object::set_meta(new, "managedFields", Value::Null),
    }
    Ok(())
}

/// Whether a write would change nothing but the times of managed fields.
pub(crate) fn is_unchanged(old: &Value, new: &Value) -> bool {
    if object::differs(old, new, &["metadata"]) {
        return false;
    }
    let (Some(old), Some(new)) = (old.get("metadata"), new.get("metadata")) else { return false };
    if object::differs(old, new, &["managedFields"]) {
        return false;
    }
    let entries = |meta: &Value| -> Vec<Value> {
        let list = meta.get("managedFields").and_then(Value::as_array);
        let timeless = |entry: &Value| {
            let mut entry = entry.clone();
            if let Some(map) = entry.as_object_mut() {
                map.remove("time");
            }
            entry
        };
        list.into_iter().flatten().map(timeless).collect()
    };
    entries(old) == entries(new)
}
