//! Which first objects there are, and what is done about those that exist.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Bootstrap, Seed, Upkeep, Write, plan, seed};

fn config(hub: bool) -> Bootstrap {
    Bootstrap {
        hub,
        client_ca_pem: "PEM".into(),
        front_proxy_ca_pem: "PROXY".into(),
        address: "10.0.0.1:6443".parse().unwrap(),
        service_cidr: "10.96.0.0/12".into(),
    }
}

fn keys(config: &Bootstrap) -> BTreeSet<String> {
    let key =
        |seed: &Seed| format!("{} {} {}", seed.gvr.resource, super::namespace(&seed.object), super::name(&seed.object));
    let keys: Vec<_> = seed::objects(config).iter().map(key).collect();
    let unique: BTreeSet<_> = keys.iter().cloned().collect();
    assert_eq!(keys.len(), unique.len(), "an object stands in the table twice");
    unique
}

/// Protocol: B1
#[test]
fn first_objects() {
    let hub = keys(&config(true));
    for key in [
        "namespaces  default",
        "namespaces  kube-system",
        "namespaces  kube-public",
        "namespaces  kube-node-lease",
        "namespaces  fedgate-system",
        "clusterroles  cluster-admin",
        "clusterrolebindings  system:fedgate:ingress",
        "services default kubernetes",
        "endpointslices default kubernetes",
        "ingressclasses  fedgate",
        "serviceaccounts fedgate-system placement",
        "priorityclasses  system-node-critical",
        "servicecidrs  kubernetes",
        "configmaps kube-system extension-apiserver-authentication",
        "apiservices  v1.",
        "apiservices  v1.apps",
        "apiservices  v1alpha1.fedgate.dev",
    ] {
        assert!(hub.contains(key), "{key}");
    }
    let member = keys(&config(false));
    assert!(member.is_subset(&hub));
    for key in [
        "ingressclasses  fedgate",
        "clusterroles  system:fedgate:placement",
        "serviceaccounts fedgate-system placement",
    ] {
        assert!(!member.contains(key), "{key}");
    }
    let local = Bootstrap { address: "127.0.0.1:7443".parse().unwrap(), ..config(true) };
    assert!(!keys(&local).contains("endpointslices default kubernetes"), "nobody can be sent to loopback");
}

#[test]
fn the_range_of_services_is_told_ready_once() {
    let now = "2026-01-02T03:04:05.6Z".parse().unwrap();
    let ready = seed::ready(json!({"metadata": {"name": "kubernetes"}}), now).expect("nobody said so");
    assert_eq!(ready["status"]["conditions"][0]["lastTransitionTime"], "2026-01-02T03:04:05Z");
    assert_eq!(seed::ready(ready, now), None);
}

fn mend(upkeep: Upkeep, stored: &Value, wanted: &Value) -> Option<Write> {
    let gvr = federation_types::Gvr::new("v1", "things");
    plan(Some(stored), &Seed { gvr, object: wanted.clone(), upkeep })
}

fn rule(verb: &str, resource: &str) -> Value {
    json!({"apiGroups": [""], "resources": [resource], "verbs": [verb]})
}

#[test]
fn what_exists_is_left_or_mended() {
    let wanted = json!({"data": {"a": "new"}});
    assert_eq!(mend(Upkeep::Leave, &json!({"data": {"a": "old"}}), &wanted), None);
    let names = |names: &str| json!({"data": {"requestheader-allowed-names": names}});
    let (ours, both) = (names(r#"["ours"]"#), names(r#"["theirs","ours"]"#));
    let mended = mend(Upkeep::Trust, &names(r#"["theirs"]"#), &ours);
    assert_eq!(mended, Some(Write::Replace(both.clone())), "other servers have said something too");
    assert_eq!(mend(Upkeep::Trust, &both, &ours), None);
    let wanted = json!({"spec": {"ports": [{"port": 443, "targetPort": 6443}]}});
    let stored = |target: u16| json!({"spec": {"clusterIP": "10.1.0.1", "ports": [{"port": 443, "targetPort": target, "protocol": "TCP"}]}});
    assert_eq!(mend(Upkeep::Address, &stored(6443), &wanted), None, "defaults are no difference");
    assert!(
        matches!(mend(Upkeep::Address, &stored(7443), &wanted), Some(Write::Replace(object)) if object["spec"]["clusterIP"] == "10.1.0.1")
    );
    let seed = Seed { gvr: federation_types::Gvr::new("v1", "things"), object: wanted.clone(), upkeep: Upkeep::Leave };
    assert_eq!(plan(None, &seed), Some(Write::Create(wanted)));
}

/// Protocol: B1
#[test]
fn the_default_policy_is_mended_as_upstream_does() {
    let auto = "rbac.authorization.kubernetes.io/autoupdate";
    let role = |rules: Value| json!({"metadata": {"name": "r", "annotations": {auto: "true"}, "labels": {"a": "b"}}, "rules": rules});
    let wanted = role(json!([rule("get", "pods"), rule("get", "nodes")]));
    let policy = |stored: &Value, wanted: &Value| match mend(Upkeep::Policy, stored, wanted) {
        Some(Write::Replace(object)) => Some(object),
        None => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(policy(&wanted, &wanted), None);
    let wide = role(json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]));
    assert_eq!(policy(&wide, &wanted), None, "more than enough is enough");
    let got = policy(&role(json!([rule("get", "pods"), rule("list", "secrets")])), &wanted).unwrap();
    assert_eq!(got["rules"], json!([rule("get", "pods"), rule("list", "secrets"), rule("get", "nodes")]));
    assert_eq!(policy(&role(Value::Null), &wanted).unwrap()["rules"], wanted["rules"]);
    let mut protected = role(json!([]));
    protected["metadata"]["annotations"][auto] = json!("false");
    assert_eq!(policy(&protected, &wanted), None);
    let mut bare = wanted.clone();
    bare["metadata"] = json!({"name": "r", "labels": {"a": "mine"}});
    let got = policy(&bare, &wanted).unwrap();
    assert_eq!(got["metadata"], json!({"name": "r", "annotations": {auto: "true"}, "labels": {"a": "mine"}}));

    let mut gathers = role(Value::Null);
    gathers["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"x": "y"}}]});
    let got = policy(&role(json!([rule("get", "pods")])), &gathers).unwrap();
    assert_eq!(got["aggregationRule"], gathers["aggregationRule"]);
    let got = policy(&gathers, &wanted).unwrap();
    assert_eq!(got.get("aggregationRule"), None);

    let subject = |name: &str| json!({"kind": "User", "name": name});
    let binding = |role: &str, names: &[&str]| {
        let subjects: Vec<_> = names.iter().map(|name| subject(name)).collect();
        json!({"metadata": {"name": "b"}, "roleRef": {"name": role}, "subjects": subjects})
    };
    let got = policy(&binding("r", &["ann"]), &binding("r", &["bob"])).unwrap();
    assert_eq!(got["subjects"], json!([subject("ann"), subject("bob")]));
    let other = mend(Upkeep::Policy, &binding("x", &["ann"]), &binding("r", &["bob"]));
    assert_eq!(other, Some(Write::Recreate(binding("r", &["bob"]))), "a role reference cannot be changed in place");
}

/// Protocol: B1, G1
#[test]
fn aggregated_servers_learn_whom_to_believe() {
    let find = |config: &Bootstrap| {
        let seeds = seed::objects(config).into_iter();
        let mut named = seeds.filter(|seed| super::name(&seed.object) == "extension-apiserver-authentication");
        named.next().map(|seed| seed.object["data"].clone())
    };
    let both = find(&config(true)).expect("there");
    assert_eq!(both["client-ca-file"], "PEM");
    assert_eq!(both["requestheader-client-ca-file"], "PROXY");
    assert_eq!(both["requestheader-allowed-names"], r#"["front-proxy-client"]"#);
    assert_eq!(both["requestheader-username-headers"], r#"["X-Remote-User"]"#);
    assert_eq!(both["requestheader-uid-headers"], r#"["X-Remote-Uid"]"#);
    assert_eq!(both["requestheader-group-headers"], r#"["X-Remote-Group"]"#);
    assert_eq!(both["requestheader-extra-headers-prefix"], r#"["X-Remote-Extra-"]"#);
    let alone = find(&Bootstrap { front_proxy_ca_pem: String::new(), ..config(true) }).expect("there");
    assert_eq!(alone, json!({"client-ca-file": "PEM"}));
    assert_eq!(
        find(&Bootstrap { client_ca_pem: String::new(), front_proxy_ca_pem: String::new(), ..config(true) }),
        None
    );
}
