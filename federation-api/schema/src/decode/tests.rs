//! Bodies as clients and attackers send them.

use serde_json::{Value, json};

use super::{
    DecodeError, Decoded, Expected, FieldValidation, Finding, Format, MAX_DEPTH, conform, decode, drop_noise, untyped,
};
use crate::facts::{Resource, kubernetes};

fn resource(group: &str, version: &str, plural: &str) -> &'static Resource {
    kubernetes().resource(group, version, plural).expect(plural)
}

fn read(plural: &str, body: &str, format: Format) -> Result<Decoded, DecodeError> {
    let resource = kubernetes().resources().find(|resource| resource.plural == plural).expect(plural);
    decode(kubernetes(), &Expected::object(resource), body.as_bytes(), format)
}

fn json(plural: &str, body: &str) -> Result<Decoded, DecodeError> {
    read(plural, body, Format::Json)
}

fn message(result: Result<Decoded, DecodeError>) -> String {
    result.expect_err("refused").to_string()
}

#[test]
fn built_ins_become_canonical() {
    let body = r#"{"metadata":{"name":"a","creationTimestamp":null,"deletionTimestamp":"2020-01-01T02:00:00.5+02:00"},
        "spec":{"nodeName":null,"containers":[{"name":"c","resources":{"limits":{"cpu":"1000m","memory":1024}},
        "livenessProbe":{"httpGet":{"port":"http"}},"command":[null]}],"nodeSelector":{"a":null}}}"#;
    let decoded = json("pods", body).expect("fine");
    assert_eq!(
        decoded.value,
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "deletionTimestamp": "2020-01-01T00:00:00Z"},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1", "memory": "1024"}},
                "livenessProbe": {"httpGet": {"port": "http"}}, "command": [""]}], "nodeSelector": {"a": ""}}})
    );
    assert_eq!(decoded.findings, []);
}

/// Protocol: E2, N7
#[test]
fn unknown_and_duplicate_fields_are_named_in_the_order_of_the_text() {
    let body = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a","nam":1},
        "spec":{"foo":{"x":[]},"replicas":1,"replicas":2,"Paused":true,"template":{"spec":{"containers":[
        {"name":"c","unknownNested":1,"imagePullPolicy":"Always","imagePullPolicy":"Never"}]}}},"spec.x":1,
        "metadata":{"name":"b","labels":{"l":"1","l":"2"}}}"#;
    let decoded = json("deployments", body).expect("decodes");
    let texts: Vec<String> = decoded.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            r#"unknown field "metadata.nam""#,
            r#"unknown field "spec.foo""#,
            r#"duplicate field "spec.replicas""#,
            r#"unknown field "spec.Paused""#,
            r#"unknown field "spec.template.spec.containers[0].unknownNested""#,
            r#"duplicate field "spec.template.spec.containers[0].imagePullPolicy""#,
            r#"unknown field "spec.x""#,
            r#"duplicate field "metadata""#,
            r#"duplicate field "metadata.labels.l""#,
        ]
    );
    assert_eq!(decoded.value["spec"]["replicas"], 2);
    assert_eq!(decoded.value["metadata"], json!({"name": "b", "labels": {"l": "2"}}));
    assert!(decoded.value["spec"].get("foo").is_none());
    let (_, warnings) = decoded.clone().judge(FieldValidation::Warn).expect("warned");
    assert_eq!(warnings.len(), 9);
    assert_eq!(decoded.clone().judge(FieldValidation::Ignore).expect("ignored").1.len(), 0);
    let strict = decoded.judge(FieldValidation::Strict).expect_err("strict").to_string();
    assert!(
        strict.starts_with(r#"strict decoding error: unknown field "metadata.nam", unknown field "spec.foo", "#),
        "{strict}"
    );
}

/// Protocol: E4
#[test]
fn wrong_types_are_told_as_go_tells_them() {
    for (plural, body, told) in [
        (
            "deployments",
            r#"{"apiVersion":"apps/v1","kind":"Deployment","spec":{"replicas":"3"}}"#,
            r#"Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"#,
        ),
        (
            "deployments",
            r#"{"kind":"Deployment","spec":{"template":{"spec":{"containers":[{"ports":[{"containerPort":80.5}]}]}}}}"#,
            r#"Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal number 80.5 into Go struct field ContainerPort.spec.template.spec.containers.ports.containerPort of type int32"#,
        ),
        (
            "configmaps",
            r#"{"kind":"ConfigMap","data":{"a":1}}"#,
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string"#,
        ),
        (
            "configmaps",
            r#"{"kind":"ConfigMap","data":["a"]}"#,
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string"#,
        ),
        (
            "pods",
            r#"{"kind":"Pod","spec":{"containers":{}}}"#,
            r#"Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"#,
        ),
        (
            "secrets",
            r#"{"kind":"Secret","data":{"a":"x"}}"#,
            r#"Secret in version "v1" cannot be handled as a Secret: data: illegal base64 data at input byte 1"#,
        ),
        (
            "pods",
            r#"{"kind":"Pod","spec":{"replicas":1,"priority":3000000000}}"#,
            r#"Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority of type int32"#,
        ),
        (
            "pods",
            "[]",
            r"the object provided is unrecognized (must be of type Pod): json: cannot unmarshal array into Go value of type v1.Pod (5b5d)",
        ),
        (
            "pods",
            "",
            r"the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: EOF while parsing a value at line 1 column 0 (<empty>)",
        ),
        (
            "pods",
            r#"{"kind":"ConfigMap","data":{"a":"b"}}"#,
            r#"ConfigMap in version "v1" cannot be handled as a Pod: the path takes only objects of kind Pod"#,
        ),
        (
            "pods",
            r#"{"kind":"ConfigMap","spec":1}"#,
            r#"ConfigMap in version "v1" cannot be handled as a Pod: the path takes only objects of kind Pod"#,
        ),
        (
            "pods",
            r#"{"kind":"Pod","apiVersion":"v2"}"#,
            "the API version in the data (v2) does not match the expected API version (v1)",
        ),
        (
            "pods",
            r#"{"kind":"Pod"} x"#,
            r#"the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: trailing characters at line 1 column 16 ({"kind":"Pod"} x)"#,
        ),
    ] {
        assert_eq!(message(json(plural, body)), told);
    }
}

#[test]
fn quantities_and_times_are_checked() {
    let quantity = r#"{"kind":"Pod","spec":{"containers":[{"resources":{"limits":{"cpu":"1 x"}}}]}}"#;
    assert!(
        message(json("pods", quantity))
            .contains("spec.containers.resources.limits: quantities must match the regular expression")
    );
    let time = r#"{"kind":"Pod","metadata":{"deletionTimestamp":"yesterday"}}"#;
    assert!(message(json("pods", time)).contains(r#"metadata.deletionTimestamp: parsing time "yesterday" as"#));
    let zero = json("pods", r#"{"metadata":{"creationTimestamp":"0001-01-01T00:00:00Z","name":"x"}}"#).expect("fine");
    assert_eq!(zero.value["metadata"], json!({"name": "x"}));
    let lease = json("leases", r#"{"spec":{"renewTime":"2024-01-01T00:00:00.1234Z"}}"#).expect("fine");
    assert_eq!(lease.value["spec"]["renewTime"], "2024-01-01T00:00:00.123400Z");
}

/// Protocol: N7
#[test]
fn integers_keep_all_their_digits() {
    let body = r#"{"apiVersion":"apps/v1","kind":"ControllerRevision","revision":9007199254740993,"data":{"big":18446744073709551615,"f":1.5}}"#;
    let value = json("controllerrevisions", body).expect("fine").value;
    assert_eq!(value["revision"], 9_007_199_254_740_993_i64);
    assert_eq!(value["data"], json!({"big": u64::MAX, "f": 1.5}));
}

/// Protocol: N3
#[test]
fn delete_options_come_in_every_version() {
    let expected = Expected::options(kubernetes(), "DeleteOptions").expect("known");
    for api_version in ["v1", "apps/v1", "meta.k8s.io/v1"] {
        let body = format!(r#"{{"kind":"DeleteOptions","apiVersion":"{api_version}","gracePeriodSeconds":0}}"#);
        let decoded = decode(kubernetes(), &expected, body.as_bytes(), Format::Json).expect("fine");
        assert_eq!(decoded.value["gracePeriodSeconds"], 0);
    }
}

/// Protocol: N5
#[test]
fn yaml_is_read_as_upstream_reads_it() {
    let body = "
apiVersion: v1
kind: ConfigMap
metadata: &m
  name: a
  labels: {1: 'yes', true: \"2\", 1.5: x}
data:
  text: |
    one
    two
  plain: 2001-01-01
binaryData: {}
immutable: on
";
    let decoded = read("configmaps", body, Format::Yaml).expect("fine");
    assert_eq!(
        decoded.value,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "immutable": true, "binaryData": {},
            "metadata": {"name": "a", "labels": {"1": "yes", "true": "2", "1.5": "x"}},
            "data": {"text": "one\ntwo\n", "plain": "2001-01-01"}})
    );
    let value = |text: &str| untyped(text.as_bytes(), Format::Yaml).expect(text).0;
    assert_eq!(
        value("[0x1F, 0777, 0o17, 0b11, 1_000, -5, 1e3, .5, 089, 1.0.0, +1, '1', ~, n]"),
        json!([31, 511, 15, 3, 1000, -5, 1000.0, 0.5, 89.0, "1.0.0", 1, "1", null, false])
    );
    assert_eq!(
        value("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\ne: {<<: [{f: 1}, {f: 2, g: 3}]}\nh: *x"),
        json!({"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}, "e": {"f": 1, "g": 3}, "h": {"b": 1, "c": 2}})
    );
    assert_eq!(value("!!str 5"), json!("5"));
    assert_eq!(value(r#"{"a": [1, {"b": null}]}"#), json!({"a": [1, {"b": null}]}));
    assert_eq!(value("# nothing"), Value::Null);
}

#[test]
fn yaml_is_refused_with_its_line() {
    for (body, told) in [
        ("a: 1\n---\nb: 2", "line 2: only one document is taken"),
        ("a: [", "yaml: "),
        ("a: .inf", "line 1: .inf has no JSON form"),
        ("? [a]\n: b", "line 1: a key must be a scalar"),
        ("a: !foo b", "line 1: tag !foo is not supported"),
        ("a: *b", "yaml: "),
        ("<<: 5", "map merge requires map"),
        ("~: 1", "a key must not be null"),
    ] {
        let error = untyped(body.as_bytes(), Format::Yaml).expect_err(body).to_string();
        assert!(error.contains(told), "{body:?}: {error}");
    }
    let (value, findings) = untyped(b"a: {b: [{c: 1, c: 2}]}", Format::Yaml).expect("last wins");
    assert_eq!(
        findings,
        [Finding::Twice("yaml: unmarshal errors:\n  line 1: key \"c\" already set in map".to_owned())]
    );
    assert_eq!(value, json!({"a": {"b": [{"c": 2}]}}));
}

/// Protocol: N7
#[test]
fn nothing_grows_without_bound() {
    let deep = |open: &str, close: &str, times: usize| format!("{}{}", open.repeat(times), close.repeat(times));
    let expected = Expected::object(resource("apps", "v1", "controllerrevisions"));
    let bodies = [
        (format!(r#"{{"data":{}}}"#, deep("[", "]", 200)), Format::Json),
        (format!(r#"{{"foo":{}}}"#, deep("[", "]", 100_000)), Format::Json),
        (format!("data: {}", deep("[", "]", 200)), Format::Yaml),
        (format!("data: {}", deep("[", "]", 100_000)), Format::Yaml),
    ];
    for (body, format) in bodies {
        let error = decode(kubernetes(), &expected, body.as_bytes(), format).expect_err("too deep").to_string();
        assert!(error.contains("exceeded max depth") || format == Format::Yaml, "{error}");
    }
    let laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
        d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    assert_eq!(untyped(laughs.as_bytes(), Format::Yaml).expect_err("laughs").to_string(), "more than 1000000 values");
    let heavy = format!("a: &a {}\nb: [{}]", "x".repeat(1 << 20), "*a,".repeat(1000));
    assert_eq!(untyped(heavy.as_bytes(), Format::Yaml).expect_err("heavy").to_string(), "more than 1000000 values");
    let wide = format!(r#"{{"data":[{}1]}}"#, "1,".repeat(1_000_000));
    assert!(message(json("controllerrevisions", &wide)).contains("more than 1000000 values"));
    assert_eq!(MAX_DEPTH, 128);
}

#[test]
fn what_patches_made_is_conformed() {
    let ty = resource("", "v1", "services").ty;
    let value = json!({"spec": {"ports": [{"port": 80, "x": 1}], "selector": null}, "status": {}});
    let (value, findings) = conform(kubernetes(), ty, value).expect("fine");
    assert_eq!(value, json!({"spec": {"ports": [{"port": 80}]}, "status": {}}));
    assert_eq!(findings, [Finding::Unknown("spec.ports[0].x".to_owned())]);
    let error = conform(kubernetes(), ty, json!({"spec": {"ports": {}}})).expect_err("no list").to_string();
    assert_eq!(
        error,
        "json: cannot unmarshal object into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort"
    );
}

#[test]
fn noise_is_what_go_prints_unasked() {
    let ty = resource("apps", "v1", "deployments").ty;
    let mut value = json!({"metadata": {"name": "a"}, "status": {}, "spec": {"replicas": 0, "paused": false, "strategy": {},
        "selector": {}, "template": {"metadata": {}, "spec": {"hostNetwork": false, "containers": [{"name": "", "resources": {}}]}}}});
    drop_noise(kubernetes(), ty, &mut value);
    assert_eq!(
        value,
        json!({"metadata": {"name": "a"}, "spec": {"replicas": 0, "selector": {},
        "template": {"spec": {"containers": [{"name": ""}]}}}})
    );
}

mod protobuf;

/// Protocol: N7
#[test]
fn numbers_keep_every_digit_that_a_float_has() {
    for text in ["-7.777777777777777e+54", "0.1", "1.7976931348623157e308", "5e-324"] {
        let body = format!("a: {text}");
        let (value, _) = crate::decode::untyped(body.as_bytes(), Format::Yaml).expect("a number");
        let (again, _) = crate::decode::untyped(value.to_string().as_bytes(), Format::Json).expect("JSON");
        assert_eq!(again, value, "{text}");
        assert_eq!(again["a"].as_f64(), text.parse().ok(), "{text}");
    }
}
