//! Tables of expressions: what they are, cost and complain about.

mod upstream;

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{Bindings, CompileError, Decl, Env, Evaluation, Program, Type, Value};

/// The schema and the object that the tables' `self` is of.
fn subject() -> (Arc<Decl>, Json) {
    let schema: Json = serde_json::from_str(include_str!("tests/schema.json")).unwrap();
    let object = serde_json::from_str(include_str!("tests/object.json")).unwrap();
    (Arc::new(Decl::from_schema(&schema, true).unwrap().named("selfType")), object)
}

fn env(decl: &Arc<Decl>) -> Env {
    Env::with_patches()
        .declared("self", decl)
        .variable("object", Type::Dyn)
        .variable("s", Type::String)
        .variable("x", Type::Int)
}

fn compile(source: &str) -> Result<Program, CompileError> {
    env(&subject().0).compile(source)
}

fn with_object<T>(run: impl for<'a> FnOnce(&'a (dyn Bindings<'a> + 'a)) -> T) -> T {
    let (decl, object) = subject();
    let bound = [
        ("self", Value::from_json(&object, Some(&decl)).unwrap()),
        ("object", Value::from_json(&object, None).unwrap()),
        ("s", Value::from("hello world")),
        ("x", Value::Int(3)),
    ];
    struct Bound<'a, 'b>(&'b [(&'b str, Value<'a>)]);
    impl<'a> Bindings<'a> for Bound<'a, '_> {
        fn get(&self, name: &str) -> Option<Result<Value<'a>, super::EvalError>> {
            self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| Ok(value.clone()))
        }
    }
    run(&Bound(&bound))
}

fn shown(outcome: &Evaluation<'_>) -> Result<String, String> {
    match &outcome.outcome {
        Ok(Value::String(text)) => Ok(format!("{:?}", &**text)),
        Ok(Value::Bool(value)) => Ok(value.to_string()),
        Ok(Value::Int(value)) => Ok(value.to_string()),
        Ok(other) => Ok(format!("{:?}", other.runtime_type().name())),
        Err(error) => Err(error.to_string()),
    }
}

/// Every row of the table was written by upstream's own implementation.
///
/// Protocol: R3, A4
#[test]
fn agrees_with_upstream() {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for line in include_str!("tests/expected.jsonl").lines() {
        let row: Json = serde_json::from_str(line).unwrap();
        rows += 1;
        if let Some(difference) = upstream::difference(&row) {
            wrong.push(format!("{}\n    {difference}", row["expr"]));
        }
    }
    assert!(rows > 300, "the table has only {rows} rows");
    assert!(wrong.is_empty(), "{} of {rows} rows differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn bounds_hold_within_a_small_stack() {
    let deep = [
        format!("{}1{}", "(".repeat(400), ")".repeat(400)),
        format!("{}1{}", "[".repeat(240), "]".repeat(240)),
        "[1].all(x, ".repeat(120) + "true" + &")".repeat(120),
        vec!["1"; 400].join(" + "),
        vec!["true"; 4000].join(" && "),
        "!".repeat(5000) + "true",
        "a".repeat(200_000),
    ];
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        for source in deep {
            let outcome = compile(&source).map(|program| program.estimate());
            assert!(outcome.is_ok() || outcome.is_err_and(|error| !error.issues.is_empty()), "{source:.20}");
        }
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn a_budget_ends_an_evaluation() {
    let program = compile("[1, 2, 3, 4, 5].all(a, [1, 2, 3, 4, 5].all(b, [1, 2, 3].all(c, a + b + c > 0)))").unwrap();
    with_object(|bindings| {
        let done = program.evaluate(bindings, 1_000_000);
        assert_eq!(shown(&done), Ok("true".to_owned()));
        let cut = program.evaluate(bindings, 100);
        assert_eq!(shown(&cut), Err("operation cancelled: actual cost limit exceeded".to_owned()));
        assert!(cut.cost >= 100);
    });
}

#[test]
fn patches_are_made_of_objects() {
    let program = compile("Object{spec: Object.spec{replicas: 1 + 1, ?paused: optional.none()}}").unwrap();
    with_object(|bindings| {
        let made = program.evaluate(bindings, 1000).outcome.unwrap().to_json().unwrap();
        assert_eq!(made, json!({"spec": {"replicas": 2}}));
    });
    let program = compile("[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('b/c~'), value: {'d': [1]}}]");
    with_object(|bindings| {
        let made = program.unwrap().evaluate(bindings, 1000).outcome.unwrap().to_json().unwrap();
        assert_eq!(made, json!([{"op": "add", "path": "/a/b~1c~0", "value": {"d": [1]}}]));
    });
}

/// Protocol: R3
#[test]
fn a_chain_of_mappers_does_not_double_without_end() {
    let chain = |length: usize| format!("optional.of(1){}.hasValue()", ".optMap(y, y + x)".repeat(length));
    assert!(compile(&chain(6)).is_ok());
    let Err(error) = compile(&chain(60)) else { panic!("it is too complex") };
    let complaint = format!("{error:?}");
    assert!(complaint.contains("expression is too complex"), "{complaint}");
}
