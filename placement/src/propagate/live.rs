//! What is known of one object in a member: the projection that watches keep of it.

use federation_types::{Gvk, label, text};
use serde_json::Value;

use crate::interpret;
use crate::render::content_hash;

/// One object in a member that bears our hub's label.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Live {
    pub uid: String,
    pub resource_version: String,
    /// UID of the hub that owns it; empty where none does.
    pub hub: String,
    pub template: String,
    pub epoch: u64,
    /// Hash of the content that was applied last.
    pub hash: String,
    /// Hash of the fields that we own, as the member recorded them.
    pub owned: String,
    pub deleting: bool,
    pub summary: Option<Value>,
}

/// What the member says about an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// Nobody has looked, or nobody could.
    Unknown,
    /// No object of this name bears our label; there may be a foreign one.
    NotOurs,
    /// There is no object of this name at all.
    Absent,
    There(std::sync::Arc<Live>),
}

impl Live {
    /// Projects an object of a member.
    #[must_use]
    pub fn of(object: &Value, manager: &str) -> Self {
        let gvk: Gvk = interpret::gvk(object);
        let label = |key| text::label(object, key).unwrap_or("").to_owned();
        Self {
            uid: text::uid(object).to_owned(),
            resource_version: text::str_at(object, &["metadata", "resourceVersion"]).to_owned(),
            hub: label(label::HUB),
            template: label(label::TEMPLATE_UID),
            // Something that is no number was not written by a hub: it counts as the oldest.
            epoch: text::annotation(object, label::EPOCH).and_then(|e| e.parse().ok()).unwrap_or(0),
            hash: text::annotation(object, label::HASH).unwrap_or("").to_owned(),
            owned: owned(object, manager),
            deleting: text::at(object, &["metadata", "deletionTimestamp"]).is_some(),
            summary: interpret::summary(&gvk, object),
        }
    }
}

/// Hash of our entry in `managedFields`; empty where there is none.
fn owned(object: &Value, manager: &str) -> String {
    text::list_at(object, &["metadata", "managedFields"])
        .find(|e| text::str_at(e, &["manager"]) == manager && text::str_at(e, &["operation"]) == "Apply")
        .and_then(|entry| entry.get("fieldsV1"))
        .map(|fields| content_hash(fields)[..16].to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Live;

    #[test]
    fn a_field_taken_over_changes_what_we_own() {
        let entry = |fields: serde_json::Value| json!({"manager": "fedgate-h", "operation": "Apply", "fieldsV1": fields, "time": "t"});
        let object = |entry: serde_json::Value| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
                "uid": "u", "resourceVersion": "5", "labels": {"fedgate.dev/hub": "h", "fedgate.dev/template-uid": "t"},
                "annotations": {"fedgate.dev/epoch": "7", "fedgate.dev/hash": "x"},
                "managedFields": [{"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {}}, entry],
            }})
        };
        let whole = object(entry(json!({"f:data": {"f:a": {}, "f:b": {}}})));
        let live = Live::of(&whole, "fedgate-h");
        assert_eq!((live.epoch, live.hub.as_str(), live.template.as_str(), live.hash.as_str()), (7, "h", "t", "x"));
        let less = Live::of(&object(entry(json!({"f:data": {"f:a": {}}}))), "fedgate-h");
        assert_ne!(live.owned, less.owned);
        assert_eq!(Live::of(&whole, "fedgate-other").owned, "");
    }
}
