//! Pods as controllers see them: owners, readiness, and new ones from a template.
//!
//! Reads objects only.

use federation_types::text;
use serde_json::{Value, json};

/// Kind and name of the controlling owner.
pub fn controller_of(object: &Value) -> Option<(&str, &str)> {
    let owner = text::list_at(object, &["metadata", "ownerReferences"])
        .find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))?;
    Some((text::str_at(owner, &["kind"]), text::str_at(owner, &["name"])))
}

/// Whether `uid` is the controlling owner's.
pub fn is_controlled_by(object: &Value, uid: &str) -> bool {
    text::list_at(object, &["metadata", "ownerReferences"])
        .any(|o| o.get("controller").and_then(Value::as_bool) == Some(true) && text::str_at(o, &["uid"]) == uid)
}

/// Not being deleted and not ended.
pub fn is_active(pod: &Value) -> bool {
    text::str_at(pod, &["metadata", "deletionTimestamp"]).is_empty()
        && !matches!(text::str_at(pod, &["status", "phase"]), "Succeeded" | "Failed")
}

/// Active, with the condition Ready.
pub fn is_ready(pod: &Value) -> bool {
    is_active(pod)
        && text::list_at(pod, &["status", "conditions"])
            .any(|c| text::str_at(c, &["type"]) == "Ready" && text::str_at(c, &["status"]) == "True")
}

/// The reference that makes `owner` the controller of what it creates.
pub fn owner_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": text::name(owner), "uid": text::uid(owner),
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// A pod of `owner` from its `spec.template`; `name` ending in a dash is a prefix for a generated one.
pub fn from_template(owner: &Value, name: &str, labels: &[(&str, &str)]) -> Value {
    let template = &owner["spec"]["template"];
    let mut metadata = json!({"namespace": text::namespace(owner), "ownerReferences": [owner_reference(owner)]});
    metadata[if name.ends_with('-') { "generateName" } else { "name" }] = name.into();
    for key in ["labels", "annotations"] {
        if let Some(found) = text::at(template, &["metadata", key]) {
            metadata[key] = found.clone();
        }
    }
    for (key, value) in labels {
        metadata["labels"][*key] = (*value).into();
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

/// A short stable hash of a pod template, in the alphabet that names use.
pub fn template_hash(template: &Value) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text::without_empty(template).to_string().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut text = String::new();
    for _ in 0..10 {
        text.push(char::from(ALPHABET[(hash % 27) as usize]));
        hash /= 27;
    }
    text
}

/// `spec.replicas`, 1 where it is not set.
pub fn wanted(object: &Value) -> usize {
    text::int_at(object, &["spec", "replicas"]).map_or(1, |n| usize::try_from(n).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{from_template, is_ready, template_hash};

    #[test]
    fn a_pod_carries_the_template_and_its_owner() {
        let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": "web-1", "namespace": "d", "uid": "u"},
            "spec": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}}});
        let pod = from_template(&owner, "web-1-", &[("x", "y")]);
        assert_eq!(pod["metadata"]["generateName"], "web-1-");
        assert_eq!(pod["metadata"]["labels"], json!({"app": "web", "x": "y"}));
        assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], "u");
        assert!(!is_ready(&pod));
    }

    #[test]
    fn the_hash_tells_templates_apart() {
        assert_eq!(template_hash(&json!({"a": 1})), template_hash(&json!({"a": 1})));
        assert_ne!(template_hash(&json!({"a": 1})), template_hash(&json!({"a": 2})));
    }
}
