//! Objects that Go prints though they are empty: fields that are no pointers.
//!
//! A JSON patch may add below them, so they are there while one is applied, and nowhere else.

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

/// Takes those out again that are still empty and were not there `before`.
pub fn drop_printed(facts: &Facts, ty: TypeId, value: &mut Value, before: Option<&Value>) {
    match (facts.shape(ty), value) {
        (Shape::Struct(of), Value::Object(map)) => {
            for (name, value) in map.iter_mut() {
                if let Some(field) = of.field(name) {
                    drop_printed(facts, field.ty, value, before.and_then(|before| before.get(name)));
                }
            }
            map.retain(|name, value| {
                let empty = value.as_object().is_some_and(Map::is_empty);
                let printed = of.field(name).is_some_and(|field| is_printed(facts, field));
                !(empty && printed) || before.is_some_and(|before| before.get(name).is_some())
            });
        }
        (Shape::List(list), Value::Array(items)) => {
            // Which item was which is not known any more.
            items.iter_mut().for_each(|item| drop_printed(facts, list.item, item, None));
        }
        (Shape::Map { value: of, .. }, Value::Object(map)) => {
            for (name, value) in map.iter_mut() {
                drop_printed(facts, *of, value, before.and_then(|before| before.get(name)));
            }
        }
        _ => {}
    }
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
        object["status"]["replicas"] = json!(1);
        drop_printed(facts, ty, &mut object, Some(&before));
        let mut expected = before.clone();
        expected["status"] = json!({"replicas": 1});
        assert_eq!(object, expected);
    }
}
