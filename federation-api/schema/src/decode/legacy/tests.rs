//! YAML of older days, as charts and blog posts still have it.

use serde_json::json;

use super::{all, at};
use crate::decode::Format;
use crate::facts::kubernetes;

const INGRESS: &str = "
apiVersion: extensions/v1beta1
kind: Ingress
metadata: {name: web}
spec:
  backend: {serviceName: fallback, servicePort: http}
  rules:
  - host: a.example
    http:
      paths:
      - {path: /x, backend: {serviceName: web, servicePort: 80}}
      - {path: /y, pathType: Prefix, backend: {resource: {kind: Bucket, name: b}}}
";

#[test]
fn every_old_kind_has_a_current_one() {
    for legacy in all() {
        let resource = legacy.resource(kubernetes()).expect(legacy.plural);
        assert_eq!(resource.kind, legacy.kind);
        assert!(kubernetes().resource(legacy.group, legacy.version, legacy.plural).is_none());
        assert!(at(legacy.group, legacy.version, legacy.plural).is_some());
    }
    assert!(at("apps", "v1", "deployments").is_none());
}

#[test]
fn an_old_ingress_becomes_a_current_one_and_back() {
    let legacy = at("extensions", "v1beta1", "ingresses").expect("taken");
    let mut value = legacy.decode(kubernetes(), INGRESS.as_bytes(), Format::Yaml).expect("fine").value;
    assert_eq!(
        value,
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"}, "spec": {
            "defaultBackend": {"service": {"name": "fallback", "port": {"name": "http"}}},
            "rules": [{"host": "a.example", "http": {"paths": [
                {"path": "/x", "pathType": "ImplementationSpecific", "backend": {"service": {"name": "web", "port": {"number": 80}}}},
                {"path": "/y", "pathType": "Prefix", "backend": {"resource": {"kind": "Bucket", "name": "b"}}}]}}]}})
    );
    legacy.downgrade(&mut value);
    assert_eq!(value["apiVersion"], "extensions/v1beta1");
    assert_eq!(value["spec"]["backend"], json!({"serviceName": "fallback", "servicePort": "http"}));
    assert_eq!(
        value["spec"]["rules"][0]["http"]["paths"][0]["backend"],
        json!({"serviceName": "web", "servicePort": 80})
    );
    assert_eq!(
        legacy.warning(),
        "extensions/v1beta1 Ingress is deprecated in v1.14+, unavailable in v1.22+; use networking.k8s.io/v1 Ingress"
    );
}

#[test]
fn old_workloads_select_what_their_template_says() {
    let body = r#"{"kind":"DaemonSet","spec":{"rollbackTo":{},"template":{"metadata":{"labels":{"app":"web"}}}}}"#;
    let legacy = at("extensions", "v1beta1", "daemonsets").expect("taken");
    let decoded = legacy.decode(kubernetes(), body.as_bytes(), Format::Json).expect("fine");
    assert_eq!(decoded.value["apiVersion"], "apps/v1");
    assert_eq!(decoded.value["spec"]["selector"], json!({"matchLabels": {"app": "web"}}));
    assert_eq!(decoded.value["spec"]["updateStrategy"], json!({"type": "OnDelete"}));
    assert_eq!(
        decoded.findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [r#"unknown field "spec.rollbackTo""#]
    );
    let said = r#"{"spec":{"selector":{},"template":{"metadata":{"labels":{"app":"web"}}}}}"#;
    let legacy = at("apps", "v1beta1", "deployments").expect("taken");
    assert_eq!(
        legacy.decode(kubernetes(), said.as_bytes(), Format::Json).expect("fine").value["spec"]["selector"],
        json!({})
    );
}

#[test]
fn what_is_not_the_old_form_is_refused() {
    let legacy = at("networking.k8s.io", "v1beta1", "ingresses").expect("taken");
    for (body, told) in [
        ("{", "the object provided is unrecognized (must be of type Ingress)"),
        (r#"{"kind":"Pod"}"#, "cannot be handled as a Ingress"),
        (
            r#"{"apiVersion":"networking.k8s.io/v1","kind":"Ingress"}"#,
            "does not match the expected API version (networking.k8s.io/v1beta1)",
        ),
        (
            r#"{"kind":"Ingress","spec":{"rules":[{"http":{"paths":[{"backend":{"serviceName":5}}]}}]}}"#,
            "IngressServiceBackend.spec.rules.http.paths.backend.service.name of type string",
        ),
        (
            r#"{"kind":"Ingress","spec":[]}"#,
            "json: cannot unmarshal array into Go struct field Ingress.spec of type v1.IngressSpec",
        ),
    ] {
        let error = legacy.decode(kubernetes(), body.as_bytes(), Format::Json).expect_err(body).to_string();
        assert!(error.contains(told), "{error}");
    }
    let error = legacy.decode(kubernetes(), b"k8s\0", Format::Protobuf).expect_err("protobuf").to_string();
    assert!(error.contains("it is not taken without the current kind"), "{error}");
}
