//! Who may write which Role or Binding, after the cases of upstream's `policybased` storage tests.

use super::GrantingWrite;
use crate::{AuthorizerChain, Mode, RbacAuthorizer, RbacObject, RbacRules, UserInfo};
use serde_json::{Value, json};
use std::sync::Arc;

fn role(name: &str, verbs: &[&str], resource: &str) -> Value {
    json!({"kind": "ClusterRole", "metadata": {"name": name},
           "rules": [{"verbs": verbs, "apiGroups": [""], "resources": [resource]}]})
}

fn grant(role: &str, user: &str) -> Value {
    json!({"kind": "ClusterRoleBinding", "metadata": {"name": format!("{role}-{user}")},
           "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
           "subjects": [{"kind": "User", "name": user}]})
}

fn server() -> (Arc<RbacAuthorizer>, AuthorizerChain) {
    let objects = [
        role("reader", &["get", "list"], "pods"),
        json!({"kind": "ClusterRole", "metadata": {"name": "all"}, "rules": [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            {"verbs": ["*"], "nonResourceURLs": ["*"]}]}),
        json!({"kind": "ClusterRole", "metadata": {"name": "lifter"}, "rules": [
            {"verbs": ["escalate"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "resourceNames": ["x"]},
            {"verbs": ["bind"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "resourceNames": ["all"]}]}),
        grant("reader", "reader"),
        grant("all", "admin"),
        grant("lifter", "lifter"),
    ];
    let rules = RbacRules::build(objects.iter().map(|object| RbacObject::from_value(object).unwrap()));
    let rbac = Arc::new(RbacAuthorizer::new(rules));
    let chain = AuthorizerChain::of_modes(&[Mode::Rbac], &rbac);
    (rbac, chain)
}

/// Protocol: AU3
#[tokio::test]
async fn who_may_grant_what() {
    let (rbac, chain) = server();
    let rules = rbac.rules();
    let secrets = role("x", &["get", "watch"], "secrets");
    let aggregated = json!({"kind": "ClusterRole", "metadata": {"name": "x"}, "rules": null,
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
    let plain = json!({"kind": "ClusterRole", "metadata": {"name": "x"}, "rules": null});
    let mut labelled = secrets.clone();
    labelled["metadata"]["labels"] = json!({"rbac.authorization.k8s.io/aggregate-to-admin": "true"});
    let mut released = secrets.clone();
    released["metadata"]["finalizers"] = json!(["a/b"]);
    let missing = "clusterroles.rbac.authorization.k8s.io \"x\" is forbidden: user \"reader\" (groups=[\"g\" \"h\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"watch\"]}";
    let aggregation = "clusterroles.rbac.authorization.k8s.io \"x\" is forbidden: must have cluster-admin privileges to use the aggregationRule";
    let nowhere = json!({"kind": "RoleBinding", "metadata": {"name": "b", "namespace": "n"}, "roleRef": {"kind": "Role", "name": "gone"}});
    type Case<'a> = (&'a str, &'a str, Value, Option<Value>, Option<&'a str>);
    let cases: Vec<Case<'_>> = vec![
        ("holds it", "reader", role("x", &["get"], "pods"), None, None),
        ("does not hold it", "reader", secrets.clone(), None, Some(missing)),
        ("may escalate", "lifter", secrets.clone(), None, None),
        ("may escalate another role only", "lifter", role("y", &["get"], "pods"), None, Some("attempting to grant")),
        ("holds everything", "admin", secrets.clone(), None, None),
        ("aggregation needs everything", "reader", aggregated.clone(), None, Some(aggregation)),
        ("also to take it away", "reader", plain, Some(aggregated.clone()), Some(aggregation)),
        ("admin may aggregate", "admin", aggregated, None, None),
        ("finalizers grant nothing", "reader", released, Some(secrets.clone()), None),
        ("labels may", "reader", labelled, Some(secrets.clone()), Some("attempting to grant")),
        ("bind what one holds", "reader", grant("reader", "bob"), None, None),
        (
            "bind what one does not hold",
            "reader",
            grant("all", "bob"),
            None,
            Some("clusterrolebindings.rbac.authorization.k8s.io \"all-bob\" is forbidden: user \"reader\""),
        ),
        ("bind by right", "lifter", grant("all", "bob"), None, None),
        ("bind what is not there", "reader", nowhere, None, Some("role.rbac.authorization.k8s.io \"gone\" not found")),
        (
            "unreadable rules",
            "reader",
            json!({"kind": "ClusterRole", "metadata": {"name": "x"}, "rules": 7}),
            None,
            Some("is forbidden"),
        ),
        (
            "unreadable reference",
            "reader",
            json!({"kind": "RoleBinding", "metadata": {"name": "x"}}),
            None,
            Some("is forbidden"),
        ),
        ("other kinds", "reader", json!({"kind": "ConfigMap"}), None, None),
    ];
    for (name, user, new, old, want) in cases {
        let user = UserInfo::new(user, ["g", "h"]);
        let write = GrantingWrite { user: &user, new: &new, old: old.as_ref() };
        let got = write.check(&chain, &rules).await.err().map(|error| error.message);
        match (&got, want) {
            (None, None) => {}
            (Some(got), Some(want)) => assert!(got.contains(want), "{name}: {got}"),
            _ => panic!("{name}: {got:?}, wanted {want:?}"),
        }
    }
    let masters = UserInfo::new("m", ["system:masters"]);
    let write = GrantingWrite { user: &masters, new: &secrets, old: None };
    assert_eq!(write.check(&AuthorizerChain::default(), &rules).await, Ok(()));
}
