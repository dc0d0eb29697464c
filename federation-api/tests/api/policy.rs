//! Admission policies over HTTP: written, refused, judging and changing what is written.

use serde_json::{Value, json};

use super::hub::{CONFIG_MAPS, Hub, config_map};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

fn rules() -> Value {
    json!({"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
           "resources": ["configmaps"]}]})
}

fn policy(name: &str, spec: Value) -> Value {
    let mut body = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
                          "metadata": {"name": name}, "spec": {"matchConstraints": rules()}});
    for (field, value) in spec.as_object().expect("a spec is an object") {
        body["spec"][field] = value.clone();
    }
    body
}

fn binding(policy: &str, spec: Value) -> Value {
    let mut body = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
                          "metadata": {"name": format!("{policy}-binding")},
                          "spec": {"policyName": policy, "validationActions": ["Deny"]}});
    for (field, value) in spec.as_object().expect("a spec is an object") {
        body["spec"][field] = value.clone();
    }
    body
}

async fn install(hub: &Hub, policy: &Value, binding: &Value) {
    hub.post(&format!("{GROUP}/validatingadmissionpolicies"), policy).await.expect(201);
    hub.post(&format!("{GROUP}/validatingadmissionpolicybindings"), binding).await.expect(201);
}

/// Protocol: A4
#[tokio::test]
async fn an_expression_that_does_not_compile_is_refused() {
    let hub = Hub::start().await;
    for (expression, wanted) in [
        (
            "object.data.",
            "spec.validations[0].expression: Invalid value: \"object.data.\": compilation failed: ERROR: <input>:1:",
        ),
        ("1 + 'a' == 2", "compilation failed: ERROR: <input>:1:3: found no matching overload for '_+_' applied to"),
        ("nothing", "undeclared reference to 'nothing' (in container '')\\n | nothing\\n | ^"),
        ("'text'", "spec.validations[0].expression: Invalid value: \"'text'\": must evaluate to bool but got string"),
    ] {
        let body = policy("bad", json!({"validations": [{"expression": expression}]}));
        let status = hub.post(&format!("{GROUP}/validatingadmissionpolicies"), &body).await.expect(422);
        let message = status["message"].as_str().expect("a message").replace('\n', "\\n");
        assert!(message.contains(wanted), "{message}");
    }
}

/// Protocol: A4
#[tokio::test]
async fn a_policy_judges_what_its_binding_says() {
    let hub = Hub::start().await;
    let spec = json!({
        "variables": [{"name": "key", "expression": "object.data.?key.orValue('')"}],
        "matchConditions": [{"name": "not-exempt", "expression": "!object.metadata.name.startsWith('exempt')"}],
        "validations": [{"expression": "variables.key == 'right'", "reason": "Forbidden",
                         "messageExpression": "'key is ' + variables.key"}],
    });
    install(&hub, &policy("right", spec), &binding("right", json!({}))).await;
    let status = hub.post(CONFIG_MAPS, &config_map("one")).await.expect(403);
    let message = "configmaps \"one\" is forbidden: ValidatingAdmissionPolicy 'right' with binding 'right-binding' \
                   denied request: key is value";
    assert_eq!(status["message"], message);
    assert_eq!(status["reason"], "Forbidden");
    hub.post(CONFIG_MAPS, &config_map("exempt")).await.expect(201);
    let mut fine = config_map("two");
    fine["data"]["key"] = json!("right");
    hub.post(CONFIG_MAPS, &fine).await.expect(201);
    fine["data"]["key"] = json!("wrong");
    hub.put(&format!("{CONFIG_MAPS}/two"), &fine).await.expect(403);
    // Gone as soon as its deletion was acknowledged.
    hub.delete(&format!("{GROUP}/validatingadmissionpolicybindings/right-binding")).await.expect(200);
    hub.put(&format!("{CONFIG_MAPS}/two"), &fine).await.expect(200);
}

/// Protocol: A4
#[tokio::test]
async fn a_binding_may_only_warn() {
    let hub = Hub::start().await;
    let spec = json!({"validations": [{"expression": "false", "message": "no"}]});
    install(&hub, &policy("warns", spec), &binding("warns", json!({"validationActions": ["Warn"]}))).await;
    let reply = hub.post(CONFIG_MAPS, &config_map("one")).await;
    let warning = reply.headers.get("warning").and_then(|text| text.to_str().ok()).unwrap_or("").to_owned();
    reply.expect(201);
    let wanted = "Validation failed for ValidatingAdmissionPolicy 'warns' with binding 'warns-binding': no";
    assert!(warning.contains(wanted), "{warning}");
}

/// Protocol: A4
#[tokio::test]
async fn parameters_come_from_the_binding() {
    let hub = Hub::start().await;
    hub.post(CONFIG_MAPS, &config_map("limits")).await.expect(201);
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "object.data.key != params.data.key"}],
    });
    let reference = json!({"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"});
    install(&hub, &policy("params", spec), &binding("params", json!({"paramRef": reference}))).await;
    let status = hub.post(CONFIG_MAPS, &config_map("one")).await.expect(422);
    let wanted = "denied request: failed expression: object.data.key != params.data.key";
    assert!(status["message"].as_str().expect("a message").ends_with(wanted), "{status}");
    hub.delete(&format!("{CONFIG_MAPS}/limits")).await.expect(200);
    let status = hub.post(CONFIG_MAPS, &config_map("one")).await.expect(422);
    let wanted = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";
    assert!(status["message"].as_str().expect("a message").ends_with(wanted), "{status}");
}

/// Protocol: A4
#[tokio::test]
async fn an_expression_may_ask_the_authorizer() {
    let hub = Hub::start().await;
    let check = "authorizer.serviceAccount('default', 'x').group('').resource('secrets').namespace('default')";
    let spec = json!({"validations": [
        {"expression": "authorizer.group('').resource('secrets').check('get').allowed()"},
        {"expression": format!("{check}.check('get').allowed()"), "message": "the account may not"},
    ]});
    install(&hub, &policy("asks", spec), &binding("asks", json!({}))).await;
    let status = hub.post(CONFIG_MAPS, &config_map("one")).await.expect(422);
    assert!(status["message"].as_str().expect("a message").ends_with("the account may not"), "{status}");
}

/// Protocol: A1, A4
#[tokio::test]
async fn policies_change_what_is_written() {
    let hub = Hub::start().await;
    let mutations = json!([
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
            "Object{metadata: Object.metadata{labels: {'seen': string(has(object.data))}}}"}},
        {"patchType": "JSONPatch", "jsonPatch": {"expression":
            "[JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('added'), value: object.metadata.labels.seen}]"}},
    ]);
    let body = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": "adds"}, "spec": {"matchConstraints": rules(), "mutations": mutations,
        "reinvocationPolicy": "Never"}});
    hub.post(&format!("{GROUP}/mutatingadmissionpolicies"), &body).await.expect(201);
    let body = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": "adds"}, "spec": {"policyName": "adds"}});
    hub.post(&format!("{GROUP}/mutatingadmissionpolicybindings"), &body).await.expect(201);
    let made = hub.post(CONFIG_MAPS, &config_map("one")).await.expect(201);
    assert_eq!(made["metadata"]["labels"], json!({"seen": "true"}));
    assert_eq!(made["data"], json!({"key": "value", "added": "true"}));
}

/// Two policies, the second of which changes what the first has seen.
async fn in_order(hub: &Hub, reinvocation: &str) {
    for (name, mutation) in
        [("a-copies", "Object{data: {'seen': object.data.key}}"), ("b-changes", "Object{data: {'key': 'changed'}}")]
    {
        let body = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name}, "spec": {"failurePolicy": "Fail", "reinvocationPolicy": reinvocation,
                "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
                    "operations": ["CREATE"], "resources": ["configmaps"]}]},
                "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": mutation}}]}});
        hub.post(&format!("{GROUP}/mutatingadmissionpolicies"), &body).await.expect(201);
        let body = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name}, "spec": {"policyName": name}});
        hub.post(&format!("{GROUP}/mutatingadmissionpolicybindings"), &body).await.expect(201);
    }
}

/// Protocol: A3, A4
#[tokio::test]
async fn a_policy_sees_again_what_others_have_changed() {
    for (reinvocation, seen) in [("IfNeeded", "changed"), ("Never", "value")] {
        let hub = Hub::start().await;
        in_order(&hub, reinvocation).await;
        let made = hub.config_map("a").await;
        assert_eq!((&made["data"]["key"], &made["data"]["seen"]), (&json!("changed"), &json!(seen)), "{reinvocation}");
    }
}
