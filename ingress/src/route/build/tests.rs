//! Tables for building: classes, conflicts, endpoints, problems.

use std::collections::BTreeMap;
use std::sync::Arc;

use federation_types::endpoint::{carry_over, group, marker};
use federation_types::{ClusterName, label};
use serde_json::{Value, json};

use crate::route::policy::{BodyLimit, WhenHttps};
use crate::route::{
    Balance, BuildOptions, Delivery, ExternalNames, Locality, ProblemKind, RouteTable, Subject, Way, Wish, build,
};
use crate::snapshot::{IngressClass, IngressObject, Named, ParametersObject, ServiceObject, Snapshot, TlsSecret};

fn ingress(name: &str, created: &str, spec: Value) -> Arc<IngressObject> {
    let mut spec = spec;
    if spec.get("ingressClassName").is_none() {
        spec["ingressClassName"] = json!("fedgate");
    }
    Arc::new(IngressObject::read(&json!({
        "metadata": {"name": name, "namespace": "n", "uid": name, "creationTimestamp": created},
        "spec": spec,
    })))
}

fn rule(host: &str, path: &str, kind: &str, service: &str) -> Value {
    json!({"host": host, "http": {"paths": [{"path": path, "pathType": kind, "backend": to(service)}]}})
}

fn to(service: &str) -> Value {
    json!({"service": {"name": service, "port": {"number": 80}}})
}

fn class(name: &str, controller: &str, default: bool) -> IngressClass {
    IngressClass { name: name.into(), uid: String::new(), controller: controller.into(), default, parameters: None }
}

fn services(names: &[&str]) -> BTreeMap<Named, Arc<ServiceObject>> {
    let read = |name: &&str| {
        let object = json!({"metadata": {"namespace": "n", "name": name}, "spec": {"ports": [
            {"name": "http", "port": 80, "targetPort": "web"}, {"name": "dns", "port": 53, "protocol": "UDP"},
        ]}});
        (Named::new("n", name), Arc::new(ServiceObject::read(&object)))
    };
    names.iter().map(read).collect()
}

fn slice(cluster: &str, service: &str, endpoints: Value) -> Value {
    json!({
        "metadata": {"namespace": "n", "name": format!("{service}-1.{cluster}"), "labels": {
            "kubernetes.io/service-name": service, label::CLUSTER: cluster, label::HUB: "uid",
        }},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}, {"name": "other", "port": 9090}],
        "endpoints": endpoints,
    })
}

fn pods(addresses: &[&str]) -> Value {
    addresses.iter().map(|a| json!({"addresses": [a], "targetRef": {"name": format!("pod-{a}")}})).collect()
}

fn snapshot(ingresses: Vec<Arc<IngressObject>>) -> Snapshot {
    Snapshot {
        ingresses,
        classes: vec![
            class("fedgate", label::INGRESS_CONTROLLER, false),
            class("nginx", "k8s.io/ingress-nginx", false),
        ],
        services: services(&["a", "b"]),
        ..Snapshot::default()
    }
}

fn built(snapshot: &Snapshot) -> RouteTable {
    build(snapshot, None, &BuildOptions::default())
}

fn backend(table: &RouteTable, host: &str, path: &str) -> Option<String> {
    table.find(host, path).map(|route| route.backend.name.to_string())
}

fn addresses(table: &RouteTable, backend: &str) -> Vec<String> {
    table.backend(backend).expect(backend).endpoints().iter().map(|e| e.key.address.to_string()).collect()
}

/// Ingress: 46
#[test]
fn only_ingresses_of_our_class_are_served() {
    let object = |class: Value, annotation: Option<&str>| {
        let mut object = json!({"metadata": {"name": "i", "namespace": "n", "annotations": {}}, "spec": {}});
        if !class.is_null() {
            object["spec"]["ingressClassName"] = class;
        }
        if let Some(value) = annotation {
            object["metadata"]["annotations"]["kubernetes.io/ingress.class"] = json!(value);
        }
        Arc::new(IngressObject::read(&object))
    };
    for (class_name, annotation, default, wanted) in [
        (json!("fedgate"), None, false, true),
        (json!("nginx"), None, true, false),
        (json!("absent"), None, true, false),
        (Value::Null, Some("fedgate"), false, true),
        (Value::Null, Some("nginx"), true, false),
        (Value::Null, None, false, false),
        (Value::Null, None, true, true),
        (json!("nginx"), Some("fedgate"), true, false),
    ] {
        let mut given = snapshot(vec![object(class_name.clone(), annotation)]);
        given.classes[0].default = default;
        assert_eq!(built(&given).accepted().len() == 1, wanted, "{class_name} {annotation:?} {default}");
    }
}

/// Ingress: 37, 38
#[test]
fn the_most_specific_host_decides() {
    let table = built(&snapshot(vec![
        ingress("exact", "1", json!({"rules": [rule("Web.Example.com", "/a", "Prefix", "a")]})),
        ingress("wild", "2", json!({"rules": [rule("*.example.com", "/", "Prefix", "b")]})),
        ingress("any", "3", json!({"rules": [rule("", "/any", "Exact", "a")], "defaultBackend": to("b")})),
    ]));
    for (host, path, wanted) in [
        ("web.example.com", "/a/x", Some("n/a:80")),
        ("web.example.com", "/other", Some("n/b:80")),
        ("x.example.com", "/", Some("n/b:80")),
        ("y.x.example.com", "/", Some("n/b:80")),
        ("example.com", "/any", Some("n/a:80")),
        (".example.com", "/any", Some("n/a:80")),
        ("", "/any", Some("n/a:80")),
        ("other", "/any/more", Some("n/b:80")),
    ] {
        assert_eq!(backend(&table, host, path).as_deref(), wanted, "{host}{path}");
    }
    let route = table.find("web.example.com", "/other").expect("the default backend");
    assert_eq!(&*route.ingress.name, "any", "not the wildcard's");
    let bare = built(&snapshot(vec![ingress("one", "1", json!({"rules": [rule("h", "/a", "Exact", "a")]}))]));
    assert_eq!(backend(&bare, "h", "/b"), None);
    assert_eq!(backend(&bare, "i", "/a"), None);
}

/// Ingress: 38
#[test]
fn a_default_backend_serves_its_own_hosts_and_all_without_rules() {
    let table = built(&snapshot(vec![
        ingress("one", "1", json!({"rules": [rule("h", "/a", "Exact", "a")], "defaultBackend": to("b")})),
        ingress("two", "2", json!({"rules": [rule("i", "/a", "Exact", "a")]})),
    ]));
    assert_eq!(backend(&table, "h", "/zzz").as_deref(), Some("n/b:80"));
    assert_eq!(backend(&table, "i", "/zzz"), None);
    let all = built(&snapshot(vec![ingress("all", "1", json!({"defaultBackend": to("a")}))]));
    assert_eq!(backend(&all, "whatever", "/x").as_deref(), Some("n/a:80"));
}

/// Ingress: 42
#[test]
fn the_oldest_wins_and_the_loser_hears_of_it() {
    let older = ingress("z-older", "2020-01-01T00:00:00Z", json!({"rules": [rule("h", "/", "Prefix", "a")]}));
    let newer = ingress("a-newer", "2021-01-01T00:00:00Z", json!({"rules": [rule("h", "/", "Prefix", "b")]}));
    let table = built(&snapshot(vec![newer, older]));
    assert_eq!(backend(&table, "h", "/").as_deref(), Some("n/a:80"));
    let [problem] = table.problems() else { panic!("one problem: {:?}", table.problems()) };
    assert_eq!((problem.kind, &*problem.on.name), (ProblemKind::PathTaken, "a-newer"));
    assert!(problem.message.contains("n/z-older") && problem.message.contains("spec.rules[0].http.paths[0]"));
}

/// Ingress: 43, 74
#[test]
fn what_cannot_be_routed_to_is_a_problem_that_names_the_field() {
    let port = |port: Value| json!({"service": {"name": "a", "port": port}});
    let external =
        json!({"metadata": {"namespace": "n", "name": "x"}, "spec": {"type": "ExternalName", "ports": [{"port": 80}]}});
    for (backend, kind, field) in [
        (to("missing"), ProblemKind::ServiceMissing, "spec.defaultBackend.service"),
        (port(json!({"number": 81})), ProblemKind::PortMissing, "spec.defaultBackend.service"),
        (port(json!({"name": "nope"})), ProblemKind::PortMissing, "spec.defaultBackend.service"),
        (port(json!({"number": 53})), ProblemKind::PortMissing, "spec.defaultBackend.service"),
        (to("x"), ProblemKind::BackendUnsupported, "spec.defaultBackend.service"),
        (
            json!({"resource": {"kind": "Bucket", "name": "x"}}),
            ProblemKind::BackendUnsupported,
            "spec.defaultBackend.resource",
        ),
    ] {
        let mut given = snapshot(vec![ingress("i", "1", json!({"defaultBackend": backend}))]);
        given.services.insert(Named::new("n", "x"), Arc::new(ServiceObject::read(&external)));
        let table = built(&given);
        let [problem] = table.problems() else { panic!("one problem: {:?}", table.problems()) };
        assert_eq!(problem.kind, kind);
        assert!(problem.message.starts_with(field), "{}", problem.message);
        assert!(table.find("h", "/").expect("the route stays").backend.fault.is_some());
    }
    let named = built(&snapshot(vec![ingress("i", "1", json!({"defaultBackend": port(json!({"name": "http"}))}))]));
    assert!(named.problems().is_empty() && named.backend("n/a:http").is_some());
    let bad = built(&snapshot(vec![ingress("i", "1", json!({"rules": [rule("a.*.b", "/", "Prefix", "a")]}))]));
    assert_eq!(bad.problems()[0].kind, ProblemKind::HostInvalid);
}

#[test]
fn clusters_share_one_pool_and_take_turns() {
    let mut given = snapshot(vec![ingress("i", "1", json!({"defaultBackend": to("a")}))]);
    let objects = [
        slice("west", "a", pods(&["10.2.0.1"])),
        slice("east", "a", pods(&["10.1.0.2", "10.1.0.1"])),
        slice("east", "b", pods(&["10.1.0.9"])),
    ];
    given.clusters = group(&objects);
    assert_eq!(addresses(&built(&given), "n/a:80"), ["10.1.0.1:8080", "10.2.0.1:8080", "10.1.0.2:8080"]);
    let west = ClusterName::new("west").expect("a label");
    let options = BuildOptions { locality: Some(Locality { cluster: west, zone: None }), ..BuildOptions::default() };
    let near = build(&given, None, &options);
    let picked: Vec<_> = (0..3)
        .map(|_| near.backend("n/a:80").expect("there").pick(&Wish::first(0, Way::Turn)).expect("one").key.address)
        .collect();
    assert!(picked.iter().all(|address| address.to_string() == "10.2.0.1:8080"), "{picked:?}");
}

/// Ingress: 63
#[test]
fn readiness_decides_and_draining_pods_are_the_last_resort() {
    let endpoint = |ip: &str, ready: bool, serving: bool, terminating: bool| json!({"addresses": [ip], "conditions": {"ready": ready, "serving": serving, "terminating": terminating}});
    for (endpoints, wanted) in [
        (
            json!([endpoint("10.0.0.1", true, true, false), endpoint("10.0.0.2", false, false, false)]),
            vec!["10.0.0.1:8080"],
        ),
        (
            json!([endpoint("10.0.0.1", true, true, false), endpoint("10.0.0.2", false, true, true)]),
            vec!["10.0.0.1:8080"],
        ),
        (
            json!([endpoint("10.0.0.1", false, false, true), endpoint("10.0.0.2", false, true, true)]),
            vec!["10.0.0.2:8080"],
        ),
        (json!([endpoint("10.0.0.1", false, true, false)]), vec![]),
        (json!([{"addresses": ["10.0.0.3"]}]), vec!["10.0.0.3:8080"]),
    ] {
        let mut given = snapshot(vec![ingress("i", "1", json!({"defaultBackend": to("a")}))]);
        given.clusters = group(&[slice("east", "a", endpoints.clone())]);
        assert_eq!(addresses(&built(&given), "n/a:80"), wanted, "{endpoints}");
    }
}

/// Ingress: 45
#[test]
fn addresses_that_no_pod_can_have_are_dropped() {
    let odd = ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "10.9.9.9", "10.0.0.1"];
    let mut given = snapshot(vec![ingress("i", "1", json!({"defaultBackend": to("a")}))]);
    given.clusters = group(&[slice("east", "a", pods(&odd))]);
    let own = BuildOptions { own_addresses: vec![[10, 9, 9, 9].into()], ..BuildOptions::default() };
    assert_eq!(addresses(&build(&given, None, &own), "n/a:80"), ["10.0.0.1:8080"]);
    let playground = BuildOptions { allow_loopback: true, ..own };
    assert_eq!(addresses(&build(&given, None, &playground), "n/a:80"), ["10.0.0.1:8080", "127.0.0.1:8080"]);
}

/// Ingress: 64
#[test]
fn a_rebuild_keeps_health_and_turn_and_forgets_who_is_gone() {
    let mut given = snapshot(vec![ingress("i", "1", json!({"defaultBackend": to("a")}))]);
    given.clusters = group(&[slice("east", "a", pods(&["10.0.0.1", "10.0.0.2"]))]);
    let first = built(&given);
    let backend = first.backend("n/a:80").expect("there");
    let (one, two) = (backend.endpoints()[0].clone(), backend.endpoints()[1].clone());
    assert!(backend.eject(&one, 0));
    given.clusters = group(&[slice("east", "a", pods(&["10.0.0.1", "10.0.0.3"]))]);
    let second = build(&given, Some(&first), &BuildOptions::default());
    let after = second.backend("n/a:80").expect("there").endpoints();
    assert!(Arc::ptr_eq(&after[0], &one) && after[0].ejected(1));
    assert!(second.is_live(one.id) && !second.is_live(two.id));
    assert!(after[1].id > two.id, "an id is never used again");
    // The same address under another pod is another endpoint.
    given.clusters = group(&[slice("east", "a", json!([{"addresses": ["10.0.0.1"], "targetRef": {"name": "new"}}]))]);
    let third = build(&given, Some(&second), &BuildOptions::default());
    assert!(!third.is_live(one.id));
}

/// Ingress: 73
#[test]
fn a_cluster_without_its_marker_keeps_its_endpoints() {
    let east = ClusterName::new("east").expect("a label");
    let mut given = snapshot(vec![ingress("i", "1", json!({"defaultBackend": to("a")}))]);
    let whole = group(&[slice("east", "a", pods(&["10.0.0.1"])), marker(&east)]);
    given.clusters = carry_over(&whole, group(&[]));
    assert_eq!(addresses(&built(&given), "n/a:80"), ["10.0.0.1:8080"]);
    given.clusters = carry_over(&whole, group(&[marker(&east)]));
    assert!(addresses(&built(&given), "n/a:80").is_empty());
}

/// Ingress: 47, 50
#[test]
fn tls_secrets_serve_the_hosts_that_name_them() {
    let made = rcgen::generate_simple_self_signed(["h".to_owned()]).expect("a certificate");
    let good = Arc::new(TlsSecret {
        certificate: made.cert.pem().into_bytes(),
        private_key: made.signing_key.serialize_pem().into_bytes(),
    });
    let spec = json!({
        "rules": [rule("ruled.example", "/", "Prefix", "a")],
        "tls": [
            {"hosts": ["Named.example", "*.wild.example"], "secretName": "good"}, {"secretName": "good"},
            {"hosts": ["x"], "secretName": "absent"}, {"hosts": ["y"], "secretName": "bad"}, {"hosts": ["z"]},
        ],
    });
    let mut given = snapshot(vec![ingress("i", "1", spec)]);
    assert_eq!(
        given.wanted_secrets().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["n/absent", "n/bad", "n/good"]
    );
    given.secrets.insert(Named::new("n", "good"), good);
    let bad = TlsSecret { certificate: b"x".to_vec(), private_key: Vec::new() };
    given.secrets.insert(Named::new("n", "bad"), Arc::new(bad));
    let table = built(&given);
    for (name, wanted) in [
        ("named.example", true),
        ("a.wild.example", true),
        ("wild.example", false),
        ("ruled.example", true),
        ("x", false),
        ("y", false),
        ("z", false),
    ] {
        assert_eq!(table.certs().find(name).is_some(), wanted, "{name}");
    }
    let kinds: Vec<_> = table.problems().iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, [ProblemKind::SecretMissing, ProblemKind::SecretInvalid]);
}

#[test]
fn least_of_two_is_an_option_of_the_build() {
    let given = snapshot(vec![ingress("i", "1", json!({"defaultBackend": to("a")}))]);
    let options = BuildOptions {
        delivery: Delivery { balance: Balance::LeastOfTwo, ..Delivery::default() },
        ..BuildOptions::default()
    };
    let table = build(&given, None, &options);
    assert!(table.routes().all(|route| route.delivery.balance == Balance::LeastOfTwo));
}

#[test]
fn five_thousand_routes_build_quickly() {
    let one = |n: usize| {
        let spec = json!({"rules": [rule(&format!("h{}.example", n / 50), &format!("/p{n}"), "Prefix", "a")]});
        ingress(&format!("i{n}"), "1", spec)
    };
    let given = snapshot((0..5000).map(one).collect());
    let began = std::time::Instant::now();
    let table = built(&given);
    assert_eq!(table.routes().count(), 5000);
    // Unoptimised on a busy machine; optimised it is some 5 ms.
    assert!(began.elapsed().as_millis() < 2000, "{:?}", began.elapsed());
}

fn patterned(name: &str, created: &str, annotation: (&str, &str), spec: Value) -> Arc<IngressObject> {
    let mut object = (*ingress(name, created, spec)).clone();
    object.annotations.insert(annotation.0.to_owned(), annotation.1.to_owned());
    Arc::new(object)
}

/// Ingress: 36, 41
#[test]
fn one_ingress_that_asks_for_patterns_makes_all_paths_of_its_hosts_patterns() {
    let paths = |host: &str, paths: &[(&str, &str, &str)]| {
        let path = |(path, kind, service): &(&str, &str, &str)| json!({"path": path, "pathType": kind, "backend": to(service)});
        json!({"rules": [{"host": host, "http": {"paths": paths.iter().map(path).collect::<Vec<_>>()}}]})
    };
    let any = "ImplementationSpecific";
    for annotation in [("use-regex", "true"), ("rewrite-target", "/$2")] {
        let table = built(&snapshot(vec![
            patterned(
                "one",
                "1",
                annotation,
                paths("h", &[("/api(/|$)(.*)", any, "a"), ("/a.c", any, "a"), ("/[", any, "a")]),
            ),
            ingress("two", "2", paths("h", &[("/foo", "Exact", "b"), ("/api/long/enough/to/be/first", "Prefix", "b")])),
            ingress("three", "3", paths("i", &[("/a.c", any, "b")])),
        ]));
        for (host, path, wanted) in [
            ("h", "/api", Some("n/a:80")),
            ("h", "/API/x", Some("n/a:80")),
            ("h", "/apix", None),
            ("h", "/api/long/enough/to/be/first/x", Some("n/b:80")),
            ("h", "/abc", Some("n/a:80")),
            ("h", "/FOO/more", Some("n/b:80")),
            ("i", "/abc", None),
            ("i", "/a.cd", Some("n/b:80")),
        ] {
            assert_eq!(backend(&table, host, path).as_deref(), wanted, "{annotation:?} {host}{path}");
        }
        let found = table.locate("h", "/api/x/y").expect("found");
        assert_eq!(found.groups("/api/x/y").expect("a pattern").get(2), "x/y");
        assert!(table.locate("i", "/a.c").expect("found").groups("/a.c").is_none());
        let invalid = |problem: &&crate::route::Problem| problem.kind == ProblemKind::PathInvalid;
        let [problem] = table.problems().iter().filter(invalid).collect::<Vec<_>>()[..] else { panic!("one problem") };
        assert!(problem.message.starts_with("spec.rules[0].http.paths[2].path: "), "{}", problem.message);
        let again = build(
            &snapshot(vec![patterned("one", "1", annotation, paths("h", &[("/a.c", any, "a")]))]),
            Some(&table),
            &BuildOptions::default(),
        );
        assert!(std::ptr::eq(
            &**again.locate("h", "/abc").expect("found").pattern.expect("a pattern"),
            &**table.locate("h", "/abc").expect("found").pattern.expect("a pattern"),
        ));
    }
    let off = patterned("one", "1", ("use-regex", "false"), paths("h", &[("/a.c", any, "a")]));
    assert_eq!(backend(&built(&snapshot(vec![off])), "h", "/abc"), None);
}

/// Ingress: 39
#[test]
fn rules_are_brought_into_the_form_that_requests_are_compared_in() {
    let table = built(&snapshot(vec![ingress(
        "i",
        "1",
        json!({"rules": [
            rule("h", "/a%20b", "Exact", "a"), rule("h", "/caf\u{e9}", "Prefix", "a"), rule("h", "/%61dmin", "Prefix", "b"),
        ]}),
    )]));
    for (path, wanted) in
        [("/a b", Some("n/a:80")), ("/caf\u{e9}/x", Some("n/a:80")), ("/admin/x", Some("n/b:80")), ("/a%20b", None)]
    {
        assert_eq!(backend(&table, "h", path).as_deref(), wanted, "{path}");
    }
}

/// Ingress: 37
#[test]
fn hosts_are_found_alike_in_a_table_of_any_size() {
    for count in [1, 101, 3000] {
        let one = |n: usize| {
            let host = if n.is_multiple_of(2) { format!("H{n}.Example.COM") } else { format!("*.W{n}.example.com") };
            ingress(&format!("i{n}"), "1", json!({"rules": [rule(&host, "/", "Prefix", "a")]}))
        };
        let table = built(&snapshot((0..count).map(one).collect()));
        let last = (count - 1) / 2 * 2;
        for (host, wanted) in [
            (format!("h{last}.example.com"), true),
            (format!("x.h{last}.example.com"), false),
            ("xn--bcher-kva.w1.example.com".to_owned(), count > 1),
            ("a.b.w1.example.com".to_owned(), false),
            ("w1.example.com".to_owned(), false),
        ] {
            assert_eq!(table.find(&host, "/").is_some(), wanted, "{host} of {count}");
        }
    }
}

/// Ingress: 42
#[test]
fn every_kind_of_conflict_is_decided_by_age_then_name_and_told_to_the_loser() {
    let both = |service: &str| json!({"rules": [rule("h", "/p", "Exact", service)], "defaultBackend": to(service)});
    let table = built(&snapshot(vec![
        ingress("c", "2020-01-02T00:00:00Z", both("b")),
        ingress("b", "2020-01-01T00:00:00Z", both("b")),
        ingress("a", "2020-01-01T00:00:00Z", both("a")),
    ]));
    assert_eq!(backend(&table, "h", "/p").as_deref(), Some("n/a:80"));
    assert_eq!(backend(&table, "h", "/other").as_deref(), Some("n/a:80"));
    let told: Vec<_> = table.problems().iter().map(|problem| (&*problem.on.name, problem.kind)).collect();
    assert_eq!(
        told,
        [("b", ProblemKind::PathTaken); 2].into_iter().chain([("c", ProblemKind::PathTaken); 2]).collect::<Vec<_>>()
    );
    assert!(table.problems().iter().all(|problem| problem.message.contains("n/a")), "{:?}", table.problems());
    let twice = ingress("i", "1", json!({"rules": [rule("h", "/", "Prefix", "a"), rule("h", "/", "Prefix", "b")]}));
    assert!(
        built(&snapshot(vec![twice])).problems().is_empty(),
        "the first rule of one Ingress wins, as with ingress-nginx"
    );
}

/// Ingress: 44
#[test]
fn ports_and_endpoints_come_from_each_slice_and_each_pod_counts_once() {
    let mut given = snapshot(vec![ingress("i", "1", json!({"defaultBackend": to("a")}))]);
    let numbered = |name: &str, number: u16, endpoints: Value| {
        let mut one = slice("east", "a", endpoints);
        one["metadata"]["name"] = json!(name);
        one["ports"] = json!([{"name": "http", "port": number}, {"name": "http", "port": 1, "protocol": "UDP"}]);
        one
    };
    let pod = |address: &str, name: &str| json!({"addresses": [address], "targetRef": {"name": name}});
    let six = json!([pod("fd00::1", "p1"), pod("fd00::9", "p9")]);
    given.clusters = group(&[
        numbered("s1", 8080, json!([pod("10.0.0.1", "p1"), pod("10.0.0.2", "p2")])),
        numbered("s2", 9090, json!([pod("10.0.0.3", "p3"), pod("10.0.0.2", "p2")])),
        numbered("s3", 8080, json!([pod("10.0.0.2", "p2")])),
        numbered("s4", 8080, six),
    ]);
    let found = addresses(&built(&given), "n/a:80");
    assert_eq!(found, ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.2:9090", "10.0.0.3:9090", "[fd00::9]:8080"]);
    let many = |n: usize| {
        let all: Vec<String> = (0..100).map(|m| format!("10.1.{n}.{m}")).collect();
        numbered(&format!("m{n}"), 80, pods(&all.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    given.clusters = group(&(0..50).map(many).collect::<Vec<_>>());
    assert_eq!(addresses(&built(&given), "n/a:80").len(), 5000);
}

/// Ingress: 45
#[test]
fn what_a_service_publishes_counts_whatever_its_kind() {
    // Slices of publishNotReadyAddresses say ready whatever the pod is, also while it ends; headless and selectorless
    // services have slices like all others.
    let endpoint = |ip: &str, ready: bool, serving: bool, terminating: bool| json!({"addresses": [ip], "conditions": {"ready": ready, "serving": serving, "terminating": terminating}});
    let mut given = snapshot(vec![ingress("i", "1", json!({"defaultBackend": to("a")}))]);
    let headless = json!({"metadata": {"namespace": "n", "name": "a"}, "spec": {
        "clusterIP": "None", "publishNotReadyAddresses": true, "ports": [{"name": "http", "port": 80}],
    }});
    given.services.insert(Named::new("n", "a"), Arc::new(ServiceObject::read(&headless)));
    for (endpoints, wanted) in [
        (json!([endpoint("10.0.0.1", true, false, false)]), vec!["10.0.0.1:8080"]),
        (json!([endpoint("10.0.0.1", true, false, true)]), vec!["10.0.0.1:8080"]),
        (json!([{"addresses": ["10.0.0.7"]}]), vec!["10.0.0.7:8080"]),
    ] {
        given.clusters = group(&[slice("east", "a", endpoints.clone())]);
        assert_eq!(addresses(&built(&given), "n/a:80"), wanted, "{endpoints}");
    }
}

fn defaults(namespace: &str, given: &Value) -> (Named, Arc<ParametersObject>) {
    let object = json!({"metadata": {"namespace": namespace, "name": "p"}, "spec": {"defaults": given}});
    let read = ParametersObject::read(&object);
    (read.key.clone(), Arc::new(read))
}

/// Ingress: 84
#[test]
fn what_a_class_says_holds_where_its_ingresses_say_nothing() {
    let parameters = json!({"apiGroup": "fedgate.dev", "kind": "ClusterIngressParameters", "name": "p"});
    let class = IngressClass::read(&json!({
        "metadata": {"name": "fedgate"}, "spec": {"controller": label::INGRESS_CONTROLLER, "parameters": parameters},
    }));
    let of = |given: &Value, own: &Value| {
        let other = ingress("other", "2", json!({"rules": [rule("other", "/", "Prefix", "a")]}));
        let mut object = ingress("i", "1", json!({"rules": [rule("h", "/", "Prefix", "a")]}));
        Arc::make_mut(&mut object).annotations = own
            .as_object()
            .expect("an object")
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()))
            .collect();
        let mut all = snapshot(vec![object, other]);
        all.classes = vec![class.clone()];
        all.parameters = Some([defaults("", given)].into());
        built(&all)
    };
    let policy = |table: &RouteTable| table.find("h", "/").expect("a route").policy.clone();
    let given = json!({"limit-rps": "5", "proxy-body-size": "8m", "force-ssl-redirect": "true"});
    let table = of(&given, &json!({"proxy-body-size": "1m"}));
    let found = policy(&table);
    assert_eq!(found.limits.as_ref().and_then(|limits| limits.second).map(|rate| rate.count), Some(5));
    assert_eq!((found.bodies, found.https.when), (BodyLimit::Bytes(1 << 20), WhenHttps::Always), "its own word counts");
    assert!(table.problems().is_empty(), "{:?}", table.problems());
    // What keeps somebody out, or is of one namespace, is nothing that a class could say.
    for (given, wanted) in [
        (json!({"auth-type": "basic"}), "spec.defaults[auth-type]"),
        (json!({"configuration-snippet": "deny all;"}), "spec.defaults[configuration-snippet]"),
        (json!({"whitelist-source-range": "10.0.0.0/8"}), "spec.defaults[whitelist-source-range]"),
        (json!({"colour": "red"}), "spec.defaults[colour]"),
        (
            json!({"proxy-read-timeout": "soon"}),
            "spec.defaults[proxy-read-timeout]: \"soon\" is not a number of seconds",
        ),
    ] {
        let table = of(&given, &json!({}));
        let told: Vec<_> = table.problems().iter().map(|problem| &*problem.message).collect();
        assert!(told.len() == 1 && told[0].starts_with(wanted), "{given} {told:?}");
        assert_eq!(table.problems()[0].of, Subject::ClusterParameters, "once, wherever many Ingresses are");
        assert_eq!(policy(&table).closed, None);
    }
    // What an Ingress leaves out is its own fault, and not that of its class.
    let table = of(&json!({}), &json!({"auth-type": "basic"}));
    let told: Vec<_> = table.problems().iter().map(|problem| &*problem.message).collect();
    assert!(told.len() == 1 && told[0].starts_with("metadata.annotations[auth-secret]: "), "{told:?}");
}

/// Ingress: 46
#[test]
fn parameters_of_a_class_are_ours_and_there_or_reported() {
    let class = |parameters: Value| {
        IngressClass::read(&json!({
            "metadata": {"name": "fedgate"}, "spec": {"controller": label::INGRESS_CONTROLLER, "parameters": parameters},
        }))
    };
    let ours = |kind: &str, scope: &str| json!({"apiGroup": "fedgate.dev", "kind": kind, "scope": scope, "namespace": "n", "name": "p"});
    let known = |namespace: &str| Some([defaults(namespace, &json!({}))].into());
    for (parameters, there, wanted) in [
        (Value::Null, Some([].into()), None),
        (ours("IngressParameters", "Namespace"), known("n"), None),
        (ours("ClusterIngressParameters", "Cluster"), known(""), None),
        (ours("IngressParameters", "Namespace"), None, None),
        (ours("IngressParameters", "Namespace"), known("m"), Some(ProblemKind::ParametersMissing)),
        (ours("ClusterIngressParameters", "Cluster"), known("n"), Some(ProblemKind::ParametersMissing)),
        (ours("IngressParameters", "Cluster"), known(""), Some(ProblemKind::ParametersUnsupported)),
        (
            json!({"apiGroup": "k8s.example", "kind": "X", "name": "p"}),
            known(""),
            Some(ProblemKind::ParametersUnsupported),
        ),
    ] {
        let mut given = snapshot(vec![ingress("i", "1", json!({"rules": [rule("h", "/", "Prefix", "a")]}))]);
        given.classes = vec![class(parameters.clone())];
        given.parameters = there;
        let table = built(&given);
        assert_eq!(table.problems().first().map(|problem| problem.kind), wanted, "{parameters}");
        let told: Vec<_> = table.problems().iter().map(|problem| (problem.of, &*problem.on.name)).collect();
        assert!(told.is_empty() || told == [(Subject::Class, "fedgate")], "{told:?}");
        assert!(backend(&table, "h", "/").is_some(), "it is served as far as it can be");
    }
}

/// Ingress: 74
#[test]
fn nothing_that_is_wrong_with_one_ingress_touches_another() {
    let broken = [
        json!({}),
        json!({"rules": [{"host": "g", "http": {"paths": [{"path": "/x"}, {"path": 3, "backend": {"service": {}}}]}}]}),
        json!({"rules": [{"host": "*.*.h"}, {"host": "h/x", "http": {"paths": []}}, {"http": null}], "tls": [{"secretName": "no"}]}),
        json!({"rules": "text", "tls": 7, "defaultBackend": {"resource": {}}}),
        json!({"defaultBackend": {"service": {"name": "a", "port": {"number": 99999}}}}),
    ];
    let mut all: Vec<_> =
        broken.iter().enumerate().map(|(n, spec)| ingress(&format!("a{n}"), "1", spec.clone())).collect();
    all.push(patterned("b", "1", ("use-regex", "true"), json!({"rules": [rule("other", "/(((", "Prefix", "a")]})));
    all.push(ingress("good", "2", json!({"rules": [rule("h", "/", "Prefix", "a")]})));
    let table = built(&snapshot(all));
    assert_eq!(backend(&table, "h", "/").as_deref(), Some("n/a:80"));
    assert!(table.problems().iter().all(|problem| &*problem.on.name != "good"), "{:?}", table.problems());
    assert!(table.problems().len() >= 4, "{:?}", table.problems());
}

#[test]
fn the_oldest_ingress_that_says_anything_about_a_service_speaks_for_it() {
    let annotated = |name: &str, created: &str, given: &[(&str, &str)]| {
        let rules =
            json!({"ingressClassName": "fedgate", "rules": [rule(&format!("{name}.example"), "/", "Prefix", "a")]});
        let mut object = IngressObject::clone(&ingress(name, created, rules));
        object.annotations = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Arc::new(object)
    };
    let given = snapshot(vec![
        annotated("third", "3", &[("max-requests", "9")]),
        annotated("second", "2", &[("max-requests", "5")]),
        annotated("fourth", "4", &[("max-requests", "5")]),
        annotated("first", "1", &[("app-root", "/x")]),
    ]);
    let table = built(&given);
    let circuit = table.backend("n/a:80").expect("there").upkeep.circuit.expect("a limit");
    assert_eq!(circuit.requests, 5);
    let problems: Vec<_> = table.problems().iter().map(|problem| (&*problem.on.name, &*problem.message)).collect();
    let told =
        "metadata.annotations: the older Ingress n/second already says how the endpoints of n/a:80 are looked after";
    assert_eq!(problems, [("third", told)]);
}

/// Ingress: 45
#[test]
fn a_name_outside_is_served_where_it_is_allowed_and_never_by_an_address_of_ours() {
    let service = |name: &str| {
        ServiceObject::read(&json!({
            "metadata": {"namespace": "n", "name": "x"}, "spec": {"type": "ExternalName", "externalName": name},
        }))
    };
    let allowed = |patterns: &[&str]| BuildOptions {
        external_names: ExternalNames::new(patterns.iter().copied()).expect("patterns"),
        own_addresses: vec![[203, 0, 113, 9].into()],
        ..BuildOptions::default()
    };
    let by_name = json!({"service": {"name": "x", "port": {"name": "http"}}});
    for (name, patterns, backend, resolved, wanted, told) in [
        ("api.example.com", &[][..], to("x"), &[][..], None, "not allowed"),
        ("localhost", &["*"][..], to("x"), &[][..], None, "not allowed"),
        ("api.example.com", &["*.example.com"][..], by_name, &[][..], None, "only numbers"),
        ("api.example.com", &["*.example.com"][..], to("x"), &[][..], Some(vec![]), ""),
        (
            "api.example.com",
            &["*.example.com"][..],
            to("x"),
            &["203.0.113.7", "127.0.0.1"][..],
            Some(vec!["203.0.113.7:80"]),
            "",
        ),
        (
            "API.example.com.",
            &["*"][..],
            to("x"),
            &["169.254.169.254", "203.0.113.9", "::1"][..],
            Some(vec![]),
            "no address",
        ),
    ] {
        let mut given = snapshot(vec![ingress("i", "1", json!({"defaultBackend": backend}))]);
        given.services.insert(Named::new("n", "x"), Arc::new(service(name)));
        let options = allowed(patterns);
        let names = given.wanted_names(&options.external_names);
        assert_eq!(!names.is_empty(), options.external_names.allowed(name).is_some(), "{name} {patterns:?}");
        given.external =
            [("api.example.com".into(), resolved.iter().map(|ip| ip.parse().expect("an address")).collect())].into();
        let table = build(&given, None, &options);
        let route = table.find("h", "/").expect("the route stays");
        assert_eq!(route.backend.fault.is_none(), wanted.is_some(), "{name} {patterns:?}");
        let found: Vec<_> = route.backend.endpoints().iter().map(|e| e.key.address.to_string()).collect();
        assert_eq!(found, wanted.unwrap_or_default());
        let message = table.problems().first().map_or("", |problem| problem.message.as_str());
        assert!(message.contains(told) && message.is_empty() == told.is_empty(), "{message}");
    }
}

/// Ingress: 79
#[test]
fn ten_thousand_routes_are_each_found_in_a_few_steps() {
    let one = |host: usize| {
        let paths = (0..100).map(|path| {
            let (kind, path) = match path % 3 {
                0 => ("Exact", format!("/exact/{path}")),
                1 => ("Prefix", format!("/prefix/{path}")),
                _ => ("ImplementationSpecific", format!("/text/{path}-")),
            };
            json!({"path": path, "pathType": kind, "backend": to(if host.is_multiple_of(2) { "a" } else { "b" })})
        });
        let paths: Vec<Value> = paths.collect();
        ingress(
            &format!("i{host}"),
            "1",
            json!({"rules": [{"host": format!("h{host}.example"), "http": {"paths": paths}}]}),
        )
    };
    let table = built(&snapshot((0..100).map(one).collect()));
    assert_eq!(table.routes().count(), 10_000);
    let began = std::time::Instant::now();
    for host in 0..100 {
        let name = format!("h{host}.example");
        for path in 0..100 {
            let asked = match path % 3 {
                0 => format!("/exact/{path}"),
                1 => format!("/prefix/{path}/and/more"),
                _ => format!("/text/{path}-and-more"),
            };
            let found = table.find(&name, &asked).expect("a route");
            assert_eq!(&*found.ingress.name, format!("i{host}"), "{name}{asked}");
            assert!(table.find(&name, &format!("/none{asked}")).is_none());
        }
    }
    // Unoptimised, on a busy machine, with the texts being made; optimised a lookup takes some 100 ns.
    assert!(began.elapsed().as_millis() < 5_000, "{:?}", began.elapsed());
}

/// Ingress: 74
#[test]
fn what_a_canary_passes_over_is_told() {
    let object = |name: &str, annotations: Value| {
        let mut spec = json!({"ingressClassName": "fedgate", "rules": [rule("a.example", "/", "Prefix", "a")]});
        if name == "new" {
            spec["tls"] = json!([{"hosts": ["a.example"], "secretName": "nowhere"}]);
            spec["defaultBackend"] = to("a");
        }
        let created = format!("2026-01-01T00:00:00Z{name}");
        Arc::new(IngressObject::read(&json!({
            "metadata": {"name": name, "namespace": "n", "uid": name, "creationTimestamp": created, "annotations": annotations},
            "spec": spec,
        })))
    };
    let canary = json!({
        "ingress.fedgate.dev/canary": "true", "ingress.fedgate.dev/canary-weight": "110",
        "ingress.fedgate.dev/auth-type": "basic", "ingress.fedgate.dev/auth-secret": "nowhere",
    });
    let table = built(&snapshot(vec![object("main", json!({})), object("new", canary)]));
    let [weight, problem, tls, rest] = table.problems() else { panic!("four problems: {:?}", table.problems()) };
    for one in [weight, problem] {
        assert_eq!((one.kind, &*one.on.name), (ProblemKind::Annotation, "new"));
    }
    assert!(weight.message.starts_with("metadata.annotations[canary-weight]: 110 counts as 100"), "{weight}");
    assert!(tls.message.starts_with("spec.tls: is not followed") && rest.message.starts_with("spec.defaultBackend: "));
    assert!(problem.message.starts_with("metadata.annotations[auth-secret, auth-type]: is not followed"), "{problem}");
    let route = table.find("a.example", "/").expect("the main one's");
    let taker = route.canaries.routes().next().expect("the canary");
    assert!(taker.policy.closed.is_none() && taker.policy.users.is_none(), "as the main one");
}
