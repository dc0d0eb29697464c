//! What would become of Ingresses that are not served yet: compiled by the code that serves them.
//!
//! Pure. Services and Secrets that are not given along are taken for sound; classes that are not ours, for ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use federation_types::{label, text};
use serde_json::{Map, Value, json};

use crate::annotation::{self, Judged};
use crate::explain::stand_in;
use crate::route::{BuildOptions, Classes, Problem, ProblemKind, RouteTable, build};
use crate::snapshot::{
    BackendRef, IngressClass, IngressObject, Named, ParametersObject, PortRef, SecretObject, ServiceObject,
    ServicePort, Snapshot,
};
use crate::watch::secret;

/// What would become of one Ingress.
#[derive(Debug, Clone)]
pub struct Tried {
    pub ingress: Named,
    /// Why it is not served as it is, where its class is not ours.
    pub foreign: Option<String>,
    pub annotations: Vec<Judged>,
    /// What is wrong with it beside its annotations' values.
    pub problems: Vec<String>,
    /// Why its requests are answered with an error.
    pub closed: Option<String>,
    /// Its paths, and those of them that no request would be served by.
    pub paths: (usize, usize),
}

/// Tries the Ingresses among `objects`, of networking.k8s.io/v1, with whatever else of theirs is there.
#[must_use]
pub fn try_out(objects: &[Value]) -> Vec<Tried> {
    let of_kind = |kind: &'static str| objects.iter().filter(move |object| text::str_at(object, &["kind"]) == kind);
    let mut classes: Vec<IngressClass> = of_kind("IngressClass").map(IngressClass::read).collect();
    let given: Vec<IngressObject> = of_kind("Ingress").map(|object| IngressObject::read(&placed(object))).collect();
    if !classes.iter().any(|class| class.controller == label::INGRESS_CONTROLLER) {
        let (name, controller) = (label::INGRESS_CLASS.to_owned(), label::INGRESS_CONTROLLER.to_owned());
        classes.push(IngressClass { name, controller, ..IngressClass::default() });
    }
    let ours = Classes::new(&classes);
    let foreign: Vec<Option<String>> = given.iter().map(|ingress| foreign(&ours, ingress)).collect();
    let (snapshot, refused) = snapshot(&of_kind, &given, classes.clone());
    let table = build(&snapshot, None, &BuildOptions { allow_loopback: true, ..BuildOptions::default() });
    let tried = |(ingress, foreign): (&IngressObject, Option<String>)| {
        let mut tried = tried(&table, ingress, foreign);
        let named = refused.iter().filter(|(key, _)| names(ingress, key));
        tried.problems.extend(named.map(|(key, why)| format!("Secret {key}: {why}, so the API takes no such Secret")));
        tried
    };
    given.iter().zip(foreign).map(tried).collect()
}

/// With the namespace that it gets where it names none.
fn placed(object: &Value) -> Value {
    let mut object = object.clone();
    if text::namespace(&object).is_empty() && object["metadata"].is_object() {
        object["metadata"]["namespace"] = "default".into();
    }
    object
}

/// A Secret as the API keeps it, plain texts among the others; or why it takes none like this.
fn stored(secret: &Value) -> Result<Value, String> {
    let mut data = Map::new();
    for (key, text) in texts(secret, "data")? {
        // Lines may be broken anywhere.
        let text: String = text.chars().filter(|letter| !matches!(letter, '\r' | '\n')).collect();
        STANDARD.decode(&text).map_err(|_| format!("data[{key:?}] is not base64"))?;
        data.insert(key.to_owned(), text.into());
    }
    for (key, text) in texts(secret, "stringData")? {
        data.insert(key.to_owned(), STANDARD.encode(text).into());
    }
    Ok(json!({"data": data}))
}

fn texts<'s>(secret: &'s Value, field: &str) -> Result<Vec<(&'s str, &'s str)>, String> {
    let text = |(key, value): (&'s String, &'s Value)| match value {
        Value::String(text) => Ok((key.as_str(), text.as_str())),
        Value::Null => Ok((key.as_str(), "")),
        _ => Err(format!("{field}[{key:?}] is no text")),
    };
    match secret.get(field) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(all)) => all.iter().map(text).collect(),
        Some(_) => Err(format!("{field} is no object")),
    }
}

/// Whether an Ingress is about this Secret.
fn names(ingress: &IngressObject, secret: &Named) -> bool {
    let certificates = ingress.tls.iter().map(|tls| tls.secret.as_str());
    let mut all = certificates.chain(annotation::secrets(&ingress.annotations, &ingress.key.namespace));
    ingress.key.namespace == secret.namespace && all.any(|name| *name == *secret.name)
}

fn foreign(classes: &Classes<'_>, ingress: &IngressObject) -> Option<String> {
    if classes.serves(ingress) {
        return None;
    }
    Some(match ingress.class.as_ref().or(ingress.legacy_class.as_ref()) {
        Some(class) => format!(
            "its class is {class}, which is not ours: it is not served here until that is changed, or an IngressClass of that name at the hub has our controller"
        ),
        None => "it has no class: it is not served here unless our class is the default one".to_owned(),
    })
}

/// What routes are built from, and why which Secrets are none.
fn snapshot<'o, I: Iterator<Item = &'o Value>>(
    of_kind: &impl Fn(&'static str) -> I,
    given: &[IngressObject],
    classes: Vec<IngressClass>,
) -> (Snapshot, BTreeMap<Named, String>) {
    let class = classes.iter().find(|class| class.controller == label::INGRESS_CONTROLLER).map(|class| &class.name);
    let adopted = |ingress: &IngressObject| {
        let class = if Classes::new(&classes).serves(ingress) { ingress.class.as_ref() } else { class };
        Arc::new(IngressObject { class: class.cloned(), ..ingress.clone() })
    };
    let parameters = of_kind("IngressParameters").map(placed).chain(of_kind("ClusterIngressParameters").cloned());
    let parameters: BTreeMap<_, _> =
        parameters.map(|object| Arc::new(ParametersObject::read(&object))).map(|one| (one.key.clone(), one)).collect();
    let mut all = Snapshot {
        ingresses: given.iter().map(adopted).collect(),
        services: services(of_kind("Service"), given),
        // Without any, those of the cluster are not known.
        parameters: Some(parameters).filter(|all| !all.is_empty()),
        ..Snapshot::default()
    };
    let mut refused = BTreeMap::new();
    for object in of_kind("Secret").map(placed) {
        let key = Named::new(text::namespace(&object), text::name(&object));
        let SecretObject { tls, users } = match stored(&object) {
            Ok(object) => secret(&object),
            Err(why) => {
                refused.insert(key.clone(), why);
                SecretObject::default()
            }
        };
        all.secrets.extend(tls.map(|tls| (key.clone(), tls)));
        all.user_lists.insert(key, users.unwrap_or_default());
    }
    all.classes = classes;
    let known = |key: &Named| all.user_lists.contains_key(key);
    let absent = all.wanted_secrets().into_iter().filter(|key| !known(key)).collect();
    stand_in(&mut all, &absent);
    (all, refused)
}

/// Those that are given, and those that paths lead to with the ports that they name.
fn services<'o>(
    given: impl Iterator<Item = &'o Value>,
    ingresses: &[IngressObject],
) -> BTreeMap<Named, Arc<ServiceObject>> {
    let given = given.map(|object| Arc::new(ServiceObject::read(&placed(object))));
    let given: BTreeMap<Named, Arc<ServiceObject>> = given.map(|service| (service.key.clone(), service)).collect();
    let mut all = given.clone();
    for ingress in ingresses {
        let paths = ingress.rules.iter().flat_map(|rule| &rule.paths).map(|path| &path.backend);
        for backend in paths.chain(&ingress.default_backend) {
            let BackendRef::Service { name, port } = backend else { continue };
            let key = Named { namespace: ingress.key.namespace.clone(), name: name.as_str().into() };
            if given.contains_key(&key) {
                continue;
            }
            let (name, number) = match port {
                PortRef::Number(number) => (format!("p{number}"), *number),
                PortRef::Name(name) => (name.clone(), 0),
            };
            let port = ServicePort { name, number, protocol: "TCP".to_owned(), app_protocol: String::new() };
            let service = all.entry(key.clone()).or_insert_with(|| Arc::new(ServiceObject::bare(key)));
            Arc::make_mut(service).ports.push(port);
        }
    }
    all
}

fn tried(table: &RouteTable, ingress: &IngressObject, foreign: Option<String>) -> Tried {
    let annotations = annotation::judge(&ingress.annotations, &ingress.key.namespace);
    // Services that only annotations name may be in the cluster.
    let elsewhere = |problem: &Problem| {
        let service = matches!(problem.kind, ProblemKind::ServiceMissing | ProblemKind::PortMissing);
        service && problem.message.starts_with("metadata.annotations[")
    };
    let judged = |problem: &Problem| {
        let told = |judged: &Judged| !judged.why.is_empty() && problem.message.ends_with(&judged.why);
        problem.kind == ProblemKind::Annotation && annotations.iter().any(told)
    };
    let problems = table.problems().iter().filter(|problem| problem.is_of(&ingress.key));
    let unserved = problems.clone().filter(|problem| problem.kind == ProblemKind::PathInvalid).count();
    let mut problems: Vec<String> =
        problems.filter(|it| !elsewhere(it) && !judged(it)).map(|problem| problem.message.clone()).collect();
    if ingress.paths() == 0 && ingress.default_backend.is_none() {
        problems.push("spec: it has no path and no default backend, so nothing comes here: 404".to_owned());
    }
    let mut routes = table.entries().into_iter().map(|entry| entry.route).filter(|route| route.ingress == ingress.key);
    let closed = routes.find_map(|route| route.policy.closed).map(str::to_owned);
    let paths = (ingress.paths(), unserved);
    Tried { ingress: ingress.key.clone(), foreign, annotations, problems, closed, paths }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use super::{Tried, try_out};

    fn ingress(name: &str, class: &str, annotations: Value) -> Value {
        let paths = json!([{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]);
        json!({
            "kind": "Ingress", "metadata": {"name": name, "namespace": "shop", "annotations": annotations},
            "spec": {"ingressClassName": class, "rules": [{"host": format!("{name}.example"), "http": {"paths": paths}}]},
        })
    }

    fn one(object: Value) -> Tried {
        let mut all = try_out(&[object]);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    /// Ingress: 74
    #[test]
    fn what_would_be_closed_is_said_by_the_code_that_closes() {
        let nginx = |name: &str| format!("nginx.ingress.kubernetes.io/{name}");
        for (annotations, closed) in [
            (json!({}), None),
            (json!({nginx("auth-type"): "basic", nginx("auth-secret"): "shop/users"}), None),
            (json!({nginx("auth-type"): "basic", nginx("auth-secret"): "users"}), None),
            (json!({nginx("auth-type"): "basic"}), Some("cannot be read")),
            (json!({nginx("auth-type"): "basic", nginx("auth-secret"): "other/users"}), Some("cannot be read")),
            (json!({"ingress.fedgate.dev/auth-jwt-secret": "keys"}), Some("cannot be read")),
            (json!({nginx("auth-url"): "http://auth.elsewhere.svc/"}), Some("not ours to ask")),
            (json!({nginx("configuration-snippet"): "deny all;"}), Some("cannot be read")),
        ] {
            let tried = one(ingress("a", "fedgate", annotations.clone()));
            let told = tried.closed.as_deref();
            assert_eq!(told.is_some(), closed.is_some(), "{annotations} {tried:?}");
            assert!(closed.is_none_or(|closed| told.is_some_and(|told| told.contains(closed))), "{tried:?}");
            assert_eq!(tried.foreign, None);
        }
    }

    /// Ingress: 74
    #[test]
    fn paths_whose_pattern_cannot_be_used_are_counted() {
        let mut object = ingress("a", "fedgate", json!({"nginx.ingress.kubernetes.io/use-regex": "true"}));
        assert_eq!(one(object.clone()).paths, (1, 0));
        let backend = object["spec"]["rules"][0]["http"]["paths"][0]["backend"].clone();
        let path = |path: &str| json!({"path": path, "pathType": "ImplementationSpecific", "backend": backend});
        object["spec"]["rules"][0]["http"]["paths"] = json!([path("/ok/[0-9]+"), path("/a(?!/b)"), path("/(a)\\1")]);
        let tried = one(object);
        assert_eq!(tried.paths, (3, 2), "{tried:?}");
        assert!(
            tried.problems.iter().any(|told| told.contains("/a(?!/b)") && told.contains("not served")),
            "{tried:?}"
        );
    }

    /// Ingress: 46, 74
    #[test]
    fn classes_and_what_is_not_in_the_file() {
        let tried = one(ingress("a", "nginx", json!({})));
        assert!(tried.foreign.as_deref().is_some_and(|why| why.contains("its class is nginx")), "{tried:?}");
        assert!(tried.problems.is_empty() && tried.closed.is_none(), "services may be in the cluster: {tried:?}");
        let mut old = ingress("a", "x", json!({"kubernetes.io/ingress.class": "nginx"}));
        old["spec"].as_object_mut().expect("a spec").remove("ingressClassName");
        assert!(one(old.clone()).foreign.is_some_and(|why| why.contains("nginx")));
        old["metadata"]["annotations"] = json!({"kubernetes.io/ingress.class": "fedgate"});
        assert_eq!(one(old.clone()).foreign, None);
        old["metadata"]["annotations"] = json!({});
        assert!(one(old).foreign.is_some_and(|why| why.contains("no class")));
        let class = json!({"kind": "IngressClass", "metadata": {"name": "edge"}, "spec": {"controller": "fedgate.dev/ingress"}});
        let service = json!({"kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"ports": [{"port": 8080}]}});
        let tried = try_out(&[class, service, ingress("a", "edge", json!({}))]);
        assert_eq!(tried[0].foreign, None);
        assert!(tried[0].problems.len() == 1 && tried[0].problems[0].contains("no such TCP port"), "{tried:?}");
        let nothing = json!({"kind": "Ingress", "metadata": {"name": "b"}, "spec": {"ingressClassName": "fedgate"}});
        let tried = one(nothing);
        assert_eq!(&*tried.ingress.namespace, "default");
        assert!(tried.problems[0].contains("404"), "{tried:?}");
        let bad = json!({"kind": "Secret", "metadata": {"name": "tls", "namespace": "shop"}, "data": {"tls.crt": "eA==", "tls.key": "eA=="}});
        let mut secure = ingress("a", "fedgate", json!({}));
        secure["spec"]["tls"] = json!([{"hosts": ["a.example"], "secretName": "tls"}]);
        assert!(one(secure.clone()).problems.is_empty());
        let tried = try_out(&[bad, secure]);
        assert!(tried[0].problems[0].contains("spec.tls[0].secretName: Secret shop/tls"), "{tried:?}");
    }

    /// Ingress: 74
    #[test]
    fn a_secret_that_the_api_would_not_take_is_said_to_be_none() {
        let annotations = json!({
            "nginx.ingress.kubernetes.io/auth-type": "basic", "nginx.ingress.kubernetes.io/auth-secret": "users",
        });
        let encoded = STANDARD.encode("bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=");
        let (head, tail) = encoded.split_at(9);
        for (data, plain, wrong) in [
            (json!("x"), json!({"a": "b"}), Some("Secret shop/users: data is no object, so the API")),
            (json!(["x"]), json!({"a": "b"}), Some("data is no object")),
            (json!(3), Value::Null, Some("data is no object")),
            (json!({"auth": "x"}), Value::Null, Some("data[\"auth\"] is not base64")),
            (json!({"auth": {}}), Value::Null, Some("data[\"auth\"] is no text")),
            (json!({}), json!("x"), Some("stringData is no object")),
            (json!({}), json!({"auth": 7}), Some("stringData[\"auth\"] is no text")),
            (Value::Null, json!({"auth": "bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="}), None),
            (json!({"auth": "eA=="}), json!({"auth": "bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="}), None),
            (json!({"auth": format!("{head}\n{tail}\n")}), Value::Null, None),
        ] {
            let secret = json!({
                "kind": "Secret", "metadata": {"name": "users", "namespace": "shop"}, "data": data, "stringData": plain,
            });
            let other = ingress("b", "fedgate", json!({}));
            let tried = try_out(&[secret, ingress("a", "fedgate", annotations.clone()), other]);
            let told = &tried[0].problems;
            assert_eq!((told.is_empty(), tried[0].closed.is_some()), (wrong.is_none(), wrong.is_some()), "{tried:?}");
            assert!(wrong.is_none_or(|wrong| told.iter().any(|told| told.contains(wrong))), "{tried:?}");
            assert!(tried[1].problems.iter().all(|told| !told.contains("Secret")), "{tried:?}");
        }
    }

    /// Ingress: 52, 74
    #[test]
    fn names_that_no_certificate_can_have_are_said_and_stop_nobody_else() {
        let nginx = |name: &str| format!("nginx.ingress.kubernetes.io/{name}");
        let long = format!("https://{}.shop.svc/", "a".repeat(64));
        for (service, name, value, closes) in [
            ("a b", "backend-protocol", "HTTPS", false),
            ("-a", "backend-protocol", "GRPCS", false),
            ("-a", "proxy-ssl-name", "b c", false),
            ("web", "auth-url", "https://-a.shop.svc/", true),
            ("web", "auth-url", "https://a-.shop.svc/", true),
            ("web", "auth-url", &long, true),
            ("web", "mirror-target", "https://-a.shop.svc/", false),
            ("web", "mirror-target", &long, false),
        ] {
            let mut odd = ingress("a", "fedgate", json!({nginx(name): value}));
            odd["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = service.into();
            let tried = try_out(&[odd, ingress("b", "fedgate", json!({}))]);
            let said = tried[0].problems.iter().any(|told| told.contains("is in no name that a certificate can have"));
            let refused = tried[0].annotations[0].verdict == "refused";
            assert!(said || refused || tried[0].closed.is_some(), "{service} {value} {tried:?}");
            assert_eq!(tried[0].closed.is_some(), closes, "{service} {value} {tried:?}");
            assert!(tried[1].problems.is_empty() && tried[1].closed.is_none(), "{tried:?}");
        }
    }

    /// Every place within a value.
    fn places(of: &Value, at: &str, all: &mut Vec<String>) {
        all.push(at.to_owned());
        let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
        match of {
            Value::Object(fields) => {
                fields.iter().for_each(|(key, value)| places(value, &format!("{at}/{}", escaped(key)), all));
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(number, value)| places(value, &format!("{at}/{number}"), all));
            }
            _ => {}
        }
    }

    /// Ingress: 74
    #[test]
    fn nothing_of_a_wrong_type_ends_the_trial_of_the_others() {
        let backend = json!({"service": {"name": "web", "port": {"number": 80, "name": "http"}}});
        let mut first = ingress(
            "first",
            "edge",
            json!({
                "nginx.ingress.kubernetes.io/auth-type": "basic", "nginx.ingress.kubernetes.io/auth-secret": "users",
                "nginx.ingress.kubernetes.io/rewrite-target": "/$1", "nginx.ingress.kubernetes.io/backend-protocol": "HTTPS", "kubernetes.io/ingress.class": "edge",
            }),
        );
        first["spec"]["tls"] = json!([{"hosts": ["first.example"], "secretName": "users"}]);
        first["spec"]["defaultBackend"] = backend;
        first["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
        let all = json!([
            first,
            {"kind": "IngressClass", "metadata": {"name": "edge", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
                "spec": {"controller": "fedgate.dev/ingress", "parameters": {
                    "apiGroup": "fedgate.dev", "kind": "IngressParameters", "scope": "Namespace", "namespace": "shop", "name": "p",
                }}},
            {"kind": "IngressParameters", "metadata": {"name": "p", "namespace": "shop"}, "spec": {"defaults": {"limit-rps": "5"}}},
            {"kind": "ClusterIngressParameters", "metadata": {"name": "p"}, "spec": {"defaults": {"limit-rps": "5"}}},
            {"kind": "Service", "metadata": {"name": "web", "namespace": "shop", "annotations": {"fedgate.dev/proxy-protocol": "v1"}},
                "spec": {"type": "ExternalName", "externalName": "x.example", "ports": [
                    {"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "http"},
                ]}},
            {"kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "users", "namespace": "shop"},
                "data": {"auth": "eA==", "tls.crt": "eA==", "tls.key": "eA=="}, "stringData": {"more": "text"}},
            ingress("last", "edge", json!({})),
        ]);
        let mut everywhere = Vec::new();
        places(&all, "", &mut everywhere);
        assert!(everywhere.len() > 90, "{}", everywhere.len());
        let odd = [
            json!(null),
            json!(true),
            json!(-1),
            json!(65_536),
            json!(1e300),
            json!(""),
            json!("\u{0}\u{ff}*../"),
            json!([]),
            json!([null, "x", 3, {}]),
            json!({}),
            json!({"": null, "x": [3]}),
        ];
        for (place, odd) in everywhere.iter().skip(1).flat_map(|place| odd.iter().map(move |odd| (place, odd))) {
            let mut given = all.clone();
            *given.pointer_mut(place).expect("a place") = odd.clone();
            let tried = try_out(given.as_array().expect("a list"));
            let last = place.starts_with("/6") || tried.iter().any(|tried| &*tried.ingress.name == "last");
            assert!(last, "{place} {odd}");
        }
    }
}
