//! Upstream's strategic merge patch cases, re-expressed one a line in `cases.jsonl` (`o` object, `p` patch, `r` result or
//! `e` error), and the same rules on real kinds.

use serde_json::{Value, json};

use super::apply;
use crate::facts::{
    Facts, FactsBuilder, Field, List, ListType, Opaque, Patch, Shape, Struct, Text, TypeId, kubernetes,
};
use crate::patch::PatchError;

fn field(name: &'static str, ty: TypeId, patch: Patch) -> Field {
    Field {
        name: Text::Borrowed(name),
        tag: 0,
        ty,
        required: false,
        nillable: true,
        default: Text::Borrowed(""),
        patch,
        one_of: Box::default(),
    }
}

/// The type that upstream's cases are about.
fn merge_item() -> (Facts, TypeId) {
    let mut builder = FactsBuilder::new("test");
    let list = |builder: &mut FactsBuilder, item| builder.list(List { item, kind: ListType::Unset, wrapped: false });
    let item = builder.named("MergeItem");
    let items = list(&mut builder, item);
    let ints = list(&mut builder, TypeId::INT64);
    let map = builder.map(TypeId::STRING, false);
    let plain = Patch::default;
    let merge = || Patch { merge: true, ..Patch::default() };
    let by_name = || Patch { merge: true, merge_key: "name".into(), ..Patch::default() };
    let retain_fields = vec![
        field("mergingIntList", ints, merge()),
        field("mergingList", items, by_name()),
        field("name", TypeId::STRING, plain()),
        field("nonMergingList", items, plain()),
        field("other", TypeId::STRING, plain()),
        field("simpleMap", map, plain()),
        field("value", TypeId::STRING, plain()),
    ];
    let retain = Shape::Struct(Struct { fields: retain_fields.into(), ..Struct::default() });
    let retain = builder.define("RetainKeysMergeItem", retain).expect("defined once");
    let json_item = builder.define("JsonItem", Shape::Any(Opaque::Json)).expect("defined once");
    let fields = vec![
        field("jsonItem", json_item, plain()),
        field("mergeItemPtr", items, by_name()),
        field("mergingIntList", ints, merge()),
        field("mergingList", items, by_name()),
        field("name", TypeId::STRING, plain()),
        field("nonMergingIntList", ints, plain()),
        field("nonMergingList", items, plain()),
        field("other", TypeId::STRING, plain()),
        field("replacingItem", TypeId::RAW, Patch { replace: true, ..Patch::default() }),
        field("retainKeysMap", retain, Patch { retain_keys: true, ..Patch::default() }),
        field("retainKeysMergingList", items, Patch { retain_keys: true, ..by_name() }),
        field("simpleMap", map, plain()),
        field("value", TypeId::STRING, plain()),
    ];
    let shape = Shape::Struct(Struct { fields: fields.into(), ..Struct::default() });
    builder.define("MergeItem", shape).expect("defined once");
    (builder.build().expect("complete"), item)
}

/// Protocol: P4, P5
#[test]
fn upstreams_cases() {
    let (facts, ty) = merge_item();
    let mut failures = Vec::new();
    let mut count = 0;
    for line in include_str!("cases.jsonl").lines() {
        let case: Value = serde_json::from_str(line).expect("case");
        count += 1;
        let title = &case["t"];
        match (apply(&facts, ty, case["o"].clone(), case["p"].clone()), case.get("e")) {
            (Ok(found), None) if found == case["r"] => {}
            (Ok(found), None) => failures.push(format!("{title}\n  {line}\n  got {found}")),
            (Err(error), Some(text)) if error.to_string().contains(text.as_str().expect("text")) => {}
            (result, _) => failures.push(format!("{title}\n  {line}\n  got {result:?}")),
        }
    }
    assert!(count >= 200, "{count} cases");
    assert!(failures.is_empty(), "{} of {count} failed:\n{}", failures.len(), failures.join("\n"));
}

/// Protocol: P4, P5
#[test]
fn patches_on_real_kinds() {
    let facts = kubernetes();
    let ty = |kind: &str| {
        let group = if kind == "Deployment" { "apps" } else { "" };
        facts.by_kind(group, "v1", kind).expect("built in").ty
    };
    let table = [
        (
            "containers merge by name, env by name (new ones before the server's own), unannotated lists replace",
            "Deployment",
            json!({"spec": {"template": {"spec": {"containers": [
                {"name": "a", "image": "a:1", "args": ["x", "y"], "env": [{"name": "A", "value": "1"}]},
                {"name": "b", "image": "b:1"}]}}}}),
            json!({"spec": {"template": {"spec": {"containers": [
                {"name": "b", "image": "b:2"}, {"name": "c", "image": "c:1"},
                {"name": "a", "args": ["z"], "env": [{"name": "B", "value": "2"}]}]}}}}),
            json!({"spec": {"template": {"spec": {"containers": [
                {"name": "b", "image": "b:2"}, {"name": "c", "image": "c:1"},
                {"name": "a", "image": "a:1", "args": ["z"],
                 "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]}]}}}}),
        ),
        (
            "service ports merge by port alone, also where two share it",
            "Service",
            json!({"spec": {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}}),
            json!({"spec": {"ports": [{"port": 53, "name": "dns"}]}}),
            json!({"spec": {"ports": [{"port": 53, "protocol": "UDP", "name": "dns"}, {"port": 53, "protocol": "TCP"}]}}),
        ),
        (
            "a strategy keeps the named keys only",
            "Deployment",
            json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
        ),
        (
            "finalizers are a set that merges",
            "Deployment",
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}),
            json!({"metadata": {"finalizers": ["c", "b"]}}),
        ),
        (
            "labels and data merge and null deletes",
            "ConfigMap",
            json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "data": {"k": "v"}}),
            json!({"metadata": {"labels": {"a": null, "c": "3"}}, "data": {"k": "w"}}),
            json!({"metadata": {"labels": {"b": "2", "c": "3"}}, "data": {"k": "w"}}),
        ),
    ];
    for (title, kind, object, patch, expected) in table {
        assert_eq!(apply(facts, ty(kind), object, patch), Ok(expected), "{title}");
    }
}

/// Protocol: P4
#[test]
fn bad_directives_are_refused() {
    let (facts, ty) = merge_item();
    let malformed = [
        (json!({"$retainKeys": "a"}), "invalid patch format of retainKeys"),
        (json!({"$retainKeys": ["name"], "value": "x"}), "invalid patch format of retainKeys"),
        (json!({"$deleteFromPrimitiveList": [1]}), "invalid patch format of primitive list"),
        (json!({"$setElementOrder": []}), "invalid patch format of setElementOrder list"),
        (json!({"$setElementOrder/mergingIntList": "x"}), "invalid patch format of setElementOrder list"),
    ];
    let original = json!({"mergingIntList": [1, 2], "mergingList": [{"name": "a"}]});
    for (patch, message) in malformed {
        let result = apply(&facts, ty, original.clone(), patch.clone());
        assert_eq!(result, Err(PatchError::Malformed(message.into())), "{patch}");
    }
    let schema = [
        (json!({"$patch": "merge"}), "unknown patch type: merge in map: map[$patch:merge]"),
        (json!({"$patch": 1, "a": "b"}), "unknown patch type: 1 in map: map[$patch:1 a:b]"),
        (json!({"mergingList": [{"value": "x"}]}), "map: map[value:x] does not contain declared merge key: name"),
        (
            json!({"mergingList": [{"$patch": "delete"}]}),
            "map: map[$patch:delete] does not contain declared merge key: name",
        ),
        (
            json!({"mergingList": [{"$patch": "merge", "name": "a"}]}),
            "merging lists cannot yet be specified in the patch",
        ),
        (json!({"mergingList": [1]}), "list element types are not identical: [[map[name:a]] [1]]"),
    ];
    for (patch, message) in schema {
        let result = apply(&facts, ty, original.clone(), patch.clone());
        assert_eq!(result, Err(PatchError::Schema(message.into())), "{patch}");
    }
    let lists = apply(&facts, ty, original.clone(), json!({"mergingIntList": [[1]]}));
    assert!(lists.is_err(), "{lists:?}");
    assert!(matches!(apply(&facts, ty, original, json!([])), Err(PatchError::Malformed(_))));
}

#[test]
fn large_lists_merge_in_bounded_time() {
    let (facts, ty) = merge_item();
    let items = |from: usize| -> Vec<Value> { (from..from + 40_000).map(|i| json!({"name": i})).collect() };
    let order: Vec<Value> = items(20_000).into_iter().rev().collect();
    let patch = json!({"mergingList": order, "$setElementOrder/mergingList": order, "mergingIntList": (0..50_000).collect::<Vec<_>>()});
    let merged = apply(&facts, ty, json!({"mergingList": items(0), "mergingIntList": [1]}), patch).expect("merges");
    assert_eq!(merged["mergingList"].as_array().map(Vec::len), Some(60_000));
}
