//! A patch whose outcome does not fit its type, told as upstream's two ways of reading it tell it.
//!
//! Source: k8s.io/apimachinery `pkg/runtime/converter.go`, k8s.io/apiserver `pkg/endpoints/handlers/patch.go`.

use serde_json::Value;

/// What the converter of strategic merge patches says where a JSON decoder says `problem`.
pub(super) fn converters_words(problem: &str) -> String {
    let found = problem.split("cannot unmarshal ").nth(1).and_then(|rest| rest.split(" into ").next());
    let wanted = problem.rsplit(" of type ").next();
    let (Some(found), Some(wanted)) = (found, wanted) else { return problem.to_owned() };
    let found = match found {
        "array" => "slice",
        "object" => "map",
        number if number.starts_with("number") && number.contains('.') => "float64",
        number if number.starts_with("number") => "int64",
        other => other,
    };
    match wanted {
        _ if wanted.starts_with("map[") => format!("cannot restore map from {found}"),
        _ if wanted.starts_with("[]") => format!("cannot restore slice from {found}"),
        _ if found.ends_with("64") => format!("cannot convert {found} to {wanted}"),
        _ if wanted.contains('.') => format!("cannot restore struct from: {found}"),
        _ => format!("unrecognized type: {wanted}"),
    }
}

/// A value as Go's `%v` prints it.
pub(super) fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(printed).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let fields: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", printed(value))).collect();
            format!("map[{}]", fields.join(" "))
        }
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{converters_words, printed};
    use serde_json::json;

    /// Protocol: P4
    #[test]
    fn both_readers_have_their_words() {
        let cases = [
            (
                "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.labels of type map[string]string",
                "cannot restore map from string",
            ),
            (
                "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
                "cannot convert int64 to string",
            ),
            (
                "json: cannot unmarshal string into Go struct field ConfigMap.immutable of type bool",
                "unrecognized type: bool",
            ),
            (
                "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.finalizers of type []string",
                "cannot restore slice from string",
            ),
            (
                "json: cannot unmarshal string into Go struct field ConfigMap.metadata of type v1.ObjectMeta",
                "cannot restore struct from: string",
            ),
            (
                "json: cannot unmarshal number 1.5 into Go struct field ObjectMeta.metadata.generation of type int64",
                "cannot convert float64 to int64",
            ),
            ("something else", "something else"),
        ];
        for (problem, words) in cases {
            assert_eq!(converters_words(problem), words);
        }
        assert_eq!(printed(&json!({"a": [1, null, {"b": "c"}]})), "map[a:[1 <nil> map[b:c]]]");
    }
}
