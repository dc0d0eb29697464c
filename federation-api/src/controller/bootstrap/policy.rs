//! Mending the default policy: what is missing is added, what people added stays, what they protected is left alone.
//!
//! Pure comparison of a stored role or binding with the one of the table.
//! Source: k8s.io/component-helpers `auth/rbac/reconciliation`, without the removal of extra permissions.

use auth::bootstrap::AUTOUPDATE;
use auth::{PolicyRule, covers};
use federation_types::text::{annotation, list_at};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Write;

/// The write that mends `stored`; `None` when it says all that is wanted, or is protected.
pub(super) fn mended(stored: &Value, wanted: &Value) -> Option<Write> {
    if annotation(stored, AUTOUPDATE) == Some("false") {
        return None;
    }
    if wanted.get("roleRef").is_some() && stored["roleRef"] != wanted["roleRef"] {
        return Some(Write::Recreate(wanted.clone()));
    }
    let mut object = stored.clone();
    for map in ["annotations", "labels"] {
        add_entries(&mut object, wanted, map);
    }
    add_rules(&mut object, wanted);
    add_items(&mut object, wanted, "/subjects");
    if wanted.get("aggregationRule").is_some() {
        if object["aggregationRule"].is_null() {
            object["aggregationRule"] = json!({});
        }
        add_items(&mut object, wanted, "/aggregationRule/clusterRoleSelectors");
    } else if let Some(role) = object.as_object_mut() {
        // Nobody expects this role to gather what others hold.
        role.remove("aggregationRule");
    }
    (object != *stored).then_some(Write::Replace(object))
}

/// What somebody has set stays.
fn add_entries(object: &mut Value, wanted: &Value, map: &str) {
    for (key, value) in wanted["metadata"][map].as_object().into_iter().flatten() {
        let entry = &mut object["metadata"][map][key];
        if entry.is_null() {
            *entry = value.clone();
        }
    }
}

fn add_rules(object: &mut Value, wanted: &Value) {
    let read = |role: &Value| -> Vec<PolicyRule> {
        list_at(role, &["rules"]).filter_map(|rule| PolicyRule::deserialize(rule).ok()).collect()
    };
    let missing = covers(&read(object), &read(wanted));
    if missing.is_empty() {
        return;
    }
    if object["rules"].is_null() {
        object["rules"] = json!([]);
    }
    // A role without any rules gets the table's own, which read better than their parts.
    let whole = object["rules"].as_array().is_some_and(Vec::is_empty);
    let added = if whole { wanted["rules"].clone() } else { json!(missing) };
    if let (Some(rules), Value::Array(added)) = (object["rules"].as_array_mut(), added) {
        rules.extend(added);
    }
}

fn add_items(object: &mut Value, wanted: &Value, pointer: &str) {
    let Some(items) = wanted.pointer(pointer).and_then(Value::as_array) else { return };
    let Some((parent, field)) = pointer.rsplit_once('/') else { return };
    let Some(parent) = (if parent.is_empty() { Some(object) } else { object.pointer_mut(parent) }) else { return };
    if parent[field].is_null() {
        parent[field] = json!([]);
    }
    if let Some(stored) = parent[field].as_array_mut() {
        for item in items {
            if !stored.contains(item) {
                stored.push(item.clone());
            }
        }
    }
}
