//! Who last changed a template, placement or override, in an annotation that no request can set.
//!
//! Member writes are judged by it: whoever could forge it could write to members in another's name.

use auth::UserInfo;
use federation_types::label::{AUTHOR, GROUP};
use serde_json::{Value, json};

use super::Review;
use crate::call::Call;
use crate::object;

/// Our kinds that decide what members get.
const DECIDING: &[&str] = &["placements", "clusterplacements", "overrides", "clusteroverrides"];

/// Puts the author's annotation to what it has to be.
///
/// Of users it names the writer. Writes of our own components leave it as it was, and so does a status; but annotations
/// that come with a status decide like any others.
pub(crate) fn admit(call: &mut Call, new: &mut Value, review: &Review<'_>) {
    if !call.server.is_hub {
        return;
    }
    keep(call, review.old, new);
    let authored = !call.server.is_component(&call.user) && decides(call, new);
    if authored && review.old.is_none_or(|old| changes(old, new)) {
        object::set_annotation(new, AUTHOR, Some(&author(&call.user)));
    }
}

/// Puts back the author that stands, whatever the request says: nobody sets it, so nobody owns it.
pub(crate) fn keep(call: &mut Call, old: Option<&Value>, new: &mut Value) {
    if !call.server.is_hub {
        return;
    }
    let before = old.and_then(|old| object::annotation(old, AUTHOR)).map(str::to_owned);
    let sent = object::annotation(new, AUTHOR).map(str::to_owned);
    if sent.is_some() && sent != before {
        call.warn(format!("metadata.annotations[{AUTHOR}]: written by the server alone, the value sent is ignored"));
    }
    object::set_annotation(new, AUTHOR, before.as_deref());
}

/// The annotation's text: the user as JSON, without what only its credential needs.
#[must_use]
pub(crate) fn author(user: &UserInfo) -> String {
    json!({"username": user.name, "uid": user.uid, "groups": user.groups}).to_string()
}

fn decides(call: &Call, new: &Value) -> bool {
    let own = call.kind.group == GROUP && DECIDING.contains(&&*call.kind.plural);
    own || call.server.placement.is_template(new)
}

/// Whether a write changes what members get: everything but the bookkeeping of the server.
fn changes(old: &Value, new: &Value) -> bool {
    if object::differs(old, new, &["metadata", "status"]) {
        return true;
    }
    let none = Value::Null;
    let of = |object: &Value| object.get("metadata").cloned().unwrap_or(none.clone());
    object::differs(&of(old), &of(new), &["managedFields", "resourceVersion", "generation"])
}
