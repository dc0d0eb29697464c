//! What rules match, what bindings grant, and what it costs to ask.

use super::{PolicyRule, RbacObject, RbacRules, RejectedObject, aggregated_rules, covers, missing_rights};
use crate::{Attributes, ResourceAttributes, UserInfo};
use serde_json::{Value, json};
use std::time::Instant;

fn build(objects: &[Value]) -> RbacRules {
    RbacRules::build(objects.iter().map(|object| RbacObject::from_value(object).unwrap()))
}

fn cluster_role(name: &str, rules: &Value) -> Value {
    json!({"kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
}

fn cluster_binding(name: &str, role: &str, subject: &Value) -> Value {
    json!({"kind": "ClusterRoleBinding", "metadata": {"name": name},
           "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}, "subjects": [subject]})
}

fn binding(namespace: &str, name: &str, kind: &str, role: &str, subject: &Value) -> Value {
    json!({"kind": "RoleBinding", "metadata": {"name": name, "namespace": namespace},
           "roleRef": {"kind": kind, "name": role}, "subjects": [subject]})
}

/// `VERB GROUP/RESOURCE[/SUBRESOURCE] NAMESPACE NAME`, `-` for an empty part; or `VERB /PATH`.
fn ask(rules: &RbacRules, user: &UserInfo, question: &str) -> (bool, String) {
    let parts: Vec<&str> = question.split(' ').map(|part| if part == "-" { "" } else { part }).collect();
    let attributes = match parts.as_slice() {
        [verb, path] => Attributes::path(user, verb, path),
        [verb, what, namespace, name] => {
            let mut what = what.split('/');
            let mut next = || what.next().unwrap_or("");
            let (group, resource, subresource) = (next(), next(), next());
            let target = ResourceAttributes { group, version: "v1", resource, subresource, namespace, name };
            Attributes::resource(user, verb, target)
        }
        _ => panic!("{question}"),
    };
    let decision = rules.authorize(&attributes);
    (decision.is_allowed(), decision.reason().to_owned())
}

/// Protocol: AU3
#[test]
fn rules_match_as_upstream() {
    let cases: &[(Value, &[&str], &[&str])] = &[
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}),
            &["get /pods n x", "get /pods n -", "get /pods - x"],
            &[
                "GET /pods n x",
                "list /pods n -",
                "get apps/pods n x",
                "get /pods/log n x",
                "get /podss n x",
                "get /pods",
            ],
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]}),
            &["get /pods/log n x"],
            &["get /pods n x", "get /pods/logs n x", "get /nodes/log n x"],
        ),
        (
            json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*/scale"]}),
            &["patch apps/deployments/scale n x", "get /replicationcontrollers/scale n x"],
            &["patch apps/deployments n x", "get apps/scale n x", "get apps/deployments/rescale n x"],
        ),
        (
            json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
            &["anything any/thing n x", "get /pods/exec n x"],
            &["get /healthz"],
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/*"]}),
            &[],
            &["get /pods n x", "get /pods/log n x"],
        ),
        (json!({"verbs": ["ge*"], "apiGroups": ["ap*"], "resources": ["deploy*"]}), &[], &["get apps/deployments n x"]),
        (
            json!({"verbs": ["get", "list", "create"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"]}),
            &["get /pods n x", "list /pods n x"],
            &["get /pods n y", "list /pods n -", "create /pods n -", "get /pods n X"],
        ),
        (
            json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/api/*", "/ba*d*"]}),
            &["get /healthz", "get /api/", "get /api/v1", "get /ba*dly"],
            &["get /healthz/", "get /api", "post /healthz", "get /bad", "get /pods n x"],
        ),
        (json!({"verbs": ["get"], "nonResourceURLs": ["*"]}), &["get /", "get /x/y"], &["put /"]),
        (json!({"verbs": null, "apiGroups": null, "resources": null}), &[], &["get /pods n x", "get /"]),
    ];
    let user = UserInfo::new("u", ["g"]);
    for (rule, yes, no) in cases {
        let rules = build(&[
            cluster_role("r", &json!([rule])),
            cluster_binding("b", "r", &json!({"kind": "User", "name": "u"})),
        ]);
        for question in *yes {
            assert!(ask(&rules, &user, question).0, "{rule} should allow {question}");
        }
        for question in *no {
            assert!(!ask(&rules, &user, question).0, "{rule} should not allow {question}");
        }
    }
}

#[test]
fn bindings_reach_their_subjects_and_namespaces() {
    let pods = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, {"verbs": ["get"], "nonResourceURLs": ["*"]}]);
    let rules = build(&[
        cluster_role("pods", &pods),
        json!({"kind": "Role", "metadata": {"name": "pods", "namespace": "n"},
               "rules": [{"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}]}),
        cluster_binding("everywhere", "pods", &json!({"kind": "Group", "name": "ops"})),
        cluster_binding("account", "pods", &json!({"kind": "ServiceAccount", "namespace": "n", "name": "robot"})),
        cluster_binding("nowhere", "pods", &json!({"kind": "ServiceAccount", "name": "homeless"})),
        cluster_binding("odd", "pods", &json!({"kind": "Planet", "name": "mars"})),
        binding("n", "here", "ClusterRole", "pods", &json!({"kind": "User", "name": "ann"})),
        binding("n", "local", "Role", "pods", &json!({"kind": "ServiceAccount", "name": "web"})),
        binding("m", "foreign", "Role", "pods", &json!({"kind": "User", "name": "ann"})),
        cluster_binding("dangling", "gone", &json!({"kind": "User", "name": "bob"})),
    ]);
    let account = |namespace: &str, name: &str| UserInfo::service_account(namespace, name, "");
    let user = |name: &str, group: &str| UserInfo::new(name, [group]);
    let cases = [
        (
            user("x", "ops"),
            "get /pods n p",
            Some(r#"RBAC: allowed by ClusterRoleBinding "everywhere" of ClusterRole "pods" to Group "ops""#),
        ),
        (user("x", "ops"), "get /metrics", Some("everywhere")),
        (user("ops", "x"), "get /pods n p", None),
        (account("n", "robot"), "get /pods m p", Some(r#"to ServiceAccount "robot/n""#)),
        (account("m", "robot"), "get /pods m p", None),
        (account("n", "homeless"), "get /pods n p", None),
        (user("mars", "Planet"), "get /pods n p", None),
        (
            user("ann", "x"),
            "get /pods n p",
            Some(r#"RBAC: allowed by RoleBinding "here/n" of ClusterRole "pods" to User "ann""#),
        ),
        (user("ann", "x"), "get /pods m p", None),
        (user("ann", "x"), "get /pods - p", None),
        (user("ann", "x"), "get /metrics", None),
        (account("n", "web"), "list /pods n -", Some("local/n")),
        (account("m", "web"), "list /pods n -", None),
    ];
    for (user, question, want) in cases {
        let (allowed, reason) = ask(&rules, &user, question);
        assert_eq!(allowed, want.is_some(), "{} {question}", user.name);
        assert!(reason.contains(want.unwrap_or("")), "{reason}");
    }
    let (allowed, reason) = ask(&rules, &user("bob", "x"), "get /pods n p");
    assert!(!allowed);
    assert_eq!(reason, r#"RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found"#);
    // The role `pods` of namespace n must not serve a binding of namespace m.
    let reason = ask(&rules, &user("ann", "x"), "list /pods m -").1;
    assert_eq!(reason, r#"RBAC: role.rbac.authorization.k8s.io "pods" not found"#);
}

/// Protocol: AU3
#[test]
fn aggregation_gathers_through_levels_and_survives_cycles() {
    let labelled = |name: &str, label: &str, selector: Option<&str>, resource: &str| {
        let mut role = cluster_role(name, &json!([{"verbs": ["get"], "apiGroups": [""], "resources": [resource]}]));
        role["metadata"]["labels"] = json!({ label: "true" });
        if let Some(selector) = selector {
            role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {selector: "true"}}]});
        }
        role
    };
    let mut expressions = cluster_role("expressions", &json!(null));
    expressions["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchExpressions": [
        {"key": "c", "operator": "Exists"}, {"key": "c", "operator": "In", "values": ["true"]},
        {"key": "c", "operator": "NotIn", "values": ["false"]}, {"key": "a", "operator": "DoesNotExist"}]}]});
    let objects = [
        labelled("top", "a", Some("b"), "one"),
        labelled("middle", "b", Some("c"), "two"),
        labelled("bottom", "c", Some("a"), "three"),
        labelled("other", "d", None, "four"),
        expressions,
        cluster_binding("x", "top", &json!({"kind": "User", "name": "u"})),
        cluster_binding("y", "expressions", &json!({"kind": "User", "name": "e"})),
    ];
    let rules = build(&objects);
    let user = UserInfo::new("u", ["g"]);
    for (resource, allowed) in [("one", true), ("two", true), ("three", true), ("four", false)] {
        assert_eq!(ask(&rules, &user, &format!("get /{resource} n x")).0, allowed, "{resource}");
    }
    let user = UserInfo::new("e", ["g"]);
    assert!(ask(&rules, &user, "get /three n x").0);
    assert!(!ask(&rules, &user, "get /four n x").0);
    let decoded: Vec<_> = objects.iter().map(|object| RbacObject::from_value(object).unwrap()).collect();
    let written = aggregated_rules(&decoded);
    assert_eq!(written.keys().collect::<Vec<_>>(), ["bottom", "expressions", "middle", "top"]);
    // As upstream: a role's own rules are replaced by what is gathered.
    assert_eq!(written["top"].iter().map(|rule| rule.resources[0].as_str()).collect::<Vec<_>>(), ["three", "two"]);
}

/// Protocol: AU2
#[test]
fn rules_of_a_user_are_listed_for_one_namespace() {
    let rules = build(&[
        cluster_role("a", &json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}])),
        cluster_role("b", &json!([{"verbs": ["get"], "nonResourceURLs": ["/x"]}])),
        cluster_binding("1", "a", &json!({"kind": "User", "name": "u"})),
        binding("n", "2", "ClusterRole", "b", &json!({"kind": "Group", "name": "g"})),
        binding("n", "3", "Role", "gone", &json!({"kind": "Group", "name": "g"})),
    ]);
    let user = UserInfo::new("u", ["g"]);
    assert_eq!(rules.rules_for(&user, "").rules.len(), 1);
    let applied = rules.rules_for(&user, "n");
    assert_eq!(applied.rules.len(), 2);
    assert_eq!(applied.errors.len(), 1);
    assert!(!applied.incomplete);
}

#[test]
fn coverage() {
    let held = [
        PolicyRule::resources(&["get", "list"], &["", "apps"], &["pods", "*/scale"]),
        PolicyRule {
            resource_names: vec!["a".into(), "b".into()],
            ..PolicyRule::resources(&["get"], &[""], &["secrets"])
        },
        PolicyRule::paths(&["get"], &["/api/*"]),
    ];
    let named = |names: &[&str]| PolicyRule {
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..PolicyRule::resources(&["get"], &[""], &["secrets"])
    };
    for (wanted, missing) in [
        (PolicyRule::resources(&["get"], &[""], &["pods"]), ""),
        (PolicyRule::resources(&["get"], &["apps"], &["deployments/scale", "*/scale"]), ""),
        (
            PolicyRule::resources(&["get", "watch"], &[""], &["pods"]),
            r#"{APIGroups:[""], Resources:["pods"], Verbs:["watch"]}"#,
        ),
        (PolicyRule::resources(&["*"], &[""], &["pods"]), r#"{APIGroups:[""], Resources:["pods"], Verbs:["*"]}"#),
        (
            PolicyRule::resources(&["get"], &["batch"], &["pods"]),
            r#"{APIGroups:["batch"], Resources:["pods"], Verbs:["get"]}"#,
        ),
        (named(&["a"]), ""),
        (named(&["a", "c"]), r#"{APIGroups:[""], Resources:["secrets"], ResourceNames:["c"], Verbs:["get"]}"#),
        (named(&[]), r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#),
        (PolicyRule::paths(&["get"], &["/api/v1", "/api/*"]), ""),
        (
            PolicyRule::paths(&["get"], &["/api", "*"]),
            "{NonResourceURLs:[\"*\"], Verbs:[\"get\"]}\n{NonResourceURLs:[\"/api\"], Verbs:[\"get\"]}",
        ),
    ] {
        let got = missing_rights(&covers(&held, std::slice::from_ref(&wanted)));
        assert_eq!(got, missing, "{wanted:?}");
    }
    assert!(covers(&PolicyRule::full_authority(), &held).is_empty());
}

#[test]
fn objects_that_cannot_be_read_are_refused_by_name() {
    for (object, want) in [
        (json!({"kind": "Pod", "metadata": {"name": "x"}}), "\"Pod\" is no kind"),
        (json!({"kind": "ClusterRole", "metadata": {"name": "x"}, "rules": {}}), "ClusterRole \"x\" cannot be read"),
        (json!({"kind": "ClusterRoleBinding", "metadata": {"name": "x"}}), "ClusterRoleBinding \"x\" cannot be read"),
        (
            json!({"kind": "ClusterRoleBinding", "metadata": {"name": "x", "namespace": "n"}}),
            "ClusterRoleBinding \"x\" has a namespace",
        ),
        (json!({"kind": "RoleBinding", "metadata": {"name": "x"}}), "RoleBinding \"x\" has no namespace"),
        (
            json!({"kind": "ClusterRole", "metadata": {"name": "x"}, "aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Like"}]}]}}),
            "aggregationRule.clusterRoleSelectors[0].matchExpressions[0].operator",
        ),
        (json!([]), "not a JSON object"),
    ] {
        let error: RejectedObject = RbacObject::from_value(&object).unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
    }
    assert!(RbacObject::from_slice(b"{\"kind\"").is_err());
}

/// Prints what one question costs: `cargo test -p auth --release cost -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_question() {
    let mut objects = crate::bootstrap::objects();
    for n in 0..1000 {
        let subject = json!({"kind": "User", "name": format!("user-{}", n % 100)});
        objects.push(binding(&format!("ns-{n}"), "edit", "ClusterRole", "edit", &subject));
    }
    let started = Instant::now();
    let rules = build(&objects);
    println!("build: {:?}", started.elapsed());
    let user = UserInfo::new("user-7", ["dev", "system:authenticated"]);
    for question in ["patch apps/deployments ns-107 web", "get /secrets ns-8 web", "get /api/v1"] {
        let (allowed, _) = ask(&rules, &user, question);
        let rounds: u32 = 200_000;
        let started = Instant::now();
        for _ in 0..rounds {
            std::hint::black_box(ask(&rules, &user, question));
        }
        println!("{question}: {allowed}, {:?} a question with parsing it", started.elapsed() / rounds);
    }
}
