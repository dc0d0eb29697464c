//! `fedgate route list|trace|shift`: which host and path goes where, what becomes of one request, and to which cluster.
//!
//! Compiles the routes out of what the asking user may read, with the gateway's own code.

mod shift;
mod trace;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use http::{Method, Uri};
use ingress::explain::{self, Seen};
use ingress::route::canary::CanaryRule;
use ingress::snapshot::Named;
use ingress::{Entry, Problem, RouteTable};

use super::cluster::show::columns;
use crate::failure::Failure;
use crate::kubeconfig;

pub use shift::Shift;

/// The commands below `route`.
#[derive(Debug, Subcommand)]
pub enum Route {
    /// All hosts and paths, and what is wrong with their Ingresses
    List(List),
    /// What the gateway would do with a request, step by step; nothing is sent
    Trace(Box<Trace>),
    /// Give clusters shares of the requests for a host and path
    Shift(Shift),
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only routes of Ingresses in this namespace
    #[arg(short, long)]
    pub namespace: Option<String>,
}

/// Arguments of `trace`.
#[derive(Debug, Args)]
pub struct Trace {
    /// For example http://shop.example/cart?x=1; without a scheme it is http
    #[arg(value_name = "URL")]
    pub url: String,
    /// A field of the request, for example "X-Canary: always"; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// The method
    #[arg(short = 'X', long, default_value = "GET")]
    pub method: Method,
    /// The address of the client
    #[arg(long, value_name = "IP", default_value = "192.0.2.1")]
    pub from: IpAddr,
    /// Bytes of the request's body
    #[arg(long, value_name = "BYTES")]
    pub body: Option<u64>,
    /// Ask the process that serves, at its --admin-addr (https, or http to this machine): it also judges passwords, limits and endpoints
    #[arg(long, value_name = "URL", requires = "token_file")]
    pub gateway: Option<Uri>,
    /// Where a token of the hub is, for example of `kubectl create token`
    #[arg(long, value_name = "FILE", requires = "gateway")]
    pub token_file: Option<PathBuf>,
}

/// Runs one of them.
///
/// # Errors
/// FG-CLI-001 for a request that is none, FG-HUB where the hub does not answer or does not let this user list; as
/// [`shift::shift`] says.
pub async fn run(command: &Route, hub_file: Option<&Path>) -> Result<(), Failure> {
    match command {
        Route::List(list) => {
            let seen = seen(hub_file).await?;
            super::print(&listed(&seen.routes(), list.namespace.as_deref(), &seen.unread))
        }
        Route::Trace(trace) => trace::trace(trace, hub_file).await,
        Route::Shift(shift) => shift::shift(shift, hub_file).await,
    }
}

/// The routes, as this user may read them.
async fn seen(hub_file: Option<&Path>) -> Result<Seen, Failure> {
    let hub = kubeconfig::hub(hub_file)?;
    explain::snapshot(&hub).await.map_err(|e| Failure::hub("cannot read the routes", &e))
}

fn listed(table: &RouteTable, namespace: Option<&str>, unread: &BTreeSet<Named>) -> String {
    let within = |of: &str| namespace.is_none_or(|wanted| wanted == of);
    let mut rows = vec![["HOST", "PATH", "TYPE", "INGRESS", "BACKEND", "ENDPOINTS", "STATE"].map(str::to_owned)];
    let entries = table.entries().into_iter().filter(|entry| within(&entry.route.ingress.namespace));
    rows.extend(entries.map(|Entry { host, kind, path, route }| {
        let canary = |all, (rule, canary): (&CanaryRule, &Arc<ingress::route::Route>)| {
            format!("{all} (canary {}: {}; {})", canary.backend.name, rule.wish(), explain::state(canary))
        };
        let backend = route.canaries.all().fold(route.backend.name.to_string(), canary);
        let (ingress, state) = (route.ingress.to_string(), explain::state(route));
        [host, path.to_owned(), kind.to_owned(), ingress, backend, endpoints(route), state]
    }));
    let mut text = if rows.len() == 1 { "no routes\n".to_owned() } else { columns(&rows) };
    let whose = |problem: &&Problem| problem.on.namespace.is_empty() || within(&problem.on.namespace);
    let problems = table.problems().iter().filter(whose);
    for (number, problem) in problems.enumerate() {
        text += if number == 0 { "\nProblems:\n" } else { "" };
        text += &format!("  {problem}\n");
    }
    for (number, key) in unread.iter().filter(|key| within(&key.namespace)).enumerate() {
        text += if number == 0 { "\nTaken for sound, since you may not read them:\n" } else { "" };
        text += &format!("  Secret {key}\n");
    }
    text
}

/// How many endpoints in which cluster.
fn endpoints(route: &ingress::route::Route) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for endpoint in route.backend.endpoints() {
        *counts.entry(endpoint.key.cluster.as_str()).or_insert(0) += 1;
    }
    let counted = match counts.len() {
        0 => "none".to_owned(),
        _ => counts.iter().map(|(name, count)| format!("{name}:{count}")).collect::<Vec<_>>().join(" "),
    };
    route.delivery.shares.as_ref().map_or(counted.clone(), |shares| format!("{counted} ({shares})"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use federation_types::endpoint::group;
    use ingress::explain::{self, Question, Seen, Sight};
    use ingress::snapshot::{IngressClass, IngressObject, Named, ServiceObject};
    use ingress::{BuildOptions, Snapshot, build};
    use serde_json::{Value, json};

    use super::listed;

    /// Ingress: 45
    #[tokio::test]
    async fn a_name_outside_is_open_as_far_as_can_be_known_here() {
        for (name, listed, traced) in [
            (
                "api.example.com",
                "   open or 503: only the gateway knows whether this name is allowed (--ingress-external-name)",
                "n/web:80: only the gateway knows whether this name is allowed (--ingress-external-name); if not, the answer is 503",
            ),
            ("localhost", "   503: unsupported backend", "n/web:80: unsupported backend, the answer is 503"),
        ] {
            let object = json!({
                "metadata": {"namespace": "n", "name": "web"}, "spec": {"type": "ExternalName", "externalName": name},
            });
            let class = json!({"metadata": {"name": "fedgate"}, "spec": {"controller": "fedgate.dev/ingress"}});
            let snapshot = Snapshot {
                ingresses: vec![ingress("away", &[("ssl-redirect", "false")])],
                classes: vec![IngressClass::read(&class)],
                services: [(Named::new("n", "web"), Arc::new(ServiceObject::read(&object)))].into(),
                ..Snapshot::default()
            };
            let table = Seen { snapshot, unread: BTreeSet::new(), on_loopback: false }.routes();
            let text = super::listed(&table, None, &BTreeSet::new());
            assert!(text.lines().any(|line| line.starts_with("away.example") && line.ends_with(listed)), "{text}");
            let problem = text.lines().find(|line| line.contains("is the name")).expect("a problem");
            assert_eq!(problem.contains("if not, its requests are answered with 503"), name != "localhost", "{text}");
            let request = http::Request::builder().uri("http://away.example/").body(()).expect("a request");
            let (parts, ()) = request.into_parts();
            let question = Question { parts, remote: [192, 0, 2, 1].into(), tls: false, port: 80, body: None };
            let steps = explain::explain(&table, question, Sight::Outside { secrets: false }).await;
            assert!(steps.iter().any(|step| step.name == "backend" && step.outcome == traced), "{steps:?}");
        }
    }

    fn ingress(name: &str, annotations: &[(&str, &str)]) -> Arc<IngressObject> {
        let to = json!({"service": {"name": "web", "port": {"number": 80}}});
        let path = json!([{"path": "/", "pathType": "Prefix", "backend": to}]);
        let host = format!("{}.example", name.trim_end_matches("-new"));
        let mut object = json!({
            "metadata": {"namespace": "n", "name": name, "creationTimestamp": name.len().to_string()},
            "spec": {"ingressClassName": "fedgate", "rules": [{"host": host, "http": {"paths": path}}],
                "tls": [{"hosts": [host], "secretName": "gone"}]},
        });
        for (key, value) in annotations {
            object["metadata"]["annotations"][format!("ingress.fedgate.dev/{key}")] = json!(value);
        }
        Arc::new(IngressObject::read(&object))
    }

    /// Ingress: 74
    #[test]
    fn what_is_closed_shared_or_taken_over_is_seen_in_the_list() {
        let service = |name: &str| {
            let object = json!({"metadata": {"namespace": "n", "name": name}, "spec": {"ports": [{"port": 80}]}});
            (Named::new("n", name), Arc::new(ServiceObject::read(&object)))
        };
        let slice = |address: &str| -> Value {
            json!({
                "metadata": {"namespace": "n", "labels": {
                    "kubernetes.io/service-name": "web", "fedgate.dev/cluster": "east", "fedgate.dev/hub": "u",
                }},
                "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": [{"addresses": [address]}],
            })
        };
        let canary = [("canary", "true"), ("canary-weight", "10"), ("canary-by-header", "x-new")];
        let class = json!({"metadata": {"name": "fedgate"}, "spec": {"controller": "fedgate.dev/ingress"}});
        let mut snapshot = Snapshot {
            ingresses: vec![
                ingress("open", &[("cluster-shares", "east=30%")]),
                ingress("open-new", &canary),
                ingress("shut", &[("auth-type", "basic")]),
            ],
            classes: vec![IngressClass::read(&class)],
            services: [service("web")].into(),
            clusters: group(&[slice("10.0.0.1")]),
            ..Snapshot::default()
        };
        let unread = BTreeSet::from([Named::new("n", "hidden"), Named::new("m", "other")]);
        let text = listed(&build(&snapshot, None, &BuildOptions::default()), Some("n"), &unread);
        let line = |host: &str| text.lines().find(|line| line.starts_with(host)).unwrap_or_else(|| panic!("{text}"));
        let open = line("open.example");
        assert!(open.contains("(canary n/web:80: header x-new, 10 of 100; open)"), "{text}");
        assert!(open.contains("east:1 (east=30%)") && open.ends_with("   open"), "{text}");
        assert!(
            line("shut.example").ends_with("   503: an annotation that guards this route cannot be read"),
            "{text}"
        );
        assert!(text.contains("there is no Secret n/gone"), "{text}");
        assert!(text.contains("may not read them:\n  Secret n/hidden\n") && !text.contains("m/other"), "{text}");
        // What no request may be sent to is said, too.
        snapshot.clusters = group(&[slice("127.0.0.1")]);
        let text = listed(&build(&snapshot, None, &BuildOptions::default()), None, &BTreeSet::new());
        assert!(text.contains("   503: no endpoint is ready\n"), "{text}");
        assert!(
            text.contains("Service n/web are left out whose address is of this machine or its link, such as 127.0.0.1")
        );
    }
}
