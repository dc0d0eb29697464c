//! Ingresses and requests, a line each: what is compiled is found again, what is not is said, and no rewrite climbs.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::Request;
use http::uri::PathAndQuery;
use ingress::explain::{Question, Sight, Step, explain};
use ingress::fuzzing::{normal_path, rewritten};
use ingress::snapshot::{IngressClass, IngressObject, Named, ServiceObject};
use ingress::{BuildOptions, RouteTable, Snapshot, annotation, build, import};
use serde_json::{Value, json};

/// Requests of one input.
const ASKED: usize = 8;
const CLASS: &str = "fedgate";

/// What the lines of an input say.
#[derive(Default)]
struct Given<'t> {
    ingresses: Vec<Value>,
    asked: Vec<(&'t str, &'t str)>,
}

/// Lines are `+` for the next Ingress, `@type host /path service` for a path, `*service` for the rest, `!host secret` for
/// TLS, `name=value` for an annotation, and `?host target` for a request.
pub fn table(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let given = read(text);
    let tried = import::try_out(&given.ingresses);
    assert_eq!(tried.len(), given.ingresses.len(), "each is tried");
    let snapshot = snapshot(&given.ingresses);
    let fresh = build(&snapshot, None, &BuildOptions::default());
    is_complete(&snapshot, &fresh);
    // A table that follows another one, of itself or of less, is as good as a fresh one.
    let fewer = Snapshot { ingresses: snapshot.ingresses.iter().skip(1).cloned().collect(), ..snapshot.clone() };
    let fewer = build(&fewer, Some(&fresh), &BuildOptions::default());
    let again = build(&snapshot, Some(&fewer), &BuildOptions::default());
    assert_eq!(shown(&again), shown(&fresh), "what was before makes no difference");
    for tried in &tried {
        for judged in &tried.annotations {
            assert!(judged.verdict == "works" || !judged.why.is_empty(), "what is not followed is said: {judged:?}");
            assert!(!judged.closes || tried.closed.is_some() || !is_served(&fresh, &tried.ingress), "{judged:?}");
        }
    }
    given.asked.iter().take(ASKED).for_each(|(host, target)| ask(&fresh, host, target));
}

fn read(text: &str) -> Given<'_> {
    let mut given = Given::default();
    let mut open = ingress(0);
    for line in text.lines() {
        let (sign, rest) = line.split_at_checked(1).unwrap_or(("", ""));
        let mut words = rest.splitn(4, ' ').map(str::to_owned);
        let mut word = || words.next().unwrap_or_else(String::new);
        match sign {
            "+" => {
                let next = ingress(given.ingresses.len() + 1);
                given.ingresses.push(std::mem::replace(&mut open, next));
            }
            "@" => {
                let kind = match &*word() {
                    "e" => "Exact",
                    "i" => "ImplementationSpecific",
                    _ => "Prefix",
                };
                let (host, path) = (word(), word());
                let path = json!({"path": path, "pathType": kind, "backend": backend(&word())});
                push(&mut open["spec"]["rules"], json!({"host": host, "http": {"paths": [path]}}));
            }
            "*" => open["spec"]["defaultBackend"] = backend(&word()),
            "!" => push(&mut open["spec"]["tls"], json!({"hosts": [word()], "secretName": word()})),
            "?" => given.asked.extend(rest.split_once(' ')),
            _ => {
                if let Some((name, value)) = line.split_once('=') {
                    open["metadata"]["annotations"][format!("{}{name}", annotation::NGINX)] = value.into();
                }
            }
        }
    }
    given.ingresses.push(open);
    given
}

fn ingress(number: usize) -> Value {
    let created = format!("2026-01-01T00:00:{:02}Z", number % 60);
    json!({
        "kind": "Ingress",
        "metadata": {"name": format!("i{number}"), "namespace": "shop", "creationTimestamp": created, "annotations": {}},
        "spec": {"ingressClassName": CLASS, "rules": [], "tls": []},
    })
}

fn backend(service: &str) -> Value {
    let name = if service.is_empty() { "web" } else { service };
    json!({"service": {"name": name, "port": {"number": 80}}})
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().expect("it begins as a list").push(item);
}

fn snapshot(ingresses: &[Value]) -> Snapshot {
    let service = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"ports": [{"port": 80}]}});
    let service = Arc::new(ServiceObject::read(&service));
    let controller = "fedgate.dev/ingress".to_owned();
    Snapshot {
        ingresses: ingresses.iter().map(|ingress| Arc::new(IngressObject::read(ingress))).collect(),
        classes: vec![IngressClass { name: CLASS.to_owned(), controller, ..IngressClass::default() }],
        services: BTreeMap::from([(service.key.clone(), service)]),
        ..Snapshot::default()
    }
}

/// What Go takes for true.
const TRUE: [&str; 6] = ["1", "t", "T", "TRUE", "true", "True"];

fn is_served(table: &RouteTable, ingress: &Named) -> bool {
    // Who is only sent on to the proper host is served nothing.
    table.routes().any(|route| route.ingress == *ingress && route.policy.proper_host.is_none())
}

/// Each path has a route of its own, or it is said why not.
fn is_complete(snapshot: &Snapshot, table: &RouteTable) {
    let entries = table.entries();
    for ingress in &snapshot.ingresses {
        assert!(table.accepted().contains(&ingress.key), "it is of our class");
        let problems: Vec<&str> =
            table.problems().iter().filter(|it| it.is_of(&ingress.key)).map(|it| it.message.as_str()).collect();
        if ingress.annotations.get("canary").is_some_and(|canary| TRUE.contains(&canary.as_str())) {
            // It has no paths of its own.
            continue;
        }
        for (number, rule) in ingress.rules.iter().enumerate() {
            let host = if rule.host.is_empty() { "*" } else { &rule.host };
            let field = format!("spec.rules[{number}]");
            let served = entries.iter().any(|entry| entry.host == host && entry.route.ingress == ingress.key);
            let said = problems.iter().any(|problem| problem.starts_with(&field));
            assert!(
                served || said || rule.paths.is_empty(),
                "{field} of {} is neither served nor refused",
                ingress.key
            );
        }
    }
    // Paths of other kinds may be covered by longer ones.
    let hosts = entries.iter().filter(|entry| !entry.host.contains('*') && entry.path.starts_with('/'));
    for entry in hosts.filter(|entry| matches!(entry.kind, "Exact" | "Prefix")) {
        let found = table.find(&entry.host, entry.path).expect("what is in the table is found");
        let patterned = entries.iter().any(|other| other.kind == "pattern" && other.host == entry.host);
        let first = patterned || entry.kind != "Exact" || Arc::ptr_eq(found, entry.route);
        assert!(first, "an exact path is found first");
    }
}

/// What can be seen of a table.
fn shown(table: &RouteTable) -> (Vec<String>, Vec<String>) {
    let entry = |entry: ingress::Entry<'_>| {
        let route = entry.route;
        format!(
            "{} {} {} {} {} {:?}",
            entry.host, entry.kind, entry.path, route.ingress, route.backend.name, route.policy
        )
    };
    (table.entries().into_iter().map(entry).collect(), table.problems().iter().map(ToString::to_string).collect())
}

/// What a request finds is of the table, what the endpoint would see is a path below its root, and it can be explained.
fn ask(table: &RouteTable, host: &str, target: &str) {
    let Ok(target) = target.parse::<PathAndQuery>() else { return };
    let (path, query) = (target.path(), target.query());
    let name = host.to_ascii_lowercase();
    if let Ok(normal) = normal_path(path) {
        let normal = normal.as_deref().unwrap_or(path);
        let again = normal_path(&normal.replace('%', "%25"));
        assert!(again.is_ok_and(|again| again.is_none_or(|again| *again == *normal)), "what is normal stays so");
        if let Some(found) = table.locate(&name, normal) {
            assert!(table.routes().any(|route| Arc::ptr_eq(route, found.route)), "it is of the table");
            if let Ok(Some(target)) = rewritten(&found, normal, query) {
                let text = target.as_str();
                assert!(text.starts_with('/') && normal_path(target.path()).is_ok(), "{text:?} climbs");
                assert!(text.bytes().all(|byte| byte > b' ' && byte != b'#' && byte != 0x7f), "{text:?}");
                assert!(query.is_none_or(|query| text.ends_with(query)), "{text:?} has the query");
            }
        }
    }
    let through = table.passthrough(&name).is_none_or(|route| table.accepted().contains(&route.ingress));
    assert!(through && table.mutual(&name).is_none_or(|_| table.is_mutual()), "no name leads elsewhere");
    for (tls, scheme) in [(false, "http"), (true, "https")] {
        let Ok(request) = Request::get(format!("{scheme}://{host}{target}")).body(()) else { return };
        let (parts, ()) = request.into_parts();
        let question = Question { parts, remote: [192, 0, 2, 1].into(), tls, port: 80, body: None };
        let mut explained = pin!(explain(table, question, Sight::Outside { secrets: false }));
        let Poll::Ready(steps) = explained.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("without Secrets nothing is waited for");
        };
        assert!(!steps.is_empty(), "something is said");
        steps.iter().for_each(|Step { outcome, .. }| assert!(!outcome.is_empty()));
    }
}
