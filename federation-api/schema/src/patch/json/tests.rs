//! RFC 6902's examples, upstream's leniencies, and hostile patches.

use serde_json::{Value, json};

use super::{MAX_OPERATIONS, apply};
use crate::patch::PatchError;

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("test JSON")
}

/// Protocol: P2
#[test]
fn patches_apply() {
    let table = [
        (r#"{"foo":"bar"}"#, r#"[{"op":"add","path":"/baz","value":"qux"}]"#, r#"{"foo":"bar","baz":"qux"}"#),
        (r#"{"a":["x","z"]}"#, r#"[{"op":"add","path":"/a/1","value":"y"}]"#, r#"{"a":["x","y","z"]}"#),
        (r#"{"a":["x"]}"#, r#"[{"op":"add","path":"/a/-","value":["y"]}]"#, r#"{"a":["x",["y"]]}"#),
        (r#"{"a":["x"]}"#, r#"[{"op":"add","path":"/a/1","value":"y"}]"#, r#"{"a":["x","y"]}"#),
        (r#"{"a":["x"]}"#, r#"[{"op":"add","path":"/a/-1","value":"y"}]"#, r#"{"a":["x","y"]}"#),
        (r#"{"a":1,"b":2}"#, r#"[{"op":"remove","path":"/a"}]"#, r#"{"b":2}"#),
        (r#"{"a":[1,2,3]}"#, r#"[{"op":"remove","path":"/a/-1"}]"#, r#"{"a":[1,2]}"#),
        (r#"{"a":1}"#, r#"[{"op":"replace","path":"/a","value":null}]"#, r#"{"a":null}"#),
        (r#"{"a":1}"#, r#"[{"op":"replace","path":"/new","value":2}]"#, r#"{"a":1,"new":2}"#),
        (r#"{"a":{"b":1},"c":{}}"#, r#"[{"op":"move","from":"/a/b","path":"/c/d"}]"#, r#"{"a":{},"c":{"d":1}}"#),
        (r#"{"a":[1,2,3]}"#, r#"[{"op":"move","from":"/a/0","path":"/a/2"}]"#, r#"{"a":[2,3,1]}"#),
        (r#"{"a":{"b":1}}"#, r#"[{"op":"copy","from":"/a","path":"/c"}]"#, r#"{"a":{"b":1},"c":{"b":1}}"#),
        (r#"{"a":[1,{"b":2.0}]}"#, r#"[{"op":"test","path":"/a","value":[1,{"b":2.0}]}]"#, r#"{"a":[1,{"b":2.0}]}"#),
        (r#"{"a":1}"#, r#"[{"op":"test","path":"/x","value":null}]"#, r#"{"a":1}"#),
        (
            r#"{"a/b":1,"m~n":2}"#,
            r#"[{"op":"test","path":"/a~1b","value":1},{"op":"replace","path":"/m~0n","value":3}]"#,
            r#"{"a/b":1,"m~n":3}"#,
        ),
        (r#"{"":1}"#, r#"[{"op":"replace","path":"/","value":2}]"#, r#"{"":2}"#),
        (r#"{"a":1}"#, r#"[{"op":"replace","path":"","value":{"b":2}}]"#, r#"{"b":2}"#),
        (r#"{"a":1}"#, r#"[{"op":"test","path":"","value":{"a":1}}]"#, r#"{"a":1}"#),
        (r#"{"a":1}"#, "[]", r#"{"a":1}"#),
        (r#"{"a":1}"#, r#"[{"op":"remove","path":"/a","extra":1}]"#, r#"{}"#),
    ];
    for (object, patch, expected) in table {
        assert_eq!(apply(parse(object), parse(patch)).as_ref(), Ok(&parse(expected)), "{object} {patch}");
    }
}

/// Protocol: P2
#[test]
fn what_does_not_apply_is_refused() {
    let unprocessable = [
        (
            r#"{}"#,
            r#"[{"op":"add","path":"/a/b","value":1}]"#,
            r#"add operation does not apply: doc is missing path: "/a/b": missing value"#,
        ),
        (
            r#"{"a":1}"#,
            r#"[{"op":"add","path":"/a/b","value":1}]"#,
            r#"add operation does not apply: doc is missing path: "/a/b": missing value"#,
        ),
        (
            r#"{"a":[]}"#,
            r#"[{"op":"add","path":"/a/2","value":1}]"#,
            "error in add for path: '/a/2': Unable to access invalid index: 2",
        ),
        (
            r#"{"a":[]}"#,
            r#"[{"op":"add","path":"/a/01","value":1}]"#,
            "error in add for path: '/a/01': Unable to access invalid index: 01",
        ),
        (
            r#"{"a":[]}"#,
            r#"[{"op":"add","path":"/a/x","value":1}]"#,
            "error in add for path: '/a/x': Unable to access invalid index: x",
        ),
        (
            r#"{}"#,
            r#"[{"op":"remove","path":"/a"}]"#,
            "error in remove for path: '/a': Unable to remove nonexistent key: a: missing value",
        ),
        (
            r#"{"a":[1]}"#,
            r#"[{"op":"remove","path":"/a/1"}]"#,
            "error in remove for path: '/a/1': Unable to access invalid index: 1",
        ),
        (
            r#"{"a":[1]}"#,
            r#"[{"op":"remove","path":"/a/-"}]"#,
            "error in remove for path: '/a/-': Unable to access invalid index: -",
        ),
        (
            r#"{}"#,
            r#"[{"op":"remove","path":""}]"#,
            r#"remove operation does not apply: doc is missing path: "": missing value"#,
        ),
        (
            r#"{"a":[]}"#,
            r#"[{"op":"replace","path":"/a/0","value":1}]"#,
            "replace operation does not apply: doc is missing key: /a/0: missing value",
        ),
        (r#"{"a":1}"#, r#"[{"op":"test","path":"/a","value":2}]"#, "testing value /a failed: test failed"),
        (r#"{"a":"1"}"#, r#"[{"op":"test","path":"/a","value":1}]"#, "testing value /a failed: test failed"),
        (
            r#"{}"#,
            r#"[{"op":"copy","from":"/a/c","path":"/b"}]"#,
            r#"copy operation does not apply: doc is missing from path: "/a/c": missing value"#,
        ),
        (
            r#"{"a":{}}"#,
            r#"[{"op":"move","from":"/a","path":"/a/b"}]"#,
            r#"move operation does not apply: doc is missing path: "/a/b": missing value"#,
        ),
        (r#"{}"#, r#"[{"op":"replace","path":"","value":1}]"#, "replace operation value must be object or array"),
        (r#"{}"#, "[{}]", "Unexpected kind: unknown"),
        (r#"{}"#, r#"[{"op":"nop","path":"/a"}]"#, "Unexpected kind: nop"),
        (r#"{}"#, r#"[{"op":"remove"}]"#, "remove operation failed to decode path: missing value"),
        (r#"{}"#, r#"[{"op":"copy","path":"/a"}]"#, "copy operation failed to decode from: missing value"),
        (
            r#"{"b":1}"#,
            r#"[{"op":"copy","path":"/a","from":"b"}]"#,
            r#"copy operation does not apply: doc is missing from path: "b": missing value"#,
        ),
        (
            r#"{"a":1}"#,
            r#"[{"op":"remove","path":"/a~"}]"#,
            "error in remove for path: '/a~': Unable to remove nonexistent key: a~: missing value",
        ),
    ];
    for (object, patch, message) in unprocessable {
        assert_eq!(apply(parse(object), parse(patch)), Err(PatchError::Unprocessable(message.into())), "{patch}");
    }
    let malformed = [r#"{}"#, r#"[1]"#, r#"[{"op":"remove","path":1}]"#];
    for patch in malformed {
        let result = apply(json!({"a": 1}), parse(patch));
        assert!(matches!(result, Err(PatchError::Malformed(_))), "{patch}: {result:?}");
    }
}

/// Protocol: P2
#[test]
fn bounds_hold() {
    let step = json!({"op": "test", "path": "/a", "value": 1});
    let many = Value::Array(vec![step; MAX_OPERATIONS + 1]);
    assert_eq!(
        apply(json!({"a": 1}), many),
        Err(PatchError::TooLarge("The allowed maximum operations in a JSON patch is 10000, got 10001".into()))
    );
    // Doubling by copy ends at the size bound, nesting by copy at the depth bound.
    let double =
        Value::Array((0..30).map(|i| json!({"op": "copy", "from": "/a", "path": format!("/a/x{i}")})).collect());
    assert!(matches!(apply(json!({"a": {"k": "v".repeat(100)}}), double), Err(PatchError::Unprocessable(_))));
    let nest: Vec<Value> = (0..200).map(|_| json!({"op": "move", "from": "/a", "path": "/b"})).collect();
    assert!(apply(json!({"a": 1}), Value::Array(nest)).is_err());
    let mut deep = Value::Null;
    for _ in 0..120 {
        deep = json!([deep]);
    }
    let patch = json!([{"op": "add", "path": "/a/b/c/d/e/f/g/h/i", "value": deep}]);
    let object = json!({"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {}}}}}}}}});
    assert!(matches!(apply(object, patch), Err(PatchError::Unprocessable(_))));
}
