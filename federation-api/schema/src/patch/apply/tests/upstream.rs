//! Upstream's own cases of merging (`upstream.jsonl`): its structured-merge-diff was run on each, and what it made of the
//! object and of its owners is written beside every operation. Lines with `schema` declare the types of the cases after them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::super::{ApplyError, apply};
use crate::facts::{Facts, FactsBuilder, Field, List, ListType, Patch, Shape, Struct, Text, TypeId};
use crate::managed::{Operation, Typing, Versions, Write, decode, encode, managed_fields, set_managed_fields, track};

/// Types in the notation of the file: letters for scalars, `?` for what is deduced, `@name` for a named type.
struct Reader {
    builder: FactsBuilder,
}

impl Reader {
    fn facts(line: &Value) -> (Facts, TypeId) {
        let mut reader = Reader { builder: FactsBuilder::new("test") };
        for (name, notation) in line["types"].as_object().expect("types") {
            let shape = reader.shape(notation);
            reader.builder.define(name.clone(), shape).expect("defined once");
        }
        let root = reader.id(&line["root"]);
        (reader.builder.build().expect("complete"), root)
    }

    fn shape(&mut self, notation: &Value) -> Shape {
        if notation.is_string() {
            let id = self.id(notation);
            // A name for a scalar, which nothing distinguishes from it.
            return Facts::shape(&FactsBuilder::new("").build().expect("scalars"), id).clone();
        }
        let atomic = notation["atomic"] == json!(true);
        if let Some(fields) = notation["fields"].as_object() {
            let fields: Vec<Field> = fields
                .iter()
                .map(|(name, of)| Field {
                    name: Text::Owned(name.clone()),
                    tag: 0,
                    ty: self.id(of),
                    required: false,
                    nillable: true,
                    default: notation["defaults"].get(name).map_or(String::new(), Value::to_string).into(),
                    patch: Patch::default(),
                    one_of: Box::default(),
                })
                .collect();
            let open = notation["open"] == json!(true);
            return Shape::Struct(Struct { fields: fields.into(), atomic, open, ..Struct::default() });
        }
        if let Some(value) = notation.get("map") {
            return Shape::Map { value: self.id(value), atomic };
        }
        let (item, kind) = match (notation.get("set"), notation.get("keys").and_then(Value::as_array)) {
            (Some(item), _) => (item, ListType::Set),
            (None, Some(keys)) => {
                let keys = keys.iter().map(|key| Text::Owned(key.as_str().expect("a key").to_owned()));
                (&notation["list"], ListType::Map(keys.collect()))
            }
            (None, None) => (&notation["list"], ListType::Atomic),
        };
        Shape::List(List { item: self.id(item), kind, wrapped: false })
    }

    fn id(&mut self, notation: &Value) -> TypeId {
        match notation.as_str() {
            Some("s") => TypeId::STRING,
            Some("n") => TypeId::FLOAT,
            Some("b") => TypeId::BOOL,
            Some("u") => TypeId::INT_OR_STRING,
            Some("?") => TypeId::JSON,
            Some(name) => self.builder.named(name.strip_prefix('@').expect("a name").to_owned()),
            None => match self.shape(notation) {
                Shape::Struct(object) => self.builder.object(object),
                Shape::Map { value, atomic } => self.builder.map(value, atomic),
                Shape::List(list) => self.builder.list(list),
                other => panic!("{other:?} has no name"),
            },
        }
    }
}

/// Upstream's cases have one type in all versions.
#[derive(Debug)]
struct Alike<'f>(Typing<'f>);

impl Versions for Alike<'_> {
    fn view(&self, object: &Value, _: &str) -> Option<(Value, Typing<'_>)> {
        Some((object.clone(), self.0))
    }
}

/// A path of `fieldsV1` as names, for what is ignored.
fn ignored(set: &Value, path: &mut Vec<&'static str>, out: &mut Vec<&'static [&'static str]>) {
    let map = set.as_object().expect("a set");
    if map.is_empty() || map.contains_key(".") {
        out.push(Vec::leak(path.clone()));
    }
    for (key, below) in map.iter().filter(|(key, _)| *key != ".") {
        let name = key.strip_prefix("f:").expect("only fields are ignored");
        path.push(String::leak(name.to_owned()));
        ignored(below, path, out);
        path.pop();
    }
}

/// `name|Apply` or `name|Update|version` to what is owned.
fn owners(live: &Value) -> BTreeMap<String, Value> {
    let named = |entry: &Value| {
        let text = |name: &str| entry[name].as_str().expect("text").to_owned();
        let key = match text("operation").as_str() {
            "Apply" => format!("{}|Apply", text("manager")),
            _ => format!("{}|Update|{}", text("manager"), text("apiVersion")),
        };
        (key, entry["fieldsV1"].clone())
    };
    managed_fields(live).as_array().into_iter().flatten().map(named).collect()
}

fn bare(live: &Value) -> Value {
    let mut bare = live.clone();
    set_managed_fields(&mut bare, Value::Null);
    if bare.get("metadata") == Some(&json!({})) {
        bare.as_object_mut().expect("an object").remove("metadata");
    }
    bare
}

fn conflicts(error: &ApplyError) -> BTreeSet<String> {
    let ApplyError::Conflicts(list) = error else { return BTreeSet::new() };
    list.iter().map(|conflict| format!("{} {}", conflict.manager, conflict.path)).collect()
}

/// `name|Update|v1 .path` as our conflicts name it.
fn expected_conflict(text: &Value) -> String {
    let (owner, path) = text.as_str().expect("text").split_once(' ').expect("owner and path");
    let mut parts = owner.split('|');
    let (name, operation) = (parts.next().expect("a name"), parts.next().expect("an operation"));
    match (operation, parts.next()) {
        ("Update", Some(version)) => format!("{name:?} using {version} {path}"),
        _ => format!("{name:?} {path}"),
    }
}

fn changed(
    live: &Value,
    op: &Value,
    typing: Typing<'_>,
    reset: &HashMap<String, &'static [&'static [&'static str]]>,
) -> Result<Value, ApplyError> {
    let text = |name: &str| op[name].as_str().expect("text");
    let versions = Alike(typing);
    let reset = reset.get(text("v")).copied().unwrap_or(&[]);
    let (manager, api_version) = (text("m"), text("v"));
    let write =
        Write { manager, subresource: "", api_version, now: "2026-01-02T03:04:05Z", reset, versions: &versions };
    if text("op") != "update" {
        return apply(typing, live, &op["o"], &write, text("op") == "force").map(|applied| applied.object);
    }
    let mut new = op["o"].clone();
    let entries = decode(managed_fields(live)).expect("our own entries");
    let after = track(typing, (live, &new), entries, &write).map_err(ApplyError::Live)?;
    assert!(after.iter().all(|entry| matches!(entry.operation, Operation::Apply | Operation::Update)));
    let encoded = encode(&after);
    set_managed_fields(&mut new, encoded);
    Ok(new)
}

fn run(case: &Value, schemas: &HashMap<u64, (Facts, TypeId)>) -> Result<(), String> {
    let typing = |id: &Value| {
        let (facts, ty) = &schemas[&id.as_u64().expect("a schema")];
        Typing::new(facts, *ty)
    };
    let mut reset = HashMap::new();
    for (version, set) in case["ignored"].as_object().into_iter().flatten() {
        let mut paths = Vec::new();
        ignored(set, &mut Vec::new(), &mut paths);
        let paths: &'static [&'static [&'static str]] = Vec::leak(paths);
        reset.insert(version.clone(), paths);
    }
    let mut current = typing(&case["s"]);
    let mut live = Value::Object(Map::new());
    for (i, op) in case["ops"].as_array().expect("operations").iter().enumerate() {
        if op["op"] == "schema" {
            current = typing(&op["s"]);
            continue;
        }
        let failed = |what: String| Err(format!("operation {i}: {what}\n    {op}"));
        match (changed(&live, op, current, &reset), op.get("conflicts").and_then(Value::as_array)) {
            (Err(error), Some(expected)) => {
                let expected: BTreeSet<String> = expected.iter().map(expected_conflict).collect();
                if conflicts(&error) != expected {
                    return failed(format!("{error}\n    instead of {expected:?}"));
                }
            }
            (Err(_), None) if op["error"] == json!(true) => return Ok(()),
            (Err(error), None) => return failed(error.to_string()),
            (Ok(new), None) if op.get("error").is_none() => live = new,
            (Ok(new), _) => return failed(format!("not refused: {new}")),
        }
        if op.get("live").is_none() {
            continue;
        }
        if bare(&live) != op["live"] {
            return failed(format!("object {}", bare(&live)));
        }
        let wanted: BTreeMap<String, Value> = serde_json::from_value(op["owners"].clone()).expect("owners");
        if owners(&live) != wanted {
            return failed(format!("owners {:?}\n    instead of {wanted:?}", owners(&live)));
        }
    }
    Ok(())
}

/// Protocol: S2, S6, S7, S8, S10
#[test]
fn merging_is_upstreams() {
    let mut schemas = HashMap::new();
    let (mut count, mut failures) = (0, Vec::new());
    for line in include_str!("../upstream.jsonl").lines() {
        let line: Value = serde_json::from_str(line).expect("a case");
        if let Some(id) = line["schema"].as_u64() {
            schemas.insert(id, Reader::facts(&line));
            continue;
        }
        count += 1;
        if let Err(failure) = run(&line, &schemas) {
            failures.push(format!("{}: {failure}", line["t"]));
        }
    }
    assert!(count >= 95, "{count} cases");
    assert!(failures.is_empty(), "{} of {count} failed:\n{}", failures.len(), failures.join("\n"));
}
