//! Expressions that people write into objects: CEL rules and JSONPath columns.

use std::sync::{Arc, LazyLock};

use federation_schema::cel::{Decl, Env, EvalError, Type, Value};
use federation_schema::jsonpath::{JsonPath, text};
use serde_json::{Value as Json, json};

/// What one expression may spend here.
const BUDGET: u64 = 100_000;

static SELF: LazyLock<Arc<Decl>> = LazyLock::new(|| {
    let schema = json!({"type": "object", "properties": {
        "count": {"type": "integer"}, "ratio": {"type": "number"}, "name": {"type": "string", "maxLength": 10},
        "flag": {"type": "boolean"}, "port": {"x-kubernetes-int-or-string": true},
        "created": {"type": "string", "format": "date-time"}, "blob": {"type": "string", "format": "byte"},
        "wait": {"type": "string", "format": "duration"},
        "list": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 4}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    }});
    Arc::new(Decl::from_schema(&schema, true).expect("a schema").named("selfType"))
});
static OBJECT: LazyLock<Json> = LazyLock::new(|| {
    json!({
        "count": 3, "ratio": 0.5, "name": "abc", "flag": true, "port": "50%", "created": "2024-02-29T12:30:45.5Z",
        "blob": "aGVsbG8=", "wait": "1h30m", "list": ["a", "bb", "ccc"], "set": [3, 1, 2],
        "map": [{"k": "a", "v": 1}, {"k": "b", "v": 2}], "labels": {"app": "web", "tier": "front"},
    })
});
static ENV: LazyLock<Env> = LazyLock::new(|| {
    Env::with_patches()
        .declared("self", &SELF)
        .variable("object", Type::Dyn)
        .variable("s", Type::String)
        .variable("x", Type::Int)
});

/// What compiles keeps the type that the checker promised, spends no more than it may, and answers the same twice.
pub fn cel(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    let Ok(program) = ENV.compile(source) else { return };
    let estimate = program.estimate();
    assert!(estimate.min <= estimate.max, "an estimate is a range");
    let bound = [
        ("self", Value::from_json(&OBJECT, Some(&SELF)).expect("it is of its schema")),
        ("object", Value::from_json(&OBJECT, None).expect("anything is a value")),
        ("s", Value::from("hello world")),
        ("x", Value::Int(3)),
    ];
    let run = || program.evaluate(&Bound(&bound), BUDGET);
    let (first, second) = (run(), run());
    assert_eq!(first.cost, second.cost, "costs are the same");
    match (&first.outcome, &second.outcome) {
        (Ok(value), Ok(again)) => {
            assert!(first.cost <= BUDGET, "the budget holds");
            let promised = program.output();
            let plain = [Type::Bool, Type::Int, Type::Uint, Type::Double, Type::String, Type::Bytes];
            if plain.contains(promised) {
                assert_eq!(value.runtime_type(), *promised, "the checker is right");
            }
            assert_eq!(shown(value), shown(again), "the same question has the same answer");
        }
        (Err(error), Err(again)) => assert_eq!(error.to_string(), again.to_string()),
        _ => panic!("the same question has the same answer"),
    }
}

fn shown(value: &Value<'_>) -> Result<Json, String> {
    value.to_json().map_err(|error| error.to_string())
}

struct Bound<'a, 'b>(&'b [(&'b str, Value<'a>)]);

impl<'a> federation_schema::cel::Bindings<'a> for Bound<'a, '_> {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, EvalError>> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| Ok(value.clone()))
    }
}

/// A path and a tree, parted by a NUL byte: what a path finds is bounded.
pub fn jsonpath(bytes: &[u8]) {
    const MOST: usize = 200_000;
    let Some(at) = bytes.iter().position(|byte| *byte == 0) else { return };
    let Ok(path) = std::str::from_utf8(&bytes[..at]) else { return };
    let Ok(path) = JsonPath::parse(path) else { return };
    let tree: Json = serde_json::from_slice(&bytes[at + 1..]).unwrap_or_else(|_| OBJECT.clone());
    let found = path.find(&tree);
    assert_eq!(found, path.find(&tree), "the same question has the same answer");
    if let Ok(found) = &found {
        assert!(found.len() <= MOST, "{} values", found.len());
        for value in found.iter().take(10) {
            drop(text(value));
        }
    }
    assert!(found.is_ok() || path.select(&tree).is_err(), "selecting finds no more");
}
