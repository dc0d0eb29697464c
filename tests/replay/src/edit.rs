//! Changes on the way from one object to another, and how each kind of patch says them.

use serde_json::{Map, Value, json};

/// One step down.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Field(String),
    /// The item of a list whose field has that value.
    Item(&'static str, Value),
}

/// Sets or removes what is at a path.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    pub path: Vec<Step>,
    pub value: Option<Value>,
}

/// Lists whose items strategic merge patches tell apart: name of the list, key.
const KEYED: &[(&str, &str)] = &[
    ("containers", "name"),
    ("initContainers", "name"),
    ("env", "name"),
    ("volumes", "name"),
    ("volumeMounts", "mountPath"),
    ("imagePullSecrets", "name"),
    ("secrets", "name"),
    ("conditions", "type"),
    ("addresses", "type"),
    ("topologySpreadConstraints", "topologyKey"),
    ("hostAliases", "ip"),
    ("ownerReferences", "uid"),
];

/// Fields of the metadata that requests change.
const METADATA: &[&str] = &["labels", "annotations", "finalizers", "ownerReferences"];

/// The key by which a strategic merge patch tells a list's items apart.
pub fn key_of(list: &str, items: &[Value]) -> Option<&'static str> {
    if list == "ports" {
        let first = items.first()?;
        return match (first.get("containerPort"), first.get("port"), first.get("targetPort")) {
            (Some(_), ..) => Some("containerPort"),
            (None, Some(_), Some(_)) => Some("port"),
            _ => None,
        };
    }
    KEYED.iter().find(|(name, _)| *name == list).map(|(_, key)| *key)
}

/// Every single change that leads from `live` towards `target`.
pub fn edits(live: &Value, target: &Value) -> Vec<Edit> {
    let mut out = Vec::new();
    let (Some(a), Some(b)) = (live.as_object(), target.as_object()) else { return out };
    let no_metadata = json!({});
    for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
        let path = vec![Step::Field(name.clone())];
        match name.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => {
                let (a, b) = (a.get(name).unwrap_or(&no_metadata), b.get(name).unwrap_or(&no_metadata));
                for field in METADATA {
                    let mut path = path.clone();
                    path.push(Step::Field((*field).to_owned()));
                    differ(a.get(field), b.get(field), path, &mut out);
                }
            }
            _ => differ(a.get(name), b.get(name), path, &mut out),
        }
    }
    out
}

fn differ(live: Option<&Value>, target: Option<&Value>, path: Vec<Step>, out: &mut Vec<Edit>) {
    match (live, target) {
        (None, None) => {}
        (Some(a), Some(b)) if a == b => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                let mut path = path.clone();
                path.push(Step::Field(name.clone()));
                differ(a.get(name), b.get(name), path, out);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            let list = path.iter().rev().find_map(|step| match step {
                Step::Field(name) => Some(name.as_str()),
                Step::Item(..) => None,
            });
            let Some(key) = list.and_then(|list| key_of(list, a).or_else(|| key_of(list, b))) else {
                out.push(Edit { path, value: target.cloned() });
                return;
            };
            let find = |items: &[Value], value: &Value| items.iter().find(|item| item.get(key) == Some(value)).cloned();
            for item in a.iter().chain(b) {
                let Some(value) = item.get(key) else { continue };
                let mut path = path.clone();
                path.push(Step::Item(key, value.clone()));
                let (a, b) = (find(a, value), find(b, value));
                if a.as_ref() != Some(item) && a.is_some() {
                    continue;
                }
                differ(a.as_ref(), b.as_ref(), path, out);
            }
        }
        _ => out.push(Edit { path, value: target.cloned() }),
    }
}

impl Edit {
    /// Makes the change.
    pub fn run(&self, object: &mut Value) {
        let Some((last, parents)) = self.path.split_last() else { return };
        let mut at = object;
        for step in parents {
            at = match step {
                Step::Field(name) => {
                    let Some(map) = at.as_object_mut() else { return };
                    map.entry(name.clone()).or_insert_with(|| json!({}))
                }
                Step::Item(key, value) => {
                    let items = at.as_array_mut().into_iter().flatten();
                    let Some(item) = items.into_iter().find(|item| item.get(*key) == Some(value)) else { return };
                    item
                }
            };
        }
        match (last, at, &self.value) {
            (Step::Field(name), Value::Object(map), Some(value)) => {
                map.insert(name.clone(), value.clone());
            }
            (Step::Field(name), Value::Object(map), None) => {
                map.remove(name);
            }
            (Step::Item(key, id), Value::Array(list), value) => {
                let place = list.iter().position(|item| item.get(*key) == Some(id));
                match (place, value) {
                    (Some(place), Some(value)) => list[place] = value.clone(),
                    (None, Some(value)) => list.push(value.clone()),
                    (Some(place), None) => {
                        list.remove(place);
                    }
                    (None, None) => {}
                }
            }
            _ => {}
        }
    }

    /// As one operation of a JSON patch to `object`; none where a parent is missing.
    pub fn operation(&self, object: &Value) -> Option<Value> {
        let mut pointer = String::new();
        let mut at = Some(object);
        for step in &self.path {
            match step {
                Step::Field(name) => {
                    at?;
                    pointer.push_str(&format!("/{}", name.replace('~', "~0").replace('/', "~1")));
                    at = at.and_then(|at| at.get(name));
                }
                Step::Item(key, value) => {
                    let list = at?.as_array()?;
                    let place = list.iter().position(|item| item.get(*key) == Some(value));
                    pointer.push_str(&place.map_or_else(|| "/-".to_owned(), |place| format!("/{place}")));
                    at = place.and_then(|place| list.get(place));
                }
            }
        }
        match (&self.value, at) {
            (Some(value), Some(_)) => Some(json!({"op": "replace", "path": pointer, "value": value})),
            (Some(value), None) => Some(json!({"op": "add", "path": pointer, "value": value})),
            (None, Some(_)) => Some(json!({"op": "remove", "path": pointer})),
            (None, None) => None,
        }
    }

    /// Adds the change to a strategic merge patch.
    pub fn strategic(&self, patch: &mut Value) {
        let mut at = patch;
        let end = self.path.len();
        for (i, step) in self.path.iter().enumerate() {
            let last = i + 1 == end;
            match step {
                Step::Field(name) => {
                    let Some(map) = at.as_object_mut() else { return };
                    let next = match self.path.get(i + 1) {
                        Some(Step::Item(..)) => json!([]),
                        Some(Step::Field(_)) => json!({}),
                        None => self.value.clone().unwrap_or(Value::Null),
                    };
                    if last {
                        map.insert(name.clone(), next);
                        return;
                    }
                    at = map.entry(name.clone()).or_insert(next);
                }
                Step::Item(key, value) => {
                    let Some(list) = at.as_array_mut() else { return };
                    let place = list.iter().position(|item| item.get(*key) == Some(value));
                    let whole = match (&self.value, last) {
                        (Some(item), true) => item.clone(),
                        (None, true) => json!({"$patch": "delete", *key: value}),
                        (_, false) => json!({*key: value}),
                    };
                    let place = place.unwrap_or_else(|| {
                        list.push(whole.clone());
                        list.len() - 1
                    });
                    if last {
                        list[place] = whole;
                        return;
                    }
                    at = &mut list[place];
                }
            }
        }
    }
}

/// The merge patch (RFC 7386) from one object to another.
pub fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Some(a), Some(b)) = (from.as_object(), to.as_object()) else { return to.clone() };
    let mut patch = Map::new();
    for (name, value) in b {
        match a.get(name) {
            Some(old) if old == value => {}
            Some(old) if old.is_object() && value.is_object() => {
                patch.insert(name.clone(), merge_patch(old, value));
            }
            _ => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    for name in a.keys().filter(|name| !b.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    Value::Object(patch)
}
