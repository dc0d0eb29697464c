//! Random requests: each moves the live object towards some variant of its kind, in one of many ways to say so.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::chance::Chance;
use crate::edit::{Edit, edits, key_of, merge_patch};
use crate::kind::Kind;
use crate::session::{NAME, Op};

const MANAGERS: &[&str] = &["kubectl", "helm", "argo", "team-a", "kubectl-client-side-apply"];
const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// Makes up the requests of one sequence.
pub struct Generator<'k> {
    kind: &'k Kind,
    chance: Chance,
    /// What each manager applied last.
    applied: BTreeMap<&'static str, Value>,
    /// Who applied the whole object at its birth: leaving out what has to be there is another test.
    whole: Vec<&'static str>,
}

impl<'k> Generator<'k> {
    pub fn new(kind: &'k Kind, seed: u64) -> Self {
        Generator { kind, chance: Chance::new(seed), applied: BTreeMap::new(), whole: Vec::new() }
    }

    /// The next request for an object that looks like `live`; null if there is none yet.
    pub fn next(&mut self, live: &Value) -> Op {
        if live.is_null() {
            return self.birth();
        }
        if self.chance.percent(12) {
            return self.wrong(live);
        }
        match self.chance.below(100) {
            0..15 => self.json_patch(live),
            15..27 => self.merge(live),
            27..47 => self.strategic(live),
            47..77 => self.apply(live),
            77..87 => self.put(live),
            87..95 if !self.kind.statuses.is_empty() => self.status(live),
            _ if self.kind.scales => self.scale(),
            _ => self.apply(live),
        }
    }

    fn manager(&mut self) -> &'static str {
        MANAGERS[self.chance.below(MANAGERS.len())]
    }

    /// `fieldManager=…` or nothing, sometimes with other options.
    fn query(&mut self) -> String {
        let mut query = match self.chance.below(4) {
            0 => String::new(),
            _ => format!("fieldManager={}", self.manager()),
        };
        for (option, percent) in [("dryRun=All", 6), ("fieldValidation=Strict", 10), ("fieldValidation=Ignore", 5)] {
            if self.chance.percent(percent) {
                let and = if query.is_empty() { "" } else { "&" };
                query = format!("{query}{and}{option}");
                break;
            }
        }
        query
    }

    fn birth(&mut self) -> Op {
        let object = self.chance.pick(&self.kind.variants).clone();
        if self.chance.percent(30) {
            let manager = self.manager();
            self.applied.insert(manager, object.clone());
            self.whole.push(manager);
            return patch("", format!("fieldManager={manager}"), APPLY, &object);
        }
        let query = match self.chance.percent(80) {
            true => format!("fieldManager={}", self.manager()),
            false => String::new(),
        };
        Op { method: "POST", below: "", query, content_type: JSON, body: object.to_string() }
    }

    /// Up to three changes.
    fn changes(&mut self, live: &Value) -> Vec<Edit> {
        let target = self.chance.pick(&self.kind.variants).clone();
        let mut all = edits(live, &target);
        let mut some = Vec::new();
        for _ in 0..=self.chance.below(3) {
            if all.is_empty() {
                break;
            }
            let at = self.chance.below(all.len());
            some.push(all.swap_remove(at));
        }
        some
    }

    fn edited(&mut self, live: &Value) -> Value {
        let mut new = live.clone();
        self.changes(live).iter().for_each(|edit| edit.run(&mut new));
        new
    }

    fn json_patch(&mut self, live: &Value) -> Op {
        let mut new = live.clone();
        let mut list = Vec::new();
        for edit in self.changes(live) {
            list.extend(edit.operation(&new));
            edit.run(&mut new);
        }
        if self.chance.percent(15) {
            list.insert(0, json!({"op": "test", "path": "/metadata/name", "value": NAME}));
        }
        patch("", self.query(), JSON_PATCH, &Value::Array(list))
    }

    fn merge(&mut self, live: &Value) -> Op {
        let mut body = merge_patch(live, &self.edited(live));
        if self.chance.percent(10) {
            body["metadata"]["resourceVersion"] = json!("@RV@");
        }
        patch("", self.query(), MERGE, &body)
    }

    fn strategic(&mut self, live: &Value) -> Op {
        let mut body = json!({});
        self.changes(live).iter().for_each(|edit| edit.strategic(&mut body));
        if self.chance.percent(10) {
            body["metadata"]["uid"] = json!("@UID@");
        }
        patch("", self.query(), STRATEGIC, &body)
    }

    fn put(&mut self, live: &Value) -> Op {
        let mut new = self.edited(live);
        let meta = new.get_mut("metadata").and_then(Value::as_object_mut);
        if let Some(meta) = meta {
            meta.remove("managedFields");
            meta.remove("creationTimestamp");
            meta.insert("name".to_owned(), json!(NAME));
            meta.insert("uid".to_owned(), json!("@UID@"));
            meta.insert("resourceVersion".to_owned(), json!("@RV@"));
            if self.chance.percent(40) {
                meta.remove("uid");
                meta.remove("resourceVersion");
            }
            if self.chance.percent(4) {
                meta.insert("managedFields".to_owned(), json!([]));
            } else if self.chance.percent(4) {
                meta.insert("managedFields".to_owned(), json!([{}]));
            }
        }
        Op { method: "PUT", below: "", query: self.query(), content_type: JSON, body: new.to_string() }
    }

    fn apply(&mut self, live: &Value) -> Op {
        let manager = self.manager();
        let target = self.chance.pick(&self.kind.variants).clone();
        let config = match self.applied.get(manager) {
            // Mostly as before, but for a change.
            Some(old) if self.whole.contains(&manager) || self.chance.percent(50) => {
                let mut config = old.clone();
                let mut all = edits(old, &target);
                for _ in 0..=self.chance.below(3) {
                    if !all.is_empty() {
                        let at = self.chance.below(all.len());
                        all.swap_remove(at).run(&mut config);
                    }
                }
                config
            }
            Some(old) if self.chance.percent(30) => old.clone(),
            _ => self.subset(&target, live),
        };
        let force = if self.chance.percent(45) { "&force=true" } else { "" };
        let dry = if self.chance.percent(4) { "&dryRun=All" } else { "" };
        if dry.is_empty() {
            self.applied.insert(manager, config.clone());
        }
        patch("", format!("fieldManager={manager}{force}{dry}"), APPLY, &config)
    }

    /// Some of the fields of `target`; items that are not live yet come whole.
    fn subset(&mut self, target: &Value, live: &Value) -> Value {
        let mut out = Map::new();
        for field in ["apiVersion", "kind"] {
            out.insert(field.to_owned(), target[field].clone());
        }
        let Value::Object(map) = target else { return Value::Object(out) };
        let keep = *self.chance.pick(&[15, 35, 70]);
        for (name, value) in map.iter().filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind")) {
            if let Some(value) = self.part(name, value, live.get(name), keep) {
                out.insert(name.clone(), value);
            }
        }
        let mut config = Value::Object(out);
        if !config["metadata"].is_object() {
            config["metadata"] = json!({});
        }
        config["metadata"]["name"] = json!(NAME);
        config
    }

    fn part(&mut self, name: &str, value: &Value, live: Option<&Value>, keep: usize) -> Option<Value> {
        match (value, live) {
            (Value::Object(map), Some(live @ Value::Object(_))) => {
                let mut out = Map::new();
                for (name, value) in map {
                    if let Some(value) = self.part(name, value, live.get(name), keep) {
                        out.insert(name.clone(), value);
                    }
                }
                (!out.is_empty()).then_some(Value::Object(out))
            }
            (Value::Array(items), Some(Value::Array(live))) if key_of(name, items).is_some() => {
                let key = key_of(name, items)?;
                let mut out = Vec::new();
                for item in items {
                    let old = live.iter().find(|old| old.get(key) == item.get(key));
                    let Some(old) = old else {
                        if self.chance.percent(keep) {
                            out.push(item.clone());
                        }
                        continue;
                    };
                    let Some(Value::Object(mut part)) = self.part("", item, Some(old), keep) else { continue };
                    for key in [key, "protocol", "whenUnsatisfiable"] {
                        if let Some(value) = item.get(key) {
                            part.insert(key.to_owned(), value.clone());
                        }
                    }
                    out.push(Value::Object(part));
                }
                (!out.is_empty()).then_some(Value::Array(out))
            }
            (value, _) => self.chance.percent(keep).then(|| value.clone()),
        }
    }

    fn status(&mut self, live: &Value) -> Op {
        let status = self.chance.pick(&self.kind.statuses).clone();
        let target = self.chance.pick(&self.kind.variants).clone();
        let query = self.query();
        let mut body = json!({"status": status});
        match self.chance.below(4) {
            0 => {
                // What else the request says is not for this endpoint.
                if self.chance.percent(30) {
                    body["metadata"] = json!({"labels": {"via-status": "x"}});
                }
                patch("/status", query, MERGE, &body)
            }
            1 => patch("/status", query, STRATEGIC, &body),
            2 => {
                let manager = self.manager();
                body["apiVersion"] = target["apiVersion"].clone();
                body["kind"] = target["kind"].clone();
                body["metadata"] = json!({"name": NAME});
                let force = if self.chance.percent(50) { "&force=true" } else { "" };
                patch("/status", format!("fieldManager={manager}{force}"), APPLY, &body)
            }
            _ => {
                let mut new = live.clone();
                new["status"] = status;
                new["metadata"]["name"] = json!(NAME);
                if let Some(meta) = new["metadata"].as_object_mut() {
                    meta.retain(|field, _| !matches!(field.as_str(), "uid" | "resourceVersion" | "managedFields"));
                }
                Op { method: "PUT", below: "/status", query, content_type: JSON, body: new.to_string() }
            }
        }
    }

    fn scale(&mut self) -> Op {
        let replicas = self.chance.below(6);
        let spec = json!({"spec": {"replicas": replicas}});
        match self.chance.below(4) {
            0 => patch("/scale", self.query(), MERGE, &spec),
            1 => patch("/scale", self.query(), STRATEGIC, &spec),
            2 => {
                let list = json!([{"op": "add", "path": "/spec/replicas", "value": replicas}]);
                patch("/scale", self.query(), JSON_PATCH, &list)
            }
            _ => {
                let manager = self.manager();
                let force = if self.chance.percent(50) { "&force=true" } else { "" };
                let body = json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
                    "metadata": {"name": NAME, "namespace": "default"}, "spec": {"replicas": replicas}});
                patch("/scale", format!("fieldManager={manager}{force}"), APPLY, &body)
            }
        }
    }

    /// A request that is refused, or that says what nobody knows.
    fn wrong(&mut self, live: &Value) -> Op {
        let (version, kind) = (self.kind.api_version().to_owned(), self.kind.name().to_owned());
        let config = json!({"apiVersion": version, "kind": kind, "metadata": {"name": NAME}});
        let with = |pointer: &[&str], value: Value| {
            let mut config = config.clone();
            let mut at = &mut config;
            for name in pointer {
                at = &mut at[*name];
            }
            *at = value;
            config
        };
        let wrong: Vec<(String, &'static str, Value)> = vec![
            (String::new(), APPLY, config.clone()),
            ("fieldManager=m".into(), APPLY, with(&["kind"], json!("Wrong"))),
            ("fieldManager=m".into(), APPLY, with(&["apiVersion"], json!("wrong/v1"))),
            ("fieldManager=m".into(), APPLY, with(&["apiVersion"], json!(""))),
            ("fieldManager=m".into(), APPLY, with(&["metadata", "name"], json!("other"))),
            ("fieldManager=m".into(), APPLY, with(&["metadata", "managedFields"], json!([]))),
            ("fieldManager=m".into(), APPLY, with(&["metadata", "uid"], json!("no-such-uid"))),
            ("fieldManager=m".into(), APPLY, with(&["metadata", "resourceVersion"], json!("1"))),
            ("fieldManager=m".into(), APPLY, with(&["metadata", "labels"], json!({"a": 1}))),
            ("fieldManager=m".into(), APPLY, with(&["noSuchField"], json!(1))),
            ("fieldManager=m".into(), APPLY, with(&["metadata", "noSuchField"], json!(1))),
            ("fieldManager=m".into(), APPLY, json!([])),
            ("force=true".into(), MERGE, json!({})),
            (format!("fieldManager={}", "m".repeat(129)), MERGE, json!({})),
            ("fieldManager=a%0ab".into(), MERGE, json!({})),
            (String::new(), MERGE, json!([])),
            (String::new(), MERGE, json!("text")),
            (String::new(), MERGE, json!({"metadata": {"name": "other"}})),
            (String::new(), MERGE, json!({"metadata": {"uid": "other"}})),
            (String::new(), MERGE, json!({"metadata": {"resourceVersion": "1"}})),
            (String::new(), MERGE, json!({"metadata": {"labels": {"a": 1}}})),
            (String::new(), MERGE, json!({"metadata": {"labels": "text"}})),
            (String::new(), MERGE, json!({"noSuchField": 1})),
            ("fieldValidation=Strict".into(), MERGE, json!({"noSuchField": 1})),
            ("fieldValidation=Strict".into(), STRATEGIC, json!({"noSuchField": 1, "metadata": {"neither": 2}})),
            ("fieldValidation=Wrong".into(), MERGE, json!({})),
            ("dryRun=Some".into(), MERGE, json!({})),
            (String::new(), STRATEGIC, json!([])),
            (String::new(), STRATEGIC, json!({"metadata": {"labels": {"$patch": "wrong"}}})),
            (String::new(), STRATEGIC, json!({"metadata": {"labels": {"$patch": "replace", "only": "one"}}})),
            (String::new(), STRATEGIC, json!({"metadata": {"ownerReferences": [{"name": "x"}]}})),
            (String::new(), STRATEGIC, json!({"metadata": {"$setElementOrder/finalizers": ["a"]}})),
            (String::new(), STRATEGIC, json!({"kind": "Wrong"})),
            (String::new(), JSON_PATCH, json!({})),
            (String::new(), JSON_PATCH, json!([{"op": "test", "path": "/metadata/name", "value": "other"}])),
            (String::new(), JSON_PATCH, json!([{"op": "remove", "path": "/no/such"}])),
            (String::new(), JSON_PATCH, json!([{"op": "remove", "path": "/metadata/labels/none"}])),
            (String::new(), JSON_PATCH, json!([{"op": "replace", "path": "/no/such", "value": 1}])),
            (String::new(), JSON_PATCH, json!([{"op": "add", "path": "/no/such", "value": 1}])),
            (String::new(), JSON_PATCH, json!([{"op": "wrong", "path": "/metadata"}])),
            (String::new(), JSON_PATCH, json!([{"op": "add", "path": "/metadata/labels"}])),
            (String::new(), JSON_PATCH, json!([{"op": "move", "path": "/metadata/labels"}])),
            (String::new(), JSON_PATCH, json!([{"op": "copy", "from": "/none", "path": "/metadata/labels"}])),
            (String::new(), JSON_PATCH, json!([{"op": "replace", "path": "/kind", "value": "Wrong"}])),
            (String::new(), JSON_PATCH, json!([{"op": "add", "path": "/noSuchField", "value": 1}])),
            ("fieldValidation=Strict".into(), JSON_PATCH, json!([{"op": "add", "path": "/noSuchField", "value": 1}])),
            ("fieldValidation=Strict".into(), JSON_PATCH, json!([{"op": "test", "path": "/kind", "valeu": 1}])),
        ];
        if live.is_null() {
            return self.birth();
        }
        let (query, content_type, body) = self.chance.pick(&wrong).clone();
        patch("", query, content_type, &body)
    }
}

fn patch(below: &'static str, query: String, content_type: &'static str, body: &Value) -> Op {
    Op { method: "PATCH", below, query, content_type, body: body.to_string() }
}
