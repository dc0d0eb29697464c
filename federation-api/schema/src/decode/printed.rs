//! Objects that Go prints though they are empty: fields that are no pointers.
//!
//! A JSON patch may add below them, so they are there while one is applied.

use serde_json::{Map, Value, json};

use crate::facts::{Facts, Field, Shape, TypeId};

/// Puts the empty objects in.
pub fn print_empty(facts: &Facts, ty: TypeId, value: &mut Value) {
    match (facts.shape(ty), value) {
        (Shape::Struct(of), Value::Object(map)) => {
            for field in of.fields.iter().filter(|field| is_printed(facts, field)) {
                map.entry(field.name.to_string()).or_insert_with(|| json!({}));
            }
            for (name, value) in map.iter_mut() {
                if let Some(field) = of.field(name) {
                    print_empty(facts, field.ty, value);
                }
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            items.iter_mut().for_each(|item| print_empty(facts, list.item, item));
        }
        (Shape::Map { value: of, .. }, Value::Object(map)) => {
            map.values_mut().for_each(|value| print_empty(facts, *of, value));
        }
        _ => {}
    }
}

/// Takes those at the top out again that are still empty and were not there `before`: the others are always printed.
pub fn drop_printed(facts: &Facts, ty: TypeId, value: &mut Value, before: &Value) {
    let (Shape::Struct(of), Value::Object(map)) = (facts.shape(ty), value) else { return };
    map.retain(|name, value| {
        let empty = value.as_object().is_some_and(Map::is_empty);
        let printed = of.field(name).is_some_and(|field| is_printed(facts, field));
        !(empty && printed) || before.get(name).is_some()
    });
}

fn is_printed(facts: &Facts, field: &Field) -> bool {
    field.default == "{}" && matches!(facts.shape(field.ty), Shape::Struct(_))
}

#[cfg(test)]
mod tests {
    use super::{drop_printed, print_empty};
    use crate::facts::kubernetes;
    use serde_json::json;

    /// Protocol: P2
    #[test]
    fn what_go_prints_is_there_and_goes() {
        let facts = kubernetes();
        let ty = facts.by_kind("apps", "v1", "Deployment").expect("a kind").ty;
        let before =
            json!({"metadata": {"name": "d"}, "spec": {"template": {"spec": {"containers": [{"name": "c"}]}}}});
        let mut object = before.clone();
        print_empty(facts, ty, &mut object);
        assert_eq!(object["status"], json!({}));
        assert_eq!(object["spec"]["strategy"], json!({}));
        assert_eq!(object["spec"]["template"]["spec"]["containers"][0]["resources"], json!({}));
        let mut changed = object.clone();
        changed["status"]["replicas"] = json!(1);
        drop_printed(facts, ty, &mut changed, &before);
        assert_eq!(changed["status"], json!({"replicas": 1}));
        drop_printed(facts, ty, &mut object, &before);
        assert!(object.get("status").is_none());
    }
}
