//! Upstream's selector tables re-expressed, and hostile input.

use std::collections::BTreeMap;

use serde_json::json;

use super::{FieldSelector, LabelSelector, SelectorError, selectable};
use crate::field::FieldPath;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// Protocol: L7
#[test]
fn label_selectors_parse_and_print_again() {
    let table = [
        ("x=a,y=b,z=c", "x=a,y=b,z=c"),
        ("", ""),
        ("x!=a,y=b", "x!=a,y=b"),
        ("x=", "x="),
        ("x= ", "x="),
        ("x=,z= ", "x=,z="),
        ("!x", "!x"),
        ("x>1,z<5", "x>1,z<5"),
        ("a=x,b=y", "a=x,b=y"),
        ("b=y,a=x", "a=x,b=y"),
        ("x in (c,a,b)", "x in (a,b,c)"),
        ("x in (a,a)", "x in (a)"),
        ("x notin ()", "x notin ()"),
        ("x in (,)", "x in ()"),
        ("x in (a,,b)", "x in (,a,b)"),
        ("x in (a,)", "x in (,a)"),
        ("in in (in,notin)", "in in (in,notin)"),
        ("notin=in", "notin=in"),
        (" x  notin ( a , b ) , y ", "x notin (a,b),y"),
        ("example.com/x==1", "example.com/x==1"),
        ("\tx\n=\ra", "x=a"),
    ];
    for (text, printed) in table {
        let selector = LabelSelector::parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert_eq!(selector.to_string(), printed, "{text:?}");
    }
}

/// Protocol: L7
#[test]
fn label_selectors_are_refused_in_upstreams_words() {
    let name = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let value = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
    let table = [
        ("x=a||y=b", format!("unable to parse requirement: values[0][x]: Invalid value: \"a||y\": {value}")),
        ("x==a==b", "found '==', expected: ',' or 'end of string'".into()),
        ("!x=a", "found '=', expected: ',' or 'end of string'".into()),
        (
            "x<a",
            "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer".into(),
        ),
        ("(", "found '(', expected: !, identifier, or 'end of string'".into()),
        (",", "found ',', expected: !, identifier, or 'end of string'".into()),
        ("a,", "found '', expected: identifier after ','".into()),
        ("a,,b", "found ',', expected: identifier after ','".into()),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt".into()),
        ("a in b", "unable to parse requirement: found 'b' expected: '('".into()),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'".into()),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'".into()),
        ("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier".into()),
        ("a=(", "unable to parse requirement: found '(', expected: identifier".into()),
        ("!", "unable to parse requirement: found '', expected: identifier".into()),
        ("!!a", "unable to parse requirement: found '!', expected: identifier".into()),
        ("%=a", format!("unable to parse requirement: <nil>: Invalid value: \"%\": {name}")),
    ];
    for (text, message) in table {
        let error = LabelSelector::parse(text).expect_err(text);
        assert_eq!(error.to_string(), message, "{text:?}");
    }
}

#[test]
fn labels_match() {
    let set = labels(&[("foo", "bar"), ("baz", "blah"), ("n", "3"), ("notin", "in")]);
    let yes = [
        "",
        "foo=bar",
        "foo==bar",
        "baz=blah,foo=bar",
        "foo!=x",
        "absent!=x",
        "foo in (a,bar)",
        "foo notin (a)",
        "absent notin (a)",
        "foo",
        "!absent",
        "n>2",
        "n<4",
        "notin=in",
    ];
    let no = [
        "foo=blah",
        "absent=x",
        "absent=",
        "foo!=bar",
        "foo notin (bar)",
        "!foo",
        "absent",
        "n>3",
        "n<3",
        "foo>1",
        "absent>0",
    ];
    for text in yes {
        assert!(LabelSelector::parse(text).unwrap().matches(&set), "{text}");
    }
    for text in no {
        assert!(!LabelSelector::parse(text).unwrap().matches(&set), "{text}");
    }
    assert!(!LabelSelector::nothing().matches(&set));
    assert!(!LabelSelector::nothing().is_empty());
    assert_eq!(LabelSelector::parse("a in (b)").unwrap().exact("a"), Some("b"));
    assert_eq!(LabelSelector::parse("a in (b,c)").unwrap().exact("a"), None);
    assert_eq!(LabelSelector::parse("a!=b").unwrap().exact("a"), None);
    let slice: &[(&str, &str)] = &[("foo", "bar")];
    assert!(LabelSelector::from_pairs([("foo", "bar")]).matches(slice));
    assert!(LabelSelector::parse("!x").unwrap().matches(&()));
}

#[test]
fn selector_objects() {
    let path = FieldPath::root("spec.selector");
    let good = [
        (json!(null), "nothing"),
        (json!({}), ""),
        (json!({"matchLabels": null}), ""),
        (json!({"matchLabels": {"b": "1", "a": "2"}}), "a=2,b=1"),
        (
            json!({"matchLabels": {"a": "1"}, "matchExpressions": [
                {"key": "b", "operator": "In", "values": ["y", "x"]},
                {"key": "c", "operator": "NotIn", "values": ["z"]},
                {"key": "d", "operator": "Exists"},
                {"key": "e", "operator": "DoesNotExist", "values": []}]}),
            "a=1,b in (x,y),c notin (z),d,!e",
        ),
    ];
    for (object, printed) in good {
        let selector = LabelSelector::from_object(&object, &path).unwrap_or_else(|e| panic!("{object}: {e:?}"));
        if printed == "nothing" {
            assert_eq!(selector, LabelSelector::nothing());
        } else {
            assert_eq!(selector.to_string(), printed);
        }
    }
    let bad = [
        (json!("a=b"), "spec.selector: Invalid value: \"a=b\": must be an object"),
        (json!({"matchLabels": {"a": 1}}), "spec.selector.matchLabels[a]: Invalid value: 1: must be a string"),
        (json!({"app": "x"}), "spec.selector: Invalid value: \"app\": unknown field"),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "Is"}]}),
            "spec.selector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator",
        ),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
            "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}),
            "spec.selector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
    ];
    for (object, message) in bad {
        let errors = LabelSelector::from_object(&object, &path).expect_err("refused");
        assert_eq!(errors.first().map(ToString::to_string).as_deref(), Some(message));
    }
}

/// Protocol: L7
#[test]
fn field_selectors() {
    let good = [
        ("", ""),
        ("metadata.name=x", "metadata.name=x"),
        ("a==b", "a=b"),
        ("b!=c,a=d", "a=d,b!=c"),
        ("a=", "a="),
        ("a=x\\,y,b=1\\=2", "a=x\\,y,b=1\\=2"),
        ("a=\\\\", "a=\\\\"),
        (",,a=b,,", "a=b"),
        ("a!==b", "refused"),
        ("=b", "=b"),
    ];
    for (text, printed) in good {
        match FieldSelector::parse(text) {
            Ok(selector) => assert_eq!(selector.to_string(), printed, "{text}"),
            Err(_) => assert_eq!(printed, "refused", "{text}"),
        }
    }
    let bad = [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("x=a,b", "invalid selector: 'x=a,b'; can't understand 'b'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ];
    for (text, message) in bad {
        assert_eq!(FieldSelector::parse(text).expect_err(text).to_string(), message);
    }
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n"}, "status": {"podIPs": [{"ip": "1.2.3.4"}]}});
    let table = [
        ("metadata.name=p", true),
        ("metadata.name!=p", false),
        ("spec.nodeName=n,status.phase=", true),
        ("status.phase!=Failed,status.phase!=Succeeded", true),
        ("spec.hostNetwork=false", true),
        ("status.podIPs=1.2.3.4", true),
        ("spec.nodeName=other", false),
    ];
    for (text, expected) in table {
        let selector = FieldSelector::parse(text).unwrap();
        assert!(selector.check(|f| selectable::is_selectable("", "Pod", f)).is_ok());
        assert_eq!(selector.matches(|field| selectable::value(&pod, field)), expected, "{text}");
    }
    let unknown = FieldSelector::parse("spec.color=red").unwrap();
    let error = unknown.check(|f| selectable::is_selectable("", "Pod", f)).expect_err("unknown field");
    assert_eq!(error, SelectorError::UnsupportedField("spec.color".into()));
    assert_eq!(error.to_string(), "field label not supported: spec.color");
    assert_eq!(FieldSelector::parse("metadata.name=x").unwrap().exact("metadata.name"), Some("x"));
}

#[test]
fn hostile_selectors_never_panic() {
    let mut seed = 0x9e37_79b9_u64;
    let alphabet: Vec<char> = "ab=!,()<> \t\\/.-in notin\u{0}é\u{1f600}\"'%|".chars().collect();
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..(seed % 24) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push(alphabet[(seed >> 33) as usize % alphabet.len()]);
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 1;
        if let Ok(selector) = LabelSelector::parse(&text) {
            let printed = selector.to_string();
            assert_eq!(LabelSelector::parse(&printed).expect("prints what it parses").to_string(), printed);
        }
        if let Ok(selector) = FieldSelector::parse(&text) {
            let again = FieldSelector::parse(&selector.to_string()).expect("prints what it parses");
            assert_eq!(again.matches(|_| None), selector.matches(|_| None));
        }
    }
    let long = "a".repeat(super::MAX_SELECTOR_BYTES + 1);
    assert_eq!(LabelSelector::parse(&long), Err(SelectorError::TooLong));
    assert_eq!(FieldSelector::parse(&long), Err(SelectorError::TooLong));
    let many = vec!["a"; 30_000].join(",");
    assert_eq!(LabelSelector::parse(&many).unwrap().requirements().len(), 30_000);
    assert!(LabelSelector::parse(&"(".repeat(60_000)).is_err());
}
