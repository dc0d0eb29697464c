//! What the paths find, against answers of client-go.

use serde_json::{Value, json};

use super::JsonPath;

fn store() -> Value {
    json!({
        "name": "jsonpath",
        "book": [
            {"category": "reference", "author": "Nigel Rees", "title": "Sayings", "price": 8.95},
            {"category": "fiction", "author": "Evelyn Waugh", "title": "Sword", "price": 12.99},
        ],
        "bicycle": [{"color": "red", "price": 19.95, "isNew": true}, {"color": "green", "price": 20.01, "isNew": false}],
        "labels": {"engieer": 10, "web/html": 15, "k8s-app": 20, "a.b": 1},
        "employees": {"jason": 4, "dan": 5},
        "list": [1, 2, 3],
        "nothing": null,
    })
}

/// Protocol: T5
#[test]
fn finds_what_client_go_finds() {
    let table = [
        ("", json!([store()])),
        (".name", json!(["jsonpath"])),
        ("$.name", json!(["jsonpath"])),
        ("@.name", json!(["jsonpath"])),
        ("['name']", json!(["jsonpath"])),
        (".missing.deep", json!([])),
        (".nothing", json!([null])),
        (".nothing.x", json!([])),
        (".labels.web/html", json!([15])),
        (".labels.k8s-app", json!([20])),
        (r".labels.a\.b", json!([1])),
        (r"['labels']['a\.b']", json!([1])),
        (".list[0]", json!([1])),
        (".list[-1]", json!([3])),
        (".list[-2:]", json!([2, 3])),
        (".list[0:2]", json!([1, 2])),
        (".list[::2]", json!([1, 3])),
        (".list[*]", json!([1, 2, 3])),
        (".list[0,2]", json!([1, 3])),
        (".list[0:0]", json!([])),
        (".employees.*", json!([5, 4])),
        (".book[*].author", json!(["Nigel Rees", "Evelyn Waugh"])),
        (".book[0]['title', 'price']", json!(["Sayings", 8.95])),
        (".bicycle[?(@.price > 20.0)].color", json!(["green"])),
        (r#".bicycle[?(@.color=="red")].price"#, json!([19.95])),
        (".bicycle[?(@.color!='red')].price", json!([20.01])),
        (".bicycle[?(@.isNew==true)].color", json!(["red"])),
        (".book[?(@.price)].title", json!(["Sayings", "Sword"])),
        (".book[?(@.nope)].title", json!([])),
        ("..color", json!(["red", "green"])),
        ("..price", json!([19.95, 20.01, 8.95, 12.99])),
        (".list[?(@>1)]", json!([2, 3])),
    ];
    for (path, expected) in table {
        let parsed = JsonPath::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let found = parsed.find(&store()).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(Value::Array(found), expected, "{path}");
    }
}

#[test]
fn refuses_in_upstreams_words() {
    let table = [
        (".a[0", "unterminated array"),
        (".a[?(@.b", "unterminated filter"),
        (".a[?(@.b)", "unclosed array expect ]"),
        ("{a", "unrecognized character in action: U+007B '{'"),
        ("range .a[*]", "unrecognized identifier range"),
        (".a[x]", "invalid array index x"),
        ("....a", "invalid multiple recursive descent"),
        ("\"a", "unterminated quoted string"),
        ("&", "unrecognized character in action: U+0026 '&'"),
    ];
    for (path, expected) in table {
        assert_eq!(JsonPath::parse(path).expect_err(path), expected, "{path}");
    }
    let table = [
        (".list[5]", "array index out of bounds: index 5, length 3"),
        (".list[0:7]", "array index out of bounds: index 6, length 3"),
        (".name[0]", "string is not array or slice"),
        (".list[::-1]", "step must be > 0"),
        (".list[?(@=='x')]", "incompatible types for comparison"),
    ];
    for (path, expected) in table {
        let found = JsonPath::parse(path).expect(path).find(&store());
        assert_eq!(found.expect_err(path), expected, "{path}");
    }
}

#[test]
fn bombs_are_refused() {
    let deep = (0..100)
        .fold(json!(1), |value, _| json!([value.clone(), value]).as_array().map(|a| json!([a[0]])).expect("a list"));
    let path = format!("..x{}", "[*]".repeat(100));
    assert!(JsonPath::parse(&path).expect("a path").find(&deep).is_ok());
    assert!(JsonPath::parse(&"[?(".repeat(2000)).is_err());
    let wide = Value::Array(vec![json!([1]); 60_000]);
    assert!(JsonPath::parse("..").expect("a path").find(&wide).is_err());
}
