//! One row of upstream's answers against ours.

use serde_json::Value as Json;

use super::{compile, shown, with_object};

/// What differs, if anything does.
pub(super) fn difference(row: &Json) -> Option<String> {
    let text = |name: &str| row[name].as_str().unwrap_or("").to_owned();
    let program = match compile(&text("expr")) {
        Ok(program) => program,
        Err(error) if text("error") == error.to_string() => return None,
        Err(error) => return Some(format!("error {error:?}, wanted {:?}", text("error"))),
    };
    if !text("error").is_empty() {
        return Some(format!("compiles, wanted {:?}", text("error")));
    }
    let mut wrong = Vec::new();
    let mut compare = |what: &str, have: String, want: String| {
        if have != want {
            wrong.push(format!("{what} {have}, wanted {want}"));
        }
    };
    compare("type", program.output().to_string(), text("type"));
    let range = program.estimate();
    compare("at least", range.min.to_string(), text("min"));
    compare("at most", range.max.to_string(), text("max"));
    with_object(|bindings| {
        let outcome = program.evaluate(bindings, 1_000_000);
        let have = shown(&outcome).unwrap_or_else(|error| format!("error {error}"));
        let want = match text("fail") {
            fail if fail.is_empty() => text("value"),
            fail => format!("error {fail}"),
        };
        compare("value", have, want);
        compare("cost", outcome.cost.to_string(), row["cost"].to_string());
    });
    (!wrong.is_empty()).then(|| wrong.join("; "))
}
