//! What a status says before anybody reported one: the fields that a Go server prints whatever they hold.
//! Read from the published schema, so no kind is named here.

use serde_json::{Map, Value};

use super::{MAX_DEPTH, type_of};
use crate::facts::{Facts, Field, Shape, TypeId, kubernetes};

/// Completes the status of an object of a built-in kind; kinds that print none until it is reported stay without.
pub fn set_status(object: &mut Value) {
    let facts = kubernetes();
    let Some(field) = type_of(object).and_then(|ty| facts.field(ty, "status")) else { return };
    if let Some(map) = object.as_object_mut() {
        complete(facts, field, map, MAX_DEPTH);
    }
}

/// A field with a published default cannot be left out; an object among them is completed in turn.
fn complete(facts: &Facts, field: &Field, within: &mut Map<String, Value>, depth: usize) {
    if field.default.is_empty() || depth == 0 {
        return;
    }
    let empty = within.get(&*field.name).is_none_or(Value::is_null);
    if empty && let Ok(zero) = serde_json::from_str(&field.default) {
        within.insert(field.name.to_string(), zero);
    }
    if let Some(Value::Object(map)) = within.get_mut(&*field.name) {
        below(facts, field.ty, map, depth - 1);
    }
}

fn below(facts: &Facts, ty: TypeId, map: &mut Map<String, Value>, depth: usize) {
    if let Shape::Struct(of) = facts.shape(ty) {
        for field in &of.fields {
            complete(facts, field, map, depth);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::set_status;

    #[test]
    fn a_status_is_what_a_go_server_prints_of_an_empty_one() {
        let none = || Value::Null;
        let cases = [
            ("apps/v1", "Deployment", none(), json!({})),
            ("apps/v1", "ReplicaSet", none(), json!({"replicas": 0})),
            ("apps/v1", "ReplicaSet", json!({"readyReplicas": 1}), json!({"readyReplicas": 1, "replicas": 0})),
            ("apps/v1", "StatefulSet", json!({"replicas": 2}), json!({"replicas": 2, "availableReplicas": 0})),
            ("v1", "Service", none(), json!({"loadBalancer": {}})),
            (
                "policy/v1",
                "PodDisruptionBudget",
                none(),
                json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}),
            ),
            ("v1", "ConfigMap", none(), none()),
            ("fedgate.dev/v1alpha1", "Placement", none(), none()),
            ("example.com/v1", "Greeting", none(), none()),
        ];
        for (version, kind, status, expected) in cases {
            let mut object = json!({"apiVersion": version, "kind": kind});
            if !status.is_null() {
                object["status"] = status;
            }
            set_status(&mut object);
            assert_eq!(object.get("status").unwrap_or(&Value::Null), &expected, "{kind}");
        }
    }
}
