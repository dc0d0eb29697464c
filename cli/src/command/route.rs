//! `fedgate route list|trace|shift`: which host and path goes where, what becomes of one request, and to which cluster.
//!
//! Compiles the routes out of what the asking user may read, with the gateway's own code.

mod shift;

use std::net::IpAddr;
use std::path::Path;

use clap::{Args, Subcommand};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use ingress::explain::{self, Question, Step};
use ingress::{BuildOptions, Entry, RouteTable, build};

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
    Trace(Trace),
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
    /// For example http://shop.example/cart?x=1
    #[arg(value_name = "URL")]
    pub url: Uri,
    /// A field of the request, for example "X-Canary: always"; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// The method
    #[arg(short = 'X', long, default_value = "GET")]
    pub method: Method,
    /// The address of the client
    #[arg(long, value_name = "IP", default_value = "192.0.2.1")]
    pub from: IpAddr,
}

/// Runs one of them.
///
/// # Errors
/// FG-CLI-001 for a request that is none, FG-HUB where the hub does not answer or does not let this user list; as
/// [`shift::shift`] says.
pub async fn run(command: &Route, hub_file: Option<&Path>) -> Result<(), Failure> {
    match command {
        Route::List(list) => {
            let table = table(hub_file).await?;
            super::print(&listed(&table, list.namespace.as_deref()))
        }
        Route::Trace(trace) => {
            let question = question(trace)?;
            super::print(&told(&explain::explain(&table(hub_file).await?, question)))
        }
        Route::Shift(shift) => shift::shift(shift, hub_file).await,
    }
}

/// The routes, as this user may read them.
async fn table(hub_file: Option<&Path>) -> Result<RouteTable, Failure> {
    let hub = kubeconfig::hub(hub_file)?;
    let snapshot = explain::snapshot(&hub).await.map_err(|e| Failure::hub("cannot read the routes", &e))?;
    // Members of a playground have loopback addresses; a gateway in production drops those and says so itself.
    let options = BuildOptions { allow_loopback: true, ..BuildOptions::default() };
    Ok(build(&snapshot, None, &options))
}

fn question(trace: &Trace) -> Result<Question, Failure> {
    let wrong = |what: String| Failure::new("FG-CLI-001", what).fix("fedgate route trace http://HOST/PATH");
    let tls = match trace.url.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(wrong(format!("{} is no http or https URL", trace.url))),
    };
    let mut request = Request::builder().method(trace.method.clone()).uri(trace.url.clone());
    for header in &trace.headers {
        let (name, value) = header.split_once(':').ok_or_else(|| wrong(format!("{header:?} is not NAME: VALUE")))?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong(format!("{name:?} is no field name")))?;
        let value: HeaderValue = value.trim().parse().map_err(|_| wrong(format!("{value:?} is no field value")))?;
        request = request.header(name, value);
    }
    let (parts, ()) = request.body(()).map_err(|e| wrong(e.to_string()))?.into_parts();
    let port = trace.url.port_u16().unwrap_or(if tls { 443 } else { 80 });
    Ok(Question { parts, remote: trace.from, tls, port })
}

fn listed(table: &RouteTable, namespace: Option<&str>) -> String {
    let within = |of: &str| namespace.is_none_or(|wanted| wanted == of);
    let mut rows = vec![["HOST", "PATH", "TYPE", "INGRESS", "BACKEND", "ENDPOINTS"].map(str::to_owned)];
    let entries = table.entries().into_iter().filter(|entry| within(&entry.route.ingress.namespace));
    rows.extend(entries.map(|Entry { host, kind, path, route }| {
        let backend = route
            .canaries
            .routes()
            .fold(route.backend.name.to_string(), |all, canary| format!("{all} (canary {})", canary.backend.name));
        [host, path.to_owned(), kind.to_owned(), route.ingress.to_string(), backend, endpoints(route)]
    }));
    let mut text = if rows.len() == 1 { "no routes\n".to_owned() } else { columns(&rows) };
    // Only the gateway reads Secrets: of those it says itself what is wrong.
    let problems =
        table.problems().iter().filter(|problem| problem.on.namespace.is_empty() || within(&problem.on.namespace));
    let problems = problems.filter(|problem| !problem.is_about_secrets());
    for (number, problem) in problems.enumerate() {
        text += if number == 0 { "\nProblems:\n" } else { "" };
        text += &format!("  {problem}\n");
    }
    text
}

/// How many endpoints in which cluster.
fn endpoints(route: &ingress::route::Route) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for endpoint in route.backend.endpoints() {
        *counts.entry(endpoint.key.cluster.as_str()).or_insert(0) += 1;
    }
    match (route.backend.fault, counts.len()) {
        (Some(fault), _) => fault.to_owned(),
        (None, 0) => "none".to_owned(),
        (None, _) => counts.iter().map(|(name, count)| format!("{name}:{count}")).collect::<Vec<_>>().join(" "),
    }
}

fn told(steps: &[Step]) -> String {
    let rows: Vec<[String; 2]> = steps.iter().map(|step| [step.name.to_owned(), step.outcome.clone()]).collect();
    columns(&rows)
}
