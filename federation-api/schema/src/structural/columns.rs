//! The columns that a version prints: a JSONPath each, and cells by type.
//!
//! Source: `apiextensions-apiserver/pkg/registry/customresource/tableconvertor`.

use serde_json::Value;

use crate::decode::time::Instant;
use crate::jsonpath::{JsonPath, text};

const AGE: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// One column after the name.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub name: String,
    pub ty: String,
    pub format: String,
    pub description: String,
    pub priority: i64,
    path: JsonPath,
}

/// What stands in a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Json(Value),
    /// A time that is shown as an age; none for the zero time.
    Age(Option<Instant>),
}

/// The columns of an item of `spec.versions`; `Age` where it names none.
///
/// A path that is none ends the list, as it does upstream.
pub fn of_version(version: &Value) -> Vec<Column> {
    let listed = version.get("additionalPrinterColumns").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut columns = Vec::with_capacity(listed.len().max(1));
    for column in listed {
        let field = |name: &str| column.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        let path = field("jsonPath");
        let Ok(parsed) = JsonPath::parse(&path) else { break };
        let described = field("description");
        columns.push(Column {
            name: field("name"),
            ty: field("type"),
            format: field("format"),
            description: if described.is_empty() {
                format!("Custom resource definition column (in JSONPath format): {path}")
            } else {
                described
            },
            priority: column.get("priority").and_then(Value::as_i64).unwrap_or(0),
            path: parsed,
        });
    }
    if listed.is_empty() {
        columns.extend(JsonPath::parse(".metadata.creationTimestamp").map(|path| Column {
            name: "Age".to_owned(),
            ty: "date".to_owned(),
            format: String::new(),
            description: AGE.to_owned(),
            priority: 0,
            path,
        }));
    }
    columns
}

impl Column {
    /// The cell of an object; null where the path leads nowhere or to a value of another type.
    pub fn cell(&self, object: &Value) -> Cell {
        let found = self.path.find(object).ok().and_then(|found| found.into_iter().next());
        match found {
            None => Cell::Json(Value::Null),
            Some(value) if self.ty == "string" => Cell::Json(Value::String(text(&value))),
            Some(value) => typed(&self.ty, &value),
        }
    }
}

fn typed(ty: &str, value: &Value) -> Cell {
    let json = match (ty, value) {
        ("integer", Value::Number(number)) => match number.as_i64() {
            Some(int) => Value::from(int),
            None => number.as_f64().map_or(Value::Null, |float| Value::from(float as i64)),
        },
        ("number", Value::Number(number)) => number.as_f64().map_or(Value::Null, Value::from),
        ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(text)) => {
            return match Instant::parse(text) {
                Some(time) if time.is_go_zero() => Cell::Age(None),
                Some(time) => Cell::Age(Some(time)),
                None if text.is_empty() || text == "null" => Cell::Age(None),
                None => Cell::Json(Value::from("<invalid>")),
            };
        }
        _ => Value::Null,
    };
    Cell::Json(json)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Cell, of_version};
    use crate::decode::time::Instant;

    /// Protocol: T5
    #[test]
    fn cells_have_the_type_of_their_column() {
        let object = json!({"spec": {
            "i": 1, "f": 1.5, "s": "x", "b": true, "m": {"a": "<"}, "l": [1, "a"], "n": null,
            "t": "2020-01-01T00:00:00Z", "z": "0001-01-01T00:00:00Z", "e": "",
        }});
        let age = |text: &str| Cell::Age(Instant::parse(text));
        let json = Cell::Json;
        let table = [
            ("integer", ".spec.i", json(json!(1))),
            ("integer", ".spec.f", json(json!(1))),
            ("integer", ".spec.s", json(Value::Null)),
            ("number", ".spec.i", json(json!(1.0))),
            ("number", ".spec.f", json(json!(1.5))),
            ("boolean", ".spec.b", json(json!(true))),
            ("boolean", ".spec.s", json(Value::Null)),
            ("string", ".spec.i", json(json!("1"))),
            ("string", ".spec.f", json(json!("1.5"))),
            ("string", ".spec.b", json(json!("true"))),
            ("string", ".spec.m", json(json!("{\"a\":\"\\u003c\"}"))),
            ("string", ".spec.l", json(json!("[1,\"a\"]"))),
            ("string", ".spec.l[*]", json(json!("1"))),
            ("string", ".spec.n", json(json!("<no value>"))),
            ("string", ".spec.missing", json(Value::Null)),
            ("date", ".spec.t", age("2020-01-01T00:00:00Z")),
            ("date", ".spec.z", Cell::Age(None)),
            ("date", ".spec.e", Cell::Age(None)),
            ("date", ".spec.s", json(json!("<invalid>"))),
            ("date", ".spec.i", json(Value::Null)),
        ];
        for (ty, path, expected) in table {
            let version = json!({"additionalPrinterColumns": [{"name": "C", "type": ty, "jsonPath": path}]});
            let columns = of_version(&version);
            assert_eq!(columns[0].cell(&object), expected, "{ty} {path}");
            let described = format!("Custom resource definition column (in JSONPath format): {path}");
            assert_eq!(columns[0].description, described);
        }
        let columns = of_version(&json!({}));
        assert_eq!((columns.len(), &*columns[0].name, &*columns[0].ty), (1, "Age", "date"));
    }
}
