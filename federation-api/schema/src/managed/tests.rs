//! Field sets and their text form, the rules of entries, and their cap.

use serde_json::{Value, json};

use super::{
    ANCIENT, BEFORE_FIRST_APPLY, FieldSet, MAX_UPDATE_ENTRIES, OneVersion, Typing, Write, decode, encode,
    managed_fields, on_create, on_update,
};
use crate::facts::kubernetes;

fn config_map() -> Typing<'static> {
    Typing::new(kubernetes(), kubernetes().by_kind("", "v1", "ConfigMap").expect("built in").ty)
}

fn write<'a>(manager: &'a str, now: &'a str) -> Write<'a> {
    Write { manager, subresource: "", api_version: "v1", now, reset: &[], versions: &OneVersion }
}

#[test]
fn objects_iterate_in_order() {
    let map = json!({"b": 1, "a": 2, "c": 3});
    let keys: Vec<&String> = map.as_object().expect("object").keys().collect();
    assert_eq!(keys, ["a", "b", "c"], "field sets rely on sorted maps");
}

/// Protocol: S2
#[test]
fn sets_survive_their_text_form() {
    let table = [
        (json!({}), json!({})),
        (json!({"f:a": {}}), json!({"f:a": {}})),
        (json!({"f:a": {".": {}}}), json!({"f:a": {}})),
        (json!({"f:a": {".": {}, "f:b": {}}}), json!({"f:a": {".": {}, "f:b": {}}})),
        (
            json!({"f:l": {"k:{\"protocol\":\"TCP\",\"port\":80}": {".": {}, "f:port": {}}}}),
            json!({"f:l": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}),
        ),
        (
            json!({"f:l": {"v:\"a\"": {}, "v:1": {}, "v:true": {}}}),
            json!({"f:l": {"v:\"a\"": {}, "v:1": {}, "v:true": {}}}),
        ),
        (json!({"f:l": {"i:0": {}, "i:12": {}}}), json!({"f:l": {"i:0": {}, "i:12": {}}})),
        (json!({"x:future": {}, "f:a": {}}), json!({"f:a": {}})),
        (json!(null), json!({})),
    ];
    for (text, again) in table {
        assert_eq!(FieldSet::decode(&text).map(|set| set.encode()), Ok(again), "{text}");
    }
    let bad = [
        json!({"f": {}}),
        json!({"": {}}),
        json!({"fa": {}}),
        json!({"k:{": {}}),
        json!({"v:": {}}),
        json!({"i:x": {}}),
        json!([1]),
        json!({"f:a": 1}),
        json!({"é": {}}),
    ];
    for text in bad {
        assert!(FieldSet::decode(&text).is_err(), "{text}");
    }
}

#[test]
fn the_algebra_of_sets() {
    let a = json!({"f:a": {".": {}, "f:x": {}, "f:y": {}}, "f:b": {}, "f:l": {"k:{\"n\":1}": {".": {}, "f:v": {}}}});
    let b = json!({"f:a": {"f:x": {}}, "f:c": {}, "f:l": {"k:{\"n\":1}": {}, "k:{\"n\":2}": {}}});
    let (a, b) = (FieldSet::decode(&a).expect("set"), FieldSet::decode(&b).expect("set"));
    let table = [
        (
            a.union(&b),
            json!({"f:a": {".": {}, "f:x": {}, "f:y": {}}, "f:b": {}, "f:c": {},
            "f:l": {"k:{\"n\":1}": {".": {}, "f:v": {}}, "k:{\"n\":2}": {}}}),
        ),
        (a.intersection(&b), json!({"f:a": {"f:x": {}}, "f:l": {"k:{\"n\":1}": {}}})),
        (a.difference(&b), json!({"f:a": {".": {}, "f:y": {}}, "f:b": {}, "f:l": {"k:{\"n\":1}": {"f:v": {}}}})),
        (a.without(&b), json!({"f:a": {".": {}, "f:y": {}}, "f:b": {}})),
        (a.difference(&a), json!({})),
        (a.without(&FieldSet::of_fields(&[&["a"], &["l"]])), json!({"f:b": {}})),
    ];
    for (set, expected) in table {
        assert_eq!(set.encode(), expected);
    }
    assert_eq!(a.paths(), [".a", ".b", ".a.x", ".a.y", ".l[n=1]", ".l[n=1].v"]);
}

/// Protocol: S2, S3
#[test]
fn creating_owns_what_the_request_set() {
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "c", "uid": "u", "labels": {"a": "1"}, "managedFields": [{"manager": "forged"}]},
        "data": {"k": "v"}});
    on_create(config_map(), &mut object, &write("kubectl", "2026-01-01T00:00:00Z"));
    assert_eq!(
        managed_fields(&object),
        &json!([{"apiVersion": "v1", "fieldsType": "FieldsV1", "manager": "kubectl", "operation": "Update",
            "time": "2026-01-01T00:00:00Z",
            "fieldsV1": {"f:data": {".": {}, "f:k": {}}, "f:metadata": {"f:labels": {".": {}, "f:a": {}}}}}])
    );
    let mut empty = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    on_create(config_map(), &mut empty, &write("", "2026-01-01T00:00:00Z"));
    assert_eq!(managed_fields(&empty), &Value::Null);
}

/// Protocol: S4
#[test]
fn updating_moves_fields_and_keeps_times_of_no_ops() {
    let typing = config_map();
    let mut live = json!({"metadata": {"name": "c", "uid": "u"}, "data": {"a": "1", "b": "1", "c": "1"}});
    on_create(typing, &mut live, &write("one", "2026-01-01T00:00:00Z"));
    let mut new = live.clone();
    on_update(typing, &live, &mut new, &write("two", "2026-01-01T00:00:01Z"));
    assert_eq!(new, live, "nothing changed");
    new["data"] = json!({"a": "2", "c": "1", "d": "1"});
    on_update(typing, &live, &mut new, &write("two", "2026-01-01T00:00:01Z"));
    let owners = |object: &Value| -> Vec<(String, Value)> {
        let list = managed_fields(object).as_array().cloned().unwrap_or_default();
        list.iter().map(|e| (e["manager"].as_str().unwrap_or("").to_owned(), e["fieldsV1"].clone())).collect()
    };
    assert_eq!(
        owners(&new),
        [
            ("one".to_owned(), json!({"f:data": {".": {}, "f:c": {}}})),
            ("two".to_owned(), json!({"f:data": {"f:a": {}, "f:d": {}}})),
        ]
    );
    // The request may rewrite the entries, or clear them; what it cannot say is ignored.
    let mut rewritten = new.clone();
    rewritten["metadata"]["managedFields"][0]["manager"] = json!("renamed");
    on_update(typing, &new, &mut rewritten, &write("three", "2026-01-01T00:00:02Z"));
    assert_eq!(owners(&rewritten)[0].0, "renamed");
    for reset in [json!([]), json!([{}])] {
        let mut cleared = new.clone();
        cleared["metadata"]["managedFields"] = reset;
        on_update(typing, &new, &mut cleared, &write("three", "2026-01-01T00:00:02Z"));
        assert_eq!(managed_fields(&cleared), &Value::Null);
    }
    for nonsense in [json!("x"), json!([{"operation": "Steal"}]), json!([1]), Value::Null] {
        let mut odd = new.clone();
        odd["metadata"]["managedFields"] = nonsense;
        on_update(typing, &new, &mut odd, &write("three", "2026-01-01T00:00:02Z"));
        assert_eq!(owners(&odd), owners(&new));
    }
    // Through a subresource the request's entries do not count, and only the status changes hands.
    let mut status = new.clone();
    status["metadata"]["managedFields"] = json!([]);
    status["status"] = json!({"x": 1});
    status["spec"] = json!({"y": 1});
    let through =
        Write { subresource: "status", reset: &[&["metadata"], &["spec"]], ..write("three", "2026-01-01T00:00:02Z") };
    on_update(Typing::deduced(kubernetes()), &new, &mut status, &through);
    let last = managed_fields(&status).as_array().expect("entries").last().expect("entry").clone();
    assert_eq!(
        (&last["subresource"], &last["fieldsV1"]),
        (&json!("status"), &json!({"f:status": {".": {}, "f:x": {}}}))
    );
}

#[test]
fn untracked_objects_stay_untracked() {
    let live = json!({"metadata": {"name": "c", "uid": "u"}, "data": {"a": "1"}});
    let mut new = json!({"metadata": {"name": "c", "uid": "u"}, "data": {"a": "2"}});
    on_update(config_map(), &live, &mut new, &write("one", "2026-01-01T00:00:00Z"));
    assert_eq!(managed_fields(&new), &Value::Null);
    let config =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1", "b": "1"}});
    let applied = crate::patch::apply::apply(config_map(), &live, &config, &write("a", "2026-01-01T00:00:01Z"), false);
    let object = applied.expect("applies").object;
    let managers: Vec<&str> =
        managed_fields(&object).as_array().expect("entries").iter().filter_map(|e| e["manager"].as_str()).collect();
    assert_eq!(managers, ["a", BEFORE_FIRST_APPLY]);
}

/// Protocol: S4
#[test]
fn old_updates_are_merged() {
    let typing = config_map();
    let mut live = json!({"metadata": {"name": "c", "uid": "u"}, "data": {"k0": "v"}});
    let times: Vec<String> = (0..15).map(|i| format!("2026-01-01T00:00:{i:02}Z")).collect();
    let managers: Vec<String> = (0..15).map(|i| format!("m{i}")).collect();
    on_create(typing, &mut live, &write(&managers[0], &times[0]));
    for i in 1..15 {
        let mut new = live.clone();
        new["data"][format!("k{i}")] = json!("v");
        on_update(typing, &live, &mut new, &write(&managers[i], &times[i]));
        live = new;
    }
    let entries = decode(managed_fields(&live)).expect("entries");
    assert_eq!(entries.len(), MAX_UPDATE_ENTRIES);
    assert_eq!(entries[0].manager, ANCIENT);
    assert_eq!(entries[0].set.paths().len(), 7, "the map and six keys");
    assert_eq!(entries[9].manager, "m14");
    assert_eq!(&encode(&entries), managed_fields(&live));
}
